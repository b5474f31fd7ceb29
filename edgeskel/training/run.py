"""One training from a store to a checkpoint folder.

    OUT/
      config.json, model.safetensors    what ``from_pretrained`` loads
      segmenter.json                    how live frames are cut into actions, by the training clips' pace and pauses
      embedding.npz                     where its classes lie in the embedding, for actions that a device adds
      run.json                          configuration, seed, versions, data digest, history; written last
      README.md                         the model card
      report.html                       curves, and the confusion matrix of the validation part
      training/                         curves; while it is unfinished, the state to resume from (run_folder.py)

The test part of the protocol is never read here.
"""

from __future__ import annotations

import platform
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

import edgeskel
from edgeskel.data import Split, Store, split
from edgeskel.data.bodies import persons_of
from edgeskel.data.protocols import folds
from edgeskel.errors import CorruptFile, UsageError
from edgeskel.models import Encoder, Recogniser, count_parameters, from_pretrained, registered
from edgeskel.training import methods, recipes, record, result, starting
from edgeskel.training.config import TrainConfig
from edgeskel.training.data import WindowDataset, check_classes
from edgeskel.training.recipes import Recipe
from edgeskel.training.run_folder import RunFolder
from edgeskel.training.samplers import Sampler
from edgeskel.training.starting import Start
from edgeskel.training.trainer import Running, fit, processes

__all__ = ["Trained", "identity_of", "train", "train_folds", "versions"]


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


def train(
    config: TrainConfig,
    *,
    recipe: Recipe | None = None,
    settings: Mapping[str, Any] | None = None,
    start: Start | None = None,
    sampler: Sampler | None = None,
    identity: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> Trained:
    """Train, or finish, or return what is finished.

    Under ``torchrun`` every process calls this; the one of rank 0 writes.

    Args:
        config: what to train, on what, how.
        recipe: in place of the one for this recogniser and dataset; ``config.settings`` change it.
        settings: further changes of the recipe, value by name.
        start: what to start from and to learn from, in memory; ``config.start`` and ``config.teachers`` only tell its names then.
        sampler: draws the clips of an epoch, in place of the recipe's. Give it a name of its own in ``identity``.
        identity: what else makes two trainings the same; plain values, recorded in ``run.json``.
        progress: show a bar on stderr.

    Raises:
        UnknownChoice, UsageError: the configuration; or another training lies in ``config.out``.
        DataError, CorruptFile: the store, the protocol or the state to resume from.
        LabelMismatch, TopologyMismatch: a teacher or the start has other labels or joints than the store.
        ModelError: the training has diverged.
        KeyboardInterrupt: stopped; the same call goes on after the last finished epoch.
    """
    if config.fold == "all":
        raise UsageError("train was asked for all folds", expected="the number of one", remedy="use train_folds")
    store = Store.open(config.data)
    recipe = _recipe(config, recipe or recipes.recipe_for(config.recogniser, store.dataset), settings or {})
    kind = methods.registered(recipe.method)
    parts = _without(split(store, config.protocol, fold=config.fold, validation=config.validation), store, recipe.exclude)
    _check(config, kind, parts)
    if kind.labelled:
        check_classes(store, parts)
    folder = RunFolder(config.out, {**identity_of(config, store, parts, recipe), **(identity or {})}, restart=config.restart,
                       read_identity=_current)
    finished, state = folder.found()
    if finished is not None:
        return Trained(config.out, _whole(config.out, finished), resumed_at=len(finished["history"]))
    if config.threads:
        torch.set_num_threads(config.threads)
    start = start or starting.load(config.start, config.teachers, store)
    torch.manual_seed(config.seed)
    encoder, classifier = starting.make(config.recogniser, store, recipe, start, persons_of(store, parts.train), kind.labelled)
    of_method = methods.settings_of(kind, recipe.method_settings)
    method = methods.create(methods.Setup(encoder, classifier, recipe, of_method, store, parts.train, start.teachers))
    if not isinstance(method.result(encoder), (Recogniser, Encoder)):  # before hours of training
        raise UsageError(f"the result of the method {kind.name!r} is {type(method.result(encoder)).__name__}",
                         expected="an encoder, or a recogniser around it")
    targets = range(len(store.labels)) if kind.labelled else None
    window = encoder.config.persons, encoder.config.source_frames
    with folder.training():
        fitted = fit(
            encoder, method, recipe, WindowDataset(store, parts.train, targets, *window),
            WindowDataset(store, parts.validation, targets, *window) if len(parts.validation) else None,
            seed=config.seed, sampler=sampler, patience=config.patience,
            running=Running(folder.work, folder.identity, state, config.device, config.precision, config.tracker, progress))
        run = {**folder.identity, "history": fitted.history}
        if not processes()[0]:
            run |= _recorded(fitted.result)
            run["validation"] = result.write(config.out, fitted.result, run, store, parts)
            folder.finish(run)
    return Trained(config.out, run, fitted.resumed_at)


def train_folds(config: TrainConfig, *, progress: bool = False) -> list[Trained]:
    """Train one recogniser for each fold of the protocol, in ``OUT/fold-0``, ``OUT/fold-1``, ...; as :func:`train`."""
    count = folds(Store.open(config.data), config.protocol)
    return [
        train(replace(config, fold=fold, out=config.out / f"fold-{fold}"), progress=progress) for fold in range(count)
    ]


def versions(*packages: str) -> dict[str, str]:
    """Of edgeskel, Python and ``packages``."""
    told = {"edgeskel": edgeskel.__version__, "python": platform.python_version()}
    return {**told, **{name: metadata.version(name) for name in packages}}


def identity_of(config: TrainConfig, store: Store, parts: Split, recipe: Recipe) -> dict[str, Any]:
    """What makes two trainings the same, under the names of ``run.json``."""
    return {
        "recogniser": config.recogniser,
        "dataset": store.dataset,
        "data_digest": store.digest,
        "protocol": parts.protocol,
        "fold": parts.fold,
        "held_out": parts.held_out,
        "split": parts.name,
        "clips": {"train": len(parts.train), "validation": len(parts.validation)},
        "seed": config.seed,
        "start": config.start,
        "teachers": list(config.teachers),
        "patience": config.patience,
        "precision": config.precision,
        "processes": processes()[1],
        "recipe": recipe.to_dict(),
    }


def _current(told: dict[str, Any]) -> dict[str, Any]:
    """The identity that an earlier version recorded, as this one would."""
    if "recipe" not in told:
        return told
    try:
        recipe = Recipe.from_dict(told["recipe"])
    except TypeError:  # of a later version, or of another program: compared as it is, and so found to differ
        return told
    if told.get("teachers") and recipe.method == "supervised":
        recipe = replace(recipe, method="distillation")
    known = methods.defaults(recipe.method)
    recipe = replace(recipe, method_settings={name: value for name, value in recipe.method_settings.items() if name in known})
    trained = record.Training.of(told)
    return {**told, "recipe": recipe.to_dict(), "held_out": trained.validation if trained else None}


def _recipe(config: TrainConfig, recipe: Recipe, more: Mapping[str, Any]) -> Recipe:
    """What the recipe becomes by the configuration and ``more`` settings."""
    settings = {**recipes.parse_settings(config.settings), **more}
    if config.epochs is not None and "epochs" in settings:
        raise UsageError(
            f"--epochs {config.epochs} and --settings epochs={settings['epochs']}", expected="one of the two"
        )
    if config.epochs is not None:
        settings["epochs"] = config.epochs
    asked = {config.method, settings.pop("method", None)}
    if settings.pop("virtual", False):
        warnings.warn("the setting virtual=true is now --method class-augmentation", FutureWarning, stacklevel=3)
        asked.add("class-augmentation")
    asked -= {None}
    if len(asked) > 1:
        raise UsageError(f"the methods {' and '.join(sorted(map(str, asked)))}", expected="one of them")
    name = str(asked.pop()) if asked else "distillation" if config.teachers else recipe.method
    of_method = methods.defaults(name)
    recipe = replace(recipe, method=name, method_settings={key: value for key, value in recipe.method_settings.items()
                                                            if key in of_method})
    recipe = recipes.change(recipe, settings, [item.name for item in fields(registered(config.recogniser)[1])], of_method)
    # As a whole, so that a default that changes later does not make this another training without a word.
    told = methods.settings_of(name, recipe.method_settings)
    return replace(recipe, method_settings={item.name: getattr(told, item.name) for item in fields(told)})


def _without(parts: Split, store: Store, patterns: Sequence[str]) -> Split:
    """``parts`` with a training part that leaves out what the recipe excludes."""
    if not patterns:
        return parts
    sources = store.index["source"][parts.train].astype(str)
    kept = [not any(fnmatchcase(source, pattern) for pattern in patterns) for source in sources]
    if not any(kept):
        raise UsageError(f"exclude={list(patterns)} leaves no clip to learn from", expected="patterns of some sources")
    return replace(parts, train=parts.train[kept])


def _check(config: TrainConfig, kind: type[methods.Method], parts: Split) -> None:
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
    if config.teachers and not kind.taught:
        raise UsageError(f"the method {kind.name!r} with teachers", expected="a method that learns from them, such as distillation",
                         remedy="leave out --method or --teachers")


def _on_gpu(config: TrainConfig) -> bool:
    present = torch.cuda.is_available() or torch.backends.mps.is_available()
    return config.device == "cuda" or (config.device == "auto" and present)


def _whole(out: Path, run: dict[str, Any]) -> dict[str, Any]:
    """The record of a finished training. Raises ``CorruptFile`` where it or the weights are damaged."""
    if not run.get("history"):
        raise CorruptFile(out / record.FILE, "no epoch in its history", remedy="pass --restart to train anew")
    result.load(out)
    return run


def _recorded(kept: nn.Module) -> dict[str, Any]:
    return {
        "parameters": count_parameters(kept),
        "versions": versions("torch", "lightning", "numpy"),
        "threads": torch.get_num_threads(),
    }
