"""Poses that are not in space: two coordinates, pixels, shares of a picture.

Axes: M persons, T frames, V joints.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import CorruptFile
from edgeskel.skeleton import Topology

__all__ = ["IN_SPACE", "refuse_flat"]

IN_SPACE = "joints in space: three coordinates in metres, millimetres or the like"
REMEDY = ("2-D poses cannot be imported: use a depth camera's joints, a 3-D pose model, or MediaPipe's world landmarks "
          "(docs/recordings.md)")
TOGETHER = 0.03  # of a picture: how near to its middle the origin of world landmarks lies


def refuse_flat(joints: NDArray[Any], topology: Topology, file: Path) -> None:
    """Refuse what cannot be bodies in space, whatever unit it is said to be in.

    Args:
        joints: (M, T, V, 3) as the file has them.
        topology: their layout.
        file: for the message.

    Raises:
        CorruptFile: all joints lie in one plane, the third coordinate is a score beside pixels, or the coordinates are
            shares of a picture.
    """
    points = joints[np.isfinite(joints).all(axis=-1) & (joints != 0).any(axis=-1)]
    if len(points) < 3 or joints.shape[2] < 3:
        return
    spans = np.ptp(points, axis=0)
    for axis, name in enumerate("xyz"):
        others = [other for other in range(3) if other != axis]
        if spans[axis] <= 1e-9 * max(spans.max(), 1e-9) and spans[others].min() > 0:
            raise CorruptFile(file, f"{name} is {points[0, axis]:g} in every joint of every frame: flat, 2-D poses",
                              expected=IN_SPACE, remedy=REMEDY)
    third = points[:, 2]
    if third.min() >= 0 and third.max() <= 1 and spans[:2].min() > 30 * max(spans[2], 0.1):
        raise CorruptFile(file, f"x and y go up to {points[:, :2].max():.4g} and z from {third.min():.3g} to {third.max():.3g}: "
                          "pixels with a score, 2-D poses", expected=IN_SPACE, remedy=REMEDY)
    if _of_a_picture(joints, topology):
        raise CorruptFile(file, "x and y are shares of a picture, with the depth about the hips: picture landmarks, 2-D poses",
                          expected="world landmarks, in metres about the middle of the hips", remedy=REMEDY)


def _of_a_picture(joints: NDArray[Any], topology: Topology) -> bool:
    """Picture landmarks (MediaPipe's): x and y are shares of the picture, z counts from the hips' middle."""
    if not {"left_hip", "right_hip"} <= set(topology.joints):
        return False
    hips = joints[..., [topology.index("left_hip"), topology.index("right_hip")], :]
    hips = hips[np.isfinite(hips).all(axis=(-1, -2)) & (hips != 0).any(axis=(-1, -2))].mean(axis=1)
    points = joints[np.isfinite(joints).all(axis=-1)]
    if not len(hips):
        return False
    plane = points[:, :2]
    away = np.abs(np.median(hips[:, :2], axis=0)).max() > TOGETHER
    about_hips = float(np.median(np.abs(hips[:, 2]))) < 0.02 * max(float(np.ptp(points[:, 2])), 1e-9)
    shares = ((plane > -0.5) & (plane < 1.5)).all(axis=1).mean() > 0.95
    # A whole body in one metre's square would be a dwarf's; of this layout shares of a picture are what is likely.
    square = topology.name == "mediapipe-33" and ((plane >= 0) & (plane <= 1)).all(axis=1).mean() > 0.95
    return bool(away and shares and (about_hips or square))
