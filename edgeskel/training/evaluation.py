"""Measure any recogniser on clips of a store: a checkpoint in torch, or whatever runs a bundle. No torch at import.

Axes: N clips, M persons, S frames of the window, V joints, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeskel.data import Store
from edgeskel.errors import LabelMismatch, ModelError, TopologyMismatch
from edgeskel.skeleton import Clip, Float32, Topology
from edgeskel.training.metrics import Metrics
from edgeskel.window import fit_window

if TYPE_CHECKING:
    from edgeskel.models import Recogniser
    from edgeskel.runtime import Session

__all__ = ["Predictor", "SessionPredictor", "TorchPredictor", "evaluate"]


class Predictor(Protocol):
    """What can be measured."""

    topology: Topology
    labels: tuple[str, ...]
    persons: int
    frames: int

    def __call__(self, joints: Float32, confidence: Float32) -> Float32:
        """(N, M, S, V, 3) and (N, M, S, V) -> probabilities (N, K)."""


class TorchPredictor:
    """A recogniser in torch as a :class:`Predictor`."""

    topology: Topology
    labels: tuple[str, ...]
    persons: int
    frames: int

    def __init__(self, recogniser: Recogniser) -> None:
        config = recogniser.config
        self.recogniser = recogniser
        self.topology, self.labels = config.topology, tuple(config.labels)
        self.persons, self.frames = config.persons, config.source_frames

    def __call__(self, joints: Float32, confidence: Float32) -> Float32:
        """Probabilities (N, K); the recogniser's mode is left as it was."""
        import torch

        training = self.recogniser.training
        self.recogniser.eval()
        device = next(self.recogniser.parameters()).device
        with torch.inference_mode():
            logits = self.recogniser(torch.from_numpy(joints).to(device), torch.from_numpy(confidence).to(device))
        self.recogniser.train(training)
        probabilities: Float32 = logits.softmax(-1).cpu().numpy()
        return probabilities


class SessionPredictor:
    """A bundle on the engine that its session runs, as a :class:`Predictor`: one window at a time, as on the device."""

    topology: Topology
    labels: tuple[str, ...]
    persons: int
    frames: int

    def __init__(self, session: Session) -> None:
        self.session = session
        self.topology, self.labels = session.topology, tuple(session.labels)
        self.persons, self.frames = session.window.persons, session.window.frames

    def __call__(self, joints: Float32, confidence: Float32) -> Float32:
        """Probabilities (N, K)."""
        return np.stack(
            [self.session.engine(one[None], seen[None])[0] for one, seen in zip(joints, confidence, strict=True)]
        )


def evaluate(
    predict: Predictor | Recogniser,
    store: Store,
    indices: Sequence[int] | NDArray[np.int64],
    *,
    remap: bool = False,
    batch_size: int = 64,
    advance: Callable[[int], object] | None = None,
) -> Metrics:
    """Measure ``predict`` on the clips ``indices`` of ``store``.

    Labels are matched by name, in whatever order each side has them.

    Args:
        predict: a recogniser, or anything that follows :class:`Predictor`.
        store: the recordings.
        indices: which clips.
        remap: bring clips of another layout into the recogniser's by joint names, and leave clips out (counted in
            ``left_out``) whose label it does not know. Without it either is an error.
        batch_size: clips at a time.
        advance: called with the number of clips done, for a progress bar.

    Raises:
        TopologyMismatch, LabelMismatch: the store does not fit and ``remap`` is not set; or no label fits.
        DataError: no clip to measure.
        ModelError: an answer is not finite.
    """
    predictor: Predictor = TorchPredictor(predict) if hasattr(predict, "save_pretrained") else predict  # type: ignore
    convert = _converter(store.topology, predictor.topology, remap)
    clips = np.asarray(indices, dtype=np.int64)
    truth = _classes(store, predictor.labels, clips, remap)
    known = truth >= 0
    left_out = int(np.sum(~known))
    clips, truth = clips[known], truth[known]
    answers = []
    for start in range(0, len(clips), batch_size):
        chosen = clips[start : start + batch_size]
        windows = [fit_window(*convert(store[int(i)]), predictor.persons, predictor.frames) for i in chosen]
        answers.append(predictor(np.stack([joints for joints, _ in windows]), np.stack([seen for _, seen in windows])))
        _check_finite(answers[-1], store, chosen)
        if advance is not None:
            advance(len(chosen))
    probabilities = np.concatenate(answers) if answers else np.zeros((0, len(predictor.labels)), np.float32)
    return Metrics(predictor.labels, probabilities, truth, clips, left_out)


def _check_finite(probabilities: Float32, store: Store, clips: NDArray[np.int64]) -> None:
    broken = clips[~np.isfinite(probabilities).all(1)]
    if len(broken):
        source = store.index["source"][broken[0]].decode()
        raise ModelError(
            f"{len(broken)} of {len(clips)} answers are not finite, the first to clip {int(broken[0])} ({source})",
            expected="probabilities",
            remedy="the weights or the artifact are damaged, or this arithmetic overflows: copy it again, or export anew",
        )


def _converter(mine: Topology, wanted: Topology, remap: bool) -> Callable[[Clip], tuple[Float32, Float32]]:
    if mine.joints == wanted.joints:
        return lambda clip: (clip.joints, clip.confidence)
    if not remap:
        lacking = [joint for joint in wanted.joints if joint not in mine.joints]
        surplus = [joint for joint in mine.joints if joint not in wanted.joints]
        difference = "; ".join(
            f"{name} {', '.join(joints)}"
            for name, joints in (("the store lacks", lacking), ("only the store has", surplus))
            if joints
        )
        raise TopologyMismatch(
            f"the store's layout is {mine.name}, the model's {wanted.name}"
            f" ({difference or 'same joints in another order'})",
            expected="one layout",
            remedy="pass --remap to match joints by name",
        )
    from edgeskel.topologies.remap import Remap

    plan = Remap.between(mine, wanted)
    return lambda clip: plan(clip.joints, clip.confidence)


def _classes(store: Store, labels: Sequence[str], clips: NDArray[np.int64], remap: bool) -> NDArray[np.int64]:
    """Class of each clip among ``labels``; -1 where it has none, which only ``remap`` allows."""
    column = {label: k for k, label in enumerate(labels)}
    unknown = [label for label in store.labels if label not in column]
    missing = [label for label in labels if label not in store.labels]
    if not set(store.labels) & set(labels):
        raise LabelMismatch(
            f"the model knows none of the store's {len(store.labels)} labels ({_some(store.labels)})",
            expected=f"its own: {_some(labels)}",
            remedy="use a model of this dataset",
        )
    if (unknown or missing) and not remap:
        parts = [f"only the store has {_some(unknown)}"] * bool(unknown) + [
            f"only the model has {_some(missing)}"
        ] * bool(missing)
        raise LabelMismatch(
            "the labels differ: " + "; ".join(parts),
            expected="the same labels on both sides",
            remedy="pass --remap to measure on the labels that both have",
        )
    codes = np.array([column.get(label, -1) for label in store.labels] + [-1], np.int64)  # the last is "no label"
    return codes[store.index["label"][clips].astype(np.int64)]


def _some(labels: Sequence[str], count: int = 6) -> str:
    return ", ".join(labels[:count]) + (f" and {len(labels) - count} more" if len(labels) > count else "")
