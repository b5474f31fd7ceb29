"""A stretch of one sensor's orientations, as calibration and alignment look at it.

Axes: K samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskel.geometry import conjugate, logarithm, multiply

__all__ = ["Track"]

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Track:
    """A stretch of one sensor.

    Args:
        time: (K,) seconds.
        orientation: (K, 4) sensor -> world.
        rate: (K, 3) rad/s, sensor axes.
    """

    time: Float64
    orientation: Float64
    rate: Float64

    def between(self, start: float, end: float) -> Track:
        """The samples of ``start <= time <= end``."""
        inside = (self.time >= start) & (self.time <= end)
        return Track(self.time[inside], self.orientation[inside], self.rate[inside])

    def turned(self) -> float:
        """Radians from its first orientation to the farthest one."""
        away = logarithm(multiply(conjugate(self.orientation[:1]), self.orientation))
        return float(np.linalg.norm(away, axis=-1).max())
