"""``edgeskel fuse``: several trained recognisers as one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from edgeskel.cli.report import Command, Report, console

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["COMMAND"]


@dataclass(frozen=True)
class Fuse:
    """Make one recogniser of several that were trained apart: one network on joints, bones and motions, or different ones.

    Their scores are added, each with a weight that is found on the validation part of their training. The result is a checkpoint
    folder like any other: evaluate, compress, export it, or train one small recogniser with it as teacher.
    """

    models: tyro.conf.Positional[tuple[str, ...]]
    """Checkpoint folders or names of shipped models, at least two, of the same actions, joints and window."""
    data: Path
    """Store that they learned from."""
    out: Path
    """The fused checkpoint's folder; an older one there is replaced."""
    weights: tuple[float, ...] = ()
    """Weight of each, in place of those found on the validation part."""
    protocol: str | None = None
    """Named split; the one of the first one's training by default, else the dataset's own."""
    fold: int | None = None
    """Which fold of the protocol; that of the first one's training by default."""
    validation: str | None = None
    """Part of the training side that the weights are found on: a share of its subjects, subject:1,5 or view:2; what the first
    one's training held out by default, and 0.2 where that is not known. None of them may have learned from it."""


def fuse(config: Fuse) -> Report:
    """Weigh, fuse, measure on the validation part, write."""
    from edgeskel.training import fusion

    with console.status("fusing"):
        found = fusion.fuse(config.models, config.data, config.out, weights=config.weights, protocol=config.protocol,
                            fold=config.fold, validation=config.validation)
    run = found.run
    data = {"out": found.folder, **{key: run[key] for key in ("recogniser", "dataset", "split", "clips", "parameters")},
            **run["fusion"], "validation": run["validation"]}
    return Report(data, text=lambda out: _draw(out, data))


def _draw(out: Console, data: dict[str, Any]) -> None:
    from edgeskel.console import new_table

    numbers = ("weight", "parameters", "validation top-1")
    table = new_table("member", "recogniser", "streams", *numbers, right=numbers)
    for row in data["members"]:
        top1 = f"{row['validation_top1']:.2f} %" if "validation_top1" in row else "–"
        left_out = " (left out)" if not row["weight"] else ""
        table.add_row(row["name"] + left_out, row["recogniser"], ", ".join(row["streams"]), f"{row['weight']:.3f}",
                      f"{row['parameters']:,}", top1)
    found = data["validation"]
    top1 = f"{found['top1']:.2f} %" if found else "–"
    table.add_row("fused", data["recogniser"], "", "", f"{data['parameters']:,}", top1)
    out.print(str(data["out"]), soft_wrap=True)
    out.print(table)
    clips = data["clips"]["validation"]
    out.print(f"weights found on {clips} clips, the validation part of {data['split']}" if data["weights_from"] == "validation"
              else "weights as given")
    if not data["unseen_in_training"]:
        out.print("whether the members learned from these clips is not known: another store, or no record")


COMMAND = Command(Fuse, fuse)
