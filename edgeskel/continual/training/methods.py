"""The methods by name."""

from __future__ import annotations

from edgeskel.continual.training.charon import Charon
from edgeskel.continual.training.config import METHODS
from edgeskel.continual.training.icarl import Exemplars
from edgeskel.continual.training.method import Method
from edgeskel.continual.training.regularised import WeightConsolidation, WithoutForgetting
from edgeskel.continual.training.replay import DarkReplay, Replay, ReplayAsymmetric
from edgeskel.errors import UnknownChoice

__all__ = ["Joint", "method_named"]


class Joint(Method):
    """All tasks at once: what there is to reach. It needs all clips."""

    name = "joint"
    at_once = True


_BY_NAME: dict[str, type[Method]] = {
    kind.name: kind for kind in (Method, Joint, WithoutForgetting, WeightConsolidation, Replay, ReplayAsymmetric, Exemplars,
                                 DarkReplay, Charon)}
assert tuple(_BY_NAME) == METHODS


def method_named(name: str) -> type[Method]:
    """The class. Raises ``UnknownChoice``."""
    if name not in _BY_NAME:
        raise UnknownChoice("method", name, METHODS)
    return _BY_NAME[name]
