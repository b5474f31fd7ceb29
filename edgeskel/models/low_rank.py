"""Layers in two factors: the structure. What goes into the factors is decided in ``edgeskel.compression.low_rank``.

A layer whose weight is a matrix W (out x in) becomes a pair: ``in -> rank`` without bias, then ``rank -> out`` with
the layer's bias. A convolution keeps kernel, stride, padding and dilation in the first of the pair, where its matrix is
(out) x (in * kernel); a grouped one is factorised group by group. The ranks stand in the recogniser's configuration, so
that a checkpoint says what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from torch import Tensor, nn

from edgeskel.errors import ModelError
from edgeskel.transforms import Streams

__all__ = ["Factors", "factorisable", "factorise", "largest_rank", "matrices"]

Layer: TypeAlias = "nn.Linear | nn.Conv2d"


class Factors(nn.Sequential):
    """A layer in two factors.

    Args:
        layer: what to replace; its weights are not copied.
        rank: channels between the factors (of each group).
    """

    def __init__(self, layer: Layer, rank: int) -> None:
        bias = layer.bias is not None
        first: Layer
        second: Layer
        if isinstance(layer, nn.Linear):
            first = nn.Linear(layer.in_features, rank, bias=False)
            second = nn.Linear(rank, layer.out_features, bias=bias)
        else:
            groups = layer.groups
            first = nn.Conv2d(layer.in_channels, groups * rank, layer.kernel_size, layer.stride,  # type: ignore[arg-type]
                              layer.padding, layer.dilation, groups, bias=False)  # type: ignore[arg-type]
            second = nn.Conv2d(groups * rank, layer.out_channels, 1, groups=groups, bias=bias)
        super().__init__(first, second)


def matrices(layer: Layer) -> Tensor:
    """The weight as (G, out / G, in / G * kernel)."""
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups
    return layer.weight.detach().reshape(groups, layer.weight.shape[0] // groups, -1)


def largest_rank(layer: Layer) -> int:
    """The largest rank at which two factors hold fewer values than the layer; 0 where none does."""
    _, rows, columns = matrices(layer).shape
    return max((rows * columns - 1) // (rows + columns), 0)


def factorisable(encoder: nn.Module) -> dict[str, Layer]:
    """The layers of an encoder that two factors can shrink, by name.

    Left out: preprocessing, what is in factors already, and layers that their module uses by their weight (``whole`` in its
    class names them). A classifier is no part of an encoder; its rank is the number of classes.
    """
    found: dict[str, Layer] = {}

    def look(module: nn.Module, prefix: str) -> None:
        for name, child in module.named_children():
            if name in getattr(module, "whole", ()) or isinstance(child, (Streams, Factors)):
                continue
            if isinstance(child, (nn.Linear, nn.Conv2d)) and largest_rank(child):
                found[prefix + name] = child
            look(child, f"{prefix}{name}.")

    look(encoder, "")
    return found


def factorise(encoder: nn.Module, ranks: Mapping[str, int]) -> None:
    """Put fresh :class:`Factors` in the place of the layers ``ranks`` names.

    Raises:
        ModelError: no such layer, or a rank at which factors would be no smaller.
    """
    layers = factorisable(encoder) if ranks else {}
    for name, rank in ranks.items():
        if name not in layers:
            raise ModelError(f"low_rank names {name!r}, which is no layer that can be factorised",
                             expected="one of " + ", ".join(layers), remedy="the configuration is of another recogniser")
        if not 1 <= rank <= largest_rank(layers[name]):
            raise ModelError(f"low_rank gives {name!r} the rank {rank}", expected=f"1 to {largest_rank(layers[name])}")
        parent, _, child = name.rpartition(".")
        setattr(encoder.get_submodule(parent), child, Factors(layers[name], rank))
