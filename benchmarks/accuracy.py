"""Accuracy of ``edge`` on real recordings, three seeds, the test part read once at the end.

- ``utd_top1``: UTD-MHAD cross-subject, skeletons only (431 clips to learn from, 430 to test).
- ``ucla_top1``: Northwestern-UCLA cross-view, one recogniser, no ensemble (1020 and 464 clips).
- ``ucla_top1_without_copies``: the same on the 369 test clips whose skeletons do not also stand in the training part.
- ``hyperformer_top1``, ``edge_minus_hyperformer_top1``: UTD-MHAD again, against the transformer trained by
  ``benchmarks.compression``; left out as long as that has not been run.

Every seed learns from the labels and from the same two teachers (``TEACHERS``), ``edge`` too, which saw the same training
part; one single recogniser is what is tested. Nothing is chosen here: recipes and their fixed numbers of epochs stand in
``edgeskel.training.recipes``. Trainings are kept in ``benchmarks/cache`` and resumed. ``--quick`` measures the shipped
weights, which are seed 0, and trains nothing.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._bench import CACHE, RESULTS, main
from tests.datasets import datasets

if TYPE_CHECKING:
    from edgeskel.data import Store
    from edgeskel.models import Recogniser

SEEDS = (0, 1, 2)
# seed -> settings. The two see the body from different sides, so that they err differently.
TEACHERS = {10: (), 11: ("align=none", "yaw=1.5")}
TEACHER_EPOCHS = 60
# dataset -> (prefix of its figures, shipped weights)
DATASETS = {"utd-mhad": ("utd", "edge-utd-mhad"), "nw-ucla": ("ucla", "edge-nw-ucla")}


def measure(quick: bool) -> dict[str, Any]:
    """Train and test edge on UTD-MHAD and Northwestern-UCLA."""
    figures: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for dataset, (prefix, shipped) in DATASETS.items():
            store = imported(dataset, Path(scratch) if quick else CACHE)
            models = [_shipped(shipped)] if quick else [trained(dataset, store, seed) for seed in SEEDS]
            found = [_tested(model, store) for model in models]
            for figure in found[0]:
                values = [one[figure] for one in found]
                figures[f"{prefix}_{figure}"] = statistics.fmean(values)
                figures[f"{prefix}_{figure}_std"] = statistics.stdev(values) if len(values) > 1 else 0.0
            rows += [{"dataset": dataset, "seed": seed, **{name: round(value, 2) for name, value in one.items()}}
                     for seed, one in zip(SEEDS, found, strict=False)]
    figures.update(_against_hyperformer(figures["utd_top1"]))
    return {**figures, "tables": {"edge, every seed": rows}}


def imported(dataset: str, folder: Path) -> Store:
    """The store of a dataset, imported on first use."""
    from edgeskel.data import Store, import_dataset

    path = folder / dataset
    if not (path / "store.json").is_file():
        import_dataset(dataset, datasets() / dataset, path)
    return Store.open(path)


def trained(dataset: str, store: Store, seed: int) -> Recogniser:
    """``edge`` after the dataset's recipe, with the teachers."""
    from edgeskel.training import TrainConfig, train

    folder = CACHE / "edge" / dataset
    teachers = []
    for teacher, settings in TEACHERS.items():
        config = TrainConfig(data=store.path, out=folder / f"teacher-{teacher}", seed=teacher, epochs=TEACHER_EPOCHS,
                             settings=settings, precision="bf16")
        teachers.append(str(train(config, progress=True).folder))
    config = TrainConfig(data=store.path, out=folder / f"seed-{seed}", seed=seed, teachers=tuple(teachers), precision="bf16")
    return train(config, progress=True).recogniser


def _shipped(name: str) -> Recogniser:
    from edgeskel.models import from_pretrained

    return from_pretrained(name)


def _tested(model: Recogniser, store: Store) -> dict[str, float]:
    import numpy as np

    from edgeskel.data import split
    from edgeskel.training import evaluate

    parts = split(store)
    figures = evaluate(model, store, parts.test).figures()
    kept = {name: float(figures[name]) for name in ("top1", "macro_f1")}
    if len(parts.repeated):
        alone = evaluate(model, store, np.setdiff1d(parts.test, parts.repeated))
        kept["top1_without_copies"] = alone.top1
    return kept


def _against_hyperformer(top1: float) -> dict[str, float]:
    import json

    path = RESULTS / "compression.json"
    if not path.is_file():
        return {}
    theirs = float(json.loads(path.read_text("utf-8"))["figures"]["hyperformer_top1"])
    return {"hyperformer_top1": theirs, "edge_minus_hyperformer_top1": top1 - theirs}


if __name__ == "__main__":
    main("accuracy", measure, seeds=SEEDS)
