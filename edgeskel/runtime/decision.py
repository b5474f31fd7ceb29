"""From live frames to a list of actions: what was done, from when to when.

Recognisers are trained on clips that hold one whole action. So live frames are cut where the body is still, and each
stretch of motion is recognised as one clip; while it lasts, a provisional recognition is smoothed over the hops.
"No action" is a still body, or a stretch whose best class stays under the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edgeskel.errors import UsageError
from edgeskel.runtime.motion import Segmenter, SegmenterConfig, Stretch
from edgeskel.runtime.session import Recognition, Session
from edgeskel.skeleton import Frame

__all__ = ["Action", "DecisionConfig", "Spotter", "agreement"]


@dataclass(frozen=True)
class Action:
    """One recognised stretch; times in seconds on the source's clock."""

    start: float
    end: float
    label: str
    probability: float


@dataclass(frozen=True)
class DecisionConfig:
    """When a recognition counts."""

    threshold: float = 0.5
    """Probability under which a stretch is no action: more than one half can belong to one class only."""
    smoothing: float = 0.5
    """Share of the earlier hops in the provisional recognition; 0 shows each hop as it is."""
    segmenter: SegmenterConfig = field(default_factory=SegmenterConfig)
    """When a body counts as moving."""

    def __post_init__(self) -> None:
        for name, value in (("threshold", self.threshold), ("smoothing", self.smoothing)):
            if not 0 <= value <= 1:  # also false for NaN
                raise UsageError(f"a {name} of {value:g}", expected="0 to 1")


class Spotter:
    """Finds and names the actions in live frames.

    Args:
        session: recognises the stretches; its live state is used.
        config: thresholds.
    """

    def __init__(self, session: Session, config: DecisionConfig | None = None) -> None:
        self.session = session
        self.config = config or DecisionConfig()
        self.reset()

    def reset(self) -> None:
        """Start anew, the session with it."""
        self.session.reset()
        self.segmenter = Segmenter(self.session.topology, self.session.window.rate_hz, self.config.segmenter)
        self.current: Recognition | None = None
        """The provisional recognition of the stretch that is open; None while the body is still."""
        self._waiting = 0

    def push(self, frame: Frame) -> Action | None:
        """Take a frame; the action that it ends, if it ends one. Errors as :meth:`Session.push`."""
        action = None
        for settled in self.session.settle(frame):
            stretch = self.segmenter.push(settled)
            self._waiting += 1
            if stretch is not None:
                action = self._decide(stretch)
        if not self.segmenter.moving:
            self.current = None
        elif self._waiting >= self.session.window.hop:
            self._waiting = 0
            self._provide()
        return action

    def finish(self) -> Action | None:
        """The source has ended: the action that was going on, if one was."""
        stretch = self.segmenter.finish()
        self.current = None
        return None if stretch is None else self._decide(stretch)

    def _provide(self) -> None:
        stretch = self.segmenter.open_stretch()
        latest = None if stretch is None else self._recognise(stretch)
        if latest is None or self.current is None:
            self.current = latest
            return
        kept = self.config.smoothing
        probabilities = kept * self.current.probabilities + (1 - kept) * latest.probabilities
        best = int(np.argmax(probabilities))
        self.current = replace(
            latest, label=self.session.labels[best], probability=float(probabilities[best]), probabilities=probabilities
        )

    def _decide(self, stretch: Stretch) -> Action | None:
        recognition = self._recognise(stretch)
        if recognition is None or recognition.probability < self.config.threshold:
            return None
        return Action(stretch.start, stretch.end, recognition.label, recognition.probability)

    def _recognise(self, stretch: Stretch) -> Recognition | None:
        """(M, T, V, 3) of the stretch as one clip; None when nobody is seen in it."""
        joints = np.stack([frame.joints for frame in stretch.frames], axis=1)
        confidence = np.stack([frame.confidence for frame in stretch.frames], axis=1)
        if not confidence.any():
            return None
        return replace(self.session.recognise(joints, confidence), time=stretch.end)


def agreement(spans: Sequence[tuple[float, float, str]], actions: Sequence[Action]) -> float | None:
    """Share of the labelled spans that were recognised: found once, by an action of the same label.

    An action answers for the span that it overlaps most, if the overlap is at least half of the shorter of the two.

    Args:
        spans: (start_s, end_s, label) of what was performed.
        actions: what was recognised.

    Returns:
        0..1; None when there are no spans.
    """
    if not spans:
        return None
    answers: dict[int, Action] = {}
    for action in actions:
        overlaps = [max(0.0, min(end, action.end) - max(start, action.start)) for start, end, _ in spans]
        best = int(np.argmax(overlaps))
        start, end, _ = spans[best]
        if overlaps[best] < 0.5 * min(end - start, action.end - action.start):
            continue
        if best not in answers or action.end - action.start > answers[best].end - answers[best].start:
            answers[best] = action
    right = sum(answer.label == spans[index][2] for index, answer in answers.items())
    return right / len(spans)
