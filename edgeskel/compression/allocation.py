"""Which rank, and how many bits, each layer gets within a budget: where validation clips lose least.

Every layer in turn is tried at a few ranks (and in int8, where bytes are short) while the others are as a first guess has
them; what the clips lose by it is the layer's sensitivity. A mixed-integer program (HiGHS, through SciPy) then takes one
choice for each layer, so that the sum of their losses is least and that of their costs is within the budget. The loss is the
mean cross-entropy, which tells more than the few clips whose answer changes.

The first guess is the same share of the full rank for every layer (the uniform rank), as large as the budget allows.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeskel.compression.costs import Choice, Costs, Quantity, costs_of, unit
from edgeskel.compression.low_rank import Covariances, compress, factors_of, saved
from edgeskel.data import Store
from edgeskel.errors import UsageError
from edgeskel.models import Recogniser
from edgeskel.models.low_rank import Layer, factorisable, largest_rank, matrices
from edgeskel.training import evaluate

__all__ = ["Allocation", "Limit", "RankSearch", "keep_floating"]

SHARES = (0.75, 0.55, 0.4, 0.28, 0.2, 0.13, 0.08, 0.05)
"""Ranks that are tried, of the largest at which two factors are smaller than the layer."""
BISECTIONS = 24


@dataclass(frozen=True)
class Limit:
    """At most so much.

    Args:
        quantity: ``parameters`` or ``macs`` (as :mod:`edgeskel.compression.budget` counts them), ``bytes`` of the weights, or
            ``latency`` of one clip in milliseconds on one core of this machine, in torch.
        most: how much; a share of what the uncompressed recogniser has where ``share`` is set.
        share: see ``most``.
    """

    quantity: Quantity
    most: float
    share: bool = False

    @classmethod
    def parse(cls, text: str) -> Limit:
        """``parameters=40%``, ``bytes=300000``, ``latency=2.5`` (milliseconds).

        Raises:
            UsageError: something else.
        """
        name, _, value = text.partition("=")
        try:
            most = float(value.removesuffix("%"))
        except ValueError:
            most = math.nan
        if name not in get_args(Quantity) or not 0 < most < math.inf or (value.endswith("%") and most >= 100):
            raise UsageError(f"budget {text!r}", expected=f"QUANTITY=MOST: {', '.join(get_args(Quantity))}; a number above 0, or a"
                                                          " percentage below 100 % of the uncompressed recogniser's",
                             remedy="for example parameters=40%, bytes=300000 or latency=2.5 (milliseconds)")
        return cls(name, most / 100, True) if value.endswith("%") else cls(name, most)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Allocation:
    """A choice for each layer, what that costs, and what validation clips say to it.

    Args:
        choices: by name.
        cost: in the unit of the budget.
        loss: mean cross-entropy.
        top1: percent.
    """

    choices: Mapping[str, Choice]
    cost: float
    loss: float
    top1: float

    @property
    def ranks(self) -> dict[str, int]:
        """Of the layers in two factors, for :func:`edgeskel.compression.low_rank.compress`."""
        return {name: choice.rank for name, choice in self.choices.items() if choice.rank is not None}

    @property
    def floating(self) -> tuple[str, ...]:
        """The layers that int8 would cost too much, where bits were chosen."""
        bits = {choice.bits for choice in self.choices.values()}
        return tuple(name for name, choice in self.choices.items() if choice.bits == 32) if 8 in bits else ()


class RankSearch:
    """Sensitivities of a recogniser's layers, and the best choices within budgets.

    Args:
        model: trained; stays as it is.
        store, clips: labelled recordings, best some that it has not seen.
        quantity: what is short. For ``bytes`` layers may be stored in int8 too.
        least: parameters that a layer must save to be worth a second operator.
        inputs: from :func:`edgeskel.compression.low_rank.covariances`, for activation-aware truncation.
        trying: called with a sentence before each step of the work.

    Raises:
        UsageError: no layer can be factorised, or no clips.
    """

    def __init__(self, model: Recogniser, store: Store, clips: NDArray[np.int64], quantity: Quantity, *, least: int = 1,
                 inputs: Covariances | None = None, trying: Callable[[str], object] = lambda doing: None) -> None:
        self.model, self.store, self.clips, self.quantity = model, store, clips, quantity
        self.least = least
        self.inputs, self.trying = inputs, trying
        self.layers: Mapping[str, Layer] = factorisable(model.encoder)
        if not self.layers or not len(clips):
            raise UsageError(f"{model.name} has {len(self.layers)} layers that two factors can shrink, and there are {len(clips)}"
                             " clips to judge by", expected="some of both")
        self.costs: Costs = costs_of(model, self.layers, quantity, self._tried())
        self._losses: Mapping[str, Mapping[Choice, float]] = {}
        self._validated: dict[tuple[tuple[str, Choice], ...], Allocation] = {}
        whole = {name: Choice() for name in self.layers}
        self.whole: Allocation = self.validated(whole)
        """The recogniser as it is."""

    def most(self, limit: Limit) -> float:
        """What a limit allows, in the unit of the quantity.

        Raises:
            UsageError: more than the recogniser has, or less than any choice leaves.
        """
        most = limit.most * self.whole.cost if limit.share else limit.most
        least = self._fixed + sum(min(costs.values()) for costs in self.costs.layers.values())
        if not least <= most < self.whole.cost:
            raise UsageError(f"a budget of {most:,.6g} {unit(self.quantity)}",
                             expected=f"from {least:,.6g} to below {self.whole.cost:,.6g}, which is what it has now")
        return most

    def uniform(self, most: float) -> Allocation:
        """The same share of the full rank for every layer, as large as ``most`` allows; int8 where bytes are short."""
        low, high = 0.0, 1.0
        bits = 8 if self.quantity == "bytes" else 32
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.cost(self._same(middle, bits)) <= most else (low, middle)
        return self.validated(self._same(low, bits))

    def best(self, most: float, rounds: int = 2) -> Allocation:
        """The choices that lose least within ``most``.

        Args:
            most: in the unit of the quantity.
            rounds: sensitivities are measured around the uniform rank, and then around each result.

        Returns:
            What does best on the clips: one of the rounds', or the uniform rank if none beats it.
        """
        found = [self.uniform(most)]
        for _ in range(rounds):
            self._losses = self.sensitivities(found[-1].choices)
            found.append(self.validated(self.allocate(self._losses, most)))
        return min(found, key=lambda one: one.loss)

    def front(self, points: int = 8) -> list[tuple[Allocation, Allocation]]:
        """What other budgets would give, by the sensitivities that :meth:`best` measured last: the choices and the uniform rank at
        costs from little to all, each seen by the clips."""
        least = self._fixed + sum(min(costs.values()) for costs in self.costs.layers.values())
        found = []
        for most in np.geomspace(1.05 * least, self.whole.cost, points + 1)[:-1]:
            self.trying(f"the front, at {most:,.4g} {unit(self.quantity)}")
            found.append((self.validated(self.allocate(self._losses, float(most))), self.uniform(float(most))))
        return found

    def sensitivities(self, around: Mapping[str, Choice]) -> dict[str, dict[Choice, float]]:
        """Cross-entropy of the clips with each layer at each choice, the others being as ``around`` has them; never less for
        less rank."""
        base = self._built(around)
        found: dict[str, dict[Choice, float]] = {}
        for place, name in enumerate(self.layers):
            self.trying(f"sensitivity of layer {place + 1} of {len(self.layers)}")
            found[name] = {}
            for bits in self._bits():
                least = -math.inf
                for choice in sorted(self.costs.layers[name], key=lambda one: -(one.rank or 1 << 30)):
                    if choice.bits == bits:
                        with self._swapped(base, name, choice):
                            least = max(least, self._measure(base)[0])
                        found[name][choice] = least
        return found

    def allocate(self, losses: Mapping[str, Mapping[Choice, float]], most: float) -> dict[str, Choice]:
        """The choice for each layer with the least sum of losses whose cost is within ``most``."""
        from scipy.optimize import Bounds, LinearConstraint, milp

        columns = [(name, choice) for name, of_one in losses.items() for choice in of_one]
        loss = np.array([losses[name][choice] for name, choice in columns])
        cost = np.array([self.costs.layers[name][choice] for name, choice in columns])
        one_each = np.array([[float(name == layer) for name, _ in columns] for layer in losses])
        scale = max(float(np.abs(cost).max()), 1e-12)  # the solver's tolerances are absolute
        result = milp(loss, integrality=np.ones(len(columns)), bounds=Bounds(0, 1), constraints=[
            LinearConstraint(one_each, 1, 1),
            LinearConstraint(cost[None] / scale, -np.inf, (most - self._fixed) / scale)])
        if result.x is None:
            raise UsageError(f"no choice of ranks within {most:,.6g} {unit(self.quantity)}", expected=str(result.message))
        return {name: choice for taken, (name, choice) in zip(result.x, columns, strict=True) if taken > 0.5}

    def cost(self, choices: Mapping[str, Choice]) -> float:
        """In the unit of the quantity."""
        return self._fixed + sum(self.costs.of(name, choice) for name, choice in choices.items())

    def validated(self, choices: Mapping[str, Choice]) -> Allocation:
        """What these choices cost, and how the clips fare with them."""
        key = tuple(choices.items())
        if key not in self._validated:
            loss, top1 = self._measure(self._built(choices))
            self._validated[key] = Allocation(dict(choices), self.cost(choices), loss, top1)
        return self._validated[key]

    @property
    def _fixed(self) -> float:
        return self.costs.rest

    def _bits(self) -> tuple[int, ...]:
        return (32, 8) if self.quantity == "bytes" else (32,)

    def _tried(self) -> dict[str, list[Choice]]:
        found = {}
        for name, layer in self.layers.items():
            ranks = sorted({max(round(share * largest_rank(layer)), 1) for share in SHARES})
            ranks = [rank for rank in ranks if saved(layer, rank) >= self.least]
            found[name] = [Choice(rank, bits) for bits in self._bits() for rank in (None, *ranks)]
        return found

    def _same(self, share: float, bits: int) -> dict[str, Choice]:
        """Every layer at this share of its full rank, where that makes it smaller."""
        choices = {}
        for name, layer in self.layers.items():
            rank = max(round(share * min(matrices(layer).shape[1:])), 1)
            choices[name] = Choice(rank if rank <= largest_rank(layer) else None, bits)
        return choices

    def _built(self, choices: Mapping[str, Choice]) -> Recogniser:
        model = compress(self.model, {name: one.rank for name, one in choices.items() if one.rank is not None}, self.inputs)
        for name, choice in choices.items():
            if choice.bits == 8:
                _put(model.encoder, name, _Int8(model.encoder.get_submodule(name)))
        return model

    @contextmanager
    def _swapped(self, model: Recogniser, name: str, choice: Choice) -> Iterator[None]:
        layer = self.layers[name]
        other: nn.Module = layer if choice.rank is None else factors_of(
            layer, choice.rank, self.inputs[name] if self.inputs else None)
        before = model.encoder.get_submodule(name)
        _put(model.encoder, name, _Int8(other) if choice.bits == 8 else other)
        try:
            yield
        finally:
            _put(model.encoder, name, before)

    def _measure(self, model: Recogniser) -> tuple[float, float]:
        found = evaluate(model.eval(), self.store, self.clips)
        right = found.probabilities[np.arange(len(found.truth)), found.truth].astype(np.float64)
        return float(-np.log(np.maximum(right, 1e-9)).mean()), found.top1


def _put(encoder: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(encoder.get_submodule(parent), child, layer)


class _Int8(nn.Module):
    """A layer as int8 makes it: weights with one scale per output channel, inputs with one for all, both rounded."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = copy.deepcopy(layer)
        for part in self.layer.modules():
            if isinstance(part, (nn.Linear, nn.Conv2d)):
                part.weight.data = _rounded(part.weight.data, tuple(range(1, part.weight.ndim)))

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.layer) if isinstance(self.layer, nn.Sequential) else [self.layer]
        for part in parts:
            x = part(_rounded(x, tuple(range(x.ndim))))
        return x


def _rounded(values: Tensor, over: tuple[int, ...]) -> Tensor:
    scale = values.abs().amax(over, keepdim=True).clamp(min=1e-9) / 127
    return (values / scale).round() * scale


def keep_floating(model: Recogniser, allocation: Allocation) -> None:
    """Write into ``model`` which layers int8 artifacts keep in floating point."""
    model.encoder.config = replace(model.config, floating=allocation.floating)
