"""Angle to the mean of a label, in coordinates in which what does not tell actions apart counts little.

Three covariances say what that is: how far clips of one class lie apart (of the recogniser's own classes, measured on clips
that it learned from), how far an embedding moves when its clip is cut, slower, larger or smaller, and how far the
demonstrations of one new action lie apart, which nobody trained on. Their inverse makes the coordinates. In them the angle about
the middle of the old classes decides, not the distance: what no one trained on has shorter embeddings, and at a
distance that alone would make it look like an old class or none. So nothing has to be set for a model, or for a set of actions.

The weights were chosen with small stand-ins for trained models (two hidden layers on resampled joints), on people and actions held
out of the training parts of five data sets (UTD-MHAD, Northwestern-UCLA, UTKinect, KARD, SBU), one choice for all of them.

Axes: N embeddings, K classes of the recogniser, L learned labels, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeskel.continual.device.knowledge import Knowledge
from edgeskel.continual.device.learner import Learner
from edgeskel.continual.device.remembered import Remembered
from edgeskel.skeleton import Float32

__all__ = ["Space", "WhitenedCosine"]

WITHIN, BETWEEN, VARIED = 0.3, 0.3, 1.0
"""Weights of the covariance within old classes, between demonstrations of one action, and of changed clips. Any within a factor
of two of these do as well."""
SHRINKAGE = 0.1
"""Share of an even spread added to them, which are measured on fewer clips than there are directions."""
SHARPNESS = 15.0
"""Logarithm of a probability for each unit of cosine. 10 gives the least log-loss of unseen clips, but new actions that rarely
reach a session's threshold."""
UNVARIED = 0.06
"""Cosine by which a new action must be ahead where the model's file says nothing of changed clips: it was written by a version that
measured none. Where it does, the likeliest label wins."""


class Space(NamedTuple):
    """Coordinates in which angles are compared: (D, D) factor and (D,) middle of the old classes."""

    factor: Float32
    middle: Float32

    @classmethod
    def of(cls, knowledge: Knowledge, apart: Float32) -> Space:
        """From what is known of the model, and (N, D) of demonstrations, each less the mean of its label."""
        covariance = WITHIN * knowledge.covariance.astype(np.float64)
        varied = knowledge.varied
        if varied is not None:
            covariance += VARIED * varied
        if len(apart):
            exact = apart.astype(np.float64)
            covariance += BETWEEN * (exact.T @ exact) / len(exact)
        even = np.trace(covariance) / len(covariance)
        covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * even * np.eye(len(covariance))
        factor = np.linalg.inv(np.linalg.cholesky(covariance)).T
        return cls(factor.astype(np.float32), (knowledge.means.mean(0) @ factor).astype(np.float32))

    def directions(self, embeddings: NDArray[Any]) -> NDArray[np.float64]:
        """(N, D) of length 1."""
        placed = embeddings.astype(np.float64) @ self.factor - self.middle
        directions: NDArray[np.float64] = placed / np.maximum(np.linalg.norm(placed, axis=-1, keepdims=True), 1e-12)
        return directions


class WhitenedCosine(Learner):
    """See the module's docstring. Forgetting is exact: nothing but the demonstrations is kept."""

    name = "whitened-cosine"

    def __init__(self, knowledge: Knowledge) -> None:
        super().__init__(knowledge)
        self._shown = Remembered(knowledge.width)
        self._derived: tuple[Space, Float32] | None = None  # and the (K + L, D) directions of all labels

    def _learn(self, embedding: Float32, label: str) -> None:
        self._shown.add(embedding, self.learned.index(label))
        self._derived = None

    def _forget(self, label: str) -> None:
        self._shown.remove(self.learned.index(label))
        self._derived = None

    @property
    def caution(self) -> float:
        return 0.0 if self.knowledge.varied is not None else SHARPNESS * UNVARIED

    def _scores(self, embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._derived is None:
            space = Space.of(self.knowledge, self._shown.apart())
            means = np.concatenate([self.knowledge.means, self._shown.means(len(self.learned))])
            self._derived = space, space.directions(means).astype(np.float32)
        space, directions = self._derived
        scores: NDArray[np.float64] = SHARPNESS * space.directions(embeddings) @ directions.T.astype(np.float64)
        return scores

    def _state(self) -> Mapping[str, NDArray[Any]]:
        return self._shown.state()

    def _restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._shown.restore(state, len(self.learned))

    def _derived_bytes(self) -> int:
        if self._derived is None:
            return 0
        space, directions = self._derived
        return space.factor.nbytes + space.middle.nbytes + directions.nbytes
