"""Makers' units and axes, and the numbers that bring them into ours.

Ours are metres, right-handed, y up; seen from the camera x points left, y up and z forward, into the scene. A camera
that looks down tilts with its axes: "up" is the camera's, not gravity's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import UnknownChoice, UsageError

__all__ = ["AXES", "METRES", "axes_matrix", "metres_of"]

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}
"""Unit -> metres. The international inch and foot."""

_MAKERS_UNITS = {"meter": "m", "centimeter": "cm", "millimeter": "mm", "inch": "in", "foot": "ft"}

AXES = {
    "image": ("right,down,forward", "right"),
    "left_handed_y_up": ("right,up,forward", "left"),
    "right_handed_y_up": ("right,up,backward", "right"),
    "right_handed_z_up": ("right,forward,up", "right"),
    "left_handed_z_up": ("forward,right,up", "left"),
    "right_handed_z_up_x_fwd": ("forward,left,up", "right"),
}
"""The names that the ZED SDK has for axes -> (directions of x, y and z as the camera sees them, handedness)."""

_OURS = {
    "left": (1, 0, 0),
    "right": (-1, 0, 0),
    "up": (0, 1, 0),
    "down": (0, -1, 0),
    "forward": (0, 0, 1),
    "backward": (0, 0, -1),
}


def metres_of(units: str) -> float:
    """How many metres one unit is; the ZED SDK's names (``METER``) are known too.

    Raises:
        UnknownChoice: no such unit.
    """
    name = _MAKERS_UNITS.get(units.lower(), units.lower())
    if name not in METRES:
        raise UnknownChoice("unit", units, [*METRES, *_MAKERS_UNITS])
    return METRES[name]


def axes_matrix(axes: str, handedness: str | None = None) -> NDArray[np.float64]:
    """(3, 3) orthogonal matrix: ``ours = matrix @ theirs``. Its determinant is -1 where theirs are left-handed.

    Args:
        axes: a name of :data:`AXES`, or the directions of x, y and z as the camera sees them: ``"right,down,forward"``.
        handedness: ``"left"`` or ``"right"``. One wrong word in the directions would mirror every body and swap left
            and right, so directions that are left-handed have to be called so here as well.

    Raises:
        UsageError: a direction is missing, unknown or there twice, or directions and handedness disagree.
    """
    directions, known = AXES.get(axes.lower(), (axes.lower(), None))
    words = [word.strip() for word in directions.split(",")]
    expected = f"one of {', '.join(AXES)}, or three directions such as right,down,forward"
    if len(words) != 3 or any(word not in _OURS for word in words):
        raise UsageError(f"axes {axes!r}", expected=expected)
    matrix = np.array([_OURS[word] for word in words], np.float64).T
    determinant = round(float(np.linalg.det(matrix)))
    if determinant == 0:
        raise UsageError(f"axes {axes!r} point two axes along one line", expected=expected)
    if handedness not in (None, "left", "right"):
        raise UsageError(f"handedness {handedness!r}", expected="left or right")
    found = "right" if determinant > 0 else "left"
    if found != (handedness or known or "right"):
        raise UsageError(
            f"axes {axes!r} are {found}-handed",
            expected=f"{handedness or known or 'right'}-handed ones",
            remedy=f"correct the directions, or add handedness={found} if the camera's axes really are",
        )
    return matrix
