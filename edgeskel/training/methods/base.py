"""What every method is: the loss of a batch, and what is kept in the end.

The Trainer owns everything else: epochs, resuming, seeds, the average of the weights, several processes, progress, trackers and the
run folder. A method holds what only training needs (a teacher, a projection, a queue); that is saved and resumed as every other
module's parameters and buffers are, and no part of the result.

Axes: N clips, M persons, S frames of the window, V joints, D width of the embedding, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeskel import plugins
from edgeskel.data import Store
from edgeskel.errors import UnknownChoice, UsageError
from edgeskel.models import Encoder, Recogniser
from edgeskel.training.data import Batch
from edgeskel.training.recipes import Recipe

__all__ = ["Method", "NoSettings", "Setup", "create", "defaults", "names", "register", "registered", "settings_of"]


@dataclass(frozen=True, kw_only=True)
class NoSettings:
    """Of a method that has none. Settings are whole numbers, finite numbers, truth values or texts, each with a default."""


@dataclass(frozen=True)
class Setup:
    """What a method is made from.

    Args:
        encoder: learns in place.
        classifier: where to start from; None where there are no classes.
        recipe: the whole of it.
        settings: of the method's own :attr:`~Method.Settings`.
        store: the recordings; ``Batch.index`` points into it, and so does whatever lies beside a clip.
        clips: (N,) of the store, those that are learned from.
        teachers: trained recognisers of the same labels and joints; frozen.
    """

    encoder: Encoder
    classifier: nn.Module | None
    recipe: Recipe
    settings: Any
    store: Store
    clips: NDArray[np.int64]
    teachers: Sequence[Recogniser] = ()


class Method(nn.Module):
    """Base of all methods. A subclass writes :meth:`loss`, and :meth:`result` where more than the encoder is kept."""

    name: ClassVar[str] = ""
    """By which a recipe asks for it; set by ``register``."""
    Settings: ClassVar[type] = NoSettings
    """A frozen dataclass."""
    labelled: ClassVar[bool] = False
    """Whether every clip that it learns from needs a label."""
    taught: ClassVar[bool] = False
    """Whether it learns from :attr:`Setup.teachers`."""

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.settings = setup.settings

    def loss(self, encoder: Encoder, batch: Batch) -> dict[str, Tensor]:
        """What is minimised: the sum of these terms, each a scalar with its weight in it. All are told in the curves.

        Called in training mode, under the precision of the training, after torch's generator was seeded by the step's number.
        """
        raise NotImplementedError

    def result(self, encoder: Encoder) -> nn.Module:
        """What is kept and exported: an encoder, or a recogniser around it. Nothing that only training needs."""
        return encoder

    def validate(self, result: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Means over a batch of held-out clips, by name, without a gradient; ``{}`` where there is nothing to tell.

        Args:
            result: of :meth:`result`, or its moving average; in evaluation mode.
            batch: unchanged windows.
        """
        return {}

    def rank(self, figures: Mapping[str, float]) -> tuple[float, ...]:
        """By which early stopping calls an epoch better: the larger, the better.

        Args:
            figures: means of what :meth:`validate` gave, by name.

        Raises:
            UsageError: the method tells nothing to go by.
        """
        if "loss" not in figures:
            raise UsageError(f"early stopping with the method {self.name!r}, which tells no validation loss",
                             remedy="train without --patience")
        return (-figures["loss"],)


REGISTRY: dict[str, type[Method]] = {}

M = TypeVar("M", bound="type[Method]")


def register(name: str) -> Callable[[M], M]:
    """Class decorator: make a method known by name."""

    def add(method: M) -> M:
        method.name = name
        REGISTRY[name] = method
        return method

    return add


def names() -> tuple[str, ...]:
    """Methods by name, ours and those of other installed packages."""
    return tuple(sorted({*REGISTRY, *plugins.names(plugins.METHODS)}))


def registered(name: str) -> type[Method]:
    """A method by name; the package that brings it is imported now.

    Raises:
        UnknownChoice: no such method.
        UsageError: two packages bring it, or its package cannot be imported or does not register it.
    """
    ours = [one for one, method in REGISTRY.items() if method.__module__.startswith("edgeskel.")]
    return plugins.registered(plugins.METHODS, "method", name, REGISTRY, ours)


def defaults(method: str | type[Method]) -> dict[str, Any]:
    """The settings of a method (its name or class), each with its default. Raises ``UnknownChoice``."""
    return asdict((registered(method) if isinstance(method, str) else method).Settings())


def settings_of(method: str | type[Method], told: Mapping[str, Any] | None = None) -> Any:
    """The settings of a method, its defaults where ``told`` names none.

    Args:
        method: its name or class.
        told: value by name.

    Raises:
        UnknownChoice: no such method, or no such setting.
        UsageError: a value that is not finite or below 0, or that the settings refuse.
    """
    method = registered(method) if isinstance(method, str) else method
    kind = method.Settings
    known = {item.name for item in fields(kind)}
    for setting in told or {}:
        if setting not in known:
            raise UnknownChoice(f"setting of the method {method.name}", setting, known)
    settings = kind(**(told or {}))
    for setting, value in asdict(settings).items():
        if isinstance(value, (int, float)) and not (math.isfinite(value) and value >= 0):
            raise UsageError(f"{setting} is {value}", expected="a finite number, not negative")
    return settings


def create(setup: Setup) -> Method:
    """The method of ``setup.recipe``. Raises as :func:`registered`, and what the method refuses."""
    return registered(setup.recipe.method)(setup)
