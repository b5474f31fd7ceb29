"""Training and evaluation of recognisers.

``train(TrainConfig(...))`` writes a checkpoint folder; ``evaluate(model, store, indices)`` measures one. Nothing heavy
is imported until it is used: evaluating a bundle needs numpy and its engine only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from edgeskel.training.config import TrainConfig
from edgeskel.training.evaluation import Predictor, SessionPredictor, TorchPredictor, evaluate
from edgeskel.training.metrics import Metrics

if TYPE_CHECKING:
    from edgeskel.training.data import Batch
    from edgeskel.training.methods import Method, Setup, register
    from edgeskel.training.recipes import Augment, Optimizer, Recipe, recipe_for
    from edgeskel.training.run import Trained, train, train_folds

__all__ = [
    "Augment",
    "Batch",
    "Method",
    "Metrics",
    "Optimizer",
    "Predictor",
    "Recipe",
    "SessionPredictor",
    "Setup",
    "TorchPredictor",
    "TrainConfig",
    "Trained",
    "evaluate",
    "recipe_for",
    "register",
    "train",
    "train_folds",
]

_LATER = {
    "Augment": "recipes",
    "Batch": "data",
    "Method": "methods",
    "Optimizer": "recipes",
    "Setup": "methods",
    "register": "methods",
    "Recipe": "recipes",
    "recipe_for": "recipes",
    "Trained": "run",
    "train": "run",
    "train_folds": "run",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"edgeskel.training.{_LATER[name]}"), name)
    globals()[name] = value
    return value
