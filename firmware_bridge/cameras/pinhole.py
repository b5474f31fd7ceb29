"""From pixels and depth to points: a pinhole camera.

Axes: M persons, V joints, H rows and W columns of an image. Pixels are (u, v) = (column, row) with the centre of the
first pixel at (0, 0), as OpenCV and librealsense count. Points of the camera are x right, y down, z forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import UsageError

__all__ = ["Intrinsics", "depth_at", "deproject", "place", "project"]

Array = NDArray[np.float64]

RADIUS = 3
"""Pixels around a joint whose depth is looked at: 7 x 7, about the width of a wrist at 3 m with f = 600."""
LEAST_SHARE = 0.2
"""Of the window that must have a depth: less is the rim of a hole."""
NEAREST, FARTHEST = 0.1, 20.0
"""Metres that depth cameras of these kinds measure; anything else is a wrong value."""
REACH = 1.3
"""Metres in depth that a joint may lie from the middle of its person: an arm's reach and the body's own depth."""


@dataclass(frozen=True)
class Intrinsics:
    """A camera without distortion.

    Args:
        fx, fy: focal lengths in pixels.
        cx, cy: where the axis meets the image, in pixels.

    Raises:
        UsageError: a focal length that is not above 0, or a value that is no number.
    """

    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.fx, self.fy, self.cx, self.cy]).all() and self.fx > 0 and self.fy > 0):
            raise UsageError(
                f"intrinsics {self.fx:g},{self.fy:g},{self.cx:g},{self.cy:g}",
                expected="fx,fy,cx,cy in pixels, the first two above 0",
            )

    @classmethod
    def parse(cls, text: str) -> Intrinsics:
        """From ``"fx,fy,cx,cy"``. Raises ValueError with what was expected, as options of an address do."""
        try:
            fx, fy, cx, cy = (float(part) for part in text.split(","))
            return cls(fx, fy, cx, cy)
        except (ValueError, UsageError) as error:
            raise ValueError("fx,fy,cx,cy in pixels, for example 615,615,320,240") from error


def deproject(pixels: Array, depth: Array, camera: Intrinsics) -> Array:
    """(..., 3) points from (..., 2) pixels and (...) depth, which is z and not the distance to the camera."""
    x = (pixels[..., 0] - camera.cx) / camera.fx * depth
    y = (pixels[..., 1] - camera.cy) / camera.fy * depth
    return np.stack([x, y, depth], axis=-1)


def project(points: Array, camera: Intrinsics) -> Array:
    """(..., 2) pixels of (..., 3) points in front of the camera: the inverse of :func:`deproject`."""
    return np.stack(
        [
            camera.fx * points[..., 0] / points[..., 2] + camera.cx,
            camera.fy * points[..., 1] / points[..., 2] + camera.cy,
        ],
        axis=-1,
    )


def depth_at(depth: NDArray[Any], pixels: Array, *, scale: float = 1.0, radius: int = RADIUS) -> Array:
    """Depth of each joint; NaN where there is none.

    The lower median of the measured pixels around a joint: it is always the depth of something that is there, never the
    mean of a hand and the wall behind it. Zeros, non-finite values and what lies outside the range of such cameras are
    not measured. A joint that then lies more than an arm's reach before or behind the middle of its person shows the
    background (or somebody in front), and has no depth.

    Args:
        depth: (H, W) depth image aligned with the picture that the pixels are of.
        pixels: (M, V, 2).
        scale: metres of one unit of ``depth``; 0.001 for the usual millimetres.
        radius: of the window, in pixels.

    Returns:
        (M, V) metres.
    """
    height, width = depth.shape
    inside = np.asarray(np.isfinite(pixels).all(axis=-1))
    centre = np.where(inside[..., None], pixels, -1e6).clip(-1e6, 1e6).round().astype(np.int64)  # (M, V, 2)
    inside &= np.asarray(((centre >= 0) & (centre < (width, height))).all(axis=-1))
    steps = np.arange(-radius, radius + 1)
    columns = centre[..., 0, None, None] + steps  # (M, V, 1, K)
    rows = centre[..., 1, None, None] + steps[:, None]  # (M, V, K, 1)
    within = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height) & inside[..., None, None]
    window = depth[rows.clip(0, height - 1), columns.clip(0, width - 1)].astype(np.float64) * scale
    with np.errstate(invalid="ignore"):
        window = np.where(within & (window >= NEAREST) & (window <= FARTHEST), window, np.inf)
    window = np.sort(window.reshape(*pixels.shape[:2], len(steps) ** 2), axis=-1)  # measured ones first
    measured = np.isfinite(window).sum(axis=-1)
    middle = np.take_along_axis(window, np.maximum(measured - 1, 0)[..., None] // 2, axis=-1)[..., 0]
    found = np.where(measured >= LEAST_SHARE * window.shape[-1], middle, np.nan)
    for person in found:  # few persons
        seen = person[np.isfinite(person)]
        if len(seen):
            person[np.abs(person - np.median(seen)) > REACH] = np.nan
    return found


def place(points: Array, pixels: Array, weights: Array, camera: Intrinsics) -> Array | None:
    """Where a body stands whose shape is known about its own origin, by its picture.

    Solves ``project(points + place) = pixels`` for the place; the equations are linear in it, and weighted least squares
    takes all joints.

    Args:
        points: (V, 3) in axes of the camera (x right, y down, z forward), about the body's own origin.
        pixels: (V, 2).
        weights: (V,) at least 0.

    Returns:
        (3,) what to add to ``points``; None where fewer than three joints weigh anything, or the body would stand
        behind the camera.
    """
    used = weights > 0
    if used.sum() < 3:
        return None
    points, pixels, weights = points[used], pixels[used], weights[used]
    slope = (pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy)  # (V, 2) = (x + tx, y + ty) / (z + tz)
    equations = np.zeros((len(points), 2, 3))
    equations[:, 0, 0] = equations[:, 1, 1] = 1.0
    equations[:, :, 2] = -slope
    values = slope * points[:, 2:] - points[:, :2]
    equations *= weights[:, None, None]
    values = values * weights[:, None]
    solved, _, rank, _ = np.linalg.lstsq(equations.reshape(-1, 3), values.reshape(-1), rcond=None)
    if rank < 3 or solved[2] + points[:, 2].min() <= 0:
        return None
    return np.asarray(solved, np.float64)
