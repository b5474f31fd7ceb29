"""Int8 keeps to what it was calibrated with, leaves preprocessing alone, and refuses to do without recordings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto

from edgeskel import topologies
from edgeskel.compression.low_rank import choose_ranks, compress
from edgeskel.compression.quantization import quantize
from edgeskel.errors import InvalidClip, UsageError
from edgeskel.models import create
from edgeskel.models.low_rank import factorisable
from export.graph import DeployableGraph

pytest.importorskip("torchao", reason="pip install 'edgeskel[export-mobile]'")
pytest.importorskip("executorch", reason="pip install 'edgeskel[export-mobile]'")


@pytest.fixture(scope="module")
def graph() -> DeployableGraph:
    torch.manual_seed(0)
    model = create("edge", topology=topologies.get("kinect-v1"), labels=("a", "b", "c"), source_frames=96,
                   widths=(16, 24), regions=(0, 6), blocks=(1, 1)).eval()
    return DeployableGraph(compress(model, choose_ranks(model, ratio=0.3)))


def test_the_quantised_graph_agrees_and_only_the_network_is_quantised(graph: DeployableGraph, windows: Any) -> None:
    quantised = quantize(graph, windows[:8])
    with torch.no_grad():
        for window in windows[8:14]:
            for exact, rounded in zip(graph(*window), quantised(*window), strict=True):
                assert torch.allclose(exact, rounded, atol=0.1)
    steps = [node for node in quantised.graph.nodes if "quantize_per" in str(node.target)]
    assert steps
    inside = [node for node in steps
              for path, _ in node.meta.get("nn_module_stack", {}).values() if path.endswith("recogniser.streams")]
    assert inside == []
    weights = [value for _, value in quantised.named_buffers() if value.dtype == torch.int8]
    layers = [m for m in graph.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    ones = [name for name, _ in graph.named_buffers() if name.endswith(".ones")]  # keep the frames of a stride
    assert len(weights) == len(layers) + len(ones), [tuple(weight.shape) for weight in weights]


def test_layers_that_are_to_stay_floating_do_in_both_formats(windows: Any) -> None:
    from export.onnx import export_onnx
    from export.qdq import activation_ranges, to_int8

    torch.manual_seed(0)
    model = create("edge", topology=topologies.get("kinect-v1"), labels=("a", "b", "c"), source_frames=96,
                   widths=(16, 24), regions=(0, 6), blocks=(1, 1)).eval()
    names = tuple(factorisable(model.encoder))[1:3]
    counts = []
    for floating in ((), names):
        model.encoder.config = replace(model.config, floating=floating)
        graph = DeployableGraph(model)
        network = export_onnx(graph, {})
        made = to_int8(network, activation_ranges(network, [tuple(map(np.asarray, window)) for window in windows[:4]]))
        counts.append((sum(value.dtype == torch.int8 for _, value in quantize(graph, windows[:4], graph.floating).named_buffers()),
                       sum(tensor.data_type == TensorProto.INT8 and len(tensor.dims) > 1 for tensor in made.graph.initializer)))
    assert [before - after for before, after in zip(*counts, strict=True)] == [2, 2]


def test_calibration_is_recorded_or_refused(graph: DeployableGraph, windows: Any) -> None:
    with pytest.raises(UsageError, match="calibration"):
        quantize(graph, [])
    with pytest.raises(UsageError, match="empty"):
        quantize(graph, [graph.example()])
    joints, confidence = windows[0]
    broken = joints.clone()
    broken[0, 0, 3, 2] = float("nan")
    with pytest.raises(InvalidClip, match="clip 1"):
        quantize(graph, [windows[1], (broken, torch.ones_like(confidence))])


def test_what_stands_in_a_missing_joint_calibrates_nothing(graph: DeployableGraph, windows: Any) -> None:
    joints, confidence = windows[0]
    unseen = confidence.clone()
    unseen[0, 0, :, 5] = 0
    wild = joints.clone()
    wild[0, 0, :, 5] = float("nan")
    expected, got = (quantize(graph, [(values, unseen)])(*windows[1]) for values in (joints, wild))
    assert torch.equal(expected[0], got[0])
