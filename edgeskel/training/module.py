"""What happens in a step and in an epoch, whatever the method: its loss, the average that follows, the figures of the curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from edgeskel.errors import ModelError
from edgeskel.models import Encoder
from edgeskel.training.data import Batch
from edgeskel.training.methods import Method
from edgeskel.training.recipes import Optimizer, Recipe
from edgeskel.training.weight_average import WeightAverage

__all__ = ["TrainingModule", "make_optimizer", "parameter_groups", "schedule"]


class TrainingModule(lightning.LightningModule):
    """An encoder in training.

    Args:
        encoder: learns in place.
        method: what is minimised; what it holds learns too.
        recipe: how.
        steps: optimizer steps of the whole training; the learning rate follows them.
        seed: with the step's number, decides every random draw of a step, so that a resumed run repeats them.

    After the training, ``result`` is what is to be kept: the moving average, or the weights themselves.
    """

    def __init__(self, encoder: Encoder, method: Method, recipe: Recipe, *, steps: int, seed: int | tuple[int, ...] = 0) -> None:
        super().__init__()
        if recipe.channels_last:
            encoder = encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.encoder: Encoder = encoder
        self.method: Method = method
        self.recipe, self.steps = recipe, steps
        self.seed: tuple[int, ...] = seed if isinstance(seed, tuple) else (seed,)
        # In a tuple, so that shared weights are not saved twice.
        self._learning: tuple[nn.Module] = (method.result(encoder),)
        self.average: WeightAverage | None = WeightAverage(self._learning[0], recipe.average) if recipe.average else None
        self.history: list[dict[str, float]] = []
        self._sums: dict[str, dict[str, Tensor]] = {}

    @property
    def result(self) -> nn.Module:
        """What is kept: see :meth:`edgeskel.training.methods.Method.result`."""
        return self._learning[0] if self.average is None else self.average.module

    def on_train_epoch_start(self) -> None:
        self._sums = {"train": {}, "validation": {}}

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        """Seed every step by its number: whatever else draws in between, a resumed run repeats what it would have."""
        draws = np.random.SeedSequence((*self.seed, self.global_step, self.global_rank))
        torch.manual_seed(int(draws.generate_state(1)[0]))

    def training_step(self, batch: Batch, index: int) -> Tensor:
        terms = self.method.loss(self.encoder, batch)
        loss: Tensor = torch.stack(tuple(terms.values())).sum() if len(terms) > 1 else next(iter(terms.values()))
        named = {f"loss_{name}": value for name, value in terms.items()} if len(terms) > 1 else {}
        self._add("train", {"loss": loss, **named}, len(batch.index))
        return loss

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        super().optimizer_step(*arguments, **named)
        if self.average is not None:
            self.average.follow(self._learning[0], self.global_step)

    def validation_step(self, batch: Batch, index: int) -> None:
        if not len(batch.index):  # this process's share of a short last batch
            return
        self._add("validation", self.method.validate(self.result.eval(), batch), len(batch.index))

    def _add(self, part: str, figures: Mapping[str, Tensor], clips: int) -> None:
        """Sums over the clips of an epoch, each with its count."""
        sums = self._sums[part]
        count = torch.tensor(float(clips), device=self.device)
        for name, value in figures.items():
            sums[name] = sums.get(name, torch.zeros(2, device=self.device)) + torch.stack((value.detach().float() * count, count))

    def on_train_epoch_end(self) -> None:
        """Runs after the validation of the epoch, and before its state is written.

        Raises:
            ModelError: loss or weights are no longer finite.
        """
        broken = torch.zeros((), device=self.device)
        broken += sum(not value.isfinite().all() for value in self.result.state_dict().values())
        broken = self.trainer.strategy.reduce(broken, reduce_op="sum")
        train, validation = self._means("train"), self._means("validation")
        if broken > 0 or not math.isfinite(train["loss"]):
            self._diverged(train["loss"])
        row = {
            "epoch": float(self.current_epoch + 1),
            **train,
            "learning_rate": float(self.trainer.optimizers[0].param_groups[0]["lr"]),
            **{f"validation_{name}": value for name, value in validation.items()},
        }
        self.history.append(row)
        for name, value in row.items():
            if name != "epoch":
                self.log(name, value, rank_zero_only=False, sync_dist=False)

    def _means(self, part: str) -> dict[str, float]:
        """Over all processes. The first one always has a share of a batch, so that it knows all the names."""
        strategy, sums = self.trainer.strategy, self._sums[part]
        nothing = torch.zeros(2, device=self.device)
        totals = {name: strategy.reduce(sums.get(name, nothing), reduce_op="sum") for name in strategy.broadcast(list(sums))}
        return {name: float(total[0] / total[1]) for name, total in totals.items()}

    def _diverged(self, loss: float) -> None:
        seen = f"the loss is {loss:g}" if not math.isfinite(loss) else "there are weights that are not finite"
        before = f"the state after epoch {self.current_epoch}" if self.current_epoch else "nothing"
        raise ModelError(
            f"the training has diverged: in epoch {self.current_epoch + 1} {seen}; {before} is kept",
            expected="a finite loss and finite weights",
            remedy="train anew (--restart) with a lower learning_rate, or with clip_norm above 0",
        )

    def configure_optimizers(self) -> Any:
        optimizer = make_optimizer(nn.ModuleList((self.encoder, self.method)), self.recipe.optimizer)
        warmup = self.recipe.optimizer.warmup
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule(step, self.steps, warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = list(checkpoint["history"])


def make_optimizer(module: nn.Module, how: Optimizer) -> torch.optim.Optimizer:
    """Over all that learns in ``module``."""
    groups = parameter_groups(module, how.weight_decay)
    if how.name == "sgd":
        return torch.optim.SGD(groups, how.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, how.learning_rate)


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
