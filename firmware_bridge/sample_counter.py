"""When readings were measured that carry no time of their own: they are counted, and the count is their clock.

Their arrival tells how long a count is, and that some were lost: they are late by whole periods then and stay so
(:mod:`firmware_bridge.dejitter`). What waited on the way comes at once, so that a pause is taken for a loss only when the readings
after it come as before. A counter in the readings tells better.
"""

from __future__ import annotations

import math
from statistics import mean, pstdev

import numpy as np

from firmware_bridge.dejitter import Dejitter, round_period
from firmware_bridge.lower_hull import NOMINAL_SPREAD, RATE_KNOWN_S, WINDOW_S, LowerHull, Stamp, stamp_of
from firmware_bridge.samples import Flags, Reading

__all__ = ["SampleCounter"]

LEARNT_S = 1.0
"""The period is taken as known after so long; before, it is what has been seen."""
LEARNT_READINGS = 8
AGAIN = 1.2
"""Until then it is worked out anew when there are so many times the readings."""
ROUND_SPREAD = 1e-3
"""And of one that is round by all that was seen: a device that keeps its nominal rate does so to a crystal's accuracy, mostly."""
LEARNT_SPREAD = 0.5
"""Prior spread of a rate that was seen for a second, relative: a device may begin at another one."""
BELIEVED = 2.5
"""So many packets after a pause it is known whether something waited or was lost."""
JUMP_S = 10.0
"""Count and arrival may go apart by so much between two readings; more is a new epoch."""
LATE_NUMBERS = 64
"""A datagram that comes so many numbers late came by another way."""
TOGETHER_S = 2e-3
"""Before the period is known: the same values again within so long are the same packet again."""
MOST = 256
"""Readings of a packet that are compared with those of the one before."""


class SampleCounter:
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
        self._nominal = 1 / rate_hz if rate_hz else 0.0
        self._period = self._nominal
        self._spread = NOMINAL_SPREAD if rate_hz else LEARNT_SPREAD
        self.epoch = -1
        self._rate = 1.0
        self._host = self._zero = self._time = 0.0  # the last arrival, what the hull counts from, the last reading's time
        self._count = self._total = 0  # readings since the hull and since the device began
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
        self._total += count
        self._host = host
        if self._pace is None:
            self._learn(host, passed, count)
        elif passed > 0:
            self._watch(host, passed, self._wrap is not None and reading.sequence is not None)
        if not self._period:
            self._time = host
            return host
        least = self.hull.least_late
        self._time = self._zero + self.hull.push(self._count * self._period, host - self._zero)
        if self._wrap is None and self.hull.least_late != least:
            self._notice_loss()
        return self._time

    def _begin(self, host: float) -> None:
        """All that is known of this epoch: nothing yet."""
        self.hull = LowerHull(window_s=self._window_s, spread=self._spread, rate=self._rate)
        self._zero = self._host = self._time = host
        self._count = self._total = 0
        self._sequence: int | None = None
        self._of_number = self._in_packet = 1  # readings that share a number: of the last whole packet, and of this one
        self._packet: list[Reading] = []
        self._packet_before: list[Reading] = []
        self._packet_host, self._again, self._index = host, False, 0
        self._packets: list[tuple[float, int]] = []  # when they came and what was counted, until the pace is known
        self._next = 1.0  # readings at which the period is learnt anew
        self._pace: Dejitter | None = None
        self._pushed = 0  # the count when it was last told
        self._every = 0.0  # seconds from the packet before the last to the last
        self._missing = 0  # readings that are lost unless they come at once
        self._believed = math.inf  # when it is known
        self._late_before = 0.0

    def _first(self, reading: Reading, host: float) -> float:
        self.epoch += 1
        self._begin(host)
        self._sequence, self._packet = reading.sequence, [reading]
        if self._period:
            self.hull.push(0.0, 0.0)
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

    def _learn(self, host: float, passed: float, count: int) -> None:
        """The period from the first packets, better with each: what came between their last readings has filled the time."""
        if passed <= 0:
            return
        packets = self._packets
        packets.append((host - passed, self._total - count))
        begin, counted = packets[0]
        seconds, readings = packets[-1][0] - begin, packets[-1][1] - counted
        period = seconds / readings if readings else passed / self._total
        known = seconds >= LEARNT_S and readings >= LEARNT_READINGS
        if not self._nominal and (known or not self._period or readings >= self._next):
            self._next = AGAIN * readings
            spread = self._spread
            if known:
                counts, times = np.array([count for _, count in packets], dtype=np.float64), np.array([at for at, _ in packets])
                period, is_round = round_period(counts, times)
                spread = ROUND_SPREAD if is_round else spread
            self.hull = LowerHull(window_s=self._window_s, spread=spread)
            self._period, self._zero, self._count = period, begin, self._total - counted
            for at, count in packets:
                self.hull.push((count - counted) * period, at - begin)
        if known:
            # The pace is that of the packets' first readings: this one and those before.
            firsts = [(at, before + 1) for (_, before), (at, _) in zip(packets, packets[1:], strict=False)] + [(host, self._total)]
            late = [at - begin - (count - counted) * self._period for at, count in firsts]
            self._pace = Dejitter(self._period, pstdev(late), len(late), late=late[-1] - mean(late))
            self._pace.in_order = True
            self._pace.push(host)
            self._pushed, self._packets = self._count, []

    def _watch(self, host: float, passed: float, numbered: bool) -> None:
        """See by the arrival of a packet whether the rate has changed, and without numbers whether readings are missing."""
        pace = self._pace
        assert pace is not None, "it was learnt"
        readings, self._pushed = self._count - self._pushed, self._count
        missing = pace.push(host, None, readings) - readings
        found = pace.found
        if found is not None and found.spread:
            self._rebase(pace.period, host)
        if numbered or found is not None and found.spread:
            return
        if found is not None:
            missing += round(found.seconds / pace.period)
        if missing:
            if not self._missing:
                self._believed = host + BELIEVED * max(self._every, self._period) + 2 * pace.jitter
            self._missing += missing
        else:
            self._every = passed
        if host >= self._believed:
            self._count += self._missing
            self._pushed = self._count
            self._missing, self._believed = 0, math.inf

    def _rebase(self, period: float, host: float) -> None:
        """From here on a count is as long as this."""
        self.hull = LowerHull(window_s=self._window_s, spread=self._spread)
        self._period, self._zero, self._count = period, host, 0
        self._pushed, self._missing, self._believed, self._late_before = 0, 0, math.inf, 0.0
        self.hull.push(0.0, 0.0)

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
