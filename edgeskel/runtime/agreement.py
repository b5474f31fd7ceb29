"""Whether the events of a recording fit what is known to have been performed in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgeskel.runtime.events import UNKNOWN, Event

__all__ = ["PerformedAction", "agreement", "named"]


@dataclass(frozen=True)
class PerformedAction:
    """One recognised action; times in seconds on the source's clock."""

    start: float
    end: float
    label: str
    probability: float


def named(events: Iterable[Event]) -> list[PerformedAction]:
    """The actions that have ended and were given a label."""
    return [PerformedAction(event.start, event.end, event.label, event.confidence)
            for event in events if event.kind == "ended" and event.end is not None and event.label != UNKNOWN]


def agreement(spans: Sequence[tuple[float, float, str]], actions: Sequence[PerformedAction]) -> float | None:
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
    answers: dict[int, PerformedAction] = {}
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
