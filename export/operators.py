"""What TensorRT parses, checked here before a Jetson has to find out.

The table ``tensorrt_operators.json`` lists ONNX operators and data types; the rules beyond it are the project's own:
nothing in the graph may need a newer parser than the oldest of the target's releases has, and int8 must be written as
TensorRT fuses it. A target without TensorRT takes whatever ONNX Runtime takes, which runs every artifact before it is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from edgeskel.errors import ExportError
from export.artifact_kinds import OLDEST_TENSORRT

__all__ = ["check_operators", "check_quantization", "value_types"]

_OPSETS = (17, 18)  # what TensorRT 10.3, 10.13 and 11 and ONNX Runtime all take
_SINCE = {
    "Einsum": ((10, 12), "its general forms came only with TensorRT 10.12"),
    "BatchNormalization": ((10, 7), "a mixed-precision one parses only from TensorRT 10.7 on; it must be folded"),
}
_TYPES = {
    onnx.TensorProto.FLOAT: "FP32", onnx.TensorProto.FLOAT16: "FP16", onnx.TensorProto.BFLOAT16: "BF16",
    onnx.TensorProto.INT8: "INT8", onnx.TensorProto.UINT8: "UINT8", onnx.TensorProto.INT32: "INT32",
    onnx.TensorProto.INT64: "INT64", onnx.TensorProto.BOOL: "BOOL",
}
_WEIGHT_AXIS = {"Conv": 0, "ConvTranspose": 1}


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads((Path(__file__).parent / "tensorrt_operators.json").read_text("utf-8"))
    return table


def check_operators(model: onnx.ModelProto, tensorrt: tuple[int, int] = OLDEST_TENSORRT) -> None:
    """Refuse a graph that TensorRT does not parse.

    Args:
        model: the graph.
        tensorrt: major and minor version of the oldest TensorRT that must take it.

    Raises:
        ExportError: names every offending node with the reason.
    """
    offenders = list(_offenders(model, tensorrt))
    if offenders:
        raise ExportError(f"TensorRT {tensorrt[0]}.{tensorrt[1]} cannot take this graph: " + "; ".join(offenders),
                          expected="operators and types of export/tensorrt_operators.json, static shapes",
                          remedy="write that part of the recogniser with other operators, or export for a target without TensorRT "
                                 "or with a newer one")


def _offenders(model: onnx.ModelProto, tensorrt: tuple[int, int]) -> Iterator[str]:
    for opset in model.opset_import:
        if opset.domain not in ("", "ai.onnx"):
            yield f"operators of the domain {opset.domain!r}"
        elif opset.version not in _OPSETS:
            yield f"opset {opset.version} (wanted {_OPSETS[0]} or {_OPSETS[1]})"
    for value in (*model.graph.input, *model.graph.output):
        if any(not dimension.HasField("dim_value") for dimension in value.type.tensor_type.shape.dim):
            yield f"{value.name} has a dynamic shape"
    if model.functions:
        yield "functions (they must be inlined)"
    types = value_types(model)
    supported = _table()["operators"]
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in supported:
            yield f"{node.op_type} ({node.name}) is not supported"
        elif node.op_type in _SINCE and tensorrt < _SINCE[node.op_type][0]:
            yield f"{node.op_type} ({node.name}): {_SINCE[node.op_type][1]}"
        elif any(attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for attribute in node.attribute):
            yield f"{node.op_type} ({node.name}) holds a graph of its own"
        else:
            yield from _bad_type(node, types, supported[node.op_type].split())


def _bad_type(node: onnx.NodeProto, types: dict[str, int], allowed: list[str]) -> Iterator[str]:
    # The first input decides; Where and friends have a condition there.
    name = node.input[1 if node.op_type == "Where" else 0] if node.input else ""
    kind = types.get(name)
    # QuantizeLinear's list in the table is what it writes, not what it reads.
    if kind is not None and _TYPES.get(kind) not in allowed and node.op_type not in ("QuantizeLinear", "Cast"):
        yield f"{node.op_type} ({node.name}) reads {_TYPES.get(kind, kind)}, TensorRT takes {' '.join(allowed)}"


def value_types(model: onnx.ModelProto) -> dict[str, int]:
    """The element type (``TensorProto.FLOAT``, ...) of every value and constant."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in inferred.initializer}


def check_quantization(model: onnx.ModelProto) -> None:
    """Refuse Q/DQ that TensorRT does not take or does not fuse.

    Zero points are 0 and int8; activations have one scale, weights one per output channel; weights lie in -127..127;
    no bias is quantised; every quantised convolution reads both its inputs through a DequantizeLinear.

    Raises:
        ExportError: names every violation.
    """
    violations = list(_violations(model))
    if violations:
        raise ExportError("the Q/DQ graph breaks TensorRT's rules: " + "; ".join(violations))


def _violations(model: onnx.ModelProto) -> Iterator[str]:
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    writers = {output: node for node in model.graph.node for output in node.output}
    linear = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    if not linear:
        yield "it holds no QuantizeLinear at all"
    for node in linear:
        if len(node.input) != 3 or any(name not in constants for name in node.input[1:]):
            yield f"{node.name}: scale and zero point must be constants"
            continue
        scale, zero = (numpy_helper.to_array(constants[name]) for name in node.input[1:])
        if zero.dtype != np.int8 or zero.any():
            yield f"{node.name}: zero point {zero.dtype} {zero.ravel()[:3]}"
        if not np.all(np.isfinite(scale)) or np.any(scale <= 0):
            yield f"{node.name}: a scale that is not positive"
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            weight = numpy_helper.to_array(constants[node.input[0]])
            if weight.dtype != np.int8 or weight.min() < -127:
                yield f"{node.name}: weights {weight.dtype} from {weight.min()}"
        elif scale.size != 1:
            yield f"{node.name}: an activation with {scale.size} scales"
        elif node.op_type == "DequantizeLinear" and writers[node.input[0]].op_type != "QuantizeLinear":
            yield f"{node.name}: dequantises what nothing quantised"
    for node in model.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            continue
        sources = [writers[name].op_type if name in writers else "" for name in node.input]
        if sources[:2].count("DequantizeLinear") == 1:
            yield f"{node.name}: only one input is quantised"
        if sources[2:] == ["DequantizeLinear"]:
            yield f"{node.name}: its bias is quantised"
        if sources[1] == "DequantizeLinear" and node.op_type in _WEIGHT_AXIS:
            dequantize = writers[node.input[1]]
            channels = constants[dequantize.input[0]].dims[_WEIGHT_AXIS[node.op_type]]
            if constants[dequantize.input[1]].dims != [channels]:
                yield f"{node.name}: weights without a scale per output channel"
