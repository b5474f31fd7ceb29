"""One graph, every engine: the same recorded windows give the same answer wherever they are run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeskel import runtime, topologies
from edgeskel.runtime import engines
from edgeskel.runtime.bundle import Bundle

LABELS = ("wave", "push", "pull")


@pytest.fixture
def exported(once: Callable[..., Path]) -> Path:
    """A small untrained recogniser, exported for ONNX Runtime and ExecuTorch; golden inputs are generated motion."""

    def make(out: Path) -> None:
        import torch

        from edgeskel.models import create
        from export.build import Source, build

        torch.manual_seed(0)
        model = create(
            "edge",
            topology=topologies.get("kinect-v1"),
            labels=LABELS,
            source_frames=48,
            frames=16,
            widths=(16, 24, 32),
            regions=(0, 8, 4),
            blocks=(1, 1, 1),
            groups=4,
            kernel=5,
        )
        build(Source("small", model.eval()), out, target="host", kinds=("onnx-fp32", "xnnpack-fp32"))

    return once("parity-bundle", make)


@pytest.mark.parametrize("name", ["onnxruntime", "executorch", "torch"])
def test_an_engine_gives_the_reference_answers(exported: Path, name: str) -> None:
    why = engines.get(name).available()
    if why is not None:
        pytest.skip(why)
    session = runtime.load(exported, engine=name, precision="fp32", threads=1)
    golden = Bundle.open(exported).golden
    for index in range(len(golden)):
        probabilities, embedding = session.engine(golden.joints[index, None], golden.confidence[index, None])
        assert probabilities.shape == (len(LABELS),) and probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities, golden.probabilities[index], atol=1e-4)
        np.testing.assert_allclose(embedding, golden.embedding[index], atol=1e-3, rtol=1e-3)


def test_an_answer_stays_as_it_is_when_the_engine_runs_again(exported: Path) -> None:
    golden = Bundle.open(exported).golden
    for name, why in engines.available().items():
        if why is None:
            engine = runtime.load(exported, engine=name, threads=1).engine
            first, _ = engine(golden.joints[:1], golden.confidence[:1])
            kept = first.copy()
            engine(golden.joints[1:2], golden.confidence[1:2])
            np.testing.assert_array_equal(first, kept)


def test_a_session_of_the_checkpoint_agrees_with_the_bundle(exported: Path) -> None:
    from edgeskel.models import from_pretrained

    direct = runtime.session_of(from_pretrained(exported / "checkpoint"), threads=1)
    bundled = runtime.load(exported, engine="onnxruntime", threads=1)
    joints = Bundle.open(exported).golden.joints[0]
    for frames in (1, 20, 48):
        a, b = direct.recognise(joints[:, :frames]), bundled.recognise(joints[:, :frames])
        assert a.label == b.label
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-4)
