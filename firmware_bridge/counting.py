"""When readings were measured that carry no time of their own: they are counted, and the count is their clock.

Their arrival tells how long a count is, and that some were lost: a delay that grows by whole periods at once and stays. What
waited on the way shows otherwise, since the rest of it comes at once then. A counter in the readings tells better.
"""

from __future__ import annotations

import math

from firmware_bridge.lower_hull import NOMINAL_SPREAD, RATE_KNOWN_S, WINDOW_S, LowerHull, Stamp, stamp_of
from firmware_bridge.samples import Flags, Reading

__all__ = ["Counted"]

LEARNT_S = 1.0
"""Without a nominal rate, the period is known after so long; before, the time of arrival is taken."""
LEARNT_READINGS = 8
LEARNT_SPREAD = 0.5
"""Prior spread of a rate that was seen for a second, relative: a device may begin at another one."""
STALL_S = 0.2
"""What waited on a link has come so long after it goes on; who is late for longer is late for good."""
JUMP_S = 10.0
"""Count and arrival may go apart by so much between two readings; more is a new epoch."""
LATE_NUMBERS = 64
"""A datagram that comes so many numbers late came by another way."""
TOGETHER_S = 2e-3
"""Before the period is known: the same values again within so long are the same packet again."""
MOST = 256
"""Readings of a packet that are compared with those of the one before."""


class Counted:
    """Host times of one sensor's readings by their count. Kinds of readings that come apart are counted apart.

    Args:
        sequence_bits: after how many bits ``Reading.sequence`` wraps; None where there is no counter.
        rate_hz: nominal rate; None learns it.
        window_s: how far back the fit looks.
    """

    def __init__(self, *, sequence_bits: int | None = None, rate_hz: float | None = None, window_s: float = WINDOW_S) -> None:
        self._arguments = (2**sequence_bits if sequence_bits is not None else None, rate_hz, window_s)
        self._series: dict[int, _Series] = {}

    @property
    def epoch(self) -> int:
        """How often the device began anew; -1 before the first reading."""
        return sum(series.epoch for series in self._series.values()) if self._series else -1

    @property
    def rate(self) -> float:
        """Seconds of the host that pass in one of the device, by its nominal (or learnt) rate."""
        return next(iter(self._series.values())).hull.rate if self._series else 1.0

    def push(self, reading: Reading, host_ns: int) -> Stamp:
        """Stamp the next reading, which arrived at ``host_ns``. One that repeats the last packet gets the last one's time."""
        kind = (0 if reading.angular_velocity is not None or reading.orientation is not None else
                1 if reading.acceleration is not None else 2 if reading.magnetic_field is not None else 3)
        series = self._series.get(kind)
        if series is None:
            series = self._series[kind] = _Series(*self._arguments)
        time = series.push(reading, host_ns * 1e-9)
        return stamp_of((time, series.epoch if len(self._series) == 1 else self.epoch))


class _Series:
    """One kind of a sensor's readings."""

    def __init__(self, wrap: int | None, rate_hz: float | None, window_s: float) -> None:
        self._wrap, self._window_s = wrap, window_s
        self._period = 1 / rate_hz if rate_hz else 0.0
        self._spread = NOMINAL_SPREAD if rate_hz else LEARNT_SPREAD
        self.epoch = -1
        self._rate = 1.0
        self._begin(0.0)

    def push(self, reading: Reading, host: float) -> float:
        """The host time of a reading."""
        if self.epoch < 0 or reading.flags is not Flags.NONE and Flags.REBOOTED in reading.flags:
            return self._first(reading, host)
        passed = host - self._host
        if self._repeats(reading, host):
            return self._time
        count, late = self._counted(reading.sequence, passed)
        if late and self._period:
            return self._zero + self.hull((self._count - late) * self._period)
        if abs(count * self._period - passed) > JUMP_S:
            self._rate = self.hull.rate
            return self._first(reading, host)
        self._count += count
        self._host = host
        if not self._period:
            return self._learn(host, passed)
        least = self.hull.least_late
        device = self._count * self._period
        if self._wrap is None or reading.sequence is None:
            self._watch(device, host, passed)
            device = self._count * self._period
        self._time = self._zero + self.hull.push(device, host - self._zero)
        if self._wrap is None and self.hull.least_late != least:
            self._notice_loss()
        return self._time

    def _begin(self, host: float) -> None:
        self.hull = LowerHull(window_s=self._window_s, spread=self._spread, rate=self._rate)
        self._zero = self._host = self._time = host
        self._count = 0
        self._sequence: int | None = None
        self._of_number = self._in_packet = 1  # readings that share a number: of the last whole packet, and of this one
        self._packet: list[Reading] = []
        self._packet_before: list[Reading] = []
        self._packet_host, self._again, self._index = host, False, 0
        self._gap_since: float | None = None  # when readings came again after a pause
        self._least_since = math.inf  # their least delay
        self._late_before = 0.0

    def _first(self, reading: Reading, host: float) -> float:
        self.epoch += 1
        self._begin(host)
        self._sequence, self._packet = reading.sequence, [reading]
        if self._period:
            self.hull.push(0.0, 0.0)
        return host

    def _learn(self, host: float, passed: float) -> float:
        """Seconds of a count, from the first packets: what came before this one filled the time."""
        if passed > 0 and host - self._zero >= LEARNT_S and self._count >= LEARNT_READINGS:
            self._period = (host - self._zero) / self._count
            self._zero, self._count = host, 0
            self.hull.push(0.0, 0.0)
        self._time = host
        return host

    def _repeats(self, reading: Reading, host: float) -> bool:
        """Whether this is the last packet once more, as far as it has come. A sensor that sends the same all the time, as one at
        rest may whose values are rounded, does not repeat itself."""
        if host != self._packet_host:
            soon = host - self._packet_host < (0.5 * self._period if self._period else TOGETHER_S)
            self._again = soon and _values(self._packet) != _values(self._packet_before)
            if not self._again:
                self._packet_before, self._packet = self._packet, []
            self._packet_host, self._index = host, 0
        if self._again and self._index < len(self._packet) and _values([reading]) == _values([self._packet[self._index]]):
            self._index += 1
            return True
        if self._again:  # it only began like it
            self._packet_before, self._packet, self._again = self._packet, self._packet[:self._index], False
        if len(self._packet) < MOST:
            self._packet.append(reading)
        return False

    def _counted(self, sequence: int | None, passed: float) -> tuple[int, int]:
        """(how many readings further, how many back if it is late)."""
        if self._wrap is None or sequence is None or self._sequence is None:
            self._sequence = sequence
            return 1, 0
        numbers = (sequence - self._sequence) % self._wrap
        if not numbers:  # another reading of the same packet
            self._in_packet += 1
            return 1, 0
        expected = passed / (self._period * self._of_number) if self._period else 0.0
        if numbers > self._wrap - LATE_NUMBERS and expected < self._wrap / 2:
            return 0, (self._wrap - numbers) * self._of_number
        if expected > self._wrap / 2:
            numbers += max(0, round((expected - numbers) / self._wrap)) * self._wrap
        self._of_number, self._in_packet, self._sequence = self._in_packet, 1, sequence
        return 1 + (numbers - 1) * self._of_number, 0

    def _watch(self, device: float, host: float, passed: float) -> None:
        """After a pause: when even the quickest of what came since is late by periods, they were lost."""
        if passed > 1.5 * self._period:
            self._gap_since, self._least_since = self._gap_since or host, self._least_since
        if self._gap_since is None:
            return
        late = host - self._zero - self.hull(device)
        self._least_since = min(self._least_since, late)
        if host - self._gap_since < STALL_S:
            return
        lost = math.floor((self._least_since - max(0.0, self.hull.least_late)) / self._period + 0.25)
        self._gap_since, self._least_since = None, math.inf
        if lost >= 2:
            self._count += lost
            self._late_before = 0.0

    def _notice_loss(self) -> None:
        """When even the quickest of a second is a period late, and that of the next one too.

        Not before the rate is known: until then a nominal rate that is off looks the same.
        """
        if self.hull.span < RATE_KNOWN_S:
            return
        late, self._late_before = min(self.hull.least_late, self._late_before), self.hull.least_late
        periods = math.floor(late / self._period + 0.25)
        if periods >= 1:
            self._count += periods  # from here on every count stands for a later instant
            self._late_before = 0.0


def _values(packet: list[Reading]) -> list[tuple[object, ...]]:
    """What was measured, and its number."""
    return [(reading.sequence, *reading[3:8]) for reading in packet]
