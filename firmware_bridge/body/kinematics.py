"""Forward kinematics of the body, and the height of its root from the foot on the floor.

Axes: P pieces (``segments.PIECES``), V joints of a topology; the last axis is x, y, z in metres (y up) or w, x, y, z.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import TopologyMismatch
from edgeskel.geometry import rotate
from edgeskel.skeleton import Topology
from firmware_bridge.body.segments import INDEX, LENGTHS, PIECES, PLACES, BodyDimensions, Float64

__all__ = ["FloorContact", "Skeleton"]

_PARENTS = np.array([INDEX.get(piece.parent, 0) for piece in PIECES])


def _lineage() -> Float64:
    """(P, P) 1 where the column's piece is the row's piece or above it: sums offsets from the root outwards."""
    lineage = np.eye(len(PIECES))
    for index, piece in enumerate(PIECES):
        if piece.parent:
            lineage[index] += lineage[INDEX[piece.parent]]
    return lineage


_LINEAGE = _lineage()

SOLES = tuple((INDEX[f"{side}_foot"], place) for side in ("left", "right") for place in (
    (0.0, -0.039, -0.03), (0.0, -0.039, 0.11)))
"""Heel and ball of each foot: (piece, place in fractions of stature)."""
_SOLE_PIECES = np.array([piece for piece, _ in SOLES])


class Skeleton:
    """A body in a joint layout.

    Args:
        topology: whose joints are wanted; those of ``segments.PLACES`` are placed, by name.
        body: sizes.

    Raises:
        TopologyMismatch: the layout shares too few joints with the body to say where it is.
    """

    def __init__(self, topology: Topology, body: BodyDimensions | None = None) -> None:
        self.topology = topology
        self.placed: NDArray[np.bool_] = np.array([joint in PLACES for joint in topology.joints])
        """(V,) joints that lie on a piece; the others are seen by a camera only and ride on the nearest one that
        does."""
        if self.placed.sum() < 3:
            raise TopologyMismatch(f"{topology.name} has {int(self.placed.sum())} joints that the body has",
                                   expected="at least three of " + ", ".join(PLACES))
        self._groups, self._between = _distances(topology)
        self._carrier = [self._nearest_placed(joint) for joint in range(len(topology.joints))]
        self.resize(body or BodyDimensions())

    def resize(self, body: BodyDimensions) -> None:
        """Give it another size."""
        self.body = body
        places = [body.place(self.topology.joints[joint]) for joint in self._carrier]
        self.pieces: NDArray[np.int64] = np.array([piece for piece, _ in places])
        """(V,) the piece that each joint lies on."""
        soles = np.array([place for _, place in SOLES]) * body.stature * body.scale.get("foot", 1.0)
        # What turns with which piece: the pieces' origins, then joints, then soles. At once, as numpy's calls are what it costs.
        self._carriers = np.concatenate([_PARENTS, self.pieces, _SOLE_PIECES])
        self._carried = np.concatenate([body.offsets(), [place for _, place in places], soles])

    def forward(self, turns: Float64) -> Float64:
        """(..., P, 4) segment -> world -> (..., V, 3) joints, the pelvis segment's origin at 0."""
        return self.forward_with_soles(turns)[0]

    def forward_with_soles(self, turns: Float64) -> tuple[Float64, Float64]:
        """The same, and (..., 4, 3) of :data:`SOLES`."""
        turned = rotate(turns[..., self._carriers, :], self._carried)
        origins = _LINEAGE @ turned[..., :len(PIECES), :]
        points = origins[..., self._carriers[len(PIECES):], :] + turned[..., len(PIECES):, :]
        return points[..., :-len(SOLES), :], points[..., -len(SOLES):, :]

    def table_length(self, group: str) -> float | None:
        """Metres by which ``group`` of ``segments.LENGTHS`` is measured on this body at scale 1; None where the
        layout lacks it."""
        standing = np.zeros((len(PIECES), 4))
        standing[:, 0] = 1
        plain = Skeleton(self.topology, BodyDimensions(self.body.stature))
        lengths = plain.lengths(plain.forward(standing), np.ones(len(self.topology.joints)))
        return lengths.get(group)

    def lengths(self, joints: Float64, confidence: Float64) -> dict[str, float]:
        """Group -> metres, as joints (V, 3) show it, where every joint of it is sure (confidence (V,) of 1); mean of
        the sides."""
        measured = np.linalg.norm(self._between @ joints, axis=-1)
        sure = (np.abs(self._between) @ (confidence < 1)) == 0
        found: dict[str, list[float]] = {}
        for group, length, known in zip(self._groups, measured.tolist(), sure.tolist(), strict=True):
            if known:
                found.setdefault(group, []).append(length)
        return {group: sum(values) / len(values) for group, values in found.items()}

    def _nearest_placed(self, joint: int) -> int:
        reach = np.where(self.placed, self.topology.hops[joint], np.iinfo(np.int64).max)
        return int(np.argmin(reach))


def _distances(topology: Topology) -> tuple[list[str], Float64]:
    """The groups of ``segments.LENGTHS`` that a layout can measure, one for each distance D, and (D, V) from end to
    end of each."""
    groups: list[str] = []
    rows: list[Float64] = []
    for group, distances in LENGTHS.items():
        for ends in distances:
            if all(joint in topology.joints for end in ends for joint in end):
                row = np.zeros(len(topology.joints))
                for end, sign in zip(ends, (1.0, -1.0), strict=True):
                    row[[topology.joints.index(joint) for joint in end]] += sign / len(end)
                groups.append(group)
                rows.append(row)
    return groups, np.array(rows).reshape(-1, len(topology.joints))


class FloorContact:
    """Walks the root by the foot that stands: while no camera says where the body is, what touches the floor stays where it is.

    The standing foot is low and turns little; the swinging one passes a centimetre over the floor, closer than its height is
    known, but turns fast. What touches is its heel or ball, whichever is lower: feet roll. Jumping is not seen: the body then
    stays on the floor.
    """

    LOW = 0.04
    """Metres of height that speak as much against a foot as all the turning of both feet."""
    TURNING = 0.01
    """Radians in one step below which turning says nothing: noise."""
    SLACK = 0.5
    """By so much the other foot must be the better one to take over."""

    def __init__(self) -> None:
        self._foot = 0
        self._before: tuple[list[list[float]], list[list[float]]] | None = None

    def forget(self) -> None:
        """The next posture does not follow from the last one."""
        self._before = None

    def push(self, turns: Float64, soles_at: Float64) -> tuple[Float64, float]:
        """Take the next posture: (P, 4) segment -> world, and (4, 3) of :data:`SOLES`.

        Returns:
            (3,) metres by which the root moved along the floor since the last posture (y is 0), and the root's height over
            the floor.
        """
        # A dozen numbers: numpy's calls would cost more than what they do.
        soles = soles_at.tolist()
        feet = turns[_SOLE_PIECES[::2]].tolist()
        low = [min(soles[0][1], soles[1][1]), min(soles[2][1], soles[3][1])]
        lowest = min(low)
        moved = np.zeros(3)
        if self._before is not None:
            soles_before, feet_before = self._before
            turned = [2 * math.acos(min(abs(sum(a * b for a, b in zip(now, before, strict=True))), 1.0))
                      for now, before in zip(feet, feet_before, strict=True)]
            against = [(height - lowest) / self.LOW + 2 * turn / (turned[0] + turned[1] + self.TURNING)
                       for height, turn in zip(low, turned, strict=True)]
            if against[1 - self._foot] < against[self._foot] - self.SLACK:
                self._foot = 1 - self._foot
            heel = 2 * self._foot
            touching = heel if soles[heel][1] <= soles[heel + 1][1] else heel + 1
            moved[0] = soles_before[touching][0] - soles[touching][0]
            moved[2] = soles_before[touching][2] - soles[touching][2]
        self._before = soles, feet
        return moved, -lowest
