"""One sensor on a body: what it is, and its readings on their way to orientations at any instant."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from edgeskel.errors import DeviceError
from firmware_bridge.align import JitterBuffer
from firmware_bridge.body.segments import segment_of
from firmware_bridge.clock import Clock
from firmware_bridge.gyroscope_fit import Judgement
from firmware_bridge.orientation import Orientation, OrientationSettings, OrientedSample
from firmware_bridge.samples import Reading

__all__ = ["SensorSetup", "WornSensor"]

STEADY = 0.1
"""Share of its period by which a sensor that measures steadily may be off."""


@dataclass(frozen=True)
class SensorSetup:
    """One sensor.

    Args:
        place: segment of ``imu-17``, or a wrist or an ankle.
        clock: stamps its readings; None takes their arrival as it is, which is right for what was stamped before.
        settings: how its orientation is made.
    """

    place: str
    clock: Clock | None = None
    settings: OrientationSettings = field(default_factory=OrientationSettings)

    @classmethod
    def of(cls, codec: Any, place: str, *, rate_hz: float | None = None,
           settings: OrientationSettings | None = None) -> SensorSetup:
        """A sensor of a device that speaks ``codec`` (:mod:`firmware_bridge.codecs`); ``rate_hz`` is how often it measures, by its
        maker, and may be left out."""
        settings = settings or OrientationSettings()
        if rate_hz is not None and settings.rate_hz is None:
            settings = replace(settings, rate_hz=rate_hz)
        clock = Clock(clock_bits=codec.clock_bits, clock_tick_us=codec.clock_tick_us, sequence_bits=codec.sequence_bits,
                      rate_hz=rate_hz)
        return cls(place, clock, settings)


class WornSensor:
    """A worn sensor's state: what was gathered, what it came to, and why it is refused.

    Args:
        name: for messages.
        worn: what it is.
    """

    def __init__(self, name: str, worn: SensorSetup) -> None:
        self.segment: str = segment_of(worn.place)
        self.clock: Clock | None = worn.clock
        self.orientation: Orientation = Orientation(worn.settings, name=name)
        self.buffer: JitterBuffer = JitterBuffer()
        self.epoch = self.clock_epoch = 0
        self.gathered: list[tuple[float, Reading]] = []
        self.refused: DeviceError | None = None
        self.told = False
        self._period = math.nan
        self._steady = False

    @property
    def judgement(self) -> Judgement:
        """Whether what turns fits the accelerometer, as far as its motion has told."""
        return "refused" if self.refused is not None else self.orientation.fit.judgement

    def judge(self) -> bool:
        """Look at that now; False where nothing waits to be looked at."""
        if self.refused is not None or not self.orientation.fit.waits:
            return False
        try:
            self.orientation.judge()
        except DeviceError as error:
            self.refused = error
        return True

    def work_through(self) -> tuple[list[OrientedSample], bool]:
        """Make orientations of what was gathered; with them, whether the heading was lost meanwhile."""
        gathered, self.gathered = self.gathered, []
        try:
            oriented = self.orientation.push_all(gathered)
        except DeviceError as error:
            self.refused = error
            return [], False
        begin, lost = 0, False
        for at, one in enumerate(oriented):
            if one.epoch != self.epoch:
                self.epoch, begin, lost = one.epoch, at, True
                self.buffer.clear()
        self.keep(oriented[begin:] if begin else oriented)
        return oriented, lost

    def keep(self, oriented: list[OrientedSample]) -> None:
        """What its newest readings came to, of one epoch."""
        before = self.buffer.newest
        self.buffer.extend(oriented)
        if not oriented or before == -math.inf:
            return
        period, self._period = self._period, (self.buffer.newest - before) / len(oriented)
        self._steady = abs(self._period - period) < STEADY * period

    def soonest(self, time: float) -> float:
        """Before when it hardly gives a reading of ``time`` or later, if it goes on as it did; -inf where nothing tells."""
        last = self.gathered[-1][0] if self.gathered else self.buffer.newest
        if not self._steady or last >= time:
            return -math.inf
        return last + (math.ceil((time - last) / self._period - STEADY) - STEADY) * self._period
