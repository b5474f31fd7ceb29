"""The service: frames in, actions out as JSON lines, health beside it. Opens no port.

One thread recognises and feeds the watchdog, so that a hang anywhere in the engine is noticed; the source has a thread of
its own, so that a silent sensor is not one. Every few seconds a golden window is answered between two frames: an engine
that starts to answer wrongly ends the service.

Axes: G golden windows, K classes.
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeskel.errors import EdgeskelError, InvalidClip, TopologyMismatch, VerificationFailed
from edgeskel.runtime import Session, engines
from edgeskel.runtime.bundle import Artifact, Bundle
from edgeskel.runtime.decision import Action, DecisionConfig, Spotter
from edgeskel.runtime.engines import Engine, State
from edgeskel.skeleton import Float32
from targets.service.health import Health, notify
from targets.service.sources import Feed

if TYPE_CHECKING:
    from targets.service.main import Release

__all__ = ["Checked", "serve"]

_CHECK_S = 5.0
_WAIT_S = 0.5
_BUILD_S = 5.0  # between two signs of life while an engine is built


class Checked:
    """An engine that is timed on live windows and asked golden ones now and then.

    Args:
        engine: runs one window.
        artifact: says the tolerance.
        bundle: says the golden answers.
        health: is told of live windows.
    """

    name = "checked"

    def __init__(self, engine: Engine, artifact: Artifact, bundle: Bundle, health: Health) -> None:
        self.name = engine.name
        self._engine, self._golden, self._health = engine, bundle.golden, health
        self._what = f"{artifact.file} on {engine.name}"
        self._allowed = float(artifact.details["tolerance"]["max_abs_diff"])
        self._next, self._due = 0, 0.0

    @staticmethod
    def available() -> str | None:
        """It wraps one that is ready."""
        return None

    def __call__(self, joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
        start = time.perf_counter()
        answer = self._engine(joints, confidence)
        self._health.recognised(time.perf_counter() - start)
        return answer

    def step(self, joints: Float32, confidence: Float32, state: State) -> tuple[Float32, Float32, State]:
        start = time.perf_counter()
        answer = self._engine.step(joints, confidence, state)
        self._health.recognised(time.perf_counter() - start)
        return answer

    def check_when_due(self) -> None:
        """Ask one golden window, every few seconds.

        Raises:
            VerificationFailed: the answer is not the one that it was.
        """
        if time.monotonic() < self._due:
            return
        index = self._next % len(self._golden)
        probabilities, _ = self._engine(self._golden.joints[index][None], self._golden.confidence[index][None])
        difference = float(np.abs(probabilities - self._golden.probabilities[index]).max())
        if not difference <= self._allowed:  # also true for NaN
            raise VerificationFailed(
                f"{self._what} answers golden window {index} wrongly: off by {difference:.2e}",
                expected=f"at most {self._allowed:.0e}",
                remedy="see edgeskel flash verify HOST",
            )
        self._health.counts.checks += 1
        self._next, self._due = self._next + 1, time.monotonic() + _CHECK_S


def serve(release: Release, chosen: dict[str, str]) -> int:
    """Recognise until SIGTERM.

    Raises:
        EdgeskelError: the engine refuses, or answers wrongly.
    """
    signal.signal(signal.SIGTERM, _stop)
    bundle, settings = release.bundle, release.settings
    health = Health(release.identity, str(settings["source"]), chosen)
    artifact = next(entry for entry in bundle.artifacts if entry.file == chosen["artifact"])
    if chosen["engine"] == "tensorrt":
        _build(release)
    inner = engines.get(chosen["engine"])(bundle.file(artifact.file), bundle.manifest, settings.get("threads"))
    engine = Checked(inner, artifact, bundle, health)
    engine.check_when_due()
    session = Session(engine, bundle.topology, bundle.labels, bundle.window)
    spotter = Spotter(session, DecisionConfig(threshold=float(settings.get("threshold", 0.5))))
    health.ready()
    feed = Feed(health.source, bundle, lambda text: setattr(health, "source_says", text))
    while True:
        _step(feed, spotter, health)
        engine.check_when_due()
        health.beat()


def _step(feed: Feed, spotter: Spotter, health: Health) -> None:
    try:
        frame = feed.next(_WAIT_S)
    except queue.Empty:
        return
    if frame is None:
        spotter.reset()
        return
    try:
        action = spotter.push(frame)
    except (InvalidClip, TopologyMismatch):  # a broken frame; the next one may be whole
        health.counts.refused += 1
        return
    health.counts.frames += 1
    health.counts.moving += spotter.segmenter.moving
    if action is not None:
        _report(action, health)


def _report(action: Action, health: Health) -> None:
    """One line of JSON on stdout, which is the journal."""
    said: dict[str, Any] = {
        "start": round(action.start, 3),
        "end": round(action.end, 3),
        "label": action.label,
        "probability": round(action.probability, 4),
    }
    health.counts.actions += 1
    health.last_action = said
    print(json.dumps({"action": said}), flush=True)


def _build(release: Release) -> None:
    """Have the engine of the TensorRT that is here now: after an upgrade it is built from the ONNX, which takes minutes.

    A process of its own: the builder may keep the interpreter to itself, and the watchdog must not take that for a hang.
    """
    command = [sys.executable, "-I", "-B", str(Path(sys.argv[0]).resolve()), "build", "--release", str(release.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        while True:
            try:
                output, _ = child.communicate(timeout=_BUILD_S)
                break
            except subprocess.TimeoutExpired:
                notify("EXTEND_TIMEOUT_USEC=60000000\nWATCHDOG=1\nSTATUS=building the engine for this TensorRT")
            except BaseException:
                child.kill()
                raise
    if child.returncode:
        lines = output.strip().splitlines()
        answer = json.loads(lines[-1]) if lines else {}
        raise EdgeskelError(
            **answer.get("error", {"seen": f"building the engine ended with status {child.returncode}"})
        )


def _stop(number: int, frame: FrameType | None) -> None:
    notify("STOPPING=1")
    sys.exit(0)
