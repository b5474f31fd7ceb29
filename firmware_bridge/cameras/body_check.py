"""Can this be a person? Size and handedness of a body, from its own joints.

Both use joints that every layout here has, so that one rule holds for 17 joints and for 133.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeskel.coordinates import METRES
from edgeskel.skeleton import Float32, Topology

__all__ = ["LARGEST", "SMALLEST", "BodyCheck", "Handedness", "unit_of"]

Array = NDArray[np.float64]

SMALLEST, LARGEST = 0.3, 3.0
"""Metres tall: from an infant to more than anybody."""
_LIMB = 0.216
"""Median of upper arm, forearm, thigh and shank as a share of the stature: 0.186, 0.146, 0.245, 0.246 in Drillis and
Contini, "Body Segment Parameters", 1966, as given by Winter, "Biomechanics and Motor Control of Human Movement"."""
_LIMBS = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
_LEAST_LIMBS = 3
_CLEAR = 0.5
"""Cosine from which on a body clearly faces one way."""


class BodyCheck:
    """Judges bodies of one layout. Axes: V joints, metres, y up.

    Args:
        topology: the layout.
    """

    def __init__(self, topology: Topology) -> None:
        index = {name: number for number, name in enumerate(topology.joints)}
        self._limbs = [
            (index[f"{side}_{start}"], index[f"{side}_{end}"])
            for side in ("left", "right")
            for start, end in _LIMBS
            if f"{side}_{start}" in index and f"{side}_{end}" in index
        ]
        self._hips = _pair(index, "hip")
        self._shoulders = _pair(index, "shoulder")
        self._ears = _pair(index, "ear") if "nose" in index else None
        self._nose = index.get("nose", -1)
        self._feet = [
            (index[heel], index[toe])
            for side in ("left", "right")
            if (toe := _first(index, f"{side}_foot", f"{side}_big_toe"))
            and (heel := _first(index, f"{side}_heel", f"{side}_ankle"))
        ]

    def stature(self, joints: Float32, confidence: Float32) -> float | None:
        """Metres tall, about, by the length of the limbs, however the body is bent; None where too few are seen.

        Args:
            joints: (V, 3).
            confidence: (V,).
        """
        seen = [(start, end) for start, end in self._limbs if confidence[start] > 0 and confidence[end] > 0]
        if len(seen) < _LEAST_LIMBS:
            return None
        starts, ends = (list(which) for which in zip(*seen, strict=True))
        lengths = np.linalg.norm(joints[starts].astype(np.float64) - joints[ends].astype(np.float64), axis=-1)
        return float(np.median(lengths)) / _LIMB

    def handedness(self, joints: Float32, confidence: Float32) -> float | None:
        """Cosine between where toes and nose point and where a body with these left and right sides must face.

        About 1 for a body as it is, about -1 for one whose sides or axes are swapped, None where too little is seen or
        the answer is not clear.
        """
        points = joints.astype(np.float64)

        def seen(*which: int) -> bool:
            return all(confidence[joint] > 0 for joint in which)

        sides = [points[pair[0]] - points[pair[1]] for pair in (self._hips, self._shoulders) if pair and seen(*pair)]
        ahead = [_unit(points[toe] - points[heel]) for heel, toe in self._feet if seen(heel, toe)]
        if self._ears and seen(self._nose, *self._ears):
            ahead.append(_unit(points[self._nose] - points[list(self._ears)].mean(axis=0)))
        if not sides or not ahead:
            return None
        up = np.array([0.0, 1.0, 0.0])
        if self._hips and self._shoulders and seen(*self._hips, *self._shoulders):
            up = points[list(self._shoulders)].mean(axis=0) - points[list(self._hips)].mean(axis=0)
        facing = _unit(np.cross(np.sum(sides, axis=0), up))  # left x up = ahead
        cosine = float(facing @ _unit(np.sum(ahead, axis=0)))
        return cosine if abs(cosine) > _CLEAR else None


class Handedness:
    """Whether a camera shows left for right, by many bodies: one alone may cross its feet, or be tracked badly.

    Args:
        topology: the layout.
    """

    JUDGED = 60
    """Bodies that are judged together: two seconds of one person who is seen well."""
    MIRRORED = 0.9
    """Share of them that have to be the wrong way round."""

    def __init__(self, topology: Topology) -> None:
        self._body = BodyCheck(topology)
        self._judged = self._swapped = 0

    def push(self, joints: Float32, confidence: Float32) -> int | None:
        """Take a body, (V, 3) metres and (V,). Each time enough of them are judged: how many were mirrored, if nearly all
        were, else 0; None in between."""
        cosine = self._body.handedness(joints, confidence)
        if cosine is None:
            return None
        self._judged += 1
        self._swapped += cosine < 0
        if self._judged < self.JUDGED:
            return None
        swapped, self._judged, self._swapped = self._swapped, 0, 0
        return swapped if swapped > self.MIRRORED * self.JUDGED else 0


def unit_of(stature: float, metres: float) -> str:
    """The unit that numbers look like which gave a body ``stature`` metres when one unit was taken for ``metres``.

    Returns "" where no unit makes a person of it.
    """
    likely = {unit: abs(np.log(stature / metres * size / 1.7)) for unit, size in METRES.items()}
    best = min(likely, key=lambda unit: likely[unit])
    return best if likely[best] < np.log(1.7) and METRES[best] != metres else ""


def _pair(index: dict[str, int], joint: str) -> tuple[int, int] | None:
    names = (f"left_{joint}", f"right_{joint}")
    return (index[names[0]], index[names[1]]) if all(name in index for name in names) else None


def _first(index: dict[str, int], *names: str) -> str:
    return next((name for name in names if name in index), "")


def _unit(vector: Array) -> Array:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector
