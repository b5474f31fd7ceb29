"""What every importer shares: its result, its options, and reading a file without trusting it.

Axes: M persons, T frames, V joints; the last axis is x, y, z in metres (right-handed, y up).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.data.notes import Notes
from edgeskel.errors import CorruptFile, DataError, InvalidClip, MissingExtra
from edgeskel.skeleton import Clip, Float32, Float64, Inertial, Topology

__all__ = ["ImportOptions", "Recordings", "RefusedFile", "frame_time", "make_clip", "number", "read_mat", "read_table", "take",
           "whole_number"]

NO_NUMBER = re.compile(r"[-+]?(1\.?#\w+|nan(\(\w*\))?|n/?a|null|none|-)?", re.IGNORECASE)


@dataclass(frozen=True)
class ImportOptions:
    """How to import.

    Args:
        missing_nan: take joints that are not finite numbers as missing (confidence 0) instead of refusing the recording.
        zeros: what a joint at exactly 0, 0, 0 is: ``"missing"``, as most trackers mean it, or ``"seen"``.
        bodies: which of the bodies that a tracker reports are kept (``ntu``, ``generic``): ``"acting"``, whose ids are
            joined and whose phantoms are left out, or ``"all"``, a person for each id.
        unit: length unit of the files, for formats that do not say (``bvh``): m, cm, mm, inch, or metres as a number.
        up: axis that points up, for formats that do not say (``bvh``): x, y, z, -x, -y or -z; "" is y, and checked.
        topology: layout to bring the joints into, by name (see :mod:`edgeskel.topologies.remap`); "" keeps theirs.
        label: class of every clip, for formats that carry none (``bvh``); "" takes the name of the file's folder.
        notes: collects what there is to say about the recordings.
    """

    missing_nan: bool = False
    zeros: str = "missing"
    bodies: str = "acting"
    unit: str = ""
    up: str = ""
    topology: str = ""
    label: str = ""
    notes: Notes = field(default_factory=Notes, compare=False)


@dataclass(frozen=True)
class RefusedFile:
    """A recording that was not taken, and why.

    Args:
        source: the file, relative to the dataset's folder.
        reason: what is wrong with it.
        error: set where the recording is damaged; None where the dataset itself leaves it out (no body, no range).
    """

    source: str
    reason: str
    error: DataError | None = None


@dataclass(frozen=True)
class Recordings:
    """What an importer found.

    Args:
        dataset: name that the store will carry.
        topology: layout of every clip.
        labels: class names in the dataset's own order.
        rate_hz: nominal frame rate.
        total: how many items ``clips`` yields.
        clips: the recordings, read one by one.
        measured: positions were measured, so that 0, 0, 0 may stand for a joint that was not seen; False where they
            follow from angles.
        tracked: bodies are told apart by a tracker, which loses persons and reports phantoms; False where the data set
            itself says who takes part.
        acting: clip -> how many persons act in it, where the data set says so; None where it does not.
        test_subjects: whom the data set's own protocol tests on, where its description says so.
        in_part: most users have a part of the data set, so that the store gets the labels of which there are clips, not all.
    """

    dataset: str
    topology: Topology
    labels: tuple[str, ...]
    rate_hz: float
    total: int
    clips: Iterator[Clip | RefusedFile]
    measured: bool = True
    tracked: bool = False
    acting: Callable[[Clip], int | None] = lambda clip: None
    test_subjects: tuple[str, ...] = ()
    in_part: bool = False


def take(source: str, read: Callable[[], Clip | RefusedFile]) -> Clip | RefusedFile:
    """What ``read`` gives; a recording that cannot be read or breaks the contract is refused, and the others go on."""
    try:
        return read()
    except DataError as error:
        reason = str(error).removeprefix(f"{getattr(error, 'path', '')}: ").removeprefix(f"{source}: ")
        return RefusedFile(source, reason, error)


def number(word: str) -> float:
    """A number as programs write it; NaN for an empty field, ``NA``, ``null`` and what Microsoft's C library prints for
    NaN and infinity (``-1.#IND``, ``1.#QNAN``, ``1.#INF``). Raises ``ValueError`` for any other word."""
    try:
        return float(word)
    except ValueError:
        if NO_NUMBER.fullmatch(word.strip()):
            return float("nan")
        raise


def whole_number(word: str, most: int) -> int | None:
    """A count as programs write it, in the digits 0 to 9; None for any other word, such as ``²``, and above ``most``."""
    digits = word.lstrip("0") or "0"
    if not word or not (word.isascii() and word.isdecimal()) or len(digits) > len(str(most)) or int(digits) > most:
        return None
    return int(digits)


def make_clip(joints: NDArray[Any], options: ImportOptions, *, source: str, rate_hz: float = 0, time: Float64 | None = None,
              confidence: Float32 | None = None, label: str = "", subject: str = "", view: str = "",
              inertial: Inertial | None = None) -> Clip:
    """A clip from what a file holds; joints that are not finite are refused or, if so asked, missing.

    Args:
        joints: (M, T, V, 3) metres.
        options: the import's options.
        source: the file, relative to the dataset's folder.
        rate_hz: frame rate, where the file has no clock.
        time: (T,) seconds, where it has one.
        confidence: (M, T, V) in 0..1, where the file states it; otherwise 1.
        label, subject, view, inertial: as in :class:`~edgeskel.skeleton.Clip`.

    Raises:
        InvalidClip: as :class:`~edgeskel.skeleton.Clip`.
    """
    if time is None:
        time = np.arange(joints.shape[1]) / rate_hz
    confidence = np.ones(joints.shape[:3], np.float32) if confidence is None else confidence.astype(np.float32)
    broken = ~np.isfinite(joints).all(axis=-1) & (confidence > 0)
    if broken.any() and not options.missing_nan:
        frames = int(broken.any(axis=(0, 2)).sum())
        raise InvalidClip(f"{source}: {int(broken.sum())} of {broken.size} joints, in {frames} of {joints.shape[1]} "
                          "frames, are NaN or infinite", expected="finite coordinates",
                          remedy="repair the file, or import with --missing-nan to take them as missing (confidence 0)")
    confidence[broken] = 0
    joints = np.where(np.isfinite(joints).all(axis=-1, keepdims=True), joints, 0).astype(np.float32)
    return Clip(joints, confidence, np.asarray(time, np.float64), label=label, subject=subject, view=view,
                source=source, inertial=inertial)


def read_mat(path: Path, variable: str, shape: Sequence[int | None]) -> NDArray[np.float64]:
    """A numeric array from a MATLAB file.

    Args:
        path: the file.
        variable: the array's name in it.
        shape: its expected shape; None is any length above 0.

    Raises:
        CorruptFile: not a MATLAB file, cut short, or without such an array.
        MissingExtra: scipy is not installed.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingExtra("scipy", "train", "reading .mat files", enough="scipy>=1.11") from error
    wanted = "an array {} of shape ({})".format(variable, ", ".join("n" if n is None else str(n) for n in shape))
    try:
        data = loadmat(path).get(variable)
    except Exception as error:  # the reader fails in a dozen ways on damaged files
        raise CorruptFile(path, f"not a readable MATLAB file ({type(error).__name__}: {error})", expected=wanted,
                          remedy="download or extract the file again") from error
    if data is None or data.dtype.kind not in "fiu":
        raise CorruptFile(path, f"no numbers named {variable}", expected=wanted)
    if data.ndim != len(shape) or any(n == 0 or (want is not None and n != want)
                                      for n, want in zip(data.shape, shape, strict=True)):
        raise CorruptFile(path, f"{variable} has shape {data.shape}", expected=wanted)
    return np.asarray(data, np.float64)


def read_table(path: Path, *, columns: int, delimiter: str | None = None, skip: int = 0) -> NDArray[np.float64]:
    """A table of numbers from a text file.

    Args:
        path: the file.
        columns: how many numbers each row has.
        delimiter: what stands between them; None is any white space.
        skip: header lines.

    Returns:
        (rows, columns) with at least one row; ``nan`` and ``inf`` are read as such.

    Raises:
        CorruptFile: not text, no row, a row that is cut short or too long, or something that is not a number.
    """
    expected = f"rows of {columns} numbers"
    rows: list[list[float]] = []
    try:
        lines = path.read_text("utf-8-sig").splitlines()[skip:]
    except (OSError, UnicodeDecodeError) as error:
        raise CorruptFile(path, f"{type(error).__name__}: {error}", expected=expected) from error
    for at, line in enumerate(lines, start=skip + 1):
        if not line.strip():
            continue
        try:
            row = [number(field) for field in line.split(delimiter)]
        except ValueError as error:
            raise CorruptFile(path, f"line {at}: {error}", expected=expected) from error
        if len(row) != columns:
            raise CorruptFile(path, f"line {at} has {len(row)} numbers", expected=expected,
                              remedy="the file may be cut short; get it again")
        rows.append(row)
    if not rows:
        raise CorruptFile(path, "no row", expected=expected)
    return np.array(rows)


def frame_time(numbers: NDArray[np.float64], rate_hz: float, path: Path) -> Float64:
    """Seconds since the first frame, from frame numbers. Raises ``CorruptFile`` where they do not increase."""
    if not np.isfinite(numbers).all() or np.any(np.diff(numbers) <= 0):
        raise CorruptFile(path, "frame numbers do not increase", expected="one row per frame, in order")
    return np.asarray((numbers - numbers[0]) / rate_hz)
