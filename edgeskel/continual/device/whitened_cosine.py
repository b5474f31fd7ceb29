"""Angle to the mean of a label, in coordinates in which what does not tell actions apart counts little; of the embedding, and of
where the joints go.

Three covariances say what that is: how far clips of one class lie apart (of the recogniser's own classes, measured on clips
that it learned from), how far a clip moves when it is cut, slower, larger or smaller, and how far the
demonstrations of one new action lie apart, which nobody trained on. Their inverse makes the coordinates. In them the angle about
the middle of the old classes decides, not the distance: what no one trained on has shorter embeddings, and at a
distance that alone would make it look like an old class or none. How far ahead a new action must be follows from the same
statistics (:mod:`edgeskel.continual.device.margin`). So nothing has to be set for a model, or for a set of actions.

The embedding tells what the network was trained to tell; of what it was not trained on it may have let go. Trajectories
(:mod:`edgeskel.embedding.trajectory`) tell less of old actions, and of new ones as much as of old. The mean of both
angles finds more new actions than either and costs fewer old ones. Where the model or a demonstration has no trajectory, the
embedding does alone.

The weights were chosen on people and actions held out of the training parts of five data sets (UTD-MHAD, Northwestern-UCLA,
UTKinect, KARD, SBU), one choice for all of them: those within one angle with small stand-ins for trained models, those of the two
angles with models of the product's own recipe.

Axes: N embeddings, K classes of the recogniser, L learned labels, D width of the embedding, C coordinates of a trajectory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeskel.continual.device.demonstration_array import DemonstrationArray
from edgeskel.continual.device.learner import Learner
from edgeskel.continual.device.margin import drawn, least_lead
from edgeskel.embedding.covariance import scatter
from edgeskel.embedding.statistics import ClassStatistics
from edgeskel.embedding.trajectories import Trajectories
from edgeskel.skeleton import Float32

__all__ = ["Space", "WhitenedCosine"]

WITHIN, BETWEEN, VARIED = 0.3, 0.3, 1.0
"""Weights of the covariance within old classes, between demonstrations of one action, and of changed clips. Any within a factor
of two of these do as well."""
SHRINKAGE = 0.1
"""Share of an even spread added to them, which are measured on fewer clips than there are directions."""
TRAJECTORY = 2 / 3
"""Share of the trajectory's angle. At a half, new actions are found as often by whole clip and a point less often in streams."""
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
    def of(cls, known: ClassStatistics | Trajectories, apart: Float32) -> Space:
        """From what is known of the model, and (N, D) of demonstrations, each less the mean of its label."""
        covariance = WITHIN * known.covariance.astype(np.float64)
        varied = known.varied
        if varied is not None:
            covariance += VARIED * varied
        if len(apart):
            covariance += BETWEEN * scatter(apart)
        even = np.trace(covariance) / len(covariance)
        covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * even * np.eye(len(covariance))
        factor = np.linalg.inv(np.linalg.cholesky(covariance)).T
        return cls(factor.astype(np.float32), (known.means.mean(0) @ factor).astype(np.float32))

    def directions(self, embeddings: NDArray[Any]) -> NDArray[Any]:
        """(N, D) of length 1, in the precision of what is given."""
        placed = embeddings @ self.factor - self.middle
        directions: NDArray[Any] = placed / np.maximum(np.linalg.norm(placed, axis=-1, keepdims=True), 1e-12)
        return directions


class _LabelDirections(NamedTuple):
    """A space and the (K + L, D) directions of all labels in it."""

    space: Space
    labels: Float32

    @classmethod
    def of(cls, known: ClassStatistics | Trajectories, shown: DemonstrationArray, learned: int) -> _LabelDirections:
        space = Space.of(known, shown.apart())
        means = np.concatenate([known.means, shown.means(learned)])
        return cls(space, space.directions(means).astype(np.float32))

    def cosines(self, embeddings: NDArray[Any]) -> NDArray[Any]:
        """(N, D) -> (N, K + L), in the precision of what is given."""
        cosines: NDArray[Any] = self.space.directions(embeddings) @ self.labels.T
        return cosines

    @property
    def nbytes(self) -> int:
        return self.space.factor.nbytes + self.space.middle.nbytes + self.labels.nbytes


class WhitenedCosine(Learner):
    """See the module's docstring. Forgetting is exact: nothing but the demonstrations is kept."""

    name = "whitened-cosine"
    uses_trajectories = True

    def __init__(self, knowledge: ClassStatistics) -> None:
        super().__init__(knowledge)
        self._shown = DemonstrationArray(knowledge.width)
        more = knowledge.trajectories
        self._courses = None if more is None else DemonstrationArray(more.width)
        """None once there is a demonstration without a trajectory, too: labels are compared alike or not at all."""
        self._views: list[_LabelDirections] = []
        self._lead = 0.0

    def _learn(self, embedding: Float32, label: str) -> None:
        width, index = self.knowledge.width, self.learned.index(label)
        self._shown.add(embedding[:width], index)
        if self._courses is not None and len(embedding) > width:
            self._courses.add(embedding[width:], index)
        else:
            self._courses = None
        self._views = []

    def _forget(self, label: str) -> None:
        for shown in (self._shown, self._courses):
            if shown is not None:
                shown.remove(self.learned.index(label))
        self._views = []

    @property
    def caution(self) -> float:
        if self.knowledge.varied is None:
            return SHARPNESS * UNVARIED
        self._derive()
        return SHARPNESS * self._lead

    def _scores(self, embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
        self._derive()
        width = self.knowledge.width
        return SHARPNESS * self._cosines([embeddings[:, :width], *([embeddings[:, width:]] if embeddings.shape[1] > width else [])])

    def _cosines(self, parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """(N, K + L), from (N, D) embeddings and, where there are, (N, C) coordinates."""
        cosines = self._views[0].cosines(parts[0])
        if len(parts) > 1 and len(self._views) > 1:
            cosines += TRAJECTORY * (self._views[1].cosines(parts[1]) - cosines)
        return cosines

    def _derive(self) -> None:
        """What follows from the demonstrations, once it is needed."""
        if self._views:
            return
        known, learned = self.knowledge.trajectories, len(self.learned)
        self._views, self._lead = [_LabelDirections.of(self.knowledge, self._shown, learned)], 0.0
        if known is None or self._courses is None:
            return
        self._views.append(_LabelDirections.of(known, self._courses, learned))
        if learned:
            self._lead = least_lead(self._cosines(drawn((self.knowledge, known))), len(self.knowledge.labels))

    def _state(self) -> Mapping[str, NDArray[Any]]:
        state = dict(self._shown.state())
        return state if self._courses is None else {**state, "trajectories": self._courses.embeddings}

    def _restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._shown.restore(state, len(self.learned))
        if self._courses is not None and "trajectories" in state:
            self._courses.restore({"demonstrations": state["trajectories"], "classes": state["classes"]}, len(self.learned))
        else:
            self._courses = None
        self._views = []

    def _derived_bytes(self) -> int:
        return sum(view.nbytes for view in self._views)
