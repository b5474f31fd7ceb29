"""The BVH format: a joint hierarchy with offsets, and Euler angles per frame.

Axes: T frames, V joints, D channels of a frame.

Joint positions are had by forward kinematics. A joint's rotation is the product of its rotation channels in the order in
which the file lists them; its position channels take the place of its offset. The end of each chain (``End Site``) is a
joint too, named after its parent with ``_end``. Keywords and channels are read in any case, names may hold spaces, and
bytes that are not UTF-8 are taken for Latin-1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeskel.data.importers.common import number, whole_number
from edgeskel.errors import CorruptFile

__all__ = ["Bvh", "read_bvh"]

AXES = {"x": 0, "y": 1, "z": 2}
TOKENS = re.compile(r"(?P<brace>[{}])|(?P<named>(?:ROOT|JOINT)[ \t]+[^\r\n{}]*|End\b[^\r\n{}]*)|(?P<word>[^\s{}]+)", re.IGNORECASE)
MOTION = re.compile(r"\s*Frames\s*:?\s*(\S+)\s+Frame\s*Time\s*:?\s*(\S+)", re.IGNORECASE)


@dataclass(frozen=True)
class Bvh:
    """One file.

    Args:
        names: V joint names as in the file, parents before children.
        parents: index of each joint's parent, -1 for the root.
        offsets: (V, 3) from the parent, in the file's unit.
        channels: for each joint its channels as (kind, axis), kind "position" or "rotation".
        motion: (T, D) channel values; degrees and the file's unit.
        frame_time: seconds between frames.
        stated_frames: how many frames the file says that it has.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: NDArray[np.float64]
    channels: tuple[tuple[tuple[str, int], ...], ...]
    motion: NDArray[np.float64]
    frame_time: float
    stated_frames: int

    def positions(self) -> NDArray[np.float64]:
        """(T, V, 3) world positions in the file's unit."""
        frames = len(self.motion)
        world = np.empty((frames, len(self.names), 3))
        rotations: list[NDArray[np.float64]] = []
        column = 0
        for joint, parent in enumerate(self.parents):
            local = np.tile(self.offsets[joint], (frames, 1))
            rotation = np.tile(np.eye(3), (frames, 1, 1))
            for kind, axis in self.channels[joint]:
                values = self.motion[:, column]
                column += 1
                if kind == "position":
                    local[:, axis] = values
                else:
                    rotation = rotation @ _about(axis, np.deg2rad(values))
            if parent >= 0:
                local = world[:, parent] + np.einsum("tij,tj->ti", rotations[parent], local)
                rotation = rotations[parent] @ rotation
            world[:, joint] = local
            rotations.append(rotation)
        return world


def read_bvh(file: Path) -> Bvh:
    """Read one file.

    Raises:
        CorruptFile: not BVH, cut short, or a number that is not one.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CorruptFile(file, f"{type(error).__name__}: {error}", expected="a BVH text file") from error
    try:
        text = content.decode("utf-8-sig")  # Windows programs put a byte order mark in front
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    parts = re.split(r"^[ \t]*MOTION\b", text, maxsplit=1, flags=re.IGNORECASE | re.MULTILINE)
    if len(parts) < 2:
        raise CorruptFile(file, "no MOTION section", expected="HIERARCHY, then MOTION")
    parser = _Hierarchy(file, parts[0])
    values, frame_time, stated = _motion(file, parts[1], sum(map(len, parser.channels)))
    return Bvh(tuple(parser.names), tuple(parser.parents), np.array(parser.offsets), tuple(parser.channels), values,
               frame_time, stated)


def _motion(file: Path, text: str, width: int) -> tuple[NDArray[np.float64], float, int]:
    expected = f"Frames: T, Frame Time: SECONDS, then T rows of {width} numbers"
    head = MOTION.match(text)
    try:
        if head is None:
            raise ValueError(f"MOTION starts with {' '.join(text.split()[:5])!r}")
        frames, frame_time = int(head[1]), float(head[2])
        values = _numbers(text[head.end():].split())
    except ValueError as error:
        raise CorruptFile(file, str(error), expected=expected) from error
    if frames < 1 or not 0 < frame_time < 10:
        raise CorruptFile(file, f"{frames} frames of {frame_time} s", expected="at least one frame, of 0 to 10 s")
    rows, rest = divmod(values.size, max(width, 1))
    if rest or not rows or abs(rows - frames) > 1:  # programs write one row more, or one less, than they say
        raise CorruptFile(file, f"{values.size} numbers for {frames} frames of {width} channels", expected=expected,
                          remedy="the file may be cut short; get it again")
    return values.reshape(rows, width), frame_time, frames


def _numbers(words: list[str]) -> NDArray[np.float64]:
    try:
        return np.array(words, dtype=np.float64)
    except ValueError:
        return np.array([number(word) for word in words])


class _Hierarchy:
    """Recursive reading of ``ROOT name { OFFSET x y z CHANNELS n ... JOINT name { ... } End Site { OFFSET ... } }``."""

    def __init__(self, file: Path, text: str) -> None:
        self._file = file
        self._words = [" ".join(found[0].split()) for found in TOKENS.finditer(text)]
        self.names: list[str] = []
        self.parents: list[int] = []
        self.offsets: list[list[float]] = []
        self.channels: list[tuple[tuple[str, int], ...]] = []
        self._words.reverse()
        self._expect("HIERARCHY")
        keyword, _, name = self._next().partition(" ")
        if keyword.upper() != "ROOT" or not name:
            raise CorruptFile(file, f"{keyword!r}", expected="'ROOT' and a name")
        self._joint(-1, name)
        if self._words:
            raise CorruptFile(file, f"{self._words[-1]!r} after the root joint", expected="MOTION")

    def _joint(self, parent: int, name: str) -> None:
        stack = [self._open(parent, name)]
        while stack:
            word = self._next()
            keyword, _, name = word.partition(" ")
            if word == "}":
                self._close(stack.pop())
            elif keyword.upper() == "OFFSET":
                self.offsets[stack[-1]] = [self._number() for _ in range(3)]
            elif keyword.upper() == "CHANNELS":
                self.channels[stack[-1]] = tuple(self._channel() for _ in range(self._count()))
            elif keyword.upper() == "JOINT" and name:
                stack.append(self._open(stack[-1], name))
            elif keyword.upper() == "END":
                stack.append(self._open(stack[-1], self._end_name(self.names[stack[-1]])))
            else:
                raise CorruptFile(self._file, f"{word!r} in joint {self.names[stack[-1]]}",
                                  expected="OFFSET, CHANNELS, JOINT, End Site or a closing brace")

    def _open(self, parent: int, name: str) -> int:
        if name in self.names:
            raise CorruptFile(self._file, f"two joints named {name}", expected="each name once")
        self._expect("{")
        self.names.append(name)
        self.parents.append(parent)
        self.offsets.append([])
        self.channels.append(())
        return len(self.names) - 1

    def _close(self, joint: int) -> None:
        if not self.offsets[joint]:
            raise CorruptFile(self._file, f"joint {self.names[joint]} without an OFFSET", expected="OFFSET x y z")

    def _end_name(self, parent: str) -> str:
        number = 1
        while (name := f"{parent}_end{number if number > 1 else ''}") in self.names:
            number += 1
        return name

    def _channel(self) -> tuple[str, int]:
        word = self._next()
        axis, kind = word[:1].lower(), word[1:].lower()
        if axis not in AXES or kind not in ("position", "rotation"):
            raise CorruptFile(self._file, f"channel {word!r}", expected="Xposition, Yrotation and the like")
        return kind, AXES[axis]

    def _count(self) -> int:
        word = self._next()
        if (found := whole_number(word, 6)) is None:
            raise CorruptFile(self._file, f"{word[:20]!r} channels", expected="0 to 6")
        return found

    def _number(self) -> float:
        word = self._next()
        try:
            value = float(word)
        except ValueError as error:
            raise CorruptFile(self._file, f"offset {word!r}", expected="a number") from error
        if not np.isfinite(value):
            raise CorruptFile(self._file, f"offset {word!r}", expected="a finite number")
        return value

    def _expect(self, word: str) -> None:
        if (seen := self._next()).upper() != word:
            raise CorruptFile(self._file, f"{seen!r}", expected=f"{word!r}")

    def _next(self) -> str:
        if not self._words:
            raise CorruptFile(self._file, "the hierarchy ends too early", expected="a closing brace for every joint",
                              remedy="the file may be cut short; get it again")
        return self._words.pop()


def _about(axis: int, angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, 3, 3) rotations by ``angle`` (T,) radians about a coordinate axis."""
    cosine, sine = np.cos(angle), np.sin(angle)
    rotation = np.zeros((len(angle), 3, 3))
    j, k = (axis + 1) % 3, (axis + 2) % 3
    rotation[:, axis, axis] = 1
    rotation[:, j, j] = rotation[:, k, k] = cosine
    rotation[:, j, k], rotation[:, k, j] = -sine, sine
    return rotation
