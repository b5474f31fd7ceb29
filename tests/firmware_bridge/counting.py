"""The simplest protocol that a link can speak: packets that count. Tests vary it where they need to."""

from __future__ import annotations

import struct
from typing import ClassVar

from firmware_bridge.codecs import CodecCounts, Gatt, Write
from firmware_bridge.samples import Chunk, DeviceStatus, Reading

SERVICE, NOTIFY, WRITE = (f"0000{n}-1111-2222-3333-444444444444" for n in ("aaa0", "aaa1", "aaa2"))
GATT = Gatt(SERVICE, (NOTIFY,), names=("left",))


class Counting:
    """A u16 that counts; no clock, no commands."""

    name: ClassVar[str] = "counting"
    gatt: ClassVar[Gatt | None] = None
    sequence_bits: ClassVar[int | None] = 16
    clock_bits: ClassVar[int | None] = None
    clock_tick_us: ClassVar[float] = 1.0

    def __init__(self) -> None:
        self.counts = CodecCounts()

    def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        return [Reading(sequence=struct.unpack("<H", chunk.data)[0])]

    def start(self, rate_hz: float | None = None) -> list[Write]:
        return []

    def stop(self) -> list[Write]:
        return []

    def reply(self, chunk: Chunk) -> list[Write]:
        return []

    def reset(self) -> None:
        pass


class CountingOverBle(Counting):
    """A u16 that counts and a u32 of microseconds in 26 bytes, as an inertial sensor sends them."""

    gatt: ClassVar[Gatt | None] = GATT
    clock_bits: ClassVar[int | None] = 32

    def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        if len(chunk.data) != 26 or chunk.channel != NOTIFY:
            self.counts.bad += 1
            return []
        sequence, device_us = struct.unpack_from("<HI", chunk.data)
        return [Reading(sequence=sequence, device_us=device_us)]

    def start(self, rate_hz: float | None = None) -> list[Write]:
        return [Write(b"start", WRITE)]

    def stop(self) -> list[Write]:
        return [Write(b"stop", WRITE)]


def packet(sequence: int, device_us: int) -> bytes:
    """What :class:`CountingOverBle` reads; the numbers wrap."""
    return struct.pack("<HI20x", sequence % 2**16, device_us % 2**32)
