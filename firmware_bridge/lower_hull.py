"""The line under pairs of device and host times, and what a time on the host's clock is."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from firmware_bridge.samples import maker

__all__ = ["CRYSTAL_SPREAD", "NOMINAL_SPREAD", "RATE_KNOWN_S", "WINDOW_S", "LowerHull", "Stamp", "stamp_of"]

WINDOW_S = 120.0
"""How far back the line looks. From arithmetic, not from a benchmark: a crystal that wanders by 10 ppm within five
minutes bends 0.4 ms away from a line over 120 s, and 1 ms of noise over 120 s is 8 ppm."""
BUCKET_S = 1.0
CRYSTAL_SPREAD = 1e-4
"""Prior spread of the rate of a crystal, 100 ppm."""
NOMINAL_SPREAD = 0.02
"""Prior spread of a nominal sampling rate: makers' oscillators without a crystal are a few per cent off."""
EDGE_NOISE_S = 2e-3
"""How far the lower edge of a short window wanders, for weighing its slope against the prior."""
RATE_KNOWN_S = 10.0
"""Losses are looked for when the rate rests on so long: 2 ms of noise over it is 0.2 ms in the next second."""
SLEW_S = 0.5
"""A new line is approached over so long, so that two readings never swap places."""


class Stamp(NamedTuple):
    """When a reading was measured.

    Args:
        time: seconds on the host's monotonic clock (``time.monotonic()``).
        epoch: how often the device's clock began anew; times of one epoch increase.
    """

    time: float
    epoch: int


stamp_of = maker(Stamp)


class LowerHull:
    """The line under the pairs of the last ``window_s`` seconds; see the module's docstring.

    Args:
        window_s: seconds of the device's clock that count.
        spread: one standard deviation of the rate around ``rate``, before anything was seen.
        rate: host seconds per device second, expected.
    """

    def __init__(self, *, window_s: float = WINDOW_S, spread: float = CRYSTAL_SPREAD, rate: float = 1.0) -> None:
        self._window, self._spread, self._prior = window_s, spread, rate
        self.rate = rate
        self._anchor: tuple[float, float] | None = None  # a point of the line
        self._minima: deque[tuple[float, float]] = deque()  # of finished buckets
        self._low: tuple[float, float] | None = None  # of the open one
        self._least = math.inf  # how far that lies above the line
        self._bucket = 0.0
        self._first = 0.0
        self._slew = (0.0, 0.0)  # (what is still to be given up, since when)
        self.least_late = 0.0
        """Seconds: how far the last finished bucket's smallest pair lay above the line that was then valid."""

    def push(self, device: float, host: float) -> float:
        """Take a pair of seconds and give the host time of ``device``. O(1), amortised."""
        bucket = device // BUCKET_S
        if self._anchor is None:
            self._anchor, self._first, self._bucket = (device, host), device, bucket
        if bucket > self._bucket:
            self._close(device)
            self._bucket = bucket
        at, arrived = self._anchor
        line = arrived + self.rate * (device - at)
        above = host - line
        if above < self._least:
            self._low, self._least = (device, host), above
        if above < 0:  # earlier than the line allows: the line was too late
            self._move(device, self.rate, (device, host))
            return self(device)
        left, since = self._slew
        return line + left * math.exp(-max(0.0, device - since) / SLEW_S) if left else line

    def __call__(self, device: float) -> float:
        """The host time of ``device``, as of now."""
        assert self._anchor is not None, "no pair yet"
        left, since = self._slew
        return self._line(device) + left * math.exp(-max(0.0, device - since) / SLEW_S)

    @property
    def span(self) -> float:
        """Seconds of the device's clock that the line rests on."""
        return self._minima[-1][0] - self._minima[0][0] if self._minima else 0.0

    def _line(self, device: float) -> float:
        assert self._anchor is not None
        return self._anchor[1] + self.rate * (device - self._anchor[0])

    def _above(self, device: float, host: float) -> float:
        return host - self._line(device)

    def _move(self, now: float, rate: float, anchor: tuple[float, float]) -> None:
        """Change the line; what we say stays continuous and reaches it soon. The first second may jump."""
        before = self(now) if now - self._first > BUCKET_S else None
        self.rate, self._anchor = rate, anchor
        self._slew = (0.0 if before is None else before - self._line(now), now)
        self._least = math.inf if self._low is None else self._above(*self._low)

    def _close(self, now: float) -> None:
        if self._low is None:
            return
        self.least_late = self._least
        self._minima.append(self._low)
        self._low = None
        while len(self._minima) > 1 and self._minima[0][0] < now - self._window:
            self._minima.popleft()
        points = list(self._minima)
        span = points[-1][0] - points[0][0]
        rate = self.rate
        if span >= 2 * BUCKET_S:
            fitted = _edge(points)
            noise = EDGE_NOISE_S / span
            share = self._spread**2 / (self._spread**2 + noise**2)
            if abs(fitted - self._prior) > 5 * math.hypot(self._spread, noise):
                share = 1.0  # no crystal: believe what is seen
            rate = self._prior + share * (fitted - self._prior)
        anchor = min(points, key=lambda point: point[1] - rate * point[0])
        self._move(now, rate, anchor)


def _edge(points: list[tuple[float, float]]) -> float:
    """Slope of the lower hull's edge over the middle of ``points``, which are in order of device time."""
    hull: list[tuple[float, float]] = []
    for x, y in points:
        while len(hull) > 1:
            (x0, y0), (x1, y1) = hull[-2], hull[-1]
            if (x1 - x0) * (y - y0) > (y1 - y0) * (x - x0):
                break
            hull.pop()
        hull.append((x, y))
    middle = sum(x for x, _ in points) / len(points)
    for (x0, y0), (x1, y1) in zip(hull, hull[1:], strict=False):
        if x1 >= middle:
            return (y1 - y0) / (x1 - x0)
    raise AssertionError("the middle lies between the ends")
