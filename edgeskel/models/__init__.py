"""Recognisers: one file each, one registry.

``create`` makes one with fresh weights, ``from_pretrained`` loads a checkpoint folder or shipped weights by name.
"""

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
    shipped,
)

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
    "shipped",
]
