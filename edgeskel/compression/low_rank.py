"""Low rank as LORTSAR does it: truncated singular value decomposition of a trained recogniser's layers.

After Oraki, Zhuang and Liang, "LORTSAR: Low-Rank Transformer for Skeleton-based Action Recognition" (arXiv
2407.14655): a weight matrix becomes two of rank k, and fine-tuning from there restores the accuracy. Added here: the
factorisation may look at what recorded clips put into a layer. Plain truncation keeps the directions in which the
*weights* are large; with the covariance C of the layer's inputs it keeps those in which the *outputs* are: of all
rank-k matrices the result then has the least mean squared output error over those clips. Temporal convolutions are
taken as (out) x (in * kernel).

For W (out x in), let U hold the k leading eigenvectors of W C Wᵀ (C = I: the left singular vectors). The best rank-k
replacement is U Uᵀ W, stored as B = U D^½ and A = D^-½ Uᵀ W, where D (the root of the eigenvalues) shares the size
between both factors, which fine-tuning and int8 like.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeskel.errors import UsageError
from edgeskel.models import Recogniser
from edgeskel.models.low_rank import Factors, Layer, factorisable, factorise, matrices

__all__ = ["Covariances", "choose_ranks", "compress", "covariances", "factors_of", "saved"]

Covariances = Mapping[str, Tensor]


@torch.no_grad()
def covariances(model: Recogniser, clips: Iterable[tuple[Any, Any]]) -> dict[str, Tensor]:
    """Mean of x xᵀ over all inputs x that recorded clips give each factorisable layer.

    Args:
        model: trained.
        clips: windows: joints (N, M, S, V, 3) and confidence (N, M, S, V), arrays or tensors.

    Returns:
        name -> (G, in / G * kernel, the same), float64.

    Raises:
        UsageError: no clips.
    """
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def watch(name: str, layer: nn.Module) -> Any:
        assert isinstance(layer, (nn.Linear, nn.Conv2d))

        def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = _columns(layer, inputs[0])  # (G, in / G * kernel, positions)
            product = (x @ x.transpose(1, 2)).double()
            sums[name] = sums[name] + product if name in sums else product
            counts[name] = counts.get(name, 0) + x.shape[-1]

        return layer.register_forward_pre_hook(look)

    model = copy.deepcopy(model).eval()
    hooks = [watch(name, layer) for name, layer in factorisable(model.encoder).items()]
    for joints, confidence in clips:
        model(torch.as_tensor(joints), torch.as_tensor(confidence))
    for hook in hooks:
        hook.remove()
    if not sums:
        raise UsageError("activation-aware truncation has no clips", expected="recorded clips of the training part")
    return {name: total / counts[name] for name, total in sums.items()}


def _columns(layer: Layer, x: Tensor) -> Tensor:
    """A layer's input as the columns that its matrices multiply: (G, in / G * kernel, positions)."""
    if isinstance(layer, nn.Linear):
        return x.reshape(1, -1, layer.in_features).transpose(1, 2)
    kernel, stride = layer.kernel_size, layer.stride
    patches = functional.unfold(x, kernel, layer.dilation, layer.padding, stride)  # type: ignore[arg-type]
    return patches.transpose(0, 1).reshape(layer.groups, patches.shape[1] // layer.groups, -1)


def choose_ranks(
    model: Recogniser,
    *,
    saving: float | None = None,
    energy: float | None = None,
    ratio: float | None = None,
    least: int = 1,
    inputs: Covariances | None = None,
) -> dict[str, int]:
    """The rank of each layer that becomes smaller; the others are left alone and not named.

    Args:
        model: trained.
        saving: share of the recogniser's parameters to save, above 0 and below 1. The ranks then lose the least energy
            that this saving can cost, counted in shares of each layer's own.
        energy: share of the squared singular values (with ``inputs``: of the output's energy) that every layer keeps,
            above 0 up to 1.
        ratio: rank of every layer as a share of its full rank, above 0 up to 1. Exactly one of the three.
        least: parameters that a layer must save to be worth a second operator; smaller layers are left alone.
        inputs: from :func:`covariances`. Energy then is what recorded clips make of a layer, and says far better what a
            direction is worth.

    Raises:
        UsageError: not exactly one rule, a share outside its range, or a saving that no ranks reach.
    """
    rules = {name: share for name, share in (("saving", saving), ("energy", energy), ("ratio", ratio)) if share is not None}
    if len(rules) != 1:
        raise UsageError(f"{len(rules)} rules for the ranks" + (f": {', '.join(rules)}" if rules else ""),
                         expected="exactly one of saving, energy and ratio")
    (rule, share), = rules.items()
    if not 0 < share <= 1 or (rule == "saving" and share == 1):
        raise UsageError(f"a share of {share} for {rule}", expected="above 0, up to 1 (saving: below 1)")
    layers = factorisable(model.encoder)
    if rule == "ratio":
        ranks = {name: max(round(share * min(matrices(layer).shape[1:])), 1) for name, layer in layers.items()}
        return _worth(layers, ranks, least)
    energies = {name: _energies(layer, inputs[name] if inputs else None) for name, layer in layers.items()}
    if rule == "energy":
        return _worth(layers, {name: _keeping(shares, share) for name, shares in energies.items()}, least)
    return _cheapest(model, layers, energies, share, least)


def _energies(layer: Layer, covariance: Tensor | None) -> Tensor:
    """(G, full rank): the share of its group's energy that each further rank brings, largest first."""
    values, _ = _spectrum(layer, covariance)
    full = min(matrices(layer).shape[1:])
    return (values / values.sum(-1, keepdim=True).clamp(min=1e-300))[:, :full]


def _keeping(energies: Tensor, share: float) -> int:
    """The least rank that keeps ``share`` of the energy in every group."""
    full = energies.shape[1]
    kept = energies.cumsum(-1).min(0).values  # the worst group
    return full if share == 1 else min(int((kept < share).sum()) + 1, full)


def _cheapest(model: Recogniser, layers: Mapping[str, Layer], energies: Mapping[str, Tensor], saving: float,
              least: int) -> dict[str, int]:
    """The ranks that save ``saving`` of all parameters and lose the least energy.

    A rank is kept where it brings more than ``price`` for each of its parameters; the highest price that is still paid
    by enough ranks is found by bisection (a Lagrange multiplier of the budget).
    """
    wanted = saving * sum(parameter.numel() for parameter in model.parameters())

    def ranks(price: float) -> dict[str, int]:
        kept = {}
        for name, layer in layers.items():
            groups, rows, columns = matrices(layer).shape
            worth = energies[name].mean(0) > price * groups * (rows + columns)
            kept[name] = max(int(worth.sum()), 1)
        return _worth(layers, kept, least)

    def saved_at(price: float) -> int:
        return sum(saved(layers[name], rank) for name, rank in ranks(price).items())

    low, high = -12.0, 0.0  # powers of ten; at a price of 1 every layer keeps one rank
    if saved_at(10**high) < wanted:
        raise UsageError(f"a saving of {saving:.0%}",
                         expected=f"at most {saved_at(10**high) / wanted * saving:.0%}, which leaves rank 1 everywhere")
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if saved_at(10**middle) >= wanted else (middle, high)
    return ranks(10**high)


def _worth(layers: Mapping[str, Layer], ranks: Mapping[str, int], least: int) -> dict[str, int]:
    """Those of ``ranks`` that save at least ``least`` parameters."""
    return {name: rank for name, rank in ranks.items() if saved(layers[name], rank) >= least}


def saved(layer: Layer, rank: int) -> int:
    """Parameters that a layer has less in two factors of ``rank``."""
    groups, rows, columns = matrices(layer).shape
    return groups * (rows * columns - rank * (rows + columns))


@torch.no_grad()
def compress(model: Recogniser, ranks: Mapping[str, int], inputs: Covariances | None = None) -> Recogniser:
    """A copy of ``model`` with the named layers in two factors.

    Args:
        model: trained; stays as it is.
        ranks: from :func:`choose_ranks`, or chosen by hand.
        inputs: from :func:`covariances`, for activation-aware truncation.

    Returns:
        In evaluation mode; ``save_pretrained`` records the ranks.

    Raises:
        ModelError: a layer that cannot be factorised, or a rank at which it would not shrink.
    """
    smaller = copy.deepcopy(model).eval()
    factorise(smaller.encoder, ranks)
    layers = factorisable(model.encoder)
    for name, rank in ranks.items():
        factors = smaller.encoder.get_submodule(name)
        assert isinstance(factors, Factors)
        _fill(factors, layers[name], rank, inputs[name] if inputs else None)
    smaller.encoder.config = replace(model.config, low_rank={**model.config.low_rank, **ranks})
    return smaller


@torch.no_grad()
def factors_of(layer: Layer, rank: int, covariance: Tensor | None) -> Factors:
    """A layer in two factors of ``rank``; ``covariance`` is that of its inputs, as of :func:`covariances`."""
    factors = Factors(layer, rank)
    _fill(factors, layer, rank, covariance)
    return factors.eval()


def _fill(factors: Factors, layer: Layer, rank: int, covariance: Tensor | None) -> None:
    values, vectors = _spectrum(layer, covariance)
    kept = vectors[..., :rank]  # (G, out / G, rank)
    size = values[:, None, :rank].clamp(min=1e-12).pow(0.25)  # the root of a singular value
    inner = (kept / size).transpose(1, 2) @ matrices(layer).double()  # (G, rank, in / G * kernel)
    outer = kept * size
    first, second = factors
    assert isinstance(first, (nn.Linear, nn.Conv2d)) and isinstance(second, (nn.Linear, nn.Conv2d))
    first.weight.copy_(inner.reshape(first.weight.shape))
    second.weight.copy_(outer.reshape(second.weight.shape))
    if layer.bias is not None and second.bias is not None:
        second.bias.copy_(layer.bias)


def _spectrum(layer: Layer, covariance: Tensor | None) -> tuple[Tensor, Tensor]:
    """Eigenvalues (G, r), falling, and eigenvectors (G, out / G, r) of W C Wᵀ, float64; r is the full rank."""
    weight = matrices(layer).double()
    middle = weight if covariance is None else weight @ covariance
    values, vectors = torch.linalg.eigh(middle @ weight.transpose(1, 2))
    full = min(weight.shape[1:])
    return values.flip(-1)[..., :full].clamp(min=0), vectors.flip(-1)[..., :full]
