"""What calibration found, kept beside the weights: int8 without the recordings.

Recordings stay with who owns them; the ranges that a recogniser's activations took on them are a few hundred numbers.
``quantization.json`` holds them, bound to the very weights by digest. Every export that calibrates writes one into
``checkpoint/`` of its bundle; beside shipped weights it lets a fresh install export int8.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import fx

from edgeskel.errors import CorruptFile, ExportError
from edgeskel.models import Recogniser

__all__ = ["FILE", "Ranges", "apply_scales", "read_scales", "weights_digest"]

FILE = "quantization.json"


class Ranges:
    """Recorded ranges of one recogniser.

    Args:
        weights: :func:`weights_digest` of the recogniser.
        calibration: origin, clips and digests of the clips, as a manifest quotes them.
        onnx: largest absolute value of each quantised activation, in graph order.
        xnnpack: (scale, zero point) of each quantise operator, in graph order.
    """

    weights: str
    calibration: dict[str, Any]
    onnx: list[float] | None
    xnnpack: list[tuple[float, int]] | None

    def __init__(self, weights: str, calibration: Mapping[str, Any], onnx: list[float] | None = None,
                 xnnpack: list[tuple[float, int]] | None = None) -> None:
        self.weights, self.calibration, self.onnx, self.xnnpack = weights, dict(calibration), onnx, xnnpack

    @classmethod
    def read(cls, folder: Path) -> Ranges | None:
        """Of a checkpoint's folder; None where there are none.

        Raises:
            CorruptFile: the file is not what it should be.
        """
        path = folder / FILE
        try:
            data = json.loads(path.read_text("utf-8"))
            onnx = data.get("onnx")
            xnnpack = data.get("xnnpack")
            return cls(str(data["weights"]), data["calibration"], None if onnx is None else [float(value) for value in onnx],
                       None if xnnpack is None else [(float(scale), int(zero)) for scale, zero in xnnpack])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptFile(path, f"not recorded ranges ({error!r})", expected=f"a {FILE} as an export writes it",
                              remedy="delete it, or calibrate anew with --calibration STORE") from error

    def to_json(self) -> str:
        """For the file."""
        data = {"weights": self.weights, "calibration": self.calibration, "onnx": self.onnx, "xnnpack": self.xnnpack}
        return json.dumps({key: value for key, value in data.items() if value is not None}, indent=1) + "\n"


def weights_digest(model: Recogniser) -> str:
    """SHA-256 over all weights by the names of a checkpoint, as float32."""
    digest = hashlib.sha256()
    for name, value in sorted(model.weights().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def read_scales(quantized: fx.GraphModule) -> list[tuple[float, int]]:
    """(scale, zero point) of every per-tensor quantise operator, in graph order."""
    return [(float(node.args[1]), int(node.args[2])) for node in _operators(quantized, "quantize_per_tensor")]  # type: ignore[arg-type]


def apply_scales(quantized: fx.GraphModule, scales: list[tuple[float, int]]) -> None:
    """Put recorded scales in the place of those that ``quantized`` has.

    Raises:
        ExportError: another number of them: the recogniser or the quantiser has changed since.
    """
    quantizers = _operators(quantized, "quantize_per_tensor")
    if len(quantizers) != len(scales):
        raise ExportError(f"{FILE} holds {len(scales)} scales", expected=f"{len(quantizers)} for this graph",
                          remedy="calibrate anew with --calibration STORE")
    for node, (scale, zero) in zip(quantizers, scales, strict=True):
        for place in (node, *(user for user in node.users if "dequantize_per_tensor" in str(user.target))):
            place.args = (place.args[0], scale, zero, *place.args[3:])
    quantized.recompile()


def _operators(module: fx.GraphModule, name: str) -> list[torch.fx.Node]:
    return [node for node in module.graph.nodes
            if node.op == "call_function" and str(node.target).split(".")[-2 if "." in str(node.target) else 0] == name]
