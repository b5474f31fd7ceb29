"""COCO person keypoints, 17 joints, in 3-D.

COCO itself is a layout of *pictures*. Its joints become points either here, where the sender already has them in space
(units and axes are then the sender's and have to be stated) or has a depth for each pixel, or in
:mod:`~firmware_bridge.cameras.pose_2d`, where a depth image is at hand. Confidence is a score of 0 to 1.

Left and right are the person's own. Whether persons keep their order is the pose model's business; most do not.
"""

from __future__ import annotations

from edgeskel.skeleton import Topology
from firmware_bridge.cameras.convert import Adapter, share_of
from firmware_bridge.cameras.layouts import layout

__all__ = ["ADAPTER", "JOINTS", "LAYOUT", "adapter_of"]

JOINTS = """
nose           -              torso
left_eye       nose           torso
right_eye      nose           torso
left_ear       left_eye       torso
right_ear      right_eye      torso
left_shoulder  nose           left_arm
right_shoulder nose           right_arm
left_elbow     left_shoulder  left_arm
right_elbow    right_shoulder right_arm
left_wrist     left_elbow     left_arm
right_wrist    right_elbow    right_arm
left_hip       left_shoulder  left_leg
right_hip      right_shoulder right_leg
left_knee      left_hip       left_leg
right_knee     right_hip      right_leg
left_ankle     left_knee      left_leg
right_ankle    right_knee     right_leg"""
"""The 17 joints, with which every layout of COCO begins."""

LAYOUT = layout("coco-17", JOINTS)


def adapter_of(of: Topology) -> Adapter:
    """The adapter of one of COCO's layouts: they differ in their joints only."""
    return Adapter(of, converts="points in stated units and axes, or (u, v, depth) with stated intrinsics; scores 0 to 1",
                   confidence=share_of(1.0, of), state=float)


ADAPTER = adapter_of(LAYOUT)
