"""Whether the int8 layers of a graph can overflow on x86-64 processors without VNNI: by arithmetic on the weights, on no processor.

Their instruction (``vpmaddubsw``) multiplies unsigned 8-bit activations by signed 8-bit weights, adds neighbouring products in
16 bits and saturates. Which products are neighbours depends on the kernel, so any two weights of an output channel count, and an
activation counts as 255: signed ones are moved to 0..255 before.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

__all__ = ["REDUCED", "saturating_layers"]

_ACTIVATION, _SUM = 255, 32767
REDUCED = _SUM // (2 * _ACTIVATION)
"""Largest weight of which no two products can overflow: 64."""


def saturating_layers(model: onnx.ModelProto) -> list[str]:
    """Names of the layers that read int8 weights of which two products can leave 16 bits. A convolution with one weight for each
    output (a depthwise one of a single tap) has no two."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = {node.output[0]: numpy_helper.to_array(constants[node.input[0]]) for node in model.graph.node
               if node.op_type == "DequantizeLinear" and node.input[0] in constants}
    found = []
    for node in model.graph.node:
        for name in node.input[1:2]:
            if name in weights and _largest_pair(node, weights[name]) * _ACTIVATION > _SUM:
                found.append(node.name)
    return found


def _largest_pair(node: onnx.NodeProto, weight: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> int:
    """The largest sum of two weights of one sign that one output adds up."""
    transposed = node.op_type == "Conv" or any(a.name == "transB" and a.i for a in node.attribute)
    rows = weight.reshape(len(weight), -1) if transposed else weight.reshape(-1, weight.shape[-1]).T
    if node.op_type == "ConvTranspose":  # (inputs, outputs, ...): every input of every tap may meet
        rows = weight.reshape(1, -1)
    if rows.shape[1] < 2:
        return 0
    ordered = np.sort(rows.astype(np.int32), axis=1)
    return int(max(ordered[:, -2:].sum(1).max(), -ordered[:, :2].sum(1).min()))
