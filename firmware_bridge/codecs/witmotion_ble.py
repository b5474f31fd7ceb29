"""WitMotion's BLE sensors: WT901BLECL, BWT901BLE, WT9011DCL-BT50.

Source: WT901BLECL datasheet v20-0707, 6.1 with an example; WIT's SDK, github.com/WITMOTION/WitBluetooth_BWT901BLE5_0.

    55 61 acceleration angular velocity roll pitch yaw       nine i16 little-endian, 20 bytes, one notification
    55 71 register (u16) eight i16                            the answer to FF AA 27 register 00

Scales and axes are those of the serial protocol (:mod:`firmware_bridge.codecs.witmotion`), but for the names of the axes
of the housing: x forward, y left, z up. A register answer carries the magnetic field (3A, mG) or the quaternion (51).

No checksum, no counter, no clock: the radio's checksum protects a packet, and what is lost is lost silently. To tell a
wrong device from a right one: a notification that is not made of such packets is refused, and after one that was refused
two good ones in a row are needed before the first is handed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from firmware_bridge.codecs import CodecCounts, Gatt, Write
from firmware_bridge.codecs._witmotion import (
    ACCELERATION_STEP,
    ANGLE_STEP,
    ANGULAR_VELOCITY_STEP,
    ANSWER,
    LENGTH,
    MAGNETIC_FIELD,
    MEASURED,
    MEASUREMENT,
    MICROTESLA,
    QUATERNION,
    REGISTERS,
    counts_of,
    reading_in,
    valid,
)
from firmware_bridge.codecs.witmotion import KEY, RATE, UNLOCK, rate_code, write_register
from firmware_bridge.samples import Chunk, DeviceStatus, Quaternion, Reading, Vector

__all__ = ["RATES", "WitMotionBleCodec", "encode_magnetic_field", "encode_packet", "encode_quaternion",
           "read_magnetic_field", "read_quaternion"]

# The SDK's third group ends in 9a, not in the 9b of Bluetooth's own numbers.
SERVICE = "0000ffe5-0000-1000-8000-00805f9a34fb"
NOTIFY = "0000ffe4-0000-1000-8000-00805f9a34fb"
COMMAND = "0000ffe9-0000-1000-8000-00805f9a34fb"


RATES = {0.2: 1, 0.5: 2, 1.0: 3, 2.0: 4, 5.0: 5, 10.0: 6, 20.0: 7, 50.0: 8, 100.0: 9, 200.0: 11}
"""Hz -> code of the register RRATE, as in the serial protocol; not every model reaches the highest."""
DEFAULT_RATE = 50.0


class WitMotionBleCodec:
    """Measurements and answers as readings; see the module for axes and units.

    There is no command to be silent: closing the connection stops it.
    """

    name: ClassVar[str] = "witmotion-ble"
    gatt: ClassVar[Gatt | None] = Gatt(service=SERVICE, notify=(NOTIFY,), names=("WT", "BWT"), least_mtu=23)
    sequence_bits: ClassVar[int | None] = None
    clock_bits: ClassVar[int | None] = None
    clock_tick_us: ClassVar[float] = 1.0

    def __init__(self) -> None:
        self.counts: CodecCounts = CodecCounts()
        self.reset()

    def reset(self) -> None:
        """Trust the device again."""
        self._trusted = True
        self._gap = False
        self._held = b""

    def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        """The readings of a notification, which holds one packet or several whole ones."""
        data = chunk.data
        packets = [data[at : at + LENGTH] for at in range(0, len(data), LENGTH)]
        if not packets or not all(valid(packet) for packet in packets):
            self._refuse(len(data))
            self._trusted, self._gap = False, True
            return []
        if not self._trusted and not self._held:
            if len(packets) == 1:
                self._held = packets[0]
                return []
        elif self._held:
            packets.insert(0, self._held)
        self._trusted, self._held = True, b""
        readings: list[Reading | DeviceStatus] = []
        for packet in packets:
            self.counts.frames += 1
            reading = reading_in(packet, self._gap)
            if reading is not None:
                readings.append(reading)
                self._gap = False
        return readings

    def _refuse(self, size: int) -> None:
        """Count a refused notification, and the one held back before it."""
        for length in (size, len(self._held)):
            self.counts.bad += length > 0
            self.counts.discarded += length
        self._held = b""

    def start(self, rate_hz: float | None = None) -> Sequence[Write]:
        """Set the rate, 50 Hz if None; nothing is saved on the device.

        Raises:
            UsageError: a rate that the device does not have.
        """
        code = rate_code(rate_hz, RATES, DEFAULT_RATE)
        return [write_register(KEY, UNLOCK, COMMAND), write_register(RATE, code, COMMAND)]

    def stop(self) -> Sequence[Write]:
        """Nothing: see the class."""
        return ()

    def reply(self, chunk: Chunk) -> Sequence[Write]:
        """Nothing is to be answered."""
        return ()


def read_magnetic_field() -> Write:
    """The command whose answer carries the magnetic field."""
    return write_register(0x27, MAGNETIC_FIELD, COMMAND)


def read_quaternion() -> Write:
    """The command whose answer carries the quaternion."""
    return write_register(0x27, QUATERNION, COMMAND)


def encode_packet(acceleration: Vector, angular_velocity: Vector, angles: Vector) -> bytes:
    """A measurement from m/s², rad/s and (roll, pitch, yaw) in radians."""
    return MEASURED.pack(MEASUREMENT, *counts_of(acceleration, ACCELERATION_STEP),
                         *counts_of(angular_velocity, ANGULAR_VELOCITY_STEP), *counts_of(angles, ANGLE_STEP))


def encode_magnetic_field(magnetic_field: Vector) -> bytes:
    """The answer to :func:`read_magnetic_field` from µT."""
    return ANSWER.pack(REGISTERS, MAGNETIC_FIELD, *counts_of(magnetic_field, MICROTESLA), *[0] * 5)


def encode_quaternion(quaternion: Quaternion) -> bytes:
    """The answer to :func:`read_quaternion` from (w, x, y, z)."""
    return ANSWER.pack(REGISTERS, QUATERNION, *counts_of(quaternion, 1 / 32768), *[0] * 4)
