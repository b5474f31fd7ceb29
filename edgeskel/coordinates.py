"""Makers' and recordings' units and axes, and the numbers that bring them into ours.

Ours are metres, right-handed with y up; seen from the camera, x points left, y up and z forward (into the scene), as Kinect has
it. A recording without a camera takes any fixed viewer for it. A camera that looks down tilts with its axes: "up" is the
camera's, not gravity's.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import UnknownChoice, UsageError

__all__ = ["AXES", "METRES", "OURS", "axes_matrix", "metres_of"]

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}
"""Unit -> metres. The international inch and foot."""

_MAKERS_UNITS = {"meter": "m", "centimeter": "cm", "millimeter": "mm", "inch": "in", "foot": "ft"}

OURS = {"left": (1, 0, 0), "right": (-1, 0, 0), "up": (0, 1, 0), "down": (0, -1, 0), "forward": (0, 0, 1),
        "backward": (0, 0, -1)}

AXES = {
    "image": ("right,down,forward", "right"),
    "left_handed_y_up": ("right,up,forward", "left"),
    "right_handed_y_up": ("right,up,backward", "right"),
    "right_handed_z_up": ("right,forward,up", "right"),
    "left_handed_z_up": ("forward,right,up", "left"),
    "right_handed_z_up_x_fwd": ("forward,left,up", "right"),
}
"""The names that the ZED SDK has for axes -> (directions of x, y and z as the camera sees them, handedness)."""

_EXAMPLE = ('three directions, such as "x right, y down, z forward" or "right,down,forward" (a camera image with depth), "x '
            f'forward, y left, z up" (ROS); or one of {", ".join(AXES)}')


def metres_of(units: str, what: str = "unit") -> float:
    """How many metres one unit is; the ZED SDK's names (``METER``) are known too.

    Args:
        units: its name.
        what: for the message.

    Raises:
        UnknownChoice: no such unit.
    """
    name = _MAKERS_UNITS.get(units.lower(), units.lower())
    if name not in METRES:
        raise UnknownChoice(what, units, [*METRES, *_MAKERS_UNITS])
    return METRES[name]


def axes_matrix(description: str, handedness: str | None = None) -> NDArray[np.float64]:
    """(3, 3) orthogonal matrix: ``ours = matrix @ theirs``. Its determinant is -1 where theirs are left-handed.

    A description can be left-handed by mistake (one wrong word mirrors every body and swaps left and right), so that has to be said
    twice: in the words and in ``handedness``.

    Args:
        description: a direction as the viewer sees it for each axis, ``"x right, y down, z forward"`` in any order, or for x,
            y and z in this order, ``"right,down,forward"``; or a name of :data:`AXES`.
        handedness: ``"right"`` or ``"left"``; that of the name by default, else right.

    Raises:
        UsageError: a direction is missing, unknown or there twice, or words and handedness disagree.
    """
    words, known = AXES.get(description.strip().lower(), (description.lower(), "right"))
    directions = _directions(words)
    if directions is None:
        raise UsageError(f"axes {description!r}", expected=_EXAMPLE)
    unknown = [direction for direction in directions if direction not in OURS]
    if unknown:
        raise UsageError(f"direction {unknown[0]!r} in axes {description!r}", expected=f"one of {', '.join(OURS)}: {_EXAMPLE}")
    matrix = np.array([OURS[direction] for direction in directions], np.float64).T
    determinant = round(float(np.linalg.det(matrix)))
    if determinant == 0:
        raise UsageError(f"axes {description!r} point two axes along one line",
                         expected=f"left or right, up or down, forward or backward, once each: {_EXAMPLE}")
    if handedness not in (None, "left", "right"):
        raise UsageError(f"handedness {handedness!r}", expected="right or left")
    found = "right" if determinant > 0 else "left"
    if found != (handedness or known):
        raise UsageError(f"axes {description!r} are {found}-handed", expected=f"{handedness or known}-handed ones",
                         remedy=f'correct the directions, or say that they really are: handedness = "{found}" in a file,'
                                f" handedness={found} in an address")
    return matrix


def _directions(words: str) -> list[str] | None:
    """Those of x, y and z; None where they are not there."""
    parts = [part.split() for part in re.split(r"[,;]", words)]
    if all(len(part) == 2 for part in parts):
        parts.sort()
        if [part[0] for part in parts] != ["x", "y", "z"]:
            return None
        parts = [part[1:] for part in parts]
    if len(parts) != 3 or any(len(part) != 1 for part in parts):
        return None
    return [part[0] for part in parts]
