"""Training on after a decomposition: from the factors, towards the labels and the uncompressed recogniser's answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from edgeskel.models.base import from_pretrained, registered
from edgeskel.training import record
from edgeskel.training.config import TrainConfig
from edgeskel.training.recipes import recipe_for
from edgeskel.training.run import Trained, train

__all__ = ["fine_tune"]

_KEPT = ("batch_size", "optimizer", "weight_decay", "clip_norm", "label_smoothing", "average", "channels_last")


def fine_tune(
    start: Path,
    teacher: Path,
    data: Path,
    out: Path,
    *,
    epochs: int,
    rate: float = 0.1,
    protocol: str | None = None,
    fold: int = 0,
    validation: str = "0",
    seed: int = 0,
    threads: int | None = None,
    precision: Literal["32", "bf16", "16"] = "32",
    progress: bool = False,
) -> Trained:
    """Train a compressed recogniser on, with distillation from the uncompressed one.

    Batch, optimizer and augmentation are those of the teacher's own training, as its ``run.json`` tells; without one,
    those of the recipe for this recogniser and dataset.

    Args:
        start: checkpoint folder of the compressed recogniser.
        teacher: checkpoint folder of the uncompressed one.
        data: store; only the training side of ``protocol`` is read, and of it nothing that ``validation`` holds out.
        out: folder of the result; an unfinished run there is resumed.
        epochs: passes over the training part.
        rate: peak learning rate as a share of the teacher's own; more for few epochs.
        protocol, fold, validation, seed, threads, precision, progress: as in training.

    Raises:
        as :func:`edgeskel.training.train`.
    """
    recogniser = from_pretrained(start)
    config = TrainConfig(
        data=data, out=out, recogniser=recogniser.name, protocol=protocol, fold=fold, validation=validation, seed=seed,
        epochs=epochs, settings=_settings(teacher, recogniser.name, data, rate), start=str(start), teachers=(str(teacher),),
        threads=threads, precision=precision,
    )
    return train(config, progress=progress)


def _settings(teacher: Path, name: str, data: Path, rate: float) -> tuple[str, ...]:
    """The teacher's recipe as settings, at ``rate`` of its learning rate."""
    from dataclasses import asdict

    from edgeskel.data import Store

    recipe: dict[str, Any] = record.read(teacher).get("recipe", {})
    recipe = {**asdict(recipe_for(name, Store.open(data).dataset)), **recipe}
    of_model = registered(name)[1].__dataclass_fields__
    settings = {key: recipe[key] for key in _KEPT}
    settings["learning_rate"] = rate * recipe["learning_rate"]
    settings |= {f"augment_{key}" if key in of_model else key: value for key, value in recipe["augment"].items()}
    return tuple(f"{key}={json.dumps(value)}" for key, value in settings.items())
