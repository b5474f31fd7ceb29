"""UTKinect-Action3D: 10 actions in 20 continuous sequences (10 subjects, twice), Kinect v1.

Source: Xia, Chen, Aggarwal, "View invariant human action recognition using histograms of 3D joints", CVPRW 2012,
doi:10.1109/CVPRW.2012.6239233.

``joints/joints_sSS_eEE.txt`` has one row per frame: the sensor's frame number, then 20 x (x, y, z) in metres in Kinect
camera axes (x to the sensor's left, y up, z into the scene: right-handed, y up) and in kinect-v1 order: taken as they
are. The sequences are cut at the frame ranges of ``joints/actionLabel_modified.txt``, a public correction of seven
wrong or overlapping ranges, or of the authors' ``actionLabel.txt`` where that file is absent.

Rows that repeat the frame number before them are exact or near duplicates that the recorder wrote; the first is kept.
Time is the frame number over 30 per second; about every second frame was recorded, so the nominal rate is 15 Hz.
The carry of s10_e02 has no frame range ("NaN NaN"): it is refused and reported, which leaves 199 clips.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeskel import topologies
from edgeskel.data.importers.common import (
    ImportOptions,
    Recordings,
    RefusedFile,
    frame_time,
    make_clip,
    read_table,
    take,
    whole_number,
)
from edgeskel.data.importers.finding import find
from edgeskel.errors import CorruptFile, DataError
from edgeskel.skeleton import Clip

__all__ = ["recordings"]

LABELS = {"walk": "walk", "sitDown": "sit_down", "standUp": "stand_up", "pickUp": "pick_up", "carry": "carry",
          "throw": "throw", "push": "push", "pull": "pull", "waveHands": "wave_hands", "clapHands": "clap_hands"}
SENSOR_HZ, RATE_HZ = 30.0, 15.0
JOINTS = 20
LATEST = 1 << 32  # above any frame number: four years of recording


def recordings(folder: Path, options: ImportOptions) -> Recordings:
    """Find the clips in the folder that holds ``joints``."""
    find(folder, "joints/joints_s*_e*.txt", "UTKinect-Action3D")
    ranges = _ranges(folder)
    return Recordings("utkinect", topologies.get("kinect-v1"), tuple(LABELS.values()), RATE_HZ, len(ranges),
                      _clips(folder, ranges, options))


def _ranges(folder: Path) -> list[tuple[str, str, str, str]]:
    """(sequence, label, first, last) of each action, the frame numbers as written."""
    files = [folder / "joints" / name for name in ("actionLabel_modified.txt", "actionLabel.txt")]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise DataError(f"{folder} has no joints/actionLabel_modified.txt and no joints/actionLabel.txt",
                        expected="the frame ranges of the actions")
    ranges: list[tuple[str, str, str, str]] = []
    sequence = ""
    for number, line in enumerate(file.read_text("utf-8", errors="replace").splitlines(), start=1):
        if re.fullmatch(r"s\d+_e\d+", line.strip(), re.ASCII):
            sequence = line.strip()
        elif line.strip():
            found = re.fullmatch(r"\s*(\w+):\s+(\S+)\s+(\S+)\s*", line)
            if found is None or found[1] not in LABELS or not sequence:
                raise CorruptFile(file, f"line {number}: {line!r}", expected="'ACTION: FIRST LAST' below 'sSS_eEE', "
                                  f"with ACTION one of {', '.join(LABELS)}")
            ranges.append((sequence, found[1], found[2], found[3]))
    return ranges


def _clips(folder: Path, ranges: list[tuple[str, str, str, str]], options: ImportOptions) -> Iterator[Clip | RefusedFile]:
    read = lru_cache(maxsize=1)(_sequence)  # the clips of a sequence stand one after the other
    for sequence, action, first, last in ranges:
        source = f"joints/joints_{sequence}.txt#{action}"
        start, end = whole_number(first, LATEST), whole_number(last, LATEST)
        if start is not None and end is not None:
            file = folder / "joints" / f"joints_{sequence}.txt"
            yield take(source, partial(_clip, read, file, source, (start, end), options))
        else:
            yield RefusedFile(source, f"its frame range is {first} to {last}")


def _clip(read: Callable[[Path], NDArray[np.float64]], file: Path, source: str, frames: tuple[int, int],
          options: ImportOptions) -> Clip | RefusedFile:
    table, (first, last) = read(file), frames
    rows = table[(table[:, 0] >= first) & (table[:, 0] <= last)]
    if not len(rows):
        return RefusedFile(source, f"no frame between {first} and {last}")
    subject = file.name.removeprefix("joints_s").partition("_")[0]
    return make_clip(rows[:, 1:].reshape(1, len(rows), JOINTS, 3), options, source=source, subject=str(int(subject)),
                     label=LABELS[source.partition("#")[2]], time=frame_time(rows[:, 0], SENSOR_HZ, file))


def _sequence(file: Path) -> NDArray[np.float64]:
    table = read_table(file, columns=1 + JOINTS * 3)
    repeated = np.zeros(len(table), bool)
    repeated[1:] = table[1:, 0] == table[:-1, 0]
    return table[~repeated]
