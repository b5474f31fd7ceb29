"""What is done after every epoch: keep the state, keep the best, tell how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, ModelCheckpoint

from edgeskel.console import Progress, open_console
from edgeskel.training.state import IDENTITY

__all__ = ["EarlyStopping", "KeepLast", "ProgressBar"]


class KeepLast(ModelCheckpoint):
    """After every epoch, the state from which the run can go on, under one name.

    Args:
        folder: where.
        run: what identifies the run; it is stored in the state and compared on resuming.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any]) -> None:
        super().__init__(
            folder,
            filename="last",
            every_n_epochs=1,
            save_top_k=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        self.run: dict[str, Any] = dict(run)

    def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        """Add the identity of the run."""
        checkpoint[IDENTITY] = self.run


class EarlyStopping(Checkpoint):
    """Keeps the weights of the best epoch on the validation part, and ends when none was better for long. The method says which
    epoch is better.

    A ``Checkpoint``, because those run last in an epoch, when the module knows its figures.

    Args:
        patience: epochs to wait for a better one.
    """

    epoch: Any

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.epoch = 0
        self.key: tuple[float, ...] | None = None
        self.weights: dict[str, torch.Tensor] = {}

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Compare."""
        row = module.history[-1]
        told = {name.removeprefix("validation_"): value for name, value in row.items() if name.startswith("validation_")}
        key = module.method.rank(told)
        if self.key is None or key > self.key:
            self.key, self.epoch = key, int(row["epoch"])
            self.weights = {name: value.detach().cpu().clone() for name, value in module.result.state_dict().items()}
        elif row["epoch"] - self.epoch >= self.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"epoch": self.epoch, "key": self.key, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self.epoch, self.weights = state_dict["epoch"], state_dict["weights"]
        self.key = None if state_dict["key"] is None else tuple(state_dict["key"])


class ProgressBar(Callback):
    """Progress on stderr: epochs, loss, validation accuracy, time left."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self._progress: Progress | None = None

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Show it."""
        if trainer.global_rank:
            return
        self._progress = Progress(open_console(stderr=True), keep=True)
        self._task = self._progress.add_task("epoch", total=self.epochs, completed=trainer.current_epoch)
        self._progress.start()

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        """Show the epoch before."""
        if self._progress is None or not module.history:
            return
        row = module.history[-1]
        text = f"epoch, loss {row['loss']:.3f}"
        if "validation_top1" in row:
            text += f", validation {row['validation_top1']:.1f} %"
        elif "validation_loss" in row:
            text += f", validation {row['validation_loss']:.3f}"
        self._progress.update(self._task, completed=int(row["epoch"]), description=text)

    def on_train_end(self, trainer: Any, module: Any) -> None:
        """Leave the last state on the screen."""
        self.on_train_epoch_start(trainer, module)
        if self._progress is not None:
            self._progress.stop()

    def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None:
        """Give the terminal back."""
        if self._progress is not None:
            self._progress.stop()
