"""The kinds of artifact that an export can make, by the names that device profiles use. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KINDS", "OLDEST_TENSORRT", "PROGRAMS", "ArtifactKind"]


@dataclass(frozen=True)
class ArtifactKind:
    """One kind of artifact."""

    file: str
    format: str
    precision: str
    engines: tuple[str, ...]
    form: str = "clip"
    """clip takes whole windows; step takes the next frames and the state, and is made of causal recognisers only."""


KINDS = {
    "onnx-fp32": ArtifactKind("model.onnx", "onnx", "fp32", ("onnxruntime", "tensorrt")),
    "onnx-fp16": ArtifactKind("model.fp16.onnx", "onnx", "fp16", ("tensorrt", "onnxruntime")),
    "onnx-int8": ArtifactKind("model.int8.onnx", "onnx", "int8", ("tensorrt", "onnxruntime")),
    "xnnpack-fp32": ArtifactKind("model.pte", "pte", "fp32", ("executorch",)),
    "xnnpack-int8": ArtifactKind("model.int8.pte", "pte", "int8", ("executorch",)),
    "coreml-fp32": ArtifactKind("model.coreml.pte", "pte", "fp32", ("coreml",)),
    "onnx-step": ArtifactKind("model.step.onnx", "onnx", "fp32", ("onnxruntime", "tensorrt"), "step"),
    "xnnpack-step": ArtifactKind("model.step.pte", "pte", "fp32", ("executorch",), "step"),
}

PROGRAMS = {"build_engine.py": "tensorrt.py"}
"""Programs of ours that can travel in a bundle -> their file beside this one."""

OLDEST_TENSORRT = (10, 3)
"""The TensorRT of JetPack 6, the oldest that ``build_engine.py`` serves: major and minor version."""
