"""Kinect for Windows SDK 2.0: 25 joints in the order of ``JointType``; NTU RGB+D has the same.

From metres in camera space: x to the sensor's left, y up, z where the sensor looks (Microsoft, "CameraSpacePoint
structure"). Those are our axes, so nothing turns. A sensor that faces a person has the person's left on its right: a
left hand has the smaller x.

``TrackingState``: 0 not tracked is missing, 1 inferred is calculated from other joints, 2 tracked.

Bodies have tracking ids that the SDK keeps from frame to frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgeskel.skeleton import Frame
from firmware_bridge.cameras.convert import Adapter, states_of
from firmware_bridge.cameras.layouts import layout

__all__ = ["ADAPTER", "LAYOUT", "convert"]

LAYOUT = layout(
    "kinect-v2",
    """
pelvis         -              torso     SpineBase
spine          pelvis         torso     SpineMid
neck           chest          torso     Neck
head           neck           torso     Head
left_shoulder  chest          left_arm  ShoulderLeft
left_elbow     left_shoulder  left_arm  ElbowLeft
left_wrist     left_elbow     left_arm  WristLeft
left_hand      left_wrist     left_arm  HandLeft
right_shoulder chest          right_arm ShoulderRight
right_elbow    right_shoulder right_arm ElbowRight
right_wrist    right_elbow    right_arm WristRight
right_hand     right_wrist    right_arm HandRight
left_hip       pelvis         left_leg  HipLeft
left_knee      left_hip       left_leg  KneeLeft
left_ankle     left_knee      left_leg  AnkleLeft
left_foot      left_ankle     left_leg  FootLeft
right_hip      pelvis         right_leg HipRight
right_knee     right_hip      right_leg KneeRight
right_ankle    right_knee     right_leg AnkleRight
right_foot     right_ankle    right_leg FootRight
chest          spine          torso     SpineShoulder
left_hand_tip  left_hand      left_arm  HandTipLeft
left_thumb     left_wrist     left_arm  ThumbLeft
right_hand_tip right_hand     right_arm HandTipRight
right_thumb    right_wrist    right_arm ThumbRight
""",
)

STATES: dict[int | str, float] = {0: 0.0, 1: 0.5, 2: 1.0, "NotTracked": 0.0, "Inferred": 0.5, "Tracked": 1.0}

ADAPTER = Adapter(
    LAYOUT,
    converts="metres; x left, y up, z forward; tracking states 0 not tracked, 1 inferred, 2 tracked",
    confidence=states_of(STATES, LAYOUT),
    state=lambda confidence: 0 if confidence <= 0 else 1 if confidence < 0.75 else 2,
    units="m",
    axes="left,up,forward",
)

_DOOR = ADAPTER.converter()


def convert(time: float, positions: Any, states: Sequence[Sequence[Any]] | None = None) -> Frame:
    """Bodies of one frame.

    Args:
        time: seconds on the host's clock.
        positions: (M, 25, 3) metres of camera space.
        states: (M, 25) tracking states, 0 to 2 or their names; None where the sender has none.

    Raises:
        RefusedFrame: another number of joints, or a state that there is not.
    """
    return _DOOR.frame(time, positions, states)
