"""Acceleration and magnetic field at the instants of the gyroscope, for devices that send them as separate events.

Phones hand over each sensor's values by themselves, at rates of their own, and a batch of one kind may come before that of
another. A filter wants them together: what is measured between two values of a kind lies on the line between them.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

from firmware_bridge.samples import Reading, Vector

__all__ = ["SignalMerger", "spread_first_packet", "stamps_of"]

HELD_S = 0.25
"""A value stands for so long where no later one comes; after that it says nothing any more."""
MOST = 1024
"""Values of a kind that are kept, and readings that wait for them."""

Timed = tuple[float, Reading]


class SignalMerger:
    """Completes the readings of one sensor; those that are complete pass at once, unless earlier ones wait.

    Args:
        leading: the field at whose instants the others are wanted, ``angular_velocity`` or ``orientation``.
        needed: the field without which a reading is left out.
        wanted: one that is waited for while it comes, and done without while it does not.
    """

    def __init__(self, leading: str, needed: str, wanted: str | None = None) -> None:
        self._leading = Reading._fields.index(leading)
        self._needed = Reading._fields.index(needed)
        self._others = (self._needed,) if wanted is None else (self._needed, Reading._fields.index(wanted))
        self._courses = {other: _Course() for other in self._others}
        self._waiting: deque[Timed] = deque()
        self._newest = float("-inf")
        self._apart = False
        self.dropped = 0
        """Readings that were left out, as what belongs to them did not come."""

    def push(self, readings: Sequence[Timed]) -> Sequence[Timed]:
        """Take readings, each with its seconds, and give those that are complete, in the order in which they came."""
        if not self._apart:
            leading, first, last = self._leading, self._others[0], self._others[-1]
            for at, (_, reading) in enumerate(readings):
                if reading[leading] is None or reading[first] is None or reading[last] is None:
                    self._apart = True  # from here on the values' courses are kept
                    return [*readings[:at], *self._push_apart(readings[at:])]
            return readings
        return self._push_apart(readings)

    def forget(self) -> None:
        """The device began anew, or was silent for long: nothing that is kept belongs to what comes."""
        self.dropped += len(self._waiting)
        self._waiting.clear()
        for course in self._courses.values():
            course.forget()
        self._newest = float("-inf")

    def _push_apart(self, readings: Sequence[Timed]) -> list[Timed]:
        done: list[Timed] = []
        for time, reading in readings:
            self._newest = max(self._newest, time)
            for other in self._others:
                value = reading[other]
                if value is not None:
                    self._courses[other].push(time, cast(Vector, value))
            if reading[self._leading] is not None:
                self._waiting.append((time, reading))
                if len(self._waiting) > MOST:
                    self._waiting.popleft()
                    self.dropped += 1
            while self._waiting:
                time, first = self._waiting[0]
                if self._newest - time <= HELD_S and any(self._lags(other, time) for other in self._others):
                    break
                self._waiting.popleft()
                values = {other: self._courses[other].at(time) for other in self._others}
                if values[self._needed] is None:
                    self.dropped += 1
                else:
                    named: dict[str, Any] = {Reading._fields[other]: value for other, value in values.items()}
                    done.append((time, first._replace(**named)))
        return done

    def _lags(self, other: int, time: float) -> bool:
        """Whether a value is still to come that belongs to an instant."""
        newest = self._courses[other].newest
        return newest < time and (other == self._needed or self._newest - newest <= HELD_S)


class _Course:
    """The last values of one kind, by time."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._times: list[float] = []
        self._values: list[Vector] = []
        self.newest = float("-inf")

    def push(self, time: float, value: Vector) -> None:
        if time > self.newest:
            self.newest = time
            self._times.append(time)
            self._values.append(value)
        else:
            at = bisect.bisect_left(self._times, time)
            if self._times[at] != time:
                self._times.insert(at, time)
                self._values.insert(at, value)
        if len(self._times) > 2 * MOST:
            del self._times[:MOST], self._values[:MOST]

    def at(self, time: float) -> Vector | None:
        """On the line between its neighbours; the nearest where it has one only and that is near; None where there is none."""
        at = bisect.bisect_left(self._times, time)
        if at < len(self._times) and self._times[at] == time:
            return self._values[at]
        if 0 < at < len(self._times):
            before, after = self._times[at - 1], self._times[at]
            if after - before <= 2 * HELD_S:
                share = (time - before) / (after - before)
                (a, b, c), (d, e, f) = self._values[at - 1], self._values[at]
                return (a + share * (d - a), b + share * (e - b), c + share * (f - c))
        near = [k for k in (at - 1, at) if 0 <= k < len(self._times) and abs(self._times[k] - time) <= HELD_S]
        return self._values[min(near, key=lambda k: abs(self._times[k] - time))] if near else None


def stamps_of(waited: Sequence[Timed]) -> list[float]:
    """Seconds of the readings that have an angular velocity, repeated packets left out."""
    pairs = [(time, reading) for time, reading in waited if reading.angular_velocity is not None]
    if len(pairs) < 2:
        pairs = list(waited)
    often = 0.5 * (pairs[-1][0] - pairs[0][0]) / len(pairs)
    kept = [pairs[0][0]]
    for (before, one), (time, other) in zip(pairs, pairs[1:], strict=False):
        if time - before >= often or one[1:] != other[1:]:
            kept.append(time)
    while len(kept) > 2 and kept[1] == kept[0]:
        kept.pop(0)  # the first packet: nothing tells yet how far apart its readings are
    return kept


def spread_first_packet(waited: Sequence[Timed], period_s: float) -> list[Timed]:
    """Whole readings that came first of all and together: the last was measured when they came, the others before.

    Later packets are spread when they come, by the period that earlier ones have taught; nothing taught the first.
    """
    many = 1
    while many < len(waited) and waited[many][0] == waited[0][0] and waited[many][1][1:] != waited[many - 1][1][1:]:
        many += 1
    packet = waited[:many]
    if any(reading.angular_velocity is None or reading.acceleration is None for _, reading in packet):
        return list(waited)  # kinds that come apart share an instant
    return [(time - (many - 1 - k) * period_s, reading) for k, (time, reading) in enumerate(packet)] + list(waited[many:])
