"""Skeleton action recognition, from recordings to a device.

Nothing is imported until it is used: ``import edgeskel`` costs a few milliseconds and needs no package at all, so that
the same install serves a training machine and a wearable's gateway.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Public name -> module that defines it. A name that stands for a module itself maps to that module's full name.
_EXPORTS = {
    "Clip": "edgeskel.skeleton",
    "Frame": "edgeskel.skeleton",
    "Inertial": "edgeskel.skeleton",
    "Topology": "edgeskel.skeleton",
    "EdgeskelError": "edgeskel.errors",
    "Store": "edgeskel.data",
    "create": "edgeskel.models",
    "from_pretrained": "edgeskel.models",
    "load": "edgeskel.runtime",
}

__all__ = [
    "Clip",
    "EdgeskelError",
    "Frame",
    "Inertial",
    "Store",
    "Topology",
    "create",
    "from_pretrained",
    "load",
]

if TYPE_CHECKING:
    from edgeskel.data import Store
    from edgeskel.errors import EdgeskelError
    from edgeskel.models import create, from_pretrained
    from edgeskel.runtime import load
    from edgeskel.skeleton import Clip, Frame, Inertial, Topology


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
