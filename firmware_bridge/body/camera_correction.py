"""What a camera's joints correct: vertical, heading, bone lengths, root, and each joint's residual; and by how much
they are late.

Standard deviations of a camera's joints are round numbers for depth-camera trackers, a few centimetres; they were not
fitted to any recording that is reported.

Axes: M persons, V joints, P pieces, S segments that carry a sensor, L bones.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeskel.geometry import about_up, conjugate, rotate
from edgeskel.skeleton import Frame, Topology, check_window
from firmware_bridge.align import CameraTilt, JitterBuffer, bone_velocity, camera_offset, resample
from firmware_bridge.body.chains import MEASURED, Chains
from firmware_bridge.body.heading import AFTER_POSE
from firmware_bridge.body.kinematics import Skeleton
from firmware_bridge.body.root_position import RootPosition
from firmware_bridge.body.segments import GROUPS, INDEX, PIECES, SEGMENTS, Float64

__all__ = ["Bones", "CameraCorrection", "Seen", "check_frame"]

Bool = NDArray[np.bool_]

JOINT_STD_M = 0.03
"""Metres, each axis, of a tracked joint; one of confidence c has JOINT_STD_M / c²."""
ERROR_CORRELATION_S = 0.5
"""A tracker's errors wander: those of frames within so long are about the same, and count once."""
GUESSED = (0.15, 0.6)
"""Metres and seconds for a joint without sensors: limbs take half a second to a second from one place to another."""
OUTLIER = 3.0
"""Standard deviations beyond which a joint's observation counts less and less."""
LENGTHS_KEPT, LENGTHS_LEAST = 300, 30
"""Frames whose bone lengths are kept, and needed."""
STATURE_SPREAD, LENGTH_SPREAD, PLACED = 0.1, 0.05, 0.015
"""Standard deviations as shares of the stature that was given and of people's proportions, and metres by which a camera
places a joint off for good: the median of a long bone replaces the table, that of a short one hardly does, and what all
agree in is stature."""
OFFSET_EVERY_S, OFFSET_WINDOW_S, OFFSET_SPAN_S, OFFSET_SURE = (5.0, 60.0), 30.0, 0.133, 0.3
"""How often the camera's lateness is looked for at first and later, in how much, by differences over how long, and
from which correlation it is believed: twice what two movements that have nothing in common reach."""

# Segment -> its bone in joints: from the first of these to the second, where the layout has both.
_BONES: dict[str, tuple[str, str]] = {"pelvis": ("right_hip", "left_hip"), "chest": ("right_shoulder", "left_shoulder"),
                                      "head": ("neck", "head")} | {
    f"{side}_{segment}": (f"{side}_{a}", f"{side}_{b}") for side in ("left", "right")
    for segment, a, b in (("upper_arm", "shoulder", "elbow"), ("forearm", "elbow", "wrist"), ("hand", "wrist", "hand"),
                          ("thigh", "hip", "knee"), ("shank", "knee", "ankle"), ("foot", "ankle", "foot"))}
_LEVEL = 0.3
"""Share of a bone that must be level for its direction over the floor to be counted."""


@dataclass(frozen=True)
class Seen:
    """One person in a camera frame: seconds, joints (V, 3) metres, confidence (V,)."""

    time: float
    joints: Float64
    confidence: Float64


class Bones(NamedTuple):
    """Bones that a sensor and the camera both see; its fields are those of
    :meth:`~firmware_bridge.body.heading.HeadingEstimator.observe`."""

    rows: NDArray[np.int64]
    turns: Float64
    ours: Float64
    theirs: Float64
    variance: Float64
    lasting: Float64


class CameraCorrection:
    """All that is kept about a camera.

    Args:
        skeleton: gives the layout.
        segments: S names that carry a sensor.
    """

    HALF_SURE = 0.1
    """Metres of standard deviation at which a joint's confidence is a half."""

    late: float

    def __init__(self, skeleton: Skeleton, segments: Sequence[str]) -> None:
        topology: Topology = skeleton.topology
        self.chains: Chains = Chains(skeleton)
        self.tilt: CameraTilt = CameraTilt()
        self.late = 0.0
        """Seconds by which the camera's times are late, as found."""
        self._finds = 0
        names = topology.joints
        self._names = names
        bones = [(row, names.index(_BONES[s][0]), names.index(_BONES[s][1])) for row, s in enumerate(segments)
                 if s in _BONES and _BONES[s][0] in names and _BONES[s][1] in names]
        self._bones = np.array(bones, dtype=np.int64).reshape(-1, 3)
        self._pieces = np.array([INDEX[s] for s in segments], dtype=np.int64)
        self._across = [(names.index(a), names.index(b)) for a, b in (_BONES["pelvis"], _BONES["chest"])
                        if a in names and b in names]
        self._legs = np.array([INDEX[s] for s in SEGMENTS if s.endswith(("thigh", "shank"))])
        self._queue: deque[Seen] = deque(maxlen=64)
        self._newest = -math.inf
        self._last = -math.inf
        self._middle: Float64 | None = None
        size = len(names)
        self._spread = self.chains.spread(skeleton)
        self._carried = np.zeros(size, dtype=bool)
        self._residual = np.zeros((size, 2, 3))  # of the body, in its bones' axes; and of the camera, in the world's
        self._covariance = np.zeros((size, 2, 2))
        self._covariance[:, [0, 1], [0, 1]] = GUESSED[0] ** 2, PLACED**2
        self._when = np.full(size, -math.inf)
        self._stepped = -math.inf
        self._lengths: dict[str, deque[float]] = {group: deque(maxlen=LENGTHS_KEPT) for group in GROUPS}
        self._table: dict[str, float | None] = {group: skeleton.table_length(group) for group in GROUPS}
        self._since_lengths = 0
        self._film: deque[tuple[float, Float64]] = deque(maxlen=2000)
        self._searched = -math.inf
        self.begin()

    def begin(self) -> None:
        """The sensors were calibrated anew: their common heading against the camera is unknown again."""
        self.faced: bool = False
        """Whether the common heading of all sensors against the camera is known."""
        self._sine = self._cosine = self._weight = 0.0

    def push(self, frame: Frame) -> None:
        """Keep a frame until its time has come. Frames that are not newer than the last are left out.

        Raises:
            InvalidClip: another number of joints, or values that are none.
        """
        check_frame(frame, len(self._names))
        if frame.time <= self._newest:
            return
        self._newest = frame.time
        persons = [Seen(frame.time, joints.astype(np.float64), confidence.astype(np.float64))
                   for joints, confidence in zip(frame.joints, frame.confidence, strict=True) if confidence.any()]
        if not persons:
            return
        wearer = min(persons, key=self._strangeness)
        self._middle = _middle(wearer)
        self._queue.append(wearer)

    @property
    def active(self) -> bool:
        """Whether the camera has ever shown somebody."""
        return self._middle is not None

    def due(self, time: float) -> list[Seen]:
        """The frames that show an instant up to ``time``, with their lateness taken off."""
        ready: list[Seen] = []
        while self._queue and self._queue[0].time - self.late <= time:
            seen = self._queue.popleft()
            ready.append(Seen(seen.time - self.late, seen.joints, seen.confidence))
        return ready

    def passed(self, time: float) -> float:
        """Seconds since the frame before; at most a quarter, however long the camera was blind."""
        return min(max(time - self._last, 1e-3), 0.25)

    def level(self, seen: Seen, joints: Float64, measured: Bool) -> Seen:
        """The frame in a world whose y is up, after it helped to find out where that is.

        Args:
            seen: in camera axes.
            joints: (V, 3) by the sensors and the calibration alone, root at 0: what the camera has corrected must not
                tell the camera where up is.
            measured: (P,).
        """
        used = self.chains.measured(measured) & (seen.confidence >= 1)
        if used.sum() > 3:
            ours = joints[used] - joints[used].mean(axis=0)
            if not self.faced:
                ours[:, [0, 2]] = 0.0
            self.tilt.push(seen.joints[used] - seen.joints[used].mean(axis=0), ours)
        row, a, b = self._bones.T
        if len(row):
            vectors = seen.joints[b] - seen.joints[a]
            vectors[(seen.confidence[a] < 1) | (seen.confidence[b] < 1)] = np.nan
            self._film.append((seen.time + self.late, vectors))
        return Seen(seen.time, rotate(self.tilt.rotation, seen.joints), seen.confidence)

    def bones(self, seen: Seen, turns: Float64, measured: Bool, skeleton: Skeleton) -> Bones:
        """The bones that carry a sensor and are seen, by both; each by its own sensor alone, so that others' errors
        stay out.

        Args:
            seen: levelled.
            turns: (P, 4) by the sensors.
            measured: (P,).
            skeleton: gives the bones.
        """
        row, a, b = self._bones.T
        used = measured[self._pieces[row]] & (seen.confidence[a] >= 1) & (seen.confidence[b] >= 1)
        row, a, b = row[used], a[used], b[used]
        turned = turns[self._pieces[row]]
        ours, theirs = rotate(turned, _standing_bones(skeleton, a, b)), seen.joints[b] - seen.joints[a]
        length = np.linalg.norm(theirs, axis=-1)
        correlated_frames = max(1.0, 2 * ERROR_CORRELATION_S / self.passed(seen.time))
        variance, lasting = (2 * (off / np.maximum(length, JOINT_STD_M)) ** 2 for off in (JOINT_STD_M, PLACED))
        return Bones(row, turned, ours / np.linalg.norm(ours, axis=-1, keepdims=True),
                     theirs / np.maximum(length, 1e-6)[:, None], correlated_frames * variance, lasting)

    def common_heading(self, bones: Bones) -> float | None:
        """The heading of all sensors together against the camera, once enough frames agree; else None."""
        level = np.minimum(np.hypot(bones.ours[:, 0], bones.ours[:, 2]), np.hypot(bones.theirs[:, 0], bones.theirs[:, 2]))
        turn = np.arctan2(bones.theirs[:, 0], bones.theirs[:, 2]) - np.arctan2(bones.ours[:, 0], bones.ours[:, 2])
        weight = np.where(level > _LEVEL, 1 / (bones.variance / np.maximum(level, _LEVEL) ** 2 + AFTER_POSE**2), 0.0)
        self._sine += float((weight * np.sin(turn)).sum())
        self._cosine += float((weight * np.cos(turn)).sum())
        self._weight += float(weight.sum())
        if self._weight * AFTER_POSE**2 < 1:
            return None
        self.faced = True
        return math.atan2(self._sine, self._cosine)

    def facing(self, seen: Seen) -> float | None:
        """Radians about up that the trunk faces by hips and shoulders, where both ends are tracked and the line is
        level."""
        lines = [seen.joints[b] - seen.joints[a] for a, b in self._across if seen.confidence[a] >= 1 and seen.confidence[b] >= 1]
        if not lines:
            return None
        left = np.sum(lines, axis=0)
        return math.atan2(-left[2], left[0]) if math.hypot(left[0], left[2]) > 2 * JOINT_STD_M else None

    def measure(self, seen: Seen, skeleton: Skeleton) -> None:
        """Collect bone lengths and, every so often, size the body by their medians."""
        for group, length in skeleton.lengths(seen.joints, seen.confidence).items():
            self._lengths[group].append(length)
        self._since_lengths += 1
        if self._since_lengths < LENGTHS_LEAST:
            return
        self._since_lengths = 0
        ratios, variances = {}, {}
        for group, kept in self._lengths.items():
            table = self._table[group]
            if len(kept) >= LENGTHS_LEAST and table:
                ratios[group] = float(np.median(kept)) / table
                variances[group] = 2 * (PLACED / table) ** 2
        weights = {group: 1 / (LENGTH_SPREAD**2 + variance) for group, variance in variances.items()}
        whole = sum(weights[group] * (ratio - 1) for group, ratio in ratios.items()) / (
            sum(weights.values()) + STATURE_SPREAD**-2)
        scale = {group: 1 + whole + LENGTH_SPREAD**2 * weights[group] * (ratio - 1 - whole)
                 for group, ratio in ratios.items()}
        if scale:
            skeleton.resize(skeleton.body.measured(scale))

    def correct(self, seen: Seen, joints: Float64, turns: Float64, measured: Bool, root: RootPosition) -> None:
        """Let a levelled frame correct root and residuals.

        Args:
            seen: in our world's axes.
            joints: (V, 3) by the sensors, root at 0.
            turns: (P, 4).
            measured: (P,).
            root: is corrected.
        """
        passed = self.passed(seen.time)
        carried = self.chains.measured(measured)
        self._residual, self._covariance = self._faded(seen.time, carried)
        changed = carried != self._carried  # a sensor came or went: what was left over before means nothing now
        self._residual[changed, 0] = 0.0
        self._covariance[changed, 0, 1] = self._covariance[changed, 1, 0] = 0.0
        self._covariance[changed, 0, 0] = np.where(carried, self._spread, GUESSED[0])[changed] ** 2
        self._carried = carried
        self._stepped, self._last = seen.time, seen.time
        used = seen.confidence > 0
        if not used.any():
            return
        axes = turns[self.chains.lead]
        off = seen.joints - joints - rotate(axes, self._residual[:, 0]) - self._residual[:, 1]
        noise = (JOINT_STD_M / np.maximum(seen.confidence, 0.05) ** 2) ** 2
        unsure = noise + self._covariance.sum(axis=(1, 2))
        weight = np.where(used, 1 / unsure, 0.0)
        for _ in range(2):  # joints far from the weighted middle of all count less
            middle = (weight[:, None] * off).sum(axis=0) / weight.sum()
            far = ((off - middle) ** 2).sum(axis=-1) / (3 * unsure)
            weight = np.where(used, 1 / unsure / np.maximum(1.0, far / OUTLIER**2), 0.0)
        blind = not measured[self._legs].all()
        correlated_frames = max(1.0, 2 * ERROR_CORRELATION_S / passed)
        at = root.see(seen.time, middle, (1.0 if blind else correlated_frames) / float(weight.sum()), blind=blind)
        left = off - at
        far = (left**2).sum(axis=-1) / (3 * unsure)
        noise = noise * np.where(carried, correlated_frames, 1.0) * np.maximum(1.0, far / OUTLIER**2)
        seen_by = self._covariance.sum(axis=2)  # both add up to what is seen
        gain = np.where(used[:, None], seen_by / (seen_by.sum(axis=1) + noise)[:, None], 0.0)
        self._residual[:, 0] += gain[:, :1] * rotate(conjugate(axes), left)
        self._residual[:, 1] += gain[:, 1:] * left
        self._covariance = self._covariance - gain[:, :, None] * seen_by[:, None, :]
        self._when[used] = seen.time

    def explain(self, moved: Float64, turns: Float64) -> None:
        """A correction of heading, pose or length moved the joints by (V, 3) metres: so much of the residuals is
        explained by it."""
        moved = np.where(self._carried[:, None], moved, 0.0)
        self._residual[:, 0] -= rotate(conjugate(turns[self.chains.lead]), moved)

    def residuals(self, time: float, turns: Float64, measured: Bool) -> tuple[Float64, Float64, Float64]:
        """(V, 3) metres to add to the sensors' joints, (V,) m² of what is still unknown, (V,) seconds since each was
        seen."""
        carried = self.chains.measured(measured)
        if not self.active:  # no camera has shown anything yet: what is known is what the sensors know
            return np.zeros((len(carried), 3)), np.where(carried, self._spread, GUESSED[0]) ** 2, time - self._when
        residual, covariance = self._faded(time, carried)
        variance = covariance[:, 0, 0]
        return rotate(turns[self.chains.lead], residual[:, 0]), variance, time - self._when

    def find_offset(self, time: float, mounting: Float64, heading: Float64, buffers: Sequence[JitterBuffer],
                    skeleton: Skeleton) -> None:
        """Look, every few seconds, for how late the camera is.

        Args:
            time: seconds.
            mounting: (S, 4) segment -> sensor axes.
            heading: (S,) radians about up from each sensor's world to ours.
            buffers: S.
            skeleton: gives the bones.
        """
        pause = min(OFFSET_EVERY_S[0] * (1 + self._finds), OFFSET_EVERY_S[1])
        if time - self._searched < pause or len(self._film) < 2:
            return
        self._searched = time
        film = [(at, bones) for at, bones in self._film if at > time - OFFSET_WINDOW_S]
        if len(film) < 2 or film[-1][0] - film[0][0] < OFFSET_WINDOW_S / 3:
            return
        row, a, b = self._bones.T
        own = _standing_bones(skeleton, a, b)
        grid = np.arange(film[0][0] - 1.0, time, 0.01)
        bones = np.full((len(grid), len(row), 3), np.nan)
        for bone, segment in enumerate(row):
            track = buffers[segment].track(grid[0] - 0.1, grid[-1] + 0.1)
            if len(track.time) > 10 and not np.isnan(mounting[segment, 0]):
                bones[:, bone] = rotate(about_up(heading[segment]), rotate(resample(track, grid),
                                                                          rotate(mounting[segment], own[bone])))
        filmed = rotate(self.tilt.rotation, np.array([each for _, each in film]))
        seen_at, seen = bone_velocity(np.array([at for at, _ in film]), filmed, OFFSET_SPAN_S)
        ours_at, ours = bone_velocity(grid, bones, OFFSET_SPAN_S)
        late, correlation = camera_offset(seen_at, seen.reshape(len(seen), -1), ours_at, ours.reshape(len(ours), -1),
                                          step=0.01)
        if correlation >= OFFSET_SURE:
            self._finds += 1  # each sees other movement; they are averaged, the later ones a little more
            self.late += max(1 / self._finds, 0.2) * (late - self.late)

    def _faded(self, time: float, carried: Bool) -> tuple[Float64, Float64]:
        """Residuals (V, 2, 3) and their covariance (V, 2, 2) as they have become by ``time``."""
        passed = max(0.0, time - self._stepped) if math.isfinite(self._stepped) else 0.0
        spread = np.where(carried, self._spread, GUESSED[0])
        share = np.exp(-passed / np.where(carried, MEASURED[2], GUESSED[1]))
        residual = self._residual.copy()
        residual[:, 0] *= share[:, None]
        covariance = self._covariance.copy()
        covariance[:, 0, 0] = spread**2 + (covariance[:, 0, 0] - spread**2) * share**2
        covariance[:, 0, 1] *= share
        covariance[:, 1, 0] *= share
        return residual, covariance

    def _strangeness(self, person: Seen) -> float:
        """How unlikely a person is the wearer: the distance from where the wearer was; at first, how badly it is
        tracked."""
        if self._middle is None:
            return -float(person.confidence.sum())
        return float(np.linalg.norm(_middle(person) - self._middle))


def check_frame(frame: Frame, joints: int) -> None:
    """Raise InvalidClip where a camera's frame has another number of joints, or values that are none."""
    check_window(frame.joints[:, None], frame.confidence[:, None], "camera frame", (len(frame.joints), joints))


def _standing_bones(skeleton: Skeleton, a: NDArray[np.int64], b: NDArray[np.int64]) -> Float64:
    """(L, 3) from joints ``a`` to ``b`` in the N-pose, where segment axes and world axes are the same."""
    standing = np.zeros((len(PIECES), 4))
    standing[:, 0] = 1.0
    joints = skeleton.forward(standing)
    return joints[b] - joints[a]


def _middle(person: Seen) -> Float64:
    return np.asarray(np.average(person.joints, axis=0, weights=person.confidence), dtype=np.float64)
