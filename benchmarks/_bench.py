"""The frame of every benchmark.

A benchmark is a module ``benchmarks/NAME.py`` with a function that measures and a last line that hands it over::

    def measure(quick: bool) -> dict[str, Any]:
        ...
        return {"int8_over_fp32": 0.71}

    if __name__ == "__main__":
        main("latency", measure, seeds=(0, 1, 2))

``python -m benchmarks.NAME --json`` prints one JSON object, the figures by name, and writes
``benchmarks/results/NAME.json``: figures, command, commit, machine, seeds, date, seconds. With ``--quick`` it measures
the same thing smaller, within 50 s on two cores, and writes no result. A figure is a number (a value over several seeds
is the mean, with ``NAME_std`` beside it); longer tables go under ``"tables": {"title": [rows as objects]}``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from edgeskel.cli.report import console, jsonable, only_results_on_stdout
from edgeskel.files import atomic_write

__all__ = ["RESULTS", "interleave", "machine", "main"]

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
CACHE = ROOT / "benchmarks" / "cache"

_PACKAGES = ("numpy", "torch", "lightning", "onnx", "onnxruntime", "executorch", "torchao", "scipy")


def main(name: str, measure: Callable[[bool], dict[str, Any]], *, seeds: Sequence[int] = ()) -> None:
    """Run the benchmark ``name`` as a program: parse the arguments, measure, print, and keep a full result."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=measure.__doc__)
    parser.add_argument("--quick", action="store_true", help="the same, smaller: within 50 s; keeps no result")
    parser.add_argument("--json", action="store_true", help="one JSON object of figures on stdout")
    options = parser.parse_args()
    start = time.perf_counter()
    with only_results_on_stdout():
        figures = jsonable(measure(options.quick))
    seconds = time.perf_counter() - start
    if not options.quick:
        keep(name, figures, seeds=seeds, seconds=seconds)
    if options.json:
        sys.stdout.write(json.dumps(figures, allow_nan=False) + "\n")
    else:
        for figure, value in figures.items():
            sys.stdout.write(f"{figure}: {value}\n")


def keep(name: str, figures: dict[str, Any], *, seeds: Sequence[int], seconds: float) -> Path:
    """Write ``benchmarks/results/NAME.json`` and return its path."""
    command = " ".join(["python", "-m", f"benchmarks.{name}", *sys.argv[1:]])
    record = {
        "benchmark": name,
        "command": command,
        "commit": commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "seeds": list(seeds),
        "machine": machine(),
        "figures": figures,
    }
    path = RESULTS / f"{name}.json"
    with atomic_write(path) as file:
        file.write((json.dumps(record, indent=2, allow_nan=False) + "\n").encode())
    console.print(f"wrote {path.relative_to(ROOT)}")
    return path


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system and the versions that matter for a figure."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "os": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": versions,
    }


def commit() -> str:
    """The commit that is measured, with ``+`` behind it when files differ from it; "" outside a repository."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    head = git("rev-parse", "--short=12", "HEAD")
    return head + ("+" if head and git("status", "--porcelain", "--untracked-files=no") else "")


def interleave(
    contenders: dict[str, Callable[[], object]], *, rounds: int, warmup: int = 3, budget_s: float = math.inf
) -> dict[str, list[float]]:
    """Time several calls in turns (a, b, a, b, ...), so that whatever slows the machine slows them alike.

    Args:
        contenders: name -> call.
        rounds: measured calls of each.
        warmup: calls of each before that.
        budget_s: stop after so many seconds, however many rounds were done (at least one).

    Returns:
        name -> seconds of each measured call.
    """
    for call in contenders.values():
        for _ in range(warmup):
            call()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    end = time.perf_counter() + budget_s
    for _ in range(rounds):
        for name, call in contenders.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
        if time.perf_counter() > end:
            break
    return times


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or platform.machine()
