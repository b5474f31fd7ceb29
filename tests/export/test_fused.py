"""A fused recogniser is one graph: every engine gives its answers, window by window and, where its members can, step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeskel.models import Recogniser
from edgeskel.models.fused import fuse
from edgeskel.runtime.bundle import Bundle
from edgeskel.runtime.step_artifact import open_stepper
from export import artifacts, build
from export.verify import require_agreement, verify
from tests.export.conftest import small_recogniser
from tests.export.test_step import small_live

KINDS = ("onnx-fp32", "onnx-int8", "xnnpack-fp32", "xnnpack-int8")


def of_clips() -> Recogniser:
    """Joints and bones by networks of two sizes, which stretch a window over other numbers of frames."""
    return fuse([small_recogniser(streams=("joint",)), small_recogniser(streams=("bone",), widths=(8, 24), frames=24)], (0.6, 0.5))


def of_streams() -> Recogniser:
    return fuse([small_live(), small_live()], (0.3, 0.7))


@pytest.fixture(scope="module")
def bundle(once: Callable[..., Path]) -> Bundle:
    def make(out: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(artifacts, "CALIBRATION", 16)
            build.build(build.TrainedModel("fused", of_clips()), out, target="host", kinds=KINDS, tensorrt=(10, 3))

    return Bundle.open(once("fused-bundle", make))


def test_every_engine_gives_the_fused_answer(bundle: Bundle) -> None:
    outcomes, _ = verify(bundle, threads=1)
    require_agreement(outcomes, bundle.path)
    found = {(one.file, one.engine): one.max_abs_diff for one in outcomes}
    assert found.keys() >= {("model.onnx", "onnxruntime"), ("model.pte", "executorch"), ("model.int8.onnx", "onnxruntime"),
                            ("model.int8.pte", "executorch"), ("checkpoint/model.safetensors", "torch")}
    assert max(found["model.onnx", "onnxruntime"] or 0, found["model.pte", "executorch"] or 0) < 1e-5
    assert not bundle.manifest["omitted"]


def test_nothing_is_left_to_slow_kernels_and_the_streams_stay_in_floating_point(bundle: Bundle) -> None:
    import onnx

    lowered = {one.file: one.details for one in bundle.artifacts}
    assert lowered["model.pte"]["undelegated"] == {} and lowered["model.int8.pte"]["undelegated"] == {}
    nodes = onnx.load(bundle.path / "model.int8.onnx").graph.node
    networks = [node for node in nodes if node.op_type == "Conv"]
    assert {"members.0", "members.1"} <= {name for node in networks for name in ("members.0", "members.1") if name in node.input[1]}
    assert all(node.input[0].endswith("_dq") for node in networks)
    assert not any(node.input[0].endswith("_dq") for node in nodes if node.op_type == "MatMul")  # all of them prepare joints


def test_steps_of_a_causal_one_agree_on_every_engine(tmp_path: Path) -> None:
    source = build.TrainedModel("fused-live", of_streams())
    bundle = build.build(source, tmp_path / "b", target="host", kinds=("onnx-step", "xnnpack-step"))
    outcomes, _ = verify(bundle, threads=1)
    require_agreement(outcomes, bundle.path)
    steps = [artifact for artifact in bundle.artifacts if artifact.form == "step"]
    assert {(one.file, one.engine) for one in outcomes} >= {("model.step.onnx", "onnxruntime"), ("model.step.pte", "executorch")}
    rng = np.random.default_rng(0)
    joints, seen = rng.normal(size=(24, 20, 3)).astype(np.float32), np.ones(20, np.float32)
    last = []
    for artifact in steps:
        stepper = open_stepper(bundle, artifact, artifact.engines[0], 1)
        memory = stepper.fresh()
        answers = [answer[0] for frame in joints if (answer := stepper.push(memory, frame, seen)) is not None]
        assert len(answers) == 6
        last.append(answers)
    np.testing.assert_allclose(last[0], last[1], atol=1e-5)
