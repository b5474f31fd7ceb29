"""A parametric body: nineteen segments in one kinematic tree, sized by published anthropometry.

Axes: T frames. The body's own axes at rest: x to its left, y up, z ahead. Lengths below are fractions of stature.

Sources: segment lengths after Drillis and Contini (1966), masses and mass centres after Dempster, both as tabled in
D. A. Winter, *Biomechanics and Motor Control of Human Movement*, 4th ed. (2009), figure 4.1 and table 4.1. Where the
tables say nothing (the bends of the spine, hip joint spacing) a plausible value is taken and marked by the word "ours".
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgeskel.geometry import Float64, multiply_many, rotate_many

__all__ = ["JOINTS", "SEGMENTS", "SyntheticBody", "Segment", "random_body"]


@dataclass(frozen=True)
class Segment:
    """A rigid piece of the body.

    Args:
        name: as ``imu-17`` names segments, so that a sensor's place and a piece are one word.
        parent: the segment it hangs on, "" for the root.
        origin: its origin in the parent's axes, fractions of stature.
        mass: fraction of body mass.
        centre: mass centre in its own axes, fractions of stature.
        radius: how thick it is, fraction of stature; the camera cannot see through it.
        tip: far end of its thick part, in its own axes, fractions of stature.
        group: lengths that vary together between people.
    """

    name: str
    parent: str
    origin: tuple[float, float, float]
    mass: float
    centre: tuple[float, float, float]
    radius: float
    tip: tuple[float, float, float]
    group: str


def _limbs(side: str, sign: float) -> list[Segment]:
    s = sign
    return [
        Segment(f"{side}_collar", "chest", (0.018 * s, 0.090, 0.0), 0.0, (0.0, 0.0, 0.0), 0.0, (0.0, 0.0, 0.0),
                "shoulders"),
        # 0.129 is half the shoulder breadth; the joint's centre lies inside the outer edge (ours: 0.018 + 0.098).
        Segment(f"{side}_upper_arm", f"{side}_collar", (0.098 * s, 0.0, 0.0), 0.028, (0.0, -0.081, 0.0), 0.024,
                (0.0, -0.186, 0.0), "arms"),
        Segment(f"{side}_forearm", f"{side}_upper_arm", (0.0, -0.186, 0.0), 0.016, (0.0, -0.063, 0.0), 0.019,
                (0.0, -0.146, 0.0), "arms"),
        Segment(f"{side}_hand", f"{side}_forearm", (0.0, -0.146, 0.0), 0.006, (0.0, -0.055, 0.0), 0.018,
                (0.0, -0.085, 0.0), "arms"),
        Segment(f"{side}_thigh", "pelvis", (0.052 * s, 0.0, 0.0), 0.100, (0.0, -0.106, 0.0), 0.042, (0.0, -0.245, 0.0),
                "legs"),
        Segment(f"{side}_shank", f"{side}_thigh", (0.0, -0.245, 0.0), 0.0465, (0.0, -0.107, 0.0), 0.029,
                (0.0, -0.246, 0.0), "legs"),
        Segment(f"{side}_foot", f"{side}_shank", (0.0, -0.246, 0.0), 0.0145, (0.0, -0.020, 0.036), 0.018,
                (0.0, -0.025, 0.095), "feet"),
    ]


#: Parents first. The abdomen and the neck carry no sensor in ``imu-17``; they make the spine bend in two places (ours).
SEGMENTS: tuple[Segment, ...] = (
    Segment("pelvis", "", (0.0, 0.0, 0.0), 0.142, (0.0, 0.040, 0.0), 0.058, (0.0, 0.060, 0.0), "trunk"),
    Segment("abdomen", "pelvis", (0.0, 0.075, -0.010), 0.139, (0.0, 0.060, 0.010), 0.056, (0.0, 0.110, 0.0), "trunk"),
    Segment("chest", "abdomen", (0.0, 0.115, 0.0), 0.216, (0.0, 0.050, 0.010), 0.066, (0.0, 0.070, 0.0), "trunk"),
    Segment("neck", "chest", (0.0, 0.105, 0.0), 0.0, (0.0, 0.0, 0.0), 0.0, (0.0, 0.0, 0.0), "trunk"),
    Segment("head", "neck", (0.0, 0.050, 0.008), 0.081, (0.0, 0.055, 0.005), 0.050, (0.0, 0.080, 0.005), "head"),
    *_limbs("left", 1.0),
    *_limbs("right", -1.0),
)

#: Joint of our vocabulary -> (segment it lies on, place in that segment's axes, fractions of stature).
JOINTS: dict[str, tuple[str, tuple[float, float, float]]] = {
    "pelvis": ("pelvis", (0.0, 0.030, 0.0)),
    "spine": ("abdomen", (0.0, 0.035, 0.010)),
    "chest": ("chest", (0.0, 0.0, 0.0)),
    "neck": ("neck", (0.0, 0.0, 0.0)),
    "head": ("head", (0.0, 0.055, 0.010)),
} | {
    f"{side}_{joint}": (f"{side}_{segment}", place)
    for side in ("left", "right")
    for joint, segment, place in (("collar", "collar", (0.0, 0.0, 0.0)), ("shoulder", "upper_arm", (0.0, 0.0, 0.0)),
                                  ("elbow", "forearm", (0.0, 0.0, 0.0)), ("wrist", "hand", (0.0, 0.0, 0.0)),
                                  ("hand", "hand", (0.0, -0.052, 0.0)), ("hip", "thigh", (0.0, 0.0, 0.0)),
                                  ("knee", "shank", (0.0, 0.0, 0.0)), ("ankle", "foot", (0.0, 0.0, 0.0)),
                                  ("foot", "foot", (0.0, -0.020, 0.085)), ("heel", "foot", (0.0, -0.039, -0.035)),
                                  ("toe", "foot", (0.0, -0.039, 0.110)))
}

_INDEX = {segment.name: index for index, segment in enumerate(SEGMENTS)}


@dataclass(frozen=True)
class SyntheticBody:
    """One person's size.

    Args:
        stature: metres.
        scale: length of each group of segments against the table: trunk, shoulders, head, arms, legs, feet.
        girth: thickness against the table.
    """

    stature: float = 1.72
    scale: dict[str, float] = field(default_factory=dict)
    girth: float = 1.0

    def length(self, segment: str) -> float:
        """Metres per unit of the table on this segment."""
        return self.stature * self.scale.get(SEGMENTS[_INDEX[segment]].group, 1.0)

    def pose(self, root: Float64, rotations: dict[str, Float64]) -> tuple[dict[str, Float64], dict[str, Float64]]:
        """Forward kinematics.

        Args:
            root: (T, 3) metres, the pelvis in the world.
            rotations: segment -> (T, 4) against its parent; absent segments do not turn.

        Returns:
            segment -> (T, 3) origin in the world, and segment -> (T, 4) its axes -> world.
        """
        origins: dict[str, Float64] = {}
        turns: dict[str, Float64] = {}
        for segment in SEGMENTS:
            own = rotations.get(segment.name)
            if not segment.parent:
                origins[segment.name] = root
                turns[segment.name] = rotations[segment.name]
                continue
            parent = turns[segment.parent]
            origins[segment.name] = origins[segment.parent] + rotate_many(
                parent,
                np.array(segment.origin) * self.length(segment.parent))
            turns[segment.name] = parent if own is None else multiply_many(parent, own)
        return origins, turns

    def place(self, joint: str, origins: dict[str, Float64], turns: dict[str, Float64]) -> Float64:
        """(T, 3) a joint of :data:`JOINTS` in the world."""
        segment, place = JOINTS[joint]
        return origins[segment] + rotate_many(turns[segment], np.array(place) * self.length(segment))


def random_body(rng: np.random.Generator) -> SyntheticBody:
    """An adult: stature 1.50 to 1.95 m, proportions a few per cent off the table, slim to broad."""
    groups = {"trunk": 0.025, "shoulders": 0.06, "head": 0.03, "arms": 0.03, "legs": 0.03, "feet": 0.04}
    return SyntheticBody(stature=float(rng.uniform(1.50, 1.95)),
                scale={
                    group: float(1 + np.clip(rng.normal(0, spread), -2 * spread, 2 * spread))
                    for group, spread in groups.items()
                },
                girth=float(rng.uniform(0.85, 1.3)))
