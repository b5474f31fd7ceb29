"""Skeletons: named joint layouts, frames and clips.

Axes: M persons, T frames, V joints; the last axis is x, y, z in metres (right-handed, y up).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import InvalidClip, UsageError
from edgeskel.values import ByValue

__all__ = ["FARTHEST_M", "LATEST_S", "Clip", "Frame", "Inertial", "Topology", "unit_of", "unit_of_step"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

FARTHEST_M = 1e6
"""Metres: a joint further from the origin on any axis is none."""
LATEST_S = 1e11
"""Seconds, three thousand years: a time further from 0 counts something smaller than seconds."""
PARTS = ("torso", "left_arm", "right_arm", "left_leg", "right_leg")


@dataclass(frozen=True, eq=False, repr=False)
class Topology(ByValue):
    """A joint layout.

    Args:
        name: e.g. ``"kinect-v1"``.
        joints: V joint names in our vocabulary (``left_wrist``), unique, in the order of the data.
        parents: index of each joint's parent; -1 for the root, and exactly one root.
        pairs: (left, right) joint indices.
        parts: body part -> joint indices; every joint is in exactly one part.
        aliases: the maker's own joint names, in the same order ("" where it has none).

    Raises:
        UsageError: the layout contradicts itself (duplicate joint, cycle, two roots, index out of range).
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...] = ()
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        size = len(self.joints)
        if len(set(self.joints)) != size or len(self.parents) != size:
            raise UsageError(f"topology {self.name!r} names {size} joints ({len(set(self.joints))} distinct) and "
                             f"{len(self.parents)} parents", expected="as many distinct joints as parents")
        if sum(parent < 0 for parent in self.parents) != 1:
            raise UsageError(f"topology {self.name!r} has {sum(p < 0 for p in self.parents)} roots", expected="one root")
        indices = [i for pair in self.pairs for i in pair] + [i for part in self.parts.values() for i in part]
        if any(not 0 <= i < size for i in indices) or any(parent >= size for parent in self.parents):
            raise UsageError(f"topology {self.name!r} points at a joint that it does not have",
                             expected=f"indices 0..{size - 1}")
        if len(self.order) != size:
            raise UsageError(f"topology {self.name!r} has joints that do not lead to the root", expected="a tree")

    def __str__(self) -> str:
        """Name and size."""
        return f"{self.name}: {len(self.joints)} joints"

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Joint indices with every parent before its children."""
        order = [self.root]
        for joint in order:
            order += [child for child, parent in enumerate(self.parents) if parent == joint]
        return tuple(order)

    @cached_property
    def root(self) -> int:
        """Index of the root joint."""
        return next(i for i, parent in enumerate(self.parents) if parent < 0)

    @cached_property
    def hops(self) -> NDArray[np.int64]:
        """(V, V) number of bones between two joints."""
        hops = np.full((len(self.joints), len(self.joints)), -1, dtype=np.int64)
        for start in range(len(self.joints)):
            reached, distance = [start], 0
            while reached:
                hops[start, reached] = distance
                distance += 1
                reached = [j for j in range(len(self.joints)) if hops[start, j] < 0
                           and any(self.parents[j] == i or self.parents[i] == j for i in reached)]
        return hops

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """Joint order of the mirrored body: ``joints[..., mirror, :]`` swaps left and right."""
        order = list(range(len(self.joints)))
        for left, right in self.pairs:
            order[left], order[right] = right, left
        return tuple(order)

    def index(self, joint: str) -> int:
        """Index of a joint by name. Raises ``UnknownChoice`` with the names it has."""
        from edgeskel.errors import UnknownChoice

        if joint not in self.joints:
            raise UnknownChoice(f"joint of {self.name}", joint, self.joints)
        return self.joints.index(joint)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; ``Topology.from_dict`` restores it."""
        return {"name": self.name, "joints": list(self.joints), "parents": list(self.parents),
                "pairs": [list(pair) for pair in self.pairs],
                "parts": {part: list(joints) for part, joints in self.parts.items()}, "aliases": list(self.aliases)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Topology:
        """Inverse of :meth:`to_dict`."""
        return cls(name=data["name"], joints=tuple(data["joints"]), parents=tuple(data["parents"]),
                   pairs=tuple((left, right) for left, right in data.get("pairs", ())),
                   parts={part: tuple(joints) for part, joints in data.get("parts", {}).items()},
                   aliases=tuple(data.get("aliases", ())))


@dataclass(frozen=True, eq=False, repr=False)
class Frame(ByValue):
    """Joints of all persons at one instant.

    Args:
        time: seconds, monotonic.
        joints: (M, V, 3) metres.
        confidence: (M, V) in 0..1; 0 means missing, and the joint's value is then meaningless.
    """

    time: float
    joints: Float32
    confidence: Float32

    def __str__(self) -> str:
        """When, and how much of whom is seen."""
        persons, joints = np.shape(self.confidence) if np.ndim(self.confidence) == 2 else (0, 0)
        return f"at {self.time:.3f} s: {persons} persons, {np.count_nonzero(self.confidence)} of {persons * joints} joints seen"


@dataclass(frozen=True, eq=False, repr=False)
class Inertial(ByValue):
    """Signals of S body-worn sensors beside a clip; K samples on their own clock.

    Args:
        segments: S body segments that carry a sensor, e.g. ``("right_wrist",)``.
        time: (K,) seconds on the clip's time axis.
        accelerometer: (S, K, 3) specific force, m/s², sensor axes (gravity included).
        gyroscope: (S, K, 3) rad/s, sensor axes.
        orientation: (S, K, 4) unit quaternions (w, x, y, z), sensor -> world, where the recording has them.
    """

    segments: tuple[str, ...]
    time: Float64
    accelerometer: Float32
    gyroscope: Float32
    orientation: Float32 | None = None

    def __str__(self) -> str:
        """Where the sensors are, and how much they say."""
        return f"{len(self.time)} samples of {', '.join(self.segments)}"


@dataclass(frozen=True, eq=False, repr=False)
class Clip(ByValue):
    """A labelled recording.

    Args:
        joints: (M, T, V, 3) metres.
        confidence: (M, T, V) in 0..1; 0 means missing.
        time: (T,) seconds, increasing.
        label: class name, "" when unknown.
        subject, view: who and from where, "" when unknown.
        source: the file it came from, relative to the dataset's folder.
        inertial: paired body-worn sensors, when recorded.

    Raises:
        InvalidClip: wrong shapes, no frame, time that does not increase, or a non-finite joint whose confidence is
            above 0.
    """

    joints: Float32
    confidence: Float32
    time: Float64
    label: str = ""
    subject: str = ""
    view: str = ""
    source: str = ""
    inertial: Inertial | None = None

    def __post_init__(self) -> None:
        check_window(self.joints, self.confidence, self.source or "clip")
        if self.time.shape != self.joints.shape[1:2]:
            raise InvalidClip(f"{self.source or 'clip'}: time has shape {self.time.shape}",
                              expected=f"one instant for each of the {self.joints.shape[1]} frames")
        if np.abs(self.time).max(initial=0) > LATEST_S:  # false for NaN
            raise InvalidClip(f"{self.source or 'clip'}: a time of {np.abs(self.time).max():.4g} s looks like "
                              f"{unit_of(np.abs(self.time).max())}", expected="seconds", remedy="divide the times by their unit")
        if not np.all(np.isfinite(self.time)) or np.any(np.diff(self.time) <= 0):
            raise InvalidClip(f"{self.source or 'clip'}: time does not increase from frame to frame",
                              expected="strictly increasing seconds")

    def __str__(self) -> str:
        """What, who, how long, and what is missing."""
        persons, frames, joints, _ = self.joints.shape
        who = "".join(f", {name} {value}" for name, value in (("subject", self.subject), ("view", self.view)) if value)
        missing = float(np.mean(self.confidence == 0))
        return (f"{self.label or 'unlabelled'!r}{who}: {persons} person{'s' * (persons > 1)}, {frames} frames of {joints} joints "
                f"in {self.time[-1] - self.time[0]:.2f} s, {missing:.0%} missing{', sensors' * (self.inertial is not None)}")

    def _repr_png_(self) -> bytes | None:
        """A strip of skeletons for a notebook; without matplotlib (``pip install 'edgeskel[viz]'``) the text is shown."""
        from edgeskel.notebook import strip

        return strip(self.joints, self.confidence)

    @property
    def frames(self) -> int:
        """T."""
        return int(self.joints.shape[1])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of joints and confidences: equal recordings have equal digests."""
        digest = hashlib.sha256(np.ascontiguousarray(self.joints, dtype="<f4").tobytes())
        digest.update(np.ascontiguousarray(self.confidence, dtype="<f4").tobytes())
        return digest.hexdigest()


def unit_of(time: float) -> str:
    """The likely unit of a time beyond :data:`LATEST_S`: clocks count from 1970 or from the start of the machine."""
    small = "milliseconds" if abs(time) < 1e14 else "microseconds"
    return "nanoseconds" if abs(time) >= 1e17 else f"{small} since 1970, or nanoseconds"


def unit_of_step(step: float) -> str:
    """The likely unit of the time from one frame to the next, given as if in seconds (more than 5)."""
    return "milliseconds" if step < 2e3 else "microseconds" if step < 2e6 else "nanoseconds"


def check_window(joints: Float32, confidence: Float32, name: str, persons_and_joints: Sequence[int] = ()) -> None:
    """Refuse joints that break the contract.

    Args:
        joints: (M, T, V, 3).
        confidence: (M, T, V).
        name: what to call it in the message.
        persons_and_joints: (M, V) when they are fixed.

    Raises:
        InvalidClip: see :class:`Clip`.
    """
    if joints.ndim != 4 or joints.shape[-1] != 3 or confidence.shape != joints.shape[:3]:
        raise InvalidClip(f"{name}: joints {joints.shape}, confidence {confidence.shape}",
                          expected="joints (M, T, V, 3) and confidence (M, T, V)")
    if 0 in joints.shape:
        raise InvalidClip(f"{name}: joints {joints.shape} hold nothing", expected="at least one person, frame and joint")
    if persons_and_joints and (joints.shape[0], joints.shape[2]) != tuple(persons_and_joints):
        raise InvalidClip(f"{name}: {joints.shape[0]} persons of {joints.shape[2]} joints",
                          expected="{} persons of {} joints".format(*persons_and_joints))
    if not np.all((confidence >= 0) & (confidence <= 1)):  # also false for NaN
        raise InvalidClip(f"{name}: confidence outside 0..1 (or NaN)", expected="0 for missing up to 1 for certain")
    broken = ~np.isfinite(joints).all(axis=-1) & (confidence > 0)
    if broken.any():
        person, frame, joint = (int(i) for i in np.argwhere(broken)[0])
        raise InvalidClip(f"{name}: {int(broken.sum())} non-finite joints, the first at person {person}, frame {frame}, "
                          f"joint {joint}", expected="finite metres wherever confidence is above 0",
                          remedy="set the confidence of a missing joint to 0")
