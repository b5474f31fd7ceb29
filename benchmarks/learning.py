"""Five new actions learned on the device from five demonstrations each, UTD-MHAD, and what that costs the 22 old ones.

A base learns 22 of the 27 classes from the training subjects (1, 3, 5, 7), with virtual classes. The five new ones are
drawn by chance (``CLASS_SETS``: a shuffle of the classes by the seed, the first five). Demonstrations are clips of the
training subjects, drawn 20 times; accuracy is that of all clips of the test subjects (2, 4, 6, 8).

- ``new_top1``: percent of the test clips of the five new classes that are recognised among all 27, mean over the draws;
  ``new_top1_worst_draw`` is the least of them.
- ``old_top1_drop``: points that the 22 old classes lose against the base alone (the mean over the draws).
- ``learn_ms``: median milliseconds to learn one demonstration beyond the forward pass, until the next prediction can be
  made: the learner's own work and the transaction on the disk. ``learner_ms`` is without the disk. One core.
- ``learner_bytes``: of the learner with 60 classes in all, ten demonstrations of each new one.

Learner, shrinkage, softness and the use of virtual classes were chosen with ten other classes and subject 7 held out of the training
part; the five new classes of set 0 were never looked at for that. ``--quick`` takes the shipped base (set 0) and trains nothing; a
full run trains the base of each set, kept in ``benchmarks/cache``.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._bench import CACHE, main
from benchmarks.accuracy import imported

if TYPE_CHECKING:
    from edgeskel.continual.device import Knowledge
    from edgeskel.data import Store
    from edgeskel.models import Recogniser

__all__ = ["measure"]

SHIPPED = "edge-utd-mhad-22"
CLASS_SETS = (0, 1, 2)
NEW, SHOTS, DRAWS = 5, 5, 20
EPOCHS = 100


def new_classes(store: Store, class_set: int) -> list[str]:
    """The five labels that the base of ``class_set`` has not seen."""
    shuffled = np.random.default_rng(class_set).permutation(len(store.labels))
    return [store.labels[int(index)] for index in shuffled[:NEW]]


def base_store(store: Store, class_set: int, path: Path) -> Store:
    """The recordings without the new classes."""
    from edgeskel.data import Store, StoreWriter

    if not (path / "store.json").is_file():
        new = new_classes(store, class_set)
        with StoreWriter(path, dataset=store.dataset, topology=store.topology, rate_hz=store.rate_hz,
                         labels=[label for label in store.labels if label not in new]) as writer:
            for clip in store:
                if clip.label not in new:
                    writer.add(clip)
    return Store.open(path)


def base(store: Store, class_set: int) -> Path:
    """Checkpoint folder of the base; trained, or what is kept of an earlier run."""
    from edgeskel.training import TrainConfig, train

    folder = CACHE / "learning"
    old = base_store(store, class_set, folder / f"store-{class_set}")
    config = TrainConfig(data=old.path, out=folder / f"base-{class_set}", seed=0, epochs=EPOCHS,
                         settings=("virtual=true",), precision="bf16", threads=1)
    return train(config, progress=True).folder


if __name__ == "__main__":
    main("learning", measure, seeds=CLASS_SETS)  # noqa: F821
