"""LORTSAR's experiment on our data: truncate ``hyperformer``, train it on, compare.

For every seed: ``hyperformer`` is trained on UTD-MHAD cross-subject (skeletons only, 32 frames), each of its layers is
truncated at a ratio of its full rank, by its weights alone and by what recorded clips put into it, and the latter is
trained on with distillation. The ratio behind the figures was fixed beforehand (``RATIO``), since the test part must
choose nothing; the table has others, from the first seed.

- ``hyperformer_params_saved``: percent of the parameters, at ``RATIO``.
- ``hyperformer_top1_drop``: points of test accuracy from the uncompressed to the truncated and fine-tuned one, mean over
  the seeds; below 0 is a gain.

It takes hours. Every training is kept in ``benchmarks/cache`` and resumed, every measurement too; run it again after an
interruption. ``--quick`` does the same with a recogniser of 72 channels and 3 blocks, on six classes;
``hyperformer_params_saved`` is of the full-sized one even then.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks._bench import CACHE, datasets, main
from edgeskel.cli.report import console
from edgeskel.files import atomic_write

SEEDS = (0, 1, 2)
PROTOCOL = "cross-subject"
RATIO = 0.25
CLIPS = 64


@dataclass(frozen=True)
class Plan:
    """One size of the experiment."""

    settings: tuple[str, ...]
    epochs: int
    tuning_epochs: int
    ratios: tuple[float, ...]  # every seed takes the first one, the first seed all of them
    seeds: tuple[int, ...]
    tuning_rate: float = 0.3
    threads: int | None = None
    precision: Literal["32", "bf16"] = "32"


# Half the reference's frames and mixed precision keep the trainings of a transformer within two hours on two cores.
FULL = Plan(("frames=32", "batch_size=16"), 24, 6, (RATIO, 0.4, 0.1), SEEDS, precision="bf16")
QUICK = Plan(("width=72", "heads=3", "blocks=3", "frames=16", "batch_size=16", "learning_rate=0.004",
              "average=0.9", "augment_frames=32", "mix=0", "joint_dropout=0", "limb=0"), 16, 12, (RATIO,), (0,), 1.0, 1)


def measure(quick: bool) -> dict[str, Any]:
    """Truncate and fine-tune hyperformer; parameters, MACs and accuracy per rank."""
    import torch

    if quick:
        torch.set_num_threads(1)  # the layers are too small to share
        with tempfile.TemporaryDirectory() as folder:
            return _figures(QUICK, _run(QUICK, _few_classes(Path(folder)), Path(folder)))
    store = CACHE / "utd-mhad"
    if not (store / "store.json").is_file():
        _import(store)
    return _figures(FULL, _run(FULL, store, CACHE / "hyperformer"))


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
    """One row for every recogniser that was measured: every seed at the first ratio, then the first seed at the others."""
    rows = [row for seed in plan.seeds for row in _seed(plan, store, folder / f"seed-{seed}", seed, plan.ratios[:1])]
    first = plan.seeds[0]
    others = _seed(plan, store, folder / f"seed-{first}", first, plan.ratios[1:])
    return rows + [row for row in others if row["stage"] != "trained"]


def _seed(plan: Plan, data: Path, folder: Path, seed: int, ratios: Sequence[float]) -> list[dict[str, Any]]:
    from edgeskel.compression.fine_tuning import fine_tune
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
    rows = [_row(folder, store, model, seed=seed, ratio=1.0, method="whole", stage="trained")]
    for ratio in ratios:
        for method in ("plain", "activation-aware"):
            ranks = choose_ranks(model, ratio=ratio)
            small = compress(model, ranks, inputs if method != "plain" else None)
            rows.append(_row(folder, store, small, seed=seed, ratio=ratio, method=method, stage="truncated"))
        console.print(f"seed {seed}: fine-tuning at ratio {ratio}")
        start = folder / f"truncated-{ratio}"
        if not (start / "config.json").is_file():
            small.save_pretrained(start)
        tuned = fine_tune(start, whole, data, folder / f"tuned-{ratio}", epochs=plan.tuning_epochs, rate=plan.tuning_rate,
                          protocol=PROTOCOL, seed=seed, threads=plan.threads, precision=plan.precision)
        rows.append(_row(folder, store, tuned.recogniser, seed=seed, ratio=ratio, method=method, stage="fine-tuned"))
    return rows


def _row(folder: Path, store: Any, model: Any, **about: Any) -> dict[str, Any]:
    """Measured once, then kept beside the trainings."""
    from edgeskel.compression.budget import budget
    from edgeskel.data import split
    from edgeskel.training import evaluate

    kept = folder / "measured" / f"{about['stage']}-{about['method']}-{about['ratio']}.json"
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
    def top1(stage: str, ratio: float) -> list[float]:
        return [row["top1"] for row in rows if row["stage"] == stage and row["ratio"] == ratio]

    before = top1("trained", 1.0)
    drops = [a - b for a, b in zip(before, top1("fine-tuned", RATIO), strict=True)]
    return {
        "hyperformer_params_saved": _saved(),
        "hyperformer_top1_drop": statistics.fmean(drops),
        "hyperformer_top1_drop_std": statistics.stdev(drops) if len(drops) > 1 else 0.0,
        "hyperformer_top1": statistics.fmean(before),
        "ratio": RATIO,
        "seeds": len(plan.seeds),
        "tables": {"Hyperformer on UTD-MHAD cross-subject, before and after truncation, mean over the seeds": _table(rows)},
    }


def _saved() -> float:
    """Percent of the full-sized recogniser's parameters that ``RATIO`` saves; no weights are needed to know."""
    from edgeskel import models, topologies
    from edgeskel.compression.low_rank import choose_ranks
    from edgeskel.models import count_parameters

    sizes = {"topology": topologies.get("kinect-v1"), "labels": tuple(map(str, range(27)))}
    whole = models.create("hyperformer", **sizes)
    small = models.create("hyperformer", **sizes, low_rank=choose_ranks(whole, ratio=RATIO))
    return 100 * (1 - count_parameters(small) / count_parameters(whole))


def _table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["ratio"], row["method"], row["stage"]), []).append(row)
    return [{"rank / full rank": ratio, "method": method, "stage": stage, "parameters": found[0]["parameters"],
             "MMAC": round(found[0]["mmac"], 1), "top-1": round(statistics.fmean(row["top1"] for row in found), 2),
             "seeds": len(found)}
            for (ratio, method, stage), found in groups.items()]


if __name__ == "__main__":
    main("compression", measure, seeds=SEEDS)
