"""A bundle is read whole and unaltered, or not at all."""

from __future__ import annotations

import json
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


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_flipped_bit_in_any_file_is_noticed(bundle: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(bundle.iterdir())))
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    bit = data.draw(st.integers(0, 7))
    path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :])
    try:
        if path.name == "manifest.json":  # a flip may leave the same content: white space, or the case of an escape
            try:
                same = json.loads(path.read_text()) == json.loads(whole)
            except ValueError:
                same = False
            if same:
                return
        with pytest.raises(BundleError):
            Bundle.open(bundle)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "golden.npz"])
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
        ({"schema": 2}, "schema 2"),
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
