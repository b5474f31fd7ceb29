"""Recognisers: one file each, one registry.

``create`` makes one with fresh weights, ``from_pretrained`` loads a checkpoint folder or shipped weights by name. Every module
of this package is imported here, and what it registers is known; other packages bring theirs by entry points
(:mod:`edgeskel.plugins`).
"""

from importlib import import_module
from pkgutil import iter_modules

from edgeskel.models.encoder import CausalEncoder, Encoder, RecogniserConfig
from edgeskel.models.pretrained import encoder_from_pretrained, folder_of, from_pretrained, shipped
from edgeskel.models.recogniser import CausalRecogniser, Recogniser, count_parameters, recogniser_of
from edgeskel.models.registry import create, create_encoder, names, register, registered

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = [
    "CausalEncoder",
    "CausalRecogniser",
    "Encoder",
    "Recogniser",
    "RecogniserConfig",
    "count_parameters",
    "create",
    "create_encoder",
    "encoder_from_pretrained",
    "folder_of",
    "from_pretrained",
    "names",
    "recogniser_of",
    "register",
    "registered",
    "shipped",
]
