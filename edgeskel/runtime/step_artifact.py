"""A step artifact on an engine: frames go in one by one, an answer comes out whenever a step is full.

Axes: n frames of a step, S frames of the window, V joints, K classes, D width of the embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeskel.errors import BundleError, EngineError
from edgeskel.runtime import engines
from edgeskel.runtime.bundle import MANIFEST, Artifact, Bundle, StepForm
from edgeskel.runtime.engines import Engine, State
from edgeskel.runtime.snapshot import FieldType, array, row, whole
from edgeskel.skeleton import Float32

__all__ = ["StreamState", "Stepper", "open_stepper", "open_windows"]


@dataclass
class StreamState:
    """What is kept of one person between two frames.

    Args:
        state: of the recogniser.
        joints: (n, V, 3) frames of the step that is being filled.
        confidence: (n, V).
        filled: how many of them there are.
    """

    state: State
    joints: Float32
    confidence: Float32
    filled: int = 0

    def state_fields(self) -> dict[str, FieldType | None]:
        """See :mod:`edgeskel.runtime.snapshot`."""
        return {"state": row(*(array(*part.shape) for part in self.state)), "joints": array(*self.joints.shape),
                "confidence": array(*self.confidence.shape, low=0, high=1), "filled": whole(0, len(self.joints) - 1)}


class Stepper:
    """Runs a step artifact for any number of persons, each with a :class:`StreamState` of their own.

    Args:
        engine: made from a step artifact.
        form: how it is fed.
        joints: V.
    """

    engine: Engine
    form: StepForm
    joints: int

    def __init__(self, engine: Engine, form: StepForm, joints: int) -> None:
        self.engine, self.form, self.joints = engine, form, joints

    def fresh(self) -> StreamState:
        """Of somebody never seen before."""
        shape = (self.form.frames, self.joints)
        return StreamState(tuple(np.zeros(state, np.float32) for state in self.form.states),
                      np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32))

    def push(self, memory: StreamState, joints: Float32, confidence: Float32) -> tuple[Float32, Float32] | None:
        """Take a frame.

        Args:
            memory: of this person; changed.
            joints: (V, 3) metres.
            confidence: (V,).

        Returns:
            probabilities (K,) and embedding (D,) when the frame fills a step, else None.

        Raises:
            EngineError: the engine's answer is not finite. The person is forgotten: a state once spoilt stays so.
        """
        memory.joints[memory.filled], memory.confidence[memory.filled] = joints, confidence
        memory.filled += 1
        if memory.filled < self.form.frames:
            return None
        memory.filled = 0
        probabilities, embedding, memory.state = self.engine.step(
            memory.joints[None, None], memory.confidence[None, None], memory.state)
        if not (np.isfinite(probabilities).all() and np.isfinite(embedding).all()):
            memory.state = self.fresh().state
            raise EngineError(f"{self.engine.name} answered with non-finite values", expected="probabilities in 0..1",
                              remedy="run: edgeskel verify BUNDLE")
        return probabilities, embedding

    def __call__(self, joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
        """Run a whole window step by step, as :meth:`edgeskel.runtime.engines.Engine.__call__` does at once.

        Args:
            joints: (1, 1, S, V, 3).
            confidence: (1, 1, S, V).

        Returns:
            probabilities (K,) and embedding (D,) after the last full step.
        """
        memory, answer = self.fresh(), None
        for one, seen in zip(joints[0, 0], confidence[0, 0], strict=True):
            answer = self.push(memory, one, seen) or answer
        if answer is None:
            raise EngineError(f"a window of {joints.shape[2]} frames", expected=f"at least {self.form.frames}")
        return answer

    @property
    def name(self) -> str:
        """Of the engine."""
        return self.engine.name


def open_stepper(bundle: Bundle, artifact: Artifact, engine: str, threads: int | None = None) -> Stepper:
    """A step artifact of ``bundle``, ready.

    Raises:
        BundleError: the manifest does not say how its step artifacts are fed.
        EngineError: the engine refuses the artifact.
    """
    if bundle.step is None:
        raise BundleError(f"{bundle.path / MANIFEST}: {artifact.file} takes steps, and there is no entry 'step'",
                          expected="frames, look_ahead, delay and states", remedy="export anew")
    ready = engines.get(engine)(bundle.file(artifact.file), bundle.manifest, threads)
    return Stepper(ready, bundle.step, len(bundle.topology.joints))


def open_windows(bundle: Bundle, artifact: Artifact, engine: str, threads: int | None = None) -> Engine | Stepper:
    """Any artifact of ``bundle`` as something that is called with whole windows: one that takes steps is given a window's
    frames one after the other, so that the same golden inputs prove both."""
    if artifact.form == "step":
        return open_stepper(bundle, artifact, engine, threads)
    return engines.get(engine)(bundle.file(artifact.file), bundle.manifest, threads)
