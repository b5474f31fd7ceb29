"""What executes an artifact: one engine per file, imported when it is used.

An engine is made from an artifact and called with one window; it answers with probabilities and the embedding. A new
engine is one new file and one line in :data:`ENGINES`.

Axes: M persons, S frames of the window, V joints, K classes, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from edgeskel.errors import UnknownChoice
from edgeskel.skeleton import Float32

__all__ = ["ENGINES", "Engine", "available", "get"]


class Engine(Protocol):
    """An artifact that is loaded and ready."""

    name: str

    def __init__(self, artifact: Path, manifest: Mapping[str, Any], threads: int | None = None) -> None:
        """Load ``artifact``.

        Args:
            artifact: the file, already verified.
            manifest: of its bundle.
            threads: processor threads; None leaves it to the engine.

        Raises:
            EngineError: the engine refuses the artifact.
        """

    @staticmethod
    def available() -> str | None:
        """None when this engine runs here, else why not and what to do."""

    def __call__(self, joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
        """Recognise one window.

        Args:
            joints: (1, M, S, V, 3) metres.
            confidence: (1, M, S, V).

        Returns:
            probabilities (K,) and embedding (D,).
        """


# name: (module, class), the fastest on its own hardware first.
ENGINES = {
    "tensorrt": ("edgeskel.runtime.engines.tensorrt", "TensorRTEngine"),
    "executorch": ("edgeskel.runtime.engines.executorch", "ExecuTorchEngine"),
    "onnxruntime": ("edgeskel.runtime.engines.onnxruntime", "OnnxRuntimeEngine"),
    "torch": ("edgeskel.runtime.engines.torch", "TorchEngine"),
}


def get(name: str) -> type[Engine]:
    """The engine's class.

    Raises:
        UnknownChoice: no such engine.
    """
    if name not in ENGINES:
        raise UnknownChoice("engine", name, ENGINES)
    module, engine = ENGINES[name]
    found: type[Engine] = getattr(import_module(module), engine)
    return found


def available() -> dict[str, str | None]:
    """Engine -> None when it runs here, else why not and what to do."""
    return {name: get(name).available() for name in ENGINES}
