"""What every class-incremental method is: a training method, and what it keeps when a task ends.

The sequence of tasks (``loop.py``) and the Trainer are the same for all. A method sees the clips of the task at hand and
whatever it stored itself, which is part of its ``state_dict``.

Axes: N clips, M persons, S frames of the window, V joints, K classes of all tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeskel.continual.training.clips import Clips, concatenate
from edgeskel.models import Encoder, Recogniser, recogniser_of
from edgeskel.training import methods
from edgeskel.training.augment import Augmenter
from edgeskel.training.data import Batch
from edgeskel.training.recipes import Augment, Optimizer, Recipe, change

__all__ = ["RECIPE", "ContinualMethod", "TaskSetup", "answer", "recipe_for"]

RECIPE = Recipe(
    epochs=15,
    batch_size=16,
    optimizer=Optimizer(learning_rate=3e-3, weight_decay=1e-3, warmup=0.0, clip_norm=2.0),
    average=0.0,
    augment=Augment(frames=0, crop=0.25, warp=0.3, amplitude=0.0, bone=0.1, limb=0.1, yaw=0.3, tilt=0.1, noise=0.01,
                    joint_dropout=0.0, flip=0.0, mix=0.0),
)
"""Of a task, the same for every method: so many epochs over its new clips, a fresh optimizer, and the same changes of a clip;
replayed clips are changed anew at every draw. A batch is so many new clips, and as many replayed ones for each term that
replays."""


def recipe_for(kind: type[ContinualMethod], settings: Mapping[str, Any]) -> Recipe:
    """:data:`RECIPE` with this method and other values in place.

    Raises:
        UnknownChoice: no such setting.
        UsageError: a value of the wrong type or size.
    """
    known = methods.defaults(kind)
    recipe = change(replace(RECIPE, method=kind.name, method_settings=known), settings, (), known)
    methods.settings_of(kind, recipe.method_settings)  # refuses what makes no sense
    return recipe


@dataclass(frozen=True)
class TaskSetup(methods.Setup):
    """What a method is made from.

    Args:
        budget: bytes that may be stored between tasks.
    """

    budget: int = 0


def answer(recogniser: Recogniser, streams: Tensor, presence: Tensor) -> Tensor:
    """Logits (N, K) of streams (B, C, T, V) with presence (N, M)."""
    encoder = recogniser.encoder
    logits: Tensor = recogniser.classifier(encoder.pool(encoder.maps(streams), presence))
    return logits


class ContinualMethod(methods.Method):
    """Base of all methods; by itself it is fine-tuning, which keeps nothing.

    The classifier has a place for every class of the protocol.
    """

    name = "finetune"
    labelled = True
    at_once: ClassVar[bool] = False
    """Whether all tasks are learned as one (``joint``)."""

    def __init__(self, setup: TaskSetup) -> None:
        super().__init__(setup)
        assert setup.classifier is not None
        config = setup.encoder.config
        self.classifier: nn.Module = setup.classifier
        # In a tuple: the encoder is not the method's.
        self._recogniser: tuple[Recogniser] = (recogniser_of(setup.encoder, setup.classifier),)
        self.budget: int = setup.budget
        self.recipe: Recipe = setup.recipe
        self.shape: tuple[int, int, int] = (config.persons, config.source_frames, len(config.topology.joints))
        self.classes: int = len(config.labels)
        self.augment: Augmenter = Augmenter(setup.recipe.augment, config.topology, config.labels, config.source_frames, {})
        self.new = range(0)
        """Classes of the task at hand."""
        self.seen = 0
        """Classes of all tasks so far; they are the first ones."""

    @property
    def recogniser(self) -> Recogniser:
        """What learns."""
        return self._recogniser[0]

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return next(self.recogniser.parameters()).device

    def begin(self, new: range) -> None:
        """A task with the classes ``new`` begins; the recogniser is as the one before left it."""
        self.new, self.seen = new, new.stop

    def loss(self, encoder: Encoder, batch: Batch) -> dict[str, Tensor]:
        new = Clips.of(batch)
        logits, = self.recognise([new])
        return {"new": self.classify(logits, new.targets)}

    def result(self, encoder: Encoder) -> Recogniser:
        return self.recogniser

    def end(self, clips: Clips) -> None:
        """The task ends: look at its clips a last time and store what is to be kept."""

    def finish(self) -> None:
        """All tasks are learned: let the recogniser itself answer as :meth:`predict` does."""

    @property
    def stored_bytes(self) -> int:
        """What is kept between tasks beside the recogniser."""
        return 0

    # For the methods.

    def inputs(self, parts: Sequence[Clips]) -> tuple[Tensor, Tensor]:
        """All clips of ``parts`` as one batch: changed at random, as streams (B, C, T, V), with presence (N, M)."""
        clips = concatenate([part.to(self.device) for part in parts])
        with torch.no_grad():
            joints, confidence, _ = self.augment(clips.joints, clips.confidence, torch.zeros(len(clips), 1, device=self.device))
            return self.recogniser.encoder.inputs(joints, confidence)

    def recognise(self, parts: Sequence[Clips]) -> tuple[Tensor, ...]:
        """Logits (N, K) of each part, in one pass, so that normalisation sees old and new clips together."""
        streams, presence = self.inputs(parts)
        logits = answer(self.recogniser, streams, presence)
        return torch.split(logits, [len(part) for part in parts])

    def classify(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of (N, K) with classes (N,); ``loss`` gives it the places of later classes too."""
        return functional.cross_entropy(logits, targets.to(logits.device))

    @torch.no_grad()
    def embed(self, clips: Clips, batch_size: int = 64) -> Tensor:
        """(N, D) of whole, unchanged clips, in evaluation mode, on the CPU."""
        training = self.recogniser.training
        self.recogniser.eval()
        found = [self.recogniser.embed(*part.to(self.device)[:2]).cpu()
                 for part in (clips.take(slice(start, start + batch_size)) for start in range(0, len(clips), batch_size))]
        self.recogniser.train(training)
        return torch.cat(found)

    @torch.no_grad()
    def logits(self, clips: Clips) -> Tensor:
        """(N, K) of whole, unchanged clips, in evaluation mode, on the CPU."""
        answers: Tensor = self.classifier(self.embed(clips).to(self.device))
        return answers.cpu()

    def predict(self, clips: Clips) -> Tensor:
        """(N,) classes, among those seen so far."""
        return self.logits(clips)[:, : self.seen].argmax(1)
