"""Segments of the body, their sizes, and what is assumed of those that carry no sensor.

Seventeen segments can carry a sensor: those of the layout ``imu-17``, by whose names sensors are placed. Two more
pieces, abdomen and neck, let the spine bend between them and are always inferred.

Sizes are fractions of stature. Limbs, after Drillis and Contini (1966) as tabled in D. A. Winter, *Biomechanics and
Motor Control of Human Movement*, 4th ed. (2009), figure 4.1. The inner joints of the trunk are not in the table;
those are rounded guesses, and a camera's measurements replace them (:meth:`BodyDimensions.measured`).

Axes: S the seventeen segments, P all nineteen pieces; x left, y up, z ahead in the N-pose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import UnknownChoice
from edgeskel.geometry import about_up, heading, multiply, normalise

__all__ = ["GROUPS", "INDEX", "LENGTHS", "PIECES", "PLACES", "SEGMENTS", "BodyDimensions", "SegmentInfo", "infer", "segment_of"]

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class SegmentInfo:
    """A rigid piece of the body.

    Args:
        name: a segment of ``imu-17``, or abdomen or neck.
        parent: the piece it hangs on, "" for the pelvis.
        origin: its origin in the parent's axes, fractions of stature.
        group: what it is sized with; see :data:`LENGTHS`.
        origin_group: what ``origin`` is sized with.
    """

    name: str
    parent: str
    origin: tuple[float, float, float]
    group: str
    origin_group: str


def _limbs(side: str, s: float) -> list[SegmentInfo]:
    return [
        SegmentInfo(f"{side}_collar", "chest", (0.02 * s, 0.09, 0.0), "shoulders", "trunk"),
        SegmentInfo(f"{side}_upper_arm", f"{side}_collar", (0.09 * s, 0.0, 0.0), "upper_arm", "shoulders"),
        SegmentInfo(f"{side}_forearm", f"{side}_upper_arm", (0.0, -0.186, 0.0), "forearm", "upper_arm"),
        SegmentInfo(f"{side}_hand", f"{side}_forearm", (0.0, -0.146, 0.0), "forearm", "forearm"),
        SegmentInfo(f"{side}_thigh", "pelvis", (0.05 * s, 0.0, 0.0), "thigh", "hips"),
        SegmentInfo(f"{side}_shank", f"{side}_thigh", (0.0, -0.245, 0.0), "shank", "thigh"),
        SegmentInfo(f"{side}_foot", f"{side}_shank", (0.0, -0.246, 0.0), "foot", "shank"),
    ]


PIECES: tuple[SegmentInfo, ...] = (
    SegmentInfo("pelvis", "", (0.0, 0.0, 0.0), "trunk", "trunk"),
    SegmentInfo("abdomen", "pelvis", (0.0, 0.08, 0.0), "trunk", "trunk"),
    SegmentInfo("chest", "abdomen", (0.0, 0.11, 0.0), "trunk", "trunk"),
    SegmentInfo("neck", "chest", (0.0, 0.10, 0.0), "head", "trunk"),
    SegmentInfo("head", "neck", (0.0, 0.05, 0.01), "head", "head"),
    *_limbs("left", 1.0),
    *_limbs("right", -1.0),
)
"""Parents first."""

INDEX: dict[str, int] = {piece.name: index for index, piece in enumerate(PIECES)}

SEGMENTS: tuple[str, ...] = tuple(piece.name for piece in PIECES if piece.name not in ("abdomen", "neck"))
"""Where a sensor can sit."""

_WORN_AT = {f"{side}_{joint}": f"{side}_{segment}" for side in ("left", "right")
            for joint, segment in (("wrist", "forearm"), ("ankle", "shank"))}


def segment_of(place: str) -> str:
    """The segment of a sensor's place: itself, or the forearm of a wrist and the shank of an ankle.

    Raises:
        UnknownChoice: no such place; the message lists those that there are.
    """
    segment = _WORN_AT.get(place, place)
    if segment not in SEGMENTS:
        raise UnknownChoice("sensor place", place, (*SEGMENTS, *_WORN_AT))
    return segment


def _sided(places: Mapping[str, tuple[str, tuple[float, float, float]]]) -> dict[str, tuple[str, tuple[float, float, float]]]:
    return {f"{side}_{joint}": (piece if piece in INDEX else f"{side}_{piece}", (s * x, y, z))
            for side, s in (("left", 1.0), ("right", -1.0)) for joint, (piece, (x, y, z)) in places.items()}


PLACES: dict[str, tuple[str, tuple[float, float, float]]] = {
    "pelvis": ("pelvis", (0.0, 0.02, 0.0)), "spine_low": ("pelvis", (0.0, 0.06, 0.0)),
    "spine": ("abdomen", (0.0, 0.03, 0.0)), "chest": ("chest", (0.0, 0.0, 0.0)), "neck": ("neck", (0.0, 0.0, 0.0)),
    "neck_high": ("neck", (0.0, 0.03, 0.0)), "head": ("head", (0.0, 0.05, 0.01)), "nose": ("head", (0.0, 0.04, 0.06)),
} | _sided({
    "collar": ("collar", (0.0, 0.0, 0.0)), "shoulder": ("upper_arm", (0.0, 0.0, 0.0)),
    "elbow": ("forearm", (0.0, 0.0, 0.0)), "wrist": ("hand", (0.0, 0.0, 0.0)), "hand": ("hand", (0.0, -0.05, 0.0)),
    "hand_tip": ("hand", (0.0, -0.10, 0.0)), "thumb": ("hand", (0.0, -0.05, 0.03)), "hip": ("thigh", (0.0, 0.0, 0.0)),
    "knee": ("shank", (0.0, 0.0, 0.0)), "ankle": ("foot", (0.0, 0.0, 0.0)), "foot": ("foot", (0.0, -0.025, 0.08)),
    "toes": ("foot", (0.0, -0.035, 0.11)), "heel": ("foot", (0.0, -0.039, -0.03)),
    "eye": ("head", (0.02, 0.055, 0.05)), "ear": ("head", (0.045, 0.05, 0.0)),
})
"""Joint of our vocabulary -> (piece it lies on, place in its axes, fractions of stature). Others only a camera can
see."""

LENGTHS: dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = {
    "trunk": ((("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")),),
    "shoulders": ((("left_shoulder",), ("right_shoulder",)),),
    "hips": ((("left_hip",), ("right_hip",)),),
    "head": ((("neck",), ("head",)),),
    **{group: tuple(((f"{side}_{a}",), (f"{side}_{b}",)) for side in ("left", "right"))
       for group, a, b in (("upper_arm", "shoulder", "elbow"), ("forearm", "elbow", "wrist"), ("thigh", "hip", "knee"),
                           ("shank", "knee", "ankle"), ("foot", "ankle", "foot"))},
}
"""What is sized together -> the distances that a camera measures it by, each between two means of joints."""

GROUPS: tuple[str, ...] = tuple(LENGTHS)


@dataclass(frozen=True)
class BodyDimensions:
    """One person's size.

    Args:
        stature: metres.
        scale: length of each of :data:`GROUPS` against the table at this stature.
    """

    stature: float = 1.72
    scale: Mapping[str, float] = field(default_factory=dict)

    def offsets(self) -> Float64:
        """(P, 3) metres: each piece's origin in its parent's axes."""
        return np.array([np.array(piece.origin) * self._metres(piece.origin_group) for piece in PIECES])

    def place(self, joint: str) -> tuple[int, Float64]:
        """The piece that a joint of :data:`PLACES` lies on, and (3,) metres in its axes."""
        piece, place = PLACES[joint]
        return INDEX[piece], np.array(place) * self._metres(PIECES[INDEX[piece]].group)

    def measured(self, scale: Mapping[str, float]) -> BodyDimensions:
        """The same person with some groups' sizes replaced."""
        return BodyDimensions(self.stature, {**self.scale, **scale})

    def _metres(self, group: str) -> float:
        return self.stature * self.scale.get(group, 1.0)


# Piece -> the piece whose heading it takes while it stands or hangs upright, when it has no sensor.
_HANGING = {f"{side}_{piece}": parent for side in ("left", "right") for piece, parent in (
    ("thigh", "pelvis"), ("upper_arm", "chest"))}
_TRUNK = ("pelvis", "chest", "head")
STILL = np.array([1.0, 0.0, 0.0, 0.0])
_BETWEEN, _BELOW, _ABOVE = ([INDEX[a], INDEX[b]] for a, b in (("abdomen", "neck"), ("pelvis", "chest"), ("chest", "head")))
# Of the others: the piece, the one that it follows without a sensor, and whether in heading only.
_INFERRED = tuple((index, INDEX[_HANGING.get(piece.name, piece.parent)], piece.name in _HANGING or piece.name.endswith("_foot"))
                  for index, piece in enumerate(PIECES) if piece.name not in (*_TRUNK, "abdomen", "neck"))


def infer(turns: Float64, measured: Bool, facing: float = 0.0) -> Float64:
    """What the pieces without a sensor most likely do.

    The trunk follows its nearest measured part, or faces ``facing``; upper arms hang and thighs stand, facing with
    the trunk; what is further out follows what it hangs on, feet stay level; abdomen and neck bend half of the way.

    Args:
        turns: (P, 4) segment -> world where measured.
        measured: (P,) which are.
        facing: radians about up, for a trunk without a sensor.

    Returns:
        (P, 4) complete.
    """
    done = np.where(measured[:, None], turns, STILL)
    known = measured.tolist()
    pelvis, chest, head = (INDEX[name] for name in _TRUNK)
    if not known[pelvis]:
        # Somebody who leans bends the trunk, but the pelvis less: only its heading follows.
        upper = [i for i in (chest, head) if known[i]]
        done[pelvis] = about_up(_facing(done[upper[0]]) if upper else facing)
    if not known[chest]:
        done[chest] = done[pelvis]
    if not known[head]:
        done[head] = done[chest]
    below, above = done[_BELOW], done[_ABOVE]
    same_way = np.copysign(1.0, (below * above).sum(axis=-1, keepdims=True))
    done[_BETWEEN] = normalise(below + same_way * above)
    for index, source, upright in _INFERRED:
        if not known[index]:
            done[index] = about_up(_facing(done[source])) if upright else done[source]
    return done


def _facing(turn: Float64) -> float:
    """Heading of a piece: of its lateral axis where that is level enough, which bending does not change."""
    w, x, y, z = (float(part) for part in turn)
    left_x, left_z = 1 - 2 * (y * y + z * z), 2 * (x * z - w * y)
    if left_x * left_x + left_z * left_z > 0.25:
        return float(np.arctan2(-left_z, left_x))
    return float(heading(multiply(turn, np.array([1.0, 0.0, 0.0, 0.0]))))
