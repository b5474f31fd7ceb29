"""Graphs that TensorRT would not take are refused here, by name."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeskel.errors import ExportError
from export.onnx import OnnxGraph
from export.operators import check_operators, check_quantization
from export.qdq import activation_ranges, quantized_inputs, to_int8


def graph(*nodes: onnx.NodeProto, shape: tuple[object, ...] = (1, 4), opset: int = 18, **constants: object) -> onnx.ModelProto:
    values = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    made = helper.make_graph(list(nodes), "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                             [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)], values)
    domains = {node.domain: 1 for node in nodes if node.domain}
    imports = [helper.make_opsetid(domain, version) for domain, version in ({"": opset} | domains).items()]
    return helper.make_model(made, opset_imports=imports, ir_version=10)


RELU = helper.make_node("Relu", ["x"], ["y"], name="r")


def test_a_plain_graph_passes() -> None:
    check_operators(graph(RELU))
    check_operators(graph(RELU, opset=17))


@pytest.mark.parametrize(("model", "why"), [
    (graph(helper.make_node("Einsum", ["x"], ["y"], equation="ab->ab", name="e")), r"Einsum \(e\)"),
    (graph(helper.make_node("BitShift", ["x", "x"], ["y"], direction="LEFT", name="b")), r"BitShift \(b\) is not supported"),
    (graph(helper.make_node("Gelu", ["x"], ["y"], name="own", domain="com.microsoft")), r"Gelu \(own\)"),
    (graph(RELU, opset=21), "opset 21"),
    (graph(RELU, shape=("N", 4)), "x has a dynamic shape"),
    (graph(helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT32), helper.make_node("Relu", ["i"], ["z"], name="n"),
           helper.make_node("Softmax", ["i"], ["y"], name="s")), r"Softmax \(s\) reads INT32"),
])
def test_offenders_are_named(model: onnx.ModelProto, why: str) -> None:
    with pytest.raises(ExportError, match=why):
        check_operators(model)


def test_what_a_newer_tensorrt_takes_is_refused_for_an_older_one_only() -> None:
    einsum = graph(helper.make_node("Einsum", ["x"], ["y"], equation="ab->ab", name="e"))
    check_operators(einsum, (10, 12))
    check_operators(einsum, (11, 4))
    with pytest.raises(ExportError, match=r"TensorRT 10\.11 cannot.*without TensorRT"):
        check_operators(einsum, (10, 11))


def test_all_offenders_are_named_at_once() -> None:
    model = graph(helper.make_node("Einsum", ["x"], ["z"], equation="ab->ab", name="first"),
                  helper.make_node("Det", ["z"], ["y"], name="second"))
    with pytest.raises(ExportError, match=r"first.*second"):
        check_operators(model)


@pytest.fixture(scope="module")
def network() -> OnnxGraph:
    """A preprocessing node, then a grouped convolution, a product of activations and a linear layer."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 1, 1, 1)).astype(np.float32) * np.array([0.01, 0.1, 1, 10], np.float32).reshape(4, 1, 1, 1)
    nodes = [
        helper.make_node("Mul", ["joints", "half"], ["streams"], name="prepare"),
        helper.make_node("Conv", ["streams", "weight", "bias"], ["c"], name="conv", group=4),
        helper.make_node("MatMul", ["c", "c"], ["attention"], name="both"),
        helper.make_node("Gemm", ["flat", "matrix", "offset"], ["z"], name="gemm", transB=1),
        helper.make_node("Softmax", ["z"], ["probabilities"], name="softmax"),
    ]
    nodes.insert(3, helper.make_node("Reshape", ["attention", "shape"], ["flat"], name="flatten"))
    constants = {"half": np.float32([0.5]), "weight": weight, "bias": rng.normal(size=4).astype(np.float32),
                 "matrix": rng.normal(size=(3, 16)).astype(np.float32), "offset": np.zeros(3, np.float32),
                 "shape": np.array([1, 16], np.int64)}
    made = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("joints", TensorProto.FLOAT, (1, 4, 2, 2)),
                       helper.make_tensor_value_info("confidence", TensorProto.FLOAT, (1, 4, 2))],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, (1, 3))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()])
    return OnnxGraph(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), ("streams",))


def calibration() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [(rng.normal(size=(1, 4, 2, 2)).astype(np.float32), np.ones((1, 4, 2), np.float32)) for _ in range(8)]


def test_layers_with_weights_are_quantised_and_nothing_else(network: OnnxGraph) -> None:
    assert quantized_inputs(network) == ("streams", "flat")  # not the product of two activations, not the preprocessing


def test_int8_follows_the_rules_and_stays_close(network: OnnxGraph) -> None:
    import onnxruntime

    model = to_int8(network, activation_ranges(network, calibration()))
    check_quantization(model)
    runs = []
    for candidate in (network.model, model):
        session = onnxruntime.InferenceSession(candidate.SerializeToString(), providers=["CPUExecutionProvider"])
        names = {value.name for value in session.get_inputs()}
        runs.append([session.run(None, {key: value for key, value in zip(("joints", "confidence"), pair, strict=True)
                                        if key in names})[0] for pair in calibration()])
    assert np.abs(np.array(runs[0]) - np.array(runs[1])).max() < 0.1
    # Weights of very different size per channel: one scale for all would have lost the small ones.
    scales = numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == "weight_scale"))
    assert scales.shape == (4,) and scales.max() / scales.min() > 10


def broken(network: OnnxGraph, change: str) -> onnx.ModelProto:
    model = copy.deepcopy(to_int8(network, {"streams": 1.0, "flat": 1.0}))
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    if change == "zero point":
        constants["zero"].CopyFrom(numpy_helper.from_array(np.int8(3), "zero"))
    elif change == "unsigned":
        constants["zero"].CopyFrom(numpy_helper.from_array(np.uint8(0), "zero"))
    elif change == "scale":
        constants["streams_scale"].CopyFrom(numpy_helper.from_array(np.float32(0), "streams_scale"))
    elif change == "per tensor":
        constants["weight_scale"].CopyFrom(numpy_helper.from_array(np.float32(0.1), "weight_scale"))
        constants["weight_zero"].CopyFrom(numpy_helper.from_array(np.int8(0), "weight_zero"))
    elif change == "half quantised":
        next(node for node in model.graph.node if node.name == "conv").input[0] = "streams"
    else:
        model = copy.deepcopy(network.model)
    return model


@pytest.mark.parametrize(("change", "why"), [
    ("zero point", "zero point int8"), ("unsigned", "zero point uint8"), ("scale", "not positive"),
    ("per tensor", "conv: weights without a scale per output channel"), ("half quantised", "conv: only one input"),
    ("not at all", "no QuantizeLinear"),
])
def test_broken_quantisation_is_refused(network: OnnxGraph, change: str, why: str) -> None:
    with pytest.raises(ExportError, match=why):
        check_quantization(broken(network, change))


def test_no_calibration_is_an_error_not_noise(network: OnnxGraph) -> None:
    with pytest.raises(ExportError, match="no calibration clips"):
        activation_ranges(network, [])
    with pytest.raises(ExportError, match="no range for the activations flat"):
        to_int8(network, {"streams": 1.0})


def test_artifacts_keep_their_promises(bundle_folder: Path) -> None:
    fp32, fp16, int8 = (onnx.load(bundle_folder / name) for name in ("model.onnx", "model.fp16.onnx", "model.int8.onnx"))
    for model in (fp32, fp16, int8):
        check_operators(model)
        assert model.opset_import[0].version in (17, 18)
        assert [value.name for value in model.graph.input] == ["joints", "confidence"]
        assert [value.name for value in model.graph.output] == ["probabilities", "embedding"]
        assert all(value.type.tensor_type.elem_type == TensorProto.FLOAT for value in (*model.graph.input, *model.graph.output))
        properties = {entry.key: entry.value for entry in model.metadata_props}
        assert properties["name"] == "small" and properties["hop"] == "8" and '"wave"' in properties["labels"]
        assert not any(entry.key for node in model.graph.node for entry in node.metadata_props)  # no paths of this machine
    check_quantization(int8)
    weights = [tensor for tensor in fp16.graph.initializer if tensor.name.startswith("recogniser.encoder.blocks")]
    assert weights and all(tensor.data_type == TensorProto.FLOAT16 for tensor in weights)
    matrix = [node for node in fp16.graph.node if node.op_type == "Sqrt"]  # lengths of bones: preprocessing
    halves = {output for node in fp16.graph.node if node.op_type == "Cast" for output in node.output}
    assert matrix and halves and not halves & {name for node in matrix for name in node.input}
