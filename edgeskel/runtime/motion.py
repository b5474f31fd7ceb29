"""How much a body moves, and from when to when: finds the stretches of a live recording in which something is done.

Axes: M persons, V joints.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from edgeskel.runtime.snapshot import FieldType, array, optional, real, row, several, whole
from edgeskel.runtime.snapshot import frame as frame_of
from edgeskel.skeleton import FARTHEST_M, Float32, Frame, Topology

__all__ = ["MotionEnergy", "Segmenter", "SegmenterConfig", "Stretch"]


@dataclass(frozen=True)
class SegmenterConfig:
    """When a body counts as moving.

    The thresholds follow the source's own noise: what a still body's joints tremble, as the lowest tenth of the last
    seconds. All values were chosen on sequences of UTD-MHAD's training subjects and of synthetic motion, by the
    overlap of the stretches with the true spans.
    """

    start: float = 0.8
    """Torso lengths per second from which an action begins, at least."""
    stop: float = 0.35
    """Torso lengths per second under which the body counts as still, at least."""
    start_over_noise: float = 2.5
    """Times the noise from which an action begins."""
    stop_over_noise: float = 1.5
    """Times the noise under which the body counts as still."""
    noise_s: float = 20.0
    """Seconds over which the noise is judged."""
    least_noise_s: float = 2.0
    """Seconds that must have been seen before the noise is judged at all: a source may begin in the middle of an action."""
    most_noise: float = 0.8
    """Torso lengths per second: more than this is motion that goes on for long, not noise."""
    still_s: float = 0.3
    """Seconds of stillness that end an action."""
    margin_s: float = 0.3
    """Seconds kept before and after the motion, as a recorded clip has them."""
    shortest_s: float = 0.5
    """Seconds of motion under which it was a twitch."""
    longest_s: float = 6.0
    """Seconds after which an action is closed although the motion goes on."""


@dataclass(frozen=True)
class Stretch:
    """Frames in which somebody moved, oldest first, with the margin on both sides."""

    frames: tuple[Frame, ...]

    @property
    def start(self) -> float:
        """Seconds."""
        return self.frames[0].time

    @property
    def end(self) -> float:
        """Seconds."""
        return self.frames[-1].time


class MotionEnergy:
    """Speed of the fastest joints, in torso lengths per second; the largest over the persons.

    A depth camera's joints tremble, so positions are averaged over a few frames on both ends of a short lag. Few
    joints move in a gesture of one hand, so the mean is over the fastest, not over all.

    Args:
        topology: names hips and shoulders, which give the torso's length; 0.5 m without them.
        rate_hz: of the frames.
        persons: M, where it is known beforehand.
    """

    LAG_S = 0.2
    """Seconds between the two positions that are compared."""

    def __init__(self, topology: Topology, rate_hz: float, persons: int | None = None) -> None:
        self._persons = persons
        self._lag = max(1, round(self.LAG_S * rate_hz))
        self._mean = max(1, self._lag - 1)
        self.delay_s: float = (self._lag + self._mean - 1) / 2 / rate_hz
        self._per_second = rate_hz / self._lag
        self._frames: deque[tuple[float, Float32]] = deque(maxlen=self._lag + self._mean)
        """Time, and (M, V, 4): positions where a joint was seen, else 0, and whether it was."""
        self._size = len(topology.joints)
        self._fastest = max(1, round(0.15 * self._size))
        top = [topology.index(name) for name in ("left_shoulder", "right_shoulder") if name in topology.joints]
        bottom = [topology.index(name) for name in ("left_hip", "right_hip") if name in topology.joints]
        self._trunk = top + bottom if top and bottom else []
        upward = [1 / len(top)] * len(top) + [-1 / len(bottom)] * len(bottom) if self._trunk else []
        self._upward = np.array(upward, np.float32)  # middle of the shoulders less that of the hips
        self._torso: Float32 | None = None  # (M,) metres, slowly followed

    def state_fields(self) -> dict[str, FieldType | None]:
        """See :mod:`edgeskel.runtime.snapshot`."""
        seen = array(self._persons, self._size, 4, low=-FARTHEST_M, high=FARTHEST_M)
        return {"_frames": several(row(real(), seen), self._lag + self._mean),
                "_torso": optional(array(self._persons, low=0.1, high=2))}

    def contradiction(self) -> str | None:
        """What the fields cannot be together, if they are that."""
        return "frames without a torso" if self._frames and self._torso is None else None

    def push(self, frame: Frame) -> float:
        """Energy as of ``delay_s`` before this frame; 0 while too little was seen."""
        if self._frames and frame.time - self._frames[-1][0] > self.LAG_S:
            self._frames.clear()  # nothing is known of the time between
        seen = (frame.confidence > 0)[..., None]
        self._frames.append((frame.time, np.concatenate((np.where(seen, frame.joints, np.float32(0)), seen), axis=-1,
                                                        dtype=np.float32)))
        torso = self._measure(frame)
        if len(self._frames) < self._lag + self._mean:
            return 0.0
        places = [places for _, places in self._frames]
        before, after = sum(places[1 : self._mean], places[0]), sum(places[self._lag + 1 :], places[self._lag])
        counted = np.maximum(before[..., 3:], 1), np.maximum(after[..., 3:], 1)
        moved = after[..., :3] / counted[1] - before[..., :3] / counted[0]  # (M, V, 3) metres
        both = (before[..., 3] > 0) & (after[..., 3] > 0)
        speed = np.where(both, np.sqrt(np.einsum("mvc,mvc->mv", moved, moved)), np.float32(0)) * self._per_second
        fastest = np.sort(speed, axis=-1)[:, -self._fastest :].mean(axis=-1)  # (M,)
        return float((fastest / torso).max())

    def _measure(self, frame: Frame) -> Float32:
        """Length of each torso, (M,) metres."""
        if self._torso is None:
            self._torso = np.full(len(frame.joints), 0.5, np.float32)
        if self._trunk:
            across = self._upward @ frame.joints[:, self._trunk]  # (M, 3)
            for person in np.flatnonzero((frame.confidence[:, self._trunk] > 0).all(axis=1)):
                length = min(max(math.hypot(*across[person]), 0.2), 1.0)
                self._torso[person] += np.float32(0.1) * (np.float32(length) - self._torso[person])
        return self._torso


class Segmenter:
    """Cuts live frames into stretches of motion, with hysteresis.

    Args:
        topology, rate_hz: of the frames.
        config: thresholds.
        persons: M, where it is known beforehand.
    """

    def __init__(self, topology: Topology, rate_hz: float, config: SegmenterConfig | None = None,
                 persons: int | None = None) -> None:
        self.config: SegmenterConfig = config or SegmenterConfig()
        self.energy: float = 0.0
        """Of the latest frame."""
        self.noise: float = 0.0
        """Energy of a still body before this source, as judged so far."""
        self._motion = MotionEnergy(topology, rate_hz, persons)
        self._persons, self._size = persons, len(topology.joints)
        self._slack_s = 0.5 / rate_hz  # so that a duration of whole frames is not decided by the rounding of time stamps
        kept = self.config.longest_s + self.config.still_s + 2 * self.config.margin_s + 2 * self._motion.delay_s
        self._frames: deque[Frame] = deque(maxlen=round(kept * rate_hz) + 1)
        self._energies: deque[float] = deque(maxlen=max(1, round(self.config.noise_s * rate_hz)))
        self._least = max(1, round(min(self.config.least_noise_s, self.config.noise_s) * rate_hz))
        self._judge_every = max(1, round(rate_hz / 3))  # frames: noise changes slowly
        self._unjudged = 0
        self._began: float | None = None
        self._moved = 0.0  # when it last moved

    def state_fields(self) -> dict[str, FieldType | None]:
        """See :mod:`edgeskel.runtime.snapshot`."""
        energy, kept = real(0, math.inf), self._frames.maxlen or 0
        return {"energy": energy, "noise": real(0, self.config.most_noise), "_motion": None,
                "_frames": several(frame_of(self._persons, self._size), kept),
                "_energies": several(energy, self._energies.maxlen or 0), "_unjudged": whole(0),
                "_began": optional(real()), "_moved": real()}

    def contradiction(self) -> str | None:
        """What the fields cannot be together, if they are that."""
        times = [frame.time for frame in self._frames]
        if any(after <= before for before, after in zip(times, times[1:], strict=False)):
            return "frames whose time does not increase"
        if self._began is not None and not (times and times[0] <= self._began <= self._moved <= times[-1]):
            return f"motion from {self._began:g} to {self._moved:g} s, which no frame shows"
        return None

    @property
    def moving(self) -> bool:
        """Whether a stretch is open."""
        return self._began is not None

    @property
    def latest(self) -> float | None:
        """Time of the latest frame, in seconds."""
        return self._frames[-1].time if self._frames else None

    @property
    def began(self) -> float | None:
        """Seconds, when the motion of the open stretch began; None while none is open."""
        return self._began

    def push(self, frame: Frame) -> Stretch | None:
        """Take a frame; the stretch that it ends, if it ends one."""
        config = self.config
        self._frames.append(frame)
        self.energy = self._motion.push(frame)
        self._judge_noise()
        moment = frame.time - self._motion.delay_s
        if self._began is None:
            if self.energy > max(config.start, config.start_over_noise * self.noise):
                self._began = self._moved = moment
            return None
        if self.energy > max(config.stop, config.stop_over_noise * self.noise):
            self._moved = moment
        if max(moment - self._moved - config.still_s, moment - self._began - config.longest_s) > -self._slack_s:
            return self._close()
        return None

    def _judge_noise(self) -> None:
        if self.energy == 0:  # nobody, which is no noise
            return
        self._energies.append(self.energy)
        self._unjudged += 1
        if self._unjudged >= self._judge_every and len(self._energies) >= self._least:
            self._unjudged = 0
            self.noise = min(float(np.percentile(self._energies, 10)), self.config.most_noise)

    def open_stretch(self) -> Stretch | None:
        """What was seen so far of the stretch that is open."""
        if self._began is None:
            return None
        return self._cut(self._began, self._frames[-1].time)

    def finish(self) -> Stretch | None:
        """The source has ended: the stretch that was open, if it was long enough."""
        return self._close() if self._began is not None else None

    def _close(self) -> Stretch | None:
        began, self._began = self._began, None
        assert began is not None
        if self._moved - began < self.config.shortest_s - self._slack_s:
            return None
        return self._cut(began, self._moved)

    def _cut(self, start: float, end: float) -> Stretch:
        margin = self.config.margin_s + self._slack_s
        return Stretch(tuple(frame for frame in self._frames if start - margin <= frame.time <= end + margin))
