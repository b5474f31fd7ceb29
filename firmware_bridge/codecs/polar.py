"""Polar's measurement data (PMD) service: H10 (acceleration), Verity Sense and its like (9 axes).

Source: polar-ble-sdk (Polar Electro), Android ``gatt/client/pmd`` and its tests; ``TimeSystemExplained.md``,
``SdkModeExplained.md``, ``products/PolarH10.md``, ``products/PolarVeritySense.md``.

    control 5C81, to the device     01 type            which settings are there
                                    02 type settings   start; type 9 starts SDK mode, which has more rates
                                    03 type            stop
    control 5C81, from the device   F0 command type status more settings
                                    01 types           the device has stopped these by itself
    data 5C82                       u8 type, u64 ns since 2000-01-01 of the LAST sample, u8 frame type, samples

Types: 2 acceleration, 5 angular velocity, 6 magnetic field. Bit 7 of the frame type says compressed. Each type comes in
packets of its own; they are brought together. All is in the sensor's axes. Settings are in
:mod:`firmware_bridge.codecs.polar_control`, samples in ``polar_frame``, and what belongs together in ``polar_pairing``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeskel.errors import UsageError
from firmware_bridge.codecs import CodecCounts, Gatt, Write
from firmware_bridge.codecs._values import DEGREE, LONGEST_ATTRIBUTE
from firmware_bridge.codecs.polar_control import (
    ALREADY,
    CONTROL,
    FACTOR,
    GET_SETTINGS,
    RANGE,
    RATE,
    REASONS,
    RESPONSE,
    START,
    STOP,
    STOPPED,
    encode_settings,
    parse_settings,
)
from firmware_bridge.codecs.polar_frame import Integers, compress, decompress, pack, unpack
from firmware_bridge.codecs.polar_merger import PolarMerger, PolarSample
from firmware_bridge.samples import STANDARD_GRAVITY, Chunk, DeviceStatus, Flags, Reading, Vector

__all__ = ["ACCELERATION", "ANGULAR_VELOCITY", "MAGNETIC_FIELD", "RATES", "PolarCodec", "encode_frame"]

SERVICE = "fb005c80-02e7-f387-1cad-8acd2d8df0c8"
DATA = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"

ACCELERATION, ANGULAR_VELOCITY, MAGNETIC_FIELD, SDK_MODE = 2, 5, 6, 9
NAMES = {ACCELERATION: "acceleration", ANGULAR_VELOCITY: "angular velocity", MAGNETIC_FIELD: "magnetic field"}

SENSORS = {ACCELERATION: "", ANGULAR_VELOCITY: "gyroscope", MAGNETIC_FIELD: "magnetometer"}
"""Names of what is not brought together."""

H10_RATES = (25, 50, 100, 200)
SDK_MODE_RATES = (26, 104, 208, 416)
RATES = tuple(sorted((*H10_RATES, 52, *SDK_MODE_RATES)))
"""Hz, of acceleration and angular velocity: 25, 50, 100, 200 are the H10's, the others the Verity Sense's."""
USUAL_RATE = 100
"""Without a wish the rate nearest to this is taken of those the device offers."""

HEADER = struct.Struct("<BQB")
COMPRESSED = 0x80
HEADER_BITS = 0x7F
PAUSE_S = 0.1
"""Between commands whose answers are not waited for."""
LONGEST_PAUSE_NS = 10_000_000_000
"""A frame later than this after the one before says nothing about the rate."""


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


_FOLLOWING = {ACCELERATION: ANGULAR_VELOCITY, ANGULAR_VELOCITY: MAGNETIC_FIELD, MAGNETIC_FIELD: None}


def _command(command: int, kind: int, settings: bytes = b"") -> tuple[Write]:
    return (Write(bytes((command, kind)) + settings, CONTROL),)


@dataclass
class _Stream:
    """What is known of one running measurement."""

    rate: int | None = None
    range: float | None = None  # SI
    factor: float | None = None
    running: bool = False
    last_ns: int | None = None


class PolarCodec:
    """One Polar sensor.

    Which rates and ranges it has, it says itself when asked: :meth:`start` asks, :meth:`reply` answers with the start
    of a measurement, and so on for the next. The factor of compressed frames comes with the device's answer to that.
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
        self.counts: CodecCounts = CodecCounts()
        self._wish: float | None = None
        self.reset()

    def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        """The samples of a frame, in order, or what the device says about itself.

        A frame's time belongs to its last sample. The others' are spread over the time since the frame before, or at
        the nominal rate when that does not fit (the first frame; a lost one), and are flagged ``TIME_INTERPOLATED``.
        Without either they have no time.

        Where acceleration and angular velocity both run, a reading holds the two (and the magnetic field), so it may
        come with a later chunk. Otherwise it holds what its packet holds, and ``gyroscope`` and ``magnetometer`` are
        sensors of their own: their times go back and forth against those of the acceleration.
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
        """Ask for the first settings, or switch to SDK mode first if the rate needs it. See :class:`~firmware_bridge.codecs.Codec`.

        The device wants one command at a time, so :meth:`reply` goes on when it has answered.
        """
        if rate_hz is not None and rate_hz not in RATES:
            raise UsageError(f"no Polar sensor measures at {rate_hz:g} Hz",
                             expected=f"one of {', '.join(map(str, RATES))}")  # fmt: skip
        self._wish = rate_hz
        return _command(START, SDK_MODE) if rate_hz in SDK_MODE_RATES else _command(GET_SETTINGS, ACCELERATION)

    def stop(self) -> Sequence[Write]:
        """Stop the three measurements and SDK mode; the device refuses what does not run.

        See :class:`~firmware_bridge.codecs.Codec`.
        """
        return tuple(Write(bytes((STOP, kind)), CONTROL, PAUSE_S) for kind in (*_KINDS, SDK_MODE))

    def reply(self, chunk: Chunk) -> Sequence[Write]:
        """The next command: settings are answered with a start, a start (or what cannot be started) with the next kind."""
        data = chunk.data
        if chunk.channel != CONTROL or len(data) < 4 or data[0] != RESPONSE:
            return ()
        command, kind, status = data[1:4]
        if command == START and kind == SDK_MODE:
            return _command(GET_SETTINGS, ACCELERATION)
        if command not in (GET_SETTINGS, START) or kind not in _KINDS:
            return ()
        offered = parse_settings(data[5:]) if command == GET_SETTINGS and not status else None
        rate = self._rate_of(kind, offered[RATE]) if offered and RATE in offered else None
        if offered is None or rate is None:
            following = _FOLLOWING[kind]
            return () if following is None else _command(GET_SETTINGS, following)
        chosen = {setting: max(values) for setting, values in offered.items() if setting != FACTOR}
        chosen[RATE] = rate
        span = chosen[RANGE] * _KINDS[kind].range_unit if RANGE in chosen else None
        self._streams[kind] = _Stream(rate, span)
        return _command(START, kind, encode_settings({setting: (value,) for setting, value in chosen.items()}))

    def reset(self) -> None:
        """Forget factors, ranges, times and what waits for its pair: they belong to the link that was."""
        self._streams: dict[int, _Stream] = {kind: _Stream() for kind in _KINDS}
        self._pairing = PolarMerger()

    def _rate_of(self, kind: int, offered: Sequence[int]) -> int | None:
        """None when the device does not have the wished rate; the magnetometer takes the next lower one it has."""
        if kind == MAGNETIC_FIELD:
            return max((rate for rate in offered if rate <= (self._wish or USUAL_RATE)), default=min(offered))
        if self._wish is None:
            return min(offered, key=lambda rate: (abs(rate - USUAL_RATE), rate))
        return int(self._wish) if self._wish in offered else None

    def _control(self, data: bytes) -> list[Reading | DeviceStatus] | None:
        if data[:1] == bytes((STOPPED,)):
            kinds = [kind & 0x3F for kind in data[1:]]  # the two upper bits tell live from recorded
            for kind in kinds:
                if kind in self._streams:
                    self._streams[kind].running = False
            types = ", ".join(NAMES.get(kind, f"type {kind}") for kind in kinds)
            return [*self._pairing.flush(), DeviceStatus(text=f"the sensor has stopped: {types or 'no type named'}")]
        if len(data) < 4 or data[0] != RESPONSE:
            return None
        command, kind, status = data[1:4]
        if status:
            # Asking for a sensor that is not there, starting or stopping what already is so: no fault.
            if command != START or status == ALREADY:
                return []
            reason = REASONS[status] if status < len(REASONS) else f"code {status}"
            return [DeviceStatus(text=f"refused to start {NAMES.get(kind, f'type {kind}')}: {reason}")]
        if kind not in _KINDS:
            return []
        settings = parse_settings(data[5:])
        if settings is None:
            return None
        if command == GET_SETTINGS and RATE in settings and self._rate_of(kind, settings[RATE]) is None:
            rates = ", ".join(map(str, sorted(settings[RATE])))
            return [DeviceStatus(text=f"{NAMES[kind]} has {rates} Hz, not the {self._wish:g} Hz that were asked for")]
        if command == START:
            (bits,) = settings.get(FACTOR, [0x3F800000])[:1]
            (factor,) = struct.unpack("<f", struct.pack("<I", bits))
            if not 0 < factor < math.inf:
                return None
            self._streams[kind].factor, self._streams[kind].running = factor, True
        return []

    def _frame(self, data: bytes) -> list[Reading | DeviceStatus] | None:
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
    ) -> list[Reading | DeviceStatus]:
        period_ns, lost = self._period(number, time_ns, len(vectors))
        timed: list[tuple[int | None, Vector, Flags]] = []
        for row, ((x, y, z), saturated) in enumerate(zip(vectors, clipped, strict=True)):
            behind = len(vectors) - 1 - row
            flags = _FLAGS[behind > 0, saturated]
            if lost and row == 0:
                flags |= Flags.GAP
            device_us: int | None = time_ns // 1000
            if behind:
                begin_ns = None if period_ns is None else time_ns - round(behind * period_ns)
                device_us = None if begin_ns is None or begin_ns < 0 else begin_ns // 1000
            timed.append((device_us, (x, y, z), flags))
        samples = [PolarSample(device_us, vector, flags) for device_us, vector, flags in timed if device_us is not None]
        if self._paired and len(samples) == len(timed):
            push = {ACCELERATION: self._pairing.accelerations, ANGULAR_VELOCITY: self._pairing.angular_velocities,
                    MAGNETIC_FIELD: self._pairing.magnetic_fields}[number]  # fmt: skip
            return [*push(samples)]
        return [_single(number, *parts) for parts in timed]

    @property
    def _paired(self) -> bool:
        return self._streams[ACCELERATION].running and self._streams[ANGULAR_VELOCITY].running

    def _period(self, number: int, time_ns: int, count: int) -> tuple[float | None, bool]:
        """Nanoseconds between the samples of a frame, None if unknown, and whether one was lost before it."""
        stream = self._streams[number]
        last_ns, stream.last_ns = stream.last_ns, time_ns
        nominal = None if stream.rate is None else 1e9 / stream.rate
        if last_ns is None or not 0 < time_ns - last_ns < LONGEST_PAUSE_NS:
            return nominal, False
        measured = (time_ns - last_ns) / count
        if nominal is None or abs(measured - nominal) < 0.1 * nominal:
            return measured, False
        return nominal, measured * count > (count + 0.5) * nominal


def _single(number: int, device_us: int | None, vector: Vector, flags: Flags) -> Reading:
    acceleration = vector if number == ACCELERATION else None
    angular_velocity = vector if number == ANGULAR_VELOCITY else None
    magnetic_field = vector if number == MAGNETIC_FIELD else None
    sensor = SENSORS[number]
    return Reading(sensor, None, device_us, None, acceleration, None, angular_velocity, magnetic_field, flags)


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
