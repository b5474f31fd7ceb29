"""The one trainer: a method, an encoder and clips in, what is to be kept out. Everything that no method should know lives here.

Lightning runs the loop. Its remarks that do not apply here are filtered, each with its reason.
"""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy, Strategy
from torch import nn

from edgeskel.errors import UsageError
from edgeskel.models import Encoder
from edgeskel.training.callbacks import EarlyStopping, KeepLast, ProgressBar
from edgeskel.training.data import Batches, WindowDataset, loader
from edgeskel.training.methods import Method
from edgeskel.training.module import TrainingModule
from edgeskel.training.recipes import Recipe
from edgeskel.training.samplers import Sampler, sampler_named
from edgeskel.training.state import AtomicCheckpoints, load_state
from edgeskel.training.trackers import tracker_named

__all__ = ["Fitted", "Running", "fit", "keep_memory", "processes", "quiet_library"]

_PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "16": "16-mixed",
}
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


@dataclass(frozen=True)
class Running:
    """How a training runs, which changes its result in the last digits only.

    Args:
        folder: for the state to resume from and for the curves; None keeps neither.
        identity: of the run, stored in the state.
        state: to go on from.
        device: auto, cpu or cuda.
        precision: 32, bf16 or 16.
        tracker: see :func:`edgeskel.training.trackers.tracker_named`.
        progress: show a bar on stderr.
        callbacks: of Lightning, for whoever has more to do after a step or an epoch.
    """

    folder: Path | None = None
    identity: Mapping[str, Any] | None = None
    state: Path | None = None
    device: str = "auto"
    precision: str = "32"
    tracker: str = "tensorboard"
    progress: bool = False
    callbacks: Sequence[Callback] = ()


@dataclass(frozen=True)
class Fitted:
    """What came of it.

    Args:
        result: of the method, with the weights to keep: on the CPU, in evaluation mode.
        history: figures of each epoch.
        resumed_at: epochs that were in the state already.
    """

    result: nn.Module
    history: list[dict[str, float]]
    resumed_at: int


def fit(
    encoder: Encoder,
    method: Method,
    recipe: Recipe,
    clips: WindowDataset,
    validation: WindowDataset | None = None,
    *,
    seed: int | tuple[int, ...] = 0,
    sampler: Sampler | None = None,
    patience: int = 0,
    running: Running | None = None,
) -> Fitted:
    """Train ``encoder`` by ``method``.

    Args:
        encoder: learns in place.
        method: what is minimised.
        recipe: epochs, batches, optimizer, average.
        clips: to learn from.
        validation: to measure on after every epoch.
        seed: of every draw.
        sampler: draws the clips of an epoch; the recipe's by default.
        patience: stop when so many epochs brought nothing better, and keep the best one; 0 trains to the end.
        running: folder, device and the like.

    Raises:
        UsageError: a batch that cannot be shared by the processes, or a sampler that draws nonsense.
        ModelError: the training has diverged; what is in the folder is the state before.
        CorruptFile: the state to go on from.
        KeyboardInterrupt: stopped; the last finished epoch is on disk.
    """
    running = running or Running()
    rank, count = processes()
    if recipe.batch_size % count:
        raise UsageError(
            f"a batch of {recipe.batch_size} over {count} processes",
            expected="equal shares",
            remedy=f"pass --settings batch_size={-(-recipe.batch_size // count) * count}",
        )
    order = Batches(clips.labels, recipe.batch_size, seed, rank, count, sampler or sampler_named(recipe.sampler))
    module = TrainingModule(encoder, method, recipe, steps=recipe.epochs * len(order), seed=seed)
    module.train()  # the library leaves every module in the mode in which it finds it, and trained weights come in evaluation mode
    held_out = None
    if validation is not None and len(validation):
        held_out = loader(validation, Batches(validation.labels, recipe.batch_size, None, rank, count))
    resumed_at = 0 if running.state is None else len(load_state(running.state)["history"])
    order.set_epoch(resumed_at)
    best = EarlyStopping(patience) if patience else None
    keep_memory()
    chosen, here, machines = _strategy()
    with quiet_library():
        trainer = lightning.Trainer(
            accelerator={"cuda": "gpu"}.get(running.device, running.device),
            devices=here,
            num_nodes=machines,
            strategy=chosen,
            precision=_PRECISIONS[running.precision],
            max_epochs=recipe.epochs,
            gradient_clip_val=recipe.optimizer.clip_norm or None,
            callbacks=_callbacks(recipe, best, running),
            plugins=[AtomicCheckpoints()],
            logger=running.folder is not None
            and tracker_named(running.tracker, running.folder, resumed_at, running.identity),
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=running.folder is not None,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            log_every_n_steps=1_000_000,
            deterministic="warn" if torch.cuda.is_available() else None,
            default_root_dir=running.folder,
        )
        _run(trainer, module, loader(clips, order), held_out, running.state)
    weights = best.weights if best is not None else module.result.state_dict()
    result = method.result(encoder).cpu()
    result.load_state_dict(weights)
    result.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return Fitted(result, module.history, resumed_at)


def _callbacks(recipe: Recipe, best: EarlyStopping | None, running: Running) -> list[Callback]:
    kept: list[Callback] = [] if best is None else [best]
    if running.folder is not None:
        kept.append(KeepLast(running.folder, running.identity or {}))
    if running.progress:
        kept.append(ProgressBar(recipe.epochs))
    return [*kept, *running.callbacks]


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


def _run(trainer: lightning.Trainer, module: TrainingModule, clips: Any, validation: Any, state: Path | None) -> None:
    """``trainer.fit`` that lets an interrupt through as what it is."""
    previous = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, clips, validation, ckpt_path=None if state is None else str(state), weights_only=True)
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if previous is not None and signal.getsignal(signal.SIGINT) is not previous:
            signal.signal(signal.SIGINT, previous)


def processes() -> tuple[int, int]:
    """(rank, number) of the data-parallel processes that ``torchrun`` started; (0, 1) without it."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def _strategy() -> tuple[Strategy | str, int, int]:
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
