"""The packets of SlimeVR's UDP protocol: bytes to meanings, and meanings to bytes.

Source: as :mod:`firmware_bridge.codecs.slimevr`. Everything is big-endian.

    packet    kind u32, number u64, body
      0 heartbeat   3 handshake   10 ping   22 features
      1, 16         rotation of sensor 0, 1 (old): x y z w f32
      17            sensor u8, 1 (normal), x y z w f32, accuracy u8
      4             acceleration x y z f32 [, sensor u8]
      23            sensor u8, x y z w i16 / 2**15, acceleration i16 / 2**7
      12 voltage f32, level f32   15 sensor, state, IMU u8 ...   19 sensor, dBm i8   20 sensor, °C f32
      13, 14, 21    tap, error, button   11 text
      26            sensor u8, flexion f32      27 position x y z f32
    100       {length u16, kind u32, body} ...
    101       {length u8, kind u8, body} ...
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from firmware_bridge.codecs._values import reaches, unit, within
from firmware_bridge.samples import DeviceStatus, Flags, Quaternion, Vector

__all__ = [
    "FEATURES", "HANDSHAKE", "HANDSHAKE_REPLY", "PING", "SENSOR_INFO", "Facts", "Meaning", "SlimeVRMotion", "Nothing",
    "Packet", "Part",
    "encode_acceleration", "encode_battery", "encode_bundle", "encode_handshake", "encode_motion", "encode_packet",
    "encode_rotation", "encode_sensor_info", "encode_sensor_info_reply", "encode_signal", "encode_temperature",
    "meaning", "unpack",
]

Part = tuple[int, bytes]
"""Kind and body."""

(HEARTBEAT, ROTATION_OLD, GYROSCOPE, HANDSHAKE, ACCELERATION, PING, TEXT, BATTERY, TAP, ERROR, SENSOR_INFO,
 SECOND_ROTATION_OLD, ROTATION, ACCURACY, SIGNAL, TEMPERATURE, BUTTON, FEATURES, MOTION, RECEIPT,
 FLEXION, POSITION, PROTOCOL_CHANGE) = 0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 26, 27, 200
SILENT = frozenset({HEARTBEAT, *range(5, 10), GYROSCOPE, ACCURACY, FEATURES, RECEIPT, 25, FLEXION, POSITION, 105, PROTOCOL_CHANGE})
"""Kinds that are proper but tell a reader nothing: receipts, settings, calibration, inspection, what is no motion of a segment."""
KINDS = 256
"""A kind is one byte in short bundles: what is not below is no packet of this protocol, nor of a later version."""
BUNDLE, SHORT_BUNDLE = 100, 101
HEADER = struct.Struct(">IQ")
HANDSHAKE_REPLY = (b"\x03Hey OVR =D 5").ljust(64, b"\0")

MOST_ACCELERATION = 400.0
"""m/s²: beyond the ±32 g that the widest of these sensors measures."""
Q15, Q7 = 1 / 32768, 1 / 128
STATES = {0: "disconnected", 1: "ok", 2: "error"}
BUTTONS = {2: "full reset", 3: "yaw reset", 4: "mounting reset", 5: "pause"}


class Packet(NamedTuple):
    """A datagram taken apart; a bundle has several parts."""

    number: int
    parts: list[Part]


class SlimeVRMotion(NamedTuple):
    """What one part says of one sensor's motion."""

    sensor: int
    rotation: Quaternion | None = None
    acceleration: Vector | None = None
    flags: Flags = Flags.NONE


class Facts(NamedTuple):
    """What one part says of the tracker."""

    status: DeviceStatus


class Nothing(NamedTuple):
    """A proper part that has nothing for a reader."""


Meaning = SlimeVRMotion | Facts | Nothing


def unpack(data: bytes) -> Packet | None:
    """The parts of a datagram; None if it is no packet or a bundle that ends inside a part."""
    if len(data) < HEADER.size:
        return None
    kind, number = HEADER.unpack_from(data)
    if kind not in (BUNDLE, SHORT_BUNDLE):
        return Packet(number, [(kind, data[HEADER.size :])])
    size, inner = (2, 4) if kind == BUNDLE else (1, 1)
    parts: list[Part] = []
    at = HEADER.size
    while at < len(data):
        length = int.from_bytes(data[at : at + size], "big")
        body = data[at + size : at + size + length]
        if len(data) - at < size or len(body) < length or 0 < length < inner:
            return None
        if length:
            parts.append((int.from_bytes(body[:inner], "big"), body[inner:]))
        at += size + length
    return Packet(number, parts) if parts else None


def meaning(kind: int, body: bytes) -> Meaning | None:
    """What a part says; None where it is refused: too short, impossible values, or a kind that cannot be. One that is not known is
    of another version: it came whole and counts as a packet, but tells nothing."""
    reader = READERS.get(kind)
    if kind in SILENT or reader is None and kind < KINDS:
        return Nothing()
    try:
        return None if reader is None else reader(kind, body)
    except struct.error:  # too short
        return None


def _rotation(kind: int, body: bytes) -> Meaning | None:
    sensor, form = (0, 1) if kind == ROTATION_OLD else (1, 1)
    if kind == ROTATION:
        sensor, form = struct.unpack_from(">BB", body)
        body = body[2:]
    x, y, z, w = struct.unpack_from(">4f", body)
    rotation = unit(w, x, y, z)
    if rotation is None:
        return None
    return SlimeVRMotion(sensor, rotation) if form == 1 else Nothing()  # 2 is a correction, which the server ignores, too


def _acceleration(_: int, body: bytes) -> SlimeVRMotion | None:
    x, y, z = struct.unpack_from(">3f", body)
    if not within((x, y, z), MOST_ACCELERATION):
        return None
    return SlimeVRMotion(body[12] if len(body) > 12 else 0, None, (x, y, z))


def _motion(_: int, body: bytes) -> SlimeVRMotion | None:
    sensor, x, y, z, w, *acceleration = struct.unpack_from(">B7h", body)
    rotation = unit(w * Q15, x * Q15, y * Q15, z * Q15)
    if rotation is None:
        return None
    a, b, c = (value * Q7 for value in acceleration)
    flags = Flags.SATURATED if reaches((a, b, c), 32767 * Q7) else Flags.NONE
    return SlimeVRMotion(sensor, rotation, (a, b, c), flags)


def _handshake(_: int, body: bytes) -> Facts | None:
    if len(body) < 29:  # owoTrack before it took over SlimeVR's fields
        return Facts(DeviceStatus(text="owoTrack, old dialect"))
    board, imu, mcu, _, _, _, version, length = struct.unpack_from(">7IB", body)
    text = body[29 : 29 + length]
    mac = body[29 + length : 35 + length]
    if len(text) < length:
        return None
    return Facts(DeviceStatus(
        identity=":".join(f"{octet:02x}" for octet in mac) if len(mac) == 6 and any(mac) else None,
        firmware=_ascii(text) or None, text=f"board {board}, IMU {imu}, MCU {mcu}, protocol {version}"))


def _battery(_: int, body: bytes) -> Facts | None:
    level = struct.unpack_from(">f", body, 4 if len(body) >= 8 else 0)[0]
    return Facts(DeviceStatus(battery=min(level, 1.0))) if 0 <= level <= 1.01 else None


def _sensor_info(_: int, body: bytes) -> Facts:
    sensor, state = struct.unpack_from(">BB", body)
    imu = f", IMU {body[2]}" if len(body) > 2 else ""
    return Facts(DeviceStatus(str(sensor), text=f"sensor {STATES.get(state, state)}{imu}"))


def _signal(_: int, body: bytes) -> Facts:
    sensor, dbm = struct.unpack_from(">Bb", body)
    return Facts(DeviceStatus("" if sensor == 255 else str(sensor), signal_dbm=float(dbm)))


def _temperature(_: int, body: bytes) -> Facts | None:
    sensor, celsius = struct.unpack_from(">Bf", body)
    return Facts(DeviceStatus(str(sensor), temperature=celsius)) if -60 <= celsius <= 150 else None


def _event(kind: int, body: bytes) -> Facts:
    if kind == BUTTON:
        return Facts(DeviceStatus(text=f"button: {BUTTONS.get(body[0], body[0])}" if body else "button"))
    sensor, value = struct.unpack_from(">BB", body)
    return Facts(DeviceStatus(str(sensor), text=f"{'tap' if kind == TAP else 'error'} {value}"))


def _text(_: int, body: bytes) -> Facts | None:
    (length,) = struct.unpack_from(">I", body)
    text = body[4 : 4 + length]
    return Facts(DeviceStatus(text=_ascii(text))) if len(text) == length else None


def _echo(_: int, body: bytes) -> Nothing:
    struct.unpack_from(">I", body)  # whole, or no proper part
    return Nothing()


def _ascii(text: bytes) -> str:
    return text.split(b"\0")[0].decode("ascii", "replace")


READERS: dict[int, Callable[[int, bytes], Meaning | None]] = {
    ROTATION_OLD: _rotation, SECOND_ROTATION_OLD: _rotation, ROTATION: _rotation, ACCELERATION: _acceleration,
    MOTION: _motion, HANDSHAKE: _handshake, BATTERY: _battery, SENSOR_INFO: _sensor_info, SIGNAL: _signal,
    TEMPERATURE: _temperature, TAP: _event, ERROR: _event, BUTTON: _event, TEXT: _text,
    PING: _echo,
}


def encode_packet(number: int, part: Part) -> bytes:
    """A datagram of one part, as either side sends it."""
    kind, body = part
    return HEADER.pack(kind, number) + body


def encode_bundle(number: int, parts: Sequence[Part], *, short: bool = False) -> bytes:
    """A datagram of several parts; ``short`` for the headers of two bytes."""
    inner = [struct.pack(">B" if short else ">I", kind) + body for kind, body in parts]
    return HEADER.pack(SHORT_BUNDLE if short else BUNDLE, number) + b"".join(
        struct.pack(">B" if short else ">H", len(part)) + part for part in inner)


def encode_handshake(mac: bytes, firmware: str = "edgeskel", *, board: int = 4, imu: int = 0, mcu: int = 2,
                     imu_info: tuple[int, int, int] = (0, 0, 0), version: int = 18) -> Part:
    """What a tracker broadcasts with number 0; an empty ``firmware`` is what old owoTrack sends."""
    text = firmware.encode("ascii")
    return HANDSHAKE, struct.pack(">7IB", board, imu, mcu, *imu_info, version, len(text)) + text + mac


def encode_rotation(sensor: int, rotation: Quaternion) -> Part:
    """Kind 17 from (w, x, y, z)."""
    w, x, y, z = rotation
    return ROTATION, struct.pack(">BB4fB", sensor, 1, x, y, z, w, 0)


def encode_acceleration(sensor: int, acceleration: Vector) -> Part:
    """Kind 4 from m/s² without gravity."""
    return ACCELERATION, struct.pack(">3fB", *acceleration, sensor)


def encode_motion(sensor: int, rotation: Quaternion, acceleration: Vector) -> Part:
    """Kind 23, both in 15 bytes; held at the ends of 16 bits."""
    w, x, y, z = rotation
    counts = [value / Q15 for value in (x, y, z, w)] + [value / Q7 for value in acceleration]
    return MOTION, struct.pack(">B7h", sensor, *(max(-32768, min(32767, round(count))) for count in counts))


def encode_battery(voltage: float, level: float) -> Part:
    """Kind 12: volts, and the share of full."""
    return BATTERY, struct.pack(">2f", voltage, level)


def encode_sensor_info(sensor: int, state: int, imu: int) -> Part:
    """Kind 15; state 1 is ok."""
    return SENSOR_INFO, bytes([sensor, state, imu])


def encode_sensor_info_reply(sensor: int, state: int) -> bytes:
    """The server's receipt, which has no packet number."""
    return struct.pack(">IBB", SENSOR_INFO, sensor, state)


def encode_signal(dbm: int) -> Part:
    """Kind 19 for the whole tracker."""
    return SIGNAL, struct.pack(">Bb", 255, dbm)


def encode_temperature(sensor: int, celsius: float) -> Part:
    """Kind 20."""
    return TEMPERATURE, struct.pack(">Bf", sensor, celsius)
