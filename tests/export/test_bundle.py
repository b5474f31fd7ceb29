"""What is written reads back; what was altered does not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeskel.errors import BundleError
from edgeskel.runtime.bundle import Bundle

FILES = ("manifest.json", "manifest.sha256",
         "model.onnx", "model.int8.pte", "golden.npz", "checkpoint/model.safetensors", "checkpoint/config.json",
         "MODEL_CARD.md", "LICENSE", "build_engine.py")


@pytest.fixture(scope="module")
def copy_of(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(bundle_folder, tmp_path_factory.mktemp("copy") / "bundle"))


def test_the_manifest_says_it_all(bundle_folder: Path) -> None:
    bundle = Bundle.open(bundle_folder)
    manifest = bundle.manifest
    assert (bundle.name, bundle.target, bundle.topology.name) == ("small", "host", "kinect-v1")
    assert set(FILES) - {"manifest.json", "manifest.sha256"} <= set(manifest["files"])
    assert manifest["inputs"][0]["shape"] == [1, 1, 32, 20, 3] and manifest["outputs"][0]["shape"] == [1, 6]
    assert {"torch", "onnx", "executorch", "python"} <= set(manifest["tools"])
    assert manifest["data"]["calibration"]["clips"] > 0 and len(manifest["data"]["calibration"]["digest"]) == 64
    for artifact in manifest["artifacts"]:
        assert artifact["bytes"] == (bundle_folder / artifact["file"]).stat().st_size
        assert artifact["sha256"] == manifest["files"][artifact["file"]]
        assert set(artifact["tolerance"]) == {"agreement", "max_abs_diff", "top1_drop"}
    assert manifest["artifacts"][0]["measured"][0]["agreement"] == 1.0
    golden = bundle.golden
    assert len(golden) >= 8 and np.isfinite(golden.joints).all() and (golden.confidence > 0).mean() > 0.3
    assert "small for host" in (bundle_folder / "MODEL_CARD.md").read_text("utf-8")
    assert "Apache License" in (bundle_folder / "LICENSE").read_text("utf-8")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_is_found(copy_of: Path, name: str, place: float, bit: int) -> None:
    path = copy_of / name
    whole = path.read_bytes()
    position = int(place * len(whole))
    altered = whole[:position] + bytes([whole[position] ^ (1 << bit)]) + whole[position + 1 :]
    path.write_bytes(altered)
    try:
        with pytest.raises(BundleError):
            Bundle.open(copy_of)
    finally:
        path.write_bytes(whole)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_manifest_is_refused(copy_of: Path, share: float) -> None:
    path = copy_of / "manifest.json"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * (len(whole) - 2))])
    try:
        with pytest.raises(BundleError):
            Bundle.open(copy_of)
    finally:
        path.write_bytes(whole)


def test_a_missing_file_and_a_forged_manifest_are_refused(copy_of: Path) -> None:
    (copy_of / "model.onnx").rename(copy_of / "away")
    with pytest.raises(BundleError, match=r"model\.onnx"):
        Bundle.open(copy_of)
    (copy_of / "away").rename(copy_of / "model.onnx")
    path = copy_of / "manifest.json"
    whole = path.read_text("utf-8")
    manifest = json.loads(whole)
    manifest["labels"][0], manifest["labels"][1] = manifest["labels"][1], manifest["labels"][0]
    path.write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(BundleError, match="an unaltered manifest"):
        Bundle.open(copy_of)
    path.write_text(whole, "utf-8")
    Bundle.open(copy_of)
