"""ExecuTorch: runs ``.pte`` artifacts, the same files that Android and iOS load.

On a phone its C++ runtime needs nothing else. Its Python bindings take and give torch tensors and load libtorch, so on
a Linux box this engine needs torch beside it; where that is too much, ONNX Runtime runs the same graph.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from edgeskel.errors import EngineError
from edgeskel.runtime.engines import State, obstacle
from edgeskel.skeleton import Float32
from edgeskel.window import blank_missing

__all__ = ["ExecuTorchEngine"]


@contextmanager
def _stderr_into(file: IO[bytes]) -> Iterator[None]:
    """The library tells stderr about processors that it fails to ask for their names, and has no switch for it."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class ExecuTorchEngine:
    """See :class:`edgeskel.runtime.engines.Engine`. ``threads`` holds for the whole process: there is one pool."""

    name = "executorch"

    def __init__(self, artifact: Path, manifest: Mapping[str, Any], threads: int | None = None) -> None:
        import torch  # loads the libraries that the bindings need

        # The bindings themselves: portable_lib, which only passes them on, imports the whole exporter (3 s, 140 MB).
        from executorch.extension.pybindings import _portable_lib

        with TemporaryFile() as said:
            try:
                with _stderr_into(said):
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
            outputs = self._module.forward([self._tensor(value) for value in values])
        except RuntimeError as error:
            raise EngineError(f"ExecuTorch failed while running ({error})") from error
        return [output.numpy().copy() for output in outputs]  # the runtime writes over its outputs in the next run
