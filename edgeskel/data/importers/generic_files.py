"""Joints from a user's CSV and NPZ files, in the file's own unit and axes.

Axes: M persons, T frames, V joints.
"""

from __future__ import annotations

import csv
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import CorruptFile
from edgeskel.skeleton import Topology

__all__ = ["read_csv", "read_npz"]

Arrays = tuple[NDArray[np.float64], "NDArray[np.float32] | None", "NDArray[np.float64] | None"]


def read_npz(file: Path, topology: Topology) -> Arrays:
    """Joints (M, T, V, 3), confidence (M, T, V) or None, time (T,) or None.

    Raises:
        CorruptFile: not an NPZ file, cut short, an array missing, of another shape, or not of numbers.
    """
    joints_of = f"joints (T, {len(topology.joints)}, 3) or (M, T, {len(topology.joints)}, 3) for {topology.name}"
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
    if joints.ndim != 4 or joints.shape[2:] != (len(topology.joints), 3) or 0 in joints.shape:
        raise CorruptFile(file, f"joints of shape {arrays['joints'].shape}", expected=joints_of)
    confidence, time = arrays.get("confidence"), arrays.get("time")
    if confidence is not None:
        confidence = confidence[None] if confidence.ndim == 2 else confidence
        if confidence.shape != joints.shape[:3]:
            raise CorruptFile(file, f"confidence of shape {arrays['confidence'].shape}",
                              expected=f"{joints.shape[:3]}, the joints' shape without the last axis")
    if time is not None and time.shape != joints.shape[1:2]:
        raise CorruptFile(file, f"time of shape {time.shape}", expected=f"({joints.shape[1]},), one instant per frame")
    return (joints, None if confidence is None else confidence.astype(np.float32),
            None if time is None else time.astype(np.float64))


def read_csv(file: Path, topology: Topology, *, delimiter: str = ",", joint: str = "{joint}_{axis}",
             confidence: str = "", time: str = "", person: str = "") -> Arrays:
    """Joints (M, T, V, 3), confidence (M, T, V) or None, time (T,) or None. An empty field is NaN.

    Args:
        file: the file; its first line names the columns.
        topology: the layout whose joints the columns name.
        delimiter: what stands between fields.
        joint: name of a coordinate's column, with ``{joint}`` and ``{axis}`` in it.
        confidence: name of a confidence's column, with ``{joint}`` in it; "" for none.
        time: name of the column of seconds; "" is ``time``, which may be absent unless ``person`` is used.
        person: name of the column that tells persons apart; "" for one person.

    Raises:
        CorruptFile: not text, a column is missing, a row is cut short, a field is not a number.
    """
    header, table = _table(file, delimiter, text=person)
    columns = _Columns(file, header)
    names = [[name] + ([alias] if alias else []) for name, alias in
             zip(topology.joints, topology.aliases or ("",) * len(topology.joints), strict=True)]
    spots = [[columns.find([joint.format(joint=name, axis=axis) for name in either]) for axis in "xyz"]
             for either in names]
    trust = [columns.find([confidence.format(joint=name) for name in either]) for either in names] if confidence else []
    columns.refuse_missing(topology)
    # With persons told apart, frames are the distinct times; without, each row is one.
    clock = columns.index(time or "time") if time or "time" in header or person else None
    seconds = None if clock is None else table[:, clock].astype(np.float64)
    if not person:
        values = table.astype(np.float64)
        return (values[:, spots][None], values[:, trust][None].astype(np.float32) if trust else None, seconds)
    assert seconds is not None
    people = list(dict.fromkeys(table[:, columns.index(person)].tolist()))
    instants = np.unique(seconds)
    joints = np.zeros((len(people), len(instants), len(topology.joints), 3))
    sure = np.zeros(joints.shape[:3], np.float32)  # a person without a row at an instant is missing then
    for row, instant in zip(table, np.searchsorted(instants, seconds), strict=True):
        who = people.index(row[columns.index(person)])
        if sure[who, instant].any():
            raise CorruptFile(file, f"two rows for {person} {people[who]} at {instants[instant]:g} s",
                              expected="one row per frame and person")
        joints[who, instant] = row[np.array(spots)].astype(np.float64)
        sure[who, instant] = row[trust].astype(np.float32) if trust else 1
    return joints, sure, instants


class _Columns:
    """Finds columns by name and collects those that are missing, to name them all at once."""

    def __init__(self, file: Path, header: list[str]) -> None:
        self._file, self._header = file, header
        self._missing: list[str] = []

    def find(self, names: list[str]) -> int:
        """Index of the first of ``names`` that is there; -1, and a note, when none is."""
        for name in names:
            if name in self._header:
                return self._header.index(name)
        self._missing.append(names[0])
        return -1

    def index(self, name: str) -> int:
        if name not in self._header:
            raise CorruptFile(self._file, f"no column {name!r}", expected=f"one of {', '.join(self._header[:12])}")
        return self._header.index(name)

    def refuse_missing(self, topology: Topology) -> None:
        if self._missing:
            raise CorruptFile(
                self._file, f"{len(self._missing)} columns of {topology.name} are missing: "
                f"{', '.join(self._missing[:6])}{', ...' if len(self._missing) > 6 else ''}",
                expected=f"all {len(topology.joints)} joints; the file has {', '.join(self._header[:6])}, ...",
                remedy="name the columns in [csv] of dataset.toml, or the right topology")


def _table(file: Path, delimiter: str, text: str) -> tuple[list[str], NDArray[Any]]:
    """Header and rows; cells are numbers, or objects where the column ``text`` holds names."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = [(number, row) for number, row in enumerate(csv.reader(lines, delimiter=delimiter), start=1) if row]
    except (OSError, UnicodeDecodeError, csv.Error, TypeError) as error:
        raise CorruptFile(file, f"{type(error).__name__}: {error}", expected="a CSV file") from error
    if len(rows) < 2:
        raise CorruptFile(file, "no row below the header" if rows else "nothing in it",
                          expected="a header, then a row per frame")
    header = [name.strip() for name in rows[0][1]]
    named = header.index(text) if text in header else -1
    table = np.empty((len(rows) - 1, len(header)), object if named >= 0 else np.float64)
    for at, (number, row) in enumerate(rows[1:]):
        if len(row) != len(header):
            raise CorruptFile(file, f"line {number} has {len(row)} fields", expected=f"{len(header)}, as the header",
                              remedy="the file may be cut short; get it again")
        for column, field in enumerate(row):
            try:
                table[at, column] = field if column == named else float(field) if field.strip() else np.nan
            except ValueError as error:
                raise CorruptFile(file, f"line {number}, column {header[column]}: {error}",
                                  expected="a number") from error
    return header, table
