"""What the library's loop is given: checkpoints that are whole or absent, progress, early stop, processes."""

from __future__ import annotations

import io
import os
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.strategies import DDPStrategy, Strategy

from edgeskel.console import Progress, open_console
from edgeskel.errors import CorruptFile
from edgeskel.files import atomic_write
from edgeskel.training.module import TrainingModule

__all__ = [
    "AtomicCheckpoints", "Bar", "Best", "KeepLast", "fit", "keep_memory", "load_state", "processes", "quiet_library",
    "strategy",
]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h

# Remarks of the library that do not apply, each with the reason.
_REMARKS = (
    ".*does not have many workers.*",  # cached windows need none
    ".*You defined a `validation_step` but have no `val_dataloader`.*",  # a final training uses every clip
    ".*The number of training batches .* is smaller than the logging interval.*",  # curves are per epoch
    ".*Checkpoint directory .* exists and is not empty.*",  # that is how a run is resumed
    ".*Starting from v1.9.0, `tensorboardX` has been removed.*",  # we ask for TensorBoard
    ".*`lr_scheduler.step\\(\\)` before `optimizer.step\\(\\)`.*",  # the library's order under mixed precision
    ".*GPU available but not used.*",  # the user asked for the CPU
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",  # inside the library
    ".*It is recommended to use `self.log\\(.*sync_dist=True\\).*",  # the figures are reduced before they are logged
    ".*Found .* module\\(s\\) in eval mode at the start of training.*",  # the average and the teachers
)


@contextmanager
def quiet_library() -> Iterator[None]:
    """Filter the library's remarks, by text, and its hints at other products."""
    import logging

    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for remark in _REMARKS:
            warnings.filterwarnings("ignore", message=remark)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that appear whole or not at all, and are read without unpickling objects."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write under a temporary name, flush, rename.

        From memory, so that what the disk refuses is an ``OSError`` and not an error inside torch's own writer.
        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with atomic_write(path) as file:
            file.write(content.getbuffer())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read tensors and plain values only."""
        return load_state(Path(path))


def load_state(path: Path) -> dict[str, Any]:
    """The state of an unfinished training.

    Raises:
        CorruptFile: it cannot be read, a checksum in it is wrong, or it holds anything but tensors and plain values.
    """
    remedy = f"pass --restart to train from the start, or delete {path}"
    try:
        with zipfile.ZipFile(path) as archive:  # torch writes checksums and does not read them
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CorruptFile(
            path,
            f"unreadable training state ({reason[:200]})",
            expected="the state of an interrupted training",
            remedy=remedy,
        ) from error
    if not isinstance(state, dict) or "edgeskel_run" not in state:
        raise CorruptFile(path, "not a training state of edgeskel", remedy=remedy)
    return state


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
        checkpoint["edgeskel_run"] = self.run


class Best(Checkpoint):
    """Early stop: keeps the weights of the best epoch on the validation part, and ends when none was better for long.

    A ``Checkpoint``, because those run last in an epoch, when the module knows its figures.

    Args:
        patience: epochs to wait for a better one.
    """

    epoch: Any

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.epoch = 0
        self.key: tuple[float, float] | None = None
        self.weights: dict[str, torch.Tensor] = {}

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Compare by accuracy, then by loss."""
        row = module.history[-1]
        key = (row["validation_top1"], -row["validation_loss"])
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


class Bar(Callback):
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


def processes() -> tuple[int, int]:
    """(rank, number) of the data-parallel processes that ``torchrun`` started; (0, 1) without it."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def strategy() -> tuple[Strategy | str, int, int]:
    """(strategy, processes on this machine, machines) as ``torchrun`` set them up; one process without it."""
    _, number = processes()
    if number == 1:
        return "auto", 1, 1
    here = int(os.environ.get("LOCAL_WORLD_SIZE", number))
    backend = "nccl" if torch.cuda.is_available() and torch.cuda.device_count() >= here else "gloo"
    return DDPStrategy(process_group_backend=backend), here, number // here


def keep_memory() -> None:
    """Let the C library keep the pages it was given, instead of returning and asking for them again at every step.

    The maps of a batch are larger than glibc's threshold for pages of their own, so that every operation would start
    with page faults: a quarter of a step of ``edge``. Elsewhere than on glibc this does nothing.
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def fit(trainer: lightning.Trainer, module: TrainingModule, train: Any, validation: Any, state: Path | None) -> None:
    """``trainer.fit`` that lets an interrupt through as what it is.

    Raises:
        KeyboardInterrupt: the user stopped it; the last finished epoch is on disk.
    """
    import signal

    previous = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, train, validation, ckpt_path=None if state is None else str(state), weights_only=True)
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if previous is not None and signal.getsignal(signal.SIGINT) is not previous:
            signal.signal(signal.SIGINT, previous)
