"""What happens in a step: augment, recognise, compare with the labels and the teachers, follow with the average.

Axes: N clips, M persons, S frames of the window, V joints, K classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeskel.errors import ModelError
from edgeskel.models import Recogniser
from edgeskel.training.augment import Augmenter
from edgeskel.training.recipes import Recipe
from edgeskel.training.virtual import Virtual
from edgeskel.transforms import Streams

__all__ = ["Average", "TrainingModule", "parameter_groups", "schedule"]


class TrainingModule(lightning.LightningModule):
    """A recogniser in training.

    Args:
        recogniser: learns in place.
        recipe: how.
        steps: optimizer steps of the whole training; the learning rate follows them.
        seed: with the step's number, decides every random draw of a step, so that a resumed run repeats them.
        teachers: trained recognisers of the same labels and topology to learn from; frozen.

    After the training, ``result`` is the recogniser to keep: the moving average, or the recogniser itself.
    """

    recipe: Recipe
    steps: int
    seed: int

    def __init__(
        self, recogniser: Recogniser, recipe: Recipe, *, steps: int, seed: int = 0, teachers: Sequence[Recogniser] = ()
    ) -> None:
        super().__init__()
        config = recogniser.config
        if recipe.channels_last:
            recogniser = recogniser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.recogniser: Recogniser = recogniser
        self.recipe, self.steps, self.seed = recipe, steps, seed
        self.average: Average | None = Average(recogniser, recipe.average) if recipe.average else None
        self.virtual: Virtual | None = Virtual(recogniser) if recipe.virtual else None
        frames = recipe.augment.frames or config.source_frames
        self.augment: Augmenter = Augmenter(recipe.augment, config.topology, config.labels, frames, recipe.mirror)
        self.training_streams: Any = recogniser.make_streams(frames)
        # In a tuple, so that teachers are neither saved nor averaged with the student.
        self.teachers: Any = tuple((teacher.eval().requires_grad_(False), teacher.make_streams(frames)) for teacher in teachers)
        self.history: list[dict[str, float]] = []
        self._sums: dict[str, Tensor] = {}

    @property
    def result(self) -> Recogniser:
        """The recogniser to keep."""
        return self.recogniser if self.average is None else self.average.recogniser

    def on_fit_start(self) -> None:
        for teacher, streams in self.teachers:
            teacher.to(self.device)
            streams.to(self.device)

    def on_train_epoch_start(self) -> None:
        sizes = {"train": 2, "validation": 3, "broken": 1}
        self._sums = {part: torch.zeros(size, device=self.device) for part, size in sizes.items()}

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        """Seed every step by its number: whatever else draws in between, a resumed run repeats what it would have."""
        draws = np.random.SeedSequence((self.seed, self.global_step, self.global_rank))
        torch.manual_seed(int(draws.generate_state(1)[0]))

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> Tensor:
        joints, confidence, labels = batch
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            targets = functional.one_hot(labels, len(self.recogniser.config.labels)).float()
            if self.virtual is not None:
                joints, confidence, targets = self.virtual(joints, confidence, targets)
            joints, confidence, targets = self.augment(joints, confidence, targets)
        if self.virtual is None:
            logits = self.logits(self.recogniser, self.training_streams, joints, confidence)
        else:
            embedding = self.embedding(self.recogniser, self.training_streams, joints, confidence)
            logits = torch.cat((self.recogniser.classifier(embedding), self.virtual.classifier(embedding)), -1).float()
        loss = functional.cross_entropy(logits, targets, label_smoothing=self.recipe.label_smoothing)
        if self.teachers:
            share = self.recipe.distill
            loss = (1 - share) * loss + share * self._distillation(logits, joints, confidence)
        count = torch.tensor(float(len(labels)), device=self.device)
        self._sums["train"] += torch.stack((loss.detach() * count, count))
        return loss

    def logits(self, recogniser: Recogniser, streams: Streams, joints: Tensor, confidence: Tensor) -> Tensor:
        """Logits (N, K) in float32. The streams stay in float32 under mixed precision: bfloat16 would round a joint
        three metres away to the centimetre."""
        logits: Tensor = recogniser.classifier(self.embedding(recogniser, streams, joints, confidence))
        return logits.float()

    def embedding(self, recogniser: Recogniser, streams: Streams, joints: Tensor, confidence: Tensor) -> Tensor:
        """(N, D); see :meth:`logits`."""
        with torch.autocast(self.device.type, enabled=False), torch.no_grad():
            inputs, presence = streams(joints, confidence)
        return recogniser.pool(recogniser.features(inputs), presence)

    def _distillation(self, logits: Tensor, joints: Tensor, confidence: Tensor) -> Tensor:
        """Kullback-Leibler divergence from the teachers' mean, scaled so that its gradient does not depend on the
        temperature (Hinton, Vinyals and Dean 2015, arXiv 1503.02531)."""
        heat = self.recipe.temperature
        with torch.no_grad():
            answers = [self.logits(teacher, streams, joints, confidence) for teacher, streams in self.teachers]
            target = torch.stack([(answer / heat).softmax(-1) for answer in answers]).mean(0)
        return functional.kl_div((logits / heat).log_softmax(-1), target, reduction="batchmean") * heat**2

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        super().optimizer_step(*arguments, **named)
        if self.average is not None:
            self.average.follow(self.recogniser, self.global_step)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> None:
        joints, confidence, labels = batch
        if not len(labels):  # this process's share of a short last batch
            return
        recogniser = self.result
        logits = self.logits(recogniser, recogniser.streams, joints, confidence)
        loss = functional.cross_entropy(logits, labels, reduction="sum")
        hits = (logits.argmax(-1) == labels).float().sum()
        self._sums["validation"] += torch.stack((loss, hits, torch.tensor(float(len(labels)), device=self.device)))

    def on_train_epoch_end(self) -> None:
        """Runs after the validation of the epoch, and before its state is written.

        Raises:
            ModelError: loss or weights are no longer finite.
        """
        self._sums["broken"] += sum(not value.isfinite().all() for value in self.result.state_dict().values())
        train, validation, broken = (
            self.trainer.strategy.reduce(self._sums[part], reduce_op="sum") for part in ("train", "validation", "broken")
        )
        if broken > 0 or not train[0].isfinite():
            self._diverged(float(train[0] / train[1]))
        row = {
            "epoch": float(self.current_epoch + 1),
            "loss": float(train[0] / train[1]),
            "learning_rate": float(self.trainer.optimizers[0].param_groups[0]["lr"]),
        }
        if validation[2] > 0:
            row["validation_loss"] = float(validation[0] / validation[2])
            row["validation_top1"] = 100 * float(validation[1] / validation[2])
        self.history.append(row)
        for name, value in row.items():
            if name != "epoch":
                self.log(name, value, rank_zero_only=False, sync_dist=False)

    def _diverged(self, loss: float) -> None:
        seen = f"the loss is {loss:g}" if not math.isfinite(loss) else "there are weights that are not finite"
        before = f"the state after epoch {self.current_epoch}" if self.current_epoch else "nothing"
        raise ModelError(
            f"the training has diverged: in epoch {self.current_epoch + 1} {seen}; {before} is kept",
            expected="a finite loss and finite weights",
            remedy="train anew (--restart) with a lower learning_rate, or with clip_norm above 0",
        )

    def configure_optimizers(self) -> Any:
        recipe = self.recipe
        learning = [self.recogniser] if self.virtual is None else [self.recogniser, self.virtual]
        groups = parameter_groups(nn.ModuleList(learning), recipe.weight_decay)
        optimizer: torch.optim.Optimizer
        if recipe.optimizer == "sgd":
            optimizer = torch.optim.SGD(groups, recipe.learning_rate, momentum=0.9, nesterov=True)
        else:
            optimizer = torch.optim.AdamW(groups, recipe.learning_rate)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule(step, self.steps, recipe.warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = list(checkpoint["history"])


class Average(nn.Module):
    """A copy of a recogniser that follows its weights and statistics as a moving average.

    Args:
        recogniser: what to follow.
        decay: how much stays at each step; less at the start, so that the first weights are soon forgotten.
    """

    def __init__(self, recogniser: Recogniser, decay: float) -> None:
        super().__init__()
        self.recogniser: Recogniser = copy.deepcopy(recogniser).requires_grad_(False).eval()
        self.decay = decay

    def train(self, mode: bool = True) -> Average:
        """Stays in evaluation mode."""
        return self

    @torch.no_grad()
    def follow(self, recogniser: Recogniser, step: int) -> None:
        """Move towards ``recogniser`` after its step number ``step``."""
        keep = min(self.decay, (1 + step) / (10 + step))
        mine, theirs = self.recogniser.state_dict(), recogniser.state_dict()
        floats = [name for name, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_([mine[name] for name in floats], [theirs[name] for name in floats], 1 - keep)
        for name in mine.keys() - set(floats):
            mine[name].copy_(theirs[name])


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights with decay; biases, norms and other vectors without."""
    learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in learned if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in learned if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def schedule(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at ``step``: a linear rise times a cosine fall over all steps."""
    return min(1.0, step / (warmup * steps + 1)) * (0.5 + 0.5 * math.cos(math.pi * min(step / steps, 1.0))) + 3e-4

