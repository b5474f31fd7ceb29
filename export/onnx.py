"""The deployable graph as ONNX.

Opset 18, static shapes, constants folded. The graph has two parts: the preprocessing, from the inputs to the streams,
which stays in fp32 in every precision, and the network behind it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import onnxsim
import torch
from onnx import TensorProto, helper

from edgeskel.errors import ExportError
from edgeskel.transforms import Streams
from export.artifact_kinds import OLDEST_TENSORRT
from export.graph import INPUTS, OUTPUTS, DeployableGraph, StepGraph, export_program
from export.library_output import suppress_library_output
from export.operators import check_operators

__all__ = ["OnnxGraph", "annotate", "export_onnx", "export_step", "preprocessing"]

OPSET = 18


@dataclass(frozen=True)
class OnnxGraph:
    """An ONNX model and where its preprocessing ends.

    Args:
        model: fp32.
        boundary: the values that the preprocessing hands to the network (the streams and who is present).
        floating: the values made by layers that int8 leaves in floating point.
        tensorrt: the oldest TensorRT that must take the model in every precision; None where the target has none.
    """

    model: onnx.ModelProto
    boundary: tuple[str, ...]
    tensorrt: tuple[int, int] | None = OLDEST_TENSORRT
    floating: frozenset[str] = frozenset()


def export_onnx(graph: DeployableGraph, metadata: Mapping[str, Any],
                tensorrt: tuple[int, int] | None = OLDEST_TENSORRT) -> OnnxGraph:
    """Export, simplify and check.

    Args:
        graph: what to export.
        metadata: mirrored into ``metadata_props``, so that a lone file still says what it is.
        tensorrt: the oldest TensorRT that must take it (major, minor); None where the target has none.

    Raises:
        ExportError: the exporter or the simplifier failed, or TensorRT would not take the result.
    """
    model = _translate(graph, INPUTS, OUTPUTS)
    boundary = _boundary(model, [name for name, module in graph.named_modules() if isinstance(module, Streams)])
    floating: set[str] = set().union(*(_made_inside(model, name) for name in graph.floating))
    return OnnxGraph(_finish(model, boundary, metadata, tensorrt), boundary, tensorrt, frozenset(floating))


def export_step(graph: StepGraph, metadata: Mapping[str, Any],
                tensorrt: tuple[int, int] | None = OLDEST_TENSORRT) -> onnx.ModelProto:
    """The step form in fp32, its state as inputs ``state_0``, ... and outputs ``next_state_0``, ...; else as
    :func:`export_onnx`."""
    return _finish(_translate(graph, graph.inputs, graph.outputs), (), metadata, tensorrt)


def _translate(graph: DeployableGraph | StepGraph, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
    try:
        with suppress_library_output():
            program = torch.onnx.export(export_program(graph), (), dynamo=True, opset_version=OPSET, verbose=False,
                                        input_names=inputs, output_names=outputs)
    except torch.onnx.OnnxExporterError as error:
        raise ExportError(f"torch.onnx cannot export {graph.recogniser.name!r}: {error}") from error
    assert program is not None
    return program.model_proto


def _finish(model: onnx.ModelProto, boundary: Iterable[str], metadata: Mapping[str, Any],
            tensorrt: tuple[int, int] | None) -> onnx.ModelProto:
    model = _simplify(model, boundary)
    annotate(model, metadata)
    if tensorrt is not None:
        check_operators(model, tensorrt)
    onnx.checker.check_model(model, full_check=True)
    return model


def annotate(model: onnx.ModelProto, metadata: Mapping[str, Any]) -> None:
    """Write ``metadata`` into the model; what is not text becomes JSON."""
    del model.metadata_props[:]
    helper.set_model_props(
        model, {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    )
    model.producer_name = "edgeskel"


def _boundary(model: onnx.ModelProto, streams: Iterable[str]) -> tuple[str, ...]:
    """Values that leave the modules ``streams``."""
    inside = set[str]().union(*(_made_inside(model, name) for name in streams))
    left = [name for node in model.graph.node if not inside.intersection(node.output)
            for name in node.input if name in inside]
    if not left:
        raise ExportError("the exported graph does not say where the streams end",
                          remedy="this version of torch.onnx writes no scopes; install the one that the extra names")
    return tuple(dict.fromkeys(left))


def _made_inside(model: onnx.ModelProto, module: str) -> set[str]:
    """Values that nodes of a module of the recogniser make."""
    made: set[str] = set()
    for node in model.graph.node:
        scopes = next((p.value for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"), "")
        if f"'{module}'" in scopes:
            made.update(node.output)
    return made


def _simplify(model: onnx.ModelProto, boundary: Iterable[str]) -> onnx.ModelProto:
    """Fold constants. The boundary is an output meanwhile, so that no folding can cross it."""
    outputs = len(model.graph.output)
    for name in boundary:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    simplified, same = onnxsim.simplify(onnx.shape_inference.infer_shapes(model))
    if not same:
        raise ExportError("the simplified graph computes something else", remedy="install another version of onnxsim")
    del simplified.graph.output[outputs:]
    for node in simplified.graph.node:
        del node.metadata_props[:]  # stack traces of the machine that exported it
        node.doc_string = ""
    del simplified.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(simplified)


def preprocessing(model: onnx.ModelProto, boundary: Iterable[str]) -> set[int]:
    """Indices of the nodes that lead to ``boundary``."""
    writers = {output: index for index, node in enumerate(model.graph.node) for output in node.output}
    found: set[int] = set()
    waiting = [writers[name] for name in boundary]
    while waiting:
        index = waiting.pop()
        if index not in found:
            found.add(index)
            waiting += [writers[name] for name in model.graph.node[index].input if name in writers]
    return found
