"""One Sony mocopi sensor over BLE, without the phone.

Sony documents nothing of this. Source: what github.com/moslime found out and its programs use (mocopi-reverse-engineering:
"Packet breakdown.txt", "BLE handles.txt", "Command log.txt", README; moslime: moslime.py, moslime_common.py), and
github.com/Kirisame-Nanoha/mocopi-slimevr-hid-receiver (service and name in the advertisement).

    notification, 36 bytes, little-endian
      u64        time in nanoseconds
      i16 x 4    quaternion w x y z / 8192         i16 x 4   the one before
      f16 x 3    acceleration                      f16 x 3   the one before

The time: moslime reads bytes 1 to 7 as a counter that grows by 78,125 each packet; with byte 0 below it that is
20,000,000, the nanoseconds of a period at the known 50 Hz, and its published packet then shows a date in May 2023.
Every packet repeats the measurement before it, so a single lost packet loses nothing: it is handed over late.

The orientation is relative to the pose in which the stream was started (the sensor zeroes itself then); which way its
axes lie in the housing is not documented. The acceleration is left out: sources contradict each other on its unit (counts,
g, or times 0.12) and on the order of its axes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import ClassVar

from edgeskel.errors import UsageError
from firmware_bridge.codecs import CodecCounts, Gatt, Write
from firmware_bridge.codecs._values import unit
from firmware_bridge.samples import Chunk, DeviceStatus, Flags, Quaternion, Reading

__all__ = ["MocopiBleCodec", "encode_packet"]

SERVICE = "91a7608d-4456-479d-b9b1-4706e8711cf8"
NOTIFY = "25047e64-657c-4856-afcf-e315048a965b"
COMMAND = "0000ff01-0000-1000-8000-00805f9b34fb"
START = bytes.fromhex("7e0318d6010000")

PACKET = struct.Struct("<Q8h6e")
SCALE = 1 / 8192
RATE_HZ = 50.0
PERIOD_NS = 20_000_000


class MocopiBleCodec:
    """Packets as readings of the orientation; see the module for what is known and what is not."""

    name: ClassVar[str] = "mocopi-ble"
    gatt: ClassVar[Gatt | None] = Gatt(service=SERVICE, notify=(NOTIFY,), names=("QM-SS1",), least_mtu=39)
    sequence_bits: ClassVar[int | None] = 40
    clock_bits: ClassVar[int | None] = 64
    clock_tick_us: ClassVar[float] = 0.001

    def __init__(self) -> None:
        self.counts: CodecCounts = CodecCounts()
        self.reset()

    def reset(self) -> None:
        """Forget the last time."""
        self._last_ns: int | None = None

    def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        """The reading of a notification, after the one before it where that was lost."""
        if len(chunk.data) != PACKET.size:  # cut by the MTU, or no measurement: both occur right after the start
            return self._refuse(chunk)
        now_ns, *values = PACKET.unpack(chunk.data)
        present, before = _orientation(values[:4]), _orientation(values[4:8])
        if present is None:
            return self._refuse(chunk)
        self.counts.frames += 1
        last_ns, self._last_ns = self._last_ns, now_ns
        readings: list[Reading | DeviceStatus] = []
        elapsed = 0 if last_ns is None else now_ns - last_ns
        recovered = elapsed >= 2 * PERIOD_NS and before is not None
        gap = elapsed > 2 * PERIOD_NS or (elapsed == 2 * PERIOD_NS and not recovered)
        if recovered:
            readings.append(_reading(now_ns - PERIOD_NS, before, gap))
        readings.append(_reading(now_ns, present, gap and not recovered))
        return readings

    def _refuse(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        self.counts.bad += 1
        self.counts.discarded += len(chunk.data)
        return []

    def start(self, rate_hz: float | None = None) -> Sequence[Write]:
        """The one command that the stream needs. Keep the sensor still: it zeroes itself for about a second.

        Raises:
            UsageError: any rate but 50.
        """
        if rate_hz is not None and rate_hz != RATE_HZ:
            raise UsageError(f"mocopi-ble at {rate_hz:g} Hz", expected="50: it has no other rate")
        return [Write(START, COMMAND)]

    def stop(self) -> Sequence[Write]:
        """Nothing: no such command is known; closing the connection stops it."""
        return ()

    def reply(self, chunk: Chunk) -> Sequence[Write]:
        """Nothing is to be answered."""
        return ()


def _orientation(counts: Sequence[int]) -> Quaternion | None:
    w, x, y, z = counts
    return unit(w * SCALE, x * SCALE, y * SCALE, z * SCALE)


def _reading(time_ns: int, orientation: Quaternion | None, gap: bool) -> Reading:
    return Reading(sequence=time_ns // PERIOD_NS, device_us=time_ns // 1000, orientation=orientation,
                   flags=Flags.GAP if gap else Flags.NONE)


def encode_packet(time_ns: int, orientation: Quaternion, before: Quaternion) -> bytes:
    """A notification of two quaternions (w, x, y, z), the present one and the one before; accelerations are 0."""
    counts = [max(-32768, min(32767, round(value / SCALE))) for value in (*orientation, *before)]
    return PACKET.pack(time_ns, *counts, *[0.0] * 6)
