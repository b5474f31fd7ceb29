"""The strongly typed fp16 form of an ONNX graph, for TensorRT 11, which has no FP16 flag.

Preprocessing and the final softmax stay fp32: squared metres and epsilons do not fit fp16. Inputs and outputs stay
fp32 as well, so that an app feeds every precision the same. Cast nodes stand where the type changes.
"""

from __future__ import annotations

import copy

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeskel.errors import ExportError
from export.onnx import OnnxGraph, preprocessing
from export.operators import check_operators, value_types

__all__ = ["to_fp16"]

_SMALLEST = 6.103515625e-05  # the smallest normal fp16: engines flush what is below, and an epsilon must not vanish
_LARGEST = 65504.0


def to_fp16(network: OnnxGraph) -> onnx.ModelProto:
    """``network`` with fp16 weights and arithmetic behind its preprocessing.

    Raises:
        ExportError: a weight does not fit fp16, or TensorRT would not take the result.
    """
    model = copy.deepcopy(network.model)
    first = preprocessing(model, network.boundary)
    nodes = list(model.graph.node)
    before = [node for index, node in enumerate(nodes) if index in first]
    behind = [node for index, node in enumerate(nodes) if index not in first]
    converter = _Converter(model, {name for node in before for name in node.output})
    for node in behind:
        converter.add(node)
    converter.restore_outputs()
    del model.graph.node[:]
    model.graph.node.extend(before + converter.nodes)
    used = {name for node in model.graph.node for name in node.input}
    constants = [tensor for tensor in (*model.graph.initializer, *converter.constants) if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(constants)
    del model.graph.value_info[:]
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    if network.tensorrt is not None:
        check_operators(model, network.tensorrt)
    onnx.checker.check_model(model, full_check=True)
    return model


class _Converter:
    """Rewrites the network node by node; a value that changes its type gets the suffix of the new one."""

    def __init__(self, model: onnx.ModelProto, given: set[str]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []
        self.floats = {name for name, kind in value_types(model).items() if kind == TensorProto.FLOAT}
        self.given = given | {value.name for value in model.graph.input}
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.outputs = [value.name for value in model.graph.output]
        self.made: set[str] = set()

    def add(self, node: onnx.NodeProto) -> None:
        if node.op_type == "Softmax":
            node.input[0] = self._cast(self._to_fp16(node.input[0]), node.input[0] + "_fp32", TensorProto.FLOAT)
            self.nodes.append(node)
            self.made.update(node.output)
            return
        node.input[:] = [self._to_fp16(name) for name in node.input]
        node.output[:] = [name + "_fp16" if name in self.floats else name for name in node.output]
        self.nodes.append(node)
        self.made.update(node.output)

    def restore_outputs(self) -> None:
        for name in self.outputs:
            if name not in self.made and name not in self.given:
                self._cast(name + "_fp16", name, TensorProto.FLOAT)

    def _to_fp16(self, name: str) -> str:
        if name not in self.floats:
            return name  # shapes, indices, conditions
        converted = name + "_fp16"
        if converted not in self.made:
            if name in self.weights:
                self.constants.append(_fp16_constant(self.weights[name], converted))
                self.made.add(converted)
            else:  # handed over by the preprocessing, or softmax's output
                self._cast(name, converted, TensorProto.FLOAT16)
        return converted

    def _cast(self, source: str, result: str, kind: int) -> str:
        if result not in self.made:
            self.nodes.append(helper.make_node("Cast", [source], [result], to=kind, name=f"cast_{result}"))
            self.made.add(result)
        return result


def _fp16_constant(tensor: TensorProto, name: str) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    if np.abs(values).max(initial=0) > _LARGEST:
        raise ExportError(f"{tensor.name} holds {np.abs(values).max():.3g}", expected=f"at most {_LARGEST} in fp16")
    tiny = (values != 0) & (np.abs(values) < _SMALLEST)
    if values.ndim == 0 or values.size == 1:  # an epsilon; small weights may round
        values = np.where(tiny, np.copysign(_SMALLEST, values), values)
    return numpy_helper.from_array(values.astype(np.float16), name)
