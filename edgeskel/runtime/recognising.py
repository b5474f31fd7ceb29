"""The two ways to recognise live: a window again and again, or frame by frame. Both answer in the same form.

Axes: M persons, T frames, V joints, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from edgeskel.runtime.motion import Segmenter, Stretch
from edgeskel.runtime.stepping import Memory, Stepper
from edgeskel.skeleton import Float32, Frame

__all__ = ["ByFrame", "ByWindow", "Recognising"]

Answer = tuple[Float32, Float32]
"""Probabilities (K,) and embedding (D,)."""


class Recognising(Protocol):
    """What one person (or one scene) is recognised with."""

    def push(self, frame: Frame, segmenter: Segmenter) -> Answer | None:
        """Take a frame at the recogniser's rate, (M, V, 3), which ``segmenter`` has seen; an answer when one is due."""

    def final(self, stretch: Stretch) -> Answer | None:
        """The answer for an action that has ended."""


class ByWindow:
    """Recognises the stretch of motion so far every ``hop`` frames, and all of it when it has ended.

    Args:
        recognise: (M, T, V, 3) joints and (M, T, V) confidence of a clip -> answer.
        hop: frames.
    """

    REMEMBERS = ("waiting",)

    def __init__(self, recognise: Callable[[Float32, Float32], Answer], hop: int) -> None:
        self._recognise, self._hop = recognise, hop
        self.waiting = 0

    def push(self, frame: Frame, segmenter: Segmenter) -> Answer | None:
        self.waiting += 1
        if not segmenter.moving or self.waiting < self._hop:
            return None
        self.waiting = 0
        stretch = segmenter.open_stretch()
        return None if stretch is None else self.final(stretch)

    def final(self, stretch: Stretch) -> Answer | None:
        joints = np.stack([frame.joints for frame in stretch.frames], axis=1)
        confidence = np.stack([frame.confidence for frame in stretch.frames], axis=1)
        return self._recognise(joints, confidence) if confidence.any() else None


class ByFrame:
    """Steps through the frames; what an action was is what the last step inside it said.

    Args:
        stepper: the step artifact.
    """

    REMEMBERS = ("memory", "answers")

    def __init__(self, stepper: Stepper) -> None:
        self._stepper = stepper
        self.memory: Memory = stepper.fresh()
        self.answers: list[tuple[float, Float32, Float32]] = []
        """Time, probabilities and embedding of the latest steps."""

    def push(self, frame: Frame, segmenter: Segmenter) -> Answer | None:
        answer = self._stepper.push(self.memory, frame.joints[0], frame.confidence[0])
        if answer is None:
            return None
        self.answers = [*self.answers[-_KEPT:], (frame.time, *answer)]
        return answer if segmenter.moving else None

    def final(self, stretch: Stretch) -> Answer | None:
        return _latest_until(self.answers, stretch.end)


_KEPT = 15  # the end of a stretch is known half a second late; at 30 Hz and two frames a step that is 8 steps


def _latest_until(answers: Sequence[tuple[float, Float32, Float32]], time: float) -> Answer | None:
    for moment, probabilities, embedding in reversed(answers):
        if moment <= time:
            return probabilities, embedding
    return (answers[-1][1], answers[-1][2]) if answers else None
