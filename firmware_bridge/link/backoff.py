"""How long to wait before a device is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["Backoff"]


@dataclass(frozen=True)
class Backoff:
    """Waits that double from ``first_s`` to ``most_s``, each shortened at random by up to half.

    The randomness keeps many devices that went down together from coming back in step (AWS Architecture Blog,
    "Exponential Backoff And Jitter", 2015: "equal jitter").
    """

    first_s: float = 0.2
    most_s: float = 5.0

    def delay_s(self, failures: int, chance: random.Random) -> float:
        """Seconds from the beginning of a failed attempt to the next, after ``failures`` in a row (1, 2, ...)."""
        longest = min(self.most_s, self.first_s * 2.0 ** min(max(failures, 1) - 1, 30))
        return longest * chance.uniform(0.5, 1.0)
