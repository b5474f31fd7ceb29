"""Joints from a user's CSV and NPZ files, in the file's own unit and axes.

Axes: M persons, T frames, V joints.
"""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeskel.data.importers.common import number
from edgeskel.data.importers.generic_clock import MOST_STOPPED
from edgeskel.data.importers.generic_flat import IN_SPACE
from edgeskel.errors import CorruptFile
from edgeskel.skeleton import Topology

__all__ = ["Arrays", "Table", "read_csv", "read_npz"]


class Arrays(NamedTuple):
    """Joints (M, T, V, 3), confidence (M, T, V) or None, time (T,) in the file's unit or None; and how many rows were left
    out because one for the same person and time stood before them."""

    joints: NDArray[np.float64]
    confidence: NDArray[np.float32] | None
    time: NDArray[np.float64] | None
    repeated: int = 0


def read_npz(file: Path, topology: Topology) -> Arrays:
    """Joints and, where the file has them, ``confidence`` and ``time``.

    Raises:
        CorruptFile: not an NPZ file, cut short, an array missing, of another shape, or not of numbers.
    """
    size = len(topology.joints)
    joints_of = f"joints (T, {size}, 3) or (M, T, {size}, 3) for {topology.name}"
    try:
        # Opened here, since numpy leaves a file open that it cannot read.
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as data:
            arrays = {name: np.asarray(data[name]) for name in ("joints", "confidence", "time") if name in data.files}
    except (OSError, ValueError, EOFError, TypeError, AttributeError, RuntimeError, NotImplementedError,
            zipfile.BadZipFile, zlib.error) as error:
        raise CorruptFile(file, f"{type(error).__name__}: {error}", expected=f"an NPZ file with {joints_of}") from error
    if "joints" not in arrays:
        raise CorruptFile(file, "no joints", expected=joints_of)
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise CorruptFile(file, f"{name} of type {array.dtype}", expected="numbers")
    joints = arrays["joints"].astype(np.float64)
    if joints.ndim == 3:
        joints = joints[None]
    if joints.ndim == 4 and joints.shape[2:] == (size, 2):
        raise CorruptFile(file, f"joints of shape {arrays['joints'].shape}: two coordinates, 2-D poses",
                          expected=f"{joints_of}; {IN_SPACE}")
    if joints.ndim != 4 or joints.shape[2:] != (size, 3) or 0 in joints.shape:
        raise CorruptFile(file, f"joints of shape {arrays['joints'].shape}", expected=joints_of)
    confidence, time = arrays.get("confidence"), arrays.get("time")
    if confidence is not None:
        confidence = confidence[None] if confidence.ndim == 2 else confidence
        if confidence.shape != joints.shape[:3]:
            raise CorruptFile(file, f"confidence of shape {arrays['confidence'].shape}",
                              expected=f"{joints.shape[:3]}, the joints' shape without the last axis")
    if time is not None and time.shape != joints.shape[1:2]:
        raise CorruptFile(file, f"time of shape {time.shape}", expected=f"({joints.shape[1]},), one instant per frame")
    return Arrays(joints, None if confidence is None else confidence.astype(np.float32),
                  None if time is None else time.astype(np.float64))


def read_csv(file: Path, topology: Topology, *, delimiter: str = ",", joint: str = "{joint}_{axis}",
             confidence: str = "", time: str = "", person: str = "", columns: Sequence[str] = ()) -> Arrays:
    """Joints and, where columns are named for them, confidence and time. An empty field is NaN.

    Columns that nobody names are not looked at. Where no column has a name as it is given, one that differs only in
    the case of its letters is taken.

    Args:
        file: the file; its first line names the columns.
        topology: the layout whose joints the columns name.
        delimiter: what stands between fields.
        joint: name of a coordinate's column, with ``{joint}`` and ``{axis}`` in it.
        confidence: name of a confidence's column, with ``{joint}`` in it; "" for none.
        time: name of the column of the clock; "" is ``time``, which may be absent unless ``person`` is used.
        person: name of the column that tells persons apart; "" for one person.
        columns: names of the columns of a file without a header; neighbours with ``{joint}`` in them are repeated for
            each joint of the layout.

    Raises:
        CorruptFile: not text, a column is missing, a row is cut short, a field is not a number.
    """
    table = Table.read(file, delimiter, [name for entry in _repeated(columns, topology) for name in entry])
    names = [[name] + ([alias] if alias else []) for name, alias in
             zip(topology.joints, topology.aliases or ("",) * len(topology.joints), strict=True)]
    spots = [[table.find([joint.format(joint=name, axis=axis) for name in either]) for axis in "xyz"]
             for either in names]
    trust = [table.find([confidence.format(joint=name) for name in either]) for either in names] if confidence else []
    table.refuse_missing(topology, flat=all(spot[:2] != [-1, -1] and spot[2] == -1 for spot in spots))
    # With persons told apart, frames are the distinct times; without, each row is one.
    clock = table.index(time or "time") if time or person or table.has("time") else None
    stamps = None if clock is None else table.numbers([clock])[:, 0]
    values = table.numbers([spot for either in spots for spot in either]).reshape(-1, len(names), 3)
    sure = table.numbers(trust).astype(np.float32) if trust else None
    if not person:
        return Arrays(values[None], None if sure is None else sure[None], stamps)
    assert stamps is not None
    return _persons(file, person, table.texts(table.index(person)), values, sure, stamps)


def _repeated(columns: Sequence[str], topology: Topology) -> list[list[str]]:
    """Names of the columns; neighbours with ``{joint}`` once for each joint."""
    groups: list[list[str]] = []
    for name in columns:
        if groups and ("{joint}" in name) and ("{joint}" in groups[-1][0]):
            groups[-1].append(name)
        else:
            groups.append([name])
    return [[name.format(joint=joint) for joint in topology.joints for name in group] if "{joint}" in group[0] else group
            for group in groups]


def _persons(file: Path, person: str, who: list[str], values: NDArray[np.float64], sure: NDArray[np.float32] | None,
             stamps: NDArray[np.float64]) -> Arrays:
    """One row of the result for each person; who has no row at an instant is missing then."""
    people = list(dict.fromkeys(who))
    instants, frame_of = np.unique(stamps, return_inverse=True)
    joints = np.zeros((len(people), len(instants), *values.shape[1:]))
    trust = np.zeros(joints.shape[:3], np.float32)
    filled = np.zeros(joints.shape[:2], bool)
    repeated: list[int] = []
    for row, frame in enumerate(frame_of.tolist()):
        body = people.index(who[row])
        if filled[body, frame]:
            repeated.append(row)
            continue
        filled[body, frame] = True
        joints[body, frame] = values[row]
        trust[body, frame] = 1 if sure is None else sure[row]
    if len(repeated) > MOST_STOPPED * len(who):
        raise CorruptFile(file, f"{len(repeated)} of {len(who)} rows are second ones, such as that for {person} "
                          f"{who[repeated[0]]} at {stamps[repeated[0]]:g}", expected="one row per frame and person")
    return Arrays(joints, trust, instants, len(repeated))


class Table:
    """Header and rows of a file as texts. Finds columns by name, and collects those that are missing to name them all."""

    header: list[str]

    def __init__(self, file: Path, header: list[str], rows: list[tuple[int, list[str]]]) -> None:
        self._file, self.header, self._rows = file, header, rows
        self._missing: list[str] = []

    @classmethod
    def read(cls, file: Path, delimiter: str, columns: Sequence[str] = ()) -> Table:
        """From a CSV file; ``columns`` names them where it has no header.

        Raises:
            CorruptFile: not text, no row, or a row of another length.
        """
        try:
            with file.open(newline="", encoding="utf-8-sig") as lines:
                rows = [(at, row) for at, row in enumerate(csv.reader(lines, delimiter=delimiter), start=1) if row]
        except (OSError, UnicodeDecodeError, csv.Error, TypeError) as error:
            raise CorruptFile(file, f"{type(error).__name__}: {error}", expected="a CSV file") from error
        header = list(columns) if columns else [name.strip() for name in rows[0][1]] if rows else []
        if header and not columns and all(_is_number(name) for name in header):
            raise CorruptFile(file, f"no header: its first line is {', '.join(header[:4])}, ...",
                              expected="a line that names the columns",
                              remedy='name them in dataset.toml: [csv] columns = ["time", "{joint}_x", "{joint}_y", '
                                     '"{joint}_z"]')
        rows = rows if columns else rows[1:]
        if not rows:
            raise CorruptFile(file, "no row below the header" if header and not columns else "nothing in it",
                              expected="a row per frame" if columns else "a header, then a row per frame")
        for at, row in rows:
            if len(row) != len(header):
                raise CorruptFile(file, f"line {at} has {len(row)} fields",
                                  expected=f"{len(header)}, as {'[csv] columns' if columns else 'the header'}",
                                  remedy="count them in dataset.toml" if columns else "the file may be cut short; get it again")
        return cls(file, header, rows)

    def __len__(self) -> int:
        return len(self._rows)

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return self._spot(name) >= 0

    def find(self, names: Sequence[str]) -> int:
        """Index of the first of ``names`` that is there; -1, and a note, when none is."""
        spot = next((spot for name in names if (spot := self._spot(name)) >= 0), -1)
        if spot < 0:
            self._missing.append(names[0])
        return spot

    def index(self, name: str) -> int:
        """Index of a column that has to be there. Raises ``CorruptFile``."""
        if (spot := self._spot(name)) < 0:
            raise CorruptFile(self._file, f"no column {name!r}", expected=f"one of {', '.join(self.header[:12])}")
        return spot

    def _spot(self, name: str) -> int:
        if name in self.header:
            return self.header.index(name)
        alike = [at for at, other in enumerate(self.header) if other.lower() == name.lower()]
        if len(alike) > 1:
            raise CorruptFile(self._file, f"{' and '.join(self.header[at] for at in alike)} differ from {name} only in case",
                              expected=f"one column {name}", remedy="name it exactly in [csv] of dataset.toml")
        return alike[0] if alike else -1

    def refuse_missing(self, topology: Topology, *, flat: bool) -> None:
        """Raise ``CorruptFile`` if :meth:`find` missed a column; ``flat``: only third coordinates are."""
        if self._missing and flat:
            raise CorruptFile(self._file, f"no column {', '.join(self._missing[:3])}, ...: two coordinates, 2-D poses",
                              expected=IN_SPACE)
        if self._missing:
            raise CorruptFile(
                self._file, f"{len(self._missing)} columns of {topology.name} are missing: "
                f"{', '.join(self._missing[:6])}{', ...' if len(self._missing) > 6 else ''}",
                expected=f"all {len(topology.joints)} joints; the file has {', '.join(self.header[:6])}, ...",
                remedy="name the columns in [csv] of dataset.toml, or the right topology")

    def numbers(self, spots: Sequence[int]) -> NDArray[np.float64]:
        """(rows, len(spots)). Raises ``CorruptFile`` with line and column where a field is no number."""
        values = np.empty((len(self._rows), len(spots)))
        for at, (line, row) in enumerate(self._rows):
            try:
                values[at] = [float(row[spot]) for spot in spots]
            except ValueError:
                values[at] = [self._number(line, row, spot) for spot in spots]
        return values

    def _number(self, line: int, row: list[str], spot: int) -> float:
        try:
            return number(row[spot])
        except ValueError as error:
            raise CorruptFile(self._file, f"line {line}, column {self.header[spot]}: {error}", expected="a number") from error

    def texts(self, spot: int) -> list[str]:
        """A column as it stands."""
        return [row[spot].strip() for _, row in self._rows]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
