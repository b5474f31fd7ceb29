"""Where to look at a skeleton from: one camera for pictures, animations and the terminal.

Axes: M persons, T frames, V joints. Pictures are seen along the viewer's axis: u to the right, v up, both in metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskel.skeleton import Topology

__all__ = ["View", "bones", "side"]

Float = NDArray[np.floating]


@dataclass(frozen=True)
class View:
    """An orthographic view.

    Args:
        right, up: (3,) unit vectors in the world that point right and up in the picture.
        origin: (3,) metres, the point at the picture's origin.
    """

    right: NDArray[np.float64]
    up: NDArray[np.float64]
    origin: NDArray[np.float64]

    @classmethod
    def of(cls, joints: Float, confidence: Float, topology: Topology, *, turn: float = 0.5) -> View:
        """A three-quarter view from the front of a lone person, or from beside the line between two.

        Args:
            joints: (M, T, V, 3) metres.
            confidence: (M, T, V); joints at 0 are not looked at.
            topology: names the shoulders and hips that say where the person faces; without them the view is along -z.
            turn: radians that the viewer stands to the side of straight ahead.
        """
        seen = confidence > 0
        origin = np.zeros(3) if not seen.any() else np.median(joints[seen], axis=0).astype(np.float64)
        across = _between_persons(joints, seen)
        if across is None:
            across, angle = _left_of_person(joints, seen, topology), turn
        else:
            angle = 0.0
        across = np.array([across[0], 0.0, across[2]])
        across /= np.linalg.norm(across)
        # The viewer faces the person, so the person's left is on the picture's right.
        ahead = np.cross(across, [0.0, 1.0, 0.0])
        right = np.cos(angle) * across - np.sin(angle) * ahead
        toward = np.cross(right, [0.0, 1.0, 0.0])
        tilt = 0.15  # rad: seen from slightly above, which separates a reach forward from one sideways
        up = np.cos(tilt) * np.array([0.0, 1.0, 0.0]) - np.sin(tilt) * toward
        return cls(right, up, origin)

    def follow(self, joints: Float, confidence: Float) -> NDArray[np.float64]:
        """(M, T, V, 3) with the persons' way over the floor taken out, so that a strip shows them in place."""
        flat = np.array(joints, dtype=np.float64)
        for frame in range(flat.shape[1]):
            seen = confidence[:, frame] > 0
            if seen.any():
                flat[:, frame, :, [0, 2]] += (self.origin - np.median(flat[:, frame][seen], axis=0))[[0, 2], None, None]
        return flat

    def project(self, joints: Float) -> NDArray[np.float64]:
        """(..., 3) metres -> (..., 2) metres in the picture."""
        centred = np.nan_to_num(np.asarray(joints, dtype=np.float64)) - self.origin
        return np.stack([centred @ self.right, centred @ self.up], axis=-1)


def _between_persons(joints: Float, seen: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """(3,) from one person's middle to the other's, when two are there and stand apart."""
    present = [m for m in range(len(joints)) if seen[m].any()]
    if len(present) < 2:
        return None
    first, second = (np.median(joints[m][seen[m]], axis=0).astype(np.float64) for m in present[:2])
    across: NDArray[np.float64] = second - first
    return across if np.hypot(across[0], across[2]) > 0.2 else None


def _left_of_person(joints: Float, seen: NDArray[np.bool_], topology: Topology) -> NDArray[np.float64]:
    """(3,) towards the first seen person's left, from the shoulders and hips at the start of the clip."""
    for pair in ("shoulder", "hip"):
        names = (f"left_{pair}", f"right_{pair}")
        if not set(names) <= set(topology.joints):
            continue
        left, right = (topology.index(name) for name in names)
        both = seen[..., left] & seen[..., right]
        if both.any():
            lefts: NDArray[np.float64] = (joints[..., left, :] - joints[..., right, :])[both][:15].astype(np.float64)
            across = np.median(lefts, axis=0)
            if np.hypot(across[0], across[2]) > 1e-3:
                return np.asarray(across, dtype=np.float64)
    return np.array([1.0, 0.0, 0.0])


def bones(topology: Topology) -> list[tuple[int, int]]:
    """(parent, child) of every bone, parents first."""
    return [(topology.parents[child], child) for child in topology.order if topology.parents[child] >= 0]


def side(topology: Topology, joint: int) -> str:
    """``left``, ``right`` or ``middle``."""
    for left, right in topology.pairs:
        if joint == left:
            return "left"
        if joint == right:
            return "right"
    return "middle"
