"""``edgeskel bench``: latency and memory of every artifact that runs here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from edgeskel.cli.report import Command, Report, console

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["COMMAND"]


@dataclass(frozen=True)
class Bench:
    """Measure a bundle's latency (median, p95, p99) on one core and on all, and its memory."""

    bundle: tyro.conf.Positional[Path]
    """The bundle's folder."""
    runs: int = 200
    """Windows for each artifact, engine and number of threads; slow pairs stop after 4 s."""
    engine: str | None = None
    """Only this engine."""


def bench(config: Bench) -> Report:
    """Open, measure in turns, report."""
    from edgeskel.cli.isolated_proof import prove_all
    from edgeskel.console import Progress
    from edgeskel.errors import UsageError
    from edgeskel.runtime import engines
    from edgeskel.runtime.artifact_choice import remark
    from edgeskel.runtime.bundle import Bundle
    from export.bench import measure

    if config.runs < 1:
        raise UsageError(f"--runs {config.runs}", expected="at least 1")
    if config.engine is not None:
        engines.get(config.engine)
    bundle = Bundle.open(config.bundle)
    prove_all(bundle, config.engine)
    with Progress(console) as progress:
        task = progress.add_task("measuring", total=None)
        timings, skipped = measure(bundle, runs=config.runs, engine=config.engine, progress=lambda: progress.advance(task))
    int8 = [remark(bundle, artifact, timing.engine) for timing in timings for artifact in bundle.artifacts
            if artifact.file == timing.file and artifact.precision == "int8"]
    data = {"bundle": str(bundle.path), "artifacts": [asdict(timing) for timing in timings], "not_run": skipped,
            "notes": list(dict.fromkeys(filter(None, int8))), "machine": _machine()}
    return Report(data, text=lambda out: _draw(out, data))


def _machine() -> dict[str, Any]:
    import os
    import platform

    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    return {"processor": model, "cores": os.cpu_count(), "system": platform.platform()}


def _draw(out: Console, data: dict[str, Any]) -> None:
    from edgeskel.console import new_table

    numbers = ("threads", "median", "p95", "p99", "MB")
    table = new_table("artifact", "engine", *numbers, right=numbers)
    for row in data["artifacts"]:
        times = (f"{row[name]:.2f}" for name in ("median_ms", "p95_ms", "p99_ms"))
        table.add_row(row["file"].partition("/")[0], row["engine"], str(row["threads"]), *times,
                      f"{row['artifact_memory_mb']:.0f}")
    out.print(data["bundle"])
    out.print(table)
    out.print(f"milliseconds of one window on {data['machine']['processor']}; MB that the artifact adds to its engine")
    for note in data["notes"]:
        out.print(f"note: {note}")
    for why in dict.fromkeys(data["not_run"].values()):
        pairs = ", ".join(what for what, reason in data["not_run"].items() if reason == why)
        out.print(f"not run: {pairs}: {why}")


COMMAND = Command(Bench, bench)
