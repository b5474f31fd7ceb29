"""How large the person in a BVH file is, and along which axis people stand in it.

Axes: T frames, V joints; the last axis is x, y, z.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeskel.skeleton import Topology

__all__ = ["extent", "standing"]

STATURE = (0.8, 2.5)  # metres from the ankles over the hips to the head along the bones: from a small child on
SPAN = (0.4, 4.0)  # metres between the two joints that are furthest apart along the bones, of a part of a body
UPRIGHT = 0.8  # cosine: within 37 degrees of an axis the trunk stands along it
OFTEN = 0.1  # share of the frames that people stand in any clip but one of people who only lie


def extent(positions: NDArray[np.float64], own: Topology) -> tuple[float, str, tuple[float, float]]:
    """Size of the person as it moves, what was measured, and what is plausible.

    Bones are measured in motion, since position channels override offsets, and an offset may put the first joint far away.

    Args:
        positions: (T, V, 3) metres.
        own: the file's layout in our vocabulary.
    """
    bones = _bones(positions, own)
    top = next((own.index(name) for name in ("head", "neck") if name in own.joints), -1)
    lowest = [own.index(name) for name in ("left_ankle", "right_ankle", "left_knee", "right_knee") if name in own.joints][:1]
    if top >= 0 and lowest:
        return sum(bones[joint] for joint in _path(top, lowest[0], own)), "a person", STATURE
    # Leave the way from the root to its children out: it may be the way to the place on the stage.
    bones[[joint for joint, parent in enumerate(own.parents) if parent == own.root]] = 0
    ends = [joint for joint in range(len(own.joints)) if joint not in own.parents]
    longest = max((sum(bones[joint] for joint in _path(a, b, own)) for a in ends for b in (*ends, own.root)), default=0.0)
    return float(longest), "a body", SPAN


def _bones(positions: NDArray[np.float64], own: Topology) -> NDArray[np.float64]:
    """(V,) median length of the bone that ends at each joint; 0 for the root."""
    parents = [max(parent, 0) for parent in own.parents]
    whole = positions[np.isfinite(positions).all(axis=(1, 2))]
    if not len(whole):
        return np.full(len(parents), np.nan)
    lengths = np.median(np.linalg.norm(whole - whole[:, parents], axis=-1), axis=0)
    lengths[own.root] = 0
    return np.asarray(lengths)


def _path(a: int, b: int, own: Topology) -> list[int]:
    """Joints at the ends of the bones between two joints."""
    above = [[a], [b]]
    for way in above:
        while own.parents[way[-1]] >= 0:
            way.append(own.parents[way[-1]])
    shared = set(above[0]) & set(above[1])
    return [joint for way in above for joint in way if joint not in shared]


def standing(positions: NDArray[np.float64], own: Topology) -> str:
    """The axis along which people stand ("y", "-z", ...); "" where that cannot be told, or where y may be right.

    Args:
        positions: (T, V, 3).
        own: the file's layout in our vocabulary.
    """
    top = next((own.index(name) for name in ("head", "neck", "chest") if name in own.joints), -1)
    hips = [own.index(name) for name in ("pelvis", "left_hip", "right_hip") if name in own.joints]
    if top < 0 or not hips:
        return ""
    trunk = positions[:, top] - positions[:, hips].mean(axis=1)
    length = np.linalg.norm(trunk, axis=-1, keepdims=True)
    trunk = trunk[(np.isfinite(length) & (length > 0))[:, 0]]
    if not len(trunk):
        return ""
    trunk = trunk / np.linalg.norm(trunk, axis=-1, keepdims=True)
    if (trunk[:, 1] > UPRIGHT).mean() >= OFTEN:
        return "y"
    shares = {sign + axis: float(((-trunk if sign else trunk)[:, "xyz".index(axis)] > UPRIGHT).mean())
              for sign in ("", "-") for axis in "xyz"}
    axis = max(shares, key=lambda axis: shares[axis])
    return axis if shares[axis] > 0.5 else ""
