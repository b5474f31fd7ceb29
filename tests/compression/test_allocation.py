"""Ranks and bits within a budget: costs are those of the real recogniser, and nothing fits that loses less."""

from __future__ import annotations

import copy
import functools
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from edgeskel.compression.allocation import Limit, RankSearch
from edgeskel.compression.budget import budget
from edgeskel.compression.costs import Choice
from edgeskel.compression.low_rank import compress
from edgeskel.data import split
from edgeskel.errors import UsageError
from edgeskel.models import from_pretrained

JUDGES, OTHERS = slice(0, None, 36), slice(18, None, 12)
"""Which training clips judge, and which others look at the result."""


@pytest.fixture(scope="module")
def shipped() -> Any:
    return from_pretrained("edge-utd-mhad")


@pytest.fixture(scope="module")
def search(shipped: Any, utd_store: Any) -> Any:
    @functools.cache
    def of(quantity: Any) -> RankSearch:
        return RankSearch(shipped, utd_store, split(utd_store, "cross-subject").train[JUDGES], quantity)

    return of


@pytest.mark.parametrize("quantity", ["parameters", "macs", "bytes"])
def test_what_choices_cost_is_what_the_recogniser_costs(search: Any, shipped: Any, quantity: Any) -> None:
    found = search(quantity)
    layers = list(found.layers)
    choices = {name: Choice(3 + place) if place % 2 else Choice() for place, name in enumerate(layers)}
    small = compress(shipped, {name: one.rank for name, one in choices.items() if one.rank is not None})
    assert found.whole.cost == getattr(budget(shipped), quantity)
    assert found.cost(choices) == pytest.approx(getattr(budget(small), quantity), rel=1e-9)


def test_int8_takes_a_quarter_of_a_layer_and_its_scales(search: Any) -> None:
    found = search("bytes")
    name, layer = next(iter(found.layers.items()))
    values, outputs = layer.weight.numel(), layer.weight.shape[0]
    saved = found.whole.cost - found.cost({**found.whole.choices, name: Choice(bits=8)})
    assert saved == 3 * values - 4 * outputs


def test_within_a_budget_it_loses_less_than_the_uniform_rank(search: Any, shipped: Any, utd_store: Any) -> None:
    found = search("parameters")
    most = found.most(Limit("parameters", 0.35, share=True))
    uniform, best = found.uniform(most), found.best(most, rounds=1)
    assert max(best.cost, uniform.cost) <= most
    assert budget(compress(shipped, best.ranks)).parameters == best.cost
    others = RankSearch(shipped, utd_store, split(utd_store, "cross-subject").train[OTHERS], "parameters")
    assert others.validated(best.choices).loss < 0.8 * others.validated(uniform.choices).loss


def test_in_bytes_the_layers_that_int8_costs_too_much_stay_floating(search: Any) -> None:
    found = search("bytes")
    names = list(found.layers)
    losses = {name: {Choice(): 0.0, Choice(bits=8): 1.0 if name == names[2] else 1e-3} for name in names}
    most = found.cost({name: Choice(bits=32 if name == names[2] else 8) for name in names})
    chosen = found.validated(found.allocate(losses, most))
    assert chosen.cost == most and chosen.floating == (names[2],)


COSTS_AND_LOSSES = some.lists(some.tuples(some.integers(0, 40), some.floats(0, 10)), min_size=1, max_size=4)


@given(some.lists(COSTS_AND_LOSSES, min_size=1, max_size=4), some.floats(0, 1))
def test_nothing_that_fits_loses_less(search: Any, table: list[list[tuple[int, float]]], share: float) -> None:
    found = copy.copy(search("parameters"))
    names = list(found.layers)[: len(table)]
    rest = found.cost({})
    counted = {name: {Choice(rank + 1): float(cost) for rank, (cost, _) in enumerate(options)}
               for name, options in zip(names, table, strict=True)}
    losses = {name: {Choice(rank + 1): loss for rank, (_, loss) in enumerate(options)}
              for name, options in zip(names, table, strict=True)}
    least, largest = (sum(pick(of_one.values()) for of_one in counted.values()) for pick in (min, max))
    most = least + share * (largest - least)

    def cost(choices: Any) -> float:
        return sum(counted[name][choice] for name, choice in choices.items())

    found.costs = found.costs._replace(layers=counted)
    chosen = found.allocate(losses, rest + most + 1e-6)
    every = [dict(zip(names, picked, strict=True)) for picked in itertools.product(*(of_one for of_one in losses.values()))]
    allowed = [sum(losses[name][choice] for name, choice in one.items()) for one in every if cost(one) <= most + 1e-6]
    assert cost(chosen) <= most + 1e-3
    assert sum(losses[name][choice] for name, choice in chosen.items()) <= min(allowed) + 1e-4


def test_latency_is_of_this_machine_and_adds_up(search: Any) -> None:
    found = search("latency")
    assert 0 < found.cost({name: min(of_one, key=of_one.get) for name, of_one in found.costs.layers.items()}) < found.whole.cost
    found.most(Limit("latency", 0.95, share=True))


@pytest.mark.parametrize("text", ["parameters", "parameters=", "size=3", "bytes=-1", "macs=nan", "bytes=100%", "latency=0", "=3"])
def test_a_budget_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="parameters=40%"):
        Limit.parse(text)


def test_a_budget_out_of_reach_is_named_with_what_can_be_had(search: Any) -> None:
    found = search("parameters")
    for limit in (Limit.parse("parameters=10"), Limit.parse("parameters=99999999")):
        with pytest.raises(UsageError, match=r"budget of .* parameters; expected from [\d,.]+ to below 380,565"):
            found.most(limit)
    with pytest.raises(UsageError, match="0 clips"):
        RankSearch(found.model, found.store, np.zeros(0, np.int64), "parameters")


def test_less_rank_never_looks_better(search: Any) -> None:
    found = search("parameters")
    name = next(iter(found.layers))
    torch.manual_seed(0)
    losses = found.sensitivities(found.whole.choices)[name]
    by_rank = [loss for _, loss in sorted(losses.items(), key=lambda one: -(one[0].rank or 1 << 30))]
    assert by_rank == sorted(by_rank)
