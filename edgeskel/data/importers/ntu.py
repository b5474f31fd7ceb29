"""NTU RGB+D 60 and 120: up to 120 actions, 106 subjects, 3 cameras, 32 setups, Kinect v2 (``.skeleton``).

Source: Shahroudy, Liu, Ng, Wang, CVPR 2016, doi:10.1109/CVPR.2016.115; Liu et al., TPAMI 2020,
doi:10.1109/TPAMI.2019.2916873. The recordings are requested from their authors; none come with this project.

``SsssCcccPpppRrrrAaaa.skeleton`` is text: the number of frames, and per frame the number of bodies, and per body a line
of 10 numbers (tracking id first), the number of joints, and per joint 12 numbers, of which x, y, z (metres) and the
last, the tracking state, are used. Kinect v2 camera axes (x to the sensor's left, y up, z into the scene) are
right-handed with y up: taken as they are. States 0 (not tracked), 1 (inferred) and 2 (tracked) become confidence 0, 0.5
and 1.

Where a body is not seen its joints are missing. A frame without bodies is kept, with every joint missing. A file without
a single body, of which the authors list 302 in NTU-60 and 535 in NTU-120, is refused and reported. Time is the frame over
30 per second.

Of the bodies that the files hold, those are kept that act (:mod:`edgeskel.data.bodies`): tracking ids that go on with one
another are joined, and a body that stands still beside another that moves, or is seen in few frames, is left out. The
authors' mutual actions (A050 to A060, A106 to A120) have two persons, of whom one may stand by; the others have one, the
one who moves most.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeskel import topologies
from edgeskel.data.importers.common import ImportOptions, Recordings, RefusedFile, make_clip, number, take, whole_number
from edgeskel.data.importers.finding import find
from edgeskel.errors import CorruptFile
from edgeskel.skeleton import Clip

__all__ = ["read_skeleton", "recordings"]

RATE_HZ = 30.0
JOINTS, BODY_FIELDS, JOINT_FIELDS = 25, 10, 12
USED = (0, 1, 2, 11)  # of a joint's fields: x, y, z and the tracking state; the others are never looked at
MUTUAL = frozenset((*range(50, 61), *range(106, 121)))  # actions of two persons
LABELS_60, LABELS_120 = (tuple(f"A{action:03d}" for action in range(1, count + 1)) for count in (60, 120))
CONFIDENCE = np.array([0, 0.5, 1], np.float32)  # by tracking state


def recordings(folder: Path, options: ImportOptions) -> Recordings:
    """Find ``.skeleton`` files in the folder and below it. Labels are the dataset's own numbers, A001 to A120, of which a store of
    a part of the data set has those that the part shows."""
    files = find(folder, "**/*.skeleton", "NTU RGB+D")
    actions = [0]
    for file in files:
        with suppress(CorruptFile):  # refused when its turn comes
            actions.append(_name(file)[2])
    labels = LABELS_60 if max(actions) <= len(LABELS_60) else LABELS_120
    return Recordings("ntu", topologies.get("kinect-v2"), labels, RATE_HZ, len(files), _clips(folder, files, options),
                      tracked=True, in_part=True, acting=lambda clip: 2 if int(clip.label[1:]) in MUTUAL else 1)


def _clips(folder: Path, files: list[Path], options: ImportOptions) -> Iterator[Clip | RefusedFile]:
    for file in files:
        source = file.relative_to(folder).as_posix()
        yield take(source, partial(_clip, file, source, options))


def _clip(file: Path, source: str, options: ImportOptions) -> Clip | RefusedFile:
    camera, subject, action = _name(file)
    joints, confidence = read_skeleton(file)
    if not len(joints):
        return RefusedFile(source, "no body in any frame")
    return make_clip(joints, options, confidence=confidence, rate_hz=RATE_HZ, label=LABELS_120[action - 1],
                     subject=str(subject), view=str(camera), source=source)


def _name(file: Path) -> tuple[int, int, int]:
    """Camera, subject and action."""
    name = re.fullmatch(r"S\d{3}C(\d{3})P(\d{3})R\d{3}A(\d{3})\.skeleton", file.name, re.ASCII)
    if name is None or not 1 <= int(name[3]) <= len(LABELS_120):
        raise CorruptFile(file, "file name", expected="SsssCcccPpppRrrrAaaa.skeleton with aaa from 001 to 120")
    return int(name[1]), int(name[2]), int(name[3])


def read_skeleton(file: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read one file.

    Returns:
        joints (M, T, 25, 3) metres and confidence (M, T, 25), M bodies in the order in which they appear; M is 0 when
        no frame has a body.

    Raises:
        CorruptFile: not this format, or cut short.
    """
    words = _Words(file)
    frames = words.count("frames", most=1 << 20)
    if frames == 0:
        raise CorruptFile(file, "0 frames", expected="at least one")
    bodies: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
    for frame in range(frames):
        for _ in range(words.count("bodies", most=16)):
            identity = words.take(BODY_FIELDS, "a body's fields")[0]
            if (joints := words.count("joints", most=JOINTS)) != JOINTS:
                raise CorruptFile(file, f"a body of {joints} joints in frame {frame}", expected=f"{JOINTS}")
            fields = words.take(JOINTS * JOINT_FIELDS, "joints")
            values = words.numbers([field for column in USED for field in fields[column::JOINT_FIELDS]], "joints")
            values = values.reshape(len(USED), JOINTS).T
            if identity not in bodies:
                bodies[identity] = (np.zeros((frames, JOINTS, 3), np.float32), np.zeros((frames, JOINTS), np.float32))
            state = values[:, -1]
            if not np.isin(state, (0, 1, 2)).all():
                raise CorruptFile(file, f"tracking state {state[~np.isin(state, (0, 1, 2))][0]:g} in frame {frame}",
                                  expected="0, 1 or 2")
            bodies[identity][0][frame] = values[:, :3]
            bodies[identity][1][frame] = CONFIDENCE[state.astype(int)]
    words.end()
    if not bodies:
        return np.zeros((0, frames, JOINTS, 3), np.float32), np.zeros((0, frames, JOINTS), np.float32)
    return np.stack([body for body, _ in bodies.values()]), np.stack([trust for _, trust in bodies.values()])


class _Words:
    """The file's words, taken from the front; running out of them is an error with the file's name."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._words = file.read_text("ascii").split()
        except (OSError, UnicodeDecodeError) as error:
            raise CorruptFile(file, f"{type(error).__name__}: {error}", expected="a .skeleton text file") from error
        self._at = 0

    def take(self, count: int, what: str) -> list[str]:
        words = self._words[self._at:self._at + count]
        if len(words) < count:
            raise CorruptFile(self._file, f"the file ends inside {what}",
                              expected="as many frames as its first line says",
                              remedy="the file is cut short; get it again")
        self._at += count
        return words

    def count(self, what: str, most: int) -> int:
        word = self.take(1, f"the number of {what}")[0]
        if (found := whole_number(word, most)) is None:
            raise CorruptFile(self._file, f"{word[:20]!r} as the number of {what}", expected=f"0 to {most}")
        return found

    def numbers(self, words: list[str], what: str) -> NDArray[np.float64]:
        try:
            return np.array([number(word) for word in words])
        except ValueError as error:
            raise CorruptFile(self._file, f"in {what}: {error}", expected="numbers") from error

    def end(self) -> None:
        if self._at != len(self._words):
            raise CorruptFile(self._file, f"{len(self._words) - self._at} words after the last frame", expected="none")
