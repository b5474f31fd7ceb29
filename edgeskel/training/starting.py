"""What a training starts from: a fresh recogniser, or the weights of a trained one; and the trained ones that it learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from edgeskel.data import Store
from edgeskel.errors import LabelMismatch, TopologyMismatch, UsageError
from edgeskel.models import (
    Encoder,
    Recogniser,
    create,
    create_encoder,
    encoder_from_pretrained,
    from_pretrained,
)
from edgeskel.training.recipes import Recipe

__all__ = ["Start", "load", "make"]


@dataclass(frozen=True)
class Start:
    """See the module's docstring.

    Args:
        weights: of a recogniser whose labels are the store's, or of an encoder alone; None starts afresh. It is used up: what is
            trained may be this very module.
        name: of the weights, for messages.
        teachers: trained recognisers of the store's labels and joints.
    """

    weights: Recogniser | Encoder | None = None
    name: str = ""
    teachers: Sequence[Recogniser] = ()


def load(start: str | None, teachers: Sequence[str], store: Store) -> Start:
    """From checkpoint folders or shipped names.

    Raises:
        UnknownChoice, CorruptFile, ModelError: a checkpoint.
        LabelMismatch, TopologyMismatch: it has other labels or joints than the store.
    """
    weights: Recogniser | Encoder | None = None
    if start is not None:
        weights = encoder_from_pretrained(start)
        if weights.config.labels and store.labels:
            weights = from_pretrained(start)
        _check_fits(weights, start, store)
    return Start(weights, start or "", [_check_fits(from_pretrained(name), name, store) for name in teachers])


def make(name: str, store: Store, recipe: Recipe, start: Start, persons: int, labelled: bool) -> tuple[Encoder, nn.Module | None]:
    """The encoder to train, and its classifier.

    Args:
        name: of the recogniser.
        store: gives labels, joints and rate.
        recipe: its ``model`` are settings of the recogniser.
        start: gives the weights.
        persons: M, unless the recipe says otherwise.
        labelled: whether there is a classifier.

    Raises:
        UnknownChoice, UsageError: no such recogniser or setting; or weights that are another recogniser's.
    """
    found = start.weights
    settings: dict[str, Any] = {"persons": persons, "rate_hz": store.rate_hz}
    if found is not None and found.name == name:  # what it is stays as it is, where the recipe says nothing else
        settings = {field: getattr(found.config, field) for field in found.config.__dataclass_fields__}
        if isinstance(found, Recogniser) and labelled and all(settings.get(key) == value for key, value in recipe.model.items()):
            return found.encoder, found.classifier
    settings |= {**recipe.model, "topology": store.topology}
    settings["labels"] = store.labels if labelled else ()
    if labelled:
        recogniser = create(name, **settings)
        encoder, classifier = recogniser.encoder, recogniser.classifier
    else:
        encoder, classifier = create_encoder(name, **settings), None
    if found is not None:
        trained = found.encoder if isinstance(found, Recogniser) else found
        _take_weights(encoder, trained, name, start.name)
        if classifier is not None and isinstance(found, Recogniser):
            _take_weights(classifier, found.classifier, name, start.name, found.name)
    return encoder, classifier


def _take_weights(mine: nn.Module, theirs: nn.Module, name: str, start: str, of: str = "") -> None:
    """Another's weights, where every one of them has its place: ``edge`` and ``edge-live`` share theirs."""
    weights, wanted = theirs.state_dict(), mine.state_dict()
    unfit = [key for key in sorted({*wanted, *weights})
             if key not in wanted or key not in weights or wanted[key].shape != weights[key].shape]
    if unfit:
        raise UsageError(f"{start} is {of or getattr(theirs, 'name', '')!r}, whose weights are not those of {name!r}: {unfit[0]}"
                         f"{f' and {len(unfit) - 1} more' if len(unfit) > 1 else ''} differ",
                         expected="a checkpoint of the same recogniser, or one with the same layers",
                         remedy="leave out settings that change its layers")
    mine.load_state_dict(weights)


def _check_fits(model: Any, name: str, store: Store) -> Any:
    """``model``, whose joints, and labels if it has any, are the store's."""
    config = model.config
    if config.topology.joints != store.topology.joints:
        raise TopologyMismatch(f"{name} sees {config.topology.name}", expected=f"{store.topology.name}, as the store")
    if isinstance(model, Recogniser) and tuple(config.labels) != store.labels:
        missing = sorted(set(store.labels) ^ set(config.labels))
        raise LabelMismatch(
            f"{name} and the store differ in {', '.join(missing) or 'the order of their labels'}",
            expected="the same labels in the same order",
        )
    return model
