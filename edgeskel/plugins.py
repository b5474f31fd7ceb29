"""What other installed packages bring: recognisers, methods, importers and codecs, by entry points.

A package says in its ``pyproject.toml`` what it has, and once it is installed that is known by name, as our own are:

    [project.entry-points."edgeskel.recognisers"]
    tcn = "my_package.tcn"                          # a module that registers a recogniser of this name
    [project.entry-points."edgeskel.methods"]
    my-loss = "my_package.my_loss"                  # a module that registers a training method of this name
    [project.entry-points."edgeskel.importers"]
    my-lab = "my_package.my_lab"                    # a module with recordings(folder, options)
    [project.entry-points."edgeskel.codecs"]
    my-band = "my_package.my_band:MyBandCodec"      # a class with the members of firmware_bridge.codecs.Codec

Nothing of such a package is imported before one of its names is used. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from typing import Any, TypeVar

from edgeskel.errors import UnknownChoice, UsageError

__all__ = ["CODECS", "IMPORTERS", "METHODS", "RECOGNISERS", "load", "names", "package_of", "registered"]

T = TypeVar("T")

RECOGNISERS, METHODS = "edgeskel.recognisers", "edgeskel.methods"
IMPORTERS, CODECS = "edgeskel.importers", "edgeskel.codecs"


def names(group: str) -> dict[str, str]:
    """Name -> the package that brings it."""
    return {point.name: _package(point) for point in _points(group)}


def load(group: str, name: str, own: Iterable[str] = ()) -> Any:
    """What the name stands for, imported now; None where no package brings it.

    Args:
        group: one of :data:`RECOGNISERS`, :data:`METHODS`, :data:`IMPORTERS`, :data:`CODECS`.
        name: as the package calls it.
        own: names that edgeskel itself has.

    Raises:
        UsageError: two packages bring the name, or a package cannot be imported; the message says which.
    """
    points = [point for point in _points(group) if point.name == name]
    if not points:
        return None
    packages = sorted({_package(point) for point in points} | ({"edgeskel"} if name in own else set()))
    if len(packages) > 1:
        raise UsageError(f"{name!r} of {group} comes with {' and with '.join(packages)}", expected="one of them",
                         remedy=f"pip uninstall {' or '.join(package for package in packages if package != 'edgeskel')}")
    try:
        return points[0].load()
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{name!r} of the package {packages[0]}: {points[0].value} cannot be imported ({error})",
                         expected="a package that fits this version of edgeskel",
                         remedy=f"pip install --upgrade {packages[0]}") from error


def registered(group: str, kind: str, name: str, registry: Mapping[str, T], own: Iterable[str]) -> T:
    """What is registered under a name; the package that brings it is imported now, and registers it.

    Args:
        group: of the entry points.
        kind: what it is, for messages.
        name: as it was asked for.
        registry: where modules put what they register.
        own: names of it that edgeskel itself has.

    Raises:
        UnknownChoice: no such name.
        UsageError: as :func:`load`, or its package does not register it.
    """
    if load(group, name, own) is not None and name not in registry:
        raise UsageError(f"the package {names(group)[name]} registers no {kind} {name!r}",
                         expected=f'@register("{name}", ...) in the module of its entry point')
    if name not in registry:
        raise UnknownChoice(kind, name, sorted({*registry, *names(group)}))
    return registry[name]


def package_of(module: str) -> str:
    """Name and version of the installed package that a module belongs to, "" where none says so."""
    packages = metadata.packages_distributions().get(module.partition(".")[0], ())
    return f"{packages[0]} {metadata.version(packages[0])}" if packages else ""


@cache
def _points(group: str) -> tuple[metadata.EntryPoint, ...]:
    """Read once: every installed package is looked at, which takes a tenth of a second where there are many."""
    return tuple(metadata.entry_points(group=group))


def _package(point: metadata.EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value
