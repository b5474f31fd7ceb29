"""What a notebook and an interpreter show of our objects, and that comparing them never raises."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel import topologies
from edgeskel.data import Store
from edgeskel.runtime import Bundle, Recognition, load
from edgeskel.runtime.motion import Stretch
from edgeskel.skeleton import Clip, Frame, Inertial
from tests.runtime.conftest import write_bundle

KINECT = topologies.get("kinect-v1")


@pytest.fixture(scope="module")
def bundle(once: Callable[..., Path]) -> Path:
    return once("tiny-bundle", write_bundle)


def a_clip(seed: int = 0) -> Clip:
    rng = np.random.default_rng(seed)
    joints = rng.normal(size=(1, 64, 20, 3)).astype(np.float32)
    confidence = np.ones((1, 64, 20), np.float32)
    confidence[0, 3, 4], joints[0, 3, 4] = 0, np.nan
    sensors = Inertial(("right_wrist",), np.arange(9.0), np.ones((1, 9, 3), np.float32), np.ones((1, 9, 3), np.float32))
    return Clip(joints, confidence, np.arange(64) / 30, label="wave", subject="3", source="a.npz", inertial=sensors)


def things(bundle: Path) -> list[Any]:
    clip, frame = a_clip(), Frame(1.0, np.zeros((2, 20, 3), np.float32), np.ones((2, 20), np.float32))
    opened = Bundle.open(bundle)
    recognition = Recognition("wave", 0.9, np.ones(3, np.float32), np.zeros(8, np.float32))
    return [clip, clip.inertial, frame, Stretch((frame, frame)), KINECT, recognition, opened, opened.artifacts[0], opened.golden]


def test_everything_is_one_short_line(bundle: Path, utd_store: Store) -> None:
    for thing in [*things(bundle), utd_store, utd_store[5:9], load(bundle, engine="onnxruntime")]:
        text = repr(thing)
        assert len(text) < 300 and "\n" not in text and "array(" not in text and " at 0x" not in text, text
    assert repr(a_clip()) == "<Clip 'wave', subject 3: 1 person, 64 frames of 20 joints in 2.10 s, 0% missing, sensors>"


def test_equal_things_are_equal_and_hash_alike_and_others_are_not(bundle: Path) -> None:
    for one, same in zip(things(bundle), things(bundle), strict=True):
        assert one == same and hash(one) == hash(same) and one in {same} and one == copy.deepcopy(one)
        assert one != "text" and one != None  # noqa: E711
    clip = a_clip()
    fewer = replace(clip, joints=clip.joints[:, :, :19], confidence=clip.confidence[..., :19])
    others = [a_clip(1), replace(clip, label="clap"), fewer,
              replace(clip, inertial=None), replace(clip, confidence=clip.confidence / 2)]
    assert len({clip, a_clip(), *others}) == 6 and not clip == np.zeros(3)


def test_notebooks_show_pictures_and_tables(bundle: Path, utd_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store = utd_store._repr_html_()
    assert "<svg" in store and "utd-mhad" in store and "861" in store
    assert "onnxruntime" in load(bundle, engine="onnxruntime")._repr_html_()
    assert "model.onnx" in Bundle.open(bundle)._repr_html_()
    nobody = replace(a_clip(), confidence=np.zeros((1, 64, 20), np.float32))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert utd_store[0]._repr_png_() is None
    monkeypatch.undo()
    pytest.importorskip("matplotlib", reason="pip install 'edgeskel[viz]'")
    assert (utd_store[0]._repr_png_() or b"").startswith(b"\x89PNG") and nobody._repr_png_() is None


def test_a_store_slices_and_takes_lists_and_masks(utd_store: Store, tmp_path: Path) -> None:
    part = utd_store[10:20]
    assert isinstance(part, Store) and len(part) == 10
    assert [clip.source for clip in part] == utd_store.texts("source")[10:20].tolist() == part.texts("source").tolist()
    assert part[-1] == utd_store[19] and part[[3, 1]][0] == utd_store[13] and len(utd_store[[]]) == 0
    mask = utd_store.index["subject"] == b"3"
    assert {clip.subject for clip in utd_store[mask][:5]} == {"3"} and len(utd_store[mask]) == mask.sum()
    assert len(utd_store[::-100]) == 9 and utd_store[np.int64(7)] == utd_store[7]
    again = pickle.loads(pickle.dumps(part[2:4]))
    assert again == part[2:4] and again != part[2:5] and again[0] == utd_store[12] and hash(again) == hash(part[2:4])
    for wrong in ("wave", 1.5, [0.5], [[1, 2]], None):
        with pytest.raises(TypeError):
            utd_store[wrong]
    for outside in (861, [861], np.zeros(3, bool)):
        with pytest.raises(IndexError):
            utd_store[outside]


def test_a_store_is_a_dataset_of_torch(utd_store: Store) -> None:
    torch = pytest.importorskip("torch", reason="pip install 'edgeskel[train]'")
    from torch.utils.data import DataLoader, Subset

    part = utd_store[100:110]
    batches = list(DataLoader(part, batch_size=4))
    assert [len(batch["label"]) for batch in batches] == [4, 4, 2]
    first, clips = batches[0], [part[index] for index in range(4)]
    assert first["joints"].shape == (4, 1, max(clip.frames for clip in clips), 20, 3) and first["joints"].dtype == torch.float32
    for row, clip in enumerate(clips):
        assert torch.equal(first["joints"][row, :, : clip.frames], torch.from_numpy(clip.joints))
        assert not first["confidence"][row, :, clip.frames :].any()
        assert utd_store.labels[int(first["label"][row])] == clip.label and int(first["index"][row]) == row
    shuffled = DataLoader(Subset(part, [7, 2, 5]), batch_size=3, num_workers=1)
    assert next(iter(shuffled))["index"].tolist() == [7, 2, 5]
