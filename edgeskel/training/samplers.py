"""Which clips an epoch draws, and in which order. A sampler is any function of this form; a recipe names one of ours.

Axes: N clips of the training part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import UnknownChoice

__all__ = ["SAMPLERS", "Sampler", "balanced", "sampler_named", "shuffle"]


class Sampler(Protocol):
    """Draws an epoch."""

    def __call__(self, labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """The clips of one epoch.

        Args:
            labels: (N,) class of each clip; -1 where it has none.
            rng: of this epoch; the only source of chance, so that a resumed training draws the same.

        Returns:
            (N',) places in 0 to N - 1, in the order in which they are shown; a place may come several times or not at all.
        """


def shuffle(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Every clip once."""
    order: NDArray[np.int64] = rng.permutation(len(labels))
    return order


def balanced(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """As many draws as there are clips, every class alike, its clips in turns."""
    classes = np.unique(labels)
    drawn = rng.permutation(np.resize(rng.permutation(classes), len(labels)))
    order = np.empty(len(labels), np.int64)
    for label in classes:
        places = np.flatnonzero(drawn == label)
        order[places] = np.resize(rng.permutation(np.flatnonzero(labels == label)), len(places))
    return order


SAMPLERS: Mapping[str, Sampler] = {"shuffle": shuffle, "balanced": balanced}


def sampler_named(name: str) -> Sampler:
    """One of ours. Raises ``UnknownChoice``."""
    if name not in SAMPLERS:
        raise UnknownChoice("sampler", name, tuple(SAMPLERS))
    return SAMPLERS[name]
