"""WitMotion's standard protocol over a serial port: WT901, JY901, BWT901CL and their kin.

Source: WT901 datasheet v20-0702, 5.1 and 5.2; WIT's SDK, github.com/WITMOTION/WitStandardProtocol_JY901, REG.h and
wit_c_sdk.c (frames, registers and codes; no code was taken).

    55 kind d0 .. d7 sum      four i16 little-endian; sum of the ten bytes before it
    50 calendar   51 acceleration / 32768 * 16 g   52 angular velocity / 32768 * 2000 °/s
    53 roll pitch yaw / 32768 * 180 °   59 quaternion w x y z / 32768   (54 magnetic field: see below)

Each period the device sends the kinds that its register RSW names, in ascending order; they become one reading. Which
kind is the last is learnt from the first period, so that a reading is handed over with its last frame and not with the
next period. World axes: x east, y north, z up; the angles are turns about z, then y, then x. ``acceleration`` contains
gravity.

The models for BLE send their packets of BLE over the USB cable, too (``55 61``, 20 bytes, as :mod:`.witmotion_ble` has them);
they are understood here as they come. They have no checksum: out of step, it takes two back to back.

Left out because the datasheets contradict each other or give no unit: the magnetic field (raw counts whose size depends
on the chip) and the temperature (two formulas). Orientation is taken from the quaternion where it is sent.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from edgeskel.errors import UsageError
from firmware_bridge.codecs import CodecCounts, Gatt, Write
from firmware_bridge.codecs import _witmotion as packets
from firmware_bridge.codecs._stream import FrameStream
from firmware_bridge.codecs._values import unit
from firmware_bridge.codecs._witmotion import (
    ACCELERATION_STEP,
    ANGLE_STEP,
    ANGULAR_VELOCITY_STEP,
    QUARTER_TURN,
    counts_of,
    orientation_of,
    reading_of,
)
from firmware_bridge.samples import Chunk, DeviceStatus, Quaternion, Reading, Vector

__all__ = [
    "ACCELERATION", "ANGLES", "ANGULAR_VELOCITY", "QUATERNION", "RATES", "TIME", "WitMotionCodec",
    "encode_acceleration", "encode_angles", "encode_angular_velocity", "encode_quaternion", "encode_time",
    "write_register",
]

TIME, ACCELERATION, ANGULAR_VELOCITY, ANGLES, QUATERNION = 0x50, 0x51, 0x52, 0x53, 0x59
KINDS = frozenset({*range(0x50, 0x5B), 0x5F})
LENGTH = 11
VALUES = struct.Struct("<4h")
CALENDAR = struct.Struct("<6BH")


RATES = {0.2: 1, 0.5: 2, 1.0: 3, 2.0: 4, 5.0: 5, 10.0: 6, 20.0: 7, 50.0: 8, 100.0: 9, 200.0: 11}
"""Hz -> code of the register RRATE."""
DEFAULT_RATE = 100.0
SILENT = 13
CONTENT, RATE, KEY = 0x02, 0x03, 0x69
CONTENT_WANTED = 0x0001 | 0x0002 | 0x0004 | 0x0200  # calendar, acceleration, angular velocity, quaternion
UNLOCK = 0xB588
PAUSE_S = 0.1
YEAR_2000 = datetime(2000, 1, 1)


def _values(frame: bytes) -> tuple[int, int, int, int]:
    a, b, c, d = VALUES.unpack_from(frame, 2)
    return a, b, c, d


def _calendar(frame: bytes) -> int | None:
    """Milliseconds since the year 2000, or None for a date that does not exist."""
    year, month, day, hour, minute, second, millisecond = CALENDAR.unpack_from(frame, 2)
    if millisecond > 999 or year > 99:
        return None
    try:
        date = datetime(2000 + year, month, day, hour, minute, second)
    except ValueError:
        return None
    return (date - YEAR_2000) // timedelta(milliseconds=1) + int(millisecond)


def _quaternion(frame: bytes) -> Quaternion | None:
    w, x, y, z = _values(frame)
    return unit(w / 32768, x / 32768, y / 32768, z / 32768)


def _valid(frame: bytes) -> bool:
    kind = frame[1]
    if kind not in KINDS or sum(frame[:10]) & 0xFF != frame[10]:
        return False
    if kind == TIME:
        return _calendar(frame) is not None
    if kind == QUATERNION:
        return _quaternion(frame) is not None
    return kind != ANGLES or abs(_values(frame)[1]) <= QUARTER_TURN


class WitMotionCodec:
    """The frames of each period as one reading; see the module for axes, units and what is left out.

    ``device_us`` is the device's calendar as microseconds since 2000-01-01, where the kind 50 is sent.
    """

    name: ClassVar[str] = "witmotion"
    gatt: ClassVar[Gatt | None] = None
    sequence_bits: ClassVar[int | None] = None
    clock_bits: ClassVar[int | None] = 64
    clock_tick_us: ClassVar[float] = 1000.0

    def __init__(self) -> None:
        self.counts: CodecCounts = CodecCounts()
        self._parts = (CodecCounts(), CodecCounts())
        self._stream = FrameStream(b"\x55", LENGTH, _valid, self._parts[0])
        self._packets = FrameStream(packets.MEASUREMENT, packets.LENGTH, packets.valid, self._parts[1])
        self.reset()

    def reset(self) -> None:
        """Forget half a frame and half a period."""
        self._stream.reset()
        self._packets.reset()
        self._period: dict[int, bytes] = {}
        self._whole = True
        self._last_kind: int | None = None
        self._gap = False

    def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        """The readings that ``chunk`` completes. GAP where bytes were discarded before or within the period."""
        readings: list[Reading | DeviceStatus] = []
        for frame in self._stream.push(chunk.data):
            kind = frame.data[1]
            if self._period and kind <= max(self._period):
                if self._whole and not frame.after_gap:
                    self._last_kind = max(self._period)
                self._finish(readings)
            if frame.after_gap:
                self._gap = True
                self._whole = False
            self._period[kind] = frame.data
            if kind == self._last_kind:
                self._finish(readings)
        for packet in self._packets.push(chunk.data):
            reading = packets.reading_in(packet.data, packet.after_gap)
            assert reading is not None, "they begin as a measurement"
            readings.append(reading)
        self._count()
        return readings

    def _count(self) -> None:
        """Both look at all bytes, and what belongs to the other is nothing to complain about."""
        frames, packets_ = self._parts
        seen = max(self._parts, key=lambda part: part.frames)
        self.counts.frames = frames.frames + packets_.frames
        self.counts.bad = max(self.counts.bad, seen.bad)
        self.counts.discarded = max(self.counts.discarded, seen.discarded)

    def _finish(self, readings: list[Reading | DeviceStatus]) -> None:
        period, self._period, self._whole = self._period, {}, True
        if period.keys() & {ACCELERATION, ANGULAR_VELOCITY, ANGLES, QUATERNION}:
            readings.append(_reading(period, self._gap))
            self._gap = False

    def start(self, rate_hz: float | None = None) -> Sequence[Write]:
        """Ask for calendar, acceleration, angular velocity and quaternion at ``rate_hz``, 100 if None.

        Nothing is saved: after a power cycle the device is as it was. At 9600 baud it lowers the rate by itself.

        Raises:
            UsageError: a rate that the device does not have.
        """
        return [write_register(KEY, UNLOCK), write_register(CONTENT, CONTENT_WANTED),
                write_register(RATE, rate_code(rate_hz, RATES, DEFAULT_RATE))]

    def stop(self) -> Sequence[Write]:
        """Set the rate to none."""
        return [write_register(KEY, UNLOCK), write_register(RATE, SILENT)]

    def reply(self, chunk: Chunk) -> Sequence[Write]:
        """Nothing is to be answered."""
        return ()


def rate_code(rate_hz: float | None, rates: dict[float, int], default: float) -> int:
    """The code of a rate.

    Raises:
        UsageError: a rate that is not in the table.
    """
    rate = default if rate_hz is None else float(rate_hz)
    if rate not in rates:
        raise UsageError(f"witmotion at {rate:g} Hz", expected="one of " + ", ".join(f"{known:g}" for known in rates))
    return rates[rate]


def write_register(register: int, value: int, channel: str = "") -> Write:
    """``FF AA register low high``; the SDK waits 0.1 s after each."""
    return Write(struct.pack("<3BH", 0xFF, 0xAA, register, value), channel, PAUSE_S)


def _reading(period: dict[int, bytes], gap: bool) -> Reading:
    values = {kind: _values(frame) for kind, frame in period.items()}
    milliseconds = _calendar(period[TIME]) if TIME in period else None
    orientation = None
    if QUATERNION in period:
        orientation = _quaternion(period[QUATERNION])
    elif ANGLES in period:
        orientation = orientation_of(*values[ANGLES][:3])
    return reading_of(
        values[ACCELERATION][:3] if ACCELERATION in values else None,
        values[ANGULAR_VELOCITY][:3] if ANGULAR_VELOCITY in values else None,
        orientation, device_us=None if milliseconds is None else milliseconds * 1000, gap=gap,
    )


def _frame(kind: int, body: bytes) -> bytes:
    frame = bytes([0x55, kind]) + body
    return frame + bytes([sum(frame) & 0xFF])


def encode_acceleration(acceleration: Vector) -> bytes:
    """A frame of kind 51 from m/s²."""
    return _frame(ACCELERATION, VALUES.pack(*counts_of(acceleration, ACCELERATION_STEP), 0))


def encode_angular_velocity(angular_velocity: Vector) -> bytes:
    """A frame of kind 52 from rad/s."""
    return _frame(ANGULAR_VELOCITY, VALUES.pack(*counts_of(angular_velocity, ANGULAR_VELOCITY_STEP), 0))


def encode_angles(roll: float, pitch: float, yaw: float) -> bytes:
    """A frame of kind 53 from radians."""
    return _frame(ANGLES, VALUES.pack(*counts_of((roll, pitch, yaw), ANGLE_STEP), 0))


def encode_quaternion(quaternion: Quaternion) -> bytes:
    """A frame of kind 59 from (w, x, y, z)."""
    return _frame(QUATERNION, VALUES.pack(*counts_of(quaternion, 1 / 32768)))


def encode_time(milliseconds: int) -> bytes:
    """A frame of kind 50 from milliseconds since 2000-01-01; until 2099."""
    date = YEAR_2000 + timedelta(milliseconds=milliseconds)
    return _frame(TIME, CALENDAR.pack(date.year - 2000, date.month, date.day, date.hour, date.minute, date.second,
                                      milliseconds % 1000))
