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

from edgeskel.continual.device.knowledge import Knowledge
from edgeskel.continual.device.learner import Learner, softness
from edgeskel.continual.device.streaming_lda import shrunk
from edgeskel.skeleton import Float32

__all__ = ["MOST", "ReplayedHead"]

MOST = 10
"""Demonstrations of one label that are remembered: the latest."""
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

    def __init__(self, knowledge: Knowledge) -> None:
        super().__init__(knowledge)
        # In whitened coordinates, in which a class varies alike in every direction, one rate suits all directions.
        factor = np.linalg.cholesky(shrunk(knowledge.covariance, knowledge.spread))  # (D, D)
        self._whiten = np.linalg.inv(factor).T.astype(np.float32)
        self._demonstrations = np.zeros((0, knowledge.width), np.float16)
        self._classes = np.zeros(0, np.int64)  # index into ``learned`` of each demonstration
        self._head: tuple[Float32, Float32] | None = None

    def _learn(self, embedding: Float32, label: str) -> None:
        index = self.learned.index(label)
        own = np.flatnonzero(self._classes == index)
        kept = np.ones(len(self._classes), bool)
        kept[own[: max(0, len(own) + 1 - MOST)]] = False
        self._demonstrations = np.concatenate([self._demonstrations[kept], embedding[None].astype(np.float16)])
        self._classes = np.append(self._classes[kept], index)
        self._head = None

    def _forget(self, label: str) -> None:
        index = self.learned.index(label)
        kept = self._classes != index
        self._demonstrations, self._classes = self._demonstrations[kept], self._classes[kept]
        self._classes = np.where(self._classes > index, self._classes - 1, self._classes)
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
        shown = self._demonstrations.astype(np.float32) @ self._whiten
        means = np.concatenate([own, *(shown[self._classes == index].mean(0, keepdims=True)
                                       for index in range(len(self.learned)))])
        # Draws about the means: in whitened coordinates a class is a ball, so white noise is a draw.
        noise = np.random.default_rng(_SEED).standard_normal((known * DRAWS, own.shape[1])).astype(np.float32)
        inputs = np.concatenate([np.repeat(own, DRAWS, 0) + noise, shown])
        classes = np.concatenate([np.repeat(np.arange(known), DRAWS), known + self._classes])
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
        return {"demonstrations": self._demonstrations, "classes": self._classes}

    def _restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        demonstrations, classes = state["demonstrations"], state["classes"].astype(np.int64)
        if demonstrations.ndim != 2 or demonstrations.shape[1] != self.knowledge.width \
                or classes.shape != demonstrations.shape[:1] or set(classes.tolist()) != set(range(len(self.learned))):
            raise ValueError(f"demonstrations {demonstrations.shape} of classes {sorted(set(classes.tolist()))}")
        self._demonstrations, self._classes = demonstrations.astype(np.float16), classes

    def _derived_bytes(self) -> int:
        return self._whiten.nbytes + (0 if self._head is None else sum(array.nbytes for array in self._head))
