"""How long ``edgeskel demo`` takes from nothing to live recognition, and what it reaches.

With ``--quick`` it runs ``edgeskel demo --quick`` (a small body of motion, two epochs): the way, not the accuracy.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._bench import main
from tests.datasets import datasets


def measure(quick: bool) -> dict[str, Any]:
    """Time the whole demo on generated motion and on UTD-MHAD."""
    if quick:
        report = _demo("--quick")
        return {"quick_minutes": report["seconds"] / 60, "tables": {"steps": _rows(report)}}
    synthetic, utd = _demo(), _demo("--data", str(datasets() / "utd-mhad"))
    return {
        "synthetic_minutes": synthetic["seconds"] / 60,
        "synthetic_top1": synthetic["top1"],
        "utd_minutes": utd["seconds"] / 60,
        "utd_top1": utd["top1"],
        "tables": {"steps, generated motion": _rows(synthetic), "steps, UTD-MHAD": _rows(utd)},
    }


def _demo(*words: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "edgeskel.cli.main", "demo", *words, "--out", str(Path(folder, "demo"))]
        done = subprocess.run([*command, "--json"], stdout=subprocess.PIPE, text=True, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    if done.returncode:
        sys.exit(f"the demo failed: {report['error']['message']}")
    return report


def _rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"step": step["title"], "seconds": step["seconds"]} for step in report["steps"]]


if __name__ == "__main__":
    main("demo", measure, seeds=(0,))
