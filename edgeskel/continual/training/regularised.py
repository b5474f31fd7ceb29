"""Methods that keep no clips: LwF holds the answers, EWC the weights.

Axes: N clips, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from edgeskel.continual.training.clips import Clips
from edgeskel.continual.training.method import ContinualMethod, TaskSetup, answer
from edgeskel.models import Encoder, Recogniser
from edgeskel.training.data import Batch

__all__ = ["EwcSettings", "LwfSettings", "WeightConsolidation", "WithoutForgetting", "frozen"]


def frozen(recogniser: Recogniser) -> Recogniser:
    """A copy that no longer learns."""
    return copy.deepcopy(recogniser).requires_grad_(False).eval()


@dataclass(frozen=True, kw_only=True)
class LwfSettings:
    """LwF."""

    alpha: float = 1.0
    """Weight of the old answers."""
    temperature: float = 2.0
    """Softens both sides."""


class WithoutForgetting(ContinualMethod):
    """LwF (Li and Hoiem, arXiv 1606.09282): on the new clips, the old classes' answers stay those of the network before.

    The network before is the recogniser at the start of the task, so nothing is stored between tasks.
    """

    name = "lwf"
    Settings: ClassVar[type] = LwfSettings
    settings: LwfSettings

    def __init__(self, setup: TaskSetup) -> None:
        super().__init__(setup)
        # In a tuple: it is neither learned nor saved.
        self.before: tuple[Recogniser, ...] = ()

    def begin(self, new: range) -> None:
        """Keep the network."""
        super().begin(new)
        self.before = (frozen(self.recogniser),) if new.start else ()

    def loss(self, encoder: Encoder, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy among the classes seen, plus the divergence from the old answers."""
        clips = Clips.of(batch)
        streams, presence = self.inputs([clips])
        logits = answer(self.recogniser, streams, presence)
        new = self.classify(logits[:, : self.seen], clips.targets)
        if not self.before:
            return {"new": new}
        with torch.no_grad():
            answers = answer(self.before[0].to(self.device), streams, presence)
        heat, old = self.settings.temperature, self.new.start
        stay = functional.kl_div((logits[:, :old] / heat).log_softmax(1), (answers[:, :old] / heat).softmax(1),
                                 reduction="batchmean") * heat**2
        return {"new": new, "old": self.settings.alpha * stay}


@dataclass(frozen=True, kw_only=True)
class EwcSettings:
    """EWC."""

    strength: float = 100.0
    """Weight of the anchor."""
    decay: float = 1.0
    """What is left of the importance of earlier tasks when another one ends."""
    clips: int = 512
    """At most so many clips of a task tell which weights matter."""


class WeightConsolidation(ContinualMethod):
    """EWC (Kirkpatrick et al., arXiv 1612.00796) with one running importance for all tasks (Schwarz et al., arXiv
    1805.06370): weights that mattered are held where the last task left them.

    Stored is the importance; the anchor is the recogniser at the start of the task.
    """

    name = "ewc"
    Settings: ClassVar[type] = EwcSettings
    settings: EwcSettings

    def __init__(self, setup: TaskSetup) -> None:
        super().__init__(setup)
        self.importance: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}

    def begin(self, new: range) -> None:
        """Drop the anchor here."""
        super().begin(new)
        self.anchor = {name: value.detach().clone() for name, value in self.recogniser.named_parameters()}

    def loss(self, encoder: Encoder, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy plus the pull of the anchor."""
        return {**super().loss(encoder, batch), "anchor": self.settings.strength / 2 * self.penalty()}

    def penalty(self) -> Tensor:
        """Sum over the weights of importance times squared distance from the anchor."""
        weights = dict(self.recogniser.named_parameters())
        pulls = [(importance.to(self.device) * (weights[name] - self.anchor[name].to(self.device)) ** 2).sum()
                 for name, importance in self.importance.items()]
        return torch.stack(pulls).sum() if pulls else torch.zeros((), device=self.device)

    def end(self, clips: Clips) -> None:
        """Add the task's importance: the mean square of each clip's gradient of the log-probability of its class."""
        chosen = torch.randperm(len(clips))[: self.settings.clips]
        total = {name: torch.zeros_like(value) for name, value in self.recogniser.named_parameters()}
        self.recogniser.eval()
        for row in chosen:
            one = clips.take(row[None])
            logits = self.recogniser(one.joints.to(self.device), one.confidence.to(self.device))
            gradients = torch.autograd.grad(self.classify(logits, one.targets), list(self.recogniser.parameters()))
            for square, gradient in zip(total.values(), gradients, strict=True):
                square += gradient**2 / len(chosen)
        self.recogniser.train()
        for name, square in total.items():
            before = self.importance.get(name, torch.zeros_like(square))
            self.importance[name] = square + self.settings.decay * before.to(square.device)

    @property
    def stored_bytes(self) -> int:
        """The importance's."""
        return sum(value.nbytes for value in self.importance.values())

    def get_extra_state(self) -> dict[str, Any]:
        """The importance."""
        return {"importance": {name: value.cpu() for name, value in self.importance.items()}}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`get_extra_state`."""
        self.importance = dict(state["importance"])
