"""Northwestern-UCLA Multiview Action3D: 10 actions, 10 subjects, 3 views, Kinect v1.

Source: Wang, Nie, Xia, Wu, Zhu, "Cross-view action modeling, learning and recognition", CVPR 2014,
doi:10.1109/CVPR.2014.339; files as the skeleton literature shares them (``all_sqe``).

``all_sqe/aAA_sSS_eEE_vVV.json`` holds ``skeletons`` (T, 20, 3) in metres in Kinect camera axes (x to the sensor's left,
y up, z into the scene: right-handed, y up) and in kinect-v1 order: taken as they are. The files carry no clock; frames
are taken as 1/30 s apart, the sensor's nominal rate.

This release holds copies: the 95 clips of a02 and a03 in view 3 have the very skeletons of view 2. They are imported as
they are, since the literature counts them; ``Split.repeated`` and ``edgeskel data split`` name them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from edgeskel import topologies
from edgeskel.data.importers.common import ImportOptions, Recordings, RefusedFile, make_clip, take
from edgeskel.data.importers.finding import find
from edgeskel.errors import CorruptFile
from edgeskel.skeleton import Clip

__all__ = ["recordings"]

LABELS = {
    1: "pick_up_with_one_hand", 2: "pick_up_with_two_hands", 3: "drop_trash", 4: "walk_around", 5: "sit_down",
    6: "stand_up", 8: "donning", 9: "doffing", 11: "throw", 12: "carry",
}
RATE_HZ = 30.0


def recordings(folder: Path, options: ImportOptions) -> Recordings:
    """Find the clips in the folder that holds ``all_sqe``."""
    files = find(folder, "all_sqe/*.json", "Northwestern-UCLA")
    return Recordings("nw-ucla", topologies.get("kinect-v1"), tuple(LABELS.values()), RATE_HZ, len(files),
                      _clips(folder, files, options))


def _clips(folder: Path, files: list[Path], options: ImportOptions) -> Iterator[Clip | RefusedFile]:
    for file in files:
        source = file.relative_to(folder).as_posix()
        yield take(source, partial(_clip, file, source, options))


def _clip(file: Path, source: str, options: ImportOptions) -> Clip:
    name = re.fullmatch(r"a(\d+)_s(\d+)_e(\d+)_v(\d+)\.json", file.name)
    if name is None or int(name[1]) not in LABELS:
        raise CorruptFile(file, "file name",
                          expected=f"aAA_sSS_eEE_vVV.json with AA one of {', '.join(map(str, LABELS))}")
    return make_clip(_read(file)[None], options, rate_hz=RATE_HZ, label=LABELS[int(name[1])],
                     subject=str(int(name[2])), view=str(int(name[4])), source=source)


def _read(file: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    expected = '{"skeletons": T x 20 x 3 numbers}'
    try:
        joints = np.asarray(json.loads(file.read_bytes())["skeletons"], np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptFile(file, f"{type(error).__name__}: {error}", expected=expected,
                          remedy="download or extract the file again") from error
    if joints.ndim != 3 or joints.shape[1:] != (20, 3) or not len(joints):
        raise CorruptFile(file, f"skeletons of shape {joints.shape}", expected=expected)
    return joints
