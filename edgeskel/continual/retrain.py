"""On the workstation: a recogniser of its own out of a model and the actions that a device learned. Needs torch.

The network stays as it is; its classifier grows by the learned actions and is trained again on embeddings, towards what the
device's learner and the old classifier answer together. What comes out is an ordinary checkpoint: it is evaluated,
exported and flashed like any other, and its own embedding.npz lets a device add to it in turn.

Axes: N embeddings, K classes of the old recogniser, L learned labels, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeskel.continual.device.demonstration_store import DemonstrationStore
from edgeskel.continual.device.head import joined
from edgeskel.continual.device.learner import DEFAULT
from edgeskel.embedding import statistics
from edgeskel.embedding.measure import embeddings
from edgeskel.embedding.statistics import ClassStatistics
from edgeskel.embedding.trajectories import Trajectories
from edgeskel.errors import UsageError
from edgeskel.models import create

if TYPE_CHECKING:
    from edgeskel.data import Store
    from edgeskel.models import Recogniser
    from edgeskel.skeleton import Float32

__all__ = ["grown", "retrain"]

DRAWS = 24
"""Embeddings drawn about the mean of each class that is not replayed from recordings, with the covariance within a class."""
WIDER = 3.0
"""Times the standard deviation within a class of clips that were trained on: unseen clips lie farther out."""
STEPS = 400
RATE = 5e-3
_SEED = 20_26


def retrain(recogniser: Recogniser, memory: DemonstrationStore, out: str | Path, store: Store | None = None,
            clips: Iterable[int] = ()) -> tuple[str, ...]:
    """Write the checkpoint of the grown recogniser into ``out``; its labels.

    Args:
        recogniser: the one that the memory stands on.
        memory: what was learned, opened with the recogniser's knowledge.
        out: the folder.
        store: the recordings that the recogniser learned from; without them its classes are replayed from their
            statistics.
        clips: of the store, its training part.

    Raises:
        UsageError: nothing was learned.
        DataError, TopologyMismatch: the store.
    """
    labels = recogniser.config.labels
    old = np.zeros((0, memory.width), np.float32)
    classes = np.zeros(0, np.int64)
    if store is not None:
        chosen = [(store[int(clip)], int(clip)) for clip in clips]
        kept = [clip for clip, _ in chosen if clip.label in labels]
        old = embeddings(recogniser, kept)
        classes = np.array([labels.index(clip.label) for clip in kept], np.int64)
    larger, seen, shown = grown(recogniser, memory, old, classes)
    larger.save_pretrained(out)
    knowledge = ClassStatistics.measure(seen, shown, larger.config.labels)
    if memory.knowledge is not None:  # the network is the same, so an embedding moves as it did
        knowledge = replace(knowledge.varying_as(memory.knowledge), trajectories=_grown(memory.knowledge, memory, larger))
    knowledge.save(Path(out) / statistics.FILE)
    return larger.config.labels


def grown(recogniser: Recogniser, memory: DemonstrationStore, old: Float32,
          classes: NDArray[np.int64]) -> tuple[Recogniser, Float32, NDArray[np.int64]]:
    """The recogniser with the learned labels behind its own.

    Args:
        recogniser, memory: as for :func:`retrain`.
        old: (N, D) of recordings of its own classes; may be empty.
        classes: (N,) their classes.

    Returns:
        it, and the embeddings and classes that its knowledge is to be measured on.

    Raises:
        UsageError: nothing was learned.
    """
    learner = memory.learner(DEFAULT)
    if not learner.learned:
        raise UsageError(f"nothing is learned in {memory.path}")
    knowledge = learner.knowledge
    demonstrations = [(learner.labels.index(label), one.embedding[: memory.width]) for label, one in memory.demonstrations()]
    places = np.array([place for place, _ in demonstrations], np.int64)
    shown = np.stack([embedding for _, embedding in demonstrations])
    size, count = len(knowledge.labels), len(learner.labels)
    means = np.concatenate([knowledge.means, [shown[places == place].mean(0) for place in range(size, count)]])
    rng = np.random.default_rng(_SEED)
    factor = np.linalg.cholesky(knowledge.covariance + 1e-3 * knowledge.spread * np.eye(knowledge.width))
    drawn_for = np.repeat(np.arange(count), DRAWS)
    noise = (rng.standard_normal((len(drawn_for), knowledge.width)) @ factor.T).astype(np.float32)
    inputs = np.concatenate([old, shown, means[drawn_for] + WIDER * noise]).astype(np.float32)
    weight, bias = _linear(recogniser.classifier, knowledge.width)
    with torch.no_grad():
        before = (torch.from_numpy(inputs) @ weight.T + bias).softmax(-1).numpy()
    targets = torch.from_numpy(joined(before, learner.predict(inputs)))
    owner = np.concatenate([classes, places, drawn_for])
    share = torch.from_numpy(1 / np.bincount(owner, minlength=count)[owner] / count).float()
    config = recogniser.config
    settings = {item.name: getattr(config, item.name) for item in fields(config)}
    settings["labels"] = learner.labels
    larger = create(recogniser.name, **settings)
    larger.encoder.load_state_dict(recogniser.encoder.state_dict())
    classifier = nn.Linear(knowledge.width, count)
    with torch.no_grad():
        classifier.weight.zero_()
        classifier.bias.fill_(float(bias.mean()))
        classifier.weight[:size], classifier.bias[:size] = weight, bias
    _fit(classifier, torch.from_numpy(inputs), targets, share)
    larger.classifier = classifier
    real = np.concatenate([old if len(old) else (means[drawn_for] + noise)[drawn_for < size], shown])
    real_classes = np.concatenate([classes if len(old) else drawn_for[drawn_for < size], places])
    return larger.eval(), real.astype(np.float32), real_classes


def _grown(knowledge: ClassStatistics, memory: DemonstrationStore, larger: Recogniser) -> Trajectories | None:
    """The trajectories of old classes and learned ones; None where a demonstration has none."""
    known, courses = knowledge.trajectories, [(label, one.embedding[memory.width :]) for label, one in memory.demonstrations()]
    if known is None or not all(len(course) for _, course in courses):
        return None
    new = larger.config.labels[len(knowledge.labels) :]
    return known.with_classes(np.stack([np.mean([course for label, course in courses if label == name], 0) for name in new]))


def _linear(classifier: nn.Module, width: int) -> tuple[Tensor, Tensor]:
    """(K, D) and (K,) of a classifier that may be stored in two factors."""
    with torch.no_grad():
        bias = classifier(torch.zeros(1, width))[0]
        return (classifier(torch.eye(width)) - bias).T, bias


def _fit(classifier: nn.Linear, inputs: Tensor, targets: Tensor, share: Tensor) -> None:
    optimizer = torch.optim.Adam(classifier.parameters(), RATE)
    for _ in range(STEPS):
        loss = -(share * (targets * classifier(inputs).log_softmax(-1)).sum(-1)).sum()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
