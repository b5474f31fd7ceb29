"""What a link decodes with: one codec per sender, one sequence tracker per sensor, and the rate of arrival."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from firmware_bridge.codecs import Codec
from firmware_bridge.link.sequence_tracker import SequenceTracker

__all__ = ["ArrivalRate", "SenderState"]

MOST_SENSORS = 256
"""Sequence trackers of one link; a device that names more sensors than that is talking nonsense."""


class SenderState:
    """Codec and sequence trackers of one sender.

    Args:
        codec: decodes this sender's bytes and nobody else's.
        ordered: see :class:`~firmware_bridge.link.sequence_tracker.SequenceTracker`.
    """

    def __init__(self, codec: Codec, *, ordered: bool) -> None:
        self.codec = codec
        self.epoch = 0
        self.identity: str | None = None
        self.trackers: dict[str, SequenceTracker] = {}
        self._make: Callable[[], SequenceTracker] = lambda: SequenceTracker(
            codec.sequence_bits, codec.clock_bits, codec.clock_tick_us, ordered=ordered)

    def tracker(self, sensor: str) -> SequenceTracker | None:
        """The sequence tracker of a sensor; None beyond the number that a device can have."""
        tracker = self.trackers.get(sensor)
        if tracker is None and len(self.trackers) < MOST_SENSORS:
            tracker = self.trackers[sensor] = self._make()
            tracker.reboots = self.epoch  # a sensor that appears later lives in the present epoch
        return tracker

    def reopened(self) -> None:
        """The transport was opened anew: forget half a frame and who it was, keep the counts."""
        self.codec.reset()
        self.identity = None
        for tracker in self.trackers.values():
            tracker.reopened()


class ArrivalRate:
    """When chunks with readings arrived: how often they come, and how many readings a second.

    The interval is measured between chunks, because a device that sends ten readings at once is silent for ten periods
    between two packets.
    """

    def __init__(self, nominal_hz: float | None) -> None:
        self.last_ns: int | None = None
        self.deaf_ns: int = 0
        """For how long since the last chunk the host could not listen."""
        self._nominal_s = 1.0 / nominal_hz if nominal_hz else 0.0
        self._times: deque[int] = deque(maxlen=33)
        self._begin_ns: int | None = None
        self._count = 0
        self._rate_hz = 0.0

    def add(self, now_ns: int, readings: int) -> None:
        """A chunk with so many readings arrived."""
        self.last_ns, self.deaf_ns = now_ns, 0
        self._times.append(now_ns)
        if self._begin_ns is None:
            self._begin_ns = now_ns
        elif now_ns - self._begin_ns >= 1_000_000_000:
            self._rate_hz = self._count * 1e9 / (now_ns - self._begin_ns)
            self._begin_ns, self._count = now_ns, 0
        self._count += readings

    def excuse(self, deaf_ns: int) -> None:
        """The host could not listen for so long."""
        self.deaf_ns += deaf_ns

    def restart(self) -> None:
        """The link was opened anew: intervals begin again."""
        self._times.clear()
        self.deaf_ns = 0
        self._begin_ns, self._count = None, 0

    @property
    def interval_s(self) -> float | None:
        """Mean seconds between the last chunks; None until there are enough to say."""
        if len(self._times) < 5:
            return None
        return max((self._times[-1] - self._times[0]) / 1e9 / (len(self._times) - 1), self._nominal_s)

    def rate_hz(self, now_ns: int) -> float:
        """Readings per second of all sensors together, over the last full second; 0 when silent for two."""
        if self.last_ns is None or now_ns - self.last_ns > 2_000_000_000:
            return 0.0
        return self._rate_hz
