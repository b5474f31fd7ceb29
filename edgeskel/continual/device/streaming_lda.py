"""Streaming linear discriminant analysis: class means, and one covariance that all classes share.

Directions in which one action varies anyway count little, so that few demonstrations place a new mean well. After
Hayes and Kanan, "Lifelong Machine Learning with Deep Streaming Linear Discriminant Analysis" (CVPR Workshops 2020, arXiv
1909.01520), with the covariance begun from the recogniser's own classes instead of from ones.

Axes: N embeddings, K classes of the recogniser, L learned labels, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.continual.device.learner import Learner, softness
from edgeskel.continual.device.nearest_mean import Means
from edgeskel.embedding.statistics import ClassStatistics
from edgeskel.skeleton import Float32

__all__ = ["StreamingLDA", "shrunk"]

SHRINKAGE = 0.1
"""Share of an even spread in the covariance, which is measured on fewer clips than it has directions. Between 0.01 and
0.4 the accuracy on held-out subjects and classes of UTD-MHAD's training part hardly changes."""


def shrunk(covariance: Float32, spread: float) -> NDArray[np.float64]:
    """(D, D) the covariance drawn towards ``spread`` in every direction, so that it can be inverted."""
    mixed: NDArray[np.float64] = (1 - SHRINKAGE) * covariance.astype(np.float64)
    mixed[np.diag_indices(len(mixed))] += SHRINKAGE * spread
    return mixed


class StreamingLDA(Learner):
    """See the module's docstring.

    A forgotten label takes its mean along. What it added to the shared covariance, one part in a few hundred for each
    demonstration, cannot be told apart and stays;
    :meth:`~edgeskel.continual.device.demonstration_store.DemonstrationStore.learner` builds a learner anew from the
    demonstrations that are left, and so without it.
    """

    name = "streaming-lda"

    def __init__(self, knowledge: ClassStatistics) -> None:
        super().__init__(knowledge)
        self._means = Means(knowledge.width)
        self._covariance = knowledge.covariance
        self._seen = knowledge.clips
        self._weights: tuple[Float32, Float32] | None = None  # (K + L, D) and (K + L,), once they are needed

    def _learn(self, embedding: Float32, label: str) -> None:
        index = self.learned.index(label)
        apart = self._means.add(index, embedding).astype(np.float32)
        count = int(self._means.counts[index])
        if count > 1:  # the first of a label says nothing about how far it spreads
            added = np.float32((count - 1) / count) * np.outer(apart, apart)
            self._covariance = self._covariance + (added - self._covariance) / np.float32(self._seen + 1)
            self._seen += 1
        self._weights = None

    def _forget(self, label: str) -> None:
        self._means.remove(self.learned.index(label))
        self._weights = None

    def _scores(self, embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._weights is None:
            means = np.concatenate([self.knowledge.means, self._means.values]).astype(np.float64)
            exact = softness(self.knowledge) * np.linalg.solve(shrunk(self._covariance, self.knowledge.spread), means.T).T
            self._weights = exact.astype(np.float32), (-0.5 * (exact * means).sum(-1)).astype(np.float32)
        weights, offsets = self._weights
        scores: NDArray[np.float64] = embeddings @ weights.T.astype(np.float64) + offsets
        return scores

    def _state(self) -> Mapping[str, NDArray[Any]]:
        return {"means": self._means.values, "counts": self._means.counts, "covariance": self._covariance,
                "seen": np.array(self._seen)}

    def _restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._means.restore(state["means"], state["counts"], len(self.learned))
        covariance, seen = state["covariance"], int(state["seen"])
        if covariance.shape != self._covariance.shape or seen < self.knowledge.clips:
            raise ValueError(f"a covariance of {covariance.shape} from {seen} clips")
        self._covariance, self._seen = covariance.astype(np.float32), seen

    def _derived_bytes(self) -> int:
        return 0 if self._weights is None else sum(array.nbytes for array in self._weights)
