"""How far an engine's answers are from the recogniser's own, judged by the artifact's tolerance: what ``edgeskel verify`` and the
program on a device both go by. Numpy only.

Axes: G windows, M persons, S frames, V joints, K classes, D width of the embedding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgeskel.runtime.bundle import Artifact
from edgeskel.skeleton import Float32

__all__ = ["Answers", "IntegerKernels", "Comparison", "Windowed", "compare", "describe", "run_windows"]

_NO_REFERENCE = "the recogniser itself (torch) did not run here, so nothing says what the answers should be"


class Windowed(Protocol):
    """Whatever answers a window: an engine, steps, layers that learn."""

    def __call__(self, joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
        """(1, M, S, V, 3) joints and (1, M, S, V) confidence -> probabilities (K,) and embedding (D,)."""


@dataclass(frozen=True)
class Answers:
    """What an engine said about G windows.

    Args:
        probabilities: (G, K).
        embedding: (G, D).
        seconds: (G,) of each call.
    """

    probabilities: Float32
    embedding: Float32
    seconds: Float32


@dataclass(frozen=True)
class IntegerKernels:
    """What ONNX Runtime's own int8 kernels make of an artifact on this processor. Our engine does not use them (its module says
    why), but other programs do; so this is told and never judged."""

    agreement: float | None
    """As :class:`Comparison`'s; None where they cannot run the graph."""
    max_abs_diff: float | None
    passed: bool
    """Whether these answers, too, are within the artifact's tolerance."""
    says: str
    """One sentence."""


@dataclass(frozen=True)
class Comparison:
    """One artifact on one engine over one set of windows."""

    file: str
    precision: str
    engine: str
    on: str
    """golden, or the test part's name."""
    windows: int
    agreement: float | None
    """Share of windows with the reference's prediction; None where no reference ran."""
    max_abs_diff: float | None
    """Largest difference of a probability; None where no reference ran."""
    top1: float | None
    """Percent, where the windows have labels."""
    reference_top1: float | None
    bytes: int
    median_ms: float
    passed: bool
    tolerance: Mapping[str, float]
    not_compared: str = ""
    """Why there was no reference to compare with."""
    integer_kernels: IntegerKernels | None = None
    """Of an int8 artifact on ONNX Runtime."""


def run_windows(engine: Windowed, joints: Float32, confidence: Float32,
                progress: Callable[[], None] = lambda: None) -> Answers:
    """Run (G, M, S, V, 3) joints and (G, M, S, V) confidences window by window."""
    probabilities, embeddings, seconds = [], [], []
    for index in range(len(joints)):
        start = time.perf_counter()
        answer, embedding = engine(joints[index : index + 1], confidence[index : index + 1])
        seconds.append(time.perf_counter() - start)
        probabilities.append(answer)
        embeddings.append(embedding)
        progress()
    return Answers(np.stack(probabilities), np.stack(embeddings), np.array(seconds, np.float32))


def compare(artifact: Artifact, engine: str, on: str, answers: Answers, reference: Float32 | None,
            truth: Sequence[int] | None = None) -> Comparison:
    """Judge ``answers`` by the artifact's tolerance; an answer that is not finite never passes.

    Args:
        reference: (G, K) probabilities; None where nothing gave any, and only accuracy can be told.
        truth: class indices, where known.
    """
    given = answers.probabilities.argmax(1)
    tolerance = artifact.details["tolerance"]
    passed = bool(np.isfinite(answers.probabilities).all() and np.isfinite(answers.embedding).all())
    agreement = difference = top1 = reference_top1 = None
    if truth is not None:
        top1 = float(100 * np.mean(given == np.array(truth)))
    if reference is not None:
        expected = reference.argmax(1)
        agreement = float(np.mean(given == expected))
        difference = float(np.abs(answers.probabilities - reference).max())
        passed = passed and agreement >= tolerance["agreement"] and difference <= tolerance["max_abs_diff"]
        if truth is not None and top1 is not None:
            reference_top1 = float(100 * np.mean(expected == np.array(truth)))
            passed = passed and reference_top1 - top1 <= tolerance["top1_drop"] + 1e-9
    return Comparison(artifact.file, artifact.precision, engine, on, len(given), agreement, difference, top1,
                   reference_top1, int(artifact.details["bytes"]), float(1e3 * np.median(answers.seconds)), passed,
                   tolerance, "" if reference is not None else _NO_REFERENCE)


def describe(outcome: Comparison) -> str:
    """One line of numbers."""
    said = [f"{outcome.file} on {outcome.engine}, {outcome.on}: "]
    if outcome.agreement is None or outcome.max_abs_diff is None:
        said.append("compared with nothing")
    else:
        said.append(f"agreement {100 * outcome.agreement:.2f} %, largest difference {outcome.max_abs_diff:.2e}")
    if outcome.top1 is not None:
        said.append(f", top-1 {outcome.top1:.2f} %")
    if outcome.reference_top1 is not None:
        said.append(f" (reference {outcome.reference_top1:.2f} %)")
    return "".join(said)
