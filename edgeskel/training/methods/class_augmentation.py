"""``class-augmentation``: the mirrored and the reversed form of every action are classes of their own, and dropped afterwards.

A recogniser that only has to tell its own classes apart lets go of whatever does not help there, and a class that comes
later finds its clips mixed with others. Held to tell apart four times as many motions, it keeps more of them in its
embedding. The idea, with rotated images, is class augmentation (Zhu et al., "Class-Incremental Learning via Dual
Augmentation", NeurIPS 2021).

Reversing keeps a clip where it stands in its window; mirroring exchanges left and right.

Axes: N clips, M persons, S frames of the window, V joints, K classes, D width of the embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeskel.errors import UsageError
from edgeskel.models import Encoder
from edgeskel.training.augment import flip, seen_span
from edgeskel.training.data import Batch
from edgeskel.training.methods.base import Setup, register
from edgeskel.training.methods.supervised import Supervised

__all__ = ["FORMS", "ClassAugmentation", "reverse"]

FORMS = 4
"""As recorded, reversed, mirrored, both."""
PLAIN = 0.25
"""Share of the clips that stay as recorded; the others are drawn from all four forms alike."""


@register("class-augmentation")
class ClassAugmentation(Supervised):
    """Draws a form for each clip, and holds the classifier of the further classes."""

    mirrored_joints: Tensor

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        if setup.recipe.mirror:
            raise UsageError(f"the method {self.name!r} and mirror", expected="one of them",
                             remedy="it makes a class of every mirrored action; mirror gives it a label")
        self.further: nn.Linear = nn.Linear(setup.encoder.width, (FORMS - 1) * self.classes)
        self.register_buffer("mirrored_joints", torch.tensor(setup.encoder.config.topology.mirror), persistent=False)

    def loss(self, encoder: Encoder, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad(), torch.autocast(batch.joints.device.type, enabled=False):
            joints, confidence, targets = self.augment(*self.in_forms(batch.joints, batch.confidence, self.targets(batch)))
        embedding = encoder.embed(joints, confidence)
        logits = torch.cat((self.classifier(embedding), self.further(embedding)), -1).float()
        return {"cross_entropy": self.cross_entropy(logits, targets)}

    def in_forms(self, joints: Tensor, confidence: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One batch in drawn forms.

        Args:
            joints: (N, M, S, V, 3) metres.
            confidence: (N, M, S, V).
            targets: (N, K).

        Returns:
            the same with targets (N, 4K): as recorded, reversed, mirrored, both.
        """
        clips, classes = targets.shape
        form = torch.randint(FORMS, (clips,), device=joints.device)
        form = form * (torch.rand(clips, device=joints.device) >= PLAIN)
        joints, confidence = reverse(joints, confidence, form % 2 == 1)
        joints, confidence = flip(joints, confidence, form >= 2, self.mirrored_joints)
        spread = torch.zeros(clips, FORMS, classes, device=targets.device)
        spread[torch.arange(clips, device=joints.device), form] = targets
        return joints, confidence, spread.flatten(1)


def reverse(joints: Tensor, confidence: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Play the seen span of the ``chosen`` (N,) clips backwards, in its place. Twice is the identity."""
    first, last = seen_span(confidence)
    frames = torch.arange(joints.shape[2], device=joints.device)[None]  # (1, S)
    inside = (frames >= first[:, None]) & (frames <= last[:, None]) & chosen[:, None]
    order = torch.where(inside, (first + last)[:, None].long() - frames, frames)  # (N, S)
    clip = torch.arange(len(joints), device=joints.device)[:, None]
    return joints.transpose(1, 2)[clip, order].transpose(1, 2), confidence.transpose(1, 2)[clip, order].transpose(1, 2)
