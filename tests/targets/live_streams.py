"""Live streams and the events that they must give, whoever recognises: Python, Kotlin, Swift, a device's service.

``live_streams.json`` holds them. The network is replayed: each of its calls gives the next of a stream's ``answers``, and what went
into each call is kept as four sums. ``python -m tests.targets.live_streams`` writes the file: synthetic streams are made here,
recorded ones, which need the data sets, by :mod:`tests.targets.recorded_streams`.

Places are millimetres in 16 bits and confidences hundredths in 8, so that every implementation begins with the very same numbers.

Axes: P persons of a frame, V joints, K classes, n frames of a step.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgeskel.runtime import Event, Session, event_config
from edgeskel.runtime.bundle import Bundle, Window, certainty_of, step_form
from edgeskel.runtime.engines import State
from edgeskel.runtime.manifest import SCHEMA, seal_of
from edgeskel.runtime.segmentation import segmenter_of
from edgeskel.runtime.step_artifact import Stepper
from edgeskel.skeleton import Float32, Frame, Topology

FILE = Path(__file__).with_suffix(".json")
STATES = [[1, 2]]
TIME_FRAMES, CONFIDENCE, SUMS = 1.0, 1e-4, 1e-4
"""How far an event's times may be off, in frames; its confidence; a sum of an input, as a share of it."""

Stream = dict[str, Any]
RECORDING = ("layout", "times", "persons", "joints", "confidence", "patches", "cut")
"""What a source gives."""
RECORDED = "recorded:"
"""How the names of recorded streams begin."""


class Replayed:
    """An engine that gives the next answer at each call, and keeps sums of what it was given. Its state counts the steps and fades
    the confidences that it saw, so that a state that was lost or mixed up shows."""

    name = "replayed"

    def __init__(self, answers: Sequence[Sequence[float]], form: Any = None, joints: int = 0) -> None:
        self.answers = [np.array(answer, np.float32) for answer in answers]
        self.inputs: list[list[float]] = []
        self.stepper = None if form is None else Stepper(self, form, joints)

    @staticmethod
    def available() -> str | None:
        return None

    def __call__(self, joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
        return self._answer(joints, confidence, ())

    def step(self, joints: Float32, confidence: Float32, state: State) -> tuple[Float32, Float32, State]:
        seen = np.float32(confidence.sum(dtype=np.float64))
        after = np.array([[state[0][0, 0] + 1, np.float32(0.5) * state[0][0, 1] + seen]], np.float32)
        return (*self._answer(joints, confidence, after.ravel().tolist()), (after,))

    def _answer(self, joints: Float32, confidence: Float32, more: Sequence[float]) -> tuple[Float32, Float32]:
        self.inputs.append([*sums(np.where(confidence[..., None] > 0, joints, 0)), *sums(confidence), *more])
        index = len(self.inputs) - 1
        return self.answers[index % len(self.answers)], np.array([index], np.float32)


def sums(values: Any) -> list[float]:
    """The sum, and one in which the places differ."""
    flat = np.asarray(values, np.float64).ravel()
    return [round(float(flat.sum()), 6), round(float((flat * (1 + np.arange(len(flat)) % 97)).sum()), 6)]


def frames_of(stream: Stream) -> list[Frame]:
    """The frames as a source would give them."""
    joints = np.frombuffer(base64.b64decode(stream["joints"]), "<i2").astype(np.float32) / np.float32(1000)
    confidence = np.frombuffer(base64.b64decode(stream["confidence"]), "u1").astype(np.float32) / np.float32(100)
    size, at, found = len(stream["layout"]), 0, []
    for index, (time, persons) in enumerate(zip(stream["times"], stream["persons"], strict=True)):
        places, trust = joints[3 * at : 3 * (at + persons * size)].copy(), confidence[at : at + persons * size].copy()
        at += persons * size
        for patch in stream["patches"]:
            if patch["frame"] == index:
                (places if patch["what"] == "joints" else trust)[patch["index"]] = float(patch["value"])
        if index in stream["cut"]:  # another layout: its last joint is gone
            found.append(Frame(time, places.reshape(persons, size, 3)[:, :-1], trust.reshape(persons, size)[:, :-1]))
        else:
            found.append(Frame(time, places.reshape(persons, size, 3), trust.reshape(persons, size)))
    return found


def session_of(stream: Stream) -> tuple[Session, Replayed]:
    """A session as the stream's manifest says, and its engine."""
    manifest = json.loads(stream["manifest"])
    window = Window(*(manifest["window"][name] for name in ("persons", "frames", "rate_hz", "hop")))
    form = step_form(manifest["step"]) if stream["mode"] == "streaming" else None
    engine = Replayed(stream["answers"], form, len(stream["layout"]))
    config = event_config(certainty_of(manifest["certainty"]), segmenter=segmenter_of(manifest.get("segmenter", {})))
    topology = Topology.from_dict(manifest["topology"])
    return Session(engine, topology, manifest["labels"], window, stepper=engine.stepper, config=config), engine


def bundle_of(stream: Stream) -> Bundle:
    """What a device's service knows of it."""
    manifest = json.loads(stream["manifest"])
    window = Window(*(manifest["window"][name] for name in ("persons", "frames", "rate_hz", "hop")))
    return Bundle(Path("nowhere"), manifest, "", "streams", "host", Topology.from_dict(manifest["topology"]),
                  tuple(manifest["labels"]), window, (), step_form(manifest["step"]), certainty_of(manifest["certainty"]),
                  segmenter_of(manifest.get("segmenter", {})))


def told(event: Event) -> dict[str, Any]:
    """An event as the file holds it."""
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(event).items()}


def played(stream: Stream) -> dict[str, Any]:
    """What ``Session.step`` makes of a stream."""
    session, engine = session_of(stream)
    events = [event for frame in frames_of(stream) for event in session.step(frame)] + session.finish()
    return {"events": [told(event) for event in events], "inputs": engine.inputs, "refused": dict(sorted(session.refused.items()))}


def mismatches(stream: Stream, seen: Mapping[str, Any]) -> list[str]:
    """Where what was seen differs from what the stream must give; empty where it agrees."""
    expected, name = stream["expected"], stream["name"]
    period = 1 / json.loads(stream["manifest"])["window"]["rate_hz"]
    found = []
    if len(seen["events"]) != len(expected["events"]):
        found.append(f"{name}: {len(seen['events'])} events, expected {len(expected['events'])}")
    for index, (want, got) in enumerate(zip(expected["events"], seen["events"], strict=False)):
        same = all(want[field] == got[field] for field in ("kind", "person", "label"))
        times = [(want[field], got[field]) for field in ("start", "end", "time")]
        timed = all(a == b if a is None or b is None else abs(a - b) <= TIME_FRAMES * period for a, b in times)
        if not (same and timed and abs(want["confidence"] - got["confidence"]) <= CONFIDENCE):
            found.append(f"{name}: event {index} is {got}, expected {want}")
    if "refused" in seen and dict(seen["refused"]) != expected["refused"]:
        found.append(f"{name}: left out {seen['refused']}, expected {expected['refused']}")
    if "inputs" in seen:
        found += _inputs(name, expected["inputs"], seen["inputs"])
    return found


def _inputs(name: str, expected: Sequence[Sequence[float]], seen: Sequence[Sequence[float]]) -> list[str]:
    if len(expected) != len(seen):
        return [f"{name}: the network was asked {len(seen)} times, expected {len(expected)}"]
    return [f"{name}: call {index} of the network was given {got}, expected {want}"
            for index, (want, got) in enumerate(zip(expected, seen, strict=True))
            if len(want) != len(got) or any(abs(a - b) > SUMS * max(1.0, abs(a)) for a, b in zip(want, got, strict=True))]


# --- how streams are made ---

LAYOUT = ("left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_hand", "right_hand")
BODY = np.array([(-0.18, 1.42, 0), (0.18, 1.42, 0), (-0.1, 0.95, 0), (0.1, 0.95, 0), (-0.25, 0.9, 0.1), (0.25, 0.9, 0.1)])
LABELS = ("wave", "clap", "größer")
SURE = [[0.9, 0.06, 0.04]]
Moves = Sequence[tuple[float, float]]


def manifest(layout: Sequence[str] = LAYOUT, labels: Sequence[str] = LABELS, persons: int = 1, frames: int = 48, rate: float = 30.0,
             hop: int = 4, step: int = 4, **more: Any) -> str:
    """The text of a manifest, with what a session goes by."""
    parents = [-1] + [0] * (len(layout) - 1)
    return json.dumps({
        "schema": SCHEMA, "name": "streams", "target": "host", "labels": list(labels), "artifacts": [], "files": {},
        "topology": {"name": "small", "joints": list(layout), "parents": parents, "pairs": [], "parts": {}, "aliases": []},
        "window": {"persons": persons, "frames": frames, "rate_hz": rate, "hop": hop},
        "step": {"frames": step, "look_ahead": 0, "delay": 0, "states": [{"name": "state_0", "shape": shape} for shape in STATES]},
        **{"certainty": {"temperature": 1.0, "threshold": 0.5}, **more},
    })


def stream(name: str, mode: str, times: Sequence[float], bodies: Sequence[Sequence[Any]],
           answers: Sequence[Sequence[float]] = SURE, *, confidence: Callable[[int, Any], Any] | None = None,
           patches: Sequence[Mapping[str, Any]] = (), cut: Sequence[int] = (), layout: Sequence[str] = LAYOUT,
           **more: Any) -> Stream:
    """A stream without its events.

    Args:
        times: of the frames.
        bodies: for each frame a list of (V, 3) metres.
        answers: of the network, one after the other and then from the start again.
        confidence: (frame, (P, V) ones) -> hundredths.
        patches: single numbers that 16 bits cannot hold.
        cut: frames that lack their last joint.
        more: of the manifest.
    """
    places = [np.asarray(frame, np.float64).reshape(-1, 3) for frame in bodies]
    trust = [np.full((len(frame), len(layout)), 100) for frame in bodies]
    if confidence is not None:
        trust = [confidence(index, ones) for index, ones in enumerate(trust)]
    text = manifest(layout, **more)
    return {
        "name": name, "mode": mode, "manifest": text, "seal": seal_of(text.encode()), "layout": list(layout),
        "times": [round(float(time), 6) for time in times], "persons": [len(frame) for frame in bodies],
        "joints": base64.b64encode(np.rint(1000 * np.concatenate(places)).astype("<i2").tobytes()).decode(),
        "confidence": base64.b64encode(np.concatenate([one.ravel() for one in trust]).astype("u1").tobytes()).decode(),
        "patches": list(patches), "cut": list(cut), "answers": [list(answer) for answer in answers],
    }


def moving(times: Any, moves: Moves, seed: int = 0, at: tuple[float, float] = (0.0, 2.5), noise: float = 0.002, reach: float = 0.3,
           hertz: float = 1.5) -> list[Any]:
    """A body at (x, z) whose hands swing during ``moves``: for each time (V, 3) metres, with a sensor's noise."""
    random = np.random.default_rng(seed)
    found = []
    for time in times:
        body = BODY + np.array([at[0], 0, at[1]]) + random.normal(scale=noise, size=BODY.shape)
        for start, end in moves:
            if start <= time <= end:
                swing = reach * np.sin(2 * np.pi * hertz * (time - start))
                body[4:] += np.array([[swing, 0.5 * abs(swing), 0], [-0.3 * swing, abs(swing), 0]])
        found.append(body)
    return found


def alone(bodies: Sequence[Any]) -> list[list[Any]]:
    return [[body] for body in bodies]


def regular(seconds: float, rate: float = 30.0, start: float = 0.0) -> Any:
    return start + np.arange(round(seconds * rate)) / rate


def scores(seed: int, blocks: Sequence[tuple[int, int, float]]) -> list[list[float]]:
    """Answers in blocks of (how many, class, about how sure), with some noise."""
    random = np.random.default_rng(seed)
    found = []
    for count, label, sure in blocks:
        for _ in range(count):
            top = float(np.clip(sure + random.normal(scale=0.03), 0.05, 0.98))
            rest = random.dirichlet(np.ones(len(LABELS) - 1)) * (1 - top)
            found.append([round(float(value), 4) for value in np.insert(rest, label, top)])
    return found


def synthetic() -> list[Stream]:
    """Every synthetic stream: both modes on the same frames where the case is one of the frames."""
    from tests.targets.live_cases import cases

    return [stream(name, mode, **dict(case)) for name, mode, case in cases()]


def text(all_streams: Sequence[Stream]) -> str:
    """A file of these streams, each with what Python makes of it. What two modes are given alike stands there once."""
    recordings: list[Stream] = []
    streams = []
    for one in all_streams:
        recording = {name: one[name] for name in RECORDING}
        if recording not in recordings:
            recordings.append(recording)
        rest = {name: value for name, value in one.items() if name not in (*RECORDING, "recording", "expected")}
        streams.append({**rest, "recording": recordings.index(recording), "expected": played(one)})
    return '{"recordings":' + _lines(recordings) + ',"streams":' + _lines(streams) + "}\n"


def _lines(items: Sequence[Stream]) -> str:
    """One line each, so that a change shows where it is."""
    lines = (json.dumps(item, ensure_ascii=False, separators=(",", ":"), allow_nan=False) for item in items)
    return "[\n" + ",\n".join(lines) + "\n]"


def read(path: Path = FILE) -> list[Stream]:
    """The streams of the file."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return [{**found["recordings"][one["recording"]], **one} for one in found["streams"]]


def write(recorded: Sequence[Stream]) -> None:
    """The file anew, with these recorded streams."""
    FILE.write_text(text([*synthetic(), *recorded]), encoding="utf-8")
    sys.stdout.write(f"wrote {FILE}\n")


if __name__ == "__main__":
    write([one for one in read() if one["name"].startswith(RECORDED)])
