"""Angular velocities, each with the acceleration and the magnetic field measured nearest to it.

Polar sends the three in packets of their own, sampled on one clock but not at the same instants. An orientation needs
them together. Nothing is interpolated: a value stays the one that was measured, and is used where it is at most one of
its periods away. A reading therefore waits for the next packet of accelerations, and no longer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from firmware_bridge.samples import Flags, Reading, Vector

__all__ = ["PolarMerger", "PolarSample"]

HELD = 256
"""Samples of each kind that are kept at most: two frames of the longest."""


class PolarSample(NamedTuple):
    """One measurement: device time in µs, SI value, flags."""

    device_us: int
    vector: Vector
    flags: Flags


class PolarMerger:
    """Pairs the samples of one device; each kind comes in the order of its times."""

    def __init__(self) -> None:
        self._accelerations: deque[PolarSample] = deque(maxlen=HELD)
        self._magnetic: deque[PolarSample] = deque(maxlen=HELD)
        self._waiting: deque[PolarSample] = deque()

    def accelerations(self, samples: Iterable[PolarSample]) -> list[Reading]:
        """The readings that these complete."""
        _append(self._accelerations, samples)
        return self._paired()

    def magnetic_fields(self, samples: Iterable[PolarSample]) -> list[Reading]:
        """Nothing is complete by a magnetic field: the readings do not wait for it."""
        _append(self._magnetic, samples)
        return []

    def angular_velocities(self, samples: Iterable[PolarSample]) -> list[Reading]:
        """The readings that are complete already, and the oldest ones if too many wait."""
        self._waiting.extend(samples)
        readings = self._paired()
        while len(self._waiting) > HELD:
            readings.append(self._reading(self._waiting.popleft()))
        return readings

    def flush(self) -> list[Reading]:
        """What still waits, as it is."""
        readings = [self._reading(sample) for sample in self._waiting]
        self._waiting.clear()
        return readings

    def _paired(self) -> list[Reading]:
        readings: list[Reading] = []
        while self._waiting and self._accelerations and self._accelerations[-1].device_us >= self._waiting[0].device_us:
            readings.append(self._reading(self._waiting.popleft()))
        return readings

    def _reading(self, sample: PolarSample) -> Reading:
        acceleration = _nearest(self._accelerations, sample.device_us)
        magnetic = _nearest(self._magnetic, sample.device_us)
        flags = sample.flags
        if acceleration is not None and Flags.SATURATED in acceleration.flags:
            flags |= Flags.SATURATED
        return Reading(
            "", None, sample.device_us, None, acceleration.vector if acceleration else None, None, sample.vector,
            magnetic.vector if magnetic else None, flags,
        )  # fmt: skip


def _append(kept: deque[PolarSample], samples: Iterable[PolarSample]) -> None:
    for sample in samples:
        if kept and sample.device_us <= kept[-1].device_us:  # the clock was set, or the sensor started anew
            kept.clear()
        kept.append(sample)


def _nearest(kept: deque[PolarSample], device_us: int) -> PolarSample | None:
    """The sample nearest to ``device_us`` if it is at most a period away; what is older is dropped from ``kept``."""
    while len(kept) > 2 and kept[1].device_us <= device_us:
        kept.popleft()
    if not kept:
        return None
    first, second = kept[0], kept[1] if len(kept) > 1 else kept[0]
    best = min(first, second, key=lambda sample: abs(sample.device_us - device_us))
    # The two may stand on either side of a hole, the last two hardly ever do.
    newest = kept[-1].device_us - kept[-2].device_us if len(kept) > 1 else 0
    return best if abs(best.device_us - device_us) <= min(second.device_us - first.device_us, newest) else None
