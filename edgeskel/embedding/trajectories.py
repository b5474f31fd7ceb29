"""How the trajectories of a recogniser's own classes look: few directions in which they differ, means, and covariances.

Measured on the clips that it learned from, beside what is known of its embedding; it holds no recording.

Axes: N clips, G length of a trajectory, C coordinates, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.embedding import covariance
from edgeskel.skeleton import Float32

__all__ = ["Trajectories"]

MOST = 128
"""Coordinates. 96 find nearly as many new actions, 64 one or two points fewer."""
MOST_ROWS = 1200
"""Trajectories that the directions are worked out from, evenly from all."""
_PREFIX = "trajectory_"


@dataclass(frozen=True, eq=False)
class Trajectories:
    """See the module's docstring.

    Args:
        half_middle: (G,) float16, mean trajectory.
        half_directions: (G, C) float16, orthonormal.
        half_means: (K, C) float16, of each class.
        triangle, varied_triangle: (C·(C+1)/2,) float16, covariance within a class and of changed clips, in units of ``spread``.
        spread: mean variance within a class.
    """

    half_middle: NDArray[np.float16]
    half_directions: NDArray[np.float16]
    half_means: NDArray[np.float16]
    triangle: NDArray[np.float16]
    varied_triangle: NDArray[np.float16]
    spread: float

    @classmethod
    def measure(cls, seen: Float32, classes: NDArray[np.int64], varied: Float32) -> Trajectories | None:
        """From trajectories of clips that the recogniser learned from.

        Args:
            seen: (N, G).
            classes: (N,), each with a clip at least.
            varied: (N', changes, G) of changed clips.

        Returns:
            None where there is no spread to measure by: a clip for each class, or copies.
        """
        count = int(classes.max()) + 1
        if not len(varied) or len(seen) <= count:
            return None
        rows = np.concatenate([seen, varied.reshape(-1, seen.shape[1])]).astype(np.float64)
        middle = seen.mean(0).astype("<f2")
        chosen = rows[:: -(-len(rows) // MOST_ROWS)] - middle
        directions = np.linalg.svd(chosen, full_matrices=False)[2][:MOST].T.astype("<f2")
        own, changed = ((values - middle) @ directions.astype(np.float32) for values in (seen, varied))
        means = np.stack([own[classes == index].mean(0) for index in range(count)])
        within = covariance.scatter(own - means[classes], len(own) - count)
        spread = float(np.float32(max(np.trace(within) / len(within), 1e-12)))
        about = (changed - changed.mean(1, keepdims=True)).reshape(-1, changed.shape[-1])
        triangle, varied_triangle = covariance.packed(within, spread), covariance.packed(covariance.scatter(about), spread)
        if triangle is None or varied_triangle is None:
            return None
        return cls(middle, directions, means.astype("<f2"), triangle, varied_triangle, spread)

    @property
    def width(self) -> int:
        """C."""
        return int(self.half_directions.shape[1])

    @cached_property
    def means(self) -> Float32:
        """(K, C)."""
        return self.half_means.astype(np.float32)

    @property
    def covariance(self) -> Float32:
        """(C, C) within a class."""
        return covariance.unpacked(self.triangle, self.width, self.spread)

    @property
    def varied(self) -> Float32:
        """(C, C) of changed clips."""
        return covariance.unpacked(self.varied_triangle, self.width, self.spread)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.means.nbytes + sum(array.nbytes for array in self.arrays().values())

    def coordinates(self, trajectory: Float32) -> Float32:
        """(G,) or (N, G) -> (C,) or (N, C)."""
        placed: Float32 = (trajectory - self.half_middle).astype(np.float32) @ self.half_directions.astype(np.float32)
        return placed

    def with_classes(self, means: Float32) -> Trajectories:
        """The same with (L, C) means of more classes behind its own."""
        return replace(self, half_means=np.concatenate([self.half_means, means.astype("<f2")]))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What is written of it, by name."""
        arrays = {"middle": self.half_middle, "directions": self.half_directions, "means": self.half_means,
                  "triangle": self.triangle, "varied": self.varied_triangle, "spread": np.array(self.spread, "<f4")}
        return {_PREFIX + name: array for name, array in arrays.items()}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], classes: int) -> Trajectories | None:
        """What :meth:`arrays` gave, among others; None where there is nothing of it.

        Raises:
            ValueError: it is incomplete, of other sizes, or holds what is not finite.
        """
        found = {name.removeprefix(_PREFIX): array for name, array in arrays.items() if name.startswith(_PREFIX)}
        if not found:
            return None
        names = ("middle", "directions", "means", "triangle", "varied", "spread")
        if set(found) < set(names):
            raise ValueError(f"trajectories with {', '.join(sorted(found))} alone")
        middle, directions, means, triangle, varied, spread = (found[name] for name in names)
        length, width = directions.shape if directions.ndim == 2 else (0, 0)
        size = (width * (width + 1) // 2,)
        if (not width or middle.shape != (length,) or means.shape != (classes, width) or triangle.shape != size
                or varied.shape != size or spread.shape):
            raise ValueError(f"trajectories of {middle.shape}, {directions.shape}, {means.shape}, {triangle.shape}, {varied.shape} "
                             f"for {classes} labels")
        if any(array.dtype.kind != "f" or not np.isfinite(array).all() for array in found.values()) or not spread > 0:
            raise ValueError("trajectories with values that are not finite numbers")
        half = [array.astype("<f2") for array in (middle, directions, means, triangle, varied)]
        return cls(half[0], half[1], half[2], half[3], half[4], float(np.float32(spread)))
