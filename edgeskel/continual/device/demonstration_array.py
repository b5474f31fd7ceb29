"""The demonstrations themselves, in 16 bits: what a learner needs that is made anew after each of them.

Axes: N demonstrations, L learned labels, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.skeleton import Float32

__all__ = ["MOST", "DemonstrationArray"]

MOST = 10
"""Demonstrations of one label that are remembered: the latest."""


class DemonstrationArray:
    """Embeddings and whose they are.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        self.embeddings: NDArray[np.float16] = np.zeros((0, width), np.float16)
        """(N, D)."""
        self.classes: NDArray[np.int64] = np.zeros(0, np.int64)
        """(N,) index of the learned label."""

    def add(self, embedding: Float32, index: int) -> None:
        """Take one of the label at ``index``; the oldest of more than :data:`MOST` goes."""
        own = np.flatnonzero(self.classes == index)
        kept = np.ones(len(self.classes), bool)
        kept[own[: max(0, len(own) + 1 - MOST)]] = False
        self.embeddings = np.concatenate([self.embeddings[kept], embedding[None].astype(np.float16)])
        self.classes = np.append(self.classes[kept], index)

    def remove(self, index: int) -> None:
        """Drop those of the label at ``index``; the labels behind it move up."""
        kept = self.classes != index
        self.embeddings, self.classes = self.embeddings[kept], self.classes[kept]
        self.classes = np.where(self.classes > index, self.classes - 1, self.classes)

    def means(self, labels: int) -> Float32:
        """(L, D) mean of each label."""
        shown = self.embeddings.astype(np.float32)
        means = [shown[self.classes == index].mean(0) for index in range(labels)]
        return np.array(means, np.float32).reshape(labels, shown.shape[1])

    def apart(self) -> Float32:
        """(N', D) of the labels with more than one: each less its label's mean, scaled so that the mean square is the variance."""
        counts = np.bincount(self.classes)
        several = counts[self.classes] > 1 if len(self.classes) else np.zeros(0, bool)
        own, shown = self.classes[several], self.embeddings[several].astype(np.float32)
        means = self.means(len(counts))
        return ((shown - means[own]) * np.sqrt(counts[own] / (counts[own] - 1))[:, None]).astype(np.float32)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """All of it, as arrays by name."""
        return {"demonstrations": self.embeddings, "classes": self.classes}

    def restore(self, state: Mapping[str, NDArray[Any]], labels: int) -> None:
        """Take stored arrays. Raises KeyError or ValueError where they do not fit."""
        embeddings, classes = state["demonstrations"], state["classes"].astype(np.int64)
        if embeddings.ndim != 2 or embeddings.shape[1] != self.embeddings.shape[1] \
                or classes.shape != embeddings.shape[:1] or set(classes.tolist()) != set(range(labels)):
            raise ValueError(f"demonstrations {embeddings.shape} of classes {sorted(set(classes.tolist()))}")
        self.embeddings, self.classes = embeddings.astype(np.float16), classes
