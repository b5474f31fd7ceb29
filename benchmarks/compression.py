"""LORTSAR's experiment on our data: truncate ``hyperformer``, train it on, compare.

For every seed: ``hyperformer`` is trained on UTD-MHAD cross-subject (skeletons only, 32 frames), then truncated to save a
share of its parameters, by what its weights alone say and by what recorded training clips make of them, and the latter
is trained on with distillation. The share behind the figures (``SAVING``) is what was asked of us and a little more, not
chosen by accuracy; the table has others, from the first seed.

- ``hyperformer_params_saved``: percent of the parameters.
- ``hyperformer_top1_drop``: points of test accuracy from the uncompressed to the truncated and fine-tuned one, mean over
  the seeds; below 0 is a gain.
- ``budget_over_uniform_top1``, ``budget_over_uniform_low``: what ranks by sensitivity are ahead of the uniform rank in points of
  test accuracy, and the lower end of the 95 % interval (``benchmarks/_budget.py``).

It takes hours. Every training is kept in ``benchmarks/cache`` and resumed, every measurement too; run it again after an
interruption. ``--quick`` does the same with a recogniser of 72 channels and 3 blocks, on six classes.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks import _budget
from benchmarks._bench import CACHE, main
from edgeskel.cli.report import console
from edgeskel.files import atomic_write
from tests.datasets import datasets

SEEDS = (0, 1, 2)
PROTOCOL = "cross-subject"
SAVING = 0.47
CLIPS = 64


@dataclass(frozen=True)
class Plan:
    """One size of the experiment."""

    settings: tuple[str, ...]
    epochs: int
    tuning_epochs: int
    savings: tuple[float, ...]  # every seed takes the first one, the first seed all of them
    seeds: tuple[int, ...]
    tuning_rate: float = 0.3
    threads: int | None = None
    precision: Literal["32", "bf16"] = "32"


# Half the reference's frames and mixed precision keep the trainings of a transformer within two hours on two cores.
FULL = Plan(("frames=32", "batch_size=16"), 24, 5, (SAVING, 0.6, 0.75), SEEDS, precision="bf16")
QUICK = Plan(("width=72", "heads=3", "blocks=3", "frames=16", "batch_size=16", "learning_rate=0.004",
              "average=0.9", "augment_frames=32", "mix=0", "joint_dropout=0", "limb=0"), 16, 12, (SAVING,), (0,), 1.0, 1)


def measure(quick: bool) -> dict[str, Any]:
    """Truncate and fine-tune hyperformer; parameters, MACs and accuracy per rank."""
    import torch

    if quick:
        torch.set_num_threads(1)  # the layers are too small to share
        with tempfile.TemporaryDirectory() as folder:
            return _joined(_figures(QUICK, _run(QUICK, _few_classes(Path(folder)), Path(folder))), _budget.measure(quick))
    store = CACHE / "utd-mhad"
    if not (store / "store.json").is_file():
        _import(store)
    return _joined(_figures(FULL, _run(FULL, store, CACHE / "hyperformer")), _budget.measure(quick))


def _joined(*parts: dict[str, Any]) -> dict[str, Any]:
    """The figures of all, and their tables."""
    tables = {name: table for part in parts for name, table in part["tables"].items()}
    return {name: value for part in parts for name, value in part.items() if name != "tables"} | {"tables": tables}


def _import(path: Path) -> Path:
    from edgeskel.data import import_dataset

    import_dataset("utd-mhad", datasets() / "utd-mhad", path)
    return path


def _few_classes(folder: Path) -> Path:
    """Six classes of the whole body: jog, walk, sit to stand, stand to sit, lunge, squat."""
    from edgeskel.data import Store, StoreWriter

    whole = Store.open(_import(folder / "whole"))
    labels = whole.labels[-6:]
    some = folder / "some"
    with StoreWriter(some, dataset=whole.dataset, topology=whole.topology, labels=labels, rate_hz=whole.rate_hz) as out:
        for number, label in enumerate(whole.index["label"]):
            if whole.labels[label] in labels:
                out.add(whole[number])
    return some


def _run(plan: Plan, store: Path, folder: Path) -> list[dict[str, Any]]:
    """One row for every recogniser that was measured: every seed at the first saving, then the first seed at the others."""
    rows = [row for seed in plan.seeds for row in _seed(plan, store, folder / f"seed-{seed}", seed, plan.savings[:1])]
    first = plan.seeds[0]
    others = _seed(plan, store, folder / f"seed-{first}", first, plan.savings[1:])
    return rows + [row for row in others if row["stage"] != "trained"]


def _seed(plan: Plan, data: Path, folder: Path, seed: int, savings: Sequence[float]) -> list[dict[str, Any]]:
    from edgeskel.compression.fine_tuning import fine_tune, recipe_of
    from edgeskel.compression.low_rank import choose_ranks, compress, covariances
    from edgeskel.data import Store, split
    from edgeskel.runtime.bundle import Window
    from edgeskel.training import TrainConfig, train
    from export.windows import calibration_windows

    console.print(f"seed {seed}: training hyperformer")
    whole = folder / "whole"
    model = train(TrainConfig(data=data, out=whole, recogniser="hyperformer", protocol=PROTOCOL, epochs=plan.epochs,
                              seed=seed, settings=plan.settings, threads=plan.threads, precision=plan.precision)).recogniser
    store, config = Store.open(data), model.config
    window = Window(config.persons, config.source_frames, config.rate_hz, config.hop)
    clips = calibration_windows(store, split(store, PROTOCOL), config.topology, window, CLIPS)
    inputs = covariances(model, clips.pairs())
    rows = [_row(folder, store, model, seed=seed, saving=0.0, method="whole", stage="trained")]
    for saving in savings:
        for method in ("plain", "activation-aware"):
            ranks = choose_ranks(model, saving=saving, inputs=inputs if method != "plain" else None)
            small = compress(model, ranks, inputs if method != "plain" else None)
            rows.append(_row(folder, store, small, seed=seed, saving=saving, method=method, stage="truncated"))
        console.print(f"seed {seed}: fine-tuning at a saving of {saving:.0%}")
        how = TrainConfig(data=data, out=folder / f"tuned-{saving}", protocol=PROTOCOL, epochs=plan.tuning_epochs, seed=seed,
                          start=str(whole), teachers=(str(whole),), threads=plan.threads, precision=plan.precision)
        tuned = fine_tune(small, model, how, recipe=recipe_of(whole), rate=plan.tuning_rate)
        rows.append(_row(folder, store, tuned.recogniser, seed=seed, saving=saving, method=method, stage="fine-tuned"))
    return rows


def _row(folder: Path, store: Any, model: Any, **about: Any) -> dict[str, Any]:
    """Measured once, then kept beside the trainings."""
    from edgeskel.compression.budget import budget
    from edgeskel.data import split
    from edgeskel.training import evaluate

    kept = folder / "measured" / f"{about['stage']}-{about['method']}-{about['saving']}.json"
    if kept.is_file():
        row: dict[str, Any] = json.loads(kept.read_text("utf-8"))
        return row
    cost = budget(model)
    top1 = evaluate(model, store, split(store, PROTOCOL).test).top1
    row = {**about, "parameters": cost.parameters, "mmac": cost.macs / 1e6, "top1": top1}
    with atomic_write(kept) as file:
        file.write(json.dumps(row).encode())
    return row


def _figures(plan: Plan, rows: list[dict[str, Any]]) -> dict[str, Any]:
    def top1(stage: str, saving: float) -> list[float]:
        return [row["top1"] for row in rows if row["stage"] == stage and row["saving"] == saving]

    def parameters(stage: str, saving: float) -> float:
        return statistics.fmean(row["parameters"] for row in rows if row["stage"] == stage and row["saving"] == saving)

    before = top1("trained", 0.0)
    drops = [a - b for a, b in zip(before, top1("fine-tuned", SAVING), strict=True)]
    return {
        "hyperformer_params_saved": 100 * (1 - parameters("fine-tuned", SAVING) / parameters("trained", 0.0)),
        "hyperformer_top1_drop": statistics.fmean(drops),
        "hyperformer_top1_drop_std": statistics.stdev(drops) if len(drops) > 1 else 0.0,
        "hyperformer_top1": statistics.fmean(before),
        "saving": SAVING,
        "seeds": len(plan.seeds),
        "tables": {"Hyperformer on UTD-MHAD cross-subject, before and after truncation, mean over the seeds": _table(rows)},
    }


def _table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["saving"], row["method"], row["stage"]), []).append(row)

    def mean(found: list[dict[str, Any]], figure: str) -> float:
        return statistics.fmean(row[figure] for row in found)

    return [{"saving asked": saving, "method": method, "stage": stage, "parameters": round(mean(found, "parameters")),
             "MMAC": round(mean(found, "mmac"), 1), "top-1": round(mean(found, "top1"), 2), "seeds": len(found)}
            for (saving, method, stage), found in groups.items()]


if __name__ == "__main__":
    main("compression", measure, seeds=SEEDS)
