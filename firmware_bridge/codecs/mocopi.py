"""Sony mocopi: the app's UDP stream ("sony motion format", port 12351), one way.

Sources: github.com/seagetch/mcp-receiver, doc/Protocol.md; github.com/t-34400/mocopi_protocol_supplement (axes, ``uttm``);
Sony's receiver plug-in for Blender (names of the bones); captured datagrams. None of it is a specification by Sony.

    field     length u32 (of the value), tag, value; little-endian; values nest
    head      ftyp "sony motion format", vrsn u8         sndf   ipad 8 bytes, rcvp u16
    skdf      bons: 27 x bndt {bnid u16, pbid u16, tran}
    fram      fnum u32, time 4 bytes, uttm f64 (Unix seconds; absent from old apps), btrs: 27 x btdt {bnid u16, tran}
    tran      x y z w of the rotation, then the position in metres: 7 f32, relative to the parent bone

Each frame becomes one reading per bone, named as Sony names it. The app sends each rotation relative to the parent; here
they are chained from the root, so ``orientation`` is bone -> world like everybody else's: right-handed, y up, and
identity in the pose of the skeleton definition. ``sequence`` is the frame number; ``device_us`` the app's Unix time.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from edgeskel.geometry import float_product
from firmware_bridge.codecs import CodecCounts, Gatt
from firmware_bridge.codecs._one_way import OneWay
from firmware_bridge.codecs._values import unit, within
from firmware_bridge.samples import Chunk, DeviceStatus, Quaternion, Reading, Vector

__all__ = ["BONES", "PARENTS", "PORT", "Bone", "MocopiCodec", "Transform", "encode_frame", "encode_skeleton"]

PORT = 12351
BONES = (
    "root", "torso_1", "torso_2", "torso_3", "torso_4", "torso_5", "torso_6", "torso_7", "neck_1", "neck_2", "head",
    "l_shoulder", "l_up_arm", "l_low_arm", "l_hand", "r_shoulder", "r_up_arm", "r_low_arm", "r_hand",
    "l_up_leg", "l_low_leg", "l_foot", "l_toes", "r_up_leg", "r_low_leg", "r_foot", "r_toes",
)
"""Names by bone number."""
PARENTS = (-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 7, 11, 12, 13, 7, 15, 16, 17, 0, 19, 20, 21, 0, 23, 24, 25)
"""Number of each bone's parent; -1 for the root. A parent's number is smaller than its children's."""

FORMAT = b"sony motion format"
NO_PARENT = 0xFFFF
LONGEST = 8192
"""Bytes of a datagram that is looked at; a frame has 1,591 and a skeleton 1,821."""
FARTHEST_M = 1000.0
TRANSFORM = struct.Struct("<7f")
HEADER = struct.Struct("<I4s")

# A frame's bones where none is missing, doubled or out of order: 27 times btdt {bnid, tran}.
_NUMBERS = tuple(range(len(BONES)))
_BEGINNINGS = (HEADER.pack(46, b"btdt") + HEADER.pack(2, b"bnid"),) * len(BONES)
_BEFORE_TRANSFORM = (HEADER.pack(TRANSFORM.size, b"tran"),) * len(BONES)
_REGULAR = struct.Struct("<" + "16sH8s28s" * len(BONES))


class Transform(NamedTuple):
    """Rotation (w, x, y, z) and position (m) of a bone, relative to its parent."""

    rotation: Quaternion
    position: Vector


class Bone(NamedTuple):
    """A bone as the app's skeleton defines it; ``parent`` is "" for the root, ``position`` relative to the parent."""

    name: str
    parent: str
    position: Vector


class RefusedPacket(ValueError):
    """Not a packet of this format, or one with impossible values. Never leaves the module."""


class MocopiCodec(OneWay):
    """Frames as readings by bone name; see the module for axes and units.

    ``skeleton`` holds the bones of the last definition that the app sent (it repeats it), empty before; ``position`` the
    root's position in metres of the last frame, None before: a reading has no place for it.
    """

    name: ClassVar[str] = "mocopi"
    gatt: ClassVar[Gatt | None] = None
    sequence_bits: ClassVar[int | None] = 32
    clock_bits: ClassVar[int | None] = 64
    clock_tick_us: ClassVar[float] = 1.0

    def __init__(self) -> None:
        self.counts: CodecCounts = CodecCounts()
        self.reset()

    def reset(self) -> None:
        """Forget skeleton and position."""
        self.skeleton: tuple[Bone, ...] = ()
        self.position: Vector | None = None

    def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        """27 readings of a frame, or a status where the skeleton is new."""
        try:
            packet = _packet(chunk.data)
            decoded = self._skeleton(packet[b"skdf"]) if b"skdf" in packet else self._frame(packet[b"fram"])
        except (RefusedPacket, KeyError, struct.error):
            self.counts.bad += 1
            self.counts.discarded += len(chunk.data)
            return []
        self.counts.frames += 1
        return decoded

    def _skeleton(self, value: bytes) -> list[Reading | DeviceStatus]:
        bones = []
        for number, part in _bones(dict(_fields(value))[b"bons"], b"bndt"):
            (parent,) = struct.unpack("<H", part[b"pbid"])
            if parent != (PARENTS[number] if number else NO_PARENT):
                raise RefusedPacket  # another skeleton than the one we know
            position = _transform(part[b"tran"]).position
            bones.append(Bone(BONES[number], BONES[parent] if number else "", position))
        skeleton, known = tuple(bones), self.skeleton
        self.skeleton = skeleton
        return [DeviceStatus(text="skeleton of 27 bones")] if skeleton != known else []

    def _frame(self, value: bytes) -> list[Reading | DeviceStatus]:
        parts = dict(_fields(value))
        (number,) = struct.unpack("<I", parts[b"fnum"])
        device_us = _microseconds(parts[b"uttm"]) if b"uttm" in parts else None
        local = [_transform(value) for value in _transforms(parts[b"btrs"])]
        world: list[Quaternion] = []
        for parent, transform in zip(PARENTS, local, strict=True):
            world.append(transform.rotation if parent < 0 else float_product(world[parent], transform.rotation))
        self.position = local[0].position
        return [Reading(name, number, device_us, rotation) for name, rotation in zip(BONES, world, strict=True)]


def _fields(value: bytes) -> list[tuple[bytes, bytes]]:
    """(tag, value) of the fields in ``value``, in order.

    Raises:
        Refused, struct.error: they do not fill it exactly.
    """
    found = []
    begin, whole = 0, len(value)
    while begin < whole:
        length, tag = HEADER.unpack_from(value, begin)
        end = begin + 8 + length
        if end > whole:
            raise RefusedPacket
        found.append((tag, value[begin + 8 : end]))
        begin = end
    return found


def _packet(data: bytes) -> dict[bytes, bytes]:
    if len(data) > LONGEST:
        raise RefusedPacket
    packet = dict(_fields(data))
    if dict(_fields(packet[b"head"]))[b"ftyp"] != FORMAT:
        raise RefusedPacket
    return packet


def _bones(value: bytes, tag: bytes) -> list[tuple[int, dict[bytes, bytes]]]:
    """The 27 bones by number; each must be there once."""
    if any(value.count(each) < len(BONES) for each in (tag, b"bnid", b"tran")):
        raise RefusedPacket  # seen before anything is taken apart
    bones = []
    for inner, part in _fields(value):
        if inner != tag:
            raise RefusedPacket
        of_bone = dict(_fields(part))
        bones.append((struct.unpack("<H", of_bone[b"bnid"])[0], of_bone))
    bones.sort(key=lambda bone: bone[0])
    if [number for number, _ in bones] != list(range(len(BONES))):
        raise RefusedPacket
    return bones


def _transforms(value: bytes) -> Sequence[bytes]:
    """The transforms of a frame's 27 bones, by number."""
    if len(value) == _REGULAR.size:  # as the app writes it: read at once, which takes a fifth of the time
        found = _REGULAR.unpack(value)
        if found[0::4] == _BEGINNINGS and found[1::4] == _NUMBERS and found[2::4] == _BEFORE_TRANSFORM:
            return found[3::4]
    return [part[b"tran"] for _, part in _bones(value, b"btdt")]


def _transform(value: bytes) -> Transform:
    x, y, z, w, *position = TRANSFORM.unpack(value)
    rotation = unit(w, x, y, z)
    a, b, c = position
    if rotation is None or not within((a, b, c), FARTHEST_M):
        raise RefusedPacket
    return Transform(rotation, (a, b, c))


def _microseconds(value: bytes) -> int:
    seconds: float = struct.unpack("<d", value)[0]
    if not (math.isfinite(seconds) and 0 <= seconds < 1e11):
        raise RefusedPacket
    return round(seconds * 1e6)


def _field(tag: str, value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + tag.encode("ascii") + value


def _head(sender: bytes, port: int) -> bytes:
    return _field("head", _field("ftyp", FORMAT) + _field("vrsn", b"\x01")) + _field(
        "sndf", _field("ipad", sender) + _field("rcvp", struct.pack("<H", port)))


def _tran(transform: Transform) -> bytes:
    w, x, y, z = transform.rotation
    return _field("tran", TRANSFORM.pack(x, y, z, w, *transform.position))


def encode_skeleton(transforms: Sequence[Transform], *, sender: bytes = bytes(8), port: int = PORT) -> bytes:
    """A skeleton definition of 27 bones as the app sends it; ``sender`` is the field ``ipad`` as it is."""
    bones = b"".join(
        _field("bndt", _field("bnid", struct.pack("<H", number)) + _field("pbid", struct.pack("<H", parent & NO_PARENT))
               + _tran(transform))
        for number, (parent, transform) in enumerate(zip(PARENTS, transforms, strict=True)))
    return _head(sender, port) + _field("skdf", _field("bons", bones))


def encode_frame(number: int, transforms: Sequence[Transform], unix_s: float | None, *, sender: bytes = bytes(8),
                 port: int = PORT) -> bytes:
    """A frame of 27 bones; without ``unix_s`` as the old app sends it."""
    bones = b"".join(_field("btdt", _field("bnid", struct.pack("<H", bone)) + _tran(transform))
                     for bone, transform in enumerate(transforms))
    clock = b"" if unix_s is None else _field("uttm", struct.pack("<d", unix_s))
    return _head(sender, port) + _field(
        "fram", _field("fnum", struct.pack("<I", number)) + _field("time", bytes(4)) + clock + _field("btrs", bones))
