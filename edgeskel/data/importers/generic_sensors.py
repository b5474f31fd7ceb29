"""Signals of worn sensors beside a user's own recordings: ``[sensors]`` of a ``dataset.toml``.

    [sensors]
    file = "{stem}_imu.csv"                    # beside each recording, whose name without its ending is {stem}
    segments = ["right_wrist", "right_thigh"]  # where the sensors are worn
    accelerometer = "{segment}_acc_{axis}"     # columns of the signals, for each segment and x, y, z
    gyroscope = "{segment}_gyr_{axis}"
    orientation = "{segment}_q{axis}"          # optional, for w, x, y, z: sensor to world
    time = "time"                              # on the clock of the joints; or, without it, sample_rate = 50, counted from
    time_unit = "ms"                           #   the first frame. s (the default), ms, us or ns
    acceleration = "g"                         # m/s2 (the default) or g
    rate = "deg/s"                             # rad/s (the default) or deg/s
    delimiter = ","

With ``{segment}`` in ``file``, each sensor has a file of its own, of as many samples at the same times.

Axes: S sensors, K samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.data.importers.generic_clock import UNITS
from edgeskel.data.importers.generic_files import Table
from edgeskel.errors import CorruptFile, UnknownChoice
from edgeskel.skeleton import Float64, Inertial

__all__ = ["Sensors"]

ACCELERATION = {"m/s2": 1.0, "g": 9.80665}
RATE = {"rad/s": 1.0, "deg/s": float(np.pi / 180)}
NAMED = {"file": {"stem", "segment"}, "accelerometer": {"segment", "axis"}, "gyroscope": {"segment", "axis"},
         "orientation": {"segment", "axis"}}  # what may stand in braces


@dataclass(frozen=True)
class Sensors:
    """Where the signals are and what they count; the fields are those of ``[sensors]``. Make it with :meth:`of`."""

    file: str
    segments: list[str]
    accelerometer: str = "{segment}_acc_{axis}"
    gyroscope: str = "{segment}_gyr_{axis}"
    orientation: str = ""
    time: str = ""
    time_unit: str = "s"
    sample_rate: float = 0.0
    acceleration: str = field(default="m/s2", metadata={"choices": ACCELERATION})
    rate: str = field(default="rad/s", metadata={"choices": RATE})
    delimiter: str = ","

    @classmethod
    def of(cls, data: Mapping[str, Any], described: Path) -> Sensors:
        """From the table of a ``dataset.toml``.

        Raises:
            UnknownChoice: a field or unit that there is not.
            CorruptFile: one is absent, of another type, or names what it cannot.
        """
        known = {item.name: item for item in fields(cls)}
        for name, value in data.items():
            if name not in known:
                raise UnknownChoice(f"field of [sensors] in {described}", name, known)
            kind = (list,) if name == "segments" else (int, float) if name == "sample_rate" else (str,)
            if not isinstance(value, kind) or isinstance(value, bool) or not value:
                raise CorruptFile(described, f"[sensors] {name} = {value!r}", expected=kind[0].__name__)
            if name in NAMED and _in_braces(str(value)) - NAMED[name]:
                raise CorruptFile(described, f"[sensors] {name} = {value!r}",
                                  expected="in braces " + " and ".join(f"{{{word}}}" for word in sorted(NAMED[name])))
        for choice, choices in (("acceleration", ACCELERATION), ("rate", RATE), ("time_unit", UNITS)):
            if data.get(choice, next(iter(choices))) not in choices:
                raise UnknownChoice(f"{choice} of [sensors] in {described}", data[choice], choices)
        for name in ("file", "segments"):
            if name not in data:
                raise CorruptFile(described, f"[sensors] without {name}", expected='file = "{stem}_imu.csv" and segments')
        if not all(isinstance(segment, str) and segment and "," not in segment for segment in data["segments"]):
            raise CorruptFile(described, f"[sensors] segments = {data['segments']!r}", expected='names: ["right_wrist"]')
        if bool(data.get("time")) == bool(data.get("sample_rate")):
            raise CorruptFile(described, "[sensors] with both or neither of time and sample_rate", expected="one of them")
        return cls(**data)

    def beside(self, recording: Path, start_s: float) -> Inertial | None:
        """The signals that belong to a recording; None where it has no file of them.

        Args:
            recording: the file of the joints.
            start_s: time of its first frame, seconds; where samples that have no time begin.

        Raises:
            CorruptFile: a column is missing, a field is no number, or the sensors' clocks differ.
        """
        files = [recording.parent / self.file.format(stem=recording.stem, segment=segment) for segment in self.segments]
        if not any(file.exists() for file in files):
            return None
        read = {file: Table.read(file, self.delimiter) for file in dict.fromkeys(files)}
        clocks = [self._clock(file, table, start_s) for file, table in read.items()]
        for file, time in zip(read, clocks, strict=True):
            if time.shape != clocks[0].shape or not np.array_equal(time, clocks[0]):
                raise CorruptFile(file, f"{len(time)} samples at other times than those of {files[0].name}",
                                  expected="one clock for all sensors of a recording", remedy="resample them to one clock")
        tables = [(file, read[file], segment) for file, segment in zip(files, self.segments, strict=True)]

        def signal(column: str, axes: str, size: float) -> NDArray[np.float32]:
            return np.stack([_finite(file, table, [column.format(segment=segment, axis=axis) for axis in axes])
                             for file, table, segment in tables]).astype(np.float32) * np.float32(size)

        return Inertial(tuple(self.segments), clocks[0],
                        signal(self.accelerometer, "xyz", ACCELERATION[self.acceleration]),
                        signal(self.gyroscope, "xyz", RATE[self.rate]),
                        signal(self.orientation, "wxyz", 1.0) if self.orientation else None)

    def _clock(self, file: Path, table: Table, start_s: float) -> Float64:
        if not self.time:
            return start_s + np.arange(len(table)) / self.sample_rate
        time = _finite(file, table, [self.time])[:, 0] * UNITS[self.time_unit]
        if np.any(np.diff(time) <= 0):
            raise CorruptFile(file, f"{self.time} does not increase from sample to sample", expected="samples in order")
        return np.asarray(time)


def _finite(file: Path, table: Table, columns: list[str]) -> Float64:
    """(K, columns) numbers."""
    values = table.numbers([table.index(column) for column in columns])
    if not np.isfinite(values).all():
        raise CorruptFile(file, f"{int((~np.isfinite(values)).sum())} samples of {columns[0]} are no numbers",
                          expected="finite numbers")
    return values


def _in_braces(text: str) -> set[str]:
    try:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    except ValueError:
        return {"?"}
