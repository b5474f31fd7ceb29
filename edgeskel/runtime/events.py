"""From scores to events: when an action began, when it ended, what it was and how sure that is.

Axes: K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgeskel.errors import UsageError
from edgeskel.runtime.motion import SegmenterConfig
from edgeskel.runtime.snapshot import FieldType, array, one_of, optional, whole
from edgeskel.skeleton import Float32

__all__ = ["UNKNOWN", "Event", "EventConfig", "Naming", "calibrated"]

UNKNOWN = "unknown"
"""Label of an action that is none of those the recogniser learned."""


@dataclass(frozen=True)
class Event:
    """Something that is known about an action; times in seconds on the source's clock.

    Args:
        kind: ``began`` (it goes on, and this is what it looks like), ``changed`` (it looks like something else now) or
            ``ended`` (this is what it was; the only event of an action that nothing was known of before).
        person: the number of who does it.
        label: what; :data:`UNKNOWN` where it is none of the known ones.
        confidence: calibrated probability of the likeliest class, 0..1.
        start: of the action.
        end: of the action; None while it goes on.
        time: of the frame that brought the event.
    """

    kind: str
    person: int
    label: str
    confidence: float
    start: float
    end: float | None
    time: float


@dataclass(frozen=True)
class EventConfig:
    """When scores become events."""

    temperature: float = 1.0
    """Logits are divided by it; from validation data."""
    threshold: float = 0.5
    """Calibrated probability under which an ended action is unknown; from validation data."""
    begin: float = 0.7
    """Calibrated probability from which an action that goes on is named."""
    confirm: int = 2
    """Answers of the recogniser that must agree before an action that goes on is named, or named anew."""
    smoothing: float = 0.5
    """Share of the earlier answers in each; 0 takes each as it is."""
    segmenter: SegmenterConfig = field(default_factory=SegmenterConfig)
    """When a body counts as moving."""

    def __post_init__(self) -> None:
        for name in ("threshold", "begin", "smoothing"):
            if not 0 <= getattr(self, name) <= 1:  # also false for NaN
                raise UsageError(f"a {name} of {getattr(self, name):g}", expected="0 to 1")
        if not 0 < self.temperature < float("inf"):
            raise UsageError(f"a temperature of {self.temperature:g}", expected="a number above 0")
        if self.confirm < 1:
            raise UsageError(f"confirm is {self.confirm}", expected="at least 1")


def calibrated(probabilities: Float32, temperature: float) -> Float32:
    """(..., K) as if the logits had been divided by ``temperature`` (Guo et al. 2017, arXiv 1706.04599).

    In double precision and with the largest logit at 0: every machine, and the phone packages, round to the same float32, and no
    temperature however low loses all of them.
    """
    if temperature == 1:
        return probabilities
    logits = np.log(np.maximum(probabilities, np.float32(1e-30)), dtype=np.float64)
    powers = np.exp((logits - logits.max(-1, keepdims=True)) / temperature)
    scaled: Float32 = (powers / powers.sum(-1, keepdims=True)).astype(np.float32)
    return scaled


class Naming:
    """The name of the action that goes on, with hysteresis.

    An action is named once ``confirm`` answers in a row agree on a class that reaches ``begin``; it keeps that name until as
    many agree on another one. What it is called in the end is decided by the last answer alone, and by ``threshold``.

    Args:
        labels: K class names.
        config: see :class:`EventConfig`.
    """

    labels: tuple[str, ...]
    config: EventConfig

    def __init__(self, labels: tuple[str, ...], config: EventConfig) -> None:
        self.labels, self.config = labels, config
        self.clear()

    def state_fields(self) -> dict[str, FieldType | None]:
        """See :mod:`edgeskel.runtime.snapshot`."""
        classes = len(self.labels)
        return {"label": one_of((None, *self.labels)), "smooth": optional(array(classes, low=-1e-3, high=1 + 1e-3)),
                "_leader": whole(-1, classes - 1), "_agreed": whole(0)}

    def clear(self) -> None:
        """The next action is another one."""
        self.label: str | None = None
        self.smooth: Float32 | None = None
        self._leader = -1
        self._agreed = 0

    def push(self, probabilities: Float32) -> tuple[str, float] | None:
        """Take an answer, (K,) calibrated; the label and its probability when they are new."""
        kept = np.float32(self.config.smoothing)
        self.smooth = probabilities if self.smooth is None else kept * self.smooth + (1 - kept) * probabilities
        leader = int(np.argmax(self.smooth))
        sure = float(self.smooth[leader])
        if sure < self.config.begin:
            self._agreed = 0
            return None
        self._agreed = self._agreed + 1 if leader == self._leader else 1
        self._leader = leader
        if self._agreed < self.config.confirm or self.labels[leader] == self.label:
            return None
        self.label = self.labels[leader]
        return self.label, sure

    def final(self, probabilities: Float32) -> tuple[str, float]:
        """What an action was that ended with this answer, (K,) calibrated."""
        best = int(np.argmax(probabilities))
        sure = float(probabilities[best])
        return (self.labels[best] if sure >= self.config.threshold else UNKNOWN), sure
