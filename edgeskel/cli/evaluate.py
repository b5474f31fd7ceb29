"""``edgeskel evaluate``: measure a checkpoint, a shipped model or a bundle on a part of a split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from edgeskel.cli.models import WEIGHTS
from edgeskel.cli.report import Command, Report, console

if TYPE_CHECKING:
    from rich.console import Console

    from edgeskel.data import Store
    from edgeskel.training.evaluation import Predictor
    from edgeskel.training.metrics import Metrics

__all__ = ["COMMAND"]


@dataclass(frozen=True)
class Evaluate:
    """Measure a recogniser on clips it has not learned from.

    The split is the one that it was trained with, where that is known and the store is of the same dataset.
    """

    model: tyro.conf.Positional[str]
    """A checkpoint folder, the name of a shipped model, or a bundle."""
    data: Path
    """Store with the clips."""
    protocol: str | None = None
    """Named split; the one of its training by default, else the dataset's own."""
    fold: int | Literal["all"] | None = None
    """Which fold; all measures MODEL/fold-0, MODEL/fold-1, ... each on its own fold, and averages."""
    part: Literal["test", "validation", "train"] = "test"
    """Which part of the split."""
    validation: str | None = None
    """What the validation part is, as for train; that of its training by default."""
    overlap: bool = False
    """Measure even where another split holds clips that it was trained with; the result says how many."""
    remap: bool = False
    """Match joints of another layout by name, and leave out clips whose label the recogniser does not know."""
    engine: str | None = None
    """Engine for a bundle; the best one present by default."""
    precision: str | None = None
    """Precision of a bundle's artifact: fp32, fp16 or int8."""
    report: Path | None = None
    """Write the report here: one HTML file with the confusion matrix and the worst clips."""
    predictions: Path | None = None
    """Write what was answered here, clip by clip (clip, label, predicted, a score for each class): .csv, or .parquet (needs
    pyarrow)."""


@dataclass(frozen=True)
class Measured:
    """Figures, on which split, and how many of its clips the recogniser was trained with (None: not known)."""

    metrics: Metrics
    split: str
    seen: int | None

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {"split": self.split, "clips_seen_in_training": self.seen}


def evaluate(config: Evaluate) -> Report:
    """Measure one recogniser, or one for each fold."""
    from edgeskel.data import Store
    from edgeskel.training import predictions

    if config.predictions is not None:
        predictions.check(config.predictions)
    store = Store.open(config.data)
    if config.fold == "all":
        return _evaluate_folds(config, store)
    told = _told(config.model)
    found = _measure(config, store, config.fold, told)
    data = {
        "model": config.model,
        "dataset": store.dataset,
        "part": config.part,
        **found.facts(),
        **found.metrics.to_dict(),
    }
    if config.report is not None:
        data["report"] = _write_report(config, Path(config.model).name or config.model, found.metrics, store, told)
    if config.predictions is not None:
        predictions.write(config.predictions, found.metrics, store)
        data["predictions"] = config.predictions
    return Report(data, text=lambda out: _draw(out, config, found))


def _evaluate_folds(config: Evaluate, store: Store) -> Report:
    from edgeskel.data.protocols import folds
    from edgeskel.training import predictions
    from edgeskel.training.metrics import Metrics, mean_and_spread
    from edgeskel.training.record import Training

    first = Training.of(_told(str(Path(config.model) / "fold-0")))
    mine = first.protocol if first is not None and first.dataset == store.dataset else None
    found = []
    for fold in range(folds(store, config.protocol or mine)):
        model = str(Path(config.model) / f"fold-{fold}")
        found.append(_measure(replace(config, model=model), store, fold, _told(model)))
    rows = [{**one.facts(), **one.metrics.figures()} for one in found]
    mean = mean_and_spread([one.metrics.figures() for one in found])
    data = {"model": config.model, "dataset": store.dataset, "part": config.part, **mean, "folds": rows}
    if config.predictions is not None:
        predictions.write(config.predictions, Metrics.together([one.metrics for one in found]), store)
        data["predictions"] = config.predictions
    if config.report is not None:
        name = f"{Path(config.model).name}, all {len(found)} folds together,"
        data["report"] = _write_report(config, name, Metrics.together([one.metrics for one in found]), store, {})
    return Report(data, text=lambda out: _draw_folds(out, config.part, rows, mean))


def _measure(config: Evaluate, store: Store, fold: int | None, told: dict[str, Any]) -> Measured:
    from edgeskel.console import Progress
    from edgeskel.errors import DataError
    from edgeskel.training import record
    from edgeskel.training.evaluation import evaluate as measure

    trained = record.Training.of(told)
    parts = record.parts_for(trained, store, config.protocol, fold, config.validation)
    indices = {"test": parts.test, "validation": parts.validation, "train": parts.train}[config.part]
    if not len(indices):
        raise DataError(f"{parts.name} has no {config.part} part", remedy="pass --validation, as when training")
    seen = record.check_unseen(
        trained, store, indices, model=config.model, part=config.part, allowed=config.overlap or config.part == "train"
    )
    predictor = _predictor(config)
    with Progress(console) as progress:
        task = progress.add_task(f"measuring {config.model}", total=len(indices))
        metrics = measure(predictor, store, indices, remap=config.remap, advance=lambda n: progress.advance(task, n))
    return Measured(metrics, parts.name, seen)


def _told(model: str) -> dict[str, Any]:
    """What is recorded of the training: of a bundle in its manifest, of a checkpoint in its ``run.json``."""
    from edgeskel.training import record

    if (Path(model) / "manifest.json").is_file():
        from edgeskel.runtime.bundle import Bundle

        told: dict[str, Any] = Bundle.open(model).manifest.get("data", {}).get("training", {})
        return told
    folder = Path(model)
    if not (folder / "config.json").is_file():
        return record.read(WEIGHTS / model)
    record.check_finished(folder)
    return record.read(folder)


def _predictor(config: Evaluate) -> Predictor:
    from edgeskel.errors import UsageError
    from edgeskel.training.evaluation import SessionPredictor, TorchPredictor

    if (Path(config.model) / "manifest.json").is_file():
        from edgeskel import runtime

        return SessionPredictor(runtime.load(config.model, engine=config.engine, precision=config.precision))
    if config.engine or config.precision:
        raise UsageError(
            f"--engine and --precision are for bundles, and {config.model} is none",
            remedy="export it first: edgeskel export",
        )
    from edgeskel.extras import needed

    bundle = "measure a bundle, which needs numpy and one engine: edgeskel evaluate BUNDLE"
    with needed(f"running the model {config.model}", "train", instead=bundle):
        from edgeskel.models import from_pretrained

    return TorchPredictor(from_pretrained(config.model))


def _write_report(config: Evaluate, name: str, metrics: Metrics, store: Store, run: dict[str, Any]) -> Path:
    from edgeskel.files import atomic_write
    from edgeskel.training import report

    assert config.report is not None
    with atomic_write(config.report) as file:
        file.write(report.render(f"{name} on {store.dataset}", metrics, store, run=run, part=config.part).encode())
    return config.report


def _draw(out: Console, config: Evaluate, found: Measured) -> None:
    from edgeskel.console import new_table

    metrics = found.metrics
    out.print(f"{config.model}  {config.part} part of {found.split}, {len(metrics.truth)} clips", style="bold")
    out.print(_seen(config.part, found.seen), style="bold red" if found.seen and config.part != "train" else "dim")
    if metrics.left_out:
        out.print(f"{metrics.left_out} clips left out: their label is unknown to the recogniser")
    out.print(
        f"top-1 {metrics.top1:.2f} %   top-5 {metrics.top5:.2f} %   macro F1 {metrics.macro_f1:.2f} %   "
        f"calibration error {metrics.calibration_error:.2f} %",
    )
    weak = sorted((row for row in metrics.per_class if row["clips"] and row["f1"] < 100), key=lambda row: row["f1"])[:8]
    if weak:
        numbers = ("F1", "precision", "recall", "clips")
        table = new_table("weakest classes", *numbers, right=numbers)
        for row in weak:
            table.add_row(
                row["label"], *(f"{row[name]:.1f}" for name in ("f1", "precision", "recall")), str(row["clips"])
            )
        out.print(table)


def _seen(part: str, seen: int | None) -> str:
    if seen is None:
        return "whether it learned from these clips is not known: it was trained with another store, or does not say"
    if not seen:
        return "it was trained with none of these clips"
    return f"it was trained with {seen} of these clips" + ("" if part == "train" else ": this is no test")


def _draw_folds(out: Console, part: str, rows: list[dict[str, Any]], mean: dict[str, float]) -> None:
    for row in rows:
        warn = row["clips_seen_in_training"] and part != "train"
        seen = f", {row['clips_seen_in_training']} of them seen in training" if warn else ""
        out.print(f"{row['split']}: top-1 {row['top1']:.2f} % of {row['clips']} clips{seen}", style="bold red" if warn else None)
    out.print(f"mean top-1 {mean['top1']:.2f} % ± {mean['top1_std']:.2f}, macro F1 {mean['macro_f1']:.2f} %, "
              f"{mean['clips']} clips", style="bold")


COMMAND = Command(Evaluate, evaluate)
