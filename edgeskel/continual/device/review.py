"""How well a learned action will be recognised, judged by its demonstrations alone: each is left out in turn, and the learner asked
what it is.

Nothing else is at hand on a device. It flatters a little, since the others are often of the same person and place.

Axes: N demonstrations, D width of the embedding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgeskel.continual.device.learner import DEFAULT, create
from edgeskel.continual.device.whitened_cosine import Space
from edgeskel.embedding.statistics import ClassStatistics
from edgeskel.skeleton import Float32

__all__ = ["Review", "review"]

ALIKE = 0.12
"""Mean cosine to the other demonstrations under which one does not resemble them. On five data sets 95 in 100 draws of five
different actions stay under it, and nearly all draws of one action lie over 0.3."""
MUTUAL = 0.3
"""Mean cosine between the other demonstrations from which a single one that is unlike them is the odd one."""
ENOUGH = 0.8
"""Share of the demonstrations that should be recognised when they are left out."""
MOST_HELPFUL = 8
"""Demonstrations beyond which one more hardly moves the mean."""


@dataclass(frozen=True)
class Review:
    """What leaving each demonstration out in turn shows.

    Args:
        label: the action.
        demonstrations: N.
        recognised: how many of them were recognised when they were left out; None for a single one, which says nothing.
        probability: mean probability that they were given to be this action; None likewise.
        mistaken_for: label -> how many were taken for it.
        resemblance: mean cosine between them; None for a single one.
        odd: indices of those that do not resemble the others.
    """

    label: str
    demonstrations: int
    recognised: int | None
    probability: float | None
    mistaken_for: Mapping[str, int]
    resemblance: float | None
    odd: tuple[int, ...]

    @property
    def alike(self) -> bool:
        """Whether the demonstrations look like one action."""
        return self.resemblance is None or self.resemblance >= ALIKE

    @property
    def sure(self) -> bool:
        """Whether enough of them are recognised."""
        return self.recognised is not None and self.recognised >= ENOUGH * self.demonstrations

    @property
    def another_helps(self) -> bool:
        """Whether one more demonstration pays: too few are recognised, they are of one action, and there are not many yet."""
        return self.alike and not self.odd and not self.sure and self.demonstrations < MOST_HELPFUL

    def warnings(self) -> list[str]:
        """What the user should know, in words."""
        found = []
        if not self.alike:
            found.append(f"the {self.demonstrations} demonstrations of {self.label!r} do not resemble each other: are they all of "
                         "one action, and was the right person seen?")
        found += [f"demonstration {index + 1} of {self.label!r} does not resemble the others" for index in self.odd if self.alike]
        if self.recognised is not None and not self.sure:
            taken = ", ".join(f"{label!r} ({count})" for label, count in Counter(self.mistaken_for).most_common(3))
            found.append(f"{self.recognised} of the {self.demonstrations} demonstrations of {self.label!r} are recognised from the "
                         f"others; the rest are taken for {taken}")
        return found


def review(knowledge: ClassStatistics, shown: Sequence[tuple[str, Float32]], label: str, learner: str = DEFAULT) -> Review:
    """Leave each demonstration of ``label`` out in turn.

    Args:
        knowledge: of the recogniser.
        shown: (label, (D,) embedding) of everything that is learned, in its order.
        label: the action that is judged.
        learner: which one is asked.

    Raises:
        UnknownChoice: no such learner.
    """
    own = [index for index, (name, _) in enumerate(shown) if name == label]
    if len(own) < 2:
        return Review(label, len(own), None, None, {}, None, ())
    answers: list[str] = []
    given: list[float] = []
    for left_out in own:
        taught = create(learner, knowledge)
        for index, (name, embedding) in enumerate(shown):
            if index != left_out:
                taught.learn(embedding, name)
        probabilities = taught.predict(shown[left_out][1])
        answers.append(taught.labels[int(probabilities.argmax())])
        given.append(float(probabilities[taught.labels.index(label)]))
    mistaken = Counter(answer for answer in answers if answer != label)
    directions = Space.of(knowledge, np.zeros((0, knowledge.width), np.float32)).directions(
        np.stack([shown[index][1][: knowledge.width] for index in own]))
    alike = directions @ directions.T
    return Review(label, len(own), answers.count(label), float(np.mean(given)), dict(mistaken),
                  _mean_of_pairs(alike), _odd(alike))


def _mean_of_pairs(alike: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
    return float(alike[~np.eye(len(alike), dtype=bool)].mean())


def _odd(alike: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> tuple[int, ...]:
    """Those that are unlike the others, where the others are like each other."""
    count = len(alike)
    if count < 3:
        return ()
    to_others = (alike.sum(1) - 1) / (count - 1)
    odd = np.flatnonzero(to_others < ALIKE)
    others = np.setdiff1d(np.arange(count), odd)
    if len(others) < 2 or _mean_of_pairs(alike[np.ix_(others, others)]) < MUTUAL:
        return ()
    return tuple(int(index) for index in odd)
