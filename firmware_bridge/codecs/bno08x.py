"""CEVA BNO080/085/086 in UART-RVC mode: 19 bytes at 100 Hz, one way.

Source: BNO080 datasheet 1000-3927 (Hillcrest Laboratories, October 2017), 1.3.5.2 with an example message, and 5.1.

    AA AA index yaw pitch roll ax ay az 00 00 00 sum     i16 little-endian: 0.01 degree, then mg; sum of bytes 2 to 17

The turns are applied "in the order yaw, pitch then roll". The datasheet's text says pitch about y and roll about x. Its own
example says otherwise: pitch -1.10 and roll 20.85 degrees come with an acceleration of (-371, -20, 977) mg, and at rest
gravity can only look so if pitch turns about x and roll about y. The chip's frame is Android's (chapter 2), where these
angles are so named, and the ranges fit (pitch within +-90 degrees). So the orientation here is yaw about z, then pitch
about x, then roll about y.

The world has z up; its heading is 0 where the device was switched on. ``acceleration`` contains gravity. There is no
angular velocity, no clock and no command.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import ClassVar

from edgeskel.errors import UsageError
from edgeskel.geometry import float_about, float_product
from firmware_bridge.codecs import CodecCounts, Gatt, Write
from firmware_bridge.codecs._stream import FrameStream
from firmware_bridge.codecs._values import DEGREE
from firmware_bridge.samples import STANDARD_GRAVITY, Chunk, DeviceStatus, Flags, Reading, Vector

__all__ = ["Bno08xCodec", "encode_frame"]

START = b"\xaa\xaa"
LENGTH = 19
RATE_HZ = 100.0
LAYOUT = struct.Struct("<B6h")
CENTIDEGREE = 0.01 * DEGREE
MILLI_G = STANDARD_GRAVITY / 1000
MOST_MILLI_G = 8000
"""The accelerometer is set to +-8 g (datasheet 6.6); its calibration shifts the ends of the range a little."""
SATURATED_MILLI_G = 7900


def _valid(frame: bytes) -> bool:
    if sum(frame[2:18]) & 0xFF != frame[18]:
        return False
    _, yaw, pitch, roll, ax, ay, az = LAYOUT.unpack_from(frame, 2)
    return bool(
        -18000 <= yaw <= 18000 and -9000 <= pitch <= 9000 and -18000 <= roll <= 18000
        and max(abs(ax), abs(ay), abs(az)) <= 2 * MOST_MILLI_G
    )


class Bno08xCodec:
    """Frames of UART-RVC as readings with orientation and acceleration; see the module for axes and units."""

    name: ClassVar[str] = "bno08x"
    gatt: ClassVar[Gatt | None] = None
    sequence_bits: ClassVar[int | None] = 8
    clock_bits: ClassVar[int | None] = None
    clock_tick_us: ClassVar[float] = 1.0

    def __init__(self) -> None:
        self.counts: CodecCounts = CodecCounts()
        self._stream = FrameStream(START, LENGTH, _valid, self.counts)

    def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        """The readings that ``chunk`` completes. GAP where bytes were discarded; the index tells how many are lost."""
        return [_reading(frame.data, frame.after_gap) for frame in self._stream.push(chunk.data)]

    def start(self, rate_hz: float | None = None) -> Sequence[Write]:
        """Nothing: it sends from the moment it has power.

        Raises:
            UsageError: any rate but 100.
        """
        if rate_hz is not None and rate_hz != RATE_HZ:
            raise UsageError(f"bno08x at {rate_hz:g} Hz", expected="100: UART-RVC has no other rate")
        return ()

    def stop(self) -> Sequence[Write]:
        """Nothing: it cannot be silenced."""
        return ()

    def reply(self, chunk: Chunk) -> Sequence[Write]:
        """Nothing: it does not listen."""
        return ()

    def reset(self) -> None:
        """Forget half a frame."""
        self._stream.reset()


def _reading(frame: bytes, after_gap: bool) -> Reading:
    index, yaw, pitch, roll, ax, ay, az = LAYOUT.unpack_from(frame, 2)
    orientation = float_product(
        float_product(float_about(2, yaw * CENTIDEGREE), float_about(0, pitch * CENTIDEGREE)), float_about(1, roll * CENTIDEGREE)
    )
    flags = Flags.GAP if after_gap else Flags.NONE
    if max(abs(ax), abs(ay), abs(az)) > SATURATED_MILLI_G:
        flags |= Flags.SATURATED
    return Reading(sequence=index, orientation=orientation, flags=flags,
                   acceleration=(ax * MILLI_G, ay * MILLI_G, az * MILLI_G))


def encode_frame(index: int, angles: Vector, acceleration: Vector) -> bytes:
    """A frame as the device sends it.

    Args:
        index: 0..255.
        angles: yaw, pitch, roll in radians, in the order and about the axes that the module names.
        acceleration: specific force, m/s², sensor axes.
    """
    body = LAYOUT.pack(
        index, *(round(angle / CENTIDEGREE) for angle in angles), *(round(value / MILLI_G) for value in acceleration)
    ) + bytes(3)
    return START + body + bytes([sum(body) & 0xFF])
