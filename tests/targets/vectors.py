"""What the phone packages are held against: computed by ``edgeskel.runtime``, written for Kotlin and Swift.

``python -m tests.targets.vectors`` writes the files that :data:`FILES` names; a test compares. A missing joint's NaN is
written as null.

Axes: M persons, S frames of the window, V joints.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgeskel import topologies
from edgeskel.errors import BundleError, InvalidClip
from edgeskel.runtime.bundle import MANIFEST, SCHEMA, Window, _read_manifest, manifest_digest
from edgeskel.runtime.session import Session
from edgeskel.runtime.timeline import Resampler, Ring
from edgeskel.skeleton import Float32, Frame, Topology
from edgeskel.topologies.remap import Remap
from firmware_bridge.cameras import mediapipe_pose

ROOT = Path(__file__).resolve().parents[2] / "targets"
JOINTS = ("head", "left_hand", "right_hand")
PERSONS, FRAMES, RATE, HOP = 2, 5, 10.0, 3


def golden() -> str:
    """Every vector, as JSON."""
    data = {"resampler": [_resampler(seed) for seed in range(3)], "ring": [_ring()],
            "session": [_session(0.5, 0.5, 1), _session(0.2, 0.0, 2)], "manifest": list(manifests()), "file": list(_files()),
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


def _session(threshold: float, smoothing: float, seed: int) -> dict[str, Any]:
    topology = Topology("three", JOINTS, (-1, 0, 0))
    labels = ("wave", "clap", "größer")
    session = Session(_Shares(), topology, labels, Window(PERSONS, FRAMES, RATE, HOP))  # type: ignore[arg-type]
    kept: Float32 | None = None
    steps: list[dict[str, Any]] = []
    time = 0.0
    for index, (frame, replaced) in enumerate(_frames(np.random.default_rng(seed), 70)):
        if index == 20:
            frame = Frame(time, frame.joints, frame.confidence)  # no later than the one before
        elif index == 22:
            frame = Frame(frame.time, frame.joints, np.full_like(frame.confidence, 1.5))
        elif 30 <= index < 45:
            frame = Frame(frame.time, frame.joints, np.zeros_like(frame.confidence))  # nobody
        step: dict[str, Any] = {"frame": _frame(frame), "replaced": None if replaced is None else replaced.tolist()}
        session._slots = _Places(replaced)  # type: ignore[assignment]
        paused = frame.time - session._latest > FRAMES / RATE
        waiting, settled = (0, 0) if paused else (session._waiting, session._ring.seen)
        try:
            seen = session.push(frame)
        except InvalidClip:
            step["refused"] = True
            steps.append(step)
            continue
        time = frame.time
        due = waiting + session._ring.seen - settled >= HOP
        if paused or (due and seen is None):  # nobody is in the window
            kept = None
        step["recognition"] = None
        if seen is not None:
            share = np.float32(0 if kept is None else smoothing)
            mixed = share * (seen.probabilities if kept is None else kept) + (1 - share) * seen.probabilities
            kept = mixed
            best = int(mixed.argmax())
            step["recognition"] = {"label": labels[best] if mixed[best] >= threshold else None, "time": seen.time,
                                   "probabilities": _numbers(mixed), "embedding": _numbers(seen.embedding)}
        steps.append(step)
    manifest = _manifest(labels=list(labels), topology=topology.to_dict())
    return {"manifest": json.dumps(manifest), "threshold": threshold, "smoothing": smoothing, "steps": steps}


class _Places:
    """Persons already in their places, as an app hands them over."""

    def __init__(self, replaced: Any) -> None:
        self.replaced = np.zeros(PERSONS, bool) if replaced is None else replaced

    def assign(self, frame: Frame) -> tuple[Frame, Any]:
        return frame, self.replaced


def _manifest(**changes: Any) -> dict[str, Any]:
    model = hashlib.sha256(b"the model").hexdigest()
    content: dict[str, Any] = {
        "schema": SCHEMA, "name": "edge", "version": "0.1", "target": "android",
        "topology": Topology("three", JOINTS, (-1, 0, 0)).to_dict(),
        "labels": ["wave", "クラップ", "tab\tquote\"slash\\ \u007f \U0001f600"],
        "window": {"persons": PERSONS, "frames": FRAMES, "rate_hz": RATE, "hop": HOP},
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
        yield {"what": f"without {field}", "text": json.dumps(content | {"digest": manifest_digest(content)}), "taken": False}
    yield {"what": "a field twice", "text": '{"schema": 1, ' + json.dumps(whole)[1:], "taken": False}
    yield verdict("too deep", "[" * 2000)


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
