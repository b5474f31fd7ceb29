"""Movella (Xsens) DOT over BLE.

Source: Movella DOT BLE Service Specification, document XD0506P, revision C (July 2023), sections 2.2, 2.3, 3 and 4.

A measurement is one notification: the clock (u32, microseconds) and little-endian floats. Which ones depends on the
payload mode, which the packet does not name, so the mode is an argument. Modes of a maker's secret layout (high
fidelity, custom 4), with Euler angles only, with increments (dq, dv) or with the magnetic field (arbitrary units, not
µT) are not offered. Custom mode 1 carries Euler angles whose order of rotation the specification does not give: they
are checked and left out.

Free acceleration is in the device's "local earth coordinate", the quaternion leads there, and everything else is in the
sensor's axes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from edgeskel.errors import UnknownChoice, UsageError
from firmware_bridge.codecs import CodecCounts, Gatt, Write
from firmware_bridge.codecs._values import DEGREE, reaches, unit, within
from firmware_bridge.samples import STANDARD_GRAVITY, Chunk, DeviceStatus, Flags, Quaternion, Reading, Vector

__all__ = ["MODES", "RATES", "DotCodec", "DotMode", "encode_battery", "encode_packet"]


def _uuid(short: int) -> str:
    return f"1517{short:04x}-4947-11e9-8646-d663bd873d93"


SETTINGS, REPORT = _uuid(0x1002), _uuid(0x1004)
CONTROL, LONG, MEDIUM, SHORT = _uuid(0x2001), _uuid(0x2002), _uuid(0x2003), _uuid(0x2004)
BATTERY = _uuid(0x3001)
WHOLE = {LONG: 63, MEDIUM: 40, SHORT: 20}
"""Bytes of each characteristic; the unused ones at the end are zero, or are not sent."""

RATES = (1, 4, 10, 12, 15, 20, 30, 60)
"""Hz, live. 120 Hz exists for recording on the device only."""
DEFAULT_RATE = 60

MOST_ACCELERATION = 16 * STANDARD_GRAVITY
MOST_ANGULAR_VELOCITY = 2000 * DEGREE
CLIPPED = 0x003F  # accelerometer and gyroscope, three axes each (3.5.1)
REPORTS = {1: "powered off", 4: "power saving", 5: "button pressed", 6: "button pressed twice", 7: "button pressed 3x"}


_FLAGS = {  # (gap, saturated)
    (False, False): Flags.NONE,
    (False, True): Flags.SATURATED,
    (True, False): Flags.GAP,
    (True, True): Flags.GAP | Flags.SATURATED,
}


@dataclass(frozen=True)
class DotMode:
    """A payload mode.

    Args:
        number: as the control characteristic wants it.
        channel: the characteristic that carries it.
        fields: in order of transmission: ``q`` quaternion, ``e`` Euler angles, ``f`` free acceleration, ``a``
            acceleration, ``g`` angular velocity, ``s`` status and two counts of clipped samples.
    """

    number: int
    channel: str
    fields: str

    @property
    def layout(self) -> struct.Struct:
        """The packet without its unused bytes."""
        return struct.Struct("<I" + "".join({"q": "4f", "s": "HBB"}.get(field, "3f") for field in self.fields))


MODES: dict[str, DotMode] = {
    "custom-5": DotMode(26, LONG, "qag"),
    "custom-3": DotMode(24, MEDIUM, "qg"),
    "custom-1": DotMode(22, MEDIUM, "efg"),
    "rate": DotMode(21, MEDIUM, "ag"),
    "complete-quaternion": DotMode(3, MEDIUM, "qf"),
    "extended-quaternion": DotMode(2, MEDIUM, "qfs"),
    "quaternion": DotMode(5, SHORT, "q"),
    "free-acceleration": DotMode(6, SHORT, "f"),
}


class DotCodec:
    """One DOT.

    Args:
        mode: a key of :data:`MODES`.

    Raises:
        UnknownChoice: no such mode, or one that only the maker's SDK reads; the message lists those there are.
    """

    name: ClassVar[str] = "dot"
    gatt: ClassVar[Gatt | None] = Gatt(
        service=_uuid(0x2000),
        notify=(LONG, MEDIUM, SHORT, BATTERY, REPORT),
        names=("Movella DOT", "Movella Dot", "Xsens DOT", "Xsens Dot"),
        least_mtu=WHOLE[LONG] + 3,
    )
    sequence_bits: ClassVar[int | None] = None
    clock_bits: ClassVar[int | None] = 32
    clock_tick_us: ClassVar[float] = 1.0
    options: ClassVar[Mapping[str, Callable[[str], Any]]] = {"mode": str}

    def __init__(self, mode: str = "custom-5") -> None:
        if mode not in MODES:
            raise UnknownChoice("payload mode", mode, MODES)
        self.mode: DotMode = MODES[mode]
        self.counts: CodecCounts = CodecCounts()
        self._layout = self.mode.layout
        self._period_us: float | None = None  # known once we have set the rate
        self._last_us: int | None = None

    def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        """What one notification says. A packet of another length (cut by the MTU, or of another mode) is refused.

        After :meth:`start` the rate is known, and a reading is flagged GAP when its clock is too far from the last one's.
        """
        if chunk.channel == self.mode.channel:
            found: Reading | DeviceStatus | None = self._reading(chunk.data)
        elif chunk.channel == BATTERY:
            found = _battery(chunk.data)
        elif chunk.channel == REPORT:
            found = _report(chunk.data)
        else:
            found = None
        if found is None:
            self.counts.bad += 1
            self.counts.discarded += len(chunk.data)
            return []
        self.counts.frames += 1
        return [found]

    def start(self, rate_hz: float | None = None) -> Sequence[Write]:
        """Stop (a running measurement keeps its rate), set the rate, start. See :class:`~firmware_bridge.codecs.Codec`."""
        rate = DEFAULT_RATE if rate_hz is None else rate_hz
        if rate not in RATES:
            raise UsageError(f"a DOT does not send at {rate_hz:g} Hz", expected=f"one of {', '.join(map(str, RATES))}")
        self._period_us = 1e6 / rate
        settings = bytearray(32)
        settings[0] = 0x10  # of the settings, only the output rate
        struct.pack_into("<H", settings, 24, int(rate))
        return (
            *self.stop(),
            Write(bytes(settings), SETTINGS),
            Write(bytes((1, 1, self.mode.number)), CONTROL),
        )

    def stop(self) -> Sequence[Write]:
        """See :class:`~firmware_bridge.codecs.Codec`."""
        return (Write(bytes((1, 0, self.mode.number)), CONTROL),)

    def reply(self, chunk: Chunk) -> Sequence[Write]:
        """Nothing: the device wants no answers."""
        return ()

    def reset(self) -> None:
        """Forget the last time."""
        self._last_us = None

    def _gap(self, device_us: int) -> bool:
        last_us, self._last_us = self._last_us, device_us
        if last_us is None or self._period_us is None:
            return False
        return 1.5 * self._period_us < (device_us - last_us) % 2**32 < 2**31

    def _reading(self, data: bytes) -> Reading | None:
        size = self._layout.size
        if len(data) != size and (len(data) != WHOLE[self.mode.channel] or any(data[size:])):
            return None
        values = self._layout.unpack_from(data)
        orientation: Quaternion | None = None
        vectors: dict[str, Vector] = {}
        clipped = False
        at = 1
        for field in self.mode.fields:
            if field == "q":
                orientation = unit(*values[at : at + 4])
                if orientation is None:
                    return None
                at += 4
            elif field == "s":
                status, accelerometer, gyroscope = values[at : at + 3]
                clipped = bool(status & CLIPPED or accelerometer or gyroscope)
                at += 3
            else:
                x, y, z = values[at : at + 3]
                vectors[field] = (x * DEGREE, y * DEGREE, z * DEGREE) if field in "eg" else (x, y, z)
                at += 3
        # Free acceleration has lost gravity, so it may stand 1 g beyond the sensor's range.
        limits = {"a": 1.05 * MOST_ACCELERATION, "f": 1.15 * MOST_ACCELERATION, "g": 1.05 * MOST_ANGULAR_VELOCITY,
                  "e": 400 * DEGREE}  # fmt: skip
        if not all(within(vector, limits[field]) for field, vector in vectors.items()):
            return None
        acceleration, angular_velocity = vectors.get("a"), vectors.get("g")
        clipped = clipped or (acceleration is not None and reaches(acceleration, 0.999 * MOST_ACCELERATION))
        clipped = clipped or (angular_velocity is not None and reaches(angular_velocity, 0.999 * MOST_ANGULAR_VELOCITY))
        flags = _FLAGS[self._gap(values[0]), clipped]
        return Reading(
            device_us=values[0],
            orientation=orientation,
            acceleration=acceleration,
            linear_acceleration=vectors.get("f"),
            angular_velocity=angular_velocity,
            flags=flags,
        )


def encode_packet(mode: str, reading: Reading, *, padded: bool = False) -> Chunk:
    """A measurement as the device sends it.

    Args:
        mode: a key of :data:`MODES`.
        reading: SI units; what the mode carries and the reading lacks is sent as zero (as the identity, for the
            quaternion).
        padded: with the zeros that fill the characteristic.
    """
    kind = MODES[mode]
    values: list[float] = [(reading.device_us or 0) & 0xFFFFFFFF]
    still = (0.0, 0.0, 0.0)
    for field in kind.fields:
        if field == "q":
            values += reading.orientation or (1.0, 0.0, 0.0, 0.0)
        elif field == "a":
            values += reading.acceleration or still
        elif field == "f":
            values += reading.linear_acceleration or still
        elif field == "g":
            values += (value / DEGREE for value in reading.angular_velocity or still)
        elif field == "e":
            values += still
        else:
            values += (0x0001, 1, 0) if Flags.SATURATED in reading.flags else (0, 0, 0)
    data = kind.layout.pack(*values)
    return Chunk(data.ljust(WHOLE[kind.channel], b"\0") if padded else data, 0, kind.channel)


def encode_battery(share: float, *, charging: bool = False) -> Chunk:
    """The battery's notification; ``share`` of full, 0..1."""
    return Chunk(bytes((round(100 * share), charging)), 0, BATTERY)


def _battery(data: bytes) -> DeviceStatus | None:
    if len(data) != 2 or data[0] > 100 or data[1] > 1:
        return None
    return DeviceStatus(battery=data[0] / 100, text="charging" if data[1] else None)


def _report(data: bytes) -> DeviceStatus | None:
    if len(data) != 36 or data[0] not in REPORTS:
        return None
    return DeviceStatus(text=REPORTS[data[0]])
