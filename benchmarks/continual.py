"""Class-incremental learning: CHARON against DER++ at equal stored bytes, and seven other methods.

Per method, on Split UTD-MHAD (9 tasks of 3 classes, cross-subject) and under ``split_nw_ucla`` on Split N-UCLA (5 of 2,
cross-view; its test part counts the 95 copies of training clips): ``final_accuracy`` and ``forgetting`` in percent, ``bytes``
stored between tasks, ``ms_per_step`` and ``peak_mb`` of a training step on one core. Methods that replay may store the
bytes of one in 16 training clips.

- ``charon_minus_der_utd``, ``charon_minus_der_ucla``: final accuracy in points, the mean over 5 seeds x 2 orders of the
  classes, each pair with the same seed and order; ``_std`` is over the ten pairs.
- ``masking_time_ratio``, ``masking_memory_ratio``: a step of CHARON, which masks a third of each clip, over one with
  nothing masked; a table has half masked too. ``charon_over_der_time``, ``charon_over_der_memory``: over a step of DER++.

Steps are timed in turns in one process. Every run is kept in ``benchmarks/cache`` and not repeated; a run that was stopped
goes on after its last finished task. DER++ and CHARON have the settings that ``benchmarks.continual_search`` found best; the
others, which were not searched, have their defaults. ``--quick`` runs three tasks of
UTD-MHAD for four epochs with one seed, so its accuracies say little.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks._bench import CACHE, RESULTS, interleave, main
from benchmarks.accuracy import imported

SEEDS = (0, 1, 2, 3, 4)
ORDERS = (0, 1)
#: Epochs of a task: about 400 steps for the whole sequence of either protocol, half a minute on one idle core.
EPOCHS = {"split-utd-mhad": 15, "split-nw-ucla": 6}
PAIR = ("der++", "charon")
OTHERS = ("finetune", "joint", "lwf", "ewc", "er", "er-ace", "icarl")
OTHER_SEEDS = (0,)
PREFIX = {"split-utd-mhad": "utd", "split-nw-ucla": "ucla"}
WHOLE, HALF = "charon, nothing masked", "charon, half masked"


def measure(quick: bool) -> dict[str, Any]:
    """Learn task by task with every method."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if quick else CACHE
        protocols = list(EPOCHS)[: 1 if quick else None]
        runs = _quick_runs(folder) if quick else _all_runs(folder)
        costs = _costs(imported("utd-mhad", folder), quick)
    figures: dict[str, Any] = {}
    for protocol in protocols:
        found = {method: {**_mean([run["figures"] for run in runs[protocol][method].values()]), **costs[method]}
                 for method in (*OTHERS, *PAIR)}
        figures |= found if protocol == "split-utd-mhad" else {protocol.replace("-", "_"): found}
    for protocol in protocols:
        theirs, ours = (runs[protocol][method] for method in PAIR)
        gains = [ours[key]["figures"]["final_accuracy"] - theirs[key]["figures"]["final_accuracy"] for key in ours]
        name = f"charon_minus_der_{PREFIX[protocol]}"
        figures |= {name: statistics.fmean(gains), f"{name}_std": statistics.stdev(gains) if len(gains) > 1 else 0.0}
    for name, other in (("masking", WHOLE), ("charon_over_der", "der++")):
        ratio = "_ratio" if name == "masking" else ""
        figures[f"{name}_time{ratio}"] = costs["charon"]["ms_per_step"] / costs[other]["ms_per_step"]
        figures[f"{name}_memory{ratio}"] = costs["charon"]["peak_mb"] / costs[other]["peak_mb"]
    figures["tables"] = {"every pair of runs": [row for protocol in protocols for row in _pairs(protocol, runs[protocol])],
                         "a step": [{"method": method, **{name: round(value, 2) for name, value in cost.items()}}
                                    for method, cost in costs.items()]}
    return figures


def run_one(folder: Path, protocol: str, method: str, order: int, seed: int, *, validation: str = "0", name: str = "",
            settings: Mapping[str, float] | None = None, epochs: int | None = None, tasks: int | None = None
            ) -> dict[str, Any]:
    """One run, or what is kept of it; returns its run.json."""
    from edgeskel.continual.training.config import ContinualConfig
    from edgeskel.continual.training.loop import learn

    dataset = protocol.removeprefix("split-")
    out = folder / "continual" / protocol / f"{method}-order-{order}-seed-{seed}{'-' if name else ''}{name}"
    changes = {"epochs": epochs or EPOCHS[protocol], **(settings or {})}
    config = ContinualConfig(
        data=imported(dataset, folder).path, out=out, method=method, protocol=protocol, order=order, seed=seed, tasks=tasks,
        validation=validation, settings=tuple(f"{key}={value}" for key, value in changes.items()), threads=1)
    return learn(config).run


Runs = dict[str, dict[str, dict[tuple[int, int], dict[str, Any]]]]  # protocol -> method -> (order, seed) -> run.json


def chosen(method: str) -> dict[str, float]:
    """The settings of the best trial of the search; empty for a method that was not searched.

    Raises:
        SystemExit: the search has not been run.
    """
    if method not in PAIR:
        return {}
    path = RESULTS / "continual_search.json"
    if not path.is_file():
        sys.exit(f"{path} is not there: run python -m benchmarks.continual_search first")
    best: dict[str, float] = json.loads(path.read_text("utf-8"))["figures"]["chosen"][method]
    return best


def _all_runs(folder: Path) -> Runs:
    runs: Runs = {protocol: {} for protocol in EPOCHS}
    for methods, seeds in ((PAIR, SEEDS), (OTHERS, OTHER_SEEDS)):
        for protocol in EPOCHS:
            for method in methods:
                runs[protocol][method] = {
                    (order, seed): run_one(folder, protocol, method, order, seed, settings=chosen(method))
                    for seed in seeds for order in ORDERS}
    return runs


def _quick_runs(folder: Path) -> Runs:
    protocol = "split-utd-mhad"
    imported("utd-mhad", folder)
    methods = (*PAIR, *OTHERS)
    short = partial(_short_run, folder, protocol)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        return {protocol: {method: {(0, 0): run} for method, run in zip(methods, pool.map(short, methods), strict=True)}}


def _short_run(folder: Path, protocol: str, method: str) -> dict[str, Any]:
    return run_one(folder, protocol, method, 0, 0, epochs=4, tasks=3)


def _mean(found: list[dict[str, float]]) -> dict[str, float]:
    result: dict[str, float] = {"runs": len(found)}
    for name in ("final_accuracy", "forgetting"):
        values = [one[name] for one in found]
        result[name] = statistics.fmean(values)
        result[f"{name}_std"] = statistics.stdev(values) if len(values) > 1 else 0.0
    return {**result, "bytes": max(one["bytes"] for one in found)}


def _pairs(protocol: str, runs: Mapping[str, Mapping[tuple[int, int], Mapping[str, Any]]]) -> list[dict[str, Any]]:
    return [{"protocol": protocol, "order": order, "seed": seed,
             **{f"{method} {name}": round(runs[method][order, seed]["figures"][figure], 2)
                for method in PAIR for name, figure in (("accuracy", "final_accuracy"), ("forgetting", "forgetting"))}}
            for order, seed in runs["charon"]]


def _costs(store: Any, quick: bool) -> dict[str, dict[str, float]]:
    """Milliseconds and peak MB of a step in the second task of Split UTD-MHAD, every method in turns."""
    import torch

    from edgeskel.continual.training.clips import Clips
    from edgeskel.continual.training.cost import peak_bytes
    from edgeskel.continual.training.loop import MODEL, make_method, windows
    from edgeskel.continual.training.method import recipe_for
    from edgeskel.continual.training.methods import method_named
    from edgeskel.continual.training.protocols import sequence
    from edgeskel.models import create
    from edgeskel.training.data import Batch
    from edgeskel.training.trainer import keep_memory

    torch.set_num_threads(1)
    keep_memory()
    steps = sequence(store, "split-utd-mhad")

    def prepared(name: str, **changes: float) -> Any:
        kind = method_named(name)
        recogniser = create("edge", topology=store.topology, labels=steps.labels, **MODEL)
        first, second = (windows(store, task.train, steps, recogniser).all() for task in steps.tasks[:2])
        method = make_method(kind, recogniser, recipe_for(kind, changes), store, budget=600_000)
        method.begin(steps.tasks[0].classes)
        method.end(Clips.of(first))
        method.begin(steps.tasks[1].classes)
        learned = torch.nn.ModuleList((recogniser.encoder, method)).train()
        optimizer = torch.optim.AdamW(learned.parameters(), 1e-3)
        size = method.recipe.batch_size
        assert second.labels is not None
        batch = Batch(second.joints[:size], second.confidence[:size], second.labels[:size], second.index[:size])

        def step() -> None:
            optimizer.zero_grad()
            torch.stack(list(method.loss(recogniser.encoder, batch).values())).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        return step

    calls = {name: prepared(name, **({} if quick else chosen(name))) for name in (*OTHERS, *PAIR)}
    for name, ratio in ((WHOLE, 0.0), (HALF, 0.5)):
        calls[name] = prepared("charon", **{**({} if quick else chosen("charon")), "mask_ratio": ratio})
    times = interleave(calls, rounds=10 if quick else 60)
    return {name: {"ms_per_step": 1e3 * statistics.median(times[name]), "peak_mb": peak_bytes(call) / 1e6}
            for name, call in calls.items()}


if __name__ == "__main__":
    main("continual", measure, seeds=SEEDS)
