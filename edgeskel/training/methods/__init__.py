"""How a recogniser or an encoder is trained: one file for each method, one registry.

Every module of this package is imported here, and what it registers is known by name; other packages bring theirs by entry points
(:mod:`edgeskel.plugins`). A method is chosen by ``--method`` or by the recipe.
"""

from importlib import import_module
from pkgutil import iter_modules

from edgeskel.training.methods.base import Method, Setup, create, defaults, names, register, registered, settings_of
from edgeskel.training.methods.supervised import Supervised

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["Method", "Setup", "Supervised", "create", "defaults", "names", "register", "registered", "settings_of"]
