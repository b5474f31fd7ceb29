"""Nearest class mean: a label is the mean of its demonstrations, and the nearest mean wins.

The cheapest learner, and exact to forget. Distances count all directions alike, in units of the spread within a class.

Axes: N embeddings, K classes of the recogniser, L learned labels, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.continual.device.learner import Learner, softness
from edgeskel.embedding.statistics import ClassStatistics
from edgeskel.skeleton import Float32

__all__ = ["Means", "NearestMean"]


class Means:
    """Running mean and count of each learned label.

    Args:
        width: D.
    """

    values: NDArray[np.float32]
    counts: NDArray[np.int64]

    def __init__(self, width: int) -> None:
        self.values = np.zeros((0, width), np.float32)
        """(L, D)."""
        self.counts = np.zeros(0, np.int64)
        """(L,)."""

    def add(self, index: int, embedding: Float32) -> NDArray[np.float64]:
        """Take an embedding of the label at ``index``, which may be the next one.

        Returns:
            (D,) how far it was from the mean so far; 0 for the first one.
        """
        if index == len(self.counts):
            self.values = np.concatenate([self.values, embedding[None].astype(np.float32)])
            self.counts = np.append(self.counts, 1)
            return np.zeros(len(embedding))
        apart: NDArray[np.float64] = embedding.astype(np.float64) - self.values[index]
        self.counts[index] += 1
        self.values[index] = (self.values[index] + apart / self.counts[index]).astype(np.float32)
        return apart

    def remove(self, index: int) -> None:
        """Drop the label at ``index``; those behind it move up."""
        self.values, self.counts = np.delete(self.values, index, 0), np.delete(self.counts, index)

    def restore(self, values: NDArray[Any], counts: NDArray[Any], labels: int) -> None:
        """Take stored arrays. Raises ValueError where their shapes do not fit."""
        if values.shape != (labels, self.values.shape[1]) or counts.shape != (labels,) or (counts < 1).any():
            raise ValueError(f"means {values.shape} and counts {counts.shape} of {labels} labels")
        self.values, self.counts = values.astype(np.float32), counts.astype(np.int64)


class NearestMean(Learner):
    """See the module's docstring."""

    name = "nearest-mean"

    def __init__(self, knowledge: ClassStatistics) -> None:
        super().__init__(knowledge)
        self._means = Means(knowledge.width)

    def _learn(self, embedding: Float32, label: str) -> None:
        self._means.add(self.learned.index(label), embedding)

    def _forget(self, label: str) -> None:
        self._means.remove(self.learned.index(label))

    def _scores(self, embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
        means = np.concatenate([self.knowledge.means, self._means.values]).astype(np.float64)
        # |x - m|² without the term that all classes share.
        near = embeddings @ means.T - 0.5 * (means * means).sum(-1)
        scores: NDArray[np.float64] = near * softness(self.knowledge) / self.knowledge.spread
        return scores

    def _state(self) -> Mapping[str, NDArray[Any]]:
        return {"means": self._means.values, "counts": self._means.counts}

    def _restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._means.restore(state["means"], state["counts"], len(self.learned))

