"""When a reading was measured, on the host's clock.

A packet arrives some delay after its sample, never before it. Of many pairs (device clock, arrival) the best guess of
the line ``host = offset + rate * device`` therefore lies *under* all of them: the edge of the lower convex hull below
the pairs' middle, as in Moon, Skelly and Towsley, "Estimation and removal of clock skew from network delay
measurements", INFOCOM 1999, 10.1109/INFCOM.1999.749287. A fit through the middle of the pairs would keep the mean
delay.

Only the smallest pair of every second of the device's clock can touch the hull, so that a minute of any rate is sixty
points and a reading costs the same however many came before it. What no one-way method can see is the least delay
itself (a millisecond or so over BLE): it stays in the result.

Where readings have no time of their own, they are counted (:mod:`firmware_bridge.sample_counter`).
"""

from __future__ import annotations

from firmware_bridge.lower_hull import WINDOW_S, LowerHull, Stamp, stamp_of
from firmware_bridge.sample_counter import JUMP_S, SampleCounter
from firmware_bridge.samples import Flags, Reading

__all__ = ["Clock", "LowerHull", "Stamp"]

REORDER_S = 0.5
"""A reading so much older than the newest came by another way (UDP); older still, the device began anew."""


class Clock:
    """Device time -> host time of one sensor's readings: wraps, reboots, devices without a clock.

    Args:
        clock_bits: after how many bits of ticks ``Reading.device_us`` wraps; None where readings have no device time. Where they
            should have one and never do, they are counted, too.
        clock_tick_us: microseconds of one tick.
        sequence_bits: after how many bits ``Reading.sequence`` wraps; None where there is no counter.
        rate_hz: nominal rate of what is counted; None learns it from the first second.
        window_s: how far back the fit looks.
    """

    def __init__(self, *, clock_bits: int | None = None, clock_tick_us: float = 1.0, sequence_bits: int | None = None,
                 rate_hz: float | None = None, window_s: float = WINDOW_S) -> None:
        self._wrap = 2.0**clock_bits * clock_tick_us * 1e-6 if clock_bits is not None else 0.0
        self._counted = SampleCounter(sequence_bits=sequence_bits, rate_hz=rate_hz, window_s=window_s)
        self._window_s = window_s
        self._rate = 1.0
        self._epoch = -1
        self._last: float | None = None
        self._begin(0.0)

    @property
    def epoch(self) -> int:
        """How often the device began anew; -1 before the first reading."""
        return self._epoch if self._last is not None else self._counted.epoch

    @property
    def drift_ppm(self) -> float:
        """By how much the device's clock runs slow (above 0) or fast (below 0) against the host's."""
        return ((self._hull.rate if self._last is not None else self._counted.rate) - 1) * 1e6

    def push(self, reading: Reading, host_ns: int) -> Stamp:
        """Stamp the next reading, which arrived at ``host_ns``. O(1), amortised; never raises."""
        device_us = reading.device_us
        if device_us is None or not self._wrap:
            if self._last is None:
                return self._counted.push(reading, host_ns)
            return Stamp(host_ns * 1e-9, self._epoch)  # this kind of packet has no time of its own
        host = host_ns * 1e-9
        raw = device_us * 1e-6
        if self._last is None:
            self._epoch += 1
            self._raw_last, self._last, self._host_last = raw, 0.0, host
            self._zero = host
            return Stamp(host + self._hull.push(0.0, 0.0), self._epoch)
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
            return Stamp(self._zero + self._hull(device), self._epoch)
        self._raw_last, self._last, self._host_last = raw, device, host
        return stamp_of((self._zero + self._hull.push(device, host - self._zero), self._epoch))

    def _begin(self, host: float) -> None:
        self._hull = LowerHull(window_s=self._window_s, rate=self._rate)
        self._zero = host
        self._last = None
        self._raw_last = 0.0
        self._host_last = host

    def _step(self, raw: float, host_step: float) -> float:
        """Device seconds since the last reading, unwrapped by the host's clock."""
        step = raw - self._raw_last
        apart = host_step - step
        if 2 * abs(apart) > self._wrap:
            step += round(apart / self._wrap) * self._wrap
        return step


def _without_flag(reading: Reading) -> Reading:
    return reading._replace(flags=reading.flags & ~Flags.REBOOTED)
