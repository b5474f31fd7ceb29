"""``edgeskel evaluate``: measure a checkpoint, a shipped model or a bundle on a part of a split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from edgeskel.cli.report import Command, Report, console

if TYPE_CHECKING:
    from rich.console import Console

    from edgeskel.data import Store
    from edgeskel.training.evaluation import Predictor
    from edgeskel.training.metrics import Metrics

__all__ = ["COMMAND"]


@dataclass(frozen=True)
class Evaluate:
    """Measure a recogniser on clips it has not learned from."""

    model: tyro.conf.Positional[str]
    """A checkpoint folder, the name of a shipped model, or a bundle."""
    data: Path
    """Store with the clips."""
    protocol: str | None = None
    """Named split; the dataset's own by default."""
    fold: int | Literal["all"] = 0
    """Which fold; all measures MODEL/fold-0, MODEL/fold-1, ... each on its own fold, and averages."""
    part: Literal["test", "validation", "train"] = "test"
    """Which part of the split."""
    validation: str = "0"
    """What the validation part is, as for train; needed for --part validation."""
    remap: bool = False
    """Match joints of another layout by name, and leave out clips whose label the recogniser does not know."""
    engine: str | None = None
    """Engine for a bundle; the best one present by default."""
    precision: str | None = None
    """Precision of a bundle's artifact: fp32, fp16 or int8."""
    report: Path | None = None
    """Write the report here: one HTML file with the confusion matrix and the worst clips."""


def evaluate(config: Evaluate) -> Report:
    """Measure one recogniser, or one for each fold."""
    from edgeskel.data import Store
    from edgeskel.data.protocols import folds
    from edgeskel.training.metrics import mean_and_spread

    store = Store.open(config.data)
    if config.fold != "all":
        metrics, split = _measure(config, store, config.fold)
        data = {
            "model": config.model,
            "dataset": store.dataset,
            "split": split,
            "part": config.part,
            **metrics.to_dict(),
        }
        if config.report is not None:
            data["report"] = _write_report(config, metrics, store)
        return Report(data, text=lambda out: _draw(out, config, split, metrics))
    found = [
        _measure(replace(config, model=str(Path(config.model) / f"fold-{fold}")), store, fold)
        for fold in range(folds(store, config.protocol))
    ]
    rows = [{"split": split, **metrics.figures()} for metrics, split in found]
    mean = mean_and_spread([metrics.figures() for metrics, _ in found])
    return Report(
        {"model": config.model, "dataset": store.dataset, "part": config.part, **mean, "folds": rows},
        text=lambda out: _draw_folds(out, rows, mean),
    )


def _measure(config: Evaluate, store: Store, fold: int) -> tuple[Metrics, str]:
    from rich.progress import Progress

    from edgeskel.data import split
    from edgeskel.errors import DataError
    from edgeskel.training.evaluation import evaluate as measure

    parts = split(store, config.protocol, fold=fold, validation=config.validation)
    indices = {"test": parts.test, "validation": parts.validation, "train": parts.train}[config.part]
    if not len(indices):
        raise DataError(f"{parts.name} has no {config.part} part", remedy="pass --validation, as when training")
    predictor = _predictor(config)
    with Progress(console=console, transient=True, disable=console.quiet) as progress:
        task = progress.add_task(f"measuring {config.model}", total=len(indices))
        metrics = measure(predictor, store, indices, remap=config.remap, advance=lambda n: progress.advance(task, n))
    return metrics, parts.name


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
    from edgeskel.models import from_pretrained

    return TorchPredictor(from_pretrained(config.model))


def _write_report(config: Evaluate, metrics: Metrics, store: Store) -> Path:
    import json

    from edgeskel.files import atomic_write
    from edgeskel.training import report

    assert config.report is not None
    told = Path(config.model) / "run.json"
    run: dict[str, Any] | None = json.loads(told.read_text("utf-8")) if told.is_file() else None
    name = Path(config.model).name or config.model
    with atomic_write(config.report) as file:
        file.write(report.render(f"{name} on {store.dataset}", metrics, store, run=run, part=config.part).encode())
    return config.report


def _draw(out: Console, config: Evaluate, split: str, metrics: Metrics) -> None:
    from rich.table import Table

    out.print(
        f"[bold]{config.model}[/bold]  {config.part} part of {split}, {len(metrics.truth)} clips", highlight=False
    )
    if metrics.left_out:
        out.print(f"{metrics.left_out} clips left out: their label is unknown to the recogniser", highlight=False)
    out.print(
        f"top-1 [bold]{metrics.top1:.2f} %[/bold]   top-5 {metrics.top5:.2f} %   macro F1 {metrics.macro_f1:.2f} %   "
        f"calibration error {metrics.calibration_error:.2f} %",
        highlight=False,
    )
    weak = sorted((row for row in metrics.per_class if row["clips"] and row["f1"] < 100), key=lambda row: row["f1"])[:8]
    if weak:
        table = Table("weakest classes", "F1", "precision", "recall", "clips", box=None)
        for row in weak:
            table.add_row(
                row["label"], *(f"{row[name]:.1f}" for name in ("f1", "precision", "recall")), str(row["clips"])
            )
        out.print(table)


def _draw_folds(out: Console, rows: list[dict[str, Any]], mean: dict[str, float]) -> None:
    for row in rows:
        out.print(f"{row['split']}: top-1 {row['top1']:.2f} % of {row['clips']} clips", highlight=False)
    out.print(
        f"mean top-1 [bold]{mean['top1']:.2f} %[/bold] ± {mean['top1_std']:.2f}, macro F1 {mean['macro_f1']:.2f} %, "
        f"{mean['clips']} clips",
        highlight=False,
    )


COMMAND = Command(Evaluate, evaluate)
