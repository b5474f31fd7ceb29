"""iCaRL: exemplars that stand for their class, and the nearest class mean.

Axes: N clips, D width of the embedding, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeskel.continual.training.buffer import clip_bytes
from edgeskel.continual.training.clips import Clips, concatenate
from edgeskel.continual.training.method import ContinualMethod, TaskSetup, answer
from edgeskel.continual.training.regularised import frozen
from edgeskel.errors import UsageError
from edgeskel.models import Encoder, Recogniser
from edgeskel.training.data import Batch

__all__ = ["Exemplars", "herd"]


def herd(features: Tensor, count: int) -> Tensor:
    """Rows, in order, whose running mean stays nearest to the mean of all (Rebuffi et al., algorithm 4).

    Args:
        features: (N, D), of length 1 each.
        count: how many.

    Returns:
        (min(count, N),) different rows.
    """
    target, total = features.mean(0), torch.zeros_like(features[0])
    free = torch.ones(len(features), dtype=torch.bool)
    chosen: list[int] = []
    for size in range(1, min(count, len(features)) + 1):
        distance = (target - (total + features) / size).norm(dim=1)
        best = int(distance.masked_fill(~free, torch.inf).argmin())
        chosen.append(best)
        free[best] = False
        total = total + features[best]
    return torch.tensor(chosen, dtype=torch.int64)


class Exemplars(ContinualMethod):
    """iCaRL (Rebuffi et al., arXiv 1611.07725): binary cross-entropy per class, towards the labels for new classes and
    towards the network before for old ones; herded exemplars; the class whose mean is nearest.

    Each step sees new clips and as many exemplars, as the other methods do, where the paper shuffles both together.
    """

    name = "icarl"

    def __init__(self, setup: TaskSetup) -> None:
        super().__init__(setup)
        each, budget = clip_bytes(*self.shape), setup.budget
        self.capacity: int = budget // each
        if self.capacity < self.classes:
            raise UsageError(f"a buffer of {budget} bytes for {self.classes} classes",
                             expected=f"at least {self.classes * each}, one exemplar each", remedy="raise --bytes")
        self.exemplars: list[Clips] = []  # by class, best first
        self.before: tuple[Recogniser, ...] = ()  # in a tuple: it is neither learned nor saved
        self.means: Tensor | None = None

    def begin(self, new: range) -> None:
        """Keep the network."""
        super().begin(new)
        self.before = (frozen(self.recogniser),) if new.start else ()

    def loss(self, encoder: Encoder, batch: Batch) -> dict[str, Tensor]:
        """Binary cross-entropy over the classes seen, summed over classes."""
        clips = Clips.of(batch).to(self.device)
        if self.exemplars:
            stored = concatenate(self.exemplars)
            drawn = stored.take(torch.randperm(len(stored))[: self.recipe.batch_size])
            clips = concatenate([clips, drawn.to(self.device)])
        streams, presence = self.inputs([clips])
        logits = answer(self.recogniser, streams, presence)
        wanted = functional.one_hot(clips.targets, self.classes).float()
        for before in self.before:
            with torch.no_grad():
                answers = answer(before.to(self.device), streams, presence)
            wanted[:, : self.new.start] = answers[:, : self.new.start].sigmoid()
        losses = functional.binary_cross_entropy_with_logits(
            logits[:, : self.seen], wanted[:, : self.seen], reduction="none")
        return {"binary": losses.sum(1).mean()}

    def end(self, clips: Clips) -> None:
        """Cut the exemplars of the old classes, herd those of the new ones, and find the means."""
        share = self.capacity // self.seen
        self.exemplars = [kept.take(slice(share)) for kept in self.exemplars]
        for target in self.new:
            mine = clips.take((clips.targets == target).nonzero()[:, 0])
            self.exemplars.append(mine.take(herd(functional.normalize(self.embed(mine)), share)))
        self.means = self._means()

    @torch.no_grad()
    def finish(self) -> None:
        """The nearest mean as a linear classifier: with means of length 1 the embedding's own length decides nothing."""
        head = self.classifier
        assert isinstance(head, nn.Linear)
        head.weight.zero_()
        head.bias.zero_()
        head.weight[: self.seen] = self._means().to(head.weight)

    def predict(self, clips: Clips) -> Tensor:
        """The class whose mean is nearest to the embedding, both of length 1."""
        means = self._means() if self.means is None else self.means
        return (functional.normalize(self.embed(clips)) @ means.T).argmax(1)

    def _means(self) -> Tensor:
        """(K', D) of the classes seen, of length 1."""
        return torch.stack([functional.normalize(functional.normalize(self.embed(kept)).mean(0), dim=0)
                            for kept in self.exemplars])

    @property
    def stored_bytes(self) -> int:
        """The exemplars'."""
        return sum(value.nbytes for kept in self.exemplars for value in kept)

    def get_extra_state(self) -> dict[str, Any]:
        """The exemplars."""
        return {"exemplars": [tuple(kept) for kept in self.exemplars]}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`get_extra_state`."""
        self.exemplars = [Clips(*kept) for kept in state["exemplars"]]
        self.means = None
