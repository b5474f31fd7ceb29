"""ZED SDK body tracking: BODY_18, BODY_34 and BODY_38.

Units and axes are what the application set (``InitParameters.coordinate_units`` and ``coordinate_system``), and nothing
in the numbers tells them, so both have to be stated. A joint that is not seen is NaN; ``keypoint_confidence`` runs from 0
to 100. Bodies have ids that the SDK keeps while tracking is on; send those whose ``tracking_state`` is OK, as the others
are predicted.

Left and right are the person's own, by the SDK's ``BODY_38_PARTS``: even numbers from 6 on are left. Viewers that mirror
the picture come with a table that swaps them; a raised left hand has to move ``left_wrist``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgeskel.errors import UnknownChoice
from edgeskel.skeleton import Frame, Topology
from firmware_bridge.cameras.convert import Adapter, ConversionSettings, share_of
from firmware_bridge.cameras.layouts import layout

__all__ = ["ADAPTER_18", "ADAPTER_34", "ADAPTER_38", "LAYOUT_18", "LAYOUT_34", "LAYOUT_38", "convert"]

LAYOUT_18 = layout(
    "zed-18",
    """
nose           neck           torso     NOSE
neck           -              torso     NECK
right_shoulder neck           right_arm RIGHT_SHOULDER
right_elbow    right_shoulder right_arm RIGHT_ELBOW
right_wrist    right_elbow    right_arm RIGHT_WRIST
left_shoulder  neck           left_arm  LEFT_SHOULDER
left_elbow     left_shoulder  left_arm  LEFT_ELBOW
left_wrist     left_elbow     left_arm  LEFT_WRIST
right_hip      neck           right_leg RIGHT_HIP
right_knee     right_hip      right_leg RIGHT_KNEE
right_ankle    right_knee     right_leg RIGHT_ANKLE
left_hip       neck           left_leg  LEFT_HIP
left_knee      left_hip       left_leg  LEFT_KNEE
left_ankle     left_knee      left_leg  LEFT_ANKLE
right_eye      nose           torso     RIGHT_EYE
left_eye       nose           torso     LEFT_EYE
right_ear      right_eye      torso     RIGHT_EAR
left_ear       left_eye       torso     LEFT_EAR
""",
)

LAYOUT_34 = layout(
    "zed-34",
    """
pelvis         -              torso     PELVIS
spine          pelvis         torso     NAVAL_SPINE
chest          spine          torso     CHEST_SPINE
neck           chest          torso     NECK
left_collar    chest          left_arm  LEFT_CLAVICLE
left_shoulder  left_collar    left_arm  LEFT_SHOULDER
left_elbow     left_shoulder  left_arm  LEFT_ELBOW
left_wrist     left_elbow     left_arm  LEFT_WRIST
left_hand      left_wrist     left_arm  LEFT_HAND
left_hand_tip  left_hand      left_arm  LEFT_HANDTIP
left_thumb     left_wrist     left_arm  LEFT_THUMB
right_collar   chest          right_arm RIGHT_CLAVICLE
right_shoulder right_collar   right_arm RIGHT_SHOULDER
right_elbow    right_shoulder right_arm RIGHT_ELBOW
right_wrist    right_elbow    right_arm RIGHT_WRIST
right_hand     right_wrist    right_arm RIGHT_HAND
right_hand_tip right_hand     right_arm RIGHT_HANDTIP
right_thumb    right_wrist    right_arm RIGHT_THUMB
left_hip       pelvis         left_leg  LEFT_HIP
left_knee      left_hip       left_leg  LEFT_KNEE
left_ankle     left_knee      left_leg  LEFT_ANKLE
left_foot      left_ankle     left_leg  LEFT_FOOT
right_hip      pelvis         right_leg RIGHT_HIP
right_knee     right_hip      right_leg RIGHT_KNEE
right_ankle    right_knee     right_leg RIGHT_ANKLE
right_foot     right_ankle    right_leg RIGHT_FOOT
head           neck           torso     HEAD
nose           head           torso     NOSE
left_eye       nose           torso     LEFT_EYE
left_ear       left_eye       torso     LEFT_EAR
right_eye      nose           torso     RIGHT_EYE
right_ear      right_eye      torso     RIGHT_EAR
left_heel      left_ankle     left_leg  LEFT_HEEL
right_heel     right_ankle    right_leg RIGHT_HEEL
""",
)

LAYOUT_38 = layout(
    "zed-38",
    """
pelvis          -              torso     PELVIS
spine_low       pelvis         torso     SPINE_1
spine           spine_low      torso     SPINE_2
chest           spine          torso     SPINE_3
neck            chest          torso     NECK
nose            neck           torso     NOSE
left_eye        nose           torso     LEFT_EYE
right_eye       nose           torso     RIGHT_EYE
left_ear        left_eye       torso     LEFT_EAR
right_ear       right_eye      torso     RIGHT_EAR
left_collar     chest          left_arm  LEFT_CLAVICLE
right_collar    chest          right_arm RIGHT_CLAVICLE
left_shoulder   left_collar    left_arm  LEFT_SHOULDER
right_shoulder  right_collar   right_arm RIGHT_SHOULDER
left_elbow      left_shoulder  left_arm  LEFT_ELBOW
right_elbow     right_shoulder right_arm RIGHT_ELBOW
left_wrist      left_elbow     left_arm  LEFT_WRIST
right_wrist     right_elbow    right_arm RIGHT_WRIST
left_hip        pelvis         left_leg  LEFT_HIP
right_hip       pelvis         right_leg RIGHT_HIP
left_knee       left_hip       left_leg  LEFT_KNEE
right_knee      right_hip      right_leg RIGHT_KNEE
left_ankle      left_knee      left_leg  LEFT_ANKLE
right_ankle     right_knee     right_leg RIGHT_ANKLE
left_big_toe    left_ankle     left_leg  LEFT_BIG_TOE
right_big_toe   right_ankle    right_leg RIGHT_BIG_TOE
left_small_toe  left_ankle     left_leg  LEFT_SMALL_TOE
right_small_toe right_ankle    right_leg RIGHT_SMALL_TOE
left_heel       left_ankle     left_leg  LEFT_HEEL
right_heel      right_ankle    right_leg RIGHT_HEEL
left_thumb_4    left_wrist     left_arm  LEFT_HAND_THUMB_4
right_thumb_4   right_wrist    right_arm RIGHT_HAND_THUMB_4
left_index_1    left_wrist     left_arm  LEFT_HAND_INDEX_1
right_index_1   right_wrist    right_arm RIGHT_HAND_INDEX_1
left_middle_4   left_wrist     left_arm  LEFT_HAND_MIDDLE_4
right_middle_4  right_wrist    right_arm RIGHT_HAND_MIDDLE_4
left_pinky_1    left_wrist     left_arm  LEFT_HAND_PINKY_1
right_pinky_1   right_wrist    right_arm RIGHT_HAND_PINKY_1
""",
)


def _adapter(topology: Topology) -> Adapter:
    return Adapter(
        topology,
        converts="stated units and axes; keypoint confidence 0 to 100; NaN is missing",
        confidence=share_of(100.0, topology),
        state=lambda confidence: 100.0 * confidence,
        nan_is_missing=True,
    )


ADAPTER_18, ADAPTER_34, ADAPTER_38 = _adapter(LAYOUT_18), _adapter(LAYOUT_34), _adapter(LAYOUT_38)
_BY_SIZE = {"18": ADAPTER_18, "34": ADAPTER_34, "38": ADAPTER_38}


def convert(
    time: float, keypoints: Any, confidence: Sequence[Sequence[float]] | None = None, *, units: str, axes: str
) -> Frame:
    """Bodies of one grab.

    Args:
        time: seconds on the host's clock.
        keypoints: (M, 18, 34 or 38, 3), as ``BodyData.keypoint`` holds them.
        confidence: (M, V) ``BodyData.keypoint_confidence``, 0 to 100.
        units: ``coordinate_units``, e.g. ``"METER"``.
        axes: ``coordinate_system``, e.g. ``"RIGHT_HANDED_Y_UP"``.

    Raises:
        UnknownChoice: another number of keypoints, or no such unit.
        UsageError: no such axes.
        RefusedFrame: a confidence outside 0..100.
    """
    size = str(len(keypoints[0]) if len(keypoints) else 38)
    if size not in _BY_SIZE:
        raise UnknownChoice("number of ZED keypoints", size, _BY_SIZE)
    return _BY_SIZE[size].converter(ConversionSettings(units, axes)).frame(time, keypoints, confidence)
