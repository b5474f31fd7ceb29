"""ONNX Runtime on the processor: runs ``.onnx`` artifacts wherever there is a wheel for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeskel.errors import EngineError
from edgeskel.runtime.engines import State, obstacle
from edgeskel.skeleton import Float32
from edgeskel.window import blank_missing

__all__ = ["OnnxRuntimeEngine"]


class OnnxRuntimeEngine:
    """See :class:`edgeskel.runtime.engines.Engine`."""

    name = "onnxruntime"

    def __init__(self, artifact: Path, manifest: Mapping[str, Any], threads: int | None = None) -> None:
        _no_telemetry()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; a warning about an unused initialiser helps nobody on a device
        if threads is not None:
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
        # One window in between two others: spinning threads would only heat the processor.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(artifact), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base class
            raise EngineError(
                f"{artifact}: ONNX Runtime {onnxruntime.__version__} refuses it ({error})",
                remedy="update onnxruntime, or export anew",
            ) from error
        self._inputs = [tensor.name for tensor in self._session.get_inputs()]

    @staticmethod
    def available() -> str | None:
        """None when this engine runs here, else why not and what to do."""
        _no_telemetry()
        return obstacle("onnxruntime", "pip install onnxruntime")

    def __call__(self, joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
        inputs = {"joints": blank_missing(joints, confidence), "confidence": confidence}
        probabilities, embedding = self._session.run(["probabilities", "embedding"], inputs)
        return probabilities[0], embedding[0]

    def step(self, joints: Float32, confidence: Float32, state: State) -> tuple[Float32, Float32, State]:
        values = (blank_missing(joints, confidence), confidence, *state)
        probabilities, embedding, *after = self._session.run(None, dict(zip(self._inputs, values, strict=True)))
        return probabilities[0], embedding[0], tuple(after)


def _no_telemetry() -> None:
    """Its wheels since 1.32 report their use to their maker unless this is set before the import; a device must not."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
