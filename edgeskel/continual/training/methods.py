"""The methods by name."""

from __future__ import annotations

from edgeskel.continual.training.charon import Charon
from edgeskel.continual.training.config import METHODS
from edgeskel.continual.training.icarl import Exemplars
from edgeskel.continual.training.method import ContinualMethod
from edgeskel.continual.training.regularised import WeightConsolidation, WithoutForgetting
from edgeskel.continual.training.replay import AsymmetricReplay, DarkReplay, ExperienceReplay
from edgeskel.errors import UnknownChoice

__all__ = ["Joint", "method_named"]


class Joint(ContinualMethod):
    """All tasks at once: what there is to reach. It needs all clips."""

    name = "joint"
    at_once = True


_BY_NAME: dict[str, type[ContinualMethod]] = {
    kind.name: kind for kind in (ContinualMethod, Joint, WithoutForgetting, WeightConsolidation, ExperienceReplay,
                                 AsymmetricReplay, Exemplars,
                                 DarkReplay, Charon)}
assert tuple(_BY_NAME) == METHODS


def method_named(name: str) -> type[ContinualMethod]:
    """The class. Raises ``UnknownChoice``."""
    if name not in _BY_NAME:
        raise UnknownChoice("method", name, METHODS)
    return _BY_NAME[name]
