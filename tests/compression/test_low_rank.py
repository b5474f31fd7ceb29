"""Truncated decomposition: exact where nothing is cut, better where it looks at recorded clips, honest in what it saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgeskel import topologies
from edgeskel.compression.budget import budget
from edgeskel.compression.low_rank import choose_ranks, compress, covariances
from edgeskel.errors import ModelError, UsageError
from edgeskel.models import Recogniser, create, from_pretrained
from edgeskel.models.low_rank import Factors, factorisable, factorise, largest_rank
from export.graph import fold_batch_norm

SIZES: dict[str, dict[str, Any]] = {
    "edge": {"widths": (24, 32, 48), "blocks": (1, 1, 1)},
    "hyperformer": {"width": 48, "heads": 4, "groups": 2, "blocks": 5, "frames": 32},
}


def model_of(name: str) -> Recogniser:
    torch.manual_seed(0)
    model = create(name, topology=topologies.get("kinect-v1"), labels=("a", "b", "c"), source_frames=96, **SIZES[name])
    for module in model.modules():  # as if trained: statistics and gates that are not what they start as
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, std=0.1)
    return model.eval()


@pytest.fixture(params=SIZES)
def model(request: pytest.FixtureRequest) -> Recogniser:
    return model_of(request.param)


@torch.no_grad()
def answers(model: Recogniser, windows: Any) -> torch.Tensor:
    return torch.cat([model(*window) for window in windows])


def test_the_largest_rank_that_pays_keeps_what_a_low_rank_layer_says(model: Recogniser, windows: Any) -> None:
    ranks = {name: max(largest_rank(layer) // 2, 1) for name, layer in factorisable(model.encoder).items()}
    smaller = compress(model, ranks)
    full = compress(model, {})
    # Put the product of the factors back into the whole model: both must then agree.
    for name in ranks:
        first, second = smaller.encoder.get_submodule(name)
        layer: Any = full.encoder.get_submodule(name)
        groups = 1 if isinstance(layer, torch.nn.Linear) else layer.groups
        inner = first.weight.reshape(groups, -1, first.weight[0].numel())
        outer = second.weight.reshape(groups, -1, inner.shape[1])
        layer.weight.data = (outer @ inner).reshape(layer.weight.shape)
    assert torch.allclose(answers(full, windows[:4]), answers(smaller, windows[:4]), atol=1e-4)


def test_a_weight_of_low_rank_loses_nothing(windows: Any) -> None:
    model = model_of("hyperformer")
    name, layer = next((n, x) for n, x in factorisable(model.encoder).items() if n.endswith("key_value") and "1" in n)
    layer.weight.data = torch.randn(layer.weight.shape[0], 5) @ torch.randn(5, layer.weight.shape[1]) / 10
    before = answers(model, windows[:4])
    assert choose_ranks(model, energy=0.99999)[name] == 5
    assert torch.allclose(answers(compress(model, {name: 5}), windows[:4]), before, atol=1e-4)


def test_full_energy_leaves_every_layer_alone(model: Recogniser) -> None:
    assert choose_ranks(model, energy=1.0) == {}
    assert choose_ranks(model, ratio=1.0) == {}


def test_what_is_chosen_always_shrinks_and_more_energy_keeps_more(model: Recogniser) -> None:
    sizes = [budget(compress(model, choose_ranks(model, ratio=ratio))) for ratio in (0.1, 0.25, 0.4)]
    whole = budget(model)
    assert sizes[0].parameters < sizes[1].parameters < sizes[2].parameters < whole.parameters
    assert sizes[0].macs < sizes[2].macs < whole.macs and sizes[0].bytes < whole.bytes


@pytest.mark.parametrize("saving", [0.1, 0.25, 0.4])
def test_a_saving_is_reached_and_hardly_passed(model: Recogniser, windows: Any, saving: float) -> None:
    whole = budget(model).parameters
    ranks = choose_ranks(model, saving=saving, inputs=covariances(model, windows[:6]))
    saved = 1 - budget(compress(model, ranks)).parameters / whole
    assert saving <= saved < saving + 0.02


def test_a_saving_costs_less_where_it_may_differ_by_layer(windows: Any) -> None:
    model = model_of("hyperformer")
    seen, whole = covariances(model, windows[:12]), answers(model, windows[12:])
    even = choose_ranks(model, ratio=0.3)
    saving = 1 - budget(compress(model, even)).parameters / budget(model).parameters
    spread = choose_ranks(model, saving=saving, inputs=seen)
    lost = [(answers(compress(model, ranks, seen), windows[12:]) - whole).square().mean() for ranks in (even, spread)]
    assert lost[1] < lost[0]


def test_a_layer_that_would_save_too_little_is_left_alone(model: Recogniser) -> None:
    all_of_them, few = choose_ranks(model, ratio=0.25), choose_ranks(model, ratio=0.25, least=800)
    assert set(few) < set(all_of_them)
    for name in few:
        saved = budget(model).parameters - budget(compress(model, {name: few[name]})).parameters
        assert saved >= 800


def test_looking_at_recorded_clips_beats_looking_at_weights(windows: Any) -> None:
    model = model_of("edge")
    ranks = choose_ranks(model, ratio=0.25)
    seen = covariances(model, windows[:12])
    whole = answers(model, windows[12:])
    plain = (answers(compress(model, ranks), windows[12:]) - whole).square().mean()
    aware = (answers(compress(model, ranks, seen), windows[12:]) - whole).square().mean()
    assert aware < plain


def test_each_layer_alone_is_the_best_of_its_rank_over_the_clips(model: Recogniser, windows: Any) -> None:
    seen = covariances(model, windows[:6])
    for name, layer in list(factorisable(model.encoder).items())[:12]:
        outputs = _outputs(model, name, windows[:6])
        ranks = {name: max(largest_rank(layer) // 3, 1)}
        plain = (_outputs(compress(model, ranks), name, windows[:6]) - outputs).square().mean()
        aware = (_outputs(compress(model, ranks, seen), name, windows[:6]) - outputs).square().mean()
        assert aware <= plain * (1 + 1e-4)


@torch.no_grad()
def _outputs(model: Recogniser, name: str, windows: Any) -> torch.Tensor:
    kept: list[torch.Tensor] = []
    hook = model.encoder.get_submodule(name).register_forward_hook(lambda module, inputs, output: kept.append(output.flatten()))
    answers(model, windows)
    hook.remove()
    return torch.cat(kept)


def test_a_compressed_checkpoint_says_what_it_is(model: Recogniser, windows: Any, tmp_path: Path) -> None:
    smaller = compress(model, choose_ranks(model, ratio=0.25))
    smaller.save_pretrained(tmp_path)
    loaded = from_pretrained(tmp_path)
    assert loaded.config.low_rank == smaller.config.low_rank
    assert torch.equal(answers(loaded, windows[:2]), answers(smaller, windows[:2]))
    again = compress(loaded, choose_ranks(loaded, ratio=0.1))  # nothing is factorised twice
    assert again.config.low_rank == loaded.config.low_rank


def test_batch_norm_folds_into_factors(windows: Any) -> None:
    model = model_of("edge")
    smaller = compress(model, choose_ranks(model, ratio=0.25))
    folded = fold_batch_norm(smaller)
    left = [name for name, module in folded.named_modules() if "Affine" in type(module).__name__]
    assert len(left) <= sum("Affine" in type(module).__name__ for module in fold_batch_norm(model).modules())
    assert torch.allclose(answers(folded, windows[:2]), answers(smaller, windows[:2]), atol=1e-4)


def test_layers_used_by_their_weight_and_preprocessing_stay_whole() -> None:
    model = model_of("edge")
    assert not any("mix" in name.split(".")[-1] or name.startswith("streams") for name in factorisable(model.encoder))
    assert "classifier" not in factorisable(model.encoder)


def test_wrong_rules_and_ranks_are_refused(model: Recogniser) -> None:
    for rule in ({}, {"energy": 0.9, "ratio": 0.5}, {"energy": 0.0}, {"ratio": 1.5}, {"saving": 1.0}, {"saving": 0.99}):
        with pytest.raises(UsageError):
            choose_ranks(model, **rule)
    with pytest.raises(UsageError, match="clips"):
        covariances(model, [])
    name, layer = next(iter(factorisable(model.encoder).items()))
    with pytest.raises(ModelError, match="rank"):
        factorise(model.encoder, {name: largest_rank(layer) + 1})
    with pytest.raises(ModelError, match="no layer"):
        compress(model, {"streams": 3})


def test_factors_keep_the_shape_of_a_strided_grouped_convolution() -> None:
    layer = torch.nn.Conv2d(12, 18, (5, 1), (2, 1), (4, 0), (2, 1), groups=2)
    x = torch.randn(2, 12, 16, 3)
    assert Factors(layer, 3)(x).shape == layer(x).shape
