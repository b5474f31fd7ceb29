"""Manifests that the phone packages take or refuse as ``edgeskel.runtime`` does, and what they read there."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgeskel.errors import BundleError
from edgeskel.runtime import ranges
from edgeskel.runtime.bundle import MANIFEST, SCHEMA, SEAL, certainty_of, step_form
from edgeskel.runtime.manifest import content_digest, read_manifest, seal_of
from edgeskel.runtime.segmentation import segmenter_of
from edgeskel.skeleton import Topology

JOINTS = ("head", "left_hand", "right_hand")
TOPOLOGY = Topology("three", JOINTS, (-1, 0, 0))
PERSONS, FRAMES, RATE, HOP = 2, 5, 10.0, 3


def window(persons: int = PERSONS) -> dict[str, Any]:
    return {"persons": persons, "frames": FRAMES, "rate_hz": RATE, "hop": HOP}


def manifest(**changes: Any) -> dict[str, Any]:
    model = hashlib.sha256(b"the model").hexdigest()
    return {
        "schema": SCHEMA, "name": "edge", "version": "0.1", "target": "android",
        "topology": TOPOLOGY.to_dict(),
        "labels": ["wave", "クラップ", "tab\tquote\"slash\\ \u007f \U0001f600"],
        "window": window(),
        "artifacts": [{"file": "model.int8.pte", "precision": "int8", "engines": ["executorch"], "bytes": 9,
                       "tolerance": {"max_abs_diff": 1e-05, "agreement": 0.1, "big": 1e22, "none": None, "yes": True}},
                      {"file": "model.safetensors", "precision": "fp32", "engines": ["torch"]}],
        "files": {"model.int8.pte": model, "model.safetensors": model},
        "tools": {"executorch": "1.4.1"}, "é": 1, "\ue000": 2, "\U0001f600": 3, "z": -0.5, **changes,
    }


def sealed(text: str) -> dict[str, str]:
    """The text of a manifest, and what stands in ``manifest.sha256`` beside it."""
    return {"text": text, "seal": seal_of(text.encode())}


def manifests() -> Iterator[dict[str, Any]]:
    """Texts of manifests and whether the Python reader takes each."""
    whole = manifest()
    facts = {"labels": whole["labels"], "hop": HOP, "artifact": "model.int8.pte"}
    text = json.dumps(whole)
    yield verdict("as written", json.dumps(whole, indent=1) + "\n") | facts
    yield verdict("other order and spaces", json.dumps(dict(reversed(list(whole.items()))), ensure_ascii=False)) | facts
    yield verdict("a label altered", text.replace("wave", "wove"), seal_of(text.encode()))
    yield verdict("a space more", text + " ", seal_of(text.encode()))
    yield verdict("another schema", json.dumps(manifest(schema=SCHEMA + 1)))
    yield verdict("no digest", text, None)
    yield verdict("half a digest", text, seal_of(text.encode())[:40])
    yield verdict("a digest alone", text, seal_of(text.encode()).split()[0])
    yield verdict("cut short", text[:-40])
    yield verdict("no object", "[1]")
    yield verdict("nothing", "")
    for field in ("labels", "window", "files", "artifacts", "topology"):  # the digest fits, a field that is needed is absent
        content = {key: value for key, value in whole.items() if key != field}
        yield {"what": f"without {field}", **sealed(json.dumps(content)), "taken": False, "says": field}
    old = manifest(schema=1)
    yield verdict("of schema 1", json.dumps(old | {"digest": content_digest(old)}, indent=1), None) | facts
    kept = (Path(__file__).parents[1] / "runtime/bundle_of_schema_1/manifest.json").read_text("utf-8")
    yield verdict("of a bundle of version 0.1.0", kept, None) | {"labels": ["left", "up", "front"], "hop": 4}
    for segmenter in ({}, {"start": 0.4, "stop": 0.2, "still_s": 1.5, "longest_s": 9},
                      {"shortest_s": 0.3, "margin_s": 0.05}, {"start": 0.2, "stop": 0.3},
                      {"still_s": 0.01}, {"start": "slow"}, {"later": True}, [], None):
        yield _optional("segmenter", segmenter, _segmenter)
    for certainty in ({}, {"temperature": 0.604, "threshold": 0.605, "from": {"clips": 108}}, {"temperature": 2}, {"threshold": 0},
                      {"threshold": 1}, {"temperature": 0}, {"temperature": -0.5}, {"temperature": None}, {"temperature": [1]},
                      {"temperature": math.inf}, {"temperature": "warm"}, {"threshold": -0.01}, {"threshold": 1.01},
                      {"threshold": math.nan}, {"threshold": {}}, [], None, 0.5, "sure"):
        yield _optional("certainty", certainty, _certainty)
    states = [{"name": "a", "shape": [1, 3]}, {"name": "b", "shape": [1, 2, 2]}]
    steps: dict[str, Any] = {"frames": 2, "look_ahead": 0, "delay": 0, "states": states}
    for step in (steps, steps | {"states": []}, steps | {"frames": 0}, steps | {"states": [{"shape": [1, 0]}]},
                 steps | {"states": [{"name": "a"}]}, steps | {"states": 3}, {"frames": 2}, [], None):
        yield _optional("step", step, _step)
    yield verdict("too deep", "[" * 2000)


def ranged() -> Iterator[dict[str, Any]]:
    """Manifests with one number at an end of its range, beyond it, or no number; judged by ``edgeskel.runtime.ranges``."""
    step = {"frames": 2, "look_ahead": 0, "delay": 0, "states": [{"name": "a", "shape": [1, 3]}]}
    whole = manifest(window=window(1), step=step, certainty={"temperature": 1, "threshold": 0.5}, budget={"p95_ms": 9},
                     parameters=7, segmenter={"start": 10, "stop": 0.02, "still_s": 1, "longest_s": 9, "shortest_s": 0.3,
                                                  "margin_s": 0.1})
    whole["artifacts"][0]["tolerance"]["top1_drop"] = 1
    whole["artifacts"][0]["measured"] = [{"agreement": 1, "median_ms": 0.5}]
    for place, allowed in ranges.RANGES.items():
        outside = (allowed.least - 1, math.nextafter(allowed.least, -math.inf), allowed.most * 1.01, 1e300, 5e-324, -1, 1 << 70)
        inside = (allowed.least, allowed.most, (allowed.least + allowed.most) / 2, float(max(1, allowed.least)))
        for number in (*inside, *outside, True, None, "1"):
            yield _judged(f"{place} of {number!r}", place, _with(whole, place.replace("[]", ".0").split("."), number))
    for number in (1e31, -1e31, 1e30, -1e30, 10**400, 0):
        says = "z" if abs(number) < 1 << 1000 else "manifest.json"  # what no double holds, JSON readers refuse without its place
        yield _judged(f"another number of {number!r}"[:60], says, _with(whole, ["z"], number))
    many = _with(_with(whole, ["window", "frames"], 10_000), ["window", "persons"], 64)
    yield _judged("windows that are too large", "window", _with(many, ["topology", "joints"], [str(i) for i in range(6)]))
    yield _judged("a state that is too large", "state", _with(whole, ["step", "states", "0", "shape"], [10_000, 1_001]))


def _with(manifest: Any, place: Sequence[str], value: object) -> Any:
    """A copy with another value at a place."""
    if not place:
        return value
    if isinstance(manifest, list):
        return [_with(item, place[1:], value) if str(index) == place[0] else item for index, item in enumerate(manifest)]
    return {**manifest, place[0]: _with(manifest[place[0]], place[1:], value)}


def _judged(what: str, says: str, content: dict[str, Any]) -> dict[str, Any]:
    """A vector: whether Python's ranges take this manifest, whose digest fits."""
    size = 3 * int(content["window"]["persons"] or 0) * int(content["window"]["frames"] or 0) * len(content["topology"]["joints"])
    try:
        ranges.check_numbers(content, MANIFEST)
        ranges.check_size(size, sum(math.prod(state["shape"]) for state in content["step"]["states"]), MANIFEST)
    except BundleError:
        return {"what": what, **sealed(json.dumps(content)), "taken": False, "says": says}
    return {"what": what, **sealed(json.dumps(content)), "taken": True}


def choices() -> Iterator[dict[str, Any]]:
    """Which artifact is run, of a bundle with steps and one without; as ``edgeskel.runtime.load`` chooses."""
    plain = [("model.onnx", "fp32", "onnxruntime", None), ("model.int8.pte", "int8", "executorch", None),
             ("model.pte", "fp32", "executorch", "clip")]
    stepping = [("model.step.pte", "fp32", "executorch", "step"), *plain]
    expected = {(None, None): ("model.int8.pte", "model.step.pte"), ("fp32", None): ("model.pte", "model.step.pte"),
                ("int8", None): ("model.int8.pte", "model.int8.pte"), ("fp16", None): (None, None),
                (None, "SLIDING_WINDOW"): ("model.int8.pte", "model.int8.pte"),
                ("fp32", "SLIDING_WINDOW"): ("model.pte", "model.pte"),
                (None, "STREAMING"): (None, "model.step.pte"), ("int8", "STREAMING"): (None, None)}
    for index, listed in enumerate((plain, stepping)):
        artifacts = [{"file": file, "precision": precision, "engines": [engine]} | ({} if form is None else {"form": form})
                     for file, precision, engine, form in listed]
        text = json.dumps(manifest(artifacts=artifacts, files={entry["file"]: "0" * 64 for entry in artifacts}))
        for (precision, mode), files in expected.items():
            yield {**sealed(text), "precision": precision, "mode": mode, "file": files[index]}


def unsteppable() -> list[dict[str, str]]:
    """Manifests of which no steps can be run: they do not say how, or for several persons."""
    step = {"frames": 1, "look_ahead": 0, "delay": 0, "states": []}
    return [sealed(json.dumps(manifest(window=window(1)))), sealed(json.dumps(manifest(step=step)))]


def _certainty(entry: Any) -> dict[str, Any]:
    found = certainty_of(entry)
    return {"temperature": found.temperature, "threshold": found.threshold}


def _segmenter(entry: Any) -> dict[str, Any]:
    found = segmenter_of(entry)
    return {"segmenter": [found.start, found.stop, found.still_s, found.longest_s, found.shortest_s, found.margin_s]}


def _step(entry: Any) -> dict[str, Any]:
    found = step_form(entry)
    return {"step_frames": found.frames, "states": found.states}


def _optional(field: str, entry: Any, read: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """A vector: a whole manifest with an entry that a bundle need not have, and what Python reads there."""
    vector = {"what": f"{field} {json.dumps(entry)}", **sealed(json.dumps(manifest(**{field: entry})))}
    try:
        ranges.check_numbers(manifest(**{field: entry}), MANIFEST)
        return vector | {"taken": True} | read(entry)
    except (KeyError, TypeError, ValueError, AttributeError, BundleError):  # what Bundle.open refuses
        return vector | {"taken": False} | ({} if "Infinity" in vector["text"] or "NaN" in vector["text"] else {"says": field})


def verdict(what: str, text: str, seal: str | None = "fits") -> dict[str, Any]:
    """A vector: what ``edgeskel.runtime.manifest`` makes of this manifest, with that digest beside it; None is none."""
    seal = seal_of(text.encode()) if seal == "fits" else seal
    with TemporaryDirectory() as folder:
        (Path(folder) / MANIFEST).write_bytes(text.encode())
        if seal is not None:
            (Path(folder) / SEAL).write_bytes(seal.encode())
        try:
            read_manifest(Path(folder))
        except BundleError:
            return {"what": what, "text": text, "seal": seal, "taken": False}
    return {"what": what, "text": text, "seal": seal, "taken": True}


def files() -> Iterator[dict[str, Any]]:
    text = json.dumps(manifest())
    for name, content, taken in (("model.int8.pte", "the model", True), ("model.int8.pte", "the modem", False),
                                 ("model.int8.pte", "", False), ("other.pte", "the model", False)):
        yield {**sealed(text), "name": name, "content": content, "taken": taken}
