"""``supervised``: cross-entropy with the labels, on changed clips.

Axes: N clips, M persons, S frames of the window, V joints, D width of the embedding, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeskel.errors import DataError, UsageError
from edgeskel.models import Encoder, Recogniser, recogniser_of
from edgeskel.training.augment import Augmenter
from edgeskel.training.data import Batch
from edgeskel.training.methods.base import Method, Setup, register

__all__ = ["Supervised", "SupervisedSettings", "check_share"]


def check_share(name: str, value: float) -> None:
    """Raises ``UsageError`` for what is no share."""
    if not 0 <= value <= 1:
        raise UsageError(f"{name} is {value}", expected="0 to 1")


@dataclass(frozen=True, kw_only=True)
class SupervisedSettings:
    """Of ``supervised``, and of every method that is one."""

    label_smoothing: float = 0.1
    """Share of the target spread over all classes."""

    def __post_init__(self) -> None:
        check_share("label_smoothing", self.label_smoothing)


@register("supervised")
class Supervised(Method):
    """See the module's docstring."""

    Settings: ClassVar[type] = SupervisedSettings
    labelled = True
    settings: SupervisedSettings

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        if setup.classifier is None:
            raise DataError(f"the method {self.name!r} on {setup.store.dataset}, which has no labels",
                            expected="a store with labels")
        config, recipe = setup.encoder.config, setup.recipe
        self.classifier: nn.Module = setup.classifier
        self.classes: int = len(config.labels)
        frames = recipe.augment.frames or config.source_frames
        self.augment: Augmenter = Augmenter(recipe.augment, config.topology, config.labels, frames, recipe.mirror)

    def loss(self, encoder: Encoder, batch: Batch) -> dict[str, Tensor]:
        joints, confidence, targets = self.changed(batch)
        logits = self.classifier(encoder.embed(joints, confidence)).float()
        return {"cross_entropy": self.cross_entropy(logits, targets)}

    def result(self, encoder: Encoder) -> Recogniser:
        return recogniser_of(encoder, self.classifier)

    def validate(self, result: nn.Module, batch: Batch) -> dict[str, Tensor]:
        assert batch.labels is not None
        logits = result(batch.joints, batch.confidence).float()
        return {"loss": functional.cross_entropy(logits, batch.labels),
                "top1": 100 * (logits.argmax(-1) == batch.labels).float().mean()}

    def rank(self, figures: Mapping[str, float]) -> tuple[float, ...]:
        """By accuracy, then by loss."""
        return figures["top1"], -figures["loss"]

    # For the methods that are one.

    @torch.no_grad()
    def changed(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The batch, changed at random and blended: joints (N, M, S, V, 3), confidence (N, M, S, V), targets (N, K). In float32
        whatever the precision of the training."""
        with torch.autocast(batch.joints.device.type, enabled=False):
            targets = self.targets(batch)
            found: tuple[Tensor, Tensor, Tensor] = self.augment(batch.joints, batch.confidence, targets)
            return found

    def targets(self, batch: Batch) -> Tensor:
        """(N, K), 1 at the label of each clip."""
        assert batch.labels is not None
        return functional.one_hot(batch.labels, self.classes).float()

    def cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of (N, K) with (N, K) shares, softened as the settings say."""
        return functional.cross_entropy(logits, targets, label_smoothing=self.settings.label_smoothing)
