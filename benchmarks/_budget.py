"""Ranks by sensitivity against the uniform rank, with the same budget of parameters: part of ``benchmarks.compression``.

The shipped ``edge`` of two data sets is brought to several shares of its parameters, without training it on. Its training held
nothing out, so training clips judge; both ways are then measured on the test part. A pair is one test clip, and how often each way
is right about it over the shares.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._bench import CACHE
from benchmarks.accuracy import imported

__all__ = ["measure"]

MODELS = {"utd-mhad": ("edge-utd-mhad", "cross-subject"), "nw-ucla": ("edge-nw-ucla", "cross-view")}
SHARES, QUICK_SHARES = (0.5, 0.4, 0.3, 0.25, 0.2), (0.4, 0.3, 0.25)
EVERY, QUICK_EVERY = 6, 24
"""Each so manieth training clip judges."""
Z_95 = 1.96
"""Two-sided 95 % point of the normal distribution."""


def measure(quick: bool) -> dict[str, Any]:
    """``budget_over_uniform_top1``: points of test accuracy, mean over clips and shares; ``_low``: the lower end of the 95 %
    interval."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if quick else CACHE
        found = [_of_one_set(folder, dataset, quick) for dataset in list(MODELS)[: 1 if quick else None]]
    gains = 100 * np.concatenate([gain for _, gain in found])
    mean, error = float(gains.mean()), float(gains.std(ddof=1)) / math.sqrt(len(gains))
    return {"budget_over_uniform_top1": mean, "budget_over_uniform_low": mean - Z_95 * error, "budget_pairs": len(gains),
            "tables": {"Ranks by sensitivity against the uniform rank, before any training":
                       [row for rows, _ in found for row in rows]}}


def _of_one_set(folder: Path, dataset: str, quick: bool) -> tuple[list[dict[str, Any]], NDArray[np.float64]]:
    """A row for each share; and (N,) how much oftener ranks by sensitivity are right about each test clip, mean over the shares."""
    from edgeskel.compression.allocation import Limit, RankSearch
    from edgeskel.compression.low_rank import compress, covariances
    from edgeskel.data import split
    from edgeskel.models import from_pretrained
    from edgeskel.runtime.bundle import Window
    from edgeskel.training import evaluate
    from export.windows import calibration_windows

    name, protocol = MODELS[dataset]
    store, model = imported(dataset, folder), from_pretrained(name)
    config, parts = model.config, split(store, protocol)
    window = Window(config.persons, config.source_frames, config.rate_hz, config.hop)
    inputs = covariances(model, calibration_windows(store, parts, config.topology, window, 64).pairs())
    search = RankSearch(model, store, parts.train[:: QUICK_EVERY if quick else EVERY], "parameters", inputs=inputs)
    rows, gains = [], []
    for share in QUICK_SHARES if quick else SHARES:
        most = search.most(Limit("parameters", share, share=True))
        row: dict[str, Any] = {"model": name, "share of the parameters": share}
        right = {}
        for way, found in (("uniform", search.uniform(most)), ("by sensitivity", search.best(most, rounds=1 if quick else 2))):
            measured = evaluate(compress(model, found.ranks, inputs), store, parts.test)
            right[way] = (measured.probabilities.argmax(1) == measured.truth).astype(np.float64)
            row[f"{way}, parameters"], row[f"{way}, top-1"] = round(found.cost), measured.top1
        rows.append(row)
        gains.append(right["by sensitivity"] - right["uniform"])
    return rows, np.mean(gains, axis=0)
