"""What each layer costs at each rank and number of bits: parameters, multiply-accumulates, bytes or time."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from edgeskel.compression.budget import budget
from edgeskel.compression.low_rank import factors_of
from edgeskel.models import Recogniser
from edgeskel.models.low_rank import Layer, matrices

__all__ = ["Choice", "Costs", "Quantity", "costs_of", "unit"]

Quantity = Literal["parameters", "macs", "bytes", "latency"]
TURNS = 15
"""Times each layer is timed; the median counts."""


@dataclass(frozen=True)
class Choice:
    """How one layer is stored.

    Args:
        rank: of its two factors; None leaves it whole.
        bits: 32 or 8.
    """

    rank: int | None = None
    bits: int = 32


def unit(quantity: Quantity) -> str:
    """For messages."""
    return {"macs": "MACs", "latency": "milliseconds"}.get(quantity, quantity)


class Costs(NamedTuple):
    """Of each layer at each choice that is tried, and of all that stays as it is; others are worked out from the first."""

    layers: Mapping[str, Mapping[Choice, float]]
    rest: float
    counted: Callable[[str, Choice], float]

    def of(self, name: str, choice: Choice) -> float:
        known = self.layers[name].get(choice)
        return self.counted(name, choice) if known is None else known


def costs_of(model: Recogniser, layers: Mapping[str, Layer], quantity: Quantity, tried: Mapping[str, Sequence[Choice]]) -> Costs:
    """What each of ``layers`` costs at each choice of ``tried``; times are measured, the rest is counted."""
    inputs = _inputs(model, layers)
    if quantity == "latency":
        return _times(model, layers, tried, inputs)
    positions = {name: (x.numel() // x.shape[-1] if isinstance(layers[name], nn.Linear) else
                        layers[name](x).numel() // layers[name].weight.shape[0]) for name, x in inputs.items()}

    def counted(name: str, choice: Choice) -> float:
        groups, rows, columns = matrices(layers[name]).shape
        rank = choice.rank
        values = groups * (rows * columns if rank is None else rank * (rows + columns))
        if quantity == "macs":
            return float(values * positions[name])
        if quantity == "parameters":
            return float(values)
        scales = groups * (rows + (rank or 0)) * 4 if choice.bits == 8 else 0
        return values * choice.bits / 8 + scales

    total = budget(model)
    whole = {"parameters": total.parameters, "macs": total.macs, "bytes": total.bytes}[quantity]
    table = {name: {choice: counted(name, choice) for choice in choices} for name, choices in tried.items()}
    return Costs(table, whole - sum(table[name][Choice()] for name in layers), counted)


def _times(model: Recogniser, layers: Mapping[str, Layer], tried: Mapping[str, Sequence[Choice]],
           inputs: Mapping[str, Tensor]) -> Costs:
    """Milliseconds of each layer at each choice on what it sees of one clip, and of the rest of the recogniser; one core, in
    turns."""
    config = model.config
    shape = (1, config.persons, config.source_frames, len(config.topology.joints))
    whole = copy.deepcopy(model).eval()
    clip = torch.zeros(*shape, 3), torch.ones(shape)
    calls: dict[tuple[str, Choice], Callable[[], object]] = {("", Choice()): lambda: whole(*clip)}
    for name, choices in tried.items():
        for choice in choices:
            layer = layers[name] if choice.rank is None else factors_of(layers[name], choice.rank, None)
            calls[name, choice] = _call(layer, inputs[name])
    times: dict[tuple[str, Choice], list[float]] = {key: [] for key in calls}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for turn in range(TURNS + 2):
                for key, call in calls.items():
                    start = time.perf_counter()
                    call()
                    if turn >= 2:
                        times[key].append(1e3 * (time.perf_counter() - start))
    finally:
        torch.set_num_threads(threads)
    medians = {key: statistics.median(of_one) for key, of_one in times.items()}
    table = {name: {choice: medians[name, choice] for choice in choices} for name, choices in tried.items()}

    def between(name: str, choice: Choice) -> float:
        """At a rank that was not timed: on the line between its neighbours."""
        known = sorted((one.rank, cost) for one, cost in table[name].items() if one.rank is not None)
        return float(np.interp(choice.rank or 0, [rank for rank, _ in known], [cost for _, cost in known]))

    return Costs(table, medians["", Choice()] - sum(table[name][Choice()] for name in layers), between)


def _call(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    return lambda: layer(x)


@torch.no_grad()
def _inputs(model: Recogniser, layers: Mapping[str, Layer]) -> dict[str, Tensor]:
    """What each layer sees of one clip."""
    seen: dict[str, Tensor] = {}
    model = copy.deepcopy(model).eval()

    def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def look(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            seen[name] = inputs[0]

        return look

    hooks = [model.encoder.get_submodule(name).register_forward_pre_hook(watch(name)) for name in layers]
    config = model.config
    shape = (1, config.persons, config.source_frames, len(config.topology.joints))
    model(torch.zeros(*shape, 3), torch.ones(shape))
    for hook in hooks:
        hook.remove()
    return seen
