"""Engines agree on golden inputs and on real clips; a disagreement fails with its numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel.cli.main import main
from edgeskel.data import split
from edgeskel.errors import BundleError, LabelMismatch, TopologyMismatch
from edgeskel.runtime import engines
from edgeskel.runtime.bundle import MANIFEST, Bundle, file_digest
from edgeskel.runtime.comparison import describe, run_windows
from export.bundle import write_manifest
from export.verify import as_rows, require_agreement, verify
from export.windows import WindowSet, calibration_windows, test_windows
from tests.conftest import ROOT
from tests.runtime.conftest import seal, write_bundle

RUNS_HERE = {("model.onnx", "onnxruntime"), ("model.fp16.onnx", "onnxruntime"), ("model.int8.onnx", "onnxruntime"),
             ("model.pte", "executorch"), ("model.int8.pte", "executorch"), ("checkpoint/model.safetensors", "torch")}


@pytest.fixture(scope="module")
def real(utd_store: Any, bundle_folder: Path) -> WindowSet:
    bundle = Bundle.open(bundle_folder)
    return calibration_windows(utd_store, split(utd_store, "cross-subject"), bundle.topology, bundle.window, 24)


def test_every_artifact_agrees_on_golden_and_real_clips(bundle_folder: Path, real: WindowSet) -> None:
    bundle = Bundle.open(bundle_folder)
    # The small recogniser knows other actions; its own first answer stands for a label here.
    labelled = WindowSet(real.joints, real.confidence, tuple(bundle.labels[0] for _ in real.labels), real.sources, real.origin)
    outcomes, skipped = verify(bundle, labelled, threads=1)
    require_agreement(outcomes, bundle_folder)
    rows = as_rows(outcomes)
    assert {(row["file"], row["engine"]) for row in rows} == RUNS_HERE
    assert set(skipped) == {f"{name} on tensorrt" for name in ("model.onnx", "model.fp16.onnx", "model.int8.onnx")}
    told = {row["file"]: row["integer_kernels"] for row in rows if row["integer_kernels"] is not None}
    assert set(told) == {"model.int8.onnx"} and told["model.int8.onnx"]["says"]  # right or wrong, as this processor has it
    for row in rows:
        assert row["windows"] == 24 and row["golden"]["agreement"] >= row["tolerance"]["agreement"]
        if row["precision"] == "fp32":
            assert row["agreement"] == 1.0 and row["max_abs_diff"] < 1e-4


@pytest.mark.parametrize("name", ["onnxruntime", "executorch", "torch"])
def test_missing_joints_may_hold_nan_on_every_engine(bundle_folder: Path, name: str) -> None:
    bundle = Bundle.open(bundle_folder)
    artifact = next(a for a in bundle.artifacts if name in a.engines and a.precision == "fp32")
    engine = engines.get(name)(bundle.file(artifact.file), bundle.manifest, 1)
    joints, confidence = bundle.golden.joints[:1], bundle.golden.confidence[:1].copy()
    confidence[:, :, 3:5, 2:9] = 0
    expected = run_windows(engine, joints, confidence).probabilities
    for other in (np.nan, np.inf, 1e6):
        broken = np.where(confidence[..., None] > 0, joints, np.float32(other))
        np.testing.assert_allclose(run_windows(engine, broken, confidence).probabilities, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["onnxruntime", "executorch"])
def test_poor_windows_are_finite_on_every_engine(bundle_folder: Path, name: str) -> None:
    bundle = Bundle.open(bundle_folder)
    artifact = next(a for a in bundle.artifacts if name in a.engines and a.precision == "fp32")
    engine = engines.get(name)(bundle.file(artifact.file), bundle.manifest, 1)
    golden = bundle.golden
    nothing = np.zeros_like(golden.confidence[:1])
    one_frame = golden.confidence[:1].copy()
    one_frame[:, :, 1:] = 0
    for joints in (golden.joints[:1], np.full_like(golden.joints[:1], np.nan)):
        for confidence in (nothing, one_frame):
            if confidence is one_frame and np.isnan(joints).all():
                continue
            answers = run_windows(engine, joints, confidence)
            assert np.isfinite(answers.probabilities).all() and answers.probabilities.sum() == pytest.approx(1, abs=1e-4)


def altered(bundle_folder: Path, tmp_path: Path, file: str, content: bytes) -> Path:
    """A copy with one file replaced and every digest made to fit."""
    copy = Path(shutil.copytree(bundle_folder, tmp_path / "altered"))
    (copy / file).write_bytes(content)
    manifest = json.loads((copy / MANIFEST).read_text("utf-8"))
    manifest["files"][file] = file_digest(copy / file)
    write_manifest(copy, manifest)
    return copy


def test_a_disagreement_fails_with_its_numbers(bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(bundle_folder / "model.onnx")
    weight = next(t for t in model.graph.initializer if "classifier.weight" in t.name)
    weight.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weight), weight.name))
    copy = altered(bundle_folder, tmp_path, "model.onnx", model.SerializeToString())
    assert main(["verify", str(copy), "--threads", "1", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["passed"]
    (line,) = found["disagreements"]
    assert line.startswith("model.onnx on onnxruntime") and "agreement" in line and "difference" in line
    assert [row["file"] for row in found["artifacts"] if not row["passed"]] == ["model.onnx"]


def test_the_command_prints_what_scripts_read(bundle_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(bundle_folder), "--threads", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["artifacts"]
    assert {(row["file"], row["engine"]) for row in rows} == RUNS_HERE
    assert all({"agreement", "max_abs_diff", "top1", "bytes", "median_ms"} <= set(row) for row in rows)
    assert main(["verify", str(ROOT), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "BundleError"


def test_the_wrong_store_is_refused(utd_store: Any, bundle_folder: Path) -> None:
    bundle = Bundle.open(bundle_folder)
    with pytest.raises(LabelMismatch, match="recogniser lacks"):
        test_windows(utd_store, split(utd_store, "cross-subject"), bundle.topology, bundle.labels, bundle.window)
    from edgeskel import topologies

    with pytest.raises(TopologyMismatch, match="kinect-v1"):
        calibration_windows(utd_store, split(utd_store), topologies.get("kinect-v2"), bundle.window, 8)


test_windows.__test__ = False  # type: ignore[attr-defined]  # it is ours, not a test


def test_calibration_never_reads_the_test_part(utd_store: Any, real: WindowSet) -> None:
    tested = {utd_store.index["source"][i] for i in split(utd_store, "cross-subject").test}
    tested = {source.decode() if isinstance(source, bytes) else str(source) for source in tested}
    assert not tested & set(real.sources) and len(set(real.sources)) == 24
    assert len(set(real.labels)) == 24  # spread over the classes
    assert len(real.digest) == 64 and real.data_digest == utd_store.digest


def test_bench_measures_every_pair(bundle_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(bundle_folder), "--runs", "16", "--engine", "onnxruntime", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["artifacts"]
    assert {row["file"] for row in rows} == {"model.onnx", "model.fp16.onnx", "model.int8.onnx"}
    assert 1 in {row["threads"] for row in rows}
    for row in rows:
        assert 0 < row["median_ms"] <= row["p95_ms"] <= row["p99_ms"] and row["peak_memory_mb"] > 10


@pytest.fixture
def onnx_only(tmp_path: Path) -> Path:
    """A bundle without the recogniser's own weights, as it lies on a device: nothing there gives reference answers."""
    write_bundle(tmp_path / "onnx-only")
    entry = {"file": "model.onnx", "format": "onnx", "precision": "fp32", "engines": ["onnxruntime"], "bytes": 400,
             "tolerance": {"agreement": 1.0, "max_abs_diff": 1e-4, "top1_drop": 0.0}}
    seal(tmp_path / "onnx-only", artifacts=[entry])
    return tmp_path / "onnx-only"


def test_without_the_reference_nothing_is_said_about_agreement(onnx_only: Path) -> None:
    bundle = Bundle.open(onnx_only)
    golden = bundle.golden
    labels = tuple(bundle.labels[index] for index in golden.probabilities.argmax(1))
    labelled = WindowSet(golden.joints, golden.confidence, labels, labels, "a test part")
    outcomes, _ = verify(bundle, labelled, threads=1)
    (row,) = as_rows(outcomes)
    assert row["agreement"] is None and row["max_abs_diff"] is None and row["reference_top1"] is None
    assert "torch" in row["not_compared"]
    assert row["top1"] == 100.0 and row["passed"] and row["on"] == "a test part"
    assert row["golden"]["agreement"] == 1.0 and row["golden"]["max_abs_diff"] < 1e-4
    assert "compared with nothing, top-1 100.00 %" in describe(outcomes[-1])


@pytest.mark.parametrize("change", [{"tolerance": None}, {"tolerance": {"agreement": 1.0}}, {"bytes": "many"}])
def test_a_manifest_that_does_not_say_by_what_to_judge_is_refused(onnx_only: Path, change: dict[str, Any]) -> None:
    entry = {**Bundle.open(onnx_only).artifacts[0].details, **change}
    seal(onnx_only, artifacts=[entry])
    with pytest.raises(BundleError, match=r"(model\.onnx has .*max_abs_diff|artifacts\[\]\.bytes is 'many').*export anew"):
        verify(Bundle.open(onnx_only))


def test_no_threads_are_wrong_usage(onnx_only: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(onnx_only), "--threads", "0", "--json"]) == 2
    assert "at least 1" in json.loads(capsys.readouterr().out)["error"]["expected"]
