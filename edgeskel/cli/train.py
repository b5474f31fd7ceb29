"""``edgeskel train``: from a store to a checkpoint folder. Under ``torchrun`` it trains with several processes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from edgeskel.cli.report import Command, Report, console
from edgeskel.training.config import TrainConfig

if TYPE_CHECKING:
    from rich.console import Console

    from edgeskel.training.run import Trained

__all__ = ["COMMAND"]


class Train(TrainConfig):
    """Train a recogniser on the training side of a split.

    Run the same command again to go on after an interruption; at most one epoch is lost. The test part is never read.
    """


def train(config: Train) -> Report:
    """Train one recogniser, or one for each fold."""
    from edgeskel import training

    if config.fold == "all":
        trained = training.train_folds(config, progress=not console.quiet)
        _only_the_first_process()
        rows = [_row(one) for one in trained]
        return Report({"out": config.out, "folds": rows, **_mean(rows)}, text=lambda out: _draw(out, trained))
    one = training.train(config, progress=not console.quiet)
    _only_the_first_process()
    return Report(_row(one), text=lambda out: _draw(out, [one]))


def _only_the_first_process() -> None:
    """Under ``torchrun``, one process speaks for all."""
    if int(os.environ.get("RANK", 0)):
        raise SystemExit(0)


def _row(one: Trained) -> dict[str, Any]:
    run = one.run
    return {
        "out": one.folder,
        "recogniser": run["recogniser"],
        "split": run["split"],
        "seed": run["seed"],
        "epochs": len(run["history"]),
        "resumed_at": one.resumed_at,
        "parameters": run["parameters"],
        "clips": run["clips"],
        "loss": run["history"][-1]["loss"],
        "validation": run["validation"],
        "report": one.folder / "report.html",
    }


def _mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    from edgeskel.training.metrics import mean_and_spread

    measured = [row["validation"] for row in rows if row["validation"]]
    return {"validation": mean_and_spread(measured) if measured else None}


def _draw(out: Console, trained: list[Trained]) -> None:
    for one in trained:
        row = _row(one)
        found = row["validation"]
        figure = f"validation top-1 {found['top1']:.2f} % of {found['clips']} clips" if found else "no validation part"
        out.print(
            f"{one.folder}  {row['recogniser']}, {row['parameters']:,} parameters, "
            f"{row['epochs']} epochs, {figure}",
        )
    if len(trained) > 1 and (mean := _mean([_row(one) for one in trained])["validation"]):
        out.print(f"mean validation top-1 {mean['top1']:.2f} % ± {mean['top1_std']:.2f}")


COMMAND = Command(Train, train)
