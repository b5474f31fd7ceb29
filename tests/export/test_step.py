"""The step form of a causal recogniser in a bundle: on every engine it ends a window with the clip form's answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeskel import models, runtime
from edgeskel.errors import BundleError, EngineError, UnknownChoice
from edgeskel.runtime.bundle import Bundle
from edgeskel.runtime.step_artifact import Stepper, open_stepper
from export import build
from export.verify import require_agreement, verify
from tests.export.conftest import small_recogniser


def small_live() -> models.Recogniser:
    clip = small_recogniser(source_frames=48, frames=48)
    live = models.create("edge-live", **{**vars(clip.config), "strides": (1, 2)})
    live.load_state_dict(clip.state_dict())
    return live.eval()


@pytest.fixture(scope="module")
def bundle(once: Callable[..., Path]) -> Bundle:
    def make(out: Path) -> None:
        certainty = {"temperature": 0.6, "threshold": 0.8}
        build.build(build.TrainedModel("small-live", small_live(), probability_calibration=certainty), out, target="host",
                    kinds=("onnx-fp32", "onnx-fp16", "xnnpack-fp32"))

    return Bundle.open(once("small-live-bundle", make))


def test_the_manifest_says_how_the_steps_are_fed(bundle: Bundle) -> None:
    form = bundle.step
    assert form is not None and (form.frames, form.look_ahead, form.delay) == (4, 0, 0)
    assert {artifact.file: artifact.form for artifact in bundle.artifacts} == {
        "model.onnx": "clip", "model.fp16.onnx": "clip", "model.pte": "clip", "model.step.onnx": "step", "model.step.pte": "step",
        "checkpoint/model.safetensors": "clip",
    }
    assert (bundle.certainty.temperature, bundle.certainty.threshold) == (0.6, 0.8)
    assert all(len(shape) <= 4 for shape in form.states)
    entries = {artifact.file: artifact.details for artifact in bundle.artifacts}
    assert entries["model.step.pte"]["undelegated"] is not None
    assert "feed 4 new frames and the state (`state_0`" in (bundle.path / "MODEL_CARD.md").read_text("utf-8")


def test_steps_and_windows_agree_on_every_engine(bundle: Bundle) -> None:
    outcomes, _ = verify(bundle, threads=1)
    require_agreement(outcomes, bundle.path)
    assert {(o.file, o.engine) for o in outcomes if "step" in o.file} == {("model.step.onnx", "onnxruntime"),
                                                                        ("model.step.pte", "executorch")}
    assert all(o.max_abs_diff is not None and o.max_abs_diff < 1e-4 for o in outcomes if "step" in o.file)


def test_every_step_of_every_engine_is_that_of_torch(bundle: Bundle) -> None:
    """Not the last one only, and the state too; on rests, motion, a missing person and joints of NaN."""
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(80, 20, 3)).cumsum(0).astype(np.float32) * 0.05 + np.float32((0, 1, 3))
    confidence = (rng.random((80, 20)) > 0.1).astype(np.float32)
    confidence[32:48] = 0
    joints[confidence == 0] = np.nan
    reference = runtime.session_of(models.from_pretrained(bundle.path / "checkpoint"), threads=1).stepper
    assert reference is not None
    steppers = [reference, *(open_stepper(bundle, artifact, artifact.engines[0], 1)
                             for artifact in bundle.artifacts if artifact.form == "step")]
    assert len(steppers) == 3
    memories = [stepper.fresh() for stepper in steppers]
    for index in range(80):
        answers = [stepper.push(memory, joints[index], confidence[index])
                   for stepper, memory in zip(steppers, memories, strict=True)]
        assert (answers[0] is not None) == (index % 4 == 3)
        if answers[0] is None:
            continue
        for answer, memory in zip(answers[1:], memories[1:], strict=True):
            assert answer is not None
            np.testing.assert_allclose(answer[0], answers[0][0], atol=1e-5)
            for ours, theirs in zip(memory.state, memories[0].state, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_people_on_one_engine_do_not_see_each_others_state(bundle: Bundle) -> None:
    artifact = next(a for a in bundle.artifacts if a.file == "model.step.pte")
    stepper = open_stepper(bundle, artifact, "executorch", 1)
    rng = np.random.default_rng(1)
    joints, confidence = rng.normal(size=(2, 24, 20, 3)).astype(np.float32), np.ones(20, np.float32)
    apart = [_all(stepper, joints[person], confidence) for person in (0, 1)]
    memories = [stepper.fresh(), stepper.fresh()]
    in_turns: list[list[np.ndarray]] = [[], []]
    for index in range(24):
        for person in (0, 1):
            answer = stepper.push(memories[person], joints[person, index], confidence)
            if answer is not None:
                in_turns[person].append(answer[0])
    np.testing.assert_array_equal(in_turns, apart)


def test_the_phones_may_hand_the_state_back_as_it_came(bundle: Bundle) -> None:
    """They take each output of the file as flat numbers, with the shape that the manifest says."""
    torch = pytest.importorskip("torch")
    artifact = next(a for a in bundle.artifacts if a.file == "model.step.pte")
    stepper = open_stepper(bundle, artifact, "executorch", 1)
    memory = stepper.fresh()
    values = (memory.joints[None, None], memory.confidence[None, None] + 1, *memory.state)
    outputs = stepper.engine._module.forward([torch.from_numpy(value) for value in values])  # type: ignore[attr-defined]
    assert [tuple(output.shape) for output in outputs[2:]] == list(stepper.form.states)
    assert all(output.is_contiguous() and output.dtype == torch.float32 for output in outputs)


def _all(stepper: Stepper, joints: np.ndarray, confidence: np.ndarray) -> list[np.ndarray]:
    memory = stepper.fresh()
    answers = (stepper.push(memory, frame, confidence) for frame in joints)
    return [answer[0] for answer in answers if answer is not None]


@pytest.mark.parametrize("engine", ["onnxruntime", "executorch", "torch"])
def test_a_session_goes_frame_by_frame_where_it_can(bundle: Bundle, engine: str) -> None:
    if engine == "torch":  # the checkpoint in a bundle is the reference of the windows; steps of torch come from the model
        assert runtime.load(bundle.path, engine=engine).mode == "sliding-window"
        return
    session = runtime.load(bundle.path, engine=engine, threads=1)
    assert session.mode == "streaming" and session.config.temperature == 0.6
    assert runtime.load(bundle.path, engine=engine, mode="sliding-window").mode == "sliding-window"


def test_a_mode_that_is_not_there_is_refused(bundle: Bundle, bundle_folder: Path) -> None:
    with pytest.raises(UnknownChoice, match="expected one of sliding-window, streaming"):
        runtime.load(bundle.path, mode="backwards")
    with pytest.raises(EngineError):
        runtime.load(bundle_folder, mode="streaming", engine="onnxruntime")


@pytest.mark.parametrize("change", [{"frames": 0}, {"frames": "four"}, {"states": [{"shape": [0]}]}, {"states": 3},
                                    {"delay": None}])
def test_a_step_that_makes_no_sense_is_refused(bundle: Bundle, tmp_path: Path, change: dict[str, object]) -> None:
    from tests.runtime.conftest import seal, write_bundle

    write_bundle(tmp_path / "b")
    seal(tmp_path / "b", step={**bundle.manifest["step"], **change})
    with pytest.raises(BundleError, match="malformed"):
        Bundle.open(tmp_path / "b")
