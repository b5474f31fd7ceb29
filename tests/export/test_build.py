"""A bundle appears whole or not at all, and int8 comes from recordings or not at all."""

from __future__ import annotations

import errno
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeskel import models
from edgeskel.cli.main import main
from edgeskel.errors import CorruptFile, ExportError, LabelMismatch, UnknownChoice
from edgeskel.runtime.bundle import Bundle, Window
from export import artifacts, build, executorch
from export.artifacts import ArtifactMaker
from export.ranges import Ranges
from export.windows import synthetic_windows
from tests.export.conftest import small_recogniser

STRANGE = tuple(f"gesture {index}" for index in range(4))  # not the generator's actions: no data of its own kind here


@pytest.fixture(autouse=True)
def few_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "CALIBRATION", 4)
    monkeypatch.setattr(artifacts, "GOLDEN", 3)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Artifacts that cost nothing, for tests of what surrounds them."""
    monkeypatch.setattr(ArtifactMaker, "make", lambda self, name: (b"artifact " + name.encode(), {}))
    monkeypatch.setattr(ArtifactMaker, "prove", lambda self, path, kind, size: [])


def trained(**settings: Any) -> build.TrainedModel:
    return build.TrainedModel("small", small_recogniser(**settings))


def test_without_recordings_int8_is_left_out_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = ArtifactMaker.make
    monkeypatch.setattr(ArtifactMaker, "make",
                        lambda self, name: make(self, name) if "int8" in name else (b"x", {}))
    monkeypatch.setattr(ArtifactMaker, "prove", lambda self, path, kind, size: [])
    made = build.build(trained(labels=STRANGE), tmp_path / "b", target="host", kinds=("xnnpack-fp32", "xnnpack-int8"))
    assert [artifact.file for artifact in made.artifacts] == ["model.pte", "checkpoint/model.safetensors"]
    (left_out,) = made.manifest["omitted"]
    assert left_out["artifact"] == "xnnpack-int8" and "--calibration STORE" in left_out["reason"]
    assert "Left out: xnnpack-int8" in (tmp_path / "b" / "MODEL_CARD.md").read_text("utf-8")
    assert made.manifest["data"]["calibration"] is None


def test_asking_for_int8_without_recordings_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="needs recorded clips"):
        build.build(trained(labels=STRANGE), tmp_path / "b", target="host", kinds=("xnnpack-int8",), precisions=("int8",))
    assert list(tmp_path.iterdir()) == []


def test_a_precision_that_the_target_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="one of fp32"):
        build.build(trained(), tmp_path / "b", target="x", kinds=("onnx-fp32",), precisions=("fp16",))


@pytest.mark.parametrize(("given", "says"), [({"kinds": ("onnx-fp23",)}, "kind of artifact 'onnx-fp23'.*did you mean 'onnx-fp"),
                                             ({"kinds": ("onnx-fp32",), "programs": ("build.py",)}, "program 'build.py'")])
def test_an_unknown_kind_or_program_is_refused_before_anything_is_made(tmp_path: Path, given: dict[str, Any], says: str) -> None:
    with pytest.raises(UnknownChoice, match=says):
        build.build(trained(), tmp_path / "b", target="host", **given)
    assert list(tmp_path.iterdir()) == []


def test_a_step_form_of_a_recogniser_that_is_not_causal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="onnx-step of small, which is not causal"):
        build.build(trained(), tmp_path / "b", target="host", kinds=("onnx-step",))
    assert list(tmp_path.iterdir()) == []


def test_what_learned_from_generated_motion_is_calibrated_with_it() -> None:
    maker = ArtifactMaker(trained(), None)
    assert maker.calibration is not None and maker.calibration.origin.startswith("synthetic motion")
    assert set(maker.calibration.labels) <= set(maker.model.recogniser.config.labels)
    trained_elsewhere = build.TrainedModel("small", small_recogniser(), training={"dataset": "utd-mhad"})
    assert ArtifactMaker(trained_elsewhere, None).calibration is None


@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_or_an_interrupt_leaves_nothing(tmp_path: Path, stub: None, monkeypatch: pytest.MonkeyPatch,
                                                    stop: BaseException) -> None:
    def fail(*_: object) -> None:
        raise stop

    monkeypatch.setattr(artifacts, "write_golden", fail)
    with pytest.raises(type(stop)):
        build.build(trained(), tmp_path / "b", target="host", kinds=("onnx-fp32",))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_keeps_the_older_bundle(tmp_path: Path, stub: None, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "b"
    before = build.build(trained(), out, target="host", kinds=("onnx-fp32",)).digest

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "seal", stop)
    with pytest.raises(KeyboardInterrupt):
        build.build(trained(persons=2), out, target="host", kinds=("onnx-fp32",))
    assert Bundle.open(out).digest == before
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_an_artifact_that_strays_is_left_out_or_refused(tmp_path: Path, stub: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def stray(self: object, path: Path, kind: build.ArtifactKind, size: int) -> list[dict[str, Any]]:
        if kind.precision == "int8":
            raise ExportError("agreement 40 %")
        return []

    monkeypatch.setattr(ArtifactMaker, "prove", stray)
    kinds = ("onnx-fp32", "onnx-int8")
    made = build.build(trained(), tmp_path / "b", target="host", kinds=kinds)
    assert made.manifest["omitted"] == [{"artifact": "onnx-int8", "reason": "agreement 40 %"}]
    assert not (tmp_path / "b" / "model.int8.onnx").exists()
    with pytest.raises(ExportError, match="agreement 40"):
        build.build(trained(), tmp_path / "c", target="host", kinds=kinds, precisions=("int8",))


@pytest.mark.parametrize(("recorded", "remedy"), [(False, "--calibration STORE"), (True, "leave int8 out: --precision fp16 fp32")])
def test_where_int8_loses_too_much_the_remedy_is_what_was_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: bool, remedy: str
) -> None:
    nothing_passes = {**artifacts.TOLERANCE["int8"], "max_abs_diff": -1.0}
    monkeypatch.setattr(artifacts, "TOLERANCE", {**artifacts.TOLERANCE, "int8": nothing_passes})
    recogniser = small_recogniser()
    config = recogniser.config
    window = Window(config.persons, config.source_frames, config.rate_hz, config.hop)
    clips = synthetic_windows(config.topology, window, 3, config.labels)
    given = replace(clips, origin="a store, training part", data_digest="d" * 64) if recorded else None
    with pytest.raises(ExportError) as caught:
        build.build(build.TrainedModel("small", recogniser), tmp_path / "b", target="host", kinds=("onnx-int8",),
                    precisions=("int8",), calibration=given)
    assert remedy in caught.value.remedy and ("calibrat" in caught.value.remedy) is not recorded


def test_core_ml_says_why_it_is_not_made(tmp_path: Path, stub: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executorch, "coreml_obstacle", lambda: "the converter does not run on linux")
    with pytest.raises(ExportError, match="does not run on linux"):
        executorch.lower_coreml(None, {})  # type: ignore[arg-type]


def test_an_unknown_target_and_model_list_what_exists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "edge-demo", "--target", "jetsn"]) == 2
    error = capsys.readouterr().err
    assert all(name in error for name in ("android", "host", "ios", "jetson-orin-nano")) and "did you mean 'jetson'" in error
    assert main(["export", "no-such-model", "--target", "host"]) == 2
    assert "no-such-model" in capsys.readouterr().err


@pytest.mark.parametrize(("target", "package", "extra"), [
    ("jetson", "onnxsim", "export-jetson"), ("jetson", "torch", "export-jetson"), ("android", "torch", "export-mobile"),
    ("ios", "safetensors", "export-mobile"), ("host", "torch", "all")])
def test_a_missing_extra_says_the_command_for_that_target(
    target: str, package: str, extra: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["targets", "--json"]) == 0  # the parser itself looks for torch, the first time that it parses
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["export", str(checkpoint), "--target", target, "--out", str(tmp_path / "b")]) == 2
    assert f"pip install 'edgeskel[{extra}]'" in capsys.readouterr().err


def test_the_training_record_travels(checkpoint: Path, tmp_path: Path, stub: None) -> None:
    run = {"dataset": "utd-mhad", "data_digest": "d" * 64, "split": "cross-subject", "seed": 0, "history": [1]}
    made = build.build(build.TrainedModel("s", models.from_pretrained(checkpoint), "# A card\n", run), tmp_path / "b",
                       target="host", kinds=("onnx-fp32",))
    assert made.manifest["data"]["training"] == {key: run[key] for key in ("dataset", "data_digest", "split", "seed")}
    assert "# A card" in (tmp_path / "b" / "MODEL_CARD.md").read_text("utf-8")


def test_recorded_ranges_stand_in_for_the_recordings(bundle_folder: Path, tmp_path: Path) -> None:
    """int8 of the very same bytes, with no clip at hand; but only for the very same weights."""
    checkpoint = bundle_folder / "checkpoint"
    again = build.TrainedModel("small", models.from_pretrained(checkpoint), training={"dataset": "elsewhere"},
                         ranges=Ranges.read(checkpoint))
    made = build.build(again, tmp_path / "b", target="host", kinds=("onnx-int8", "xnnpack-int8"), precisions=("int8",),
                       tensorrt=(10, 3))
    assert made.manifest["files"]["model.int8.onnx"] == Bundle.open(bundle_folder).manifest["files"]["model.int8.onnx"]
    assert made.manifest["files"]["model.int8.pte"] == Bundle.open(bundle_folder).manifest["files"]["model.int8.pte"]
    assert made.manifest["data"]["calibration"] == Bundle.open(bundle_folder).manifest["data"]["calibration"]
    other = build.TrainedModel("small", small_recogniser(labels=STRANGE), ranges=Ranges.read(checkpoint))
    with pytest.raises(ExportError, match="needs recorded clips"):
        build.build(other, tmp_path / "c", target="host", kinds=("onnx-int8",), precisions=("int8",))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"weights": "x", "calibration": {}, "onnx": ["a"]}'])
def test_broken_ranges_are_refused(tmp_path: Path, text: str) -> None:
    assert Ranges.read(tmp_path) is None
    (tmp_path / "quantization.json").write_text(text)
    with pytest.raises(CorruptFile, match="recorded ranges"):
        Ranges.read(tmp_path)


def test_calibration_with_clips_of_other_actions_is_refused(tmp_path: Path, stub: None) -> None:
    recogniser = small_recogniser()
    config = recogniser.config
    window = Window(config.persons, config.source_frames, config.rate_hz, config.hop)
    clips = synthetic_windows(config.topology, window, 3, config.labels)
    foreign = replace(clips, labels=("throw", config.labels[0], "carry"), origin="nw-ucla, training part")
    with pytest.raises(LabelMismatch, match=r"nw-ucla.*'carry', 'throw', which small does not know.*without labels"):
        build.build(build.TrainedModel("small", recogniser), tmp_path / "b", target="host", kinds=("onnx-int8",),
                    calibration=foreign)
    assert list(tmp_path.iterdir()) == []
    unlabelled = replace(clips, labels=("", "", ""))
    assert ArtifactMaker(build.TrainedModel("small", recogniser), unlabelled).calibration is unlabelled
