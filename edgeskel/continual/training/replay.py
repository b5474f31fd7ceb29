"""Replay of stored clips: ER, ER-ACE, DER++.

All three show their reservoir each clip of a task once, when the task ends. The published code offers it in every epoch,
which fills the buffer of a small task with copies and counts them as if they were other clips.

Axes: N clips, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from edgeskel.continual.training.buffer import Reservoir
from edgeskel.continual.training.clips import Clips
from edgeskel.continual.training.method import ContinualMethod, TaskSetup
from edgeskel.models import Encoder
from edgeskel.training.data import Batch

__all__ = ["DarkReplay", "DarkSettings", "ExperienceReplay", "AsymmetricReplay"]


class ExperienceReplay(ContinualMethod):
    """Experience replay (Chaudhry et al., arXiv 1902.10486): cross-entropy on new and on stored clips alike."""

    name = "er"

    def __init__(self, setup: TaskSetup) -> None:
        super().__init__(setup)
        self.buffer: Reservoir = self.make_buffer(setup.budget)

    def make_buffer(self, budget: int) -> Reservoir:
        """Of whole clips."""
        return Reservoir(budget, self.shape)

    def loss(self, encoder: Encoder, batch: Batch) -> dict[str, Tensor]:
        if not len(self.buffer):
            return super().loss(encoder, batch)
        new, old = Clips.of(batch), self.buffer.draw(self.recipe.batch_size).clips
        new_logits, old_logits = self.recognise([new, old])
        return self.terms(new_logits, new, old_logits, old)

    def terms(self, new_logits: Tensor, new: Clips, old_logits: Tensor, old: Clips) -> dict[str, Tensor]:
        """Cross-entropy over all of them together."""
        targets = torch.cat((new.targets.to(self.device), old.targets.to(self.device)))
        return {"all": self.classify(torch.cat((new_logits, old_logits)), targets)}

    def end(self, clips: Clips) -> None:
        """Fill the reservoir."""
        self.buffer.offer(clips)

    @property
    def stored_bytes(self) -> int:
        """The buffer's."""
        return self.buffer.bytes

    def get_extra_state(self) -> dict[str, Any]:
        """The buffer."""
        return {"buffer": self.buffer.state(), "offered": self.buffer.offered}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`get_extra_state`."""
        self.buffer.load(state["buffer"], state["offered"])


class AsymmetricReplay(ExperienceReplay):
    """ER-ACE (Caccia et al., arXiv 2104.05025): new clips compete only with the classes of their own task, so that they
    do not push the old ones away; stored clips compete with all."""

    name = "er-ace"

    def terms(self, new_logits: Tensor, new: Clips, old_logits: Tensor, old: Clips) -> dict[str, Tensor]:
        """Cross-entropy of the new clips among the task's classes, plus that of the stored ones."""
        others = torch.full_like(new_logits, -torch.inf)
        others[:, self.new] = new_logits[:, self.new]
        return {"new": self.classify(others, new.targets), "old": self.classify(old_logits, old.targets)}


@dataclass(frozen=True, kw_only=True)
class DarkSettings:
    """DER++."""

    alpha: float = 1.0
    """Weight of staying at the stored logits."""
    beta: float = 1.0
    """Weight of the stored clips' labels."""


class DarkReplay(ExperienceReplay):
    """DER++ (Buzzega et al., arXiv 2004.07211): stored clips come with the logits of their time, which the network is held
    to, and with their labels; two draws, one for each."""

    name = "der++"
    Settings: ClassVar[type] = DarkSettings
    settings: DarkSettings

    def make_buffer(self, budget: int) -> Reservoir:
        """Of whole clips with their logits."""
        return Reservoir(budget, self.shape, classes=self.classes)

    def loss(self, encoder: Encoder, batch: Batch) -> dict[str, Tensor]:
        """CE(new) + alpha MSE(first draw, its logits) + beta CE(second draw)."""
        if not len(self.buffer):
            return ContinualMethod.loss(self, encoder, batch)
        clips = Clips.of(batch)
        held, named = (self.buffer.draw(self.recipe.batch_size) for _ in range(2))
        new, old, again = self.recognise([clips, held.clips, named.clips])
        return {"new": self.classify(new, clips.targets),
                "logits": self.settings.alpha * functional.mse_loss(old, held.logits.to(self.device)),
                "old": self.settings.beta * self.classify(again, named.clips.targets)}

    def end(self, clips: Clips) -> None:
        """Fill the reservoir, with the logits that the network gives now."""
        self.buffer.offer(clips, self.logits(clips))
