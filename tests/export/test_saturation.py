"""Int8 answers are right on every processor, also where ONNX Runtime's kernels add products in 16 bits (x86-64 without VNNI)."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeskel.runtime import engines
from edgeskel.runtime.bundle import Bundle
from export.saturation import REDUCED, saturating_layers
from tests.conftest import ROOT


def layer(kind: str, weight: np.ndarray, axis: int, **attributes: Any) -> onnx.ModelProto:
    """joints -> Q/DQ -> one int8 layer -> Q/DQ -> probabilities; an activation of 1 is the largest, and so is a weight."""
    rows = weight.shape[1] if kind == "Conv" and attributes.get("group", 1) == 1 else weight.shape[0]
    shape = (1, rows, 4, 2) if kind == "Conv" else (1, weight.shape[1] if attributes.get("transB") else weight.shape[0])
    constants = {"one": np.float32(1 / 127), "zero": np.int8(0), "weight": weight.astype(np.int8),
                 "scales": np.full(weight.shape[axis], 1 / 127, np.float32), "zeros": np.zeros(weight.shape[axis], np.int8),
                 "sum": np.float32(weight.size / weight.shape[axis] / 127)}
    nodes = [
        helper.make_node("QuantizeLinear", ["joints", "one", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "one", "zero"], ["dq"]),
        helper.make_node("DequantizeLinear", ["weight", "scales", "zeros"], ["wdq"], axis=axis),
        helper.make_node(kind, ["dq", "wdq"], ["c"], name="layer", **attributes),
        helper.make_node("QuantizeLinear", ["c", "sum", "zero"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "sum", "zero"], ["probabilities"]),
        helper.make_node("Identity", ["confidence"], ["embedding"]),
    ]
    made = helper.make_graph(
        nodes, "layer", [helper.make_tensor_value_info("joints", TensorProto.FLOAT, shape),
                         helper.make_tensor_value_info("confidence", TensorProto.FLOAT, shape[:-1])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, None),
         helper.make_tensor_value_info("embedding", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


FULL = {
    "pointwise": layer("Conv", np.full((8, 16, 1, 1), 127), 0),
    "temporal": layer("Conv", np.full((8, 16, 3, 1), 127), 0),
    "linear": layer("Gemm", np.full((6, 16), 127), 0, transB=1),
    "product": layer("MatMul", np.full((16, 6), 127), 1),
}


@pytest.mark.parametrize("name", FULL)
def test_the_largest_activations_and_weights_give_the_exact_sum(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.int8.onnx"
    onnx.save(FULL[name], path)
    engine = engines.get("onnxruntime")(path, {}, 1)
    shape = [dimension.dim_value for dimension in FULL[name].graph.input[0].type.tensor_type.shape.dim]
    joints = np.ones(shape, np.float32)
    answer, _ = engine(joints, joints[..., 0])
    np.testing.assert_allclose(answer, 48.0 if name == "temporal" else 16.0, rtol=1e-5)


@pytest.mark.parametrize(("model", "saturates"), [
    *((model, True) for model in FULL.values()),
    (layer("Conv", np.full((8, 16, 1, 1), REDUCED), 0), False),
    (layer("Conv", np.full((8, 16, 1, 1), -REDUCED - 1), 0), True),
    (layer("Conv", np.tile(np.array([127, -127]).reshape(1, 2, 1, 1), (8, 1, 1, 1)), 0), False),  # one of each sign never adds up
    (layer("Conv", np.full((8, 1, 1, 1), 127), 0, group=8), False),  # one product for each output
    (layer("Conv", np.full((8, 1, 3, 1), 127), 0, group=8), True),
    (layer("MatMul", np.tile(np.array([[127], [1]]), (1, 6)), 1), False),
    (layer("MatMul", np.tile(np.array([[127], [2]]), (1, 6)), 1), True),
    (layer("Gemm", np.tile(np.array([127, 2]), (6, 1)), 0, transB=1), True),
])
def test_what_can_overflow_is_found_by_arithmetic(model: onnx.ModelProto, saturates: bool) -> None:
    assert saturating_layers(model) == (["layer"] if saturates else [])


def test_a_host_file_cannot_overflow_and_a_jetson_file_keeps_its_8_bits(bundle_folder: Path, host_bundle: Path) -> None:
    jetson, host = (onnx.load(folder / "model.int8.onnx") for folder in (bundle_folder, host_bundle))
    assert saturating_layers(jetson) and not saturating_layers(host)
    sizes = [(folder / "model.int8.onnx").stat().st_size for folder in (bundle_folder, host_bundle)]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.01)
    engines_of = {artifact.file: artifact.engines for artifact in Bundle.open(host_bundle).artifacts}
    assert engines_of["model.int8.onnx"] == ("onnxruntime",)  # nothing of TensorRT where there is none


def test_on_an_emulated_processor_without_vnni_every_answer_is_right(bundle_folder: Path, host_bundle: Path) -> None:
    """The fault is there (the Jetson's file, on the library's own kernels), and reaches nobody."""
    emulator = shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")
    if platform.machine() != "x86_64":
        pytest.skip("the emulated Python is this one: needs an x86-64 machine")
    if emulator is None:
        pytest.skip("no emulator: apt-get install qemu-user-static")
    program = Path(__file__).with_name("verified.py")
    done = subprocess.run(
        [emulator, "-cpu", "Haswell", sys.executable, str(program), str(bundle_folder), str(host_bundle)],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    jetson, host = ({row["file"]: row for row in rows} for rows in json.loads(done.stdout))
    assert all(row["passed"] for row in (*jetson.values(), *host.values()))
    kernels = jetson["model.int8.onnx"]["integer_kernels"]
    assert not kernels["passed"] and "wrong on this processor" in kernels["says"] and "disable_quant_qdq" in kernels["says"]
    assert host["model.int8.onnx"]["integer_kernels"]["passed"]
    assert jetson["model.onnx"]["integer_kernels"] is None


def test_int8_of_a_transformer_runs_though_the_library_has_no_kernel_for_it(tmp_path: Path) -> None:
    from edgeskel import models, topologies
    from edgeskel.data import synthetic
    from export import artifacts, build

    model = models.create("hyperformer", topology=topologies.get("kinect-v1"), labels=synthetic.actions()[:6], width=24, heads=3,
                          blocks=1, frames=8, source_frames=16).eval()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifacts, "CALIBRATION", 4)
        made = build.build(build.TrainedModel("small", model), tmp_path / "b", target="host", kinds=("onnx-int8",),
                           precisions=("int8",))
    (measured,) = made.artifacts[0].details["measured"]
    assert measured["engine"] == "onnxruntime" and measured["agreement"] >= 0.9


def test_xnnpack_adds_int8_products_exactly(tmp_path: Path) -> None:
    import torch

    from edgeskel.compression.quantization import quantize
    from export.executorch import lower_xnnpack

    class Sums(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = torch.nn.Conv2d(16, 8, 1)
            self.last = torch.nn.Linear(8, 4)
            for layer, value in ((self.mix, 1.0), (self.last, 1 / 128)):
                torch.nn.init.constant_(layer.weight, value)
                torch.nn.init.zeros_(layer.bias)

        def forward(self, joints: torch.Tensor, confidence: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            embedding = self.mix(joints * confidence[..., None]).mean((2, 3))
            return self.last(embedding), embedding

    windows = torch.ones(1, 16, 4, 4), torch.ones(1, 16, 4)
    with torch.no_grad():
        program = torch.export.export(quantize(Sums().eval(), [windows]), windows, strict=False)
    (tmp_path / "sums.pte").write_bytes(lower_xnnpack(program, {}).content)
    engine = engines.get("executorch")(tmp_path / "sums.pte", {}, 1)
    sums, embedding = engine(windows[0].numpy(), windows[1].numpy())
    np.testing.assert_allclose(embedding, 16.0, rtol=0.01)
    np.testing.assert_allclose(sums, 1.0, rtol=0.02)
