"""Packets of every protocol, made by its own encoder, and what can happen to them on the way.

Shared by ``benchmarks.codecs`` and the tests of all codecs.
"""

from __future__ import annotations

import math
import random
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firmware_bridge.codecs import Codec
from firmware_bridge.samples import Chunk, Reading

__all__ = ["SPECIMENS", "Specimen", "footprint", "mutants", "specimen"]

COUNT = 24
MUTATIONS = 9


@dataclass(frozen=True)
class Specimen:
    """What a healthy device sends.

    Args:
        chunks: in an order that a fresh codec accepts in full.
        stream: bytes without borders (serial), so that chunks may be cut anywhere.
        pieces: a packet may wait for another chunk before it counts.
    """

    chunks: tuple[Chunk, ...]
    stream: bool = False
    pieces: bool = False


def specimen(name: str) -> Specimen:
    """The specimen of a protocol; its module is imported now."""
    return SPECIMENS[name]()


def mutants(chunks: Sequence[Chunk], generator: random.Random) -> Iterator[Chunk]:
    """Endless damaged packets: flipped bits, other bytes, cut, lengthened, shifted, spliced, impossible floats, noise."""
    while True:
        chunk = generator.choice(chunks)
        data = bytearray(chunk.data)
        kind = generator.randrange(MUTATIONS)
        at = generator.randrange(len(data))
        if kind == 0:
            for _ in range(generator.randint(1, 3)):
                data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        elif kind == 1:
            data[at] = generator.randrange(256)
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            data += generator.randbytes(generator.randint(1, 40))
        elif kind == 4:
            del data[at : at + generator.randint(1, 4)]
        elif kind == 5:
            data[at:at] = generator.randbytes(generator.randint(1, 4))
        elif kind == 6:
            other = generator.choice(chunks).data
            data[at:] = other[generator.randrange(len(other)) :]
        elif kind == 7:
            value = generator.choice((math.nan, math.inf, -math.inf, 3e38, -1e9))
            data[at : at + 4] = struct.pack(generator.choice("<>") + "f", value)
        else:
            data = bytearray(generator.randbytes(generator.randrange(64)))
        yield Chunk(bytes(data), chunk.host_ns, chunk.channel)


def footprint(codec: Codec) -> int:
    """Bytes of everything that a codec keeps: its attributes and what they hold, each object once."""
    seen: set[int] = set()
    total = 0
    waiting: list[Any] = [vars(codec)]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type) or callable(thing):
            continue
        seen.add(id(thing))
        total += sys.getsizeof(thing)
        if isinstance(thing, Mapping):
            waiting += [*thing.keys(), *thing.values()]
        elif isinstance(thing, (list, tuple, set, frozenset, deque)):
            waiting += thing
        elif hasattr(thing, "__dict__"):
            waiting.append(vars(thing))
        elif hasattr(thing, "__slots__"):
            waiting += [getattr(thing, slot) for slot in thing.__slots__ if hasattr(thing, slot)]
    return total


def _motion(step: int) -> Reading:
    """A sensor that turns about its z axis and shakes a little."""
    turn = 0.02 * step
    return Reading(
        sequence=step,
        device_us=10_000 * step,
        orientation=(math.cos(turn), 0.0, 0.0, math.sin(turn)),
        acceleration=(math.sin(step), 0.5, 9.81),
        linear_acceleration=(math.sin(step), 0.5, 0.0),
        angular_velocity=(0.1, -0.2, 4.0),
        magnetic_field=(20.0, 1.0, -40.0),
    )


def _node(wrap: bool) -> Specimen:
    from firmware_bridge.codecs.node import NOTIFICATIONS
    from firmware_bridge.codecs.node_frame import Fields, Samples, StatusBody, encode_samples, encode_status, frame_of

    bodies = [encode_status(StatusBody(3, 0, 0, True, True, 0.5, 21.5, 100, 1, Fields.ALL, "node-1", "1.0.0", False))]
    bodies += [
        encode_samples(Samples(3, step, 10_000 * step, 1, Fields.ALL, [_motion(step)]))
        for step in range(COUNT)
    ]
    if wrap:
        return Specimen(tuple(Chunk(frame_of(body), 0) for body in bodies), stream=True)
    return Specimen(tuple(Chunk(body, 0, NOTIFICATIONS) for body in bodies))


def _slimevr() -> Specimen:
    from firmware_bridge.codecs import slimevr_packets as packets

    sender = "127.0.0.1:6969"
    chunks = [packets.encode_packet(0, packets.encode_handshake(b"\x02\x00\x00\x00\x00\x01"))]
    for step in range(1, COUNT):
        reading = _motion(step)
        assert reading.orientation and reading.linear_acceleration
        rotation = packets.encode_rotation(0, reading.orientation)
        acceleration = packets.encode_acceleration(0, reading.linear_acceleration)
        if step % 3:
            chunks.append(packets.encode_bundle(step, [rotation, acceleration], short=step % 3 == 2))
        else:
            chunks.append(packets.encode_packet(step, packets.encode_motion(
                0, reading.orientation, reading.linear_acceleration)))  # fmt: skip
    chunks.append(packets.encode_packet(COUNT, packets.encode_battery(3.9, 0.7)))
    return Specimen(tuple(Chunk(data, 0, sender) for data in chunks))


def _witmotion() -> Specimen:
    from firmware_bridge.codecs import witmotion

    chunks = []
    for step in range(COUNT):
        reading = _motion(step)
        assert reading.acceleration and reading.angular_velocity and reading.orientation
        chunks += [
            witmotion.encode_time(10 * step),
            witmotion.encode_acceleration(reading.acceleration),
            witmotion.encode_angular_velocity(reading.angular_velocity),
            witmotion.encode_angles(0.1, 0.2, 0.04 * step),
            witmotion.encode_quaternion(reading.orientation),
        ]
    return Specimen(tuple(Chunk(data, 0) for data in chunks), stream=True)


def _witmotion_ble() -> Specimen:
    from firmware_bridge.codecs import witmotion_ble

    chunks = []
    for step in range(COUNT):
        reading = _motion(step)
        assert reading.acceleration and reading.angular_velocity and reading.orientation
        chunks.append(
            witmotion_ble.encode_packet(reading.acceleration, reading.angular_velocity, (0.1, 0.2, 0.04 * step))
        )
    chunks.append(witmotion_ble.encode_magnetic_field((20.0, 1.0, -40.0)))
    return Specimen(tuple(Chunk(data, 0, witmotion_ble.NOTIFY) for data in chunks), pieces=True)


def _dot() -> Specimen:
    from firmware_bridge.codecs.dot import encode_battery, encode_packet

    packets = [encode_packet("custom-5", _motion(step), padded=step % 2 == 1) for step in range(COUNT)]
    return Specimen((*packets, encode_battery(0.8)))


def _mocopi() -> Specimen:
    from firmware_bridge.codecs.mocopi import BONES, Transform, encode_frame, encode_skeleton

    pose = [Transform((1.0, 0.0, 0.0, 0.0), (0.0, 0.1, 0.0)) for _ in BONES]
    chunks = [encode_skeleton(pose)]
    for step in range(COUNT):
        turned = _motion(step).orientation or (1.0, 0.0, 0.0, 0.0)
        chunks.append(encode_frame(step, [Transform(turned, (0.0, 0.1, 0.0)) for _ in BONES], 1.7e9 + 0.02 * step))
    return Specimen(tuple(Chunk(data, 0, "127.0.0.1:12351") for data in chunks))


def _mocopi_ble() -> Specimen:
    from firmware_bridge.codecs.mocopi_ble import NOTIFY, PERIOD_NS, encode_packet

    turns = [_motion(step).orientation or (1.0, 0.0, 0.0, 0.0) for step in range(COUNT + 1)]
    return Specimen(tuple(
        Chunk(encode_packet(PERIOD_NS * (step + 1000), turns[step + 1], turns[step]), 0, NOTIFY)
        for step in range(COUNT)))  # fmt: skip


def _movesense() -> Specimen:
    from firmware_bridge.codecs.movesense import encode_batch

    chunks = []
    for step in range(0, COUNT, 4):
        batch = [_motion(step + row) for row in range(4)]
        chunks += encode_batch("IMU6", 52, 77 * step, batch)
        chunks += encode_batch("IMU9", 104, 77 * step, batch * 2)
    return Specimen(tuple(chunks), pieces=True)


def _polar() -> Specimen:
    from firmware_bridge.codecs import polar
    from firmware_bridge.codecs.polar_control import FACTOR, encode_response

    (factor,) = struct.unpack("<I", struct.pack("<f", 2000 / 32768))
    chunks = [
        encode_response(2, polar.ACCELERATION, {}),
        encode_response(2, polar.ANGULAR_VELOCITY, {FACTOR: (factor,)}),
    ]
    for step in range(COUNT):
        time_ns = 600_000_000_000_000_000 + 80_000_000 * step
        resting = [(round(20 * math.sin(step + row)), -15, 1000 + row) for row in range(4)]
        chunks.append(polar.encode_frame(polar.ACCELERATION, time_ns, resting, 1))
        chunks.append(polar.encode_frame(polar.ANGULAR_VELOCITY, time_ns, resting, 0x80))
        chunks.append(polar.encode_frame(polar.MAGNETIC_FIELD, time_ns, [(200, -400, 100, 2)] * 4, 0x81))
    return Specimen(tuple(chunks))


def _metamotion() -> Specimen:
    from firmware_bridge.codecs.metamotion import OUTPUTS, encode_battery, encode_output

    chunks = [encode_battery(0.9, 4100)]
    for step in range(COUNT):
        reading = _motion(step)
        for output in OUTPUTS:
            values = (0.0, 0.0, 9.8) if output == "gravity" else getattr(reading, output)
            chunks.append(encode_output(output, values))
    return Specimen(tuple(chunks))


def _bno08x() -> Specimen:
    from firmware_bridge.codecs.bno08x import encode_frame

    return Specimen(tuple(
        Chunk(encode_frame(step, (0.02 * step, 0.1, -0.1), (0.1, 0.2, 9.8)), 0) for step in range(COUNT)
    ), stream=True)  # fmt: skip


def _lines() -> Specimen:
    from firmware_bridge.codecs.lines import encode_csv, encode_json

    data = [(encode_csv if step % 2 else encode_json)(_motion(step)) for step in range(COUNT)]
    return Specimen(tuple(Chunk(line, 0, "127.0.0.1:5000") for line in data))


SPECIMENS: dict[str, Callable[[], Specimen]] = {
    "node": lambda: _node(True),
    "node over BLE": lambda: _node(False),
    "slimevr": _slimevr,
    "witmotion": _witmotion,
    "witmotion-ble": _witmotion_ble,
    "dot": _dot,
    "mocopi": _mocopi,
    "mocopi-ble": _mocopi_ble,
    "movesense": _movesense,
    "polar": _polar,
    "metamotion": _metamotion,
    "bno08x": _bno08x,
    "lines": _lines,
}
"""By protocol name; after a blank, the way it travels."""
