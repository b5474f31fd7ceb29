"""The settings of DER++ and CHARON, tried on held-out training subjects: as many trials for one as for the other.

Each trial is one run of both protocols (seed 0, order 0), measured on a quarter of the training subjects; test clips are
not read. ``der_best`` and ``charon_best`` are the mean final accuracies of the winners, whose settings are ``chosen`` and the
defaults of ``edgeskel.continual.training``. What all methods share (epochs, batch, rate, recogniser, augmentation) was fixed
before. Runs are kept in ``benchmarks/cache`` and not repeated. ``--quick`` runs one short trial of each.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._bench import CACHE, main
from benchmarks.continual import EPOCHS, run_one

TRIALS: dict[str, tuple[dict[str, float], ...]] = {
    "der++": (
        {"alpha": 0.1, "beta": 0.5},
        {"alpha": 0.1, "beta": 1.0},
        {"alpha": 0.3, "beta": 1.0},
        {"alpha": 1.0, "beta": 1.0},
    ),
    "charon": (
        {"alpha": 0.3, "beta": 1.0, "step": 4, "mask_ratio": 0.5, "gamma": 0.1},
        {"alpha": 0.3, "beta": 1.0, "step": 2, "mask_ratio": 0.5, "gamma": 0.1},
        {"alpha": 0.3, "beta": 1.0, "step": 4, "mask_ratio": 0.33, "gamma": 0.1},
        {"alpha": 1.0, "beta": 1.0, "step": 4, "mask_ratio": 0.5, "gamma": 0.1},
    ),
}


def measure(quick: bool) -> dict[str, Any]:
    """Try the settings."""
    figures: dict[str, Any] = {}
    winners: dict[str, dict[str, float]] = {}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if quick else CACHE
        for method, trials in TRIALS.items():
            best, winner = -1.0, trials[0]
            for number, trial in enumerate(trials[:1] if quick else trials):
                found = [
                    run_one(folder, protocol, method, 0, 0, validation="0.25", settings=trial, name=f"trial-{number}",
                            **({"tasks": 2, "epochs": 3} if quick else {}))["figures"]["final_accuracy"]
                    for protocol in list(EPOCHS)[: 1 if quick else None]]
                if statistics.fmean(found) > best:
                    best, winner = statistics.fmean(found), trial
                rows.append({"method": method, **{name: f"{value:g}" for name, value in trial.items()},
                             **{protocol: round(value, 2) for protocol, value in zip(EPOCHS, found, strict=False)},
                             "mean": round(statistics.fmean(found), 2)})
            figures[f"{method.strip('+')}_best"] = best
            winners[method] = winner
    columns = list(dict.fromkeys(name for row in reversed(rows) for name in row))
    table = [{name: row.get(name, "") for name in columns} for row in rows]
    return {**figures, "chosen": winners, "trials_each": len(rows) // len(TRIALS), "tables": {"every trial": table}}


if __name__ == "__main__":
    main("continual_search", measure, seeds=(0,))
