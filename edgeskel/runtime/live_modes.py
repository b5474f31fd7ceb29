"""The two ways to recognise live: a window again and again, or frame by frame. Both answer in the same form.

Axes: M persons, T frames, V joints, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from edgeskel.runtime.motion import Segmenter, Stretch
from edgeskel.runtime.snapshot import FieldType, array, optional, real, row, several, whole
from edgeskel.runtime.snapshot import frame as frame_of
from edgeskel.runtime.step_artifact import Stepper, StreamState
from edgeskel.skeleton import Float32, Frame

__all__ = ["Streaming", "SlidingWindow", "LiveMode"]

Answer = tuple[Float32, Float32]
"""Probabilities (K,) and embedding (D,)."""


class LiveMode(Protocol):
    """What one person (or one scene) is recognised with."""

    def state_fields(self) -> dict[str, FieldType | None]:
        """See :mod:`edgeskel.runtime.snapshot`."""

    def push(self, frame: Frame, segmenter: Segmenter) -> Answer | None:
        """Take a frame at the recogniser's rate, (M, V, 3), which ``segmenter`` has seen; an answer when one is due."""

    def final(self, stretch: Stretch) -> Answer | None:
        """The answer for an action that has ended."""


class SlidingWindow:
    """Recognises the stretch of motion so far every ``hop`` frames, and all of it when it has ended.

    Args:
        recognise: (M, T, V, 3) joints and (M, T, V) confidence of a clip -> answer.
        hop: frames.
    """

    def __init__(self, recognise: Callable[[Float32, Float32], Answer], hop: int) -> None:
        self._recognise, self._hop = recognise, hop
        self.waiting: int = 0

    def state_fields(self) -> dict[str, FieldType | None]:
        """See :mod:`edgeskel.runtime.snapshot`."""
        return {"waiting": whole(0)}

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


class Streaming:
    """Steps through the frames of an action, from the moment of rest before it on; what it was is what the last step inside
    it said.

    Every action is seen by somebody without a past: what was done before would linger in the state, and an answer would
    depend on it. So the answer to an action is that of :meth:`edgeskel.runtime.Session.watch` to a recording of it, and a
    body that stands still costs nothing. The moment before the motion is known to be one is caught up with in a few frames,
    two steps in each, so that no frame takes long.

    Args:
        stepper: the step artifact.
        classes: K.
    """

    def __init__(self, stepper: Stepper, classes: int) -> None:
        self._stepper, self._classes = stepper, classes
        self.memory: StreamState = stepper.fresh()
        self.answers: list[tuple[float, Float32, Float32]] = []
        """Time, probabilities and embedding of the latest steps of this action."""
        self.waiting: list[Frame] = []
        """Frames of this action that were not stepped through yet."""
        self.began: float | None = None
        """Which action this is."""

    def state_fields(self) -> dict[str, FieldType | None]:
        """See :mod:`edgeskel.runtime.snapshot`."""
        answer = row(real(), array(self._classes, low=0, high=1 + 1e-3), array(None))
        return {"memory": None, "answers": several(answer, _KEPT + 1), "began": optional(real()),
                "waiting": several(frame_of(1, self._stepper.joints), _MOST_WAITING)}

    def contradiction(self) -> str | None:
        """What the fields cannot be together, if they are that."""
        return "answers of several sizes" if len({(len(a), len(b)) for _, a, b in self.answers}) > 1 else None

    def push(self, frame: Frame, segmenter: Segmenter) -> Answer | None:
        if not segmenter.moving:
            return None
        if segmenter.began == self.began:
            self.waiting.append(frame)
        else:
            stretch = segmenter.open_stretch()
            assert stretch is not None
            self.memory, self.answers, self.waiting = self._stepper.fresh(), [], list(stretch.frames)
            self.began = segmenter.began
        return self._catch_up(2 * self._stepper.form.frames)

    def final(self, stretch: Stretch) -> Answer | None:
        self._catch_up(len(self.waiting))
        return _latest_until(self.answers, stretch.end)

    def _catch_up(self, most: int) -> Answer | None:
        """Step through ``most`` of the frames that wait; the newest answer, if there is one."""
        answer = None
        for frame in self.waiting[:most]:
            found = self._stepper.push(self.memory, frame.joints[0], frame.confidence[0])
            if found is not None:
                answer = found
                self.answers = [*self.answers[-_KEPT:], (frame.time, *found)]
        del self.waiting[:most]
        return answer


_MOST_WAITING = 4096
_KEPT = 15  # the end of a stretch is known half a second late; at 30 Hz and two frames a step that is 8 steps


def _latest_until(answers: Sequence[tuple[float, Float32, Float32]], time: float) -> Answer | None:
    for moment, probabilities, embedding in reversed(answers):
        if moment <= time:
            return probabilities, embedding
    return (answers[-1][1], answers[-1][2]) if answers else None
