"""SBU Kinect Interaction: 8 interactions of two persons, 21 ordered pairs of 7 subjects, 15 joints each.

Source: Yun, Honorio, Chattopadhyay, Berg, Samaras, "Two-person interaction detection using body-pose features and
multiple instance learning", CVPRW 2012, doi:10.1109/CVPRW.2012.6239234.

``sXXsYY/CC/NNN/skeleton_pos.txt`` has one row per frame: the frame's number, then 2 persons x 15 joints x (x, y, z) as
normalised by the authors. Their inverse gives millimetres: X = 1280 - 2560 x, Y = 960 - 1920 y, Z = 10000 z / 7.8125.
X then grows to the sensor's left, Y up and Z into the scene, which is right-handed with y up, so only the unit changes.
Time is the frame number over 15 per second. The subject of a clip is the pair (``s01s02``), by which the folds divide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from edgeskel import topologies
from edgeskel.data.importers.common import (
    ImportOptions,
    Recordings,
    RefusedFile,
    frame_time,
    make_clip,
    read_table,
    take,
)
from edgeskel.data.importers.finding import find
from edgeskel.errors import CorruptFile
from edgeskel.skeleton import Clip

__all__ = ["recordings"]

LABELS = ("approaching", "departing", "kicking", "pushing", "shaking_hands", "hugging", "exchanging", "punching")
RATE_HZ = 15.0
PERSONS, JOINTS = 2, 15
SCALE = np.array([-2560, -1920, 10000 / 7.8125]) / 1000  # normalised -> metres
OFFSET = np.array([1280, 960, 0]) / 1000  # metres


def recordings(folder: Path, options: ImportOptions) -> Recordings:
    """Find the clips in the folder that holds ``s01s02`` and the other pairs."""
    files = find(folder, "s[0-9]*/*/*/skeleton_pos.txt", "SBU Kinect Interaction")
    return Recordings("sbu", topologies.get("sbu-15"), LABELS, RATE_HZ, len(files), _clips(folder, files, options))


def _clips(folder: Path, files: list[Path], options: ImportOptions) -> Iterator[Clip | RefusedFile]:
    for file in files:
        source = file.relative_to(folder).as_posix()
        yield take(source, partial(_clip, file, source, options))


def _clip(file: Path, source: str, options: ImportOptions) -> Clip:
    name = re.fullmatch(r"(s\d+s\d+)/(\d+)/\d+/skeleton_pos\.txt", source)
    if name is None or not 1 <= int(name[2]) <= len(LABELS):
        raise CorruptFile(file, "path", expected=f"sXXsYY/CC/NNN/skeleton_pos.txt with CC from 1 to {len(LABELS)}")
    table = read_table(file, columns=1 + PERSONS * JOINTS * 3, delimiter=",")
    positions = table[:, 1:].reshape(-1, PERSONS, JOINTS, 3) * SCALE + OFFSET  # T, M, V, 3
    return make_clip(positions.swapaxes(0, 1), options, time=frame_time(table[:, 0], RATE_HZ, file),
                     label=LABELS[int(name[2]) - 1], subject=name[1], source=source)
