"""Frames of our own wearable node: bodies to bytes and back, by ``docs/devices/node.md``.

Four kinds of body travel: samples, status, command and acknowledgement. All numbers are little-endian. The reference
firmware's ``node_frame.c`` is the same in C; the tests hold the two to the same bytes.
"""

from __future__ import annotations

import math
import struct
from binascii import crc_hqx
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NamedTuple

from edgeskel.errors import UsageError
from firmware_bridge.samples import Flags, Quaternion, Reading, Vector, maker

__all__ = [
    "Acknowledgement",
    "NodeCommand",
    "Fields",
    "HEADER",
    "FrameKind",
    "LONGEST_BODY",
    "LONGEST_STUFFED",
    "MISSING",
    "MOST_SENSORS",
    "Message",
    "Order",
    "PER_METRE_PER_SECOND_SQUARED",
    "PER_MICROTESLA",
    "PER_RADIAN_PER_SECOND",
    "PER_UNIT",
    "Result",
    "Samples",
    "StatusBody",
    "body_of",
    "encode_acknowledgement",
    "encode_command",
    "encode_samples",
    "encode_status",
    "frame_of",
    "parse",
    "record_size",
]

LONGEST_BODY = 512
"""Bytes of the longest body on a wire; over BLE the ATT MTU less 3 bounds it further."""
LONGEST_STUFFED = LONGEST_BODY + 2 + 3
"""Bytes of the longest frame between its delimiters: body, CRC, and one byte of COBS for every 254 begun."""
MOST_SENSORS = 64

PER_UNIT = 32767  # of a quaternion component
PER_METRE_PER_SECOND_SQUARED = 200
PER_RADIAN_PER_SECOND = 900
PER_MICROTESLA = 10
MISSING = -32768
MOST = 32767
# Rounding moves a norm by 0.00003; more than this is no rotation.
NORM_SLACK = 0.01

HEADER = struct.Struct("<BBHIBBB")
STATUS = struct.Struct("<BBHIBBhHBB")
COMMAND = struct.Struct("<BBB")
ACKNOWLEDGEMENT = struct.Struct("<BBBBI")
LONGEST_TEXT = 32
LONGEST_ARGUMENTS = 16


class FrameKind(IntEnum):
    """First byte of a body."""

    SAMPLES = 0x01
    STATUS = 0x02
    COMMAND = 0x10
    ACKNOWLEDGEMENT = 0x11


class Fields(IntFlag):
    """Which values a record holds, in this order."""

    QUATERNION = 1
    ACCELERATION = 2
    GYROSCOPE = 4
    MAGNETOMETER = 8
    ALL = 15


class Order(IntEnum):
    """What a command asks for."""

    IDENTIFY = 1
    START = 2
    STOP = 3
    RATE = 4
    TIME_SYNC = 5
    TARE = 6
    FIELDS = 7


class Result(IntEnum):
    """How a command went."""

    DONE = 0
    UNKNOWN = 1
    LENGTH = 2
    VALUE = 3
    FAILED = 4


class Samples(NamedTuple):
    """Readings of one instant.

    Args:
        boot: changes at every start of the node; 0 where the node cannot tell.
        sequence: number of the instant, 0..65535.
        device_us: microseconds since the node started, 0..2**32 - 1.
        sensors: how many sensors the node has.
        fields: what each record holds.
        readings: one per record.
    """

    boot: int
    sequence: int
    device_us: int
    sensors: int
    fields: Fields
    readings: list[Reading]


@dataclass(frozen=True, slots=True)
class StatusBody:
    """What a node says about itself; ``sequence`` is that of its last instant, ``rate_hz`` the one in force.

    ``battery`` is a share of full in steps of 0.5 %, ``temperature`` °C in steps of 0.01; None where unknown.
    """

    boot: int
    sequence: int
    device_us: int
    started: bool
    running: bool
    battery: float | None
    temperature: float | None
    rate_hz: int
    sensors: int
    fields: Fields
    identity: str
    firmware: str
    charging: bool = False


@dataclass(frozen=True, slots=True)
class NodeCommand:
    """An order of the host; ``token`` comes back in the acknowledgement."""

    token: int
    order: int
    arguments: bytes = b""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The node's answer; ``device_us`` is when it took the command up, ``data`` what the order returns."""

    token: int
    order: int
    result: int
    device_us: int
    data: bytes = b""


def record_size(fields: int) -> int:
    """Bytes of one sensor's record."""
    return 1 + 8 * (fields & 1) + 6 * (fields >> 1 & 1) + 6 * (fields >> 2 & 1) + 6 * (fields >> 3 & 1)


_RECORDS = tuple(struct.Struct(f"<B{(record_size(fields) - 1) // 2}h") for fields in range(16))
_NAMES = tuple(str(index) for index in range(MOST_SENSORS))
# Plain numbers and tables: an operation on a flag of an enum costs more than decoding a vector.
_PLAIN, _SATURATED = Flags.NONE, Flags.SATURATED
_KIND_OF_SAMPLES = int(FrameKind.SAMPLES)
_PER_FORCE, _PER_RATE = PER_METRE_PER_SECOND_SQUARED, PER_RADIAN_PER_SECOND
_reading, _samples_of = maker(Reading), maker(Samples)
_FIELDS = tuple(Fields(fields) for fields in range(16))
_VECTORS = (
    (Fields.ACCELERATION.value, "acceleration", PER_METRE_PER_SECOND_SQUARED),
    (Fields.GYROSCOPE.value, "angular_velocity", PER_RADIAN_PER_SECOND),
    (Fields.MAGNETOMETER.value, "magnetic_field", PER_MICROTESLA),
)
# Of each set of fields: the vectors in a record as (which of them, where it begins, units).
_PLACED = tuple(
    tuple((place, record_size(fields & (field - 1)) // 2 + 1, per_unit)
          for place, (field, _, per_unit) in enumerate(_VECTORS) if fields & field)
    for fields in range(16)
)  # fmt: skip


def frame_of(body: bytes) -> bytes:
    """A body as it goes over a wire: delimiter, COBS of body and CRC, delimiter."""
    from cobs import cobs

    stuffed: bytes = cobs.encode(body + crc_hqx(body, 0xFFFF).to_bytes(2, "little"))
    return b"\0" + stuffed + b"\0"


def body_of(stuffed: bytes) -> bytes | None:
    """The body of what stood between two delimiters; None where COBS or CRC say that it is damaged."""
    from cobs import cobs

    try:
        data: bytes = cobs.decode(stuffed)
    except cobs.DecodeError:
        return None
    body = data[:-2]
    return body if body and crc_hqx(body, 0xFFFF) == int.from_bytes(data[-2:], "little") else None


Message = Samples | StatusBody | NodeCommand | Acknowledgement
"""What a body may say."""


def parse(body: bytes) -> Message | None:
    """What a body says; None where its length or a value is impossible. Never raises."""
    kind = body[0] if body else 0
    if kind == _KIND_OF_SAMPLES:
        return _samples(body)
    if kind == FrameKind.STATUS:
        return _status(body)
    if kind == FrameKind.COMMAND and COMMAND.size <= len(body) <= COMMAND.size + LONGEST_ARGUMENTS:
        return NodeCommand(body[1], body[2], bytes(body[3:]))
    if kind == FrameKind.ACKNOWLEDGEMENT and ACKNOWLEDGEMENT.size <= len(body) <= ACKNOWLEDGEMENT.size + LONGEST_ARGUMENTS:
        _, token, order, result, device_us = ACKNOWLEDGEMENT.unpack_from(body)
        return Acknowledgement(token, order, result, device_us, bytes(body[ACKNOWLEDGEMENT.size :]))
    return None


def _samples(body: bytes) -> Samples | None:
    if len(body) < HEADER.size:
        return None
    _, boot, sequence, device_us, fields, sensors, count = HEADER.unpack_from(body)
    if not 0 < fields < 16 or not 0 < count <= sensors <= MOST_SENSORS:
        return None
    record = _RECORDS[fields]
    if len(body) != HEADER.size + count * record.size:
        return None
    readings: list[Reading] = []
    seen = -1
    for values in record.iter_unpack(body[HEADER.size :]):
        saturated, index = values[0] & 0x80, values[0] & 0x7F
        if not seen < index < sensors:
            return None
        seen = index
        if fields == 6 and not saturated and MISSING not in values and MOST not in values and -MOST not in values:
            _, a, b, c, d, e, f = values  # what most nodes send, all of it there, at half of the cost
            readings.append(_reading((
                _NAMES[index] if sensors > 1 else "", sequence, device_us, None,
                (a / _PER_FORCE, b / _PER_FORCE, c / _PER_FORCE), None, (d / _PER_RATE, e / _PER_RATE, f / _PER_RATE), None, _PLAIN,
            )))  # fmt: skip
            continue
        orientation: Quaternion | None = None
        vectors: list[Vector | None] = [None, None, None]
        if fields & 1:
            w, x, y, z = values[1:5]
            if w != MISSING:
                norm = math.sqrt(w * w + x * x + y * y + z * z)
                if abs(norm - PER_UNIT) > NORM_SLACK * PER_UNIT or MISSING in (x, y, z):
                    return None
                orientation = (w / norm, x / norm, y / norm, z / norm)
            elif not x == y == z == MISSING:
                return None
        for place, at, per_unit in _PLACED[fields]:
            x, y, z = vector = values[at : at + 3]
            if MISSING not in vector:
                vectors[place] = (x / per_unit, y / per_unit, z / per_unit)
                saturated |= MOST in vector or -MOST in vector
            elif not x == y == z:
                return None
        acceleration, angular_velocity, magnetic_field = vectors
        readings.append(
            _reading((
                _NAMES[index] if sensors > 1 else "", sequence, device_us, orientation, acceleration, None,
                angular_velocity, magnetic_field, _SATURATED if saturated else _PLAIN,
            ))
        )  # fmt: skip
    return _samples_of((boot, sequence, device_us, sensors, _FIELDS[fields], readings))


def _status(body: bytes) -> StatusBody | None:
    if len(body) < STATUS.size + 2:
        return None
    _, boot, sequence, device_us, flags, battery, temperature, rate, sensors, fields = STATUS.unpack_from(body)
    texts: list[str] = []
    at = STATUS.size
    for _ in range(2):
        if at >= len(body) or body[at] > LONGEST_TEXT:
            return None
        try:
            texts.append(body[at + 1 : at + 1 + body[at]].decode())
        except UnicodeDecodeError:
            return None
        at += 1 + body[at]
    if at != len(body) or flags > 7 or 200 < battery < 255 or fields > 15 or not 0 < sensors <= MOST_SENSORS:
        return None
    identity, firmware = texts
    return StatusBody(
        boot, sequence, device_us, bool(flags & 1), bool(flags & 2), None if battery == 255 else battery / 200,
        None if temperature == MISSING else temperature / 100, rate, sensors, Fields(fields), identity, firmware,
        bool(flags & 4),
    )  # fmt: skip


def encode_samples(samples: Samples) -> bytes:
    """The body of ``samples``; a value that a record should hold and a reading has not is sent as missing.

    A value beyond the scale is sent as the end of the scale, with the reading's saturation bit.

    Raises:
        UsageError: no readings, more than fit into a body, sensors not in rising order or out of range.
    """
    record = _RECORDS[samples.fields]
    parts = [
        HEADER.pack(
            FrameKind.SAMPLES, samples.boot, samples.sequence & 0xFFFF, samples.device_us & 0xFFFFFFFF, samples.fields,
            samples.sensors, len(samples.readings),
        )
    ]  # fmt: skip
    indices = [int(reading.sensor or 0) for reading in samples.readings]
    rising = all(a < b for a, b in zip(indices, indices[1:], strict=False))
    if not indices or not rising or not 0 <= indices[0] <= indices[-1] < samples.sensors <= MOST_SENSORS:
        raise UsageError(f"sensors {indices} of {samples.sensors}", expected="rising indices of sensors that there are")
    for index, reading in zip(indices, samples.readings, strict=True):
        saturated = bool(reading.flags & Flags.SATURATED)
        values: list[int] = []
        if samples.fields & Fields.QUATERNION:
            values += _scaled(reading.orientation, 4, PER_UNIT)[0]
        for field, name, per_unit in _VECTORS:
            if samples.fields & field:
                scaled, beyond = _scaled(getattr(reading, name), 3, per_unit)
                values += scaled
                saturated |= beyond
        parts.append(record.pack(index | saturated << 7, *values))
    body = b"".join(parts)
    if len(body) > LONGEST_BODY:
        raise UsageError(f"{len(indices)} records of {record.size} bytes", expected=f"a body of {LONGEST_BODY} bytes")
    return body


def _scaled(values: Sequence[float] | None, size: int, per_unit: int) -> tuple[list[int], bool]:
    if values is None:
        return [MISSING] * size, False
    scaled = [max(-MOST, min(MOST, round(value * per_unit))) for value in values]
    return scaled, any(abs(value) == MOST for value in scaled)


def encode_status(status: StatusBody) -> bytes:
    """The body of ``status``; texts are cut after 32 bytes of UTF-8."""
    flags = status.started | status.running << 1 | status.charging << 2
    body = STATUS.pack(
        FrameKind.STATUS, status.boot, status.sequence & 0xFFFF, status.device_us & 0xFFFFFFFF, flags,
        255 if status.battery is None else round(status.battery * 200),
        MISSING if status.temperature is None else round(status.temperature * 100),
        status.rate_hz, status.sensors, status.fields,
    )  # fmt: skip
    for text in (status.identity, status.firmware):
        cut = text.encode()[:LONGEST_TEXT].decode(errors="ignore").encode()
        body += bytes([len(cut)]) + cut
    return body


def encode_command(command: NodeCommand) -> bytes:
    """The body of ``command``.

    Raises:
        UsageError: more than 16 bytes of arguments.
    """
    if len(command.arguments) > LONGEST_ARGUMENTS:
        raise UsageError(f"{len(command.arguments)} bytes of arguments", expected=f"at most {LONGEST_ARGUMENTS}")
    return COMMAND.pack(FrameKind.COMMAND, command.token, command.order) + command.arguments


def encode_acknowledgement(answer: Acknowledgement) -> bytes:
    """The body of ``answer``.

    Raises:
        UsageError: more than 16 bytes of data.
    """
    if len(answer.data) > LONGEST_ARGUMENTS:
        raise UsageError(f"{len(answer.data)} bytes of data", expected=f"at most {LONGEST_ARGUMENTS}")
    head = ACKNOWLEDGEMENT.pack(
        FrameKind.ACKNOWLEDGEMENT, answer.token, answer.order, answer.result, answer.device_us & 0xFFFFFFFF
    )
    return head + answer.data
