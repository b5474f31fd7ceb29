"""Azure Kinect Body Tracking SDK: 32 joints in the order of ``k4abt_joint_id_t``.

From millimetres in the depth camera's axes, x right, y down, z forward (Microsoft, "Azure Kinect body tracking joints"
and "Azure Kinect DK coordinate systems"). The depth camera itself is tilted 6 degrees down inside its housing.

``k4abt_joint_confidence_level_t``: none is out of range and so missing; low is a guess about a hidden joint, as sure as
Kinect v2's "inferred"; medium is the most that the SDK gives ("high" is reserved), so it counts as certain.

Bodies have ids that the SDK keeps from frame to frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgeskel.skeleton import Frame
from firmware_bridge.cameras.convert import Adapter, states_of
from firmware_bridge.cameras.layouts import layout

__all__ = ["ADAPTER", "LAYOUT", "convert"]

LAYOUT = layout(
    "azure-kinect",
    """
pelvis         -              torso     PELVIS
spine          pelvis         torso     SPINE_NAVEL
chest          spine          torso     SPINE_CHEST
neck           chest          torso     NECK
left_collar    chest          left_arm  CLAVICLE_LEFT
left_shoulder  left_collar    left_arm  SHOULDER_LEFT
left_elbow     left_shoulder  left_arm  ELBOW_LEFT
left_wrist     left_elbow     left_arm  WRIST_LEFT
left_hand      left_wrist     left_arm  HAND_LEFT
left_hand_tip  left_hand      left_arm  HANDTIP_LEFT
left_thumb     left_wrist     left_arm  THUMB_LEFT
right_collar   chest          right_arm CLAVICLE_RIGHT
right_shoulder right_collar   right_arm SHOULDER_RIGHT
right_elbow    right_shoulder right_arm ELBOW_RIGHT
right_wrist    right_elbow    right_arm WRIST_RIGHT
right_hand     right_wrist    right_arm HAND_RIGHT
right_hand_tip right_hand     right_arm HANDTIP_RIGHT
right_thumb    right_wrist    right_arm THUMB_RIGHT
left_hip       pelvis         left_leg  HIP_LEFT
left_knee      left_hip       left_leg  KNEE_LEFT
left_ankle     left_knee      left_leg  ANKLE_LEFT
left_foot      left_ankle     left_leg  FOOT_LEFT
right_hip      pelvis         right_leg HIP_RIGHT
right_knee     right_hip      right_leg KNEE_RIGHT
right_ankle    right_knee     right_leg ANKLE_RIGHT
right_foot     right_ankle    right_leg FOOT_RIGHT
head           neck           torso     HEAD
nose           head           torso     NOSE
left_eye       head           torso     EYE_LEFT
left_ear       head           torso     EAR_LEFT
right_eye      head           torso     EYE_RIGHT
right_ear      head           torso     EAR_RIGHT
""",
)

LEVELS: dict[int | str, float] = {0: 0.0, 1: 0.5, 2: 1.0, 3: 1.0, "NONE": 0.0, "LOW": 0.5, "MEDIUM": 1.0, "HIGH": 1.0}

ADAPTER = Adapter(
    LAYOUT,
    converts="millimetres; x right, y down, z forward; confidence levels 0 none, 1 low, 2 medium, 3 high",
    confidence=states_of(LEVELS, LAYOUT),
    state=lambda confidence: 0 if confidence <= 0 else 1 if confidence < 0.75 else 2,
    units="mm",
    axes="image",
)

_DOOR = ADAPTER.converter()


def convert(time: float, positions: Any, levels: Sequence[Sequence[Any]] | None = None) -> Frame:
    """Bodies of one capture.

    Args:
        time: seconds on the host's clock.
        positions: (M, 32, 3) millimetres, as ``k4abt_skeleton_t`` holds them.
        levels: (M, 32) confidence levels, 0 to 3 or their names; None where the sender has none.

    Raises:
        RefusedFrame: another number of joints, or a level that there is not.
    """
    return _DOOR.frame(time, positions, levels)
