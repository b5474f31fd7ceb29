"""One training from a store to a checkpoint folder.

    OUT/
      config.json, model.safetensors    what ``from_pretrained`` loads
      segmenter.json                    how live frames are cut into actions, by the training clips' pace and pauses
      embedding.npz                     where its classes lie in the embedding, for actions that a device adds
      run.json                          configuration, seed, versions, data digest, history; written last
      README.md                         the model card
      report.html                       curves, and the confusion matrix of the validation part
      training/                         TensorBoard curves; while it is unfinished, the state to resume from; begun.json
                                        says from the first moment that the folder is ours

The test part of the protocol is never read here.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

import edgeskel
from edgeskel.continual.device import knowledge
from edgeskel.continual.embedding import describe
from edgeskel.data import Split, Store, split
from edgeskel.data.bodies import persons_of
from edgeskel.data.protocols import folds
from edgeskel.errors import CorruptFile, LabelMismatch, TopologyMismatch, UsageError
from edgeskel.files import atomic_write
from edgeskel.models import Recogniser, count_parameters, create, from_pretrained, names, registered
from edgeskel.runtime.segmentation import SEGMENTER, energies, learned, segmenter_entry
from edgeskel.training import card, recipes, record, report
from edgeskel.training.config import TrainConfig
from edgeskel.training.data import Batches, Windows, check_classes, loader
from edgeskel.training.evaluation import evaluate
from edgeskel.training.metrics import Metrics
from edgeskel.training.recipes import Recipe

__all__ = ["Trained", "train", "train_folds"]

_CLIPS_OF_SEGMENTER = 400
_PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "16": "16-mixed",
}


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Args:
        folder: the checkpoint folder.
        run: what ``run.json`` holds.
        resumed_at: epochs that were on disk already.
    """

    folder: Path
    run: dict[str, Any]
    resumed_at: int = 0

    @property
    def recogniser(self) -> Recogniser:
        """The trained recogniser, loaded from its folder."""
        return from_pretrained(self.folder)


def train(config: TrainConfig, *, progress: bool = False) -> Trained:
    """Train, or finish, or return what is finished.

    Under ``torchrun`` every process calls this; the one of rank 0 writes.

    Raises:
        UnknownChoice, UsageError: the configuration; or another training lies in ``config.out``.
        DataError, CorruptFile: the store, the protocol or the state to resume from.
        LabelMismatch, TopologyMismatch: a teacher or the start has other labels or joints than the store.
        KeyboardInterrupt: stopped; the same call goes on after the last finished epoch.
    """
    if config.fold == "all":
        raise UsageError("train was asked for all folds", expected="the number of one", remedy="use train_folds")
    store = Store.open(config.data)
    recipe = _recipe(config, store)
    parts = _without(split(store, config.protocol, fold=config.fold, validation=config.validation), store, recipe.exclude)
    _check(config, parts)
    check_classes(store, parts)
    if recipe.virtual and config.teachers:
        raise UsageError("virtual with teachers", expected="one of the two: teachers do not know the virtual classes")
    identity = _identity(config, store, parts, recipe)
    finished, state = _found(config, identity)
    if finished is not None:
        return Trained(config.out, finished, resumed_at=len(finished["history"]))
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    recogniser = _recogniser(config, store, recipe, persons_of(store, parts.train))
    teachers = [_fitting(name, store) for name in config.teachers]
    if not int(os.environ.get("RANK", 0)):
        _begin(config, identity)
    history, resumed_at = _fit(config, recipe, recogniser, teachers, store, parts, identity, state, progress)
    if int(os.environ.get("RANK", 0)):
        return Trained(config.out, {**identity, "history": history}, resumed_at)
    metrics = evaluate(recogniser, store, parts.validation) if len(parts.validation) else None
    run = {
        **identity,
        "history": history,
        "parameters": count_parameters(recogniser),
        "validation": metrics and metrics.figures(),
        "versions": _versions(),
        "threads": torch.get_num_threads(),
    }
    _write(config.out, recogniser, run, metrics, store, parts)
    return Trained(config.out, run, resumed_at)


def train_folds(config: TrainConfig, *, progress: bool = False) -> list[Trained]:
    """Train one recogniser for each fold of the protocol, in ``OUT/fold-0``, ``OUT/fold-1``, ...; as :func:`train`."""
    count = folds(Store.open(config.data), config.protocol)
    return [
        train(replace(config, fold=fold, out=config.out / f"fold-{fold}"), progress=progress) for fold in range(count)
    ]


def _recipe(config: TrainConfig, store: Store) -> Recipe:
    of_recogniser = registered(config.recogniser)[1]
    settings = recipes.parse_settings(config.settings)
    if config.epochs is not None and "epochs" in settings:
        raise UsageError(
            f"--epochs {config.epochs} and --settings epochs={settings['epochs']}", expected="one of the two"
        )
    if config.epochs is not None:
        settings["epochs"] = config.epochs
    known = [item.name for item in fields(of_recogniser)]
    return recipes.change(recipes.recipe_for(config.recogniser, store.dataset), settings, known)


def _without(parts: Split, store: Store, patterns: Sequence[str]) -> Split:
    """``parts`` with a training part that leaves out what the recipe excludes."""
    if not patterns:
        return parts
    sources = store.index["source"][parts.train].astype(str)
    kept = [not any(fnmatchcase(source, pattern) for pattern in patterns) for source in sources]
    if not any(kept):
        raise UsageError(f"exclude={list(patterns)} leaves no clip to learn from", expected="patterns of some sources")
    return replace(parts, train=parts.train[kept])


def _check(config: TrainConfig, parts: Split) -> None:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "device is cuda, and torch sees no GPU", remedy="use --device cpu, or install torch for your GPU"
        )
    if config.precision == "16" and not _on_gpu(config):
        raise UsageError(
            "precision is 16, and there is no GPU to train on", expected="32 or bf16", remedy="pass --precision bf16"
        )
    if not len(parts.validation) and float(config.validation):
        raise UsageError(
            f"--validation {config.validation} holds out none of the {len(parts.train)} clips of the training side",
            expected="a share that gives at least one clip",
            remedy="hold out more, or pass --validation 0",
        )
    if config.patience and not len(parts.validation):
        raise UsageError(f"patience is {config.patience} without a validation part", remedy="add --validation 0.2")


def _on_gpu(config: TrainConfig) -> bool:
    present = torch.cuda.is_available() or torch.backends.mps.is_available()
    return config.device == "cuda" or (config.device == "auto" and present)


def _identity(config: TrainConfig, store: Store, parts: Split, recipe: Recipe) -> dict[str, Any]:
    """What makes two trainings the same; plain values only."""
    identity = {
        "recogniser": config.recogniser,
        "dataset": store.dataset,
        "data_digest": store.digest,
        "protocol": parts.protocol,
        "fold": parts.fold,
        "split": parts.name,
        "clips": {"train": len(parts.train), "validation": len(parts.validation)},
        "seed": config.seed,
        "start": config.start,
        "teachers": list(config.teachers),
        "patience": config.patience,
        "precision": config.precision,
        "processes": int(os.environ.get("WORLD_SIZE", 1)),
        "recipe": asdict(recipe),
    }
    plain: dict[str, Any] = json.loads(json.dumps(identity, default=dict))
    return plain


def _found(config: TrainConfig, identity: dict[str, Any]) -> tuple[dict[str, Any] | None, Path | None]:
    """(run, None) where this training is finished, (None, state) where it can be resumed, else (None, None)."""
    if not int(os.environ.get("RANK", 0)):
        _check_ours(config)
    if config.restart:
        return None, None
    state = config.out / "training" / "last.ckpt"
    if (config.out / record.FILE).is_file():
        run = record.read(config.out, remedy="pass --restart to train anew")
        _same(run, identity, config.out)
        if not run.get("history"):
            raise CorruptFile(
                config.out / record.FILE, "no epoch in its history", remedy="pass --restart to train anew"
            )
        from_pretrained(config.out)
        return run, None
    if state.is_file():
        from edgeskel.training.trainer import load_state

        _same(load_state(state)["edgeskel_run"], identity, config.out)
        return None, state
    return None, None


def _check_ours(config: TrainConfig) -> None:
    """Refuse a folder that holds something, and none of what a training leaves in it from its first moment on."""
    out = config.out
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"{out} is a file", expected="a folder, or a path that does not exist yet")
    state = out / "training" / "last.ckpt"
    if _begun(out).is_file() or not any(path.is_file() or path.is_symlink() for path in out.rglob("*")):
        return
    try:
        if record.read(out).get("recogniser") in names():
            return
        if state.is_file():
            from edgeskel.training.trainer import load_state

            load_state(state)
            return
    except CorruptFile as error:
        if not config.restart:
            return  # nothing is overwritten, and whoever reads the file next explains it
        raise UsageError(
            f"{out} exists, and nothing in it shows that it is a training's: {error.seen}",
            expected="the folder of a training, or none",
            remedy="choose another --out, or remove that file if it is a training's",
        ) from error
    raise UsageError(f"{out} exists and holds something else", remedy="choose another --out")


def _begun(out: Path) -> Path:
    return out / "training" / "begun.json"


def _begin(config: TrainConfig, identity: dict[str, Any]) -> None:
    """Mark the folder as ours, and with ``--restart`` remove what an older training would be taken up from.

    In this order, so that a kill in between leaves either the older training, finished as it was, or the new one. The
    older weights stay until the new ones are there: this training may start from them.
    """
    with atomic_write(_begun(config.out)) as file:
        file.write((json.dumps(identity, indent=1) + "\n").encode())
    if config.restart:
        (config.out / "training" / "last.ckpt").unlink(missing_ok=True)
        (config.out / record.FILE).unlink(missing_ok=True)
        shutil.rmtree(config.out / "training" / "tensorboard", ignore_errors=True)


def _same(found: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    different = _differences(found, wanted)
    if different:
        raise UsageError(
            f"{folder} holds another training: {'; '.join(different[:4])}",
            expected="the same configuration",
            remedy="choose another --out, or pass --restart to replace it",
        )


def _differences(found: Any, wanted: Any, name: str = "") -> list[str]:
    if isinstance(found, dict) and isinstance(wanted, dict) and wanted:
        return [
            line for key in wanted for line in _differences(found.get(key), wanted[key], f"{name}.{key}".strip("."))
        ]
    if found is None and wanted in ([], {}, "", 0):
        return []  # begun by a version that had no such setting, and it is not used
    return [] if found == wanted else [f"{name} was {found!r} and is now {wanted!r}"]


def _recogniser(config: TrainConfig, store: Store, recipe: Recipe, persons: int) -> Recogniser:
    settings = {"persons": persons, "rate_hz": store.rate_hz, **recipe.model}
    start = None if config.start is None else _fitting(config.start, store)
    if start is not None and start.name == config.recogniser:
        return start
    recogniser = create(config.recogniser, topology=store.topology, labels=store.labels, **settings)
    if start is not None:
        _take_weights(recogniser, start, str(config.start))
    return recogniser


def _take_weights(recogniser: Recogniser, start: Recogniser, name: str) -> None:
    """Another recogniser's weights, where every one of them has its place: ``edge`` and ``edge-live`` share theirs."""
    mine, theirs = recogniser.state_dict(), start.state_dict()
    unfit = [key for key in sorted({*mine, *theirs})
             if key not in mine or key not in theirs or mine[key].shape != theirs[key].shape]
    if unfit:
        raise UsageError(f"{name} is {start.name!r}, whose weights are not those of {recogniser.name!r}: {unfit[0]}"
                         f"{f' and {len(unfit) - 1} more' if len(unfit) > 1 else ''} differ",
                         expected="a checkpoint of the same recogniser, or one with the same layers")
    recogniser.load_state_dict(theirs)


def _fitting(name: str, store: Store) -> Recogniser:
    """A trained recogniser whose labels and joints are the store's."""
    recogniser = from_pretrained(name)
    if recogniser.config.topology.joints != store.topology.joints:
        raise TopologyMismatch(
            f"{name} sees {recogniser.config.topology.name}", expected=f"{store.topology.name}, as the store"
        )
    if tuple(recogniser.config.labels) != store.labels:
        missing = sorted(set(store.labels) ^ set(recogniser.config.labels))
        raise LabelMismatch(
            f"{name} and the store differ in {', '.join(missing) or 'the order of their labels'}",
            expected="the same labels in the same order",
        )
    return recogniser


def _fit(
    config: TrainConfig,
    recipe: Recipe,
    recogniser: Recogniser,
    teachers: Sequence[Recogniser],
    store: Store,
    parts: Split,
    identity: dict[str, Any],
    state: Path | None,
    progress: bool,
) -> tuple[list[dict[str, float]], int]:
    """Run the loop; ``recogniser`` then holds what is to be kept. Returns the history and the epochs found on disk."""
    import lightning
    from lightning.pytorch.loggers import TensorBoardLogger

    from edgeskel.training import trainer as parts_of
    from edgeskel.training.module import TrainingModule

    rank, processes = parts_of.processes()
    if recipe.batch_size % processes:
        raise UsageError(
            f"a batch of {recipe.batch_size} over {processes} processes",
            expected="equal shares",
            remedy=f"pass --settings batch_size={-(-recipe.batch_size // processes) * processes}",
        )
    targets = range(len(store.labels))
    window = (recogniser.config.persons, recogniser.config.source_frames)
    train = Windows(store, parts.train, targets, *window)
    order = Batches(len(train), recipe.batch_size, config.seed, rank, processes)
    module = TrainingModule(recogniser, recipe, steps=recipe.epochs * len(order), seed=config.seed, teachers=teachers)
    validation = None
    if len(parts.validation):
        held_out = Windows(store, parts.validation, targets, *window)
        validation = loader(held_out, Batches(len(held_out), recipe.batch_size, None, rank, processes))
    folder = config.out / "training"
    resumed_at = 0 if state is None else len(parts_of.load_state(state)["history"])
    order.set_epoch(resumed_at)
    best = parts_of.Best(config.patience)
    callbacks = [
        *([best] if config.patience else []),
        parts_of.KeepLast(folder, identity),
        *([parts_of.Bar(recipe.epochs)] if progress else []),
    ]
    parts_of.keep_memory()
    strategy, here, machines = parts_of.strategy()
    with parts_of.quiet_library():
        trainer = lightning.Trainer(
            accelerator={"cuda": "gpu"}.get(config.device, config.device),
            devices=here,
            num_nodes=machines,
            strategy=strategy,
            precision=_PRECISIONS[config.precision],
            max_epochs=recipe.epochs,
            gradient_clip_val=recipe.clip_norm or None,
            callbacks=callbacks,
            plugins=[parts_of.AtomicCheckpoints()],
            logger=TensorBoardLogger(folder, name="", version="tensorboard"),
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            log_every_n_steps=1_000_000,
            deterministic="warn" if torch.cuda.is_available() else None,
            default_root_dir=folder,
        )
        parts_of.fit(trainer, module, loader(train, order), validation, state)
    kept = best.weights if config.patience else module.result.state_dict()
    recogniser.cpu().load_state_dict(kept)
    recogniser.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return module.history, resumed_at


def _write(
    out: Path, recogniser: Recogniser, run: dict[str, Any], metrics: Metrics | None, store: Store, parts: Split
) -> None:
    described = describe(recogniser, store, parts.train)
    recogniser.save_pretrained(out)
    described.save(out / knowledge.FILE)
    with atomic_write(out / SEGMENTER) as file:
        file.write((json.dumps(_segmenter(recogniser, store, parts), indent=1) + "\n").encode())
    title = f"{run['recogniser']} on {run['dataset']}"
    with atomic_write(out / "report.html") as file:
        file.write(report.render(title, metrics, store, run=run, part="validation").encode())
    with atomic_write(out / "README.md") as file:
        file.write(card.render(run, recogniser).encode())
    with atomic_write(out / "run.json") as file:  # last: it says that all the rest is there
        file.write((json.dumps(run, indent=1) + "\n").encode())
    (out / "training" / "last.ckpt").unlink(missing_ok=True)


def _segmenter(recogniser: Recogniser, store: Store, parts: Split) -> dict[str, float]:
    """How live frames are to be cut: by the pauses and the pace of some hundred training clips."""
    config = recogniser.config
    chosen = np.random.default_rng(0).permutation(parts.train)[:_CLIPS_OF_SEGMENTER]
    moving = [energies(store[int(index)], store.topology, config.rate_hz) for index in chosen]
    return segmenter_entry(learned(moving, config.rate_hz))


def _versions() -> dict[str, str]:
    versions = {"edgeskel": edgeskel.__version__, "python": platform.python_version()}
    return {**versions, **{name: metadata.version(name) for name in ("torch", "lightning", "numpy")}}
