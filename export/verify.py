"""Does every engine give the recogniser's own answer? Measured on the golden inputs and on a whole test part.

Needs numpy and the engines that are present; torch only where it is the reference.

Axes: G windows, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgeskel.continual.device.latent_replay import ENTRY as LATENT
from edgeskel.continual.device.latent_replay import NAME, LatentReplay
from edgeskel.errors import BundleError, EngineError, VerificationFailed
from edgeskel.runtime import engines
from edgeskel.runtime.bundle import MANIFEST, Artifact, Bundle
from edgeskel.runtime.comparison import Comparison, IntegerKernels, compare, describe, run_windows
from edgeskel.runtime.step_artifact import open_windows

__all__ = ["as_rows", "latent_artifact", "require_agreement", "verify"]

REFERENCE = "checkpoint/model.safetensors"
_LIMITS = ("agreement", "max_abs_diff", "top1_drop")


def verify(bundle: Bundle, test: Any = None, *, threads: int | None = None,
           progress: Callable[[str, int], Callable[[], None]] | None = None) -> tuple[list[Comparison], dict[str, str]]:
    """Run everything that runs here.

    Int8 for ONNX Runtime and TensorRT is judged by what the graph says, in exact arithmetic, as a Jetson computes it: whether the
    present processor's int8 kernels are right makes no difference, and stands beside it (:class:`IntegerKernels`).

    Args:
        bundle: opened, so every digest is checked.
        test: ``export.windows.WindowSet`` with labels, for accuracy over a whole test part.
        threads: processor threads of the engines.
        progress: (what, how many windows) -> a function to call after each.

    Returns:
        Outcomes (golden windows first, then the test part, for each pair), and for each pair that did not run the
        reason: ``"model.onnx on tensorrt" -> "not installed; ..."``.

    Raises:
        BundleError: the manifest does not say by what to judge an artifact.
        EngineError: no engine runs any artifact here, or one that is present refuses its artifact.
    """
    _check_entries(bundle)
    outcomes: list[Comparison] = []
    skipped: dict[str, str] = {}
    golden = bundle.golden
    truth = None if test is None else [bundle.labels.index(label) for label in test.labels]
    expected = None

    def step(what: str, windows: int) -> Callable[[], None]:
        return progress(what, windows) if progress else lambda: None

    for artifact in bundle.artifacts:
        if not set(artifact.engines) & set(engines.ENGINES):
            skipped[artifact.file] = str(artifact.details.get("note", "no engine here runs it"))
    for artifact, name in (*_pairs(bundle), *_latent(bundle)):
        what = f"{artifact.file} on {name}"
        why = LatentReplay.available() if name == NAME else engines.get(name).available()
        if why is not None:
            skipped[what] = why
            continue
        engine = LatentReplay.of_bundle(bundle) if name == NAME else open_windows(bundle, artifact, name, threads)
        answers = run_windows(engine, golden.joints, golden.confidence, step(what, len(golden)))
        outcome = compare(artifact, name, "golden", answers, golden.probabilities)
        if name == "onnxruntime" and artifact.precision == "int8":
            outcome = replace(outcome, integer_kernels=_integer_kernels(bundle, artifact, threads, outcome))
        outcomes.append(outcome)
        if test is None:
            continue
        answers = run_windows(engine, test.joints, test.confidence, step(what, len(test)))
        if artifact.file == REFERENCE:  # the first pair, where it runs
            expected = answers.probabilities
        outcomes.append(compare(artifact, name, test.origin, answers, expected, truth))
    if not outcomes:
        raise EngineError(f"no engine here runs an artifact of {bundle.path}", expected="one of the engines it names",
                          remedy="; ".join(f"{what}: {why}" for what, why in skipped.items()))
    return outcomes, skipped


def _integer_kernels(bundle: Bundle, artifact: Artifact, threads: int | None, exact: Comparison) -> IntegerKernels:
    from edgeskel.runtime.engines.onnxruntime import OnnxRuntimeEngine

    which = f"{artifact.file}: ONNX Runtime's int8 kernels"
    golden = bundle.golden
    try:
        engine = OnnxRuntimeEngine(bundle.file(artifact.file), bundle.manifest, threads, integer_kernels=True)
        answers = run_windows(engine, golden.joints, golden.confidence)
    except EngineError as error:
        seen = " ".join(error.seen.split())[:160]
        return IntegerKernels(None, None, False, f"{which} cannot run it on this processor; edgeskel does without them ({seen})")
    outcome = compare(artifact, "onnxruntime", "golden", answers, golden.probabilities)
    assert outcome.agreement is not None and outcome.max_abs_diff is not None
    figures = (f"agreement {100 * outcome.agreement:.1f} %, largest difference {outcome.max_abs_diff:.2g}, "
               f"{exact.max_abs_diff:.2g} by exact arithmetic")
    says = (f"{which} stay within its tolerance on this processor ({figures}); edgeskel does without them" if outcome.passed else
            f"{which} are wrong on this processor ({figures}); edgeskel does without them, other programs must set "
            "session.disable_quant_qdq to 1")
    return IntegerKernels(outcome.agreement, outcome.max_abs_diff, outcome.passed, says)


def latent_artifact(entry: Mapping[str, Any]) -> Artifact:
    """The manifest's entry ``latent_replay`` as something to be compared: before it learns, it answers as the recogniser."""
    return Artifact(f"{entry.get('folder')}/trunk.pte", "pte", "fp32", (NAME,), entry)


def _latent(bundle: Bundle) -> list[tuple[Artifact, str]]:
    entry = bundle.manifest.get(LATENT)
    return [(latent_artifact(entry), NAME)] if isinstance(entry, Mapping) else []


def _check_entries(bundle: Bundle) -> None:
    for artifact in (*bundle.artifacts, *(artifact for artifact, _ in _latent(bundle))):
        tolerance, size = artifact.details.get("tolerance"), artifact.details.get("bytes")
        limits = [tolerance.get(name) for name in _LIMITS] if isinstance(tolerance, Mapping) else [None]
        if not isinstance(size, int) or not all(isinstance(limit, (int, float)) for limit in limits):
            raise BundleError(f"{bundle.path / MANIFEST}: {artifact.file} has bytes {size!r}, tolerance {tolerance!r}",
                              expected=f"its size, and a tolerance with {', '.join(_LIMITS)}",
                              remedy="export anew: the manifest was not written by an export")


def _pairs(bundle: Bundle) -> Iterator[tuple[Artifact, str]]:
    """Artifacts and their engines: the torch reference first, then fp32 before the rest."""
    pairs = [(artifact, engine) for artifact in bundle.artifacts for engine in artifact.engines if engine in engines.ENGINES]
    order = {"fp32": 1, "fp16": 2, "int8": 3}
    yield from sorted(pairs, key=lambda pair: 0 if pair[0].file == REFERENCE else order.get(pair[0].precision, 4))


def require_agreement(outcomes: Sequence[Comparison], bundle: Path) -> None:
    """Raise on any disagreement.

    Raises:
        VerificationFailed: names each artifact, engine and number.
    """
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if failed:
        raise VerificationFailed(
            f"{bundle}: " + "; ".join(describe(outcome) for outcome in failed),
            expected="; ".join(sorted({f"{o.precision}: {_limits(o.tolerance)}" for o in failed})),
            remedy="export again; if it stays, the engine's version computes something else: report both versions",
        )


def _limits(tolerance: Mapping[str, float]) -> str:
    return (f"agreement at least {100 * tolerance['agreement']:.0f} %, difference at most {tolerance['max_abs_diff']:g}, "
            f"accuracy at most {tolerance['top1_drop']:g} points lower")


def as_rows(outcomes: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Plain data: one object per artifact and engine, the test part's figures where it was measured, else golden's.

    Where the test part had no reference, its agreement and difference are None, and ``not_compared`` says why; what the
    golden windows showed stands under ``golden``.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for outcome in outcomes:
        row = asdict(outcome)
        earlier = rows.get((outcome.file, outcome.engine))
        if earlier:
            row["golden"] = {key: earlier[key] for key in ("agreement", "max_abs_diff", "windows", "passed")}
            row["passed"] = row["passed"] and earlier["passed"]
            row["integer_kernels"] = earlier["integer_kernels"]
        rows[outcome.file, outcome.engine] = row
    return list(rows.values())
