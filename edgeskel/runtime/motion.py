"""How much a body moves, and from when to when: finds the stretches of a live recording in which something is done.

Axes: M persons, V joints.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from edgeskel.skeleton import Float32, Frame, Topology

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
    """

    REMEMBERS = ("_frames", "_torso")
    LAG_S = 0.2
    """Seconds between the two positions that are compared."""

    def __init__(self, topology: Topology, rate_hz: float) -> None:
        self._lag = max(1, round(self.LAG_S * rate_hz))
        self._mean = max(1, self._lag - 1)
        self.delay_s = (self._lag + self._mean - 1) / 2 / rate_hz
        self._per_second = rate_hz / self._lag
        self._frames: deque[Frame] = deque(maxlen=self._lag + self._mean)
        self._fastest = max(1, round(0.15 * len(topology.joints)))
        self._top = [topology.index(name) for name in ("left_shoulder", "right_shoulder") if name in topology.joints]
        self._bottom = [topology.index(name) for name in ("left_hip", "right_hip") if name in topology.joints]
        self._torso: Float32 | None = None  # (M,) metres, slowly followed

    def push(self, frame: Frame) -> float:
        """Energy as of ``delay_s`` before this frame; 0 while too little was seen."""
        if self._frames and frame.time - self._frames[-1].time > self.LAG_S:
            self._frames.clear()  # nothing is known of the time between
        self._frames.append(frame)
        self._measure(frame)
        frames = list(self._frames)
        if len(frames) < self._lag + self._mean:
            return 0.0
        before, seen_before = _average(frames[: self._mean])
        after, seen_after = _average(frames[-self._mean :])
        speed = np.linalg.norm(after - before, axis=-1) * self._per_second  # (M, V)
        speed = np.where(seen_before & seen_after, speed, 0)
        fastest = np.sort(speed, axis=-1)[:, -self._fastest :].mean(axis=-1)  # (M,)
        assert self._torso is not None
        return float((fastest / self._torso).max())

    def _measure(self, frame: Frame) -> None:
        if self._torso is None:
            self._torso = np.full(len(frame.joints), 0.5, np.float32)
        if not self._top or not self._bottom:
            return
        needed = self._top + self._bottom
        for person in range(len(frame.joints)):
            if (frame.confidence[person, needed] > 0).all():
                joints = frame.joints[person]
                length = np.linalg.norm(joints[self._top].mean(0) - joints[self._bottom].mean(0))
                self._torso[person] += 0.1 * (np.clip(length, 0.2, 1.0) - self._torso[person])


def _average(frames: list[Frame]) -> tuple[Float32, np.ndarray[tuple[int, int], np.dtype[np.bool_]]]:
    """(M, V, 3) mean position over the frames in which a joint was seen, and whether it was."""
    weight = np.stack([frame.confidence > 0 for frame in frames]).astype(np.float32)[..., None]
    joints = np.where(weight > 0, np.stack([frame.joints for frame in frames]), 0)
    total = weight.sum(axis=0)
    return joints.sum(axis=0) / np.maximum(total, 1), total[..., 0] > 0


class Segmenter:
    """Cuts live frames into stretches of motion, with hysteresis.

    Args:
        topology, rate_hz: of the frames.
        config: thresholds.
    """

    REMEMBERS = ("energy", "noise", "_motion", "_frames", "_energies", "_unjudged", "_began", "_moved")

    def __init__(self, topology: Topology, rate_hz: float, config: SegmenterConfig | None = None) -> None:
        self.config = config or SegmenterConfig()
        self.energy = 0.0
        """Of the latest frame."""
        self.noise = 0.0
        """Energy of a still body before this source, as judged so far."""
        self._motion = MotionEnergy(topology, rate_hz)
        self._rate_hz = rate_hz
        kept = self.config.longest_s + self.config.still_s + 2 * self.config.margin_s + 2 * self._motion.delay_s
        self._frames: deque[Frame] = deque(maxlen=round(kept * rate_hz) + 1)
        self._energies: deque[float] = deque(maxlen=max(1, round(self.config.noise_s * rate_hz)))
        self._judge_every = max(1, round(rate_hz / 3))  # frames: noise changes slowly
        self._unjudged = 0
        self._began: float | None = None
        self._moved = 0.0  # when it last moved

    @property
    def moving(self) -> bool:
        """Whether a stretch is open."""
        return self._began is not None

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
        if moment - self._moved >= config.still_s or moment - self._began >= config.longest_s:
            return self._close()
        return None

    def _judge_noise(self) -> None:
        if self.energy == 0:  # nobody, which is no noise
            return
        self._energies.append(self.energy)
        self._unjudged += 1
        if self._unjudged >= self._judge_every or len(self._energies) < self._judge_every:
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
        if self._moved - began < self.config.shortest_s:
            return None
        return self._cut(began, self._moved)

    def _cut(self, start: float, end: float) -> Stretch:
        margin = self.config.margin_s + 0.5 / self._rate_hz
        return Stretch(tuple(frame for frame in self._frames if start - margin <= frame.time <= end + margin))
