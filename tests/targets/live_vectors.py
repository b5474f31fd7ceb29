"""Frames, and what ``edgeskel.runtime`` makes of them on their way to a label: what the phone packages must make of them, too.

Axes: M persons, S frames of the window, n frames of a step, V joints, K classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from edgeskel.errors import EngineError, InvalidClip
from edgeskel.runtime import event_config
from edgeskel.runtime.bundle import StepForm, Window, certainty_of
from edgeskel.runtime.engines import State
from edgeskel.runtime.events import EventConfig, Naming, calibrated
from edgeskel.runtime.session import Session
from edgeskel.runtime.stepping import Stepper
from edgeskel.runtime.timeline import Resampler, Ring
from edgeskel.skeleton import Float32, Frame
from tests.targets.manifest_vectors import FRAMES, HOP, JOINTS, PERSONS, RATE, TOPOLOGY, manifest, window

LABELS = ("wave", "clap", "größer")
SPOILT = 1e6
"""Metres from which on :class:`_Traces` answers NaN."""
STATES = ((1, len(JOINTS)), (1, 2, 2))


def numbers(values: Any) -> list[float | None]:
    """As short as float32 allows: the text read as a double and rounded to a float is the value again."""
    return [None if np.isnan(value) else float(str(value)) for value in np.asarray(values, np.float32).ravel()]


def frame_vector(frame: Frame) -> dict[str, Any]:
    return {"time": float(frame.time), "joints": numbers(frame.joints), "confidence": numbers(frame.confidence)}


def _frames(random: np.random.Generator, count: int, persons: int = PERSONS) -> Iterator[tuple[Frame, Any]]:
    """Frames with jitter, pauses, missing joints (some hold NaN), and persons who are replaced."""
    time = float(random.uniform(0, 100))
    for _ in range(count):
        time += float(random.choice([0.033, 0.05, 0.1, 0.1003, 0.21, 0.7], p=[0.2, 0.2, 0.3, 0.1, 0.15, 0.05]))
        joints = random.normal(size=(persons, len(JOINTS), 3)).astype(np.float32)
        confidence = random.uniform(0.1, 1, size=joints.shape[:2]).astype(np.float32)
        missing = random.uniform(size=confidence.shape) < 0.25
        confidence[missing] = 0
        joints[missing & (random.uniform(size=confidence.shape) < 0.5)] = np.nan
        replaced = random.uniform(size=persons) < 0.1
        yield Frame(time, joints, confidence), replaced if replaced.any() else None


def resampler_vector(seed: int) -> dict[str, Any]:
    resampler = Resampler(RATE)
    pushes, settled = [], []
    for frame, replaced in _frames(np.random.default_rng(seed), 25):
        pushes.append(frame_vector(frame) | {"replaced": None if replaced is None else replaced.tolist()})
        settled.append([frame_vector(item) for item in resampler.push(frame, replaced)])
    return {"rate_hz": RATE, "persons": PERSONS, "joints": len(JOINTS), "frames": pushes, "settled": settled}


def ring_vector() -> dict[str, Any]:
    ring, steps = Ring(PERSONS, FRAMES, len(JOINTS)), []
    for index, (frame, _) in enumerate(_frames(np.random.default_rng(5), 12)):
        clean = Frame(frame.time, np.nan_to_num(frame.joints), frame.confidence)
        if index == 7:
            ring.forget(1)
        ring.push(clean)
        joints, confidence = ring.window()
        steps.append({"push": frame_vector(clean), "forget": 1 if index == 7 else None, "joints": numbers(joints),
                      "confidence": numbers(confidence)})
    return {"persons": PERSONS, "frames": FRAMES, "joints": len(JOINTS), "steps": steps}


class _Shares:
    """An engine whose answer a test can compute: class k is seen as much as joint k."""

    name = "shares"

    def __call__(self, joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
        shares = confidence.sum(axis=(0, 1, 2), dtype=np.float64)
        return (shares / shares.sum()).astype(np.float32), np.array([joints.mean(dtype=np.float64)], np.float32)


class _Traces:
    """A step engine whose answer a test can compute: the state is a fading trace of each joint's confidence and position. A joint
    that is very far away spoils it."""

    name = "traces"

    def step(self, joints: Float32, confidence: Float32, state: State) -> tuple[Float32, Float32, State]:
        seen, place = state[0].copy(), state[1].copy()
        half = np.float32(0.5)
        for frame, trust in zip(joints[0, 0], confidence[0, 0], strict=True):
            seen = half * seen + trust
            place = half * place + frame.ravel()[:4].reshape(place.shape)
        shares = seen[0].astype(np.float64) + (0.01 if np.abs(joints).max() < SPOILT else np.nan)
        return (shares / shares.sum()).astype(np.float32), place.ravel(), (seen, place)


class _Placed(Session):
    """A session whose persons come in their places, as an app hands them over."""

    replaced: Any = None

    def __init__(self, engine: _Shares, persons: int) -> None:
        super().__init__(engine, TOPOLOGY, LABELS, Window(persons, FRAMES, RATE, HOP))  # type: ignore[arg-type]

    def reset(self) -> None:
        super().reset()
        self._slots = self  # type: ignore[assignment]

    def assign(self, frame: Frame) -> tuple[Frame, Any]:
        """As ``edgeskel.runtime.tracking.Slots.assign``."""
        return frame, np.zeros(self.window.persons, bool) if self.replaced is None else self.replaced


def _config(threshold: float | None, smoothing: float, certainty: Mapping[str, Any]) -> EventConfig:
    """As a session applies a bundle's certainty; ``threshold`` overrides it."""
    found = event_config(certainty_of(certainty), threshold)
    return EventConfig(temperature=found.temperature, threshold=found.threshold, begin=found.begin, smoothing=smoothing)


def _named(naming: Naming, probabilities: Float32) -> dict[str, Any]:
    """An answer among others, calibrated, smoothed, named; where a session names an action that has ended."""
    naming.push(calibrated(probabilities, naming.config.temperature))
    assert naming.smooth is not None
    return {"label": naming.final(naming.smooth)[0], "probabilities": numbers(naming.smooth)}


def namings() -> Iterator[dict[str, Any]]:
    """Answers alone: many classes, certain ones, none at all, and on the edge of the threshold."""
    random = np.random.default_rng(11)
    for classes, smoothing, threshold, temperature in ((3, 0.5, 0.5, 1.0), (27, 0.5, 0.605, 0.604), (27, 0.3, 0.2, 2.5),
                                                       (60, 0.0, 0.9, 0.05), (5, 0.5, 0.6, 1e-3)):
        config = _config(None, smoothing, {"temperature": temperature, "threshold": threshold})
        logits = random.normal(scale=3, size=(6, classes)) * (np.arange(6) < 5)[:, None]  # the last one: all alike
        answers = np.exp(logits - logits.max(1, keepdims=True))
        answers = (answers / answers.sum(1, keepdims=True)).astype(np.float32)
        answers[0] = np.eye(classes, dtype=np.float32)[1]
        labels = [f"action {index}" for index in range(classes)]
        yield _naming(labels, config, answers)
    edge = [np.array([share, 1 - share], np.float32) for share in (0.7, np.nextafter(np.float32(0.7), np.float32(1)), 0.2, 0.25)]
    for threshold in (0.7, 0.75, 1.0, 0.0):  # 0.7 as float32 lies under 0.7, 0.75 lies on it
        yield _naming(["a", "b"], _config(None, 0.0, {"threshold": threshold}), edge)


def _naming(labels: list[str], config: EventConfig, answers: Any) -> dict[str, Any]:
    naming = Naming(tuple(labels), config)
    steps = [{"answer": numbers(answer)} | _named(naming, answer) for answer in answers]
    return {"labels": labels, "temperature": config.temperature, "threshold": config.threshold, "smoothing": config.smoothing,
            "steps": steps}


def windows(threshold: float | None, smoothing: float, seed: int, certainty: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A session by window: ``Session.push``, and its answers calibrated, smoothed and named."""
    session = _Placed(_Shares(), PERSONS)
    naming = Naming(LABELS, _config(threshold, smoothing, certainty or {}))

    def push(frame: Frame, replaced: Any) -> dict[str, Any] | None:
        paused = frame.time - session._latest > FRAMES / RATE
        waiting, settled = (0, 0) if paused else (session._waiting, session._ring.seen)
        seen = session.push(frame)
        due = waiting + session._ring.seen - settled >= HOP
        if paused or (replaced is not None and replaced.all()) or (due and seen is None):  # others, or nobody
            naming.clear()
        if seen is None:
            return None
        return {"time": seen.time, "embedding": numbers(seen.embedding)} | _named(naming, seen.probabilities)

    return _live(session, push, 70, threshold, smoothing, seed, {} if certainty is None else {"certainty": certainty})


def stepped(frames: int, threshold: float | None, smoothing: float, seed: int,
           certainty: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A session frame by frame: each settled frame through ``Stepper.push``; who was away for S frames is somebody new."""
    session = _Placed(_Shares(), 1)
    stepper = Stepper(_Traces(), StepForm(frames, 0, 0, STATES), len(JOINTS))  # type: ignore[arg-type]
    naming = Naming(LABELS, _config(threshold, smoothing, certainty or {}))
    memory, unseen = stepper.fresh(), FRAMES

    def push(frame: Frame, replaced: Any) -> dict[str, Any] | None:
        nonlocal memory, unseen
        paused = frame.time - session._latest > FRAMES / RATE
        settled = session.settle(frame)
        if paused or replaced is not None:
            memory, unseen = stepper.fresh(), FRAMES
            naming.clear()
        found = None
        for item in settled:
            unseen = 0 if item.confidence.any() else unseen + 1
            if unseen >= FRAMES:
                memory, found = stepper.fresh(), None
                naming.clear()
                continue
            try:
                answer = stepper.push(memory, item.joints[0], item.confidence[0])
            except EngineError:
                memory, unseen = stepper.fresh(), FRAMES
                raise
            if answer is not None:
                found = {"time": item.time, "embedding": numbers(answer[1])} | _named(naming, answer[0])
        return found

    form = {"frames": frames, "look_ahead": 0, "delay": 0,
            "states": [{"name": f"state_{index}", "shape": list(shape)} for index, shape in enumerate(STATES)]}
    more = {"step": form, "window": window(1)} | ({} if certainty is None else {"certainty": certainty})
    return _live(session, push, 90, threshold, smoothing, seed, more)


def _live(session: _Placed, push: Callable[[Frame, Any], dict[str, Any] | None], count: int, threshold: float | None,
          smoothing: float, seed: int, more: Mapping[str, Any]) -> dict[str, Any]:
    """Frames, some of which are refused, and what ``push`` makes of them."""
    steps: list[dict[str, Any]] = []
    time = 0.0
    for index, (frame, replaced) in enumerate(_frames(np.random.default_rng(seed), count, session.window.persons)):
        if index == 20:
            frame = Frame(time, frame.joints, frame.confidence)  # no later than the one before
        elif index == 22:
            frame = Frame(frame.time, frame.joints, np.full_like(frame.confidence, 1.5))
        elif index == 24:
            frame = Frame(frame.time + 1.7e18, frame.joints, frame.confidence)  # nanoseconds since 1970
        elif 30 <= index < 45:
            frame = Frame(frame.time, frame.joints, np.zeros_like(frame.confidence))  # nobody
        elif index in (60, 75):
            frame = Frame(frame.time, frame.joints * np.float32(1e8), frame.confidence)
        step: dict[str, Any] = {"frame": frame_vector(frame), "replaced": None if replaced is None else replaced.tolist()}
        session.replaced = replaced
        try:
            step["recognition"] = push(frame, replaced)
            time = frame.time
        except InvalidClip:
            step["refused"] = True
        except EngineError:
            step["broken"] = True
        steps.append(step)
    text = json.dumps(manifest(labels=list(LABELS), **more))
    return {"manifest": text, "threshold": threshold, "smoothing": smoothing, "steps": steps}
