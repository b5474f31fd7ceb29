"""Whether the recordings of one store come at one rate."""

from __future__ import annotations

from collections import Counter

import numpy as np

from edgeskel.data.notes import Notes
from edgeskel.skeleton import Clip

__all__ = ["Rates", "differing", "rate_of"]

SAME = 1.25  # two rates within this factor are one: clocks are cheap, and a few frames get lost


class Rates:
    """The rates of the clips of an import. ``nominal`` is the store's, Hz."""

    def __init__(self, nominal: float) -> None:
        self._nominal = nominal
        self._found: Counter[float] = Counter()
        self._first: dict[float, str] = {}

    def add(self, clip: Clip) -> None:
        """Count a clip; one of a single frame has no rate."""
        rate = rate_of(clip)
        if rate:
            self._found[rate] += 1
            self._first.setdefault(rate, clip.source)

    def note(self, notes: Notes) -> None:
        """Say so where clips differ from one another, or from the store's rate."""
        groups = differing(self._found)
        if len(groups) > 1:
            told = ", ".join(f"{count} clips at about {rate:g} Hz (such as {self._first[rate]})" for rate, count in groups)
            notes.add(f"recordings of different rates are in one store: {told}; its nominal rate is {self._nominal:g} Hz")
        elif groups and self._nominal and not 1 / SAME <= groups[0][0] / self._nominal <= SAME:
            notes.add(f"the recordings' own clock says about {groups[0][0]:g} Hz, the nominal rate is "
                      f"{self._nominal:g} Hz: their own clock counts")


def rate_of(clip: Clip) -> float:
    """Frames per second by the median step of its clock, three digits; 0 for a single frame."""
    return float(f"{1 / float(np.median(np.diff(clip.time))):.3g}") if clip.frames > 1 else 0.0


def differing(rates: Counter[float]) -> list[tuple[float, int]]:
    """(rate, clips) of each group of rates that are about the same, the largest group first; its rate is its commonest."""
    groups: list[Counter[float]] = []
    for rate in sorted(rates):
        if groups and rate <= min(groups[-1]) * SAME:
            groups[-1][rate] = rates[rate]
        else:
            groups.append(Counter({rate: rates[rate]}))
    found = [(group.most_common(1)[0][0], group.total()) for group in groups]
    return sorted(found, key=lambda group: -group[1])
