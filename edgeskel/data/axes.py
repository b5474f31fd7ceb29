"""What a recording's axes mean, in words, and the matrix that brings them into ours.

Ours are right-handed with y up; seen from the camera, x points left, y up and z forward (into the scene), as Kinect has
it. A recording without a camera takes any fixed viewer for it.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import UsageError

__all__ = ["axes_matrix"]

OURS = {"left": (1, 0, 0), "right": (-1, 0, 0), "up": (0, 1, 0), "down": (0, -1, 0), "forward": (0, 0, 1),
        "backward": (0, 0, -1)}
EXAMPLE = '"x right, y down, z forward" (a camera image with depth) or "x forward, y left, z up" (ROS)'


def axes_matrix(description: str, handedness: str = "right") -> NDArray[np.float64]:
    """The matrix that turns recorded coordinates into ours: ``ours = matrix @ recorded``.

    Directions are the viewer's. A description can be left-handed by mistake (one wrong word mirrors every body and
    swaps left and right), so that has to be said twice: in the words and in ``handedness``.

    Args:
        description: a direction for each axis, e.g. ``"x right, y down, z forward"``.
        handedness: ``"right"`` or ``"left"``.

    Raises:
        UsageError: an axis or a direction is missing, used twice or unknown, or the words give the other handedness.
    """
    words = [part.split() for part in re.split(r"[,;]", description.lower()) if part.strip()]
    if any(len(pair) != 2 for pair in words) or sorted(pair[0] for pair in words) != ["x", "y", "z"]:
        raise UsageError(f"axes {description!r}", expected=f"one direction for each of x, y and z, such as {EXAMPLE}")
    unknown = [direction for _, direction in words if direction not in OURS]
    if unknown:
        raise UsageError(f"direction {unknown[0]!r} in axes {description!r}", expected=f"one of {', '.join(OURS)}")
    if handedness not in ("right", "left"):
        raise UsageError(f"handedness {handedness!r}", expected="right or left")
    matrix = np.array([OURS[direction] for _, direction in sorted(words)], np.float64).T
    determinant = round(float(np.linalg.det(matrix)))
    if determinant == 0:
        raise UsageError(f"axes {description!r} point two axes along one line",
                         expected=f"left or right, up or down, forward or backward, once each, such as {EXAMPLE}")
    found = "right" if determinant > 0 else "left"
    if found != handedness:
        raise UsageError(
            f"axes {description!r} are {found}-handed, and handedness is {handedness!r}", expected="the two to agree",
            remedy=f'correct the directions, or add handedness = "{found}" if the recordings really are')
    return matrix
