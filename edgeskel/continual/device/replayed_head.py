"""A small linear classifier of the embedding, trained again after each demonstration on all that is remembered.

It remembers the demonstrations of the learned labels (float16, at most ten of each) and replays the recogniser's own
classes from what is known of them: their means, and draws about them with the covariance within a class. It starts at
the discriminant analysis of the same data and is pulled towards it, so that five demonstrations cannot bend it far.

Axes: N embeddings, R replayed embeddings, K classes of the recogniser, L learned labels, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.continual.device.demonstration_array import DemonstrationArray
from edgeskel.continual.device.learner import Learner, softness
from edgeskel.continual.device.streaming_lda import shrunk
from edgeskel.embedding.statistics import ClassStatistics
from edgeskel.skeleton import Float32

__all__ = ["ReplayedHead"]

DRAWS = 6
"""Embeddings replayed for each of the recogniser's own classes."""
STEPS = 40
"""Passes over everything after a demonstration."""
RATE = 4.0
PULL = 0.02
"""Towards the discriminant analysis."""
_SEED = 20_26


class ReplayedHead(Learner):
    """See the module's docstring. Forgetting is exact: the head is trained anew without the label."""

    name = "replayed-head"

    def __init__(self, knowledge: ClassStatistics) -> None:
        super().__init__(knowledge)
        # In whitened coordinates, in which a class varies alike in every direction, one rate suits all directions.
        factor = np.linalg.cholesky(shrunk(knowledge.covariance, knowledge.spread))  # (D, D)
        self._whiten = np.linalg.inv(factor).T.astype(np.float32)
        self._shown = DemonstrationArray(knowledge.width)
        self._head: tuple[Float32, Float32] | None = None

    def _learn(self, embedding: Float32, label: str) -> None:
        self._shown.add(embedding, self.learned.index(label))
        self._head = None

    def _forget(self, label: str) -> None:
        self._shown.remove(self.learned.index(label))
        self._head = None

    def _scores(self, embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._head is None:
            self._head = self._train()
        weights, offsets = self._head
        scores: NDArray[np.float64] = (embeddings @ self._whiten) @ weights.T.astype(np.float64) + offsets
        return scores

    def _train(self) -> tuple[Float32, Float32]:
        """(K + L, D) weights and (K + L,) offsets, by gradient descent on the balanced cross-entropy."""
        known, soft = len(self.knowledge.labels), np.float32(softness(self.knowledge))
        size = known + len(self.learned)
        own = self.knowledge.means @ self._whiten
        shown, shown_of = self._shown.embeddings.astype(np.float32) @ self._whiten, self._shown.classes
        means = np.concatenate([own, *(shown[shown_of == index].mean(0, keepdims=True)
                                       for index in range(len(self.learned)))])
        # Draws about the means: in whitened coordinates a class is a ball, so white noise is a draw.
        noise = np.random.default_rng(_SEED).standard_normal((known * DRAWS, own.shape[1])).astype(np.float32)
        inputs = np.concatenate([np.repeat(own, DRAWS, 0) + noise, shown])
        classes = np.concatenate([np.repeat(np.arange(known), DRAWS), known + shown_of])
        share = 1 / np.bincount(classes, minlength=size)[classes] / size
        start, offsets = soft * means, -0.5 * soft * (means * means).sum(-1)
        weights = start.copy()
        targets = np.eye(size, dtype=np.float32)[classes]
        rate = np.float32(RATE * soft)
        for _ in range(STEPS):
            scores = inputs @ weights.T + offsets
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            wrong = (scores / scores.sum(-1, keepdims=True) - targets) * share[:, None].astype(np.float32)
            weights -= rate * (wrong.T @ inputs + PULL * (weights - start))
            offsets -= rate * wrong.sum(0)
        return weights, offsets

    def _state(self) -> Mapping[str, NDArray[Any]]:
        return self._shown.state()

    def _restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._shown.restore(state, len(self.learned))

    def _derived_bytes(self) -> int:
        return self._whiten.nbytes + (0 if self._head is None else sum(array.nbytes for array in self._head))
