"""Int8 as ONNX: QuantizeLinear and DequantizeLinear around the network's convolutions and linear layers, by TensorRT's rules.

Activations have one scale and zero point 0, weights one scale per output channel and are stored as int8; biases,
preprocessing, attention products and the final softmax stay in floating point. Scales come from what real clips do to
each activation: the largest value seen, or, where clipping a few outliers makes the quantised activation closer, less.

For targets without TensorRT weights lie in -64..64 (7 bits; ONNX Runtime's ``reduce_range``): x86-64 kernels without VNNI add
two products of an unsigned activation (0..255) and a weight in 16 bits, and 2 * 255 * 64 still fits. So the file is right in
every program that runs it there. It costs little (``edge``, 430 clips of UTD-MHAD: mean difference of a probability to fp32
5.2e-4 instead of 4.7e-4, one prediction).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeskel.errors import ExportError
from edgeskel.skeleton import Float32
from export.onnx import OnnxGraph, preprocessing
from export.operators import check_operators, check_quantization
from export.saturation import REDUCED, saturating_layers

__all__ = ["activation_ranges", "quantized_inputs", "to_int8"]

_BINS = 2048
_WEIGHT_AXIS = {"Conv": 0, "ConvTranspose": 1}


@dataclass(frozen=True)
class _Layer:
    """A node with a constant weight."""

    node: onnx.NodeProto
    weight: Float32
    axis: int


def _layers(network: OnnxGraph) -> list[_Layer]:
    model = network.model
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    first = preprocessing(model, network.boundary)
    layers = []
    for index, node in enumerate(model.graph.node):
        if index in first or node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            continue
        if node.input[1] not in constants or node.input[0] in constants:
            continue  # attention: both sides are activations
        if network.floating.intersection(node.output):
            continue
        weight = numpy_helper.to_array(constants[node.input[1]])
        axis = _WEIGHT_AXIS.get(node.op_type, weight.ndim - 1)
        if node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute):
            axis = 0
        layers.append(_Layer(node, weight, axis))
    return layers


def quantized_inputs(network: OnnxGraph) -> tuple[str, ...]:
    """Names of the activations that need a range, in graph order."""
    return tuple(dict.fromkeys(layer.node.input[0] for layer in _layers(network)))


def activation_ranges(network: OnnxGraph, windows: Sequence[tuple[Float32, Float32]]) -> dict[str, float]:
    """The largest absolute value to represent, for each activation of :func:`quantized_inputs`.

    Args:
        network: fp32.
        windows: calibration inputs: joints (1, M, S, V, 3) and confidence (1, M, S, V) of recorded clips.

    Raises:
        ExportError: no windows.
    """
    if not windows:
        raise ExportError("int8 has no calibration clips", expected="recorded clips of the training part",
                          remedy="give --calibration STORE")
    names = quantized_inputs(network)
    model = copy.deepcopy(network.model)
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
                              if name not in {value.name for value in model.graph.output})
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def seen(window: tuple[Float32, Float32]) -> list[Float32]:
        joints, confidence = window
        values: list[Float32] = session.run(list(names), {"joints": joints, "confidence": confidence})
        return [np.abs(value) for value in values]

    largest = np.max([[value.max() for value in seen(window)] for window in windows], axis=0)
    histograms = np.zeros((len(names), _BINS))
    for window in windows:
        for index, value in enumerate(seen(window)):
            top = max(float(largest[index]), 1e-12)
            histograms[index] += np.histogram(value, bins=_BINS, range=(0, top))[0]
    return {name: _closest(histogram, max(float(top), 1e-6))
            for name, histogram, top in zip(names, histograms, largest, strict=True)}


def _closest(histogram: NDArray[np.float64], largest: float) -> float:
    """The clipping point with the least mean squared error over the histogram of absolute values."""
    centres = (np.arange(_BINS) + 0.5) * largest / _BINS
    best, least = largest, np.inf
    for share in np.linspace(0.3, 1.0, 36):
        top = share * largest
        scale = top / 127
        error = np.where(centres > top, (centres - top) ** 2, (centres - np.round(centres / scale) * scale) ** 2)
        total = float((histogram * error).sum())
        if total < least:
            best, least = top, total
    return float(best)


def to_int8(network: OnnxGraph, ranges: Mapping[str, float]) -> onnx.ModelProto:
    """``network`` with Q/DQ by ``ranges``; weights of 8 bits for TensorRT, of 7 for other targets.

    Raises:
        ExportError: a range is missing, or the result breaks TensorRT's rules.
    """
    layers = _layers(network)
    missing = [name for name in quantized_inputs(network) if name not in ranges]
    if missing:
        raise ExportError(f"no range for the activations {', '.join(missing)}", remedy="calibrate this very graph")
    largest = 127 if network.tensorrt is not None else REDUCED
    model = copy.deepcopy(network.model)
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.int8(0), "zero"))
    wanted = {layer.node.name: layer for layer in layers}
    nodes: list[onnx.NodeProto] = []
    done: set[str] = set()

    def constant(name: str, values: NDArray[np.generic]) -> str:
        if name not in done:
            graph.initializer.append(numpy_helper.from_array(values, name))
            done.add(name)
        return name

    def activation(name: str) -> str:
        if f"{name}_q" not in done:
            done.add(f"{name}_q")
            scale = constant(f"{name}_scale", np.array(ranges[name] / 127, np.float32))
            nodes.append(helper.make_node("QuantizeLinear", [name, scale, "zero"], [f"{name}_q"], name=f"q_{name}"))
            nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", scale, "zero"], [f"{name}_dq"],
                                          name=f"dq_{name}"))
        return f"{name}_dq"

    def weight(layer: _Layer) -> str:
        name = layer.node.input[1]
        if f"{name}_dq" not in done:
            done.add(f"{name}_dq")
            others = tuple(i for i in range(layer.weight.ndim) if i != layer.axis)
            scale = np.maximum(np.abs(layer.weight).max(axis=others), 1e-9).astype(np.float32) / np.float32(largest)
            shape = [-1 if i == layer.axis else 1 for i in range(layer.weight.ndim)]
            values = np.clip(np.round(layer.weight / scale.reshape(shape)), -largest, largest).astype(np.int8)
            inputs = [constant(f"{name}_int8", values), constant(f"{name}_scale", scale),
                      constant(f"{name}_zero", np.zeros(len(scale), np.int8))]
            nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{name}_dq"], name=f"dq_{name}", axis=layer.axis))
        return f"{name}_dq"

    for node in list(graph.node):
        if node.name in wanted:
            layer = wanted[node.name]
            node.input[0], node.input[1] = activation(node.input[0]), weight(layer)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    model = onnx.shape_inference.infer_shapes(model)
    if network.tensorrt is not None:
        check_operators(model, network.tensorrt)
    elif overflowing := saturating_layers(model):
        raise ExportError(f"int8 products of {', '.join(overflowing)} overflow 16 bits",
                          expected=f"weights in -{REDUCED}..{REDUCED}")
    check_quantization(model)
    onnx.checker.check_model(model, full_check=True)
    return model
