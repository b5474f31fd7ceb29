"""What travels through the bridge: bytes with the moment they arrived, then readings in SI units.

Everything behind a codec is in metres, seconds, radians, m/s², rad/s and µT; whatever a maker writes otherwise is
converted in its codec, once.

What is made for every reading is a ``NamedTuple``: as fixed as a frozen dataclass, and made in a quarter of the time; by
:func:`maker` in half of that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag
from functools import partial
from typing import Any, NamedTuple, TypeVar

__all__ = ["Chunk", "Reading", "Flags", "Sample", "DeviceStatus", "Vector", "Quaternion", "maker"]

Made = TypeVar("Made", bound=tuple[Any, ...])

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]

STANDARD_GRAVITY = 9.80665
"""m/s²: what makers call 1 g (BIPM, 3rd CGPM 1901)."""


def maker(kind: type[Made]) -> Callable[[tuple[Any, ...]], Made]:
    """Makes a ``NamedTuple`` of a tuple of all its fields, in order and unchecked: for where thousands are made in a second."""
    return partial(tuple.__new__, kind)


class Chunk(NamedTuple):
    """Bytes as a transport hands them over; one datagram, one notification, or any piece of a stream.

    Args:
        data: the bytes.
        host_ns: ``time.monotonic_ns()`` at the earliest point where we saw them.
        channel: where they came in: a characteristic's UUID (lower case), a sender ``"host:port"``, or ``""``.
    """

    data: bytes
    host_ns: int
    channel: str = ""


class Flags(Flag):
    """What is to be known about a reading. The values stand in recordings."""

    NONE = 0
    GAP = 1
    """Readings were lost right before this one."""
    SATURATED = 2
    """A value stands at the end of the sensor's range."""
    REBOOTED = 8
    """The first one after the device started anew: its clock and counter begin a new epoch."""
    TIME_INTERPOLATED = 16
    """Measured, but the device sent its time for a whole batch: this one's was spread over it at the rate."""


class Reading(NamedTuple):
    """One instant of one sensor, as its codec understood it. None where the packet has no such value.

    Args:
        sensor: which sensor of the device; ``""`` where it has one only.
        sequence: the device's own counter, as sent; it wraps as the codec's ``sequence_bits`` says.
        device_us: the device's own clock in microseconds, as sent; it wraps as the codec's ``clock_bits`` says.
        orientation: unit quaternion (w, x, y, z), sensor -> world of the device's own filter.
        acceleration: specific force, m/s², sensor axes: a sensor at rest reads +g upwards.
        linear_acceleration: without gravity, m/s², in the axes that the codec's docstring says.
        angular_velocity: rad/s, sensor axes.
        magnetic_field: µT, sensor axes.
        flags: see :class:`Flags`.
    """

    sensor: str = ""
    sequence: int | None = None
    device_us: int | None = None
    orientation: Quaternion | None = None
    acceleration: Vector | None = None
    linear_acceleration: Vector | None = None
    angular_velocity: Vector | None = None
    magnetic_field: Vector | None = None
    flags: Flags = Flags.NONE


class Sample(NamedTuple):
    """One reading with everything that its place in time needs.

    Args:
        device: the link's name for the device.
        host_ns: when its bytes arrived, ``time.monotonic_ns()``.
        epoch: counts the device's reboots; its clock and counter are comparable within one epoch only.
        reading: what the codec understood; ``flags`` says if readings are missing before it.
        channel: where it came in (see :class:`Chunk`).
    """

    device: str
    host_ns: int
    epoch: int
    reading: Reading
    channel: str = ""


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """What a device says about itself.

    Args:
        sensor: which sensor; ``""`` for the whole device.
        battery: share of full, 0..1.
        temperature: °C.
        signal_dbm: received signal strength.
        identity: serial number or MAC address, as the device gives it.
        firmware: version text.
        text: anything else it reported, for the user.
    """

    sensor: str = ""
    battery: float | None = None
    temperature: float | None = None
    signal_dbm: float | None = None
    identity: str | None = None
    firmware: str | None = None
    text: str | None = None
