"""``distillation``: the answers of trained recognisers, beside the labels.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015, arXiv 1503.02531). Teachers and student see the same
changed clips, and the student follows the mean of the teachers' probabilities.

Axes: N clips, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from edgeskel.errors import UsageError
from edgeskel.models import Encoder, Recogniser
from edgeskel.training.data import Batch
from edgeskel.training.methods.base import Setup, register
from edgeskel.training.methods.supervised import Supervised, SupervisedSettings, check_share

__all__ = ["Distillation", "DistillationSettings"]


@dataclass(frozen=True, kw_only=True)
class DistillationSettings(SupervisedSettings):
    """Of ``distillation``."""

    distill: float = 0.5
    """Share of the loss that follows the teachers."""
    temperature: float = 1.0
    """Softens teacher and student alike."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("distill", self.distill)
        if self.temperature < 1e-3:
            raise UsageError(f"temperature is {self.temperature}", expected="at least 0.001")


@register("distillation")
class Distillation(Supervised):
    """See the module's docstring."""

    Settings: ClassVar[type] = DistillationSettings
    taught = True
    settings: DistillationSettings

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        if not setup.teachers:
            raise UsageError("distillation without teachers", expected="at least one", remedy="pass --teachers CHECKPOINT...")
        # In a tuple, so that teachers are neither saved nor averaged with the student.
        self.teachers: tuple[Recogniser, ...] = tuple(teacher.eval().requires_grad_(False) for teacher in setup.teachers)

    def loss(self, encoder: Encoder, batch: Batch) -> dict[str, Tensor]:
        joints, confidence, targets = self.changed(batch)
        logits = self.classifier(encoder.embed(joints, confidence)).float()
        share = self.settings.distill
        return {"cross_entropy": (1 - share) * self.cross_entropy(logits, targets),
                "distillation": share * self._divergence(logits, joints, confidence)}

    def _divergence(self, logits: Tensor, joints: Tensor, confidence: Tensor) -> Tensor:
        """Kullback-Leibler divergence from the teachers' mean, scaled so that its gradient does not depend on the temperature."""
        heat = self.settings.temperature
        with torch.no_grad():
            answers = [_on(teacher, joints.device)(joints, confidence).float() for teacher in self.teachers]
            target = torch.stack([(answer / heat).softmax(-1) for answer in answers]).mean(0)
        return functional.kl_div((logits / heat).log_softmax(-1), target, reduction="batchmean") * heat**2


def _on(teacher: Recogniser, device: torch.device) -> Recogniser:
    return teacher if next(teacher.parameters()).device == device else teacher.to(device)
