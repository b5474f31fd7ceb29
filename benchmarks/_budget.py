"""Ranks by sensitivity against the uniform rank, with the same budget of parameters: part of ``benchmarks.compression``.

The shipped ``edge`` of two data sets is brought to several shares of its parameters, without training it on. Its training held
nothing out, so training clips judge; both ways are then measured on the test part. A pair is one model at one share.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._bench import CACHE
from benchmarks.accuracy import imported

__all__ = ["measure"]

MODELS = {"utd-mhad": ("edge-utd-mhad", "cross-subject"), "nw-ucla": ("edge-nw-ucla", "cross-view")}
SHARES, QUICK_SHARES = (0.5, 0.4, 0.3, 0.25, 0.2), (0.4, 0.3, 0.25)
EVERY, QUICK_EVERY = 6, 24
"""Each so manieth training clip judges."""
T_95 = {2: 4.303, 9: 2.262}
"""Two-sided 95 % point of Student's t, by degrees of freedom."""


def measure(quick: bool) -> dict[str, Any]:
    """``budget_over_uniform_top1``: points of test accuracy, mean over the pairs; ``_low``: the lower end of its 95 % interval."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if quick else CACHE
        rows = [row for dataset in list(MODELS)[: 1 if quick else None] for row in _of_one_set(folder, dataset, quick)]
    gains = [row["by sensitivity, top-1"] - row["uniform, top-1"] for row in rows]
    half = T_95[len(gains) - 1] * statistics.stdev(gains) / math.sqrt(len(gains))
    mean = statistics.fmean(gains)
    return {"budget_over_uniform_top1": mean, "budget_over_uniform_low": mean - half, "budget_pairs": len(gains),
            "tables": {"Ranks by sensitivity against the uniform rank, before any training": rows}}


def _of_one_set(folder: Path, dataset: str, quick: bool) -> list[dict[str, Any]]:
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
    rows = []
    for share in QUICK_SHARES if quick else SHARES:
        most = search.most(Limit("parameters", share, share=True))
        row: dict[str, Any] = {"model": name, "share of the parameters": share}
        for way, found in (("uniform", search.uniform(most)), ("by sensitivity", search.best(most, rounds=1 if quick else 2))):
            row[f"{way}, parameters"] = round(found.cost)
            row[f"{way}, top-1"] = evaluate(compress(model, found.ranks, inputs), store, parts.test).top1
        rows.append(row)
    return rows
