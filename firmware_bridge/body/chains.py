"""What each joint's place rests on: the bones from the pelvis to it, and how far their errors add up.

Axes: V joints, P pieces.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.body.heading import LONG, POSE
from firmware_bridge.body.kinematics import Skeleton
from firmware_bridge.body.segments import INDEX, PIECES, PLACES, Float64

__all__ = ["MEASURED", "Chains"]

Bool = NDArray[np.bool_]

MEASURED = (0.015, math.radians(3), 60.0)
"""Residual of a joint whose bones carry sensors: metres by which layouts differ in where a joint is, radians by which
each long bone on the way there is off after all corrections (others by what the pose leaves), and seconds for which
it stays alike: as long as straps."""
_ALWAYS_INFERRED = ("abdomen", "neck", "left_collar", "right_collar")


class Chains:
    """Which pieces each joint's place rests on, from the pelvis to the bone that leads to it.

    Abdomen, neck and collars bend little by themselves and never count as unmeasured.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        size = len(skeleton.topology.joints)
        self.lead: NDArray[np.int64] = np.zeros(size, dtype=np.int64)
        """(V,) the piece whose turning moves the joint."""
        self._rests = np.zeros((size, len(PIECES)), dtype=bool)
        for joint, piece in enumerate(skeleton.pieces):
            name = PIECES[piece].name
            at_origin = not any(PLACES[skeleton.topology.joints[joint]][1]) if skeleton.placed[joint] else False
            lead = PIECES[piece].parent if at_origin and PIECES[piece].parent else name
            self.lead[joint] = INDEX[lead]
            while lead:
                if lead not in _ALWAYS_INFERRED:
                    self._rests[joint, INDEX[lead]] = True
                lead = PIECES[INDEX[lead]].parent
            if name in ("abdomen", "neck"):
                self._rests[joint, INDEX["chest"]] = True

    def measured(self, measured: Bool) -> Bool:
        """(V,) joints all of whose pieces are measured, of (P,)."""
        return np.asarray(~(self._rests & ~measured).any(axis=-1))

    def spread(self, skeleton: Skeleton) -> Float64:
        """(V,) metres of :data:`MEASURED` at each joint: the bones on the way add up as independent errors."""
        ends = skeleton.body.offsets()
        squares = np.zeros(len(PIECES))
        for index, piece in enumerate(PIECES):
            if piece.parent:
                off = MEASURED[1] if piece.parent.endswith(LONG) else POSE
                squares[index] = squares[INDEX[piece.parent]] + off**2 * float((ends[index] ** 2).sum())
        return np.asarray(np.sqrt(MEASURED[0] ** 2 + squares[skeleton.pieces]), dtype=np.float64)

    def oldest(self, ages: Float64) -> Float64:
        """(V,) the greatest age of a joint's pieces, of (P,)."""
        return np.asarray(np.where(self._rests, ages, 0.0).max(axis=-1), dtype=np.float64)
