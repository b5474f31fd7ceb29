"""One graph, every engine: the same recorded windows give the same answer wherever they are run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeskel import runtime
from edgeskel.runtime import engines
from edgeskel.runtime.bundle import Bundle


@pytest.mark.parametrize("name", ["onnxruntime", "executorch", "torch"])
def test_an_engine_gives_the_reference_answers(bundle_folder: Path, name: str) -> None:
    why = engines.get(name).available()
    if why is not None:
        pytest.skip(why)
    session = runtime.load(bundle_folder, engine=name, precision="fp32", threads=1)
    golden = Bundle.open(bundle_folder).golden
    for index in range(len(golden)):
        probabilities, embedding = session.engine(golden.joints[index, None], golden.confidence[index, None])
        assert probabilities.shape == golden.probabilities[index].shape and probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities, golden.probabilities[index], atol=1e-4)
        np.testing.assert_allclose(embedding, golden.embedding[index], atol=1e-3, rtol=1e-3)


def test_an_answer_stays_as_it_is_when_the_engine_runs_again(bundle_folder: Path) -> None:
    golden = Bundle.open(bundle_folder).golden
    for name, why in engines.available().items():
        if why is None:
            engine = runtime.load(bundle_folder, engine=name, threads=1).engine
            first, _ = engine(golden.joints[:1], golden.confidence[:1])
            kept = first.copy()
            engine(golden.joints[1:2], golden.confidence[1:2])
            np.testing.assert_array_equal(first, kept)


def test_a_session_of_the_checkpoint_agrees_with_the_bundle(bundle_folder: Path) -> None:
    from edgeskel.models import from_pretrained

    direct = runtime.session_of(from_pretrained(bundle_folder / "checkpoint"), threads=1)
    bundled = runtime.load(bundle_folder, engine="onnxruntime", threads=1)
    joints = Bundle.open(bundle_folder).golden.joints[0]
    for frames in (1, 20, 32):
        a, b = direct.recognise(joints[:, :frames]), bundled.recognise(joints[:, :frames])
        assert a.label == b.label
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-4)
