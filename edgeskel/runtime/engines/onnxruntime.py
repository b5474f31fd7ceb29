"""ONNX Runtime on the processor: runs ``.onnx`` artifacts wherever there is a wheel for it.

Int8 files are computed in float32, exactly as their QuantizeLinear and DequantizeLinear say: the same answers on every
processor. ONNX Runtime's own int8 kernels are not used, because

* on x86-64 processors without VNNI they add pairs of products in 16 bits, which overflow: the answers are wrong
  (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, "when to use reduce-range");
* ``session.x64quantprecision``, which would compute them exactly, does not load some of the graphs (1.32), and some kernels
  refuse the graphs' weights when they run;
* they gain nothing here: in ``edge`` they take 6 % of the time of the graph that they are in, which takes 1.8 times as long
  as this way, so that even kernels that take no time would be slower (measured on Zen 3, one thread).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeskel.errors import EngineError
from edgeskel.runtime.engines import State, obstacle
from edgeskel.runtime.engines._remarks import remarks_kept
from edgeskel.skeleton import Float32
from edgeskel.window import blank_missing

__all__ = ["OnnxRuntimeEngine"]


class OnnxRuntimeEngine:
    """See :class:`edgeskel.runtime.engines.Engine`.

    Args:
        integer_kernels: with ONNX Runtime's own int8 kernels, right or wrong: for saying what they would answer here.
    """

    name = "onnxruntime"

    def __init__(self, artifact: Path, manifest: Mapping[str, Any], threads: int | None = None, *,
                 integer_kernels: bool = False) -> None:
        _no_telemetry()
        with remarks_kept():
            import onnxruntime
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised; its own remarks on the terminal help nobody
        if threads is not None:
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
        if not integer_kernels:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        # One window in between two others: spinning threads would only heat the processor.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            with remarks_kept():
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
        probabilities, embedding = self._run(["probabilities", "embedding"], inputs)
        return probabilities[0], embedding[0]

    def step(self, joints: Float32, confidence: Float32, state: State) -> tuple[Float32, Float32, State]:
        values = (blank_missing(joints, confidence), confidence, *state)
        probabilities, embedding, *after = self._run(None, dict(zip(self._inputs, values, strict=True)))
        return probabilities[0], embedding[0], tuple(after)

    def _run(self, outputs: list[str] | None, inputs: Mapping[str, Float32]) -> list[Float32]:
        try:
            found: list[Float32] = self._session.run(outputs, inputs)
        except Exception as error:  # its exceptions share no base class
            raise EngineError(f"ONNX Runtime failed while running ({error})",
                              remedy="update onnxruntime, or export anew") from error
        return found


def _no_telemetry() -> None:
    """Its wheels since 1.32 report their use to their maker unless this is set before the import; a device must not."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
