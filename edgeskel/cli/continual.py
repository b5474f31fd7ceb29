"""``edgeskel continual``: learn classes task by task, with CHARON or a method to compare it with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeskel.cli.report import Command, Report, console
from edgeskel.continual.training.config import ContinualConfig

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["COMMAND"]

TASKS_IN_A_TABLE = 10
"""As many columns as 80 characters have room for."""


class Continual(ContinualConfig):
    """Learn classes task by task and measure what is kept.

    Run the same command again to go on after an interruption; at most one task is lost.
    """


def continual(config: Continual) -> Report:
    """Run the sequence with progress on stderr."""
    from edgeskel.console import Progress
    from edgeskel.continual.training.loop import learn

    with Progress(console) as progress:
        bar = progress.add_task(config.method, total=1.0)

        def show(done: int, tasks: int, share: float) -> None:
            progress.update(bar, completed=(done + share) / tasks, description=f"{config.method}, task {done + 1} of {tasks}")

        outcome = learn(config, show)
    run = outcome.run
    data = {"out": outcome.folder, "resumed_at": outcome.resumed_at, **run["continual"], "split": run["split"],
            "seed": run["seed"], "parameters": run["parameters"], "accuracies": run["accuracies"], **run["figures"]}
    return Report(data, text=lambda out: _draw(out, data))


def _draw(out: Console, data: dict[str, Any]) -> None:
    from edgeskel.console import new_table

    out.print(f"{data['method']} on {data['protocol']}, order {data['order']}, seed {data['seed']}; "
              f"{data['measured_on']} part of {data['split']}")
    joint = len(data["accuracies"]) < len(data["tasks"])
    for first in range(0, len(data["tasks"]), TASKS_IN_A_TABLE):
        tasks = slice(first, first + TASKS_IN_A_TABLE)
        numbers = [str(number) for number in range(1, len(data["tasks"]) + 1)][tasks]
        table = new_table("after task", *numbers, right=numbers)
        for number, row in enumerate(data["accuracies"], start=1):
            if row[tasks]:
                table.add_row("all at once" if joint else str(number), *(f"{value:.1f}" for value in row[tasks]))
        out.print(table)
    out.print(f"final accuracy {data['final_accuracy']:.2f} %, forgetting {data['forgetting']:.2f} points, "
              f"{data['bytes']:,} bytes stored, {data['ms_per_step']:.1f} ms and at most "
              f"{data['peak_step_bytes'] / 1e6:.1f} MB a step")
    out.print(f"the recogniser lies in {data['out']}")


COMMAND = Command(Continual, continual)
