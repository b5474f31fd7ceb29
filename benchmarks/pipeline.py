"""What a training step costs, and how much of it the data cost.

The product's own training (``edgeskel train``'s recipe for ``edge`` on UTD-MHAD's training side) runs in a process of its own,
which notes the seconds of every step.

- ``data_fraction_of_step``: fetching a batch and changing its clips, over the whole step; sums over the steps.
- ``step_ms_ratio``: median step of this tree over that of the commit before the trainer took methods (``BEFORE``), which is checked
  out beside it; both processes train in turns of a few steps.

Milliseconds are the processor's, of a training on one thread: what else runs meanwhile hardly counts.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._bench import ROOT, main
from tests.datasets import datasets

BEFORE = "340f83bc80bfff6e9fbe65f86978ec78ac0bd3fc"
TURN = 5
"""Steps of a turn."""
WARM_UP = 2
"""Turns of each that do not count."""


def measure(quick: bool) -> dict[str, Any]:
    """Time the steps of a training, here and in the commit before."""
    from edgeskel.data import import_dataset

    with tempfile.TemporaryDirectory() as folder:
        store, before = Path(folder) / "utd-mhad", Path(folder) / "before"
        import_dataset("utd-mhad", datasets() / "utd-mhad", store)
        if subprocess.run(["git", "cat-file", "-e", f"{BEFORE}^{{commit}}"], cwd=ROOT, capture_output=True).returncode:
            sys.exit(f"{BEFORE} is not in this clone: git fetch --unshallow")
        before.mkdir()
        archive = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["tar", "-x", "-C", str(before)], input=archive, check=True)
        trainings = [_Training(tree, store, Path(folder) / name) for name, tree in (("now", ROOT), ("then", before))]
        turns = WARM_UP + (6 if quick else 30)
        rows: list[list[dict[str, float]]] = [[], []]
        try:
            for turn in range(turns):
                for which, training in enumerate(trainings):
                    found = training.turn()
                    rows[which] += found if turn >= WARM_UP else []
        finally:
            for training in trainings:
                training.close()
    now, then = rows
    step, old = (statistics.median(row["step"] for row in of_one) for of_one in (now, then))
    data = [row["fetch"] + row["augment"] for row in now]
    return {
        "data_fraction_of_step": round(sum(data) / sum(row["step"] for row in now), 4),
        "step_ms_ratio": round(step / old, 4),
        "step_ms": round(1e3 * step, 3),
        "step_ms_before": round(1e3 * old, 3),
        "fetch_ms": round(1e3 * statistics.median(row["fetch"] for row in now), 3),
        "augment_ms": round(1e3 * statistics.median(row["augment"] for row in now), 3),
        "steps": len(now),
    }


class _Training:
    """A training in a process of its own, which waits before each turn."""

    def __init__(self, tree: Path, store: Path, out: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        self.process = subprocess.Popen([sys.executable, "-c", _CHILD, str(store), str(out), str(TURN)], cwd=tree, env=environment,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def turn(self) -> list[dict[str, float]]:
        """Let it take the steps of a turn."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        rows: list[dict[str, float]] = json.loads(self.process.stdout.readline())
        return rows

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


# Both trees have these classes; a step lasts from one batch's fetching to the next one's.
_CHILD = """
import json, os, sys, time
store, out, turn = sys.argv[1], sys.argv[2], int(sys.argv[3])
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
from edgeskel.training import TrainConfig, train
from edgeskel.training.augment import Augmenter
import edgeskel.training.data as training_data
from edgeskel.training.module import TrainingModule

spent = {"fetch": 0.0, "augment": 0.0}
rows = []
begin = None

def timed(kind, name, what):
    function = getattr(kind, name)
    def call(*arguments):
        start = time.process_time()
        try:
            return function(*arguments)
        finally:
            spent[what] += time.process_time() - start
    setattr(kind, name, call)

timed(Augmenter, "forward", "augment")
WindowDataset = getattr(training_data, "WindowDataset", None) or training_data.Windows  # what it was called before
fetch = WindowDataset.__getitems__

def step_begins(self, items):
    global begin
    now = time.process_time()
    if begin is not None:
        rows.append({"step": now - begin, **spent})
    if len(rows) == turn or begin is None:
        if begin is not None:
            answers.write(json.dumps(rows) + "\\n")
            answers.flush()
            rows.clear()
        sys.stdin.readline()
    spent.update(fetch=0.0, augment=0.0)
    begin = time.process_time()
    found = fetch(self, items)
    spent["fetch"] += time.process_time() - begin
    return found

WindowDataset.__getitems__ = step_begins
train(TrainConfig(data=store, out=out, device="cpu", threads=1))
"""


if __name__ == "__main__":
    main("pipeline", measure, seeds=(0,))
