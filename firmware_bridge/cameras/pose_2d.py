"""2-D poses and an aligned depth image become joints in space: RealSense, OAK, Orbbec, and every other depth camera.

From pixels of COCO-17, COCO-WholeBody-133 or MediaPipe's image landmarks, and the depth image that belongs to the same
picture: the depth of each joint (:func:`~firmware_bridge.cameras.pinhole.depth_at`) along the ray through its pixel. What
is measured is the body's *surface* towards the camera; the joint itself lies a few centimetres deeper.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.coordinates import axes_matrix
from edgeskel.skeleton import Frame, Topology
from firmware_bridge.cameras.convert import RefusedFrame
from firmware_bridge.cameras.pinhole import Intrinsics, deproject, depth_at

__all__ = ["convert"]

_MATRIX = axes_matrix("image")


def convert(
    time: float,
    pixels: Any,
    scores: Any,
    depth: NDArray[Any],
    camera: Intrinsics,
    topology: Topology,
    *,
    scale: float = 0.001,
) -> Frame:
    """Persons of one picture.

    Args:
        time: seconds on the host's clock.
        pixels: (M, V, 2), the first pixel's centre at (0, 0).
        scores: (M, V); above 1 (as some pose models give) counts as 1, below 0 and NaN as 0.
        depth: (H, W) depth image aligned with the picture; 0 is not measured.
        camera: the picture's intrinsics.
        topology: the layout of the V joints.
        scale: metres of one unit of ``depth``.

    Returns:
        a frame in the camera's place, our axes; a joint without a depth is missing.

    Raises:
        RefusedFrame: another number of joints, or arrays that do not belong together.
    """
    size = len(topology.joints)
    points = np.asarray(pixels, np.float64)
    certain = np.asarray(scores, np.float64)
    if points.size == 0:
        points, certain = points.reshape(0, size, 2), certain.reshape(0, size)
    if points.shape[1:] != (size, 2) or certain.shape != points.shape[:2]:
        raise RefusedFrame(
            "joints",
            f"pixels of shape {points.shape} with scores of shape {certain.shape}",
            expected=f"(persons, {size}, 2) and (persons, {size}), the joints of {topology.name}",
            remedy="check that the pose model has this layout",
        )
    if depth.ndim != 2:
        raise RefusedFrame("depth", f"a depth image of shape {depth.shape}", expected="(height, width)")
    certain = np.nan_to_num(certain, nan=0.0).clip(0.0, 1.0)
    distance = depth_at(depth, points, scale=scale)
    seen = np.isfinite(distance) & (certain > 0)
    points = np.where(seen[..., None], points, 0.0)
    joints = deproject(points, np.where(seen, distance, 0.0), camera) @ _MATRIX.T
    return Frame(time, joints.astype(np.float32), np.where(seen, certain, 0.0).astype(np.float32))
