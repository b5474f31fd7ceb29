"""Latency and memory of every artifact, each in a process of its own, taking turns.

One process per artifact, engine and thread count: a peak of memory is then that artifact's alone, and a thread limit
holds from the first import on. The processes wait for each other and measure in short turns, so that a machine that
grows slower meanwhile slows all of them. Needs numpy and the engines that are present.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeskel.errors import EngineError
from edgeskel.runtime import engines
from edgeskel.runtime.bundle import Bundle
from edgeskel.runtime.step_artifact import open_windows

__all__ = ["Timing", "measure"]

_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Timing:
    """What one artifact costs on one engine; milliseconds of one window (of all its frames, for one that takes steps)."""

    file: str
    precision: str
    engine: str
    threads: int
    median_ms: float
    p95_ms: float
    p99_ms: float
    runs: int
    load_ms: float
    peak_memory_mb: float
    """Most memory the process held at any time, the interpreter and the engine's libraries included."""
    artifact_memory_mb: float
    """How much of it came with loading and running the artifact."""


def measure(bundle: Bundle, *, runs: int = 200, rounds: int = 8, seconds: float = 4.0, engine: str | None = None,
            progress: Callable[[], None] = lambda: None) -> tuple[list[Timing], dict[str, str]]:
    """Measure on one core and on all.

    Args:
        bundle: opened.
        runs: windows per artifact, engine and thread count.
        rounds: turns over which they are spread.
        seconds: a slow pair stops early: about so long in all, at least one window in each turn.
        engine: only this one.
        progress: called after each turn of each process.

    Returns:
        Timings, and why the other pairs were not measured.

    Raises:
        EngineError: nothing here runs, or a process failed.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    skipped: dict[str, str] = {}
    workers: list[_Worker] = []
    try:
        for artifact in bundle.artifacts:
            for name in artifact.engines:
                if name not in engines.ENGINES or engine not in (None, name):
                    continue
                why = engines.get(name).available()
                if why is not None:
                    skipped[f"{artifact.file} on {name}"] = why
                    continue
                workers += [_Worker(bundle, artifact.file, artifact.precision, name, threads)
                            for threads in sorted({1, cores})]
        if not workers:
            raise EngineError(f"no engine here runs an artifact of {bundle.path}", remedy="; ".join(skipped.values()))
        for worker in workers:  # they import side by side, and load one after the other
            worker.wait()
        for worker in workers:
            worker.load()
        for _ in range(rounds):
            for worker in workers:
                worker.turn(max(1, runs // rounds), seconds / rounds)
                progress()
        return [worker.finish() for worker in workers], skipped
    finally:
        for worker in workers:
            worker.stop()


class _Worker:
    """The measuring process's handle; it runs only while it is asked to."""

    def __init__(self, bundle: Bundle, file: str, precision: str, engine: str, threads: int) -> None:
        self.file, self.precision, self.engine, self.threads = file, precision, engine, threads
        self.times: list[float] = []
        limits = {name: str(threads) for name in _LIMITS}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "export.bench", str(bundle.path), file, engine, str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **limits},
        )

    def wait(self) -> None:
        """Until it has imported its engine."""
        self._ask("ready")

    def load(self) -> None:
        self.load_ms = float(self._ask("load")["load_ms"])

    def turn(self, runs: int, seconds: float) -> None:
        self.times += self._ask(f"{runs} {seconds}")["seconds"]

    def finish(self) -> Timing:
        memory = self._ask("memory")
        median, p95, p99 = (1e3 * float(np.percentile(self.times, q)) for q in (50, 95, 99))
        return Timing(self.file, self.precision, self.engine, self.threads, median, p95, p99, len(self.times), self.load_ms,
                      memory["peak_mb"], memory["peak_mb"] - memory["before_mb"])

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _ask(self, what: str) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(what + "\n")
            self.process.stdin.flush()
            answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        except (BrokenPipeError, ValueError) as error:
            raise EngineError(f"measuring {self.file} on {self.engine} ended early (exit status {self.process.poll()})",
                              remedy="run edgeskel verify on this bundle; it shows the engine's own message") from error
        return answer


def _serve(path: Path, file: str, name: str, threads: int) -> None:
    """The measuring process: answers ``ready``, ``load``, a number of runs, and ``memory``, one JSON line each."""
    import time

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # engines may print; only answers go to the parent
    bundle = Bundle.open(path)
    golden = bundle.golden
    engine: Any = None
    before = 0.0
    for line in sys.stdin:
        what = line.strip()
        answer: dict[str, Any]
        if what == "ready":
            engines.get(name).available()  # finds the packages; their weight is not the artifact's
            _import_libraries(name)
            answer = {}
        elif what == "load":
            before = _peak_mb()
            start = time.perf_counter()
            artifact = next(item for item in bundle.artifacts if item.file == file)
            engine = open_windows(bundle, artifact, name, threads)
            answer = {"load_ms": 1e3 * (time.perf_counter() - start)}
            for index in range(3):  # first calls allocate
                engine(golden.joints[index % len(golden)][None], golden.confidence[index % len(golden)][None])
        elif what == "memory":
            answer = {"peak_mb": _peak_mb(), "before_mb": before}
        else:
            runs, allowed = what.split()
            seconds: list[float] = []
            for index in range(int(runs)):
                if sum(seconds) > float(allowed):
                    break
                joints, confidence = golden.joints[index % len(golden)][None], golden.confidence[index % len(golden)][None]
                start = time.perf_counter()
                engine(joints, confidence)
                seconds.append(time.perf_counter() - start)
            answer = {"seconds": seconds}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _import_libraries(name: str) -> None:
    from importlib import import_module

    for library in {"torch": ["torch", "edgeskel.models"], "executorch": ["torch", "executorch.extension.pybindings._portable_lib"],
                    "onnxruntime": ["onnxruntime"], "tensorrt": ["tensorrt"]}[name]:
        import_module(library)


def _peak_mb() -> float:
    import resource

    unit = 1024 if sys.platform != "darwin" else 1024 * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / (1024 * unit)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
