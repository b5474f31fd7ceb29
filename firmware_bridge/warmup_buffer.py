"""What a filter was given in its first seconds, to be given once more when the sampling period is known better.

Stamps that jitter by as much as a period tell it to a few thousandths after a second, and to a few ten-thousandths after four. What
was turned until then was turned too far by as much, and a filter takes seconds to forget a wrong tilt and never forgets a heading.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from firmware_bridge.samples import Vector

__all__ = ["WarmupBuffer"]

LONGEST_S = 12.0
"""After so long the period is known, by stamps that jitter by one, to a ten-thousandth."""
KNOWN = 1e-4
"""Share to which it need not be known any better."""
MOVED = 2e-4
"""Share by which the period has to have changed, and"""
LONGER = 1.1
"""how much more must have come, before it is worth it again."""


class WarmupBuffer:
    """Steps of one filter since its beginning; each is one period long.

    Args:
        period: seconds, as they were filtered first.
        compass: there is a magnetic field, too.
    """

    count: int
    """How many there are."""

    def __init__(self, period: float, compass: bool) -> None:
        self._period, self._compass = period, compass
        self._values = array("d")
        self._width = 9 if compass else 6
        self._before = self.count = 0

    def is_over(self, jitter: float) -> bool:
        """Whether the period is as well known as it need be, by stamps that jitter by so many seconds (standard deviation)."""
        known = jitter * math.sqrt(12 / self.count**3) < KNOWN * self._period  # of the slope of a line through them
        return known or self.count * self._period > LONGEST_S

    def add(self, gyroscope: Sequence[float], acceleration: Vector, magnetic: Vector | None) -> None:
        """Keep a step: rad/s, m/s² and, where there is a compass, µT."""
        self.count += 1
        self._values.extend((*gyroscope, *acceleration))
        if self._compass:
            self._values.extend(magnetic if magnetic is not None else self._values[-9:-6])

    def is_due(self, period: float) -> bool:
        """Whether the period has changed by more than what has come since the last time is worth."""
        return abs(period / self._period - 1) > MOVED and self.count > LONGER * self._before

    def filter_by(self, vqf: Any, period: float, filter_period: float) -> None:
        """Give all steps to a fresh filter.

        Args:
            vqf: a ``vqf.VQF``.
            period: seconds of a step, as it is known now.
            filter_period: seconds that the filter takes a step for.
        """
        steps = np.frombuffer(self._values).reshape(-1, self._width)
        turns = steps[:, :3] * (period / filter_period)
        vqf.updateBatch(turns, *(np.ascontiguousarray(steps[:, at:at + 3]) for at in range(3, self._width, 3)))
        self._period, self._before = period, self.count
