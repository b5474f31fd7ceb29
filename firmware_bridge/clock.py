"""When a reading was measured, on the host's clock.

A packet arrives some delay after its sample, never before it. Of many pairs (device clock, arrival) the best guess of
the line ``host = offset + rate * device`` therefore lies *under* all of them: the edge of the lower convex hull below
the pairs' middle, as in Moon, Skelly and Towsley, "Estimation and removal of clock skew from network delay
measurements", INFOCOM 1999, 10.1109/INFCOM.1999.749287. A fit through the middle of the pairs would keep the mean
delay.

Only the smallest pair of every second of the device's clock can touch the hull, so that a minute of any rate is sixty
points and a reading costs the same however many came before it. What no one-way method can see is the least delay
itself (a millisecond or so over BLE): it stays in the result.

Where a device has no clock, its counter times the nominal period is the device clock; where it has no counter either,
readings are counted, and a delay that grows by whole periods and stays is taken for lost readings.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from firmware_bridge.samples import Flags, Reading, maker

__all__ = ["Clock", "LowerHull", "Stamp"]

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
JUMP_S = 10.0
"""Device and host may differ so much between two readings (a stalled link delivers late); more is a new epoch."""
REORDER_S = 0.5
"""A reading so much older than the newest came by another way (UDP); older still, the device began anew."""


class Stamp(NamedTuple):
    """When a reading was measured.

    Args:
        time: seconds on the host's monotonic clock (``time.monotonic()``).
        epoch: how often the device's clock began anew; times of one epoch increase.
    """

    time: float
    epoch: int


_stamp = maker(Stamp)


class LowerHull:
    """The line under the pairs of the last ``window_s`` seconds; see the module's docstring.

    Args:
        window_s: seconds of the device's clock that count.
        spread: one standard deviation of the rate around ``rate``, before anything was seen.
        rate: host seconds per device second, expected.
    """

    rate: float

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
        self.least_late: float = 0.0
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


class Clock:
    """Device time -> host time of one sensor's readings: wraps, reboots, devices without a clock.

    Args:
        clock_bits: after how many bits of ticks ``Reading.device_us`` wraps; None where readings have no device time.
        clock_tick_us: microseconds of one tick.
        sequence_bits: after how many bits ``Reading.sequence`` wraps; None where there is no counter.
        rate_hz: nominal rate; needed where there is no clock.
        window_s: how far back the fit looks.
    """

    epoch: int

    def __init__(self, *, clock_bits: int | None = None, clock_tick_us: float = 1.0, sequence_bits: int | None = None,
                 rate_hz: float | None = None, window_s: float = WINDOW_S) -> None:
        if clock_bits is None and not rate_hz:
            raise ValueError("a device without a clock needs its nominal rate_hz")
        # After how many of its units the device's own idea of now wraps, and how long a unit is.
        if clock_bits is not None:
            self._wrap, self._unit_s = 2.0**clock_bits * clock_tick_us * 1e-6, 1.0
        else:
            assert rate_hz
            self._wrap, self._unit_s = 2.0**sequence_bits if sequence_bits is not None else math.inf, 1 / rate_hz
        self._sequence_wrap = 2**sequence_bits if sequence_bits is not None else None
        self._has_clock = clock_bits is not None
        self._window_s = window_s
        self._rate = 1.0
        self.epoch = -1
        """How often the device began anew; -1 before the first reading."""
        self._last: float | None = None
        self._begin(0.0)

    @property
    def drift_ppm(self) -> float:
        """By how much the device's clock runs slow (above 0) or fast (below 0) against the host's."""
        return (self._hull.rate - 1) * 1e6

    def push(self, reading: Reading, host_ns: int) -> Stamp:
        """Stamp the next reading, which arrived at ``host_ns``. O(1), amortised; never raises."""
        host = host_ns * 1e-9
        if not self._has_clock:
            raw = self._counted(reading)
        elif reading.device_us is None:
            return Stamp(host, max(self.epoch, 0))  # this kind of packet has no time of its own
        else:
            raw = reading.device_us * 1e-6
        if self._last is None:
            self.epoch += 1
            self._raw_last, self._last, self._host_last = raw, 0.0, host
            self._zero = host
            return Stamp(host + self._hull.push(0.0, 0.0), self.epoch)
        passed = host - self._host_last
        step = self._step(raw, passed)
        late = -REORDER_S <= step < 0
        rebooted = reading.flags is not Flags.NONE and Flags.REBOOTED in reading.flags
        if rebooted or not late and (step < 0 or abs(step - passed) > JUMP_S):
            self._rate = self._hull.rate  # the crystal is the same one
            self._begin(host)
            return self.push(_without_flag(reading), host_ns)
        device = self._last + step
        if late:
            return Stamp(self._zero + self._hull(device), self.epoch)
        self._raw_last, self._last, self._host_last = raw, device, host
        bucket = self._hull.least_late
        stamped = self._hull.push(device, host - self._zero)
        if not self._has_clock and self._sequence_wrap is None and self._hull.least_late != bucket:
            self._notice_loss()
        return _stamp((self._zero + stamped, self.epoch))

    def _begin(self, host: float) -> None:
        spread = CRYSTAL_SPREAD if self._has_clock else NOMINAL_SPREAD
        self._hull = LowerHull(window_s=self._window_s, spread=spread, rate=self._rate)
        self._zero = host
        self._last = None
        self._raw_last = 0.0
        self._host_last = host
        self._count = 0
        self._late_before = 0.0

    def _counted(self, reading: Reading) -> float:
        """What stands in for a device's clock: its counter, wrapped, or a count."""
        if self._sequence_wrap is not None and reading.sequence is not None:
            return float(reading.sequence)
        self._count += 1
        return float(self._count)

    def _step(self, raw: float, host_step: float) -> float:
        """Device seconds since the last reading, unwrapped by the host's clock."""
        step = raw - self._raw_last
        apart = host_step / self._unit_s - step
        if 2 * abs(apart) > self._wrap:
            step += round(apart / self._wrap) * self._wrap
        return step * self._unit_s

    def _notice_loss(self) -> None:
        """Counted readings: when even the quickest of a second is a period late, and that of the next one too.

        Not before the rate is known: until then a nominal rate that is off looks the same.
        """
        if self._hull.span < RATE_KNOWN_S:
            return
        late, self._late_before = min(self._hull.least_late, self._late_before), self._hull.least_late
        periods = math.floor(late / self._unit_s + 0.25)
        if periods >= 1:
            assert self._last is not None
            self._last += periods * self._unit_s  # from here on every count stands for a later instant
            self._late_before = 0.0


def _without_flag(reading: Reading) -> Reading:
    return reading._replace(flags=reading.flags & ~Flags.REBOOTED)
