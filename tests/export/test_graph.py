"""The deployable graph says what the recogniser says, and stays finite whatever is missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgeskel.errors import ExportError
from edgeskel.runtime.bundle import Window
from edgeskel.window import blank_missing
from export.graph import DeployableGraph, fold_batch_norm
from export.windows import synthetic_windows
from tests.export.conftest import small_recogniser


def windows(model, count=3):
    config = model.config
    made = synthetic_windows(config.topology, Window(config.persons, config.source_frames, 30.0, 8), count)
    return torch.from_numpy(made.joints), torch.from_numpy(made.confidence)


@pytest.mark.parametrize("persons", [1, 2])
def test_folding_changes_no_answer(persons: int) -> None:
    model = small_recogniser(persons=persons)
    graph = DeployableGraph(model)
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in graph.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in model.modules())  # the original keeps its own
    joints, confidence = windows(model)
    with torch.no_grad():
        for index in range(len(joints)):
            pair = joints[index : index + 1], confidence[index : index + 1]
            probabilities, embedding = graph(*pair)
            torch.testing.assert_close(probabilities, model(*pair).softmax(-1), atol=1e-5, rtol=0)
            torch.testing.assert_close(embedding, model.embed(*pair), atol=1e-4, rtol=1e-4)


def test_any_batch_norm_folds_or_becomes_scale_and_shift() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.BatchNorm1d(6)
            self.line = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU())
            self.grid = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 8, 1, groups=2), nn.BatchNorm2d(8))
            self.padded = nn.Sequential(nn.BatchNorm2d(8), nn.Conv2d(8, 2, 3, padding=1))  # not foldable: zeros outside

        def forward(self, x):
            return self.padded(self.grid(self.line(self.first(x)).view(-1, 4, 1, 1).expand(-1, 4, 3, 3)))

    torch.manual_seed(0)
    odd = Odd()
    for _ in range(3):
        odd(torch.randn(16, 6) * 2 + 1)
    odd.eval()
    folded = fold_batch_norm(odd)
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in folded.modules())
    x = torch.randn(5, 6)
    torch.testing.assert_close(folded(x), odd(x), atol=1e-5, rtol=1e-5)


def test_a_batch_norm_that_depends_on_the_batch_is_refused() -> None:
    model = small_recogniser()
    model.encoder.stem.append(nn.BatchNorm2d(8, track_running_stats=False))
    model.encoder.stem.insert(len(model.encoder.stem) - 1, nn.ReLU())
    with pytest.raises(ExportError, match="running statistics"):
        fold_batch_norm(model)


@pytest.mark.parametrize("number", [0.0, -7.0, 1e6])
def test_numbers_in_missing_joints_are_ignored(number: float) -> None:
    model = small_recogniser()
    graph = DeployableGraph(model)
    joints, confidence = windows(model, 1)
    confidence[:, :, 3:5, 2:9] = 0
    other = torch.where(confidence.unsqueeze(-1) > 0, joints, number)
    with torch.no_grad():
        torch.testing.assert_close(graph(other, confidence)[0], graph(joints, confidence)[0], atol=1e-6, rtol=0)


def test_nan_is_seen_in_the_answer_and_blanked_before_it() -> None:
    """No operator that XNNPACK takes tells a NaN apart, so the graph must not hide one and the engines must not feed one."""
    model = small_recogniser()
    graph = DeployableGraph(model)
    joints, confidence = windows(model, 1)
    confidence[:, :, 3:5, 2:9] = 0
    broken = torch.where(confidence.unsqueeze(-1) > 0, joints, float("nan"))
    with torch.no_grad():
        assert graph(broken, confidence)[0].isnan().all()
        blanked = torch.from_numpy(blank_missing(broken.numpy(), confidence.numpy()))
        torch.testing.assert_close(graph(blanked, confidence)[0], graph(joints, confidence)[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("case", ["nothing", "one frame", "one joint", "constant"])
def test_poor_windows_give_finite_answers(case: str) -> None:
    model = small_recogniser()
    graph = DeployableGraph(model)
    joints, confidence = (values.clone() for values in windows(model, 1))
    if case == "nothing":
        confidence.zero_()
    elif case == "one frame":
        confidence[:, :, 1:] = 0
    elif case == "one joint":
        confidence[..., 1:] = 0
    else:
        joints[:] = 1.0
        confidence[:] = 1.0
    with torch.no_grad():
        probabilities, embedding = graph(joints, confidence)
    assert np.isfinite(probabilities.numpy()).all() and np.isfinite(embedding.numpy()).all()
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-5)
