"""What WitMotion's serial and BLE protocols have in common: scales, and the packets of 20 bytes.

    55 61 acceleration angular velocity roll pitch yaw       nine i16 little-endian
    55 71 register (u16) eight i16                            the answer to FF AA 27 register 00

Sources: those of :mod:`firmware_bridge.codecs.witmotion` and :mod:`firmware_bridge.codecs.witmotion_ble`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from firmware_bridge.codecs._euler import zyx
from firmware_bridge.codecs._values import DEGREE, unit
from firmware_bridge.samples import STANDARD_GRAVITY, Flags, Quaternion, Reading, Vector

__all__ = [
    "ACCELERATION_STEP", "ANGLE_STEP", "ANGULAR_VELOCITY_STEP", "ANSWER", "END_OF_RANGE", "LENGTH", "MAGNETIC_FIELD", "MEASURED",
    "MEASUREMENT", "MICROTESLA", "QUARTER_TURN", "QUATERNION", "REGISTERS", "counts_of", "orientation_of", "reading_in",
    "reading_of", "valid",
]

ACCELERATION_STEP = 16 * STANDARD_GRAVITY / 32768
ANGULAR_VELOCITY_STEP = 2000 * DEGREE / 32768
ANGLE_STEP = 180 * DEGREE / 32768
QUARTER_TURN = 16384
END_OF_RANGE = 32767

MEASUREMENT, REGISTERS = b"\x55\x61", b"\x55\x71"
LENGTH = 20
MEASURED = struct.Struct("<2s9h")
ANSWER = struct.Struct("<2sH8h")
MAGNETIC_FIELD, QUATERNION = 0x3A, 0x51
MICROTESLA = 0.1
"""µT of one mG."""


def valid(packet: bytes) -> bool:
    """Whether these bytes are one of the two, with values that can be."""
    if len(packet) != LENGTH:
        return False
    if packet.startswith(MEASUREMENT):
        return bool(abs(MEASURED.unpack(packet)[8]) <= QUARTER_TURN)
    if not packet.startswith(REGISTERS):
        return False
    _, register, w, x, y, z, *_ = ANSWER.unpack(packet)
    return register != QUATERNION or unit(w / 32768, x / 32768, y / 32768, z / 32768) is not None


def reading_in(packet: bytes, gap: bool) -> Reading | None:
    """What one of them says; None for a register that holds nothing for us."""
    if packet.startswith(MEASUREMENT):
        _, *values = MEASURED.unpack(packet)
        return reading_of(values[:3], values[3:6], orientation_of(*values[6:]), gap=gap)
    _, register, a, b, c, d, *_ = ANSWER.unpack(packet)
    flags = Flags.GAP if gap else Flags.NONE
    if register == MAGNETIC_FIELD:
        if max(abs(a), abs(b), abs(c)) >= END_OF_RANGE:
            flags |= Flags.SATURATED
        return Reading(magnetic_field=(a * MICROTESLA, b * MICROTESLA, c * MICROTESLA), flags=flags)
    if register == QUATERNION:
        return Reading(orientation=unit(a / 32768, b / 32768, c / 32768, d / 32768), flags=flags)
    return None


def reading_of(acceleration: Sequence[int] | None, angular_velocity: Sequence[int] | None,
               orientation: Quaternion | None, *, device_us: int | None = None, gap: bool = False) -> Reading:
    """A reading from raw counts; SATURATED where one stands at the end of its 16 bits."""
    flags = Flags.GAP if gap else Flags.NONE
    if any(abs(count) >= END_OF_RANGE for count in (*(acceleration or ()), *(angular_velocity or ()))):
        flags |= Flags.SATURATED
    return Reading(
        device_us=device_us, orientation=orientation, flags=flags,
        acceleration=None if acceleration is None else _scaled(acceleration, ACCELERATION_STEP),
        angular_velocity=None if angular_velocity is None else _scaled(angular_velocity, ANGULAR_VELOCITY_STEP),
    )


def orientation_of(roll: int, pitch: int, yaw: int) -> Quaternion:
    """The quaternion of three raw angles."""
    return zyx(yaw * ANGLE_STEP, pitch * ANGLE_STEP, roll * ANGLE_STEP)


def _scaled(counts: Sequence[int], step: float) -> Vector:
    return counts[0] * step, counts[1] * step, counts[2] * step


def counts_of(values: Sequence[float], step: float) -> list[int]:
    """Raw counts, held at the ends of 16 bits as the device does."""
    return [max(-32768, min(END_OF_RANGE, round(value / step))) for value in values]
