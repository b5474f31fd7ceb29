"""Engines and the session that recognises live.

    session = edgeskel.runtime.load("bundle")
    session.recognise(joints, confidence).label

Needs numpy and the engine only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeskel.errors import EngineError, UnknownChoice
from edgeskel.runtime import engines
from edgeskel.runtime.artifact_choice import choose, remark
from edgeskel.runtime.bundle import Bundle, ProbabilityCalibration, Window
from edgeskel.runtime.events import UNKNOWN, Event, EventConfig
from edgeskel.runtime.motion import SegmenterConfig
from edgeskel.runtime.session import Recognition, Session
from edgeskel.runtime.step_artifact import Stepper, open_stepper

if TYPE_CHECKING:
    from edgeskel.models import Recogniser

__all__ = [
    "UNKNOWN", "MODES", "Bundle", "ProbabilityCalibration", "Event", "EventConfig", "Recognition", "Session", "choose",
    "event_config", "load", "session_of",
]


def load(
    path: str | Path, engine: str | None = None, precision: str | None = None, threads: int | None = None,
    mode: str | None = None, config: EventConfig | None = None,
) -> Session:
    """Open a bundle and make it ready to recognise.

    Args:
        path: the bundle's folder; every digest in it is checked first.
        engine: one of ``engines.ENGINES``; None takes the best one present.
        precision: fp32, fp16 or int8; None takes the one that the bundle lists first for that engine, and fp32 on ONNX Runtime
            (:func:`choose`).
        threads: processor threads; None leaves it to the engine.
        mode: how live frames are recognised: ``streaming`` (frame by frame) or ``sliding-window``; None takes the first where the
            bundle has it for that engine and precision.
        config: when scores become events; None takes the bundle's temperature, threshold and way to cut.

    Raises:
        BundleError: incomplete, altered or of another schema.
        UnknownChoice: no such engine, or a precision that the bundle has not.
        EngineError: no engine here runs it; the message says why each one does not.
        UsageError: fewer threads than one.
    """
    engines.check_threads(threads)
    bundle = Bundle.open(path)
    artifact, name = choose(bundle, engine, precision)
    ready = engines.get(name)(bundle.file(artifact.file), bundle.manifest, threads)
    stepper = _stepper(bundle, engine, precision, threads, mode)
    found = config or event_config(bundle.certainty, segmenter=bundle.segmenter)
    session = Session(ready, bundle.topology, bundle.labels, bundle.window, stepper=stepper, config=found)
    session.remark = remark(bundle, artifact, name)
    return session


MODES = ("streaming", "sliding-window")
"""How live frames are recognised."""


def _stepper(bundle: Bundle, engine: str | None, precision: str | None, threads: int | None, mode: str | None) -> Stepper | None:
    if mode not in (None, *MODES):
        raise UnknownChoice("mode", str(mode), MODES)
    if mode == "sliding-window" or (mode is None and bundle.step is None):
        return None
    try:
        artifact, name = choose(bundle, engine, precision, form="step")
    except EngineError:
        if mode is None:
            return None
        raise
    return open_stepper(bundle, artifact, name, threads)


def event_config(certainty: ProbabilityCalibration, threshold: float | None = None,
                 segmenter: SegmenterConfig | None = None) -> EventConfig:
    """When scores become events, by what validation data said; ``threshold`` overrides its threshold. ``segmenter`` is when a body
    counts as moving, by the training clips."""
    threshold = certainty.threshold if threshold is None else threshold
    return EventConfig(temperature=certainty.temperature, threshold=threshold, begin=max(threshold, EventConfig.begin),
                       segmenter=segmenter or SegmenterConfig())


def session_of(model: Recogniser, threads: int | None = None, mode: str | None = None,
               config: EventConfig | None = None) -> Session:
    """A session around a recogniser in memory (torch): the same recognitions without an export. Arguments as :func:`load`."""
    from edgeskel.runtime.engines.torch import TorchEngine

    engines.check_threads(threads)
    settings = model.config
    window = Window(settings.persons, settings.source_frames, settings.rate_hz, settings.hop)
    engine = TorchEngine.of(model, threads)
    form = engine.step_form()
    if mode not in (None, *MODES) or (mode == "streaming" and form is None):
        raise UnknownChoice("mode", str(mode), MODES if form else MODES[1:])
    stepper = None if form is None or mode == "sliding-window" else Stepper(engine, form, len(settings.topology.joints))
    return Session(engine, settings.topology, settings.labels, window, stepper=stepper, config=config)
