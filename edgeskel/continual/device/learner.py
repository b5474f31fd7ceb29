"""What every device learner is: embeddings and labels in, probabilities of old and new actions out.

A learner keeps the recogniser's own classes as :class:`ClassStatistics` has them and adds the ones that it is shown. A new
learner is one new file and one line in :data:`LEARNERS`.

Axes: N embeddings, K classes of the recogniser, L learned labels, D width of the embedding, C coordinates of a trajectory.
"""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgeskel.embedding.statistics import ClassStatistics
from edgeskel.errors import CorruptFile, InvalidClip, ModelError, UnknownChoice, UsageError
from edgeskel.files import UNREADABLE, atomic_write
from edgeskel.skeleton import Float32

__all__ = ["DEFAULT", "LEARNERS", "Learner", "create", "load", "softness"]

SCHEMA = 1
CAUTION = 0.25
"""By how much the logarithm of a new action's probability must be ahead: what was recognised before comes first. The largest
of 0, 0.25, 0.5 and 1 that costs five times demonstrated actions under half a point, for two sets of five classes and subject 7 of
UTD-MHAD's training part, all held out."""
DEFAULT = "whitened-cosine"
# name: (module, class)
LEARNERS = {
    "whitened-cosine": ("edgeskel.continual.device.whitened_cosine", "WhitenedCosine"),
    "nearest-mean": ("edgeskel.continual.device.nearest_mean", "NearestMean"),
    "streaming-lda": ("edgeskel.continual.device.streaming_lda", "StreamingLDA"),
    "replayed-head": ("edgeskel.continual.device.replayed_head", "ReplayedHead"),
}


class Learner(ABC):
    """Learns labels one demonstration at a time, and forgets them by name.

    Args:
        knowledge: of the recogniser whose embeddings it is shown.
    """

    name: ClassVar[str]
    uses_trajectories: ClassVar[bool] = False

    def __init__(self, knowledge: ClassStatistics) -> None:
        self.knowledge = knowledge
        self.learned: list[str] = []
        """L labels, in the order in which they were learned."""

    @property
    def labels(self) -> tuple[str, ...]:
        """K + L labels, in the order of :meth:`predict`."""
        return (*self.knowledge.labels, *self.learned)

    def learn(self, embedding: Float32, label: str) -> None:
        """Take one demonstration of ``label``.

        Args:
            embedding: (D,), or (D + C,) with the trajectory (:meth:`ClassStatistics.seen`), which not every learner uses.
            label: a new one or one that was learned before.

        Raises:
            UsageError: the recogniser has this label itself; what it knows is not changed here.
            InvalidClip: the embedding has another width or is not finite.
        """
        if label in self.knowledge.labels:
            raise UsageError(f"the recogniser knows {label!r} itself", expected="the name of a new action")
        embedding = self._checked(embedding)
        if label not in self.learned:
            self.learned.append(label)
        self._learn(embedding, label)

    def forget(self, label: str) -> None:
        """Drop a learned label.

        Raises:
            UnknownChoice: it was not learned.
        """
        if label not in self.learned:
            raise UnknownChoice("learned label", label, self.learned)
        self._forget(label)
        self.learned.remove(label)

    def predict(self, embeddings: Float32) -> Float32:
        """Probabilities.

        Args:
            embeddings: (D,) or (N, D); or (D + C,) or (N, D + C), with trajectories.

        Returns:
            (K + L,) or (N, K + L), in the order of :attr:`labels`.

        Raises:
            InvalidClip: another width, or values that are not finite.
        """
        several = np.atleast_2d(self._checked(embeddings)).astype(np.float64)
        scores = self._scores(several)
        scores[:, len(self.knowledge.labels) :] -= self.caution
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        probabilities: Float32 = (scores / scores.sum(-1, keepdims=True)).astype(np.float32)
        return probabilities if np.ndim(embeddings) == 2 else probabilities.reshape(-1)

    @property
    def caution(self) -> float:
        """By how much the logarithm of a new action's probability must be ahead of the old ones'."""
        return CAUTION

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that it holds, what it knows of the recogniser's own classes included."""
        known = self.knowledge
        own = sum(array.nbytes for array in self._state().values())
        return own + known.half_means.nbytes + known.means.nbytes + known.triangle.nbytes + self._derived_bytes() \
            + (0 if known.varied_triangle is None else known.varied_triangle.nbytes) \
            + (0 if known.trajectories is None else known.trajectories.nbytes)

    def save(self, path: str | Path) -> None:
        """Write labels and state, by atomic rename; :func:`load` restores them."""
        head = {"schema": SCHEMA, "learner": self.name, "model": self.knowledge.digest, "labels": self.learned}
        content = io.BytesIO()
        np.savez(content, head=np.array(json.dumps(head)), **self._state())  # type: ignore[arg-type]
        with atomic_write(path) as file:
            file.write(content.getvalue())

    def _checked(self, embedding: Float32) -> Float32:
        values, width, more = np.asarray(embedding, np.float32), self.knowledge.width, self.knowledge.trajectories
        widths = (width,) if more is None else (width, width + more.width)
        if values.ndim not in (1, 2) or values.shape[-1] not in widths or not np.isfinite(values).all():
            raise InvalidClip(f"an embedding of shape {values.shape}" + ("" if np.isfinite(values).all() else ", not finite"),
                              expected=f"{' or '.join(map(str, widths))} finite values, as this recogniser gives them")
        return values if self.uses_trajectories else values[..., :width]

    @abstractmethod
    def _learn(self, embedding: Float32, label: str) -> None:
        """Take (D,) of a label that stands in ``learned``."""

    @abstractmethod
    def _forget(self, label: str) -> None:
        """Drop a label that still stands in ``learned``."""

    @abstractmethod
    def _scores(self, embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, D) -> (N, K + L) logarithms of probabilities, up to one constant each."""

    @abstractmethod
    def _state(self) -> Mapping[str, NDArray[Any]]:
        """All that was learned, as arrays by name."""

    @abstractmethod
    def _restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take what :meth:`_state` gave; ``learned`` is set. Raises KeyError or ValueError where it does not fit."""

    def _derived_bytes(self) -> int:
        """Bytes of arrays that are worked out from the state and kept."""
        return 0


def softness(knowledge: ClassStatistics) -> float:
    """What squared distances, in units of the variance within a class, are multiplied with to become probabilities.

    Clips that nobody trained on lie much farther from the means than those that the knowledge was measured on, and the
    D directions do not vary independently; taken at their word, the distances would make every answer certain. Counted as
    two directions in all they give the least log-loss, but probabilities that rarely reach a session's threshold; counted as
    four, actions that no one taught stay unknown as often as before anything was learned, and more new ones are named.
    Both for held-out subjects and classes of UTD-MHAD's training part, and actions of Northwestern-UCLA's.
    """
    return 4 / knowledge.width


def create(name: str, knowledge: ClassStatistics) -> Learner:
    """A learner that has learned nothing yet.

    Raises:
        UnknownChoice: no such learner.
    """
    if name not in LEARNERS:
        raise UnknownChoice("learner", name, LEARNERS)
    module, kind = LEARNERS[name]
    learner: Learner = getattr(import_module(module), kind)(knowledge)
    return learner


def load(path: str | Path, knowledge: ClassStatistics) -> Learner:
    """Restore a learner that :meth:`Learner.save` wrote.

    Raises:
        ModelError: it learned on another recogniser's embeddings, which mean something else.
        CorruptFile: it is no learner, or damaged.
    """
    expected = "what Learner.save wrote"
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as data:
            state = {name: data[name] for name in data.files}
        head = json.loads(str(state.pop("head")[()]))
        kind, model, labels = head["learner"], head["model"], [str(label) for label in head["labels"]]
    except UNREADABLE as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise CorruptFile(path, f"unreadable ({type(error).__name__}: {error})", expected=expected) from error
    if head.get("schema") != SCHEMA or kind not in LEARNERS:
        raise CorruptFile(path, f"schema {head.get('schema')!r}, learner {kind!r}",
                          expected=f"schema {SCHEMA} and one of {', '.join(LEARNERS)}")
    if model != knowledge.digest:
        raise ModelError(f"{path} was learned on the embeddings of another model ({str(model)[:12]})",
                         expected=f"the model in use ({knowledge.digest[:12]})",
                         remedy="use it with the model that it was learned on, or enrol the demonstrations again")
    learner = create(kind, knowledge)
    if len(set(labels)) != len(labels) or set(labels) & set(knowledge.labels):
        raise CorruptFile(path, f"labels {labels}", expected="each once, and none of the recogniser's own")
    learner.learned = labels
    try:
        if not all(np.isfinite(array).all() for array in state.values()):
            raise ValueError("values that are not finite")
        learner._restore(state)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise CorruptFile(path, f"incomplete ({type(error).__name__}: {error})", expected=expected) from error
    return learner
