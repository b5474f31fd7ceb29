"""What the phone packages are held against: computed by ``edgeskel.runtime``, written for Kotlin and Swift.

``python -m tests.targets.vectors`` writes the files that :data:`FILES` names; a test compares. A missing joint's NaN is
written as null.

Axes: M persons, S frames of the window, n frames of a step, V joints, K classes.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgeskel import topologies
from edgeskel.errors import BundleError, InvalidClip
from edgeskel.runtime import Certainty, event_config
from edgeskel.runtime.bundle import MANIFEST, SCHEMA, StepForm, Window, _read_manifest, certainty_of, manifest_digest, step_form
from edgeskel.runtime.events import EventConfig, Naming, calibrated
from edgeskel.runtime.session import Session
from edgeskel.runtime.stepping import Stepper
from edgeskel.runtime.timeline import Resampler, Ring
from edgeskel.skeleton import Float32, Frame, Topology
from edgeskel.topologies.remap import Remap
from firmware_bridge.cameras import mediapipe_pose

ROOT = Path(__file__).resolve().parents[2] / "targets"
JOINTS = ("head", "left_hand", "right_hand")
LABELS = ("wave", "clap", "größer")
TOPOLOGY = Topology("three", JOINTS, (-1, 0, 0))
PERSONS, FRAMES, RATE, HOP = 2, 5, 10.0, 3
STATES = ((1, len(JOINTS)), (1, 2, 2))


def golden() -> str:
    """Every vector, as JSON."""
    data = {"resampler": [_resampler(seed) for seed in range(3)], "ring": [_ring()],
            "naming": list(_namings()),
            "session": [_windows(0.5, 0.5, 1), _windows(0.2, 0.0, 2), _windows(None, 0.5, 3, {"temperature": 0.4, "threshold": 0.7}),
                        _windows(0.35, 0.25, 4, {"temperature": 2.5, "threshold": 0.9})],
            "step": [_steps(2, 0.2, 0.5, 6), _steps(1, None, 0.5, 7, {"temperature": 0.5, "threshold": 0.55})],
            "manifest": list(manifests()), "choice": list(_choices()), "file": list(_files()),
            "landmarks": [_landmarks(name) for name in ("kinect-v1", "coco-17", "mediapipe-33")]}
    return json.dumps(data, separators=(",", ":"), allow_nan=False) + "\n"


def _numbers(values: Any) -> list[float | None]:
    """As short as float32 allows: the text read as a double and rounded to a float is the value again."""
    return [None if np.isnan(value) else float(str(value)) for value in np.asarray(values, np.float32).ravel()]


def _frame(frame: Frame) -> dict[str, Any]:
    return {"time": float(frame.time), "joints": _numbers(frame.joints), "confidence": _numbers(frame.confidence)}


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


def _resampler(seed: int) -> dict[str, Any]:
    resampler = Resampler(RATE)
    pushes, settled = [], []
    for frame, replaced in _frames(np.random.default_rng(seed), 25):
        pushes.append(_frame(frame) | {"replaced": None if replaced is None else replaced.tolist()})
        settled.append([_frame(item) for item in resampler.push(frame, replaced)])
    return {"rate_hz": RATE, "persons": PERSONS, "joints": len(JOINTS), "frames": pushes, "settled": settled}


def _ring() -> dict[str, Any]:
    ring, steps = Ring(PERSONS, FRAMES, len(JOINTS)), []
    for index, (frame, _) in enumerate(_frames(np.random.default_rng(5), 12)):
        clean = Frame(frame.time, np.nan_to_num(frame.joints), frame.confidence)
        if index == 7:
            ring.forget(1)
        ring.push(clean)
        joints, confidence = ring.window()
        steps.append({"push": _frame(clean), "forget": 1 if index == 7 else None, "joints": _numbers(joints),
                      "confidence": _numbers(confidence)})
    return {"persons": PERSONS, "frames": FRAMES, "joints": len(JOINTS), "steps": steps}


class _Shares:
    """An engine whose answer a test can compute: class k is seen as much as joint k."""

    name = "shares"

    def __call__(self, joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
        shares = confidence.sum(axis=(0, 1, 2), dtype=np.float64)
        return (shares / shares.sum()).astype(np.float32), np.array([joints.mean(dtype=np.float64)], np.float32)


class _Traces:
    """A step engine whose answer a test can compute: the state is a fading trace of each joint's confidence and position."""

    name = "traces"

    def step(self, joints: Float32, confidence: Float32, state: tuple[Float32, ...]) -> tuple[Float32, Float32, tuple[Float32, ...]]:
        seen, place = state[0].copy(), state[1].copy()
        half = np.float32(0.5)
        for frame, trust in zip(joints[0, 0], confidence[0, 0], strict=True):
            seen = half * seen + trust
            place = half * place + frame.ravel()[:4].reshape(place.shape)
        shares = seen[0].astype(np.float64) + 0.01
        return (shares / shares.sum()).astype(np.float32), place.ravel(), (seen, place)


def _config(threshold: float | None, smoothing: float, certainty: Mapping[str, Any]) -> EventConfig:
    """As a session applies a bundle's certainty; ``threshold`` overrides it."""
    found = event_config(certainty_of(certainty), threshold)
    return EventConfig(temperature=found.temperature, threshold=found.threshold, begin=found.begin, smoothing=smoothing)


def _named(naming: Naming, probabilities: Float32) -> dict[str, Any]:
    """An answer among others, calibrated, smoothed, named; where a session names an action that has ended."""
    naming.push(calibrated(probabilities, naming.config.temperature))
    assert naming.smooth is not None
    return {"label": naming.final(naming.smooth)[0], "probabilities": _numbers(naming.smooth)}


def _namings() -> Iterator[dict[str, Any]]:
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
    steps = [{"answer": _numbers(answer)} | _named(naming, answer) for answer in answers]
    return {"labels": labels, "temperature": config.temperature, "threshold": config.threshold, "smoothing": config.smoothing,
            "steps": steps}


def _windows(threshold: float | None, smoothing: float, seed: int, certainty: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A session by window: ``Session.push``, and its answers calibrated, smoothed and named."""
    session = Session(_Shares(), TOPOLOGY, LABELS, Window(PERSONS, FRAMES, RATE, HOP))  # type: ignore[arg-type]
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
        return {"time": seen.time, "embedding": _numbers(seen.embedding)} | _named(naming, seen.probabilities)

    return _live(session, push, 70, threshold, smoothing, seed, {} if certainty is None else {"certainty": certainty})


def _steps(frames: int, threshold: float | None, smoothing: float, seed: int,
           certainty: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A session frame by frame: each settled frame through ``Stepper.push``; who was away for S frames is somebody new."""
    session = Session(_Shares(), TOPOLOGY, LABELS, Window(1, FRAMES, RATE, HOP))  # type: ignore[arg-type]
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
            elif (answer := stepper.push(memory, item.joints[0], item.confidence[0])) is not None:
                found = {"time": item.time, "embedding": _numbers(answer[1])} | _named(naming, answer[0])
        return found

    form = {"frames": frames, "look_ahead": 0, "delay": 0,
            "states": [{"name": f"state_{index}", "shape": list(shape)} for index, shape in enumerate(STATES)]}
    more = {"step": form, "window": _window(1)} | ({} if certainty is None else {"certainty": certainty})
    return _live(session, push, 90, threshold, smoothing, seed, more)


def _live(session: Session, push: Callable[[Frame, Any], dict[str, Any] | None], count: int, threshold: float | None,
          smoothing: float, seed: int, more: Mapping[str, Any]) -> dict[str, Any]:
    """Frames, some of which are refused, and what ``push`` makes of them."""
    steps: list[dict[str, Any]] = []
    time = 0.0
    for index, (frame, replaced) in enumerate(_frames(np.random.default_rng(seed), count, session.window.persons)):
        if index == 20:
            frame = Frame(time, frame.joints, frame.confidence)  # no later than the one before
        elif index == 22:
            frame = Frame(frame.time, frame.joints, np.full_like(frame.confidence, 1.5))
        elif 30 <= index < 45:
            frame = Frame(frame.time, frame.joints, np.zeros_like(frame.confidence))  # nobody
        step: dict[str, Any] = {"frame": _frame(frame), "replaced": None if replaced is None else replaced.tolist()}
        session._slots = _Places(replaced, session.window.persons)  # type: ignore[assignment]
        try:
            step["recognition"] = push(frame, replaced)
            time = frame.time
        except InvalidClip:
            step["refused"] = True
        steps.append(step)
    manifest = _manifest(labels=list(LABELS), **more)
    return {"manifest": json.dumps(manifest), "threshold": threshold, "smoothing": smoothing, "steps": steps}


class _Places:
    """Persons already in their places, as an app hands them over."""

    def __init__(self, replaced: Any, persons: int) -> None:
        self.replaced = np.zeros(persons, bool) if replaced is None else replaced

    def assign(self, frame: Frame) -> tuple[Frame, Any]:
        return frame, self.replaced


def _window(persons: int = PERSONS) -> dict[str, Any]:
    return {"persons": persons, "frames": FRAMES, "rate_hz": RATE, "hop": HOP}


def _manifest(**changes: Any) -> dict[str, Any]:
    model = hashlib.sha256(b"the model").hexdigest()
    content: dict[str, Any] = {
        "schema": SCHEMA, "name": "edge", "version": "0.1", "target": "android",
        "topology": TOPOLOGY.to_dict(),
        "labels": ["wave", "クラップ", "tab\tquote\"slash\\ \u007f \U0001f600"],
        "window": _window(),
        "artifacts": [{"file": "model.int8.pte", "precision": "int8", "engines": ["executorch"], "bytes": 9,
                       "tolerance": {"max_abs_diff": 1e-05, "agreement": 0.1, "big": 1e22, "none": None, "yes": True}},
                      {"file": "model.safetensors", "precision": "fp32", "engines": ["torch"]}],
        "files": {"model.int8.pte": model, "model.safetensors": model},
        "tools": {"executorch": "1.4.1"}, "é": 1, "\ue000": 2, "\U0001f600": 3, "z": -0.5, **changes,
    }
    return content | {"digest": manifest_digest(content)}


def manifests() -> Iterator[dict[str, Any]]:
    """Texts of manifests and whether the Python reader takes each."""
    whole = _manifest()
    facts = {"labels": whole["labels"], "hop": HOP, "artifact": "model.int8.pte"}
    yield verdict("as written", json.dumps(whole, indent=1) + "\n") | facts
    yield verdict("other order and spaces", json.dumps(dict(reversed(list(whole.items()))), ensure_ascii=False)) | facts
    yield verdict("a label altered", json.dumps(whole).replace("wave", "wove"))
    yield verdict("a number altered", json.dumps(whole).replace("1e-05", "2e-05"))
    yield verdict("another schema", json.dumps(_manifest(schema=SCHEMA + 1)))
    yield verdict("no digest", json.dumps({key: value for key, value in whole.items() if key != "digest"}))
    yield verdict("cut short", json.dumps(whole)[:-40])
    yield verdict("no object", "[1]")
    yield verdict("nothing", "")
    yield verdict("text behind", json.dumps(whole) + "x")
    for field in ("labels", "window", "files", "artifacts", "topology"):  # the digest fits, a field that is needed is absent
        content = {key: value for key, value in whole.items() if key not in (field, "digest")}
        yield {"what": f"without {field}", "text": json.dumps(content | {"digest": manifest_digest(content)}), "taken": False,
               "says": field}
    for certainty in ({}, {"temperature": 0.604, "threshold": 0.605, "from": {"clips": 108}}, {"temperature": 2}, {"threshold": 0},
                      {"threshold": 1}, {"temperature": 0}, {"temperature": -0.5}, {"temperature": None}, {"temperature": [1]},
                      {"temperature": math.inf}, {"temperature": "warm"}, {"threshold": -0.01}, {"threshold": 1.01},
                      {"threshold": math.nan}, {"threshold": {}}, [], None, 0.5, "sure"):
        yield _optional("certainty", certainty, lambda entry: _certainty_facts(certainty_of(entry)))
    steps = {"frames": 2, "look_ahead": 0, "delay": 0, "states": [{"name": "a", "shape": [1, 3]}, {"name": "b", "shape": [1, 2, 2]}]}
    for step in (steps, steps | {"states": []}, steps | {"frames": 0}, steps | {"states": [{"shape": [1, 0]}]},
                 steps | {"states": [{"name": "a"}]}, steps | {"states": 3}, {"frames": 2}, [], None):
        yield _optional("step", step, lambda entry: _step_facts(step_form(entry)))
    yield {"what": "a field twice", "text": '{"schema": 1, ' + json.dumps(whole)[1:], "taken": False}
    yield verdict("too deep", "[" * 2000)


def _choices() -> Iterator[dict[str, Any]]:
    """Which artifact is run, of a bundle with steps and one without; as ``edgeskel.runtime.load`` chooses."""
    plain = [("model.onnx", "fp32", "onnxruntime", None), ("model.int8.pte", "int8", "executorch", None),
             ("model.pte", "fp32", "executorch", "clip")]
    stepping = [("model.step.pte", "fp32", "executorch", "step"), *plain]
    expected = {(None, None): ("model.int8.pte", "model.step.pte"), ("fp32", None): ("model.pte", "model.step.pte"),
                ("int8", None): ("model.int8.pte", "model.int8.pte"), ("fp16", None): (None, None),
                (None, "WINDOW"): ("model.int8.pte", "model.int8.pte"), ("fp32", "WINDOW"): ("model.pte", "model.pte"),
                (None, "FRAME"): (None, "model.step.pte"), ("int8", "FRAME"): (None, None)}
    for index, listed in enumerate((plain, stepping)):
        artifacts = [{"file": file, "precision": precision, "engines": [engine]} | ({} if form is None else {"form": form})
                     for file, precision, engine, form in listed]
        text = json.dumps(_manifest(artifacts=artifacts, files={entry["file"]: "0" * 64 for entry in artifacts}))
        for (precision, way), files in expected.items():
            yield {"manifest": text, "precision": precision, "way": way, "file": files[index]}


def _certainty_facts(certainty: Certainty) -> dict[str, Any]:
    return {"temperature": certainty.temperature, "threshold": certainty.threshold}


def _step_facts(form: StepForm) -> dict[str, Any]:
    return {"step_frames": form.frames, "states": form.states}


def _optional(field: str, entry: Any, read: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """A vector: a whole manifest with an entry that a bundle need not have, and what Python reads there."""
    vector = {"what": f"{field} {json.dumps(entry)}", "text": json.dumps(_manifest(**{field: entry}))}
    try:
        return vector | {"taken": True} | read(entry)
    except (KeyError, TypeError, ValueError, AttributeError):  # what Bundle.open refuses
        return vector | {"taken": False} | ({} if "Infinity" in vector["text"] or "NaN" in vector["text"] else {"says": field})


def verdict(what: str, text: str) -> dict[str, Any]:
    """A vector: what ``edgeskel.runtime.bundle`` makes of this manifest."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / MANIFEST
        path.write_text(text, encoding="utf-8")
        try:
            _read_manifest(path)
        except BundleError:
            return {"what": what, "text": text, "taken": False}
    return {"what": what, "text": text, "taken": True}


def _files() -> Iterator[dict[str, Any]]:
    text = json.dumps(_manifest())
    for name, content, taken in (("model.int8.pte", "the model", True), ("model.int8.pte", "the modem", False),
                                 ("model.int8.pte", "", False), ("other.pte", "the model", False)):
        yield {"manifest": text, "name": name, "content": content, "taken": taken}


def recipes() -> dict[str, list[int]]:
    """Every joint that a built-in topology names -> the MediaPipe landmarks whose mean it is."""
    source = topologies.get("mediapipe-33")
    found: dict[str, list[int]] = {}
    for name in topologies.names():
        target = topologies.get(name)
        plan = Remap.between(source, target)
        found |= {joint: list(recipe) for joint, recipe in zip(target.joints, plan.recipes, strict=True) if recipe}
    return dict(sorted(found.items()))


def _landmarks(topology: str) -> dict[str, Any]:
    """World landmarks of one picture, and the frame that a source here makes of them."""
    random = np.random.default_rng(3)
    world = random.normal(scale=0.5, size=(1, 33, 3)).astype(np.float32)
    visibility = np.round(random.uniform(0, 1, size=(1, 33)), 3).astype(np.float32)
    visibility[0, ::5] = 0
    frame = mediapipe_pose.convert(1.5, world, visibility)
    target = topologies.get(topology)
    joints, confidence = Remap.between(topologies.get("mediapipe-33"), target)(frame.joints, frame.confidence)
    return {"joints": list(target.joints), "world": _numbers(world), "visibility": _numbers(visibility),
            "frame": _frame(Frame(1.5, joints, confidence))}


def landmarks_kt() -> str:
    """The recipes as Kotlin."""
    rows = ",\n".join(f'    "{joint}" to intArrayOf({", ".join(map(str, marks))})' for joint, marks in recipes().items())
    return ("package edgeskel.sample\n\n"
            "/** Joint -> the MediaPipe landmarks whose mean it is. Generated by python -m tests.targets.vectors. */\n"
            f"internal val LANDMARKS = mapOf(\n{rows}\n)\n")


def landmarks_swift() -> str:
    """The recipes as Swift."""
    rows = "\n".join(f'    "{joint}": {marks},' for joint, marks in recipes().items())
    return ("/// Joint -> the MediaPipe landmarks whose mean it is. Generated by python -m tests.targets.vectors.\n"
            f"let landmarks: [String: [Int]] = [\n{rows}\n]\n")


FILES: Mapping[Path, Callable[[], str]] = {
    ROOT / "android/edgeskel/src/test/resources/golden.json": golden,
    ROOT / "ios/Tests/EdgeskelTests/golden.json": golden,
    ROOT / "android/sample/src/main/kotlin/edgeskel/sample/Landmarks.kt": landmarks_kt,
    ROOT / "ios/Sample/Pose/Landmarks.swift": landmarks_swift,
}


def main() -> int:
    """Write the files."""
    for path, content in FILES.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content(), encoding="utf-8")
        sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
