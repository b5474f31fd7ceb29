"""Recognisers: one file each, one registry.

``create`` makes one with fresh weights, ``from_pretrained`` loads a checkpoint folder or shipped weights by name. Every module
of this package is imported here, and what it registers is known; other packages bring theirs by entry points
(:mod:`edgeskel.plugins`).
"""

from importlib import import_module
from pkgutil import iter_modules

from edgeskel.models import edge, hyperformer
from edgeskel.models.base import (
    REGISTRY,
    Recogniser,
    RecogniserConfig,
    count_parameters,
    create,
    from_pretrained,
    names,
    register,
    registered,
    shipped,
)

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = [
    "REGISTRY",
    "Recogniser",
    "RecogniserConfig",
    "count_parameters",
    "create",
    "edge",
    "from_pretrained",
    "hyperformer",
    "names",
    "register",
    "registered",
    "shipped",
]
