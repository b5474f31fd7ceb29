"""Recognisers by name: ``@register`` makes an encoder known, ``create`` makes a recogniser around it with fresh weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from edgeskel import plugins
from edgeskel.errors import UnknownChoice
from edgeskel.models.encoder import Encoder, RecogniserConfig
from edgeskel.models.low_rank import factorise
from edgeskel.models.recogniser import Recogniser, recogniser_of

__all__ = ["REGISTRY", "create", "create_encoder", "names", "register", "registered"]

REGISTRY: dict[str, tuple[type[Encoder], type[RecogniserConfig]]] = {}

E = TypeVar("E", bound="type[Encoder]")


def register(name: str, config: type[RecogniserConfig]) -> Callable[[E], E]:
    """Class decorator: make the recogniser of an encoder known by name."""

    def add(encoder: E) -> E:
        encoder.name = name
        REGISTRY[name] = (encoder, config)
        return encoder

    return add


def names() -> tuple[str, ...]:
    """Names of the recognisers that can be created, ours and those of other installed packages."""
    return tuple(sorted({*REGISTRY, *plugins.names(plugins.RECOGNISERS)}))


def registered(name: str) -> tuple[type[Encoder], type[RecogniserConfig]]:
    """An encoder by name, and its config; the package that brings it is imported now.

    Raises:
        UnknownChoice: no such recogniser.
        UsageError: two packages bring it, or its package cannot be imported or does not register it.
    """
    ours = [one for one, (encoder, _) in REGISTRY.items() if encoder.__module__.startswith("edgeskel.")]
    return plugins.registered(plugins.RECOGNISERS, "recogniser", name, REGISTRY, ours)


def create(name: str, **settings: Any) -> Recogniser:
    """Make a recogniser with fresh weights.

    Args:
        name: one of :func:`names`.
        settings: fields of its config; ``topology`` and ``labels`` are required.

    Raises:
        UnknownChoice: no such recogniser, or no such field.
        UsageError: no labels, or a field with an impossible value.
        ModelError: ``low_rank`` names a layer that the encoder lacks, or a rank too high for it.
    """
    return recogniser_of(create_encoder(name, **settings))


def create_encoder(name: str, **settings: Any) -> Encoder:
    """Make an encoder with fresh weights; as :func:`create`, but it needs no labels."""
    encoder, config = registered(name)
    known = {item.name for item in fields(config)}
    for setting in settings:
        if setting not in known:
            raise UnknownChoice(f"setting of {name}", setting, known)
    model = encoder(config(**settings))
    factorise(model, model.config.low_rank)
    return model
