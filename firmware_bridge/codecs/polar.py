"""Polar's measurement data (PMD) service: H10 (acceleration), Verity Sense and its like (9 axes).

Source: polar-ble-sdk (Polar Electro), Android ``gatt/client/pmd`` and its tests; ``TimeSystemExplained.md``,
``SdkModeExplained.md``, ``products/PolarH10.md``, ``products/PolarVeritySense.md``.

    control 5C81, to the device     01 type            which settings are there
                                    02 type settings   start; type 9 starts SDK mode, which has more rates
                                    03 type            stop
    control 5C81, from the device   F0 command type status more settings
                                    01 types           the device has stopped these by itself
    data 5C82                       u8 type, u64 ns since 2000-01-01 of the LAST sample, u8 frame type, samples

A setting is u8 kind, u8 count, values. Types: 2 acceleration, 5 angular velocity, 6 magnetic field. Bit 7 of the frame
type says compressed (:mod:`firmware_bridge.codecs.polar_frame`). Each type comes in packets of its own, so a reading
holds one quantity, in the sensor's axes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeskel.errors import UsageError
from firmware_bridge.codecs import Counts, Gatt, Write
from firmware_bridge.codecs._values import DEGREE, LONGEST_ATTRIBUTE
from firmware_bridge.codecs.polar_frame import Integers, compress, decompress, pack, unpack
from firmware_bridge.samples import STANDARD_GRAVITY, Chunk, Flags, Reading, Status

__all__ = ["ACCELERATION", "ANGULAR_VELOCITY", "MAGNETIC_FIELD", "RATES", "PolarCodec", "encode_frame",
           "encode_response", "encode_settings"]  # fmt: skip

SERVICE = "fb005c80-02e7-f387-1cad-8acd2d8df0c8"
CONTROL = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
DATA = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"

ACCELERATION, ANGULAR_VELOCITY, MAGNETIC_FIELD, SDK_MODE = 2, 5, 6, 9
NAMES = {ACCELERATION: "acceleration", ANGULAR_VELOCITY: "angular velocity", MAGNETIC_FIELD: "magnetic field"}
GET_SETTINGS, START, STOP = 1, 2, 3
RESPONSE, STOPPED = 0xF0, 0x01
RATE, RESOLUTION, RANGE, RANGE_MILLI, CHANNELS, FACTOR = range(6)
SETTING_BYTES = (2, 2, 2, 4, 1, 4)

H10_RATES = (25, 50, 100, 200)
SDK_MODE_RATES = (26, 104, 208, 416)
RATES = tuple(sorted((*H10_RATES, 52, *SDK_MODE_RATES)))
"""Hz, of acceleration and angular velocity: 25, 50, 100, 200 are the H10's, the others the Verity Sense's."""
USUAL_RATE = 100
"""Without a wish the rate nearest to this is taken of those the device offers."""

REASONS = ("success", "invalid command", "invalid type", "not supported", "invalid length", "invalid parameter",
           "already in that state", "invalid resolution", "invalid rate", "invalid range", "MTU too small",
           "invalid channels", "invalid state", "device is in its charger", "disk full")  # fmt: skip
ALREADY = 6
HEADER = struct.Struct("<BQB")
COMPRESSED = 0x80
HEADER_BITS = 0x7F


@dataclass(frozen=True)
class _Kind:
    """How a type's frames are read: frame type -> (channels, bytes each, is float, SI units of one, needs the factor)."""

    full_scale: float
    raw: Mapping[int, tuple[int, int, bool, float, bool]]
    compressed: Mapping[int, tuple[int, int, bool, float, bool]]
    range_unit: float


_MILLI_G = STANDARD_GRAVITY / 1000
_KINDS = {
    ACCELERATION: _Kind(
        full_scale=16 * STANDARD_GRAVITY,
        raw={0: (3, 1, False, _MILLI_G, False), 1: (3, 2, False, _MILLI_G, False), 2: (3, 3, False, _MILLI_G, False)},
        compressed={0: (3, 2, False, STANDARD_GRAVITY, True), 1: (3, 2, False, _MILLI_G, False)},
        range_unit=STANDARD_GRAVITY,
    ),
    ANGULAR_VELOCITY: _Kind(
        full_scale=2000 * DEGREE,
        raw={},
        compressed={0: (3, 2, False, DEGREE, True), 1: (3, 4, True, DEGREE, False)},
        range_unit=DEGREE,
    ),
    MAGNETIC_FIELD: _Kind(  # gauss and milligauss; 1 G = 100 µT
        full_scale=50 * 100.0,
        raw={},
        compressed={0: (3, 2, False, 100.0, True), 1: (4, 2, False, 0.1, False)},
        range_unit=100.0,
    ),
}


@dataclass
class _Stream:
    """What is known of one running measurement."""

    rate: int | None = None
    range: float | None = None  # SI
    factor: float | None = None
    last_ns: int | None = None


class PolarCodec:
    """One Polar sensor.

    Which rates and ranges it has, it says itself when asked: :meth:`start` asks, :meth:`reply` answers with the start
    of each measurement. The factor of compressed frames comes with the device's answer to that.
    """

    name: ClassVar[str] = "polar"
    gatt: ClassVar[Gatt | None] = Gatt(
        service=SERVICE,
        notify=(CONTROL, DATA),
        names=("Polar ",),
        least_mtu=231,  # the longest frame of the maker's tests has 228 bytes
    )
    sequence_bits: ClassVar[int | None] = None
    clock_bits: ClassVar[int | None] = 64
    clock_tick_us: ClassVar[float] = 0.001

    def __init__(self) -> None:
        self.counts = Counts()
        self._wish: float | None = None
        self._streams: dict[int, _Stream] = {kind: _Stream() for kind in _KINDS}

    def decode(self, chunk: Chunk) -> list[Reading | Status]:
        """The samples of a frame, in order, or what the device says about itself.

        A frame's time belongs to its last sample. The others' are spread over the time since the frame before, or at
        the nominal rate when that does not fit (the first frame; a lost one), and are flagged ``TIME_INTERPOLATED``.
        Without either they have no time.
        """
        found = None
        if len(chunk.data) <= LONGEST_ATTRIBUTE:
            if chunk.channel == DATA:
                found = self._frame(chunk.data)
            elif chunk.channel == CONTROL:
                found = self._control(chunk.data)
        if found is None:
            self.counts.bad += 1
            self.counts.discarded += len(chunk.data)
            return []
        self.counts.frames += 1
        return found

    def start(self, rate_hz: float | None = None) -> Sequence[Write]:
        """Ask for the settings, after switching to SDK mode if the rate needs it. See :class:`Codec`.

        The rest is up to :meth:`reply`: the device's answer names what it has.
        """
        if rate_hz is not None and rate_hz not in RATES:
            raise UsageError(f"no Polar sensor measures at {rate_hz:g} Hz",
                             expected=f"one of {', '.join(map(str, RATES))}")  # fmt: skip
        self._wish = rate_hz
        sdk_mode = (Write(bytes((START, SDK_MODE)), CONTROL),) if rate_hz in SDK_MODE_RATES else ()
        return (*sdk_mode, *(Write(bytes((GET_SETTINGS, kind)), CONTROL) for kind in _KINDS))

    def stop(self) -> Sequence[Write]:
        """Stop the three measurements and SDK mode; the device refuses what does not run. See :class:`Codec`."""
        return tuple(Write(bytes((STOP, kind)), CONTROL) for kind in (*_KINDS, SDK_MODE))

    def reply(self, chunk: Chunk) -> Sequence[Write]:
        """Start a measurement when its settings have come, at the wished rate and the largest range."""
        data = chunk.data
        if chunk.channel != CONTROL or len(data) < 5 or data[0] != RESPONSE or data[1] != GET_SETTINGS:
            return ()
        kind, offered = data[2], _settings(data[5:])
        if kind not in _KINDS or data[3] or not offered:
            return ()
        rate = self._rate_of(kind, offered[RATE])
        if rate is None:
            return ()
        chosen = {setting: max(values) for setting, values in offered.items() if setting != FACTOR}
        chosen[RATE] = rate
        unit = _KINDS[kind].range_unit
        span = chosen[RANGE] * unit if RANGE in chosen else None
        self._streams[kind] = _Stream(rate, span)
        return (Write(bytes((START, kind)) + encode_settings({key: (value,) for key, value in chosen.items()}), CONTROL),)

    def reset(self) -> None:
        """Forget factors, ranges and times: they belong to the link that was."""
        self._streams = {kind: _Stream() for kind in _KINDS}

    def _rate_of(self, kind: int, offered: Sequence[int]) -> int | None:
        """None when the device does not have the wished rate; the magnetometer takes the next lower one it has."""
        if kind == MAGNETIC_FIELD:
            return max((rate for rate in offered if rate <= (self._wish or USUAL_RATE)), default=min(offered))
        if self._wish is None:
            return min(offered, key=lambda rate: (abs(rate - USUAL_RATE), rate))
        return int(self._wish) if self._wish in offered else None

    def _control(self, data: bytes) -> list[Reading | Status] | None:
        if data[:1] == bytes((STOPPED,)):
            types = ", ".join(NAMES.get(kind & 0x3F, f"type {kind & 0x3F}") for kind in data[1:])
            return [Status(text=f"the sensor has stopped: {types or 'no type named'}")]
        if len(data) < 4 or data[0] != RESPONSE:
            return None
        command, kind, status = data[1:4]
        if status:
            # Asking for a sensor that is not there, starting or stopping what already is so: no fault.
            if command != START or status == ALREADY:
                return []
            reason = REASONS[status] if status < len(REASONS) else f"code {status}"
            return [Status(text=f"refused to start {NAMES.get(kind, f'type {kind}')}: {reason}")]
        if kind not in _KINDS:
            return []
        settings = _settings(data[5:])
        if settings is None:
            return None
        if command == GET_SETTINGS and RATE in settings and self._rate_of(kind, settings[RATE]) is None:
            rates = ", ".join(map(str, sorted(settings[RATE])))
            return [Status(text=f"{NAMES[kind]} has {rates} Hz, not the {self._wish:g} Hz that were asked for")]
        if command == START:
            (bits,) = settings.get(FACTOR, [0x3F800000])[:1]
            (factor,) = struct.unpack("<f", struct.pack("<I", bits))
            if not 0 < factor < math.inf:
                return None
            self._streams[kind].factor = factor
        return []

    def _frame(self, data: bytes) -> list[Reading | Status] | None:
        if len(data) <= HEADER.size or data[0] not in _KINDS:
            return None
        number, time_ns, frame_type = HEADER.unpack_from(data)
        kind, stream = _KINDS[number], self._streams[number]
        compressed = bool(frame_type & COMPRESSED)
        layout = (kind.compressed if compressed else kind.raw).get(frame_type & HEADER_BITS)
        if layout is None:
            return None
        channels, size, is_float, unit, needs_factor = layout
        if needs_factor and stream.factor is None:  # without it the numbers have no unit
            return None
        samples = (decompress if compressed else unpack)(data[HEADER.size :], channels, size)
        values = None if samples is None else _values(samples, size, is_float)
        if values is None:
            return None
        values = values[:, :3] * (unit * (stream.factor if compressed and stream.factor is not None else 1.0))
        most = np.abs(values).max(axis=1)
        full_scale = stream.range or kind.full_scale
        if not most.max() <= 1.05 * full_scale:  # also when one is NaN
            return None
        return self._readings(number, time_ns, values.tolist(), (most >= 0.999 * full_scale).tolist())

    def _readings(
        self, number: int, time_ns: int, vectors: list[list[float]], clipped: list[bool]
    ) -> list[Reading | Status]:
        stream, count = self._streams[number], len(vectors)
        period_ns = None if stream.rate is None else 1e9 / stream.rate
        lost = False
        if stream.last_ns is not None and 0 < time_ns - stream.last_ns < 1e10:
            measured = (time_ns - stream.last_ns) / count
            if period_ns is None or abs(measured - period_ns) < 0.1 * period_ns:
                period_ns = measured
            else:
                lost = measured * count > (count + 0.5) * period_ns
        stream.last_ns = time_ns
        readings: list[Reading | Status] = []
        for row, (vector, saturated) in enumerate(zip(vectors, clipped, strict=True)):
            behind = count - 1 - row
            flags = _FLAGS[behind > 0, saturated]
            if lost and row == 0:
                flags |= Flags.GAP
            if behind == 0:
                device_us: int | None = time_ns // 1000
            else:
                device_us = None if period_ns is None else (time_ns - round(behind * period_ns)) // 1000
            if device_us is not None and device_us < 0:
                device_us = None
            x, y, z = vector
            acceleration = (x, y, z) if number == ACCELERATION else None
            angular_velocity = (x, y, z) if number == ANGULAR_VELOCITY else None
            magnetic_field = (x, y, z) if number == MAGNETIC_FIELD else None
            readings.append(
                Reading("", None, device_us, None, acceleration, None, angular_velocity, magnetic_field, flags)
            )
        return readings


_FLAGS = {  # (time spread, saturated)
    (False, False): Flags.NONE,
    (False, True): Flags.SATURATED,
    (True, False): Flags.TIME_INTERPOLATED,
    (True, True): Flags.TIME_INTERPOLATED | Flags.SATURATED,
}


def _values(samples: Integers, size: int, is_float: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None:
    """Numbers (T, C) of the integers in a frame; None when one has left its range."""
    if is_float:
        with np.errstate(invalid="ignore"):  # a signalling NaN; the caller refuses it
            return samples.astype(np.uint32).view(np.float32).astype(np.float64)  # bit patterns, added modulo 2**32
    half = 1 << (8 * size - 1)
    if samples.min() < -half or samples.max() >= half:
        return None
    return samples.astype(np.float64)


def _settings(data: bytes) -> dict[int, list[int]] | None:
    """Kind -> values offered; None when the bytes do not end with a setting."""
    settings: dict[int, list[int]] = {}
    at = 0
    while at < len(data):
        if at + 2 > len(data) or data[at] >= len(SETTING_BYTES):
            return None
        kind, count = data[at], data[at + 1]
        size = SETTING_BYTES[kind]
        at += 2
        if not count or at + count * size > len(data):
            return None
        settings[kind] = [int.from_bytes(data[at + n * size : at + (n + 1) * size], "little") for n in range(count)]
        at += count * size
    return settings


def encode_settings(settings: Mapping[int, Sequence[int]]) -> bytes:
    """Settings as they travel: kind -> values. The factor is the bit pattern of a float32."""
    return b"".join(
        bytes((kind, len(values))) + b"".join(value.to_bytes(SETTING_BYTES[kind], "little") for value in values)
        for kind, values in sorted(settings.items())
    )


def encode_response(command: int, kind: int, settings: Mapping[int, Sequence[int]], *, status: int = 0) -> Chunk:
    """The device's answer to a command."""
    return Chunk(bytes((RESPONSE, command, kind, status, 0)) + encode_settings(settings), 0, CONTROL)


def encode_frame(kind: int, time_ns: int, samples: Sequence[Sequence[int]], frame_type: int) -> Chunk:
    """A frame of measurements.

    Args:
        kind: :data:`ACCELERATION`, :data:`ANGULAR_VELOCITY` or :data:`MAGNETIC_FIELD`.
        time_ns: of the last sample, since 2000-01-01.
        samples: (T, C) integers as on the wire (of a float, its bit pattern).
        frame_type: with bit 7 set it is compressed.
    """
    layouts = _KINDS[kind].compressed if frame_type & COMPRESSED else _KINDS[kind].raw
    size = layouts[frame_type & HEADER_BITS][1]
    body = compress(samples, size) if frame_type & COMPRESSED else pack(samples, size)
    return Chunk(HEADER.pack(kind, time_ns, frame_type) + body, 0, DATA)
