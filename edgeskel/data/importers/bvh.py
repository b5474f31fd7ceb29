"""BVH motion capture: a joint hierarchy with offsets, and Euler angles per frame.

Axes: T frames, V joints, D channels of a frame.

Joint positions are had by forward kinematics. A joint's rotation is the product of its rotation channels in the order
in which the file lists them; its position channels take the place of its offset. BVH is right-handed with y up by
convention, which is what we use; the unit is not in the file and has to be said (``--unit``). The end of each chain
(``End Site``) is a joint too, named after its parent with ``_end``.

The common names (Hips, LeftUpLeg or LeftHip, LeftForeArm or LeftElbow, ...) are brought into our vocabulary, the others
stay, so that ``--topology`` can bring the joints into another layout by name. A clip's label is ``--label`` or the name
of its file's folder. Several files in one store need one hierarchy, or ``--topology``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeskel import topologies
from edgeskel.data.importers.bvh_names import layout
from edgeskel.data.importers.common import Options, Recordings, Refused, find, make_clip, take
from edgeskel.errors import CorruptFile, InvalidClip, TopologyMismatch, UnknownChoice, UsageError
from edgeskel.skeleton import Clip, Topology
from edgeskel.topologies.remap import remap_clip

__all__ = ["UNITS", "Bvh", "read_bvh", "recordings"]

OPTIONS = ("unit", "label")
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254}
PLAUSIBLE = (0.3, 4.0)  # metres from the first joint's lowest to highest in the rest pose
AXES = {"X": 0, "Y": 1, "Z": 2}


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
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: NDArray[np.float64]
    channels: tuple[tuple[tuple[str, int], ...], ...]
    motion: NDArray[np.float64]
    frame_time: float

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

    @property
    def height(self) -> float:
        """Extent of the rest pose along its longest axis, in the file's unit."""
        rest = np.zeros_like(self.offsets)
        for joint, parent in enumerate(self.parents):
            rest[joint] = self.offsets[joint] + (rest[parent] if parent >= 0 else 0)
        return float((rest.max(axis=0) - rest.min(axis=0)).max())


def recordings(folder: Path, options: Options) -> Recordings:
    """Find ``.bvh`` files in the folder and below it."""
    if not options.unit:
        raise UsageError("BVH files do not say their unit", expected=f"--unit {', '.join(UNITS)}",
                         remedy="the offset of a knee is about 0.45 m, 45 cm or 450 mm")
    if options.unit not in UNITS:
        raise UnknownChoice("unit", options.unit, UNITS)
    files = find(folder, "**/*.bvh", "BVH files")
    first, named = _first_whole(files)
    own = layout(first.names, first.parents, named.stem)
    target = topologies.get(options.topology) if options.topology else own
    labels = [options.label or file.parent.name for file in files]
    return Recordings("bvh", target, tuple(sorted(set(labels))), round(1 / first.frame_time, 3), len(files),
                      _clips(folder, files, labels, (target, named), options))


def _first_whole(files: list[Path]) -> tuple[Bvh, Path]:
    """The first file that can be read gives the store its layout and rate. Raises the first one's error if none can."""
    errors: list[CorruptFile] = []
    for file in files:
        try:
            return read_bvh(file), file
        except CorruptFile as error:
            errors.append(error)
    raise errors[0]


def _clips(folder: Path, files: list[Path], labels: list[str], target: tuple[Topology, Path],
           options: Options) -> Iterator[Clip | Refused]:
    for file, label in zip(files, labels, strict=True):
        source = file.relative_to(folder).as_posix()
        yield take(source, partial(_clip, file, source, label, target, options))


def _clip(file: Path, source: str, label: str, target: tuple[Topology, Path], options: Options) -> Clip:
    bvh = read_bvh(file)
    scale = UNITS[options.unit]
    height = bvh.height * scale
    if not PLAUSIBLE[0] <= height <= PLAUSIBLE[1]:
        raise InvalidClip(f"{source}: a rest pose of {height:.3g} m with unit {options.unit}",
                          expected=f"{PLAUSIBLE[0]} to {PLAUSIBLE[1]} m", remedy="give the right --unit")
    topology, named = target
    own = layout(bvh.names, bvh.parents, file.stem)
    clip = make_clip(bvh.positions()[None] * scale, options, source=source, label=label, rate_hz=1 / bvh.frame_time)
    if options.topology:
        return remap_clip(clip, own, topology)
    if (own.joints, own.parents) != (topology.joints, topology.parents):
        raise TopologyMismatch(f"{source}: another hierarchy than {named.name}", expected="one hierarchy in a store",
                               remedy="give --topology to bring all of them into one layout")
    return clip


def read_bvh(file: Path) -> Bvh:
    """Read one file.

    Raises:
        CorruptFile: not BVH, cut short, or a number that is not one.
    """
    try:
        text = file.read_text("utf-8-sig")  # Windows programs put a byte order mark in front
    except (OSError, UnicodeDecodeError) as error:
        raise CorruptFile(file, f"{type(error).__name__}: {error}", expected="a BVH text file") from error
    head, motion, tail = text.partition("MOTION")
    if not motion:
        raise CorruptFile(file, "no MOTION section", expected="HIERARCHY, then MOTION")
    parser = _Hierarchy(file, head.replace("{", " { ").replace("}", " } ").split())
    values, frame_time = _motion(file, tail.split(), sum(map(len, parser.channels)))
    return Bvh(tuple(parser.names), tuple(parser.parents), np.array(parser.offsets), tuple(parser.channels), values,
               frame_time)


def _motion(file: Path, words: list[str], width: int) -> tuple[NDArray[np.float64], float]:
    expected = f"Frames: T, Frame Time: SECONDS, then T rows of {width} numbers"
    try:
        if words[0] != "Frames:" or words[2:4] != ["Frame", "Time:"]:
            raise ValueError(f"MOTION starts with {' '.join(words[:5])!r}")
        frames, frame_time = int(words[1]), float(words[4])
        values = np.array(words[5:], dtype=np.float64)
    except (ValueError, IndexError) as error:
        raise CorruptFile(file, str(error), expected=expected) from error
    if frames < 1 or not 0 < frame_time < 10:
        raise CorruptFile(file, f"{frames} frames of {frame_time} s", expected="at least one frame, of 0 to 10 s")
    if values.size != frames * width:
        raise CorruptFile(file, f"{values.size} numbers for {frames} frames of {width} channels", expected=expected,
                          remedy="the file may be cut short; get it again")
    return values.reshape(frames, width), frame_time


class _Hierarchy:
    """Recursive reading of ``ROOT name { OFFSET x y z CHANNELS n ... JOINT name { ... } End Site { OFFSET ... } }``."""

    def __init__(self, file: Path, words: list[str]) -> None:
        self._file, self._words = file, words
        self.names: list[str] = []
        self.parents: list[int] = []
        self.offsets: list[list[float]] = []
        self.channels: list[tuple[tuple[str, int], ...]] = []
        self._words.reverse()
        self._expect("HIERARCHY")
        self._expect("ROOT")
        self._joint(-1, self._next())
        if self._words:
            raise CorruptFile(file, f"{self._words[-1]!r} after the root joint", expected="MOTION")

    def _joint(self, parent: int, name: str) -> None:
        stack = [self._open(parent, name)]
        while stack:
            word = self._next()
            if word == "}":
                stack.pop()
            elif word == "CHANNELS":
                self.channels[stack[-1]] = tuple(self._channel() for _ in range(self._count()))
            elif word == "JOINT":
                stack.append(self._open(stack[-1], self._next()))
            elif word == "End":
                self._expect("Site")
                stack.append(self._open(stack[-1], self._end_name(self.names[stack[-1]])))
            else:
                raise CorruptFile(self._file, f"{word!r} inside {self.names[stack[-1]]}",
                                  expected="CHANNELS, JOINT, End Site or }")

    def _open(self, parent: int, name: str) -> int:
        if name in self.names:
            raise CorruptFile(self._file, f"two joints named {name}", expected="each name once")
        self._expect("{")
        self._expect("OFFSET")
        self.names.append(name)
        self.parents.append(parent)
        self.offsets.append([self._number() for _ in range(3)])
        self.channels.append(())
        return len(self.names) - 1

    def _end_name(self, parent: str) -> str:
        number = 1
        while (name := f"{parent}_end{number if number > 1 else ''}") in self.names:
            number += 1
        return name

    def _channel(self) -> tuple[str, int]:
        word = self._next()
        if word[:1] not in AXES or word[1:] not in ("position", "rotation"):
            raise CorruptFile(self._file, f"channel {word!r}", expected="Xposition, Yrotation and the like")
        return word[1:], AXES[word[0]]

    def _count(self) -> int:
        word = self._next()
        if not word.isdigit() or int(word) > 6:
            raise CorruptFile(self._file, f"{word!r} channels", expected="0 to 6")
        return int(word)

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
        if (seen := self._next()) != word:
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
