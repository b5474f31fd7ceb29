"""How large the people in a recording are, to notice a wrong unit.

Axes: M persons, T frames, V joints.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeskel.skeleton import Topology

__all__ = ["extent", "wrong_unit"]

# Distance of the two corners of the box around a person's joints, in metres: what units should give.
PART, WHOLE = (0.3, 2.6), (0.7, 2.6)  # of any joints; of a layout from the head to the feet, crouching children included


def extent(joints: NDArray[np.float32], confidence: NDArray[np.float32]) -> float | None:
    """Diagonal of the box around the best seen person in the best seen frame, metres; None if nobody was seen.

    Args:
        joints: (M, T, V, 3) metres.
        confidence: (M, T, V).
    """
    seen = confidence > 0
    person, frame = np.unravel_index(int(seen.sum(axis=-1).argmax()), seen.shape[:2])
    points = joints[person, frame][seen[person, frame]]
    return float(np.linalg.norm(np.ptp(points, axis=0))) if len(points) > 1 else None


def wrong_unit(extents: Sequence[float], topology: Topology) -> str:
    """What to say where people of this layout cannot be so large as the median of their extents; "" where they can."""
    median = float(np.median(extents)) if len(extents) else 0.0
    whole = "head" in topology.joints and bool({"left_ankle", "left_foot"} & set(topology.joints))
    smallest, largest = WHOLE if whole else PART
    if not median or smallest <= median <= largest:
        return ""
    return f"people are {median:.3g} m across, a person is {smallest} to {largest} m: the unit is likely wrong"
