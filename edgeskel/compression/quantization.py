"""Int8 after training, calibrated with recorded clips, for ExecuTorch's XNNPACK delegate.

Weights have one scale per output channel; activations one scale and zero point per tensor, from the range of the values
that the calibration clips produce there. Only the network is quantised: preprocessing measures metres and stays in
float32. (The TensorRT artifact has rules of its own, zero points 0 above all, and gets its Q/DQ in
``export.qdq``, from the same clips.)

Axes: M persons, S frames of the window, V joints.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, fx, nn

from edgeskel.errors import InvalidClip, MissingExtra, UsageError
from edgeskel.skeleton import Float32
from edgeskel.transforms import Streams
from edgeskel.window import blank_missing

__all__ = ["quantize"]

Window: TypeAlias = "tuple[Tensor, Tensor] | tuple[Float32, Float32]"


def quantize(graph: nn.Module, calibration: Iterable[Window], floating: Iterable[str] = ()) -> fx.GraphModule:
    """Quantise a deployable graph for XNNPACK.

    Args:
        graph: evaluation mode, BatchNorm folded, static shapes: ``export.graph.DeployableGraph``.
        calibration: windows of recorded clips: joints (1, M, S, V, 3) metres and confidence (1, M, S, V).
        floating: names of modules of ``graph`` that stay in floating point.

    Returns:
        The graph with quantise and dequantise operators, for ``torch.export.export`` with the same inputs.

    Raises:
        UsageError: no calibration clip, or none in which anything was seen. Noise would give scales that fit no
            recording, so there is no default.
        InvalidClip: a clip with values that are not finite where its confidence is above 0.
        MissingExtra: torchao or ExecuTorch is not installed.
    """
    windows = [_checked(index, joints, confidence) for index, (joints, confidence) in enumerate(calibration)]
    if not any(bool(confidence.any()) for _, confidence in windows):
        raise UsageError(f"int8 has {len(windows)} calibration clips" + (", all of them empty" if windows else ""),
                         expected="recorded clips of the training part", remedy="give --calibration STORE")
    preprocessing = tuple(name for name, module in graph.named_modules() if isinstance(module, Streams))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # both packages' notes about their own upkeep
        quantizer, prepare, convert = _tools(_Network(preprocessing, tuple(floating)))
        program = torch.export.export(graph.eval(), windows[0], strict=False)
        prepared = prepare(program.module(), quantizer)
        for window in windows:
            prepared(*window)
        converted: fx.GraphModule = convert(prepared)
    return converted


def _tools(network: Callable[[fx.Node], bool]) -> tuple[Any, Any, Any]:
    """The quantizer, restricted to ``network``, and torchao's two steps."""
    try:
        from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    except ImportError as error:
        raise MissingExtra((error.name or "executorch").partition(".")[0], "export-mobile", "int8 for XNNPACK") from error

    class NetworkQuantizer(xnnpack.XNNPACKQuantizer):  # type: ignore[misc]
        """Its filter function misses concatenations."""

        def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
            annotated: fx.GraphModule = super().annotate(model)
            for node in annotated.graph.nodes:
                if not network(node):
                    node.meta.pop("quantization_annotation", None)
            return annotated

    quantizer = NetworkQuantizer().set_global(xnnpack.get_symmetric_quantization_config(is_per_channel=True))
    return quantizer.set_filter_function(network), prepare_pt2e, convert_pt2e


def _checked(index: int, joints: Any, confidence: Any) -> tuple[Tensor, Tensor]:
    joints, confidence = np.asarray(joints), np.asarray(confidence)
    broken = int((~np.isfinite(joints).all(-1) & (confidence > 0)).sum())
    if broken:
        raise InvalidClip(f"calibration clip {index}: {broken} non-finite joints",
                          expected="finite metres wherever confidence is above 0",
                          remedy="set the confidence of a missing joint to 0")
    return torch.from_numpy(blank_missing(joints, confidence)), torch.from_numpy(confidence)


class _Network:
    """Tells the nodes of the network: its first weighted layer and all that depends on one.

    What comes before (preprocessing, and a scale and shift that bring its channels to one size) stays in float32: one
    scale for positions and velocities alike would round the velocities away.
    """

    def __init__(self, preprocessing: tuple[str, ...], floating: tuple[str, ...]) -> None:
        self.preprocessing, self.floating = preprocessing, floating
        self.known: dict[fx.Node, bool] = {}

    def __call__(self, node: fx.Node) -> bool:
        if node not in self.known:
            for one in node.graph.nodes:  # in order: inputs come before their users
                layer = one.target in _LAYERS and not _inside(one, self.preprocessing)
                self.known[one] = layer or any(self.known[before] for before in one.all_input_nodes)
        if _inside(node, self.floating):
            return False
        return self.known[node] or (node.op == "get_attr" and all(self.known[user] for user in node.users))


_LAYERS = (torch.ops.aten.conv2d.default, torch.ops.aten.linear.default)


def _inside(node: fx.Node, modules: tuple[str, ...]) -> bool:
    """Whether a node of an exported graph came from one of ``modules`` (or one inside it)."""
    stack = (path for path, _ in node.meta.get("nn_module_stack", {}).values())
    return any(path == module or path.startswith(f"{module}.") for path in stack for module in modules)
