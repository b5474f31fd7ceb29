"""Which artifact runs on this device, and is it right and fast enough? Decided by running it here.

Axes: G golden windows, S frames of the window, V joints.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from edgeskel.errors import EngineError, VerificationFailed
from edgeskel.runtime import choose
from edgeskel.runtime.bundle import Artifact, Bundle
from edgeskel.runtime.comparison import Comparison, compare, describe, run_windows
from edgeskel.runtime.engines import Engine
from edgeskel.runtime.step_artifact import Stepper, open_windows

__all__ = ["build", "candidates", "prove", "verify"]

_RUNS = 200
_SECONDS = 4.0  # of timing, over all candidates
_WARM = 5
_GAIN = 0.95  # int8 must take at most this share of the other's time: less is noise


def candidates(bundle: Bundle, precision: str | None = None) -> tuple[str, list[Artifact]]:
    """The engine of this device, and the artifacts to consider on it: the preferred one, and int8 beside it.

    They are step artifacts where the bundle has one that runs here, so that the service goes frame by frame.

    Args:
        precision: only this one.

    Raises:
        EngineError, UnknownChoice: nothing of the bundle runs here.
    """
    preferred, engine = _preferred(bundle, precision)
    alike = [artifact for artifact in bundle.artifacts if engine in artifact.engines and artifact.form == preferred.form]
    if precision is not None:
        return engine, [preferred]
    if preferred.precision == "int8":  # int8 has to earn its place everywhere
        preferred = next((artifact for artifact in alike if artifact.precision != "int8"), preferred)
    int8 = [artifact for artifact in alike if artifact.precision == "int8" and artifact.file != preferred.file]
    return engine, [preferred, *int8]


def _preferred(bundle: Bundle, precision: str | None) -> tuple[Artifact, str]:
    if bundle.step is not None:
        with suppress(EngineError):  # no step artifact runs here: by window, then
            return choose(bundle, precision=precision, form="step")
    return choose(bundle, precision=precision)


def build(bundle: Bundle, precision: str | None = None) -> dict[str, Any]:
    """Build the engines of the candidates, where the engine needs building (TensorRT); from the cache where they are there."""
    engine, listed = candidates(bundle, precision)
    if engine != "tensorrt":
        return {
            "engine": engine,
            "built": [],
            "refused": {},
            "says": f"{engine} runs the graph as it is, nothing to build",
        }
    from edgeskel.runtime.engines.tensorrt import built_engine

    built: list[dict[str, Any]] = []
    refused: dict[str, str] = {}
    for artifact in listed:
        start = time.monotonic()
        try:
            path = built_engine(bundle.file(artifact.file), bundle.manifest)
        except EngineError as error:
            refused[artifact.file] = str(error)
            continue
        built.append({"artifact": artifact.file, "engine": path.name, "seconds": round(time.monotonic() - start, 1)})
    if listed[0].file in refused and not built:
        raise EngineError(
            f"TensorRT builds no engine of {bundle.name}: " + "; ".join(refused.values()),
            remedy="see the log beside the engines",
        )
    return {
        "engine": engine,
        "built": built,
        "refused": refused,
        "says": ", ".join(str(item["engine"]) for item in built)
        + (f"; refused: {', '.join(refused)}" if refused else ""),
    }


def prove(
    bundle: Bundle,
    settings: Mapping[str, Any],
    *,
    without: Mapping[str, str] | None = None,
    trying: Callable[[str, str], None] = lambda file, engine: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Run the golden inputs on every candidate (frame by frame where it takes steps), time them in turns, and choose.

    Int8 is chosen only where it was faster here than the preferred artifact, and within its tolerance.

    Args:
        bundle: of the release.
        settings: of the release.
        without: artifact -> why it is out of question.
        trying: told an artifact and its engine before they are run.
        clock: seconds, by which a recognition is timed.

    Returns:
        ``chosen`` (artifact, engine, precision, mode), each candidate's figures, the budget, and one line that ``says`` it.

    Raises:
        VerificationFailed: the answers stray too far, or are too late.
    """
    name, listed = candidates(bundle, settings.get("precision"))
    golden, threads = bundle.golden, settings.get("threads")
    ready: dict[str, Engine | Stepper] = {}
    outcomes: dict[str, Comparison] = {}
    refused = dict(without or {})
    for artifact in listed:
        if artifact.file in refused:
            continue
        trying(artifact.file, name)
        try:
            engine = open_windows(bundle, artifact, name, threads)
            answers = run_windows(engine, golden.joints, golden.confidence)
        except EngineError as error:
            refused[artifact.file] = str(error)
            continue
        outcome = compare(artifact, name, "golden", answers, golden.probabilities)
        if not np.isfinite(answers.probabilities).all():
            refused[artifact.file] = f"{artifact.file} on {name} answers with NaN"
        elif not outcome.passed:
            refused[artifact.file] = describe(outcome)
        else:
            ready[artifact.file] = engine
            outcomes[artifact.file] = outcome
    if not ready:
        raise VerificationFailed(
            "golden inputs: " + "; ".join(refused.values()),
            expected="the recogniser's own answers, within the manifest's tolerance",
            remedy="export anew; if it stays, the engine's version computes something else",
        )
    times = _times(ready, bundle, clock)
    figures = {
        file: {
            quantile: float(1e3 * np.percentile(seconds, q))
            for quantile, q in (("p50_ms", 50), ("p95_ms", 95), ("p99_ms", 99))
        }
        for file, seconds in times.items()
    }
    chosen = _choose([artifact for artifact in listed if artifact.file in ready], figures)
    budget = settings.get("budget_ms") or _budget(bundle, chosen)
    rows = [
        {
            "artifact": file,
            "engine": name,
            "agreement": outcomes[file].agreement,
            "max_abs_diff": outcomes[file].max_abs_diff,
            "windows": outcomes[file].windows,
            **figures[file],
        }
        for file in ready
    ]
    best = figures[chosen.file]
    outcome = outcomes[chosen.file]
    line = (
        f"{chosen.file} on {name}: agreement {100 * (outcome.agreement or 0):.0f} %, "
        f"largest difference {outcome.max_abs_diff:.1e}, "
        f"p50 {best['p50_ms']:.1f}, p95 {best['p95_ms']:.1f}, p99 {best['p99_ms']:.1f} ms of {budget:.0f} ms"
    )
    others = [f"{file}: p50 {figures[file]['p50_ms']:.1f} ms, no gain" for file in ready if file != chosen.file]
    line = "; ".join((line, *others, *(f"refused: {why}" for why in refused.values())))
    if best["p95_ms"] > budget:
        raise VerificationFailed(
            line,
            expected=f"p95 of at most {budget:.0f} ms: the time between two recognitions",
            remedy="set the device's power mode higher, or compress the recogniser",
        )
    return {
        "chosen": {
            "artifact": chosen.file,
            "engine": name,
            "precision": chosen.precision,
            "mode": "streaming" if chosen.form == "step" else "sliding-window",
        },
        "candidates": rows,
        "refused": refused,
        "budget_ms": budget,
        "says": line,
    }


def _times(ready: Mapping[str, Engine | Stepper], bundle: Bundle, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Seconds of single recognitions, the candidates in turns."""
    turns = {file: _turn(engine, bundle) for file, engine in ready.items()}
    times: dict[str, list[float]] = {file: [] for file in ready}
    end = clock() + _SECONDS
    for run in range(_WARM + _RUNS):
        for file, turn in turns.items():
            start = clock()
            turn(run)
            if run >= _WARM:
                times[file].append(clock() - start)
        if run > _WARM + 20 and clock() > end:
            break
    return times


def _turn(engine: Engine | Stepper, bundle: Bundle) -> Callable[[int], object]:
    """One recognition on golden frames: of the next window, or the next step of one person's stream."""
    golden = bundle.golden
    if not isinstance(engine, Stepper):
        return lambda run: engine(golden.joints[run % len(golden)][None], golden.confidence[run % len(golden)][None])
    state, steps = engine.fresh(), engine.form.frames
    joints, confidence = np.concatenate(golden.joints[:, 0]), np.concatenate(golden.confidence[:, 0])

    def step(run: int) -> None:
        for index in range(run * steps, (run + 1) * steps):
            engine.push(state, joints[index % len(joints)], confidence[index % len(joints)])

    return step


def _choose(passed: list[Artifact], figures: Mapping[str, Mapping[str, float]]) -> Artifact:
    best = passed[0]
    for artifact in passed[1:]:
        if figures[artifact.file]["p50_ms"] < _GAIN * figures[best.file]["p50_ms"]:
            best = artifact
    return best


def _budget(bundle: Bundle, chosen: Artifact) -> float:
    """Milliseconds that one recognition may take: the manifest's, and never longer than until the next one is due."""
    frames = bundle.step.frames if chosen.form == "step" and bundle.step is not None else bundle.window.hop
    due, budget = 1e3 * frames / bundle.window.rate_hz, bundle.manifest.get("budget", {}).get("p95_ms")
    return min(float(budget), due) if budget else due


def verify(bundle: Bundle, chosen: Mapping[str, str], threads: int | None) -> dict[str, Any]:
    """The golden inputs once more on what the service runs. Raises ``VerificationFailed``."""
    artifact = next(entry for entry in bundle.artifacts if entry.file == chosen["artifact"])
    engine = open_windows(bundle, artifact, chosen["engine"], threads)
    answers = run_windows(engine, bundle.golden.joints, bundle.golden.confidence)
    outcome = compare(artifact, chosen["engine"], "golden", answers, bundle.golden.probabilities)
    if not outcome.passed:
        raise VerificationFailed(
            describe(outcome),
            expected="what it answered when it was installed",
            remedy="go back: edgeskel flash rollback HOST",
        )
    return {
        "passed": True,
        "says": describe(outcome),
        "agreement": outcome.agreement,
        "max_abs_diff": outcome.max_abs_diff,
    }
