"""A bundle is read whole and unaltered, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeskel.errors import BundleError
from edgeskel.runtime.bundle import Bundle

from .conftest import FRAMES, LABELS, PERSONS, seal


def test_a_whole_bundle_opens_and_says_what_is_in_it(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    assert opened.labels == LABELS
    assert (opened.window.persons, opened.window.frames) == (PERSONS, FRAMES)
    assert opened.topology.joints[0] == "pelvis"
    assert opened.artifacts[0].engines == ("tensorrt", "onnxruntime")
    assert opened.golden.joints.shape == (4, PERSONS, FRAMES, 20, 3)


OLD = Path(__file__).parent / "bundle_of_schema_1"


def test_a_bundle_of_an_earlier_version_opens_and_recognises() -> None:
    """Written by version 0.1.0: the digest of what the manifest says stands in the manifest."""
    from edgeskel.runtime import load

    opened = Bundle.open(OLD)
    assert opened.labels == LABELS and opened.digest == opened.manifest["digest"] and set(opened.content) == set(os.listdir(OLD))
    assert load(OLD, engine="onnxruntime").recognise(opened.golden.joints[0]).label in LABELS


@pytest.mark.parametrize("change", [{"labels": ["up", "left", "front"]}, {"digest": "0" * 64}, {"schema": 2}])
def test_a_bundle_of_an_earlier_version_that_was_altered_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    copy = Path(shutil.copytree(OLD, tmp_path / "old"))
    content = json.loads((copy / "manifest.json").read_text("utf-8"))
    (copy / "manifest.json").write_text(json.dumps(content, indent=3), "utf-8")
    Bundle.open(copy)  # of such a bundle the content counts, not the bytes
    (copy / "manifest.json").write_text(json.dumps(content | change), "utf-8")
    with pytest.raises(BundleError, match="digest|sha256"):
        Bundle.open(copy)


def test_the_digest_is_what_sha256sum_says(bundle: Path) -> None:
    content = (bundle / "manifest.json").read_bytes()
    assert (bundle / "manifest.sha256").read_text() == f"{hashlib.sha256(content).hexdigest()}  manifest.json\n"
    assert Bundle.open(bundle).digest == hashlib.sha256(content).hexdigest()


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_flipped_bit_in_any_file_is_noticed(bundle: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(bundle.iterdir())))
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    bit = data.draw(st.integers(0, 7))
    path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :])
    try:
        with pytest.raises(BundleError):
            Bundle.open(bundle)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sha256", "model.onnx", "golden.npz"])
def test_a_truncated_or_absent_file_is_named(bundle: Path, name: str) -> None:
    path = bundle / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BundleError, match=name):
        Bundle.open(bundle)
    path.unlink()
    with pytest.raises(BundleError, match=name):
        Bundle.open(bundle)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 3}, "schema 3"),
        ({"schema": True}, "schema True"),
        ({"labels": None}, "malformed"),
        ({"certainty": {"temperature": 10**400}}, "malformed"),
        ({"certainty": {"threshold": "0.6"}}, "malformed"),
        ({"certainty": {"temperature": True}}, "malformed"),
        ({"window": {"persons": 1, "frames": float("inf"), "rate_hz": 30.0, "hop": 4}}, "malformed"),
        ({"window": {"persons": 1}}, "frames"),
        ({"window": {"persons": 1, "frames": 0, "rate_hz": 30, "hop": 1}}, "positive"),
        ({"topology": {"name": "x", "joints": ["a", "a"], "parents": [-1, 0]}}, "joints"),
        ({"files": {"../outside": "0" * 64}}, "outside|not among"),
        ({"files": {}}, "not among its files"),
        ({"artifacts": [], "files": {"../x": "0"}}, "outside the bundle"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(bundle: Path, changes: dict[str, object], message: str) -> None:
    seal(bundle, **changes)
    with pytest.raises(BundleError, match=message):
        Bundle.open(bundle)


WHOLE = {"persons": PERSONS, "frames": FRAMES, "rate_hz": 30.0, "hop": 4}
STEP = {"frames": 1, "look_ahead": 0, "delay": 0, "states": [{"shape": [1, 3]}]}


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        *(({"window": {**WHOLE, "rate_hz": rate}}, "window.rate_hz") for rate in (1e6, 1e300, 5e-324, float("nan"), -1, 0, 10**30)),
        *(({"window": {**WHOLE, name: 10**9}}, f"window.{name}") for name in ("persons", "frames", "hop")),
        ({"window": {**WHOLE, "frames": 3.5}}, "window.frames"),
        ({"window": {**WHOLE, "persons": True}}, "window.persons"),
        ({"step": {**STEP, "frames": 10**7}}, "step.frames"),
        ({"step": {**STEP, "states": [{"shape": [1, 10**9]}]}}, r"step.states[].shape[]"),
        ({"step": {**STEP, "states": [{"shape": [1_000_000, 1_000_000]}]}}, "the state of one person"),
        ({"window": {**WHOLE, "persons": 64, "frames": 10_000}}, "one window"),
        ({"certainty": {"temperature": 1e-300}}, "certainty.temperature"),
        ({"budget": {"p95_ms": 1e300}}, "budget.p95_ms"),
        ({"budget": {"p95_ms": "soon"}}, "budget.p95_ms"),
        ({"parameters": float("inf")}, "parameters"),
        ({"anything": {"else": [float("nan")]}}, "anything.else[]"),
        ({"labels": ["a"] * 10_001}, "labels"),
        ({"labels": ["a" * 201]}, "the name"),
        ({"labels": ["\ud800"]}, "the name"),
        ({"topology": {"name": "x", "joints": [str(n) for n in range(1001)], "parents": [-1] + [0] * 1000}}, "topology"),
    ],
)
def test_a_number_outside_its_range_is_named(bundle: Path, changes: dict[str, object], place: str) -> None:
    seal(bundle, **changes)
    with pytest.raises(BundleError) as caught:
        Bundle.open(bundle)
    assert place in str(caught.value) and caught.value.expected


NUMBERS = st.one_of(
    st.floats(), st.integers(), st.integers(-3, 70), st.sampled_from([10**400, -(10**400), 1e6, 1e300, 5e-324]),
    st.booleans(), st.none(), st.text(max_size=4),
)


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_a_manifest_it_is_a_bundle_or_refused(bundle: Path, data: st.DataObject) -> None:
    """Every leaf and every part of a real manifest, replaced: nothing hangs, and nothing but a BundleError comes out."""
    seal(bundle, step=STEP, certainty={"temperature": 1.5, "threshold": 0.4}, budget={"p95_ms": 20.0})
    content = json.loads((bundle / "manifest.json").read_text())
    place: object = content
    for _ in range(data.draw(st.integers(0, 4))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place))) if isinstance(place, list) else []
        inner = [key for key in keys if isinstance(place[key], (dict, list)) and place[key]]  # type: ignore[index]
        if not inner:
            break
        place = place[data.draw(st.sampled_from(inner))]  # type: ignore[index]
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))  # type: ignore[arg-type]
    value = data.draw(NUMBERS | st.lists(NUMBERS, max_size=3) | st.dictionaries(st.text(max_size=3), NUMBERS, max_size=3))
    place[data.draw(st.sampled_from(keys))] = value  # type: ignore[index]
    seal(bundle, **content)
    try:
        opened = Bundle.open(bundle)
        golden = opened.golden
    except BundleError as error:
        assert error.seen
        return
    assert 0.1 <= opened.window.rate_hz <= 1000 and len(golden) and 0 < opened.certainty.temperature <= 1000


def test_a_pipe_in_the_place_of_a_file_holds_nobody(bundle: Path) -> None:
    for name in ("model.onnx", "manifest.json"):
        (bundle / name).unlink()
        os.mkfifo(bundle / name)
        with pytest.raises(BundleError, match="regular file"):
            Bundle.open(bundle)


def test_a_golden_file_of_other_windows_is_refused(bundle: Path) -> None:
    np.savez(
        bundle / "golden.npz",
        joints=np.zeros((1, 1, 8, 20, 3)),
        confidence=np.zeros((1, 1, 8, 20)),
        probabilities=np.zeros((1, 3)),
        embedding=np.zeros((1, 3)),
    )
    seal(bundle)
    with pytest.raises(BundleError, match="golden"):
        _ = Bundle.open(bundle).golden


def test_a_pickle_inside_golden_is_never_opened(bundle: Path) -> None:
    np.savez(bundle / "golden.npz", joints=np.array([object()], dtype=object))
    seal(bundle)
    with pytest.raises(BundleError, match="golden"):
        _ = Bundle.open(bundle).golden
