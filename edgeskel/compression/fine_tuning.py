"""Training on after a decomposition: from the factors, towards the labels and the uncompressed recogniser's answers."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save

from edgeskel.data import Store
from edgeskel.models import Recogniser
from edgeskel.training import record
from edgeskel.training.config import TrainConfig
from edgeskel.training.recipes import Recipe, recipe_for
from edgeskel.training.run import Trained, train
from edgeskel.training.starting import Start

__all__ = ["fine_tune", "recipe_of"]


def fine_tune(smaller: Recogniser, whole: Recogniser, config: TrainConfig, *, recipe: Recipe | None = None, rate: float = 0.1,
              progress: bool = False) -> Trained:
    """Train a compressed recogniser on, by distillation from the uncompressed one.

    Args:
        smaller: the compressed one; it is used up.
        whole: the uncompressed one.
        config: store, folder, epochs and the like; ``start`` and ``teachers`` only tell the name of the uncompressed one.
        recipe: of the uncompressed one's own training (:func:`recipe_of`); by default the one for recogniser and dataset.
        rate: peak learning rate as a share of that recipe's; more for few epochs.
        progress: show a bar on stderr.

    Raises:
        as :func:`edgeskel.training.train`.
    """
    store = Store.open(config.data)
    recipe = recipe or recipe_for(smaller.name, store.dataset)
    optimizer = replace(recipe.optimizer, learning_rate=rate * recipe.optimizer.learning_rate)
    # What it is stays as it is: the recipe's settings of the recogniser are those of the uncompressed one.
    recipe = replace(recipe, optimizer=optimizer, method="distillation", model={})
    identity = {"compressed": {"from_sha256": hashlib.sha256(save(dict(whole.weights()))).hexdigest(),
                               "ranks": dict(smaller.config.low_rank)}}
    return train(replace(config, recogniser=smaller.name, method="distillation"), recipe=recipe,
                 start=Start(smaller, str(config.start), [whole]), identity=identity, progress=progress)


def recipe_of(checkpoint: Path) -> Recipe | None:
    """How a checkpoint was trained, as its ``run.json`` tells; None where it does not."""
    told = record.read(checkpoint).get("recipe")
    return None if told is None else Recipe.from_dict(told)
