"""A running recogniser with its state: clips or live frames in, recognitions out. Numpy and one engine.

Axes: P persons in a frame, M persons, T frames of a clip, S frames of the window, V joints, K classes, D width of the
embedding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edgeskel.errors import EngineError, InvalidClip, TopologyMismatch
from edgeskel.runtime.bundle import Window
from edgeskel.runtime.engines import Engine
from edgeskel.runtime.timeline import Resampler, Ring
from edgeskel.runtime.tracking import Slots
from edgeskel.skeleton import Float32, Frame, Topology, check_window
from edgeskel.window import fit_window

__all__ = ["Recognition", "Session"]


@dataclass(frozen=True)
class Recognition:
    """What one window shows.

    Args:
        label: the most probable class.
        probability: of that class.
        probabilities: (K,).
        embedding: (D,).
        time: seconds, the end of the window on the source's clock; None for a clip.
    """

    label: str
    probability: float
    probabilities: Float32 = field(repr=False)
    embedding: Float32 = field(repr=False)
    time: float | None = None


class Session:
    """Recognises clips (:meth:`recognise`) and live frames (:meth:`push`).

    Args:
        engine: runs one window.
        topology: the layout of the joints that it takes.
        labels: K class names.
        window: M, S, rate and hop.
    """

    def __init__(self, engine: Engine, topology: Topology, labels: Sequence[str], window: Window) -> None:
        self.engine = engine
        self.topology = topology
        self.labels = tuple(labels)
        self.window = window
        self.reset()

    def reset(self) -> None:
        """Forget the live frames: a source starts anew, its clock may start anew too."""
        self._slots = Slots(self.window.persons, self.topology)
        self._resampler = Resampler(self.window.rate_hz)
        self._ring = Ring(self.window.persons, self.window.frames, len(self.topology.joints))
        self._latest = -math.inf
        self._waiting = 0  # frames since the last recognition

    def check_topology(self, topology: Topology) -> None:
        """Refuse a source of another layout.

        Raises:
            TopologyMismatch: joints differ in name, number or order.
        """
        if topology.joints != self.topology.joints:
            raise TopologyMismatch(
                f"frames have the {len(topology.joints)} joints of {topology.name}",
                expected=f"the {len(self.topology.joints)} of {self.topology.name}",
                remedy=f"remap the source to {self.topology.name}, or use a model of its own layout",
            )

    def recognise(self, joints: Float32, confidence: Float32 | None = None) -> Recognition:
        """Recognise one clip, stretched to the window as in training.

        Args:
            joints: (P, T, V, 3) metres, any T and P.
            confidence: (P, T, V) in 0..1; None means that all joints were seen.

        Raises:
            InvalidClip: the clip breaks the contract, or nothing is seen in it.
            TopologyMismatch: another number of joints.
        """
        joints = np.asarray(joints, dtype=np.float32)
        seen = np.ones(joints.shape[:3], np.float32) if confidence is None else np.asarray(confidence, np.float32)
        check_window(joints, seen, "clip")
        self._check_size(joints.shape[2])
        if not (seen > 0).any():
            raise InvalidClip("clip: every joint is missing", expected="somebody to recognise")
        window, window_confidence = fit_window(joints, seen, self.window.persons, self.window.frames)
        return self._run(window[None], window_confidence[None])

    def push(self, frame: Frame) -> Recognition | None:
        """Take a live frame; every ``hop`` frames of the window's clock, recognise the last S of them.

        Frames may come at any rate and with jitter. Until S have been seen, the graph stretches those that there are.
        None in between, and while nobody is in the window.

        Args:
            frame: of one instant, (P, V, 3), any P, later than the one before.

        Raises:
            InvalidClip: the frame breaks the contract, or its time does not increase.
            TopologyMismatch: another number of joints.
        """
        due = False
        for settled in self.settle(frame):
            self._waiting += 1
            if self._waiting >= self.window.hop:
                self._waiting, due = 0, True
            time = settled.time
        if not due:
            return None
        joints, confidence = self._ring.window()
        return self._run(joints, confidence, time) if confidence.any() else None

    def settle(self, frame: Frame) -> list[Frame]:
        """Take a live frame into the window without recognising; see :meth:`push`.

        Returns:
            the frames that it settled, at the window's rate, M persons in their slots.
        """
        self._check(frame)
        if frame.time - self._latest > self.window.frames / self.window.rate_hz:
            self.reset()  # nothing of what was seen before the pause is in the window any more
        self._latest = frame.time
        placed, fresh = self._slots.assign(frame)
        for slot in np.flatnonzero(fresh):
            self._ring.forget(int(slot))
        settled = list(self._resampler.push(placed, fresh))
        for item in settled:
            self._ring.push(item)
        return settled

    def _check(self, frame: Frame) -> None:
        if not math.isfinite(frame.time) or frame.time <= self._latest:
            raise InvalidClip(
                f"a frame of time {frame.time} s follows one of {self._latest} s",
                expected="time that increases",
                remedy="call reset() when a source starts again",
            )
        if len(frame.joints):
            check_window(frame.joints[:, None], frame.confidence[:, None], f"frame at {frame.time:.3f} s")
            self._check_size(frame.joints.shape[1])

    def _check_size(self, joints: int) -> None:
        if joints != len(self.topology.joints):
            raise TopologyMismatch(
                f"{joints} joints",
                expected=f"the {len(self.topology.joints)} of {self.topology.name}",
                remedy="remap them by name first: edgeskel.topologies.remap",
            )

    def _run(self, joints: Float32, confidence: Float32, time: float | None = None) -> Recognition:
        probabilities, embedding = self.engine(joints, confidence)
        if not np.isfinite(probabilities).all():
            raise EngineError(
                f"{self.engine.name} answered with non-finite probabilities",
                expected="values in 0..1",
                remedy="run: edgeskel verify BUNDLE",
            )
        best = int(np.argmax(probabilities))
        return Recognition(self.labels[best], float(probabilities[best]), probabilities, embedding, time)
