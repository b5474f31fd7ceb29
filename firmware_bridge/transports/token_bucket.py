"""How many datagrams one sender may have read: a token bucket."""

from __future__ import annotations

import time

__all__ = ["TokenBucket"]


class TokenBucket:
    """Full at first; ``rate`` tokens a second are added, up to those of a tenth of a second and never fewer than ``least``."""

    def __init__(self, rate: float, least: int) -> None:
        self._rate = rate
        self._most = self._left = max(rate / 10, least)
        self._filled_ns = time.monotonic_ns()

    def take(self) -> bool:
        """Take a token; False where there is none."""
        if self._left < 1:
            now_ns = time.monotonic_ns()
            self._left = min(self._most, self._left + (now_ns - self._filled_ns) * 1e-9 * self._rate)
            self._filled_ns = now_ns
            if self._left < 1:
                return False
        self._left -= 1
        return True

    def put_back(self) -> None:
        """Give a token back that was not needed."""
        self._left = min(self._most, self._left + 1)
