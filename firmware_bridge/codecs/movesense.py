"""Movesense sensors with the GATT sensor data service (the maker's ``gatt_sensordata_app`` and what grew from it).

Source: Movesense device library, ``samples/gatt_sensordata_app`` (protocol, also in its Python client) and
``movesense-api/meas/{imu,acc,gyro}.yaml`` (contents and units).

    to the sensor    u8 command (1 subscribe, 2 unsubscribe), u8 reference, path as text
    from the sensor  u8 1, u8 reference, u16 status           answer to a command
                     u8 2, u8 reference, u32 ms, floats       a batch of measurements
                     u8 3, u8 reference, floats               the rest of a batch that was too long for one packet

A batch holds all accelerations, then all angular velocities, then all magnetic fields; its time is that of the first.
A notification does not say what it carries but for the reference, which is ours to choose: it names resource and rate
(see :func:`reference_of`), so that a recording can be read without knowing how the sensor was started.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from edgeskel.errors import UnknownChoice, UsageError
from firmware_bridge.codecs import CodecCounts, Gatt, Write
from firmware_bridge.codecs._values import DEGREE, LONGEST_ATTRIBUTE, positive, reaches, within
from firmware_bridge.samples import STANDARD_GRAVITY, Chunk, DeviceStatus, Flags, Reading, Vector

__all__ = ["RATES", "RESOURCES", "MovesenseCodec", "encode_batch", "encode_result", "reference_of"]

SERVICE = "34802252-7185-4d5d-b431-630e7050e8f0"
COMMAND = "34800001-7185-4d5d-b431-630e7050e8f0"
DATA = "34800002-7185-4d5d-b431-630e7050e8f0"

SUBSCRIBE, UNSUBSCRIBE = 1, 2
RESULT, BATCH, REST = 1, 2, 3

RATES = (13, 26, 52, 104, 208, 416, 833, 1666)
"""Hz, of the measurement API. How many of them fit through the radio depends on resource and firmware."""
DEFAULT_RATE = 52
BATCHES_PER_SECOND = 13
LARGEST_BATCH = 32

_FLAGS = {  # (time spread, saturated); made once, for `|` on flags costs more than the rest of a reading
    (False, False): Flags.NONE,
    (False, True): Flags.SATURATED,
    (True, False): Flags.TIME_INTERPOLATED,
    (True, True): Flags.TIME_INTERPOLATED | Flags.SATURATED,
}

RESOURCES: dict[str, str] = {"IMU6": "ag", "IMU9": "agm", "IMU6m": "am", "Acc": "a", "Gyro": "g"}
"""What a resource measures, in order: ``a`` acceleration, ``g`` angular velocity, ``m`` magnetic field."""
_NUMBERED = tuple(RESOURCES)

LIMITS = {"a": 1.1 * 16 * STANDARD_GRAVITY, "g": 1.1 * 2000 * DEGREE, "m": 5000.0}
"""m/s², rad/s, µT: beyond the largest range of the sensors; more is a broken packet, not a measurement."""


def reference_of(resource: str, rate_hz: float) -> int:
    """The reference under which we subscribe: never zero, which the sensor keeps for a free place.

    Raises:
        UnknownChoice: no such resource.
        UsageError: no such rate; the message lists those there are.
    """
    if resource not in RESOURCES:
        raise UnknownChoice("Movesense resource", resource, RESOURCES)
    if rate_hz not in RATES:
        raise UsageError(f"Movesense does not measure at {rate_hz:g} Hz",
                         expected=f"one of {', '.join(map(str, RATES))}")  # fmt: skip
    return 0x10 * (1 + _NUMBERED.index(resource)) + RATES.index(int(rate_hz))


class MovesenseCodec:
    """One Movesense sensor.

    Args:
        resource: a key of :data:`RESOURCES`.
        acceleration_range_g: the range the sensor is set to, in g; a value at its end is flagged as saturated.
        angular_velocity_range_dps: the same, in degrees per second.

    Raises:
        UnknownChoice: no such resource; the message lists those there are.
    """

    name: ClassVar[str] = "movesense"
    gatt: ClassVar[Gatt | None] = Gatt(
        service=SERVICE,
        notify=(DATA,),
        names=("Movesense",),
        least_mtu=161,  # the firmware's own figure ("MTU is 161")
    )
    sequence_bits: ClassVar[int | None] = None
    clock_bits: ClassVar[int | None] = 32
    clock_tick_us: ClassVar[float] = 1000.0
    options: ClassVar[Mapping[str, Callable[[str], Any]]] = {
        "resource": str, "acceleration_range_g": positive, "angular_velocity_range_dps": positive}  # fmt: skip

    def __init__(
        self, resource: str = "IMU6", *, acceleration_range_g: float = 16, angular_velocity_range_dps: float = 2000
    ) -> None:
        reference_of(resource, DEFAULT_RATE)
        self.resource = resource
        self.counts: CodecCounts = CodecCounts()
        self._full_scale = {
            "a": 0.999 * acceleration_range_g * STANDARD_GRAVITY,
            "g": 0.999 * angular_velocity_range_dps * DEGREE,
            "m": float("inf"),
        }
        self._rate = DEFAULT_RATE
        self._begun = b""  # the first part of a batch, its reference in front
        self._held = 0  # bytes of the notifications behind it
        self._due_us: int | None = None  # when the next batch begins

    def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        """The measurements that a notification completes.

        The batch's time belongs to its first measurement, which is flagged GAP when it is later than the batch before
        promised. The others' times are spread from there at the nominal rate and flagged ``TIME_INTERPOLATED``.
        """
        data = chunk.data
        if chunk.channel != DATA or not 2 <= len(data) <= LONGEST_ATTRIBUTE:
            return self._refuse(len(data))
        if data[0] == RESULT:
            return self._result(data)
        meaning = _meaning(data[1])
        if meaning is None or data[0] not in (BATCH, REST):
            return self._refuse(len(data))
        if data[0] == BATCH:
            self._drop()
            self._begun = data[1:]
        elif not self._begun or self._begun[0] != data[1]:
            return self._refuse(len(data))
        else:
            self._begun += data[2:]
        self._held += len(data)
        fields, rate = meaning
        size = len(self._begun) - 1
        if size in _sizes(len(fields), rate):
            whole, held = self._begun[1:], self._held
            self._begun, self._held = b"", 0
            return self._batch(whole, fields, rate, held)
        if size >= max(_sizes(len(fields), rate)):
            self._drop()
        return []

    def start(self, rate_hz: float | None = None) -> Sequence[Write]:
        """Subscribe to the resource. See :class:`~firmware_bridge.codecs.Codec`."""
        rate = DEFAULT_RATE if rate_hz is None else rate_hz
        reference = reference_of(self.resource, rate)
        self._rate = int(rate)
        path = f"/Meas/{self.resource}/{self._rate}".encode("ascii")
        return (Write(bytes((SUBSCRIBE, reference)) + path, COMMAND),)

    def stop(self) -> Sequence[Write]:
        """Unsubscribe; the sensor does so by itself when the link is lost."""
        return (Write(bytes((UNSUBSCRIBE, reference_of(self.resource, self._rate))), COMMAND),)

    def reply(self, chunk: Chunk) -> Sequence[Write]:
        """Nothing: the device wants no answers."""
        return ()

    def reset(self) -> None:
        """Forget a batch whose rest has not come, and the time of the next."""
        self._drop()
        self._due_us = None

    def _refuse(self, size: int) -> list[Reading | DeviceStatus]:
        self.counts.bad += 1
        self.counts.discarded += size
        return []

    def _drop(self) -> None:
        if self._begun:
            self._refuse(self._held)
            self._begun, self._held = b"", 0

    def _result(self, data: bytes) -> list[Reading | DeviceStatus]:
        if len(data) < 4:
            return self._refuse(len(data))
        # The maker's first firmware sent the status with its high byte first, later ones with it last.
        status = data[2] | data[3] << 8
        if not 100 <= status < 600:
            status = data[3] | data[2] << 8
        if not 100 <= status < 600:
            return self._refuse(len(data))
        self.counts.frames += 1
        if status < 400:
            return []
        meaning = _NUMBERED[(data[1] >> 4) - 1] if _meaning(data[1]) else f"reference {data[1]}"
        return [DeviceStatus(text=f"refused {meaning}: status {status}" + (" (no such rate)" if status == 501 else ""))]

    def _batch(self, payload: bytes, fields: str, rate: int, held: int) -> list[Reading | DeviceStatus]:
        count = (len(payload) - 4) // (12 * len(fields))
        values = struct.unpack(f"<I{3 * count * len(fields)}f", payload)
        scaled = [values[1 + 3 * count * n : 1 + 3 * count * (n + 1)] for n in range(len(fields))]
        vectors: dict[str, list[Vector]] = {}
        clipped = [False] * count
        for field, flat in zip(fields, scaled, strict=True):
            unit = DEGREE if field == "g" else 1.0
            rows = [(x * unit, y * unit, z * unit) for x, y, z in zip(flat[::3], flat[1::3], flat[2::3], strict=True)]
            limit, full_scale = LIMITS[field], self._full_scale[field]
            for row, vector in enumerate(rows):
                if not within(vector, limit):
                    return self._refuse(held)
                clipped[row] |= reaches(vector, full_scale)
            vectors[field] = rows
        nothing: list[Vector | None] = [None] * count
        self.counts.frames += 1
        period_us, begin_us, wrap_us = 1e6 / rate, values[0] * 1000, 1000 << 32
        due_us, self._due_us = self._due_us, (begin_us + round(count * period_us)) % wrap_us
        # The clock counts milliseconds and the sensor's rate is its own: half a measurement is the finest that tells.
        gap = due_us is not None and period_us / 2 + 1000 < (begin_us - due_us) % wrap_us < wrap_us / 2
        readings: list[Reading | DeviceStatus] = []
        columns = zip(
            vectors.get("a", nothing), vectors.get("g", nothing), vectors.get("m", nothing), clipped, strict=True
        )
        for row, (acceleration, angular_velocity, magnetic_field, saturated) in enumerate(columns):
            flags = _FLAGS[row > 0, saturated]
            if gap and not row:
                flags |= Flags.GAP
            device_us = (begin_us + round(row * period_us)) % wrap_us
            readings.append(
                Reading("", None, device_us, None, acceleration, None, angular_velocity, magnetic_field, flags)
            )
        return readings


def encode_batch(
    resource: str, rate_hz: int, time_ms: int, readings: Sequence[Reading], *, longest: int = 158
) -> list[Chunk]:
    """A batch as the sensor sends it: one notification, or as many as it takes.

    Args:
        resource: a key of :data:`RESOURCES`.
        rate_hz: one of :data:`RATES`.
        time_ms: the sensor's clock at the first measurement.
        readings: SI units; what the resource measures and a reading lacks is sent as zero.
        longest: bytes of the longest notification, which is the ATT MTU less 3.
    """
    reference = reference_of(resource, rate_hz)
    still = (0.0, 0.0, 0.0)
    payload = bytearray(struct.pack("<I", time_ms & 0xFFFFFFFF))
    for field in RESOURCES[resource]:
        for reading in readings:
            if field == "a":
                vector = reading.acceleration or still
            elif field == "g":
                x, y, z = reading.angular_velocity or still
                vector = (x / DEGREE, y / DEGREE, z / DEGREE)
            else:
                vector = reading.magnetic_field or still
            payload += struct.pack("<3f", *vector)
    room = longest - 2
    pieces = [payload[at : at + room] for at in range(0, len(payload), room)]
    return [
        Chunk(bytes((REST if number else BATCH, reference)) + piece, 0, DATA) for number, piece in enumerate(pieces)
    ]


def encode_result(reference: int, status: int) -> Chunk:
    """The answer to a command; ``status`` as in HTTP (200 done, 501 no such rate, 507 no free place)."""
    return Chunk(struct.pack("<BBH", RESULT, reference, status), 0, DATA)


def _meaning(reference: int) -> tuple[str, int] | None:
    kind, rate = (reference >> 4) - 1, reference & 0x0F
    if not 0 <= kind < len(_NUMBERED) or rate >= len(RATES):
        return None
    return RESOURCES[_NUMBERED[kind]], RATES[rate]


def _batch_sizes(rate_hz: int) -> tuple[int, ...]:
    """How many measurements a batch may hold.

    The sensor sends 13 batches a second: 1, 2, 4, 8 measurements at 13 to 104 Hz. Above that it is not written down,
    so any power of two up to :data:`LARGEST_BATCH` is taken.
    """
    if rate_hz <= 104:
        return (rate_hz // BATCHES_PER_SECOND,)
    return tuple(2**n for n in range(3, 10) if 2**n <= LARGEST_BATCH)


_SIZES = {
    (channels, rate): frozenset(4 + 12 * channels * count for count in _batch_sizes(rate))
    for channels in (1, 2, 3)
    for rate in RATES
}


def _sizes(channels: int, rate_hz: int) -> frozenset[int]:
    """Bytes of a whole batch without its two leading ones."""
    return _SIZES[channels, rate_hz]
