"""What a device's readings say about the device: rate, drift of its clock, and whether gravity is what it should be."""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass

import numpy as np

from edgeskel.errors import DeviceError
from firmware_bridge.clock import Clock
from firmware_bridge.codecs import Codec, create
from firmware_bridge.gyroscope_fit import GyroscopeFit, Judgement
from firmware_bridge.link import LinkHealth, Sample, protocol_of
from firmware_bridge.plausibility import check_acceleration
from firmware_bridge.samples import Reading

__all__ = ["Diagnostics", "Diagnosis"]

REST_RAD_S = 0.2
"""A sensor that turns slower than this is at rest, as far as gravity is concerned."""
KEPT = 500
SETTLED_S = 10.0
JUDGED_NS = 1_000_000_000
"""A sensor's acceleration is judged by its readings of so long."""
MOST_SENSORS = 256


@dataclass(frozen=True)
class Diagnosis:
    """One sensor, or one sender's.

    Args:
        sensor: the device's name for it; with the sender in front where there are several senders.
        rate_hz: readings per second, from the first to the last; None with fewer than two.
        readings: how many.
        drift_ppm: by how much the device's clock runs slow (above 0) or fast (below 0); None without a clock or too early to say.
        rest_m_s2: median size of the acceleration while at rest, about 9.81; None where it never was, or does not send both.
        judgement: whether the gyroscope fits the accelerometer, as far as motion has told (:mod:`firmware_bridge.gyroscope_fit`).
    """

    sensor: str
    rate_hz: float | None
    readings: int
    drift_ppm: float | None
    rest_m_s2: float | None
    judgement: Judgement = "not judged yet"


class _Sensor:
    def __init__(self, codec: Codec, name: str) -> None:
        self._name = name
        self._first: list[Reading] | None = []  # what the acceleration is judged by; None once it is
        self._fit = GyroscopeFit(name)
        self.clock = None if codec.clock_bits is None else Clock(
            clock_bits=codec.clock_bits, clock_tick_us=codec.clock_tick_us, sequence_bits=codec.sequence_bits)
        self._refused = False
        self.readings = 0
        self.first_ns = self.last_ns = 0
        self.rest: deque[float] = deque(maxlen=KEPT)

    def take(self, sample: Sample) -> str | None:
        reading = sample.reading
        if not self.readings:
            self.first_ns = sample.host_ns
        self.readings += 1
        self.last_ns = sample.host_ns
        if self.clock is not None:
            self.clock.push(reading, sample.host_ns)
        rate = reading.angular_velocity
        if reading.acceleration is not None and rate is not None and math.hypot(*rate) < REST_RAD_S:
            self.rest.append(math.hypot(*reading.acceleration))
        try:
            self._judge(reading, sample.host_ns)
        except DeviceError as error:
            self._refused = True
            return str(error)
        return None

    def _judge(self, reading: Reading, host_ns: int) -> None:
        acceleration, rate = reading.acceleration, reading.angular_velocity
        if self._first is not None:
            if host_ns - self.first_ns < JUDGED_NS:
                self._first.append(reading)
            else:
                first, self._first = self._first, None
                pushed = [one.acceleration for one in first if one.acceleration is not None]
                turned = [one.angular_velocity for one in first if one.angular_velocity is not None]
                if pushed:
                    check_acceleration(self._name, np.array(pushed), np.array(turned).reshape(-1, 3))
        if acceleration is not None and rate is not None:
            self._fit.push(host_ns / 1e9, rate, acceleration)
        elif acceleration is not None and reading.orientation is not None:
            self._fit.push_orientation(host_ns / 1e9, reading.orientation, acceleration)

    def vital(self, name: str) -> Diagnosis:
        span_s = (self.last_ns - self.first_ns) / 1e9
        settled = self.clock is not None and span_s >= SETTLED_S  # before that the line has no slope of its own
        return Diagnosis(
            name, (self.readings - 1) / span_s if span_s > 0 else None, self.readings,
            self.clock.drift_ppm if settled and self.clock is not None else None,
            statistics.median(self.rest) if self.rest else None, "refused" if self._refused else self._fit.judgement)


class Diagnostics:
    """Of one device, by its address."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.protocol: str = protocol_of(address)
        self._codec = create(self.protocol)
        self._identity: str | None = None
        self._sensors: dict[tuple[str, str], _Sensor] = {}

    def take(self, sample: Sample) -> str | None:
        """The next reading of the device.

        Returns:
            Why a sensor's numbers cannot be what they are called (:mod:`firmware_bridge.plausibility`), once; mostly None.
        """
        sender = sample.channel if self.address.startswith("udp:") else ""
        key = (sender, sample.reading.sensor)
        sensor = self._sensors.get(key)
        if sensor is None:
            if len(self._sensors) >= MOST_SENSORS:
                return None
            name = " ".join(part for part in (self.address, sender, sample.reading.sensor) if part)
            sensor = self._sensors[key] = _Sensor(self._codec, name)
        return sensor.take(sample)

    @property
    def senders(self) -> list[str]:
        """``host:port`` of each sender of datagrams."""
        return sorted({sender for sender, _ in self._sensors if sender})

    def identities(self, health: LinkHealth) -> list[str]:
        """Who the device is, or are its senders; remembered while the link is down."""
        self._identity = health.identity or self._identity
        if self.senders:
            return [f"udp:{sender}" for sender in self.senders]
        return [self._identity] if self._identity else []

    def sensors(self) -> list[Diagnosis]:
        """One for each sensor that was heard."""
        apart = len(self.senders) > 1
        return [sensor.vital(f"{sender} {name}".strip() if apart else name) for (sender, name), sensor in self._sensors.items()]
