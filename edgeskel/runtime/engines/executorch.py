"""ExecuTorch: runs ``.pte`` artifacts, the same files that Android and iOS load.

On a phone its C++ runtime needs nothing else. Its Python bindings take and give torch tensors and load libtorch, so on
a Linux box this engine needs torch beside it; where that is too much, ONNX Runtime runs the same graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from edgeskel.errors import EngineError
from edgeskel.runtime.engines import State, obstacle
from edgeskel.runtime.engines._remarks import remarks_kept
from edgeskel.skeleton import Float32
from edgeskel.window import blank_missing

__all__ = ["ExecuTorchEngine"]


class ExecuTorchEngine:
    """See :class:`edgeskel.runtime.engines.Engine`. ``threads`` holds for the whole process: there is one pool."""

    name = "executorch"

    def __init__(self, artifact: Path, manifest: Mapping[str, Any], threads: int | None = None) -> None:
        with remarks_kept() as said:
            import torch  # loads the libraries that the bindings need

            # The bindings themselves: portable_lib, which only passes them on, imports the whole exporter (3 s, 140 MB).
            from executorch.extension.pybindings import _portable_lib

            try:
                if threads is not None:
                    _portable_lib._unsafe_reset_threadpool(threads)
                self._module = _portable_lib._load_for_executorch(str(artifact))
            except RuntimeError as error:
                said.seek(0)
                raise EngineError(
                    f"{artifact}: ExecuTorch refuses it ({error}): {said.read().decode(errors='replace').strip()[-300:]}",
                    expected="a file for this version of the runtime, with backends that it has",
                    remedy="install the version that wrote it (see manifest.json), or export anew",
                ) from error
        self._new = True
        self._tensor = torch.from_numpy

    @staticmethod
    def available() -> str | None:
        """None when this engine runs here, else why not and what to do."""
        install = "pip install 'edgeskel[export-mobile]'"
        return obstacle("torch", install) or obstacle("executorch.extension.pybindings._portable_lib", install)

    def __call__(self, joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
        probabilities, embedding, *_ = self._run(joints, confidence)
        return probabilities[0], embedding[0]

    def step(self, joints: Float32, confidence: Float32, state: State) -> tuple[Float32, Float32, State]:
        probabilities, embedding, *after = self._run(joints, confidence, *state)
        return probabilities[0], embedding[0], tuple(after)

    def _run(self, joints: Float32, *others: Float32) -> list[Float32]:
        values = (blank_missing(joints, others[0]), *others)
        try:
            with remarks_kept() if self._new else nullcontext():  # the method is loaded by its first run
                outputs = self._module.forward([self._tensor(value) for value in values])
        except RuntimeError as error:
            raise EngineError(f"ExecuTorch failed while running ({error})") from error
        self._new = False
        return [output.numpy().copy() for output in outputs]  # the runtime writes over its outputs in the next run
