"""``edgeskel verify``: does every engine present give the recogniser's own answer?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from edgeskel.cli.report import Command, Report, console

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["COMMAND"]


@dataclass(frozen=True)
class Verify:
    """Check a bundle on every engine present; a disagreement fails."""

    bundle: tyro.conf.Positional[Path]
    """The bundle's folder."""
    data: Path | None = None
    """Store of recorded clips: its whole test part is run too."""
    protocol: str | None = None
    """Which split of the store; the one that the model was trained with by default, else the dataset's own."""
    fold: int | None = None
    """Which fold of it; the one that the model was trained with by default."""
    threads: int | None = None
    """Processor threads of each engine; all by default."""


def verify(config: Verify) -> Report:
    """Run golden inputs and the test part, compare, judge."""
    from edgeskel.cli.isolated_proof import prove_all
    from edgeskel.console import Progress
    from edgeskel.runtime import engines
    from edgeskel.runtime.bundle import Bundle
    from edgeskel.runtime.comparison import describe
    from export.verify import as_rows
    from export.verify import verify as run

    engines.check_threads(config.threads)
    bundle = Bundle.open(config.bundle)
    prove_all(bundle)
    test = None
    if config.data is not None:
        from edgeskel.data import Store
        from edgeskel.training import record
        from export.windows import test_windows

        store = Store.open(config.data)
        trained = record.Training.of_bundle(bundle.manifest)
        parts = record.parts_for(trained, store, config.protocol, config.fold)
        record.check_unseen(trained, store, parts.test, model=str(config.bundle))
        test = test_windows(store, parts, bundle.topology, bundle.labels, bundle.window)
    with Progress(console) as progress:

        def bar(what: str, windows: int) -> Callable[[], None]:
            task = progress.add_task(what, total=windows)
            return lambda: progress.advance(task)

        outcomes, skipped = run(bundle, test, threads=config.threads, progress=bar)
    failed = [describe(outcome) for outcome in outcomes if not outcome.passed]
    data = {"bundle": str(bundle.path), "passed": not failed, "artifacts": as_rows(outcomes), "not_run": skipped,
            "disagreements": failed}
    return Report(data, text=lambda out: _draw(out, data), ok=not failed)


def _draw(out: Console, data: dict[str, Any]) -> None:
    from edgeskel.console import new_table

    numbers = ("agree", "diff", "top-1", "kB", "ms")
    table = new_table("artifact", "engine", *numbers, "", right=numbers)
    for row in data["artifacts"]:
        agreement, difference = row["agreement"], row["max_abs_diff"]
        table.add_row(row["file"].partition("/")[0], row["engine"],
                      "-" if agreement is None else f"{100 * agreement:.2f} %",
                      "-" if difference is None else f"{difference:.1e}",
                      "-" if row["top1"] is None else f"{row['top1']:.2f} %", f"{row['bytes'] / 1e3:.0f}",
                      f"{row['median_ms']:.2f}", _verdict(row))
    out.print(data["bundle"])
    out.print(table)
    out.print("measured on " + " and ".join(sorted({f"{row['windows']} windows ({row['on']})" for row in data["artifacts"]})))
    for why in dict.fromkeys(row["not_compared"] for row in data["artifacts"] if row["not_compared"]):
        out.print(f"compared on the golden windows only: {why}")
    for why in dict.fromkeys(data["not_run"].values()):
        pairs = ", ".join(what for what, reason in data["not_run"].items() if reason == why)
        out.print(f"not run: {pairs}: {why}")
    for row in data["artifacts"]:
        if row["integer_kernels"] is not None:
            out.print(f"note: {row['integer_kernels']['says']}")
    for line in data["disagreements"]:
        out.print(f"disagreement: {line}", style="red")


def _verdict(row: dict[str, Any]) -> str:
    if not row["passed"]:
        return "DISAGREES"
    return "agrees (golden)" if row["not_compared"] else "agrees"


COMMAND = Command(Verify, verify)
