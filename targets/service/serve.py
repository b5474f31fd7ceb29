"""The service: frames in, events out as JSON lines, health beside it. Opens no port.

One thread recognises and feeds the watchdog, so that a hang anywhere in the engine is noticed; the source has a thread of
its own, so that a silent sensor is not one. Every few seconds a golden window is answered between two frames: an engine
that starts to answer wrongly ends the service.

Axes: G golden windows, K classes.
"""

from __future__ import annotations

import json
import queue
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeskel.errors import VerificationFailed
from edgeskel.runtime import UNKNOWN, Event, Session, engines, event_config
from edgeskel.runtime.bundle import Artifact, Bundle
from edgeskel.runtime.engines import Engine, State
from edgeskel.runtime.step_artifact import Stepper
from edgeskel.skeleton import Float32, Frame
from targets.service import isolation
from targets.service.health import ServiceHealth, notify
from targets.service.sources import ReconnectingSource

if TYPE_CHECKING:
    from targets.service.main import InstalledRelease

__all__ = ["MonitoredEngine", "RecognitionService", "rebuild_engine", "serve"]

_WAIT_S = 0.5
_ALIVE_S = 5.0  # between two signs of life while a child works


class MonitoredEngine:
    """An engine that is timed on live frames and asked golden ones now and then.

    Args:
        engine: runs the artifact.
        artifact: takes windows or steps, and says the tolerance.
        bundle: says the golden answers.
        health: is told of live answers.
        check_every_s: between two golden windows.
    """

    name: str = "monitored"

    def __init__(
        self, engine: Engine, artifact: Artifact, bundle: Bundle, health: ServiceHealth, *, check_every_s: float = 5.0
    ) -> None:
        self.name = engine.name
        self._engine, self._golden, self._health = engine, bundle.golden, health
        self._steps = artifact.form == "step"
        self._form, self._joints = bundle.step, len(bundle.topology.joints)
        self._label = f"{artifact.file} on {engine.name}"
        self._allowed = float(artifact.details["tolerance"]["max_abs_diff"])
        self._next, self._due, self._check_every_s = 0, 0.0, check_every_s

    @staticmethod
    def available() -> str | None:
        """It wraps one that is ready."""
        return None

    @property
    def stepper(self) -> Stepper | None:
        """Steps that are timed; None where the artifact takes windows."""
        return self._stepping(self)

    def _stepping(self, engine: Engine) -> Stepper | None:
        return Stepper(engine, self._form, self._joints) if self._steps and self._form is not None else None

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
        """Ask one golden window, every few seconds; frame by frame where the artifact takes steps.

        Raises:
            VerificationFailed: the answer is not the one that it was.
        """
        if time.monotonic() < self._due:
            return
        index = self._next % len(self._golden)
        asked = self._stepping(self._engine) or self._engine
        probabilities, _ = asked(self._golden.joints[index][None], self._golden.confidence[index][None])
        difference = float(np.abs(probabilities - self._golden.probabilities[index]).max())
        if not difference <= self._allowed:  # also true for NaN
            raise VerificationFailed(
                f"{self._label} answers golden window {index} wrongly: off by {difference:.2e}",
                expected=f"at most {self._allowed:.0e}",
                remedy="see edgeskel flash verify HOST",
            )
        self._health.counts.checks += 1
        self._next, self._due = self._next + 1, time.monotonic() + self._check_every_s


class RecognitionService:
    """The session of a release, and what is told of it.

    Args:
        engine: runs the artifact.
        bundle: of the release.
        settings: of the release; ``threshold`` None is the bundle's own.
        health: is told what comes in and goes out.
    """

    def __init__(self, engine: MonitoredEngine, bundle: Bundle, settings: Mapping[str, Any], health: ServiceHealth) -> None:
        config = event_config(bundle.certainty, settings.get("threshold"), bundle.segmenter)
        self._session = Session(
            engine, bundle.topology, bundle.labels, bundle.window, stepper=engine.stepper, config=config
        )
        self._health = health
        self._refused: Counter[str] = Counter()  # of the sources before
        self._session.tap(self._count_frame)

    def step(self, frame: Frame) -> None:
        """Take a live frame. Raises ``EngineError``."""
        events = self._session.step(frame)
        self._health.counts.moving += any(person.segmenter.moving for person in self._session.persons.values())
        self._publish(events)

    def restart(self) -> None:
        """The source was opened anew: what was going on has ended, and time may start anew."""
        self.finish()
        self._refused += self._session.refused
        self._session.reset()

    def finish(self) -> None:
        """The source has ended, or the service is about to."""
        self._publish(self._session.finish())

    def _count_frame(self, frame: Frame) -> None:
        self._health.counts.frames += 1

    def _publish(self, events: list[Event]) -> None:
        """Each event as one line of JSON on stdout, which is the journal."""
        counts = self._health.counts
        counts.refused = dict(self._refused + self._session.refused)
        for event in events:
            if event.kind == "ended":
                counts.unknown += event.label == UNKNOWN
                counts.actions += event.label != UNKNOWN
            entry = {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(event).items()}
            self._health.last_event = entry
            print(json.dumps({"event": entry}), flush=True)


def serve(release: InstalledRelease, chosen: dict[str, str], proved_with: str | None = None, choice: Path | None = None) -> int:
    """Recognise until SIGTERM.

    Args:
        release: whose service this is.
        chosen: artifact, engine, precision and mode.
        proved_with: the engine's environment in which that was proved; where it is another now, it is proved again first.
        choice: the file that says so.

    Raises:
        EdgeskelError: the engine refuses, or answers wrongly.
    """
    signal.signal(signal.SIGTERM, _leave)
    bundle, settings = release.bundle, release.settings
    health = ServiceHealth(release.identity, str(settings["source"]), chosen)
    artifact = next(entry for entry in bundle.artifacts if entry.file == chosen["artifact"])
    if chosen["engine"] == "tensorrt":
        rebuild_engine(release)
    if proved_with != isolation.engine_environment(chosen["engine"]):
        alive = partial(_extend_timeout, "proving the engine, which has changed")
        isolation.run_verb("verify", release.path, "--choice", str(choice), alive=alive, every_s=_ALIVE_S)
    inner = engines.get(chosen["engine"])(bundle.file(artifact.file), bundle.manifest, settings.get("threads"))
    engine = MonitoredEngine(inner, artifact, bundle, health)
    engine.check_when_due()
    service = RecognitionService(engine, bundle, settings, health)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
    health.ready()
    source = ReconnectingSource(health.source, bundle, lambda text: setattr(health, "source_says", text))
    while not stopped.is_set():
        _step(source, service)
        engine.check_when_due()
        health.heartbeat()
    notify("STOPPING=1")
    service.finish()
    return 0


def _step(source: ReconnectingSource, service: RecognitionService) -> None:
    try:
        frame = source.next(_WAIT_S)
    except queue.Empty:
        return
    if frame is None:
        service.restart()
    else:
        service.step(frame)


def rebuild_engine(release: InstalledRelease, *, alive_every_s: float = _ALIVE_S) -> None:
    """Have the engine of the TensorRT that is here now: after an upgrade it is built from the ONNX, which takes minutes.

    A process of its own: the builder may keep the interpreter to itself, and the watchdog must not take that for a hang.
    """
    alive = partial(_extend_timeout, "building the engine for this TensorRT")
    isolation.run_verb("build", release.path, alive=alive, every_s=alive_every_s)


def _extend_timeout(what: str) -> None:
    notify(f"EXTEND_TIMEOUT_USEC=60000000\nWATCHDOG=1\nSTATUS={what}")


def _leave(number: int, frame: FrameType | None) -> None:
    """Before anything was recognised there is nothing to end."""
    notify("STOPPING=1")
    sys.exit(0)
