"""What executes an artifact: one engine per file, imported when it is used.

An engine is made from an artifact and called with one window; it answers with probabilities and the embedding. One that is
made from a step artifact is called with the next frames and the state (:meth:`Engine.step`). A new engine is one new file
and one line in :data:`ENGINES`.

Axes: M persons, S frames of the window, V joints, K classes, D width of the embedding.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from edgeskel.errors import UnknownChoice, UsageError
from edgeskel.runtime.engines._remarks import remarks_kept
from edgeskel.skeleton import Float32

__all__ = ["ENGINES", "Engine", "State", "available", "check_threads", "get", "obstacle"]


State: TypeAlias = "tuple[Float32, ...]"
"""What a step artifact knows of the frames before."""


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
            joints: (1, M, S, V, 3) metres; missing joints may hold anything, NaN included.
            confidence: (1, M, S, V).

        Returns:
            probabilities (K,) and embedding (D,).
        """

    def step(self, joints: Float32, confidence: Float32, state: State) -> tuple[Float32, Float32, State]:
        """Take the next frames; for step artifacts.

        Args:
            joints: (1, 1, n, V, 3) metres; missing joints may hold anything, NaN included.
            confidence: (1, 1, n, V).
            state: as the step before gave it; zeros at the start.

        Returns:
            probabilities (K,), embedding (D,) and the state for the next step, none of which later calls change.
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


def check_threads(threads: int | None) -> None:
    """Refuse a number of threads that no engine can have. Raises ``UsageError``."""
    if threads is not None and threads < 1:
        raise UsageError(f"{threads} threads", expected="at least 1", remedy="leave it out to let the engine decide")


def obstacle(module: str, install: str) -> str | None:
    """Why a package cannot be used here and what to do; None when it can.

    It is imported to know: one whose libraries do not fit this machine (built for another numpy, a missing shared
    library) is there to be found and yet of no use.

    Args:
        module: what is needed of the package, e.g. ``"onnxruntime"``.
        install: the command that brings it.
    """
    package = module.partition(".")[0]
    try:
        if find_spec(package) is None:
            return f"the package {package} is not installed; run: {install}"
        with _without_notes(), remarks_kept():
            import_module(module)
    except Exception as error:  # whatever a damaged package fails with
        seen = " ".join(str(error).split())[:200]
        return (f"the package {package} is installed but does not load ({type(error).__name__}: {seen}); "
                f"reinstall it beside the numpy that is here: {install} --force-reinstall")
    return None


@contextmanager
def _without_notes() -> Iterator[None]:
    """Packages warn and log about their own upkeep while they are imported."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def available() -> dict[str, str | None]:
    """Engine -> None when it runs here, else why not and what to do."""
    return {name: get(name).available() for name in ENGINES}
