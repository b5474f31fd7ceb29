"""JSON or CSV in datagrams, for whatever has no codec of its own. The names say the units; a name without one is refused.

A datagram (UTF-8) holds JSON objects, one per line, each one reading::

    {"sensor": "left_wrist", "time_s": 12.34, "sequence": 7, "quaternion_wxyz": [1, 0, 0, 0],
     "acceleration_m_s2": [0, 0, 9.8], "angular_velocity_rad_s": [0, 0, 0], "magnetic_field_uT": [20, 0, -40]}

or CSV: a header and rows, with the components of a vector as columns of their own::

    sensor,time_s,quaternion_w,quaternion_x,quaternion_y,quaternion_z,acceleration_g_x,acceleration_g_y,acceleration_g_z
    left_wrist,12.34,1,0,0,0,0,0,1

======================  ==============================================================================================
``sensor``              text, "" if absent
``sequence``            counts readings of this sensor, 0 .. 2**32 - 1, then 0 again
``time_``               ``s``, ``ms``, ``us``: the device's clock; may wrap after 16 or 32 bits of ms or us
``quaternion_``         ``wxyz``, ``xyzw`` (CSV: ``w``, ``x``, ``y``, ``z``): sensor -> world
``acceleration_``       ``m_s2``, ``g``: specific force in sensor axes, +1 g upwards at rest
``linear_acceleration_``  the same units: without gravity, sensor axes
``angular_velocity_``   ``rad_s``, ``deg_s``: sensor axes
``magnetic_field_``     ``uT``, ``mG``: sensor axes
``battery``             share of full, 0 .. 1            ``temperature_C``        ``signal_dBm``
======================  ==============================================================================================

Empty cells and null are values that are not there. What is refused is counted, and the first refusal of each kind is told
in a status.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from firmware_bridge.codecs import CodecCounts, Gatt
from firmware_bridge.codecs._one_way import OneWay
from firmware_bridge.codecs._values import DEGREE, unit, within
from firmware_bridge.codecs._wrapping import Unwrapped
from firmware_bridge.samples import STANDARD_GRAVITY, Chunk, DeviceStatus, Quaternion, Reading, Vector

__all__ = ["LinesCodec", "encode_csv", "encode_json"]

LONGEST = 65535
MOST_TOLD = 16
"""Different refusals that are told; further ones are counted only."""
LONGEST_NAME = 64
MOST_CLOCKS = 256
"""Sensors whose clocks are followed across wraps."""

# name -> (field of the reading, factor to SI, largest possible SI value)
VECTORS: dict[str, tuple[str, float, float]] = {
    "acceleration_m_s2": ("acceleration", 1.0, 5000.0),
    "acceleration_g": ("acceleration", STANDARD_GRAVITY, 5000.0),
    "linear_acceleration_m_s2": ("linear_acceleration", 1.0, 5000.0),
    "linear_acceleration_g": ("linear_acceleration", STANDARD_GRAVITY, 5000.0),
    "angular_velocity_rad_s": ("angular_velocity", 1.0, 200.0),
    "angular_velocity_deg_s": ("angular_velocity", DEGREE, 200.0),
    "magnetic_field_uT": ("magnetic_field", 1.0, 10000.0),
    "magnetic_field_mG": ("magnetic_field", 0.1, 10000.0),
}
QUATERNIONS = {"quaternion_wxyz": (0, 1, 2, 3), "quaternion_xyzw": (3, 0, 1, 2)}
TIMES = {"time_s": 1e6, "time_ms": 1e3, "time_us": 1.0}
FACTS: dict[str, tuple[str, float, float]] = {
    "battery": ("battery", 0.0, 1.0),
    "temperature_C": ("temperature", -100.0, 200.0),
    "signal_dBm": ("signal_dbm", -200.0, 50.0),
}
NAMES = ("sensor", "sequence", *TIMES, *QUATERNIONS, *VECTORS, *FACTS)


class RefusedLine(ValueError):
    """Why a line is refused. Never leaves the module."""


class LinesCodec(OneWay):
    """Lines as readings; the format is the module's text."""

    name: ClassVar[str] = "lines"
    gatt: ClassVar[Gatt | None] = None
    sequence_bits: ClassVar[int | None] = 32
    clock_bits: ClassVar[int | None] = 64
    clock_tick_us: ClassVar[float] = 1.0

    def __init__(self) -> None:
        self.counts: CodecCounts = CodecCounts()
        self._clocks: dict[str, Unwrapped] = {}
        self.reset()

    def reset(self) -> None:
        """Tell refusals anew."""
        self._told: set[str] = set()

    def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        """The readings of a datagram. One bad line costs that line; a bad header or no UTF-8 costs the datagram."""
        try:
            if len(chunk.data) > LONGEST:
                raise RefusedLine(f"more than {LONGEST} bytes")
            lines = [line for line in chunk.data.decode("utf-8").splitlines() if line.strip()]
            if not lines:
                raise RefusedLine("an empty datagram")
            if lines[0].lstrip().startswith("{"):
                return self._rows(lines, _json, chunk.host_ns)
            if len(lines) < 2:
                raise RefusedLine("one line that is no JSON object: CSV needs its header in the same datagram")
            header = _header(lines[0])
            return self._rows(lines[1:], lambda line: _csv(header, line), chunk.host_ns)
        except (UnicodeDecodeError, RefusedLine, csv.Error) as error:
            return self._refuse(len(chunk.data), "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error))

    def _rows(self, lines: Sequence[str], parse: Callable[[str], Mapping[str, Any]], host_ns: int) -> list[Reading | DeviceStatus]:
        decoded: list[Reading | DeviceStatus] = []
        for line in lines:
            try:
                decoded += [self._unwrapped(item, host_ns) for item in _items(parse(line))]
                self.counts.frames += 1
            except (ValueError, RecursionError, csv.Error) as error:  # json nests as deeply as its sender likes
                reason = str(error) if isinstance(error, RefusedLine) else "neither JSON nor a row of the header's length"
                decoded += self._refuse(len(line.encode("utf-8")), reason)
        return decoded

    def _unwrapped(self, item: Reading | DeviceStatus, host_ns: int) -> Reading | DeviceStatus:
        """A reading with a clock that does not wrap."""
        if isinstance(item, DeviceStatus) or item.device_us is None:
            return item
        clock = self._clocks.get(item.sensor)
        if clock is None:
            if len(self._clocks) >= MOST_CLOCKS:
                return item
            clock = self._clocks[item.sensor] = Unwrapped()
        device_us = clock.push(item.device_us, host_ns, item.sequence)
        return item if device_us == item.device_us else item._replace(device_us=device_us)

    def _refuse(self, size: int, reason: str) -> list[Reading | DeviceStatus]:
        self.counts.bad += 1
        self.counts.discarded += size
        if reason in self._told or len(self._told) >= MOST_TOLD:
            return []
        self._told.add(reason)
        return [DeviceStatus(text=f"refused: {reason}")]


def _json(line: str) -> Mapping[str, Any]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise RefusedLine("JSON that is no object")
    return row


def _header(line: str) -> list[str]:
    columns = [column.strip() for column in next(csv.reader([line], strict=True))]
    if len(set(columns)) != len(columns):
        raise RefusedLine("a header that names a column twice")
    return columns


def _csv(columns: Sequence[str], line: str) -> Mapping[str, Any]:
    """A row as JSON would have it: numbers, and the components of vectors together."""
    cells = next(csv.reader([line], strict=True))
    if len(cells) != len(columns):
        raise RefusedLine(f"{len(cells)} cells under {len(columns)} columns")
    row: dict[str, Any] = {}
    vectors: dict[str, list[float | None]] = {}
    for column, cell in zip(columns, (cell.strip() for cell in cells), strict=True):
        vector, _, axis = column.rpartition("_")
        if column == "sensor":
            row[column] = cell
        elif column == "sequence":
            row[column] = int(cell) if cell else None
        elif vector == "quaternion" and axis in ("w", "x", "y", "z"):
            vectors.setdefault("quaternion_wxyz", [None] * 4)["wxyz".index(axis)] = _cell(cell)
        elif vector in VECTORS and axis in ("x", "y", "z"):
            vectors.setdefault(vector, [None] * 3)["xyz".index(axis)] = _cell(cell)
        else:
            row[column] = _cell(cell)
    if vectors.keys() & row.keys():
        raise RefusedLine("a vector as one column and as several")
    return row | {name: parts for name, parts in vectors.items() if any(part is not None for part in parts)}


def _cell(cell: str) -> float | None:
    return float(cell) if cell else None


def _items(row: Mapping[str, Any]) -> list[Reading | DeviceStatus]:
    """The reading and the status that a row holds; either may be absent.

    Raises:
        RefusedLine: a name that there is not, two names for one thing, or a value that cannot be.
    """
    known = {name: value for name, value in row.items() if value is not None}
    sensor = known.pop("sensor", "")
    if not isinstance(sensor, str) or len(sensor) > LONGEST_NAME:
        raise RefusedLine(f"a sensor that is no text of at most {LONGEST_NAME} characters")
    motion: dict[str, Any] = {}
    facts: dict[str, float] = {}
    for name, value in known.items():
        if name not in NAMES:
            raise RefusedLine(_unknown(name))
        field, converted = _convert(name, value)
        into = facts if name in FACTS else motion
        if field in into:
            raise RefusedLine(f"{field} in two units")
        into[field] = converted
    items: list[Reading | DeviceStatus] = []
    if motion.keys() - {"sequence", "device_us"}:
        items.append(Reading(sensor, **motion))
    if facts:
        items.append(DeviceStatus(sensor, **facts))  # type: ignore[arg-type]  # FACTS names its fields of numbers only
    if not items:
        raise RefusedLine("a row without a measurement")
    return items


def _unknown(name: str) -> str:
    near = [known for known in NAMES if known.startswith(name + "_")]
    short = name[:LONGEST_NAME]
    return f"{short!r} has no unit: say " + " or ".join(near) if near else f"no such name: {short!r}"


def _convert(name: str, value: Any) -> tuple[str, Any]:
    if name == "sequence":
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 32:
            raise RefusedLine("a sequence that is no whole number of 32 bits")
        return "sequence", value
    if name in TIMES:
        microseconds = _number(name, value) * TIMES[name]
        if not 0 <= microseconds < 2.0**63:
            raise RefusedLine(f"{name} before 0 or beyond 63 bits of microseconds")
        return "device_us", round(microseconds)
    if name in FACTS:
        field, least, most = FACTS[name]
        number = _number(name, value)
        if not least <= number <= most:
            raise RefusedLine(f"{name} outside {least:g} .. {most:g}")
        return field, number
    if name in QUATERNIONS:
        parts = _numbers(name, value, 4)
        w, x, y, z = (parts[index] for index in QUATERNIONS[name])
        orientation: Quaternion | None = unit(w, x, y, z)
        if orientation is None:
            raise RefusedLine(f"{name} that is no unit quaternion")
        return "orientation", orientation
    field, factor, limit = VECTORS[name]
    a, b, c = (part * factor for part in _numbers(name, value, 3))
    vector: Vector = (a, b, c)
    if not within(vector, limit):
        raise RefusedLine(f"{name} beyond what a sensor measures")
    return field, vector


def _numbers(name: str, value: Any, count: int) -> list[float]:
    if not isinstance(value, list) or len(value) != count:
        raise RefusedLine(f"{name} that is no list of {count} numbers")
    return [_number(name, part) for part in value]


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RefusedLine(f"{name} that is no number")
    try:
        number = float(value)
    except OverflowError:  # a whole number with hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise RefusedLine(f"{name} that is not finite")
    return number


def _row(reading: Reading) -> dict[str, Any]:
    values: dict[str, Any] = {
        "sensor": reading.sensor, "sequence": reading.sequence, "time_us": reading.device_us,
        "quaternion_wxyz": reading.orientation, "acceleration_m_s2": reading.acceleration,
        "linear_acceleration_m_s2": reading.linear_acceleration, "angular_velocity_rad_s": reading.angular_velocity,
        "magnetic_field_uT": reading.magnetic_field,
    }
    return {name: value for name, value in values.items() if value is not None}


def encode_json(reading: Reading) -> bytes:
    """One line of JSON; flags are not carried."""
    return json.dumps(_row(reading)).encode("utf-8") + b"\n"


def encode_csv(reading: Reading) -> bytes:
    """A header and one row; flags are not carried."""
    cells: dict[str, str] = {}
    for name, value in _row(reading).items():
        if isinstance(value, tuple):
            axes = "wxyz" if len(value) == 4 else "xyz"
            stem = "quaternion" if len(value) == 4 else name
            cells |= {f"{stem}_{axis}": repr(part) for axis, part in zip(axes, value, strict=True)}
        else:
            cells[name] = str(value)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([cells.keys(), cells.values()])
    return text.getvalue().encode("utf-8")
