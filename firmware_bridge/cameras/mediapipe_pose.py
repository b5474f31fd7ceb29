"""MediaPipe Pose Landmarker: 33 landmarks.

From *world* landmarks: metres about the middle of the hips, x right in the picture, y down, z away from the camera. A
body has no place in the room then: its hips stay at the origin wherever it goes, and several persons stand in one spot.
:func:`placed` gives the place back from the image landmarks and the camera's intrinsics; with a depth camera,
:func:`pixels_of` and :mod:`~firmware_bridge.cameras.pose_2d` measure every landmark instead.

``visibility`` (0 to 1) is the confidence. A mirrored picture (a selfie preview) makes the model call a left hand right:
mirror it back before the model sees it.

Persons are not tracked: their order may change from frame to frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.skeleton import Frame
from firmware_bridge.cameras.convert import Adapter, share_of
from firmware_bridge.cameras.layouts import layout
from firmware_bridge.cameras.pinhole import Intrinsics, place

__all__ = ["ADAPTER", "LAYOUT", "convert", "pixels_of", "placed"]

LAYOUT = layout(
    "mediapipe-33",
    """
nose            -               torso     nose
left_eye_inner  nose            torso     left_eye_inner
left_eye        left_eye_inner  torso     left_eye
left_eye_outer  left_eye        torso     left_eye_outer
right_eye_inner nose            torso     right_eye_inner
right_eye       right_eye_inner torso     right_eye
right_eye_outer right_eye       torso     right_eye_outer
left_ear        left_eye_outer  torso     left_ear
right_ear       right_eye_outer torso     right_ear
left_mouth      nose            torso     mouth_left
right_mouth     nose            torso     mouth_right
left_shoulder   nose            left_arm  left_shoulder
right_shoulder  nose            right_arm right_shoulder
left_elbow      left_shoulder   left_arm  left_elbow
right_elbow     right_shoulder  right_arm right_elbow
left_wrist      left_elbow      left_arm  left_wrist
right_wrist     right_elbow     right_arm right_wrist
left_pinky_1    left_wrist      left_arm  left_pinky
right_pinky_1   right_wrist     right_arm right_pinky
left_index_1    left_wrist      left_arm  left_index
right_index_1   right_wrist     right_arm right_index
left_thumb_2    left_wrist      left_arm  left_thumb
right_thumb_2   right_wrist     right_arm right_thumb
left_hip        left_shoulder   left_leg  left_hip
right_hip       right_shoulder  right_leg right_hip
left_knee       left_hip        left_leg  left_knee
right_knee      right_hip       right_leg right_knee
left_ankle      left_knee       left_leg  left_ankle
right_ankle     right_knee      right_leg right_ankle
left_heel       left_ankle      left_leg  left_heel
right_heel      right_ankle     right_leg right_heel
left_foot       left_ankle      left_leg  left_foot_index
right_foot      right_ankle     right_leg right_foot_index
""",
)

ADAPTER = Adapter(
    LAYOUT,
    converts="world landmarks: metres about the middle of the hips; x right, y down, z forward; visibility 0 to 1",
    confidence=share_of(1.0, LAYOUT),
    state=float,
    units="m",
    axes="image",
)

_DOOR = ADAPTER.converter()


def convert(time: float, world: Any, visibility: Sequence[Sequence[Any]] | None = None) -> Frame:
    """World landmarks of one picture.

    Args:
        time: seconds on the host's clock.
        world: (M, 33, 3) world landmarks.
        visibility: (M, 33) in 0..1; None counts every landmark as seen.

    Raises:
        RefusedFrame: another number of landmarks, or a visibility outside 0..1.
    """
    return _DOOR.frame(time, world, visibility)


def pixels_of(image: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
    """(..., 2) pixels, the first one's centre at (0, 0), of (..., 2 or 3) image landmarks, which are shares of the picture."""
    pixels: NDArray[np.float64] = image[..., :2] * (width, height) - 0.5
    return pixels


def placed(
    world: NDArray[np.float64], pixels: NDArray[np.float64], visibility: NDArray[np.float64], camera: Intrinsics
) -> NDArray[np.float64]:
    """World landmarks moved to where the persons stand before the camera.

    A person's distance follows from the size in the picture, so it is as right as the model's idea of the body's size: a
    child that is taken for an adult stands too far away.

    Args:
        world: (M, 33, 3) world landmarks.
        pixels: (M, 33, 2), see :func:`pixels_of`.
        visibility: (M, 33), weighs the landmarks.

    Returns:
        (M, 33, 3) in the camera's axes; NaN for a person whose place cannot be told.
    """
    moved = np.full(world.shape, np.nan)
    for person in range(len(world)):
        where = place(world[person], pixels[person], visibility[person], camera)
        if where is not None:
            moved[person] = world[person] + where
    return moved
