"""CHARON: continual learning from masked clips, with a buffer of compressed ones.

After Mosconi, Sorokin, Panariello, Porrello, Bonato, Cotogni, Sabetta, Calderara and Cucchiara, "Mask and Compress:
Efficient Skeleton-based Action Recognition in Continual Learning" (arXiv 2407.01397): DER++ with four changes.

* Stored clips keep every s-th frame and are interpolated when they are drawn, so the same bytes hold s times as many.
* The encoder sees a part of each clip, and a decoder reconstructs the whole of it (``masking.py``).
* When a task ends, the classifier alone is trained on whole clips (linear probe), since until then it saw masked ones.
* The buffer is filled after that, and the logits of all its clips are computed anew.

Here the decoder's own bytes count against the budget, the linear probe runs on embeddings of unchanged clips, computed
once, and each clip is offered to the reservoir once.

Axes: N clips, B bodies, D width of the embedding, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from edgeskel.continual.training.buffer import Reservoir
from edgeskel.continual.training.clips import Clips
from edgeskel.continual.training.masking import Decoder, draw_tuples, reconstruction_error, take_tuples, tuple_frames
from edgeskel.continual.training.method import TaskSetup
from edgeskel.continual.training.replay import DarkReplay, DarkSettings
from edgeskel.errors import UsageError
from edgeskel.models import Encoder
from edgeskel.training.data import Batch

__all__ = ["Charon", "CharonSettings"]


@dataclass(frozen=True, kw_only=True)
class CharonSettings(DarkSettings):
    """CHARON."""

    alpha: float = 0.3
    """Weight of staying at the stored logits."""
    step: int = 4
    """Of the frames of a stored clip, every so many-th is kept."""
    mask_ratio: float = 0.33
    """Share of the tuples that the encoder does not see; 0 sees all."""
    gamma: float = 0.1
    """Weight of the reconstruction; 0 builds no decoder."""
    probe_epochs: int = 10
    """Passes of the linear probe."""
    probe_learning_rate: float = 1e-3
    """Of the linear probe's AdamW."""

    def __post_init__(self) -> None:
        if self.step < 1:
            raise UsageError(f"step is {self.step}", expected="at least 1: every frame")
        if self.mask_ratio >= 1:
            raise UsageError(f"mask_ratio is {self.mask_ratio}", expected="below 1")


class Charon(DarkReplay):
    """See the module's docstring."""

    name = "charon"
    Settings: ClassVar[type] = CharonSettings
    settings: CharonSettings

    def __init__(self, setup: TaskSetup) -> None:
        decoder = Decoder(setup.encoder) if setup.settings.gamma else None
        held = 0 if decoder is None else sum(value.nbytes for value in decoder.parameters())
        super().__init__(replace(setup, budget=setup.budget - held))  # in what the decoder leaves of the budget
        self.decoder: Decoder | None = decoder
        self.tuple_frames: int = tuple_frames(setup.encoder)

    def make_buffer(self, budget: int) -> Reservoir:
        """Of compressed clips with their logits."""
        return Reservoir(budget, self.shape, step=self.settings.step, classes=self.classes)

    @property
    def _decoder_bytes(self) -> int:
        return 0 if self.decoder is None else sum(value.nbytes for value in self.decoder.parameters())

    @property
    def stored_bytes(self) -> int:
        """The buffer's and the decoder's."""
        return self.buffer.bytes + self._decoder_bytes

    def loss(self, encoder: Encoder, batch: Batch) -> dict[str, Tensor]:
        """Each term of DER++ with the reconstruction of its clips:
        CE(new) + γR(new) + α(MSE(first draw) + γR(first draw)) + β(CE(second draw) + γR(second draw))."""
        how, clips = self.settings, Clips.of(batch)
        if not len(self.buffer):
            (logits,), (error,) = self.masked([clips])
            return {"new": self.classify(logits, clips.targets), "reconstruction": how.gamma * error}
        held, named = (self.buffer.draw(self.recipe.batch_size) for _ in range(2))
        (new, old, again), errors = self.masked([clips, held.clips, named.clips])
        return {"new": self.classify(new, clips.targets),
                "logits": how.alpha * functional.mse_loss(old, held.logits.to(self.device)),
                "old": how.beta * self.classify(again, named.clips.targets),
                "reconstruction": how.gamma * (errors[0] + how.alpha * errors[1] + how.beta * errors[2])}

    def masked(self, parts: Sequence[Clips]) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """Logits (N, K) and reconstruction error of each part; the encoder sees the kept tuples only."""
        streams, presence = self.inputs(parts)
        clips, persons = presence.shape
        tuples = streams.shape[2] // self.tuple_frames
        kept = draw_tuples(clips, tuples, self.settings.mask_ratio).to(self.device)
        kept = kept.repeat_interleave(persons, 0)
        encoder = self.recogniser.encoder
        maps = encoder.maps(take_tuples(streams, kept, self.tuple_frames))  # (B, D, P, R)
        sizes = [len(part) for part in parts]
        logits = torch.split(self.classifier(encoder.pool(maps, presence)), sizes)
        if self.decoder is None:
            return logits, [torch.zeros((), device=self.device)] * len(parts)
        bodies = [size * persons for size in sizes]
        drawn = self.decoder(maps, kept)
        return logits, [reconstruction_error(*pair) for pair in
                        zip(torch.split(drawn, bodies), torch.split(streams, bodies), strict=True)]

    def end(self, clips: Clips) -> None:
        """Linear probe; then fill the buffer and bring its logits up to date."""
        self.probe(clips)
        self.buffer.offer(clips, self.logits(clips))
        self.buffer.logits = self.logits(self.buffer.at(slice(None)).clips)

    def probe(self, clips: Clips) -> None:
        """Train the classifier alone, on embeddings of whole clips, with the terms of DER++."""
        how, head, batch = self.settings, self.classifier, self.recipe.batch_size
        new = self.embed(clips).to(self.device)
        stored = self.buffer.at(slice(None))
        old = self.embed(stored.clips).to(self.device) if len(self.buffer) else new[:0]
        answers, targets = stored.logits.to(self.device), stored.clips.targets.to(self.device)
        optimizer = torch.optim.AdamW(head.parameters(), how.probe_learning_rate, weight_decay=self.recipe.optimizer.weight_decay)
        for _ in range(how.probe_epochs):
            for rows in torch.split(torch.randperm(len(new)), batch):
                loss = self.classify(head(new[rows]), clips.targets[rows])
                if len(old):
                    held, named = (torch.randperm(len(old))[:batch] for _ in range(2))
                    loss = loss + how.alpha * functional.mse_loss(head(old[held]), answers[held])
                    loss = loss + how.beta * self.classify(head(old[named]), targets[named])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()

