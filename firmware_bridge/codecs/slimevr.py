"""SlimeVR trackers and owoTrack phones over UDP, port 6969: the server's side of the protocol.

Source: github.com/SlimeVR/SlimeVR-Server (TrackersUDPServer, UDPProtocolParser, UDPPacket), SlimeVR-Tracker-ESP
(network/connection.cpp) and the test vectors of SlimeVR-Rust (firmware_protocol); the layout is written down in
:mod:`firmware_bridge.codecs.slimevr_packets`.

A tracker broadcasts a handshake until a server answers, then sends rotations (sensor -> world, world z up as its filter
has it) and accelerations without gravity (m/s², sensor axes). It drops a server that is silent for 3 s, so heartbeats are
sent as answers to what arrives, one each half second. Its packet number counts packets of every kind, hence tells that
some are missing but not of which sensor: ``Reading.sequence`` here counts the readings of its sensor, plus the packets
that were missing before each. A packet older than one already seen is refused, as the server does.

owoTrack's old dialect has no text in its handshake and sends rotations as kinds 1 and 16 and accelerations without a
sensor number; both are understood.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import ClassVar

from edgeskel.errors import UsageError
from firmware_bridge.codecs import CodecCounts, Gatt, Write
from firmware_bridge.codecs.slimevr_packets import (
    FEATURES,
    HANDSHAKE,
    HANDSHAKE_REPLY,
    PING,
    SENSOR_INFO,
    Facts,
    Packet,
    SlimeVRMotion,
    encode_packet,
    encode_sensor_info_reply,
    meaning,
    unpack,
)
from firmware_bridge.samples import Chunk, DeviceStatus, Flags, Quaternion, Reading, Vector

__all__ = ["SlimeVRCodec"]

HEARTBEAT_NS = 500_000_000
STALE_RUN = 8
"""So many old packet numbers in a row are no late packets: the tracker began anew."""
MOST_MISSING = 1 << 20
"""A number further ahead is no loss (hours of it), but a damaged packet or a new beginning."""
SERVER_FEATURES = b"\x03"  # bundles, and bundles with short headers


class SlimeVRCodec:
    """One tracker (up to 255 sensors). Sensors are named by their number: ``"0"``, and ``"1"`` for an extension."""

    name: ClassVar[str] = "slimevr"
    gatt: ClassVar[Gatt | None] = None
    sequence_bits: ClassVar[int | None] = 32
    clock_bits: ClassVar[int | None] = None
    clock_tick_us: ClassVar[float] = 1.0

    def __init__(self) -> None:
        self.counts: CodecCounts = CodecCounts()
        self._ping = 0
        self.reset()

    def reset(self) -> None:
        """The socket was opened anew: packet numbers may begin anywhere."""
        self._number: int | None = None
        self._greeted = False
        self._stale = 0
        self._missing = 0
        self._restarted: set[str] = set()
        self._sequences: dict[str, int] = {}
        self._heartbeat_ns: int | None = None

    def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        """The readings and facts of one datagram; rotation and acceleration of a sensor in one bundle are one reading."""
        packet = unpack(chunk.data)
        meanings = [meaning(kind, body) for kind, body in packet.parts] if packet is not None else []
        # Only a packet that makes sense may move the packet number on.
        if packet is None or all(part is None for part in meanings) or not self._in_order(packet):
            self.counts.bad += 1
            self.counts.discarded += len(chunk.data)
            return []
        self.counts.frames += 1
        self.counts.bad += sum(part is None for part in meanings)
        facts: list[Reading | DeviceStatus] = [part.status for part in meanings if isinstance(part, Facts)]
        return facts + self._readings([part for part in meanings if isinstance(part, SlimeVRMotion)])

    def _in_order(self, packet: Packet) -> bool:
        """Whether the packet is newer than the last one; counts what is missing between the two, and a new beginning."""
        if any(kind == HANDSHAKE for kind, _ in packet.parts):
            self._greeted = True
            return True
        number, last = packet.number, self._number
        if last is None:
            self._number, self._greeted = number, False
            return True
        if last < number <= last + MOST_MISSING:
            self._missing += number - last - 1
        elif self._greeted or self._stale + 1 >= STALE_RUN:
            self._restarted = set(self._sequences)
            self._sequences.clear()
            self._missing = 0
        elif number == 0:
            return True  # a sender that does not count; the server lets it pass, too
        else:
            self._stale += 1
            return False
        self._number, self._greeted, self._stale = number, False, 0
        return True

    def _readings(self, motions: list[SlimeVRMotion]) -> list[Reading | DeviceStatus]:
        whole: dict[str, tuple[Quaternion | None, Vector | None, Flags]] = {}
        readings: list[Reading | DeviceStatus] = []
        for motion in motions:
            sensor = str(motion.sensor)
            rotation, acceleration, flags = whole.get(sensor, (None, None, Flags.NONE))
            if (rotation and motion.rotation) or (acceleration and motion.acceleration):
                readings.append(self._reading(sensor, *whole.pop(sensor)))
                rotation, acceleration, flags = None, None, Flags.NONE
            whole[sensor] = (motion.rotation or rotation, motion.acceleration or acceleration, motion.flags | flags)
        return readings + [self._reading(sensor, *parts) for sensor, parts in whole.items()]

    def _reading(self, sensor: str, rotation: Quaternion | None, acceleration: Vector | None, flags: Flags) -> Reading:
        if sensor in self._restarted:
            self._restarted.discard(sensor)
            flags |= Flags.REBOOTED
        sequence = 0
        if sensor in self._sequences:  # a sensor that was never heard cannot tell a gap
            if self._missing:
                flags |= Flags.GAP
            sequence = (self._sequences[sensor] + 1 + self._missing) % (1 << 32)
            self._missing = 0
        self._sequences[sensor] = sequence
        return Reading(sensor, sequence, None, rotation, linear_acceleration=acceleration, flags=flags)

    def start(self, rate_hz: float | None = None) -> Sequence[Write]:
        """Nothing: the tracker speaks first.

        Raises:
            UsageError: any rate.
        """
        if rate_hz is not None:
            raise UsageError(f"slimevr at {rate_hz:g} Hz", expected="no rate: a tracker sets its own")
        return ()

    def stop(self) -> Sequence[Write]:
        """Nothing: a tracker falls silent 3 s after our last heartbeat."""
        return ()

    def reply(self, chunk: Chunk) -> Sequence[Write]:
        """The handshake's answer, the server's features, the receipt of a sensor, and a heartbeat with a ping when due."""
        packet = unpack(chunk.data)
        if packet is None:
            return ()
        answers: list[Write] = []
        for kind, body in packet.parts:
            if meaning(kind, body) is None:
                continue
            if kind == HANDSHAKE:
                answers.append(Write(HANDSHAKE_REPLY))
            elif kind == FEATURES:
                answers.append(Write(encode_packet(0, (FEATURES, SERVER_FEATURES))))
            elif kind == SENSOR_INFO:
                answers.append(Write(encode_sensor_info_reply(body[0], body[1])))
        if self._heartbeat_ns is None or chunk.host_ns - self._heartbeat_ns >= HEARTBEAT_NS:
            self._heartbeat_ns = chunk.host_ns
            self._ping = self._ping % 0x7FFFFFFF + 1
            answers += [Write(encode_packet(0, (1, b""))),
                        Write(encode_packet(0, (PING, struct.pack(">I", self._ping))))]
        return answers
