"""COCO-WholeBody, 133 joints (17 body, 6 feet, 68 face, 2 x 21 hand), in 3-D; everything else as in ``coco_17``.

Jin et al., "Whole-Body Human Pose Estimation in the Wild", ECCV 2020.
"""

from __future__ import annotations

from firmware_bridge.cameras.coco_17 import JOINTS, adapter_of
from firmware_bridge.cameras.layouts import layout

__all__ = ["ADAPTER", "LAYOUT"]

LAYOUT = layout(
    "coco-wholebody-133",
    JOINTS + """
left_big_toe          left_ankle            left_leg
left_small_toe        left_big_toe          left_leg
left_heel             left_ankle            left_leg
right_big_toe         right_ankle           right_leg
right_small_toe       right_big_toe         right_leg
right_heel            right_ankle           right_leg
right_jaw_0           right_jaw_1           torso
right_jaw_1           right_jaw_2           torso
right_jaw_2           right_jaw_3           torso
right_jaw_3           right_jaw_4           torso
right_jaw_4           right_jaw_5           torso
right_jaw_5           right_jaw_6           torso
right_jaw_6           right_jaw_7           torso
right_jaw_7           chin                  torso
chin                  mouth_bottom          torso
left_jaw_7            chin                  torso
left_jaw_6            left_jaw_7            torso
left_jaw_5            left_jaw_6            torso
left_jaw_4            left_jaw_5            torso
left_jaw_3            left_jaw_4            torso
left_jaw_2            left_jaw_3            torso
left_jaw_1            left_jaw_2            torso
left_jaw_0            left_jaw_1            torso
right_brow_0          right_brow_1          torso
right_brow_1          right_brow_2          torso
right_brow_2          right_brow_3          torso
right_brow_3          right_brow_4          torso
right_brow_4          nose_bridge_0         torso
left_brow_4           nose_bridge_0         torso
left_brow_3           left_brow_4           torso
left_brow_2           left_brow_3           torso
left_brow_1           left_brow_2           torso
left_brow_0           left_brow_1           torso
nose_bridge_0         nose                  torso
nose_bridge_1         nose_bridge_0         torso
nose_bridge_2         nose_bridge_1         torso
nose_bridge_3         nose_bridge_2         torso
right_nostril_0       right_nostril_1       torso
right_nostril_1       nose_base             torso
nose_base             nose_bridge_3         torso
left_nostril_1        nose_base             torso
left_nostril_0        left_nostril_1        torso
right_eye_outer       right_eye             torso
right_eye_upper_outer right_eye_outer       torso
right_eye_upper_inner right_eye_upper_outer torso
right_eye_inner       right_eye_upper_inner torso
right_eye_lower_inner right_eye_inner       torso
right_eye_lower_outer right_eye_lower_inner torso
left_eye_inner        left_eye_upper_inner  torso
left_eye_upper_inner  left_eye_upper_outer  torso
left_eye_upper_outer  left_eye_outer        torso
left_eye_outer        left_eye              torso
left_eye_lower_outer  left_eye_lower_inner  torso
left_eye_lower_inner  left_eye_inner        torso
right_mouth           right_lip_upper_0     torso
right_lip_upper_0     right_lip_upper_1     torso
right_lip_upper_1     mouth_top             torso
mouth_top             nose_base             torso
left_lip_upper_1      mouth_top             torso
left_lip_upper_0      left_lip_upper_1      torso
left_mouth            left_lip_upper_0      torso
left_lip_lower_0      left_lip_lower_1      torso
left_lip_lower_1      mouth_bottom          torso
mouth_bottom          inner_mouth_bottom    torso
right_lip_lower_1     mouth_bottom          torso
right_lip_lower_0     right_lip_lower_1     torso
right_inner_mouth     right_inner_lip_upper torso
right_inner_lip_upper inner_mouth_top       torso
inner_mouth_top       mouth_top             torso
left_inner_lip_upper  inner_mouth_top       torso
left_inner_mouth      left_inner_lip_upper  torso
left_inner_lip_lower  inner_mouth_bottom    torso
inner_mouth_bottom    inner_mouth_top       torso
right_inner_lip_lower inner_mouth_bottom    torso
left_hand_root        left_wrist            left_arm
left_thumb_1          left_hand_root        left_arm
left_thumb_2          left_thumb_1          left_arm
left_thumb_3          left_thumb_2          left_arm
left_thumb_4          left_thumb_3          left_arm
left_index_1          left_hand_root        left_arm
left_index_2          left_index_1          left_arm
left_index_3          left_index_2          left_arm
left_index_4          left_index_3          left_arm
left_middle_1         left_hand_root        left_arm
left_middle_2         left_middle_1         left_arm
left_middle_3         left_middle_2         left_arm
left_middle_4         left_middle_3         left_arm
left_ring_1           left_hand_root        left_arm
left_ring_2           left_ring_1           left_arm
left_ring_3           left_ring_2           left_arm
left_ring_4           left_ring_3           left_arm
left_pinky_1          left_hand_root        left_arm
left_pinky_2          left_pinky_1          left_arm
left_pinky_3          left_pinky_2          left_arm
left_pinky_4          left_pinky_3          left_arm
right_hand_root       right_wrist           right_arm
right_thumb_1         right_hand_root       right_arm
right_thumb_2         right_thumb_1         right_arm
right_thumb_3         right_thumb_2         right_arm
right_thumb_4         right_thumb_3         right_arm
right_index_1         right_hand_root       right_arm
right_index_2         right_index_1         right_arm
right_index_3         right_index_2         right_arm
right_index_4         right_index_3         right_arm
right_middle_1        right_hand_root       right_arm
right_middle_2        right_middle_1        right_arm
right_middle_3        right_middle_2        right_arm
right_middle_4        right_middle_3        right_arm
right_ring_1          right_hand_root       right_arm
right_ring_2          right_ring_1          right_arm
right_ring_3          right_ring_2          right_arm
right_ring_4          right_ring_3          right_arm
right_pinky_1         right_hand_root       right_arm
right_pinky_2         right_pinky_1         right_arm
right_pinky_3         right_pinky_2         right_arm
right_pinky_4         right_pinky_3         right_arm
""",
)

ADAPTER = adapter_of(LAYOUT)
