"""What was learned, in front of an engine: probabilities of old and of new actions from the same embedding.

Axes: M persons, S frames of the window, V joints, K classes of the recogniser, L learned labels, D width of the embedding.
"""

from __future__ import annotations

import numpy as np

from edgeskel.continual.device.learner import Learner
from edgeskel.embedding.trajectory import trajectory
from edgeskel.errors import LabelMismatch
from edgeskel.runtime.engines import Engine, State
from edgeskel.runtime.session import Session
from edgeskel.runtime.step_artifact import Stepper
from edgeskel.skeleton import Float32, Topology

__all__ = ["LearnedEngine", "joined", "with_learned"]


def joined(probabilities: Float32, learned: Float32) -> Float32:
    """The classifier's answer and the learner's, as one.

    A label competes with a label: a new action is to the classifier's favourite as the learner has it to the likeliest single
    old action, however many others there are. So adding up a hundred unlikely old actions outweighs nothing. The classifier's
    order of its own classes never changes: an old action can be lost to a new one, to no other.

    Args:
        probabilities: (..., K) of the classifier.
        learned: (..., K + L) of the learner.

    Returns:
        (..., K + L), sums to 1. Without new labels, or where none is likely, it is the classifier's own answer.
    """
    classes = probabilities.shape[-1]
    # Double precision, so that the product of two small probabilities is not lost.
    best = learned[..., :classes].max(-1, keepdims=True).astype(np.float64)
    favourite = probabilities.max(-1, keepdims=True).astype(np.float64)
    both = np.concatenate([probabilities * best, learned[..., classes:] * favourite], -1)
    total = both.sum(-1, keepdims=True)
    alone = np.concatenate([probabilities, np.zeros_like(learned[..., classes:])], -1)  # the learner says nothing of any label here
    return np.where(total > 0, both / np.where(total > 0, total, 1), alone).astype(np.float32)


class LearnedEngine:
    """An engine (see :class:`edgeskel.runtime.engines.Engine`) with K + L classes around one with K.

    Args:
        engine: gives probabilities (K,) and the embedding.
        learner: of the same recogniser. Demonstrations that it takes later count from the next call on. Labels that it
            gains later are left out, because whoever was given the labels before knows no name for them; one that it
            forgets has the probability 0.
        topology: of the windows' joints.
    """

    engine: Engine
    learner: Learner
    topology: Topology

    def __init__(self, engine: Engine, learner: Learner, topology: Topology) -> None:
        self.engine, self.learner, self.topology = engine, learner, topology
        self.name: str = engine.name
        self.labels: tuple[str, ...] = learner.labels

    @staticmethod
    def available() -> str | None:
        """It runs wherever its engine does."""
        return None

    def __call__(self, joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
        """Probabilities (K + L,) and embedding (D,) of a window (1, M, S, V, 3)."""
        probabilities, embedding = self.engine(joints, confidence)
        course = trajectory(joints[0], confidence[0], self.topology) if self.learner.uses_trajectories else None
        return self._joined(probabilities, self.learner.knowledge.seen(embedding, course)), embedding

    def step(self, joints: Float32, confidence: Float32, state: State) -> tuple[Float32, Float32, State]:
        """The same of the next frames; arguments and state as the engine's own."""
        probabilities, embedding, after = self.engine.step(joints, confidence, state)
        return self._joined(probabilities, embedding), embedding, after

    def _joined(self, probabilities: Float32, seen: Float32) -> Float32:
        learned, present = self.learner.predict(seen), self.learner.labels
        if present != self.labels:
            column = {label: index for index, label in enumerate(present)}
            learned = np.array([learned[column[label]] if label in column else 0 for label in self.labels], np.float32)
        return joined(probabilities, learned)


def with_learned(session: Session, learner: Learner) -> Session:
    """A session with the learned labels behind the recogniser's own. The given one is left as it is.

    Raises:
        LabelMismatch: the learner knows another recogniser's classes.
    """
    if session.labels != learner.knowledge.labels:
        raise LabelMismatch(f"the learner stands on {len(learner.knowledge.labels)} classes, "
                            f"{', '.join(learner.knowledge.labels[:3])}, ...",
                            expected=f"the session's {len(session.labels)}: {', '.join(session.labels[:3])}, ...",
                            remedy="use the knowledge of the model that the session runs")
    stepper = session.stepper
    if stepper is not None:
        stepper = Stepper(LearnedEngine(stepper.engine, learner, session.topology), stepper.form, stepper.joints)
    return Session(LearnedEngine(session.engine, learner, session.topology), session.topology, learner.labels, session.window,
                   stepper=stepper, config=session.config, most=session.most)
