"""Every step layer gives in pieces what it gives at once, and what the plain layers of torch give."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeskel.errors import UsageError
from edgeskel.models import steps

B, C, T, V = 2, 6, 24, 3


def trained(layer: nn.Module) -> nn.Module:
    """With statistics that are not those of a fresh BatchNorm, so that forgetting one would show."""
    for module in layer.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 2.0)
    return layer.eval()


LAYERS: dict[str, Callable[[], steps.Step]] = {
    "full": lambda: steps.Conv(C, C, 5),
    "pointwise": lambda: steps.Conv(C, C, 1),
    "depthwise": lambda: steps.Conv(C, C, 5, groups=C, bias=False),
    "grouped": lambda: steps.Conv(C, C, 3, groups=2),
    "strided": lambda: steps.Conv(C, C, 5, 2),
    "stride as long as the kernel": lambda: steps.Conv(C, C, 4, 4, groups=C),
    "dilated": lambda: steps.Conv(C, C, 3, dilation=3),
    "dilated and strided": lambda: steps.Conv(C, C, 3, 2, dilation=2),
    "looking ahead": lambda: steps.Conv(C, C, 7, look_ahead=3),
    "strided, looking ahead": lambda: steps.Conv(C, C, 7, 2, look_ahead=2),
    "last": lambda: steps.Last(C, 4),
    "delay": lambda: steps.Delay(3),
    "folded": lambda: steps.Sequential(nn.BatchNorm2d(C), steps.Conv(C, C, 3), nn.BatchNorm2d(C), nn.ReLU()),
    "residual": lambda: steps.Residual(steps.Conv(C, C, 3)),
    "residual, delayed": lambda: steps.Residual(steps.Conv(C, C, 5, look_ahead=2), nn.Conv2d(C, C, 1)),
    "residual, strided": lambda: steps.Residual(steps.Conv(C, C, 5, 2), channels=C),
    "deep": lambda: steps.Sequential(
        steps.Conv(C, C, 5, 2), nn.ReLU(),
        steps.Residual(steps.Sequential(steps.Conv(C, C, 3, groups=C), nn.BatchNorm2d(C), nn.Conv2d(C, C, 1)), nn.Conv2d(C, C, 1)),
        steps.Conv(C, C, 3, 2), steps.Conv(C, C, 3, look_ahead=1),
    ),
    "mean of all": lambda: Pooled(1.0),
    "decaying mean": lambda: Pooled(0.8),
}


class Pooled(steps.RunningMean):
    """The running mean of one place, in the four axes of the other layers."""

    def forward(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        return super().forward(x[..., 0], weight).unsqueeze(-1)

    def step(self, x: Tensor, state: steps.State) -> tuple[Tensor, steps.State]:
        y, after = super().step(x[..., 0], state)
        return y.unsqueeze(-1), after


def in_pieces(layer: steps.Step, x: Tensor, sizes: list[int]) -> Tensor:
    state = steps.fresh(lambda state: layer.step(x[:, :, : sizes[0]], state))
    assert len(state) == layer.states and not any(value.any() for value in state)
    shapes = [value.shape for value in state]
    outputs, start = [], 0
    for size in sizes:
        y, state = layer.step(x[:, :, start : start + size], state)
        assert [value.shape for value in state] == shapes and y.shape[2] == size // layer.every
        outputs.append(y)
        start += size
    return torch.cat(outputs, dim=2)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("sizes", [[4] * 6, [12, 4, 8], [24]], ids=str)
def test_a_clip_in_pieces_gives_what_it_gives_at_once(name: str, sizes: list[int]) -> None:
    torch.manual_seed(0)
    layer = trained(LAYERS[name]())
    assert isinstance(layer, steps.Step)
    x = torch.randn(B, C, T, V)
    with torch.inference_mode():
        whole, pieces = layer(x), in_pieces(layer, x, sizes)
    late = layer.delay
    torch.testing.assert_close(pieces[:, :, late:], whole[:, :, : whole.shape[2] - late], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in LAYERS if "look" not in name and name not in ("deep", "residual, delayed")])
def test_a_causal_layer_does_not_know_what_comes_later(name: str) -> None:
    torch.manual_seed(1)
    layer = trained(LAYERS[name]())
    x = torch.randn(B, C, T, V)
    other = x.clone()
    other[:, :, 16:] = 7.0
    with torch.inference_mode():
        assert isinstance(layer, steps.Step) and layer.look_ahead in (0, 3)  # Delay holds back, and looks nowhere
        seen = 16 // layer.every
        assert torch.equal(layer(x)[:, :, :seen], layer(other)[:, :, :seen])
        assert not torch.equal(layer(x), layer(other))


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_the_clip_form_is_torchs_own_convolution_over_zeros_and_then_the_clip(stride: int) -> None:
    torch.manual_seed(2)
    layer = steps.Conv(C, 4, 5, stride)
    plain = nn.Conv2d(C, 4, (5, 1), (stride, 1))
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(B, C, T, V)
    before = functional.pad(x, (0, 0, 5 - stride, 0))
    torch.testing.assert_close(layer(x), plain(before))


def test_a_centred_convolution_is_one_that_looks_ahead_by_half_its_kernel() -> None:
    layer = steps.Conv(C, C, 7, look_ahead=3)
    centred = nn.Conv2d(C, C, (7, 1), padding=(3, 0))
    centred.load_state_dict(layer.state_dict())
    x = torch.randn(B, C, T, V)
    torch.testing.assert_close(layer(x), centred(x))
    assert layer.delay == 3


def test_strides_multiply_and_look_aheads_add_up() -> None:
    deep = steps.Sequential(steps.Conv(C, C, 5, 2, look_ahead=2), nn.ReLU(), steps.Conv(C, C, 3, look_ahead=1))
    assert (deep.every, deep.delay, deep.look_ahead, deep.states) == (2, 2, 4, 2)


def test_a_frame_of_no_weight_leaves_the_mean_and_a_weight_is_a_count() -> None:
    mean = steps.RunningMean(0.9, 4)
    x = torch.randn(1, C, 12)
    weight = torch.ones(1, 1, 12)
    weight[..., 5:9] = 0
    got = mean(x, weight)
    torch.testing.assert_close(got[..., 5:9], got[..., 4:5].expand(-1, -1, 4), rtol=1e-4, atol=1e-5)
    slow = [sum(0.9 ** (t - s) * x[..., s] for s in range(t + 1)) / sum(0.9 ** (t - s) for s in range(t + 1)) for t in range(12)]
    torch.testing.assert_close(mean(x), torch.stack(slow, -1), rtol=1e-4, atol=1e-5)


def test_the_mean_of_a_day_is_neither_worn_out_nor_drifting() -> None:
    mean = steps.RunningMean(0.95)
    state: steps.State = ()
    for index in range(20_000):
        y, state = mean.step(torch.full((1, 1, 1), 3.0 + (-1) ** index), state)
    ripple = (1 - 0.95) / (1 + 0.95)
    assert y.item() == pytest.approx(3.0 - ripple, abs=1e-5)


@pytest.mark.parametrize("settings", [{"kernel": 2, "stride": 3}, {"kernel": 5, "look_ahead": 5},
                                      {"kernel": 5, "stride": 2, "look_ahead": 1}])
def test_a_layer_that_cannot_be_is_refused(settings: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="convolution over"):
        steps.Conv(C, C, **settings)


def test_a_stride_that_falls_between_delayed_frames_is_refused() -> None:
    with pytest.raises(UsageError, match="hold it back with Delay"):
        _ = steps.Sequential(steps.Conv(C, C, 3, look_ahead=1), steps.Conv(C, C, 3, 2)).delay
