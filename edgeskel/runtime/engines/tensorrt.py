"""TensorRT 10 and 11: runs ``.onnx`` artifacts on a Jetson, as an engine that is built there.

Needs JetPack's own ``tensorrt`` bindings and the CUDA runtime library, nothing else. The engine is built once, by the
program that travels in the bundle (``build_engine.py``), and kept in a cache beside it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np

from edgeskel.errors import BundleError, EngineError
from edgeskel.runtime.bundle import file_digest
from edgeskel.runtime.engines import State
from edgeskel.skeleton import Float32
from edgeskel.window import blank_missing

__all__ = ["TensorRTEngine", "built_engine"]

_PROGRAM = "build_engine.py"


class TensorRTEngine:
    """See :class:`edgeskel.runtime.engines.Engine`. ``threads`` means nothing here: the work is on the GPU."""

    name = "tensorrt"

    def __init__(self, artifact: Path, manifest: Mapping[str, Any], threads: int | None = None) -> None:
        import tensorrt as trt

        from edgeskel.runtime.engines._cuda import CudaStream, PairedBuffer

        path = built_engine(artifact, manifest)
        self._logger = trt.Logger(trt.Logger.WARNING)
        self._runtime = trt.Runtime(self._logger)  # must outlive the engine
        engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise EngineError(
                f"{path}: TensorRT {trt.__version__} does not load it",
                expected="an engine built here",
                remedy=f"delete {path} and start again: it is then built anew",
            )
        self._engine = engine
        self._context = engine.create_execution_context()
        self._stream = CudaStream()
        self._buffers: dict[str, PairedBuffer] = {}
        for index in range(engine.num_io_tensors):
            tensor = engine.get_tensor_name(index)
            buffer = PairedBuffer(
                tuple(engine.get_tensor_shape(tensor)), np.dtype(trt.nptype(engine.get_tensor_dtype(tensor)))
            )
            self._buffers[tensor] = buffer
            self._context.set_tensor_address(tensor, buffer.device)
        names = list(self._buffers)
        self._states = sorted((name for name in names if name.startswith("state_")), key=lambda name: int(name[6:]))

    @staticmethod
    def available() -> str | None:
        """None when this engine runs here, else why not and what to do."""
        if find_spec("tensorrt") is None:
            return (
                "the tensorrt bindings are not installed; on a Jetson: sudo apt install nvidia-jetpack, and make the "
                "environment with --system-site-packages; on an x86 GPU: pip install 'edgeskel[tensorrt]'"
            )
        from edgeskel.runtime.engines._cuda import device_count

        try:
            import tensorrt  # noqa: F401  (its libraries may be missing although the bindings are there)

            count = device_count()
        except Exception as error:  # whatever a damaged package fails with
            return f"tensorrt is installed but does not run here: {error}"
        return None if count else "no CUDA device answers"

    def __call__(self, joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
        probabilities, embedding = self._run(
            {"joints": blank_missing(joints, confidence), "confidence": confidence}, ("probabilities", "embedding"))
        return probabilities[0], embedding[0]

    def step(self, joints: Float32, confidence: Float32, state: State) -> tuple[Float32, Float32, State]:
        inputs = {"joints": blank_missing(joints, confidence), "confidence": confidence,
                  **dict(zip(self._states, state, strict=True))}
        outputs = ("probabilities", "embedding", *(f"next_{name}" for name in self._states))
        probabilities, embedding, *after = self._run(inputs, outputs)
        return probabilities[0], embedding[0], tuple(after)

    def _run(self, inputs: Mapping[str, Float32], outputs: Sequence[str]) -> list[Float32]:
        buffers, stream = self._buffers, self._stream
        for name, values in inputs.items():
            buffers[name].host[...] = values
            buffers[name].upload(stream)
        if not self._context.execute_async_v3(stream.handle):
            raise EngineError("TensorRT failed while running", remedy="its log above says where")
        for name in outputs:
            buffers[name].download(stream)
        stream.synchronize()
        return [np.array(buffers[name].host, np.float32) for name in outputs]


def built_engine(artifact: Path, manifest: Mapping[str, Any]) -> Path:
    """The cached engine of ``artifact``; built by the bundle's own program when there is none for this TensorRT.

    Raises:
        BundleError: the program is absent or altered.
        EngineError: TensorRT builds none.
    """
    program = artifact.parent / _PROGRAM
    if not program.is_file() or file_digest(program) != manifest["files"].get(_PROGRAM):
        raise BundleError(
            f"{program}: absent or altered",
            expected="the program that builds engines, as the manifest lists it",
            remedy="export again with: edgeskel export MODEL --target jetson --out DIR",
        )
    precision = next(entry["precision"] for entry in manifest["artifacts"] if entry["file"] == artifact.name)
    spec = spec_from_file_location("edgeskel_build_engine", program)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        return Path(module.engine_for(artifact, precision, _cache(artifact.parent)))
    except module.BuildError as error:
        raise EngineError(
            f"{artifact}: TensorRT builds no engine of it ({error})",
            expected="one of the versions that the program was written for: 10.3 to 11",
            remedy=f"run it alone to see its log: python3 {program}",
        ) from error


def _cache(bundle: Path) -> Path:
    """``EDGESKEL_ENGINES``; else beside the artifacts, or in the user's cache where the bundle is read-only."""
    if place := os.environ.get("EDGESKEL_ENGINES"):
        return Path(place)
    if os.access(bundle, os.W_OK):
        return bundle / "engines"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edgeskel" / "engines"
