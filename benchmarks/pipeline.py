"""How much of a training step the data cost: fetching a batch and augmenting it, against the whole step.

``data_fraction_of_step`` is the sum of the data's seconds over the sum of the steps' seconds, measured inside one loop
on UTD-MHAD's training side with the recipe that ``edgeskel train`` would take.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks._bench import datasets, main


def measure(quick: bool) -> dict[str, Any]:
    """Time the data pipeline of a training step."""
    from edgeskel.data import Store, import_dataset

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "utd-mhad"
        import_dataset("utd-mhad", datasets() / "utd-mhad", path)
        return _steps(Store.open(path), 12 if quick else 150)


def _steps(store: Any, count: int) -> dict[str, Any]:
    import torch
    from torch.nn import functional

    from edgeskel.data import split
    from edgeskel.models import create
    from edgeskel.training.data import Batches, Windows, loader
    from edgeskel.training.module import TrainingModule, parameter_groups
    from edgeskel.training.recipes import recipe_for

    torch.manual_seed(0)
    recipe = recipe_for("edge", store.dataset)
    recogniser = create("edge", topology=store.topology, labels=store.labels, **recipe.model)
    module = TrainingModule(recogniser, recipe, steps=count)
    optimizer = torch.optim.AdamW(parameter_groups(recogniser, recipe.weight_decay), recipe.learning_rate)
    start = time.perf_counter()
    windows = Windows(store, split(store).train, range(len(store.labels)), recogniser.config.persons,
                      recogniser.config.source_frames)
    filling = time.perf_counter() - start
    batches = _forever(loader(windows, Batches(len(windows), recipe.batch_size, 0)))
    fetch, augment, step = [], [], []
    for number in range(count + 2):
        begin = time.perf_counter()
        joints, confidence, labels = next(batches)
        fetched = time.perf_counter()
        targets = functional.one_hot(labels, len(store.labels)).float()
        with torch.no_grad():
            joints, confidence, targets = module.augment(joints, confidence, targets)
        augmented = time.perf_counter()
        logits = module.logits(recogniser, module.training_streams, joints, confidence)
        torch.autograd.backward(functional.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing))
        torch.nn.utils.clip_grad_norm_(recogniser.parameters(), recipe.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        if module.average is not None:
            module.average.follow(recogniser, number)
        if number >= 2:  # the first ones warm up
            fetch.append(fetched - begin)
            augment.append(augmented - fetched)
            step.append(time.perf_counter() - begin)
    return {
        "data_fraction_of_step": round((sum(fetch) + sum(augment)) / sum(step), 4),
        "fetch_ms": round(1000 * statistics.median(fetch), 3),
        "augment_ms": round(1000 * statistics.median(augment), 3),
        "step_ms": round(1000 * statistics.median(step), 3),
        "fill_cache_s": round(filling, 3),
        "batch_size": recipe.batch_size,
        "steps": count,
        "threads": torch.get_num_threads(),
    }


def _forever(batches: Any) -> Iterator[Any]:
    while True:
        yield from batches


if __name__ == "__main__":
    main("pipeline", measure, seeds=(0,))
