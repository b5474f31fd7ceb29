"""The deployable graph as ``.pte`` files for ExecuTorch: XNNPACK for every phone and board, Core ML for Apple's.

What an app needs to know (labels, window, topology, hop, version) is inside the file as constant methods: each returns
its value without running the network.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram

from edgeskel.errors import ExportError
from export.graph import DeployableGraph, export_program
from export.library_output import suppress_library_output

__all__ = ["LoweredProgram", "coreml_obstacle", "lower_coreml", "lower_xnnpack"]


@dataclass(frozen=True)
class LoweredProgram:
    """One ``.pte``.

    Args:
        content: the file.
        undelegated: operator -> how often it stays outside the delegate and runs in ExecuTorch's portable kernels.
        delegates: how many pieces the delegate took.
    """

    content: bytes
    undelegated: dict[str, int]
    delegates: int


def lower_xnnpack(program: ExportedProgram, metadata: Mapping[str, Any]) -> LoweredProgram:
    """Lower a traced graph (fp32, or int8 as ``compression.quantization`` leaves it) to XNNPACK."""
    with suppress_library_output():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return _lower(program, metadata, XnnpackPartitioner())


def lower_coreml(graph: DeployableGraph, metadata: Mapping[str, Any]) -> LoweredProgram:
    """Lower to Core ML, in fp32: the preprocessing's squares and epsilons do not fit the fp16 of the neural engine.

    Raises:
        ExportError: the converter does not run here; the message says why.
    """
    obstacle = coreml_obstacle()
    if obstacle:
        raise ExportError(f"no Core ML artifact: {obstacle}", remedy="export on macOS, or use the XNNPACK artifacts on iOS")
    try:
        with suppress_library_output():
            import coremltools as ct
            from executorch.backends.apple.coreml.compiler import CoreMLBackend
            from executorch.backends.apple.coreml.partition import CoreMLPartitioner

            specs = CoreMLBackend.generate_compile_specs(
                compute_precision=ct.precision.FLOAT32, minimum_deployment_target=ct.target.iOS17
            )
        return _lower(export_program(graph), metadata, CoreMLPartitioner(compile_specs=specs))
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(f"the Core ML converter failed: {type(error).__name__}: {error}",
                          remedy="use the XNNPACK artifacts on iOS") from error


def coreml_obstacle() -> str:
    """Why Core ML artifacts cannot be made here; "" when they can."""
    try:
        with suppress_library_output():
            import coremltools.libmodelpackage  # noqa: F401
            import executorch.backends.apple.coreml.executorchcoreml  # noqa: F401
    except (ImportError, OSError) as error:
        return f"the Core ML converter does not run on {sys.platform}: {error}"
    return ""


def _lower(program: ExportedProgram, metadata: Mapping[str, Any], partitioner: Any) -> LoweredProgram:
    methods = {key: json.dumps(value) if isinstance(value, (list, tuple, dict)) else value for key, value in metadata.items()}
    with suppress_library_output():
        from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

        edge = to_edge_transform_and_lower(program, partitioner=[partitioner], constant_methods=methods,
                                           compile_config=EdgeCompileConfig(_check_ir_validity=False))
        nodes = [node for node in edge.exported_program().graph.nodes if node.op == "call_function"]
        content = bytes(edge.to_executorch().buffer)
    outside = Counter(name for node in nodes if (name := _operator(node)) not in ("getitem", "delegate"))
    return LoweredProgram(content, dict(outside.most_common()), sum(_operator(node) == "delegate" for node in nodes))


def _operator(node: torch.fx.Node) -> str:
    named = getattr(node.target, "name", None)
    name = str(named() if callable(named) else node.target)
    if "call_delegate" in name:
        return "delegate"
    return "getitem" if "getitem" in name else name
