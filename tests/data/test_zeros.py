"""Joints at exactly 0, 0, 0: gaps as trackers write them, and recordings that are centred on a joint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel import topologies
from edgeskel.data import ImportReport, Store, import_dataset, synthetic
from edgeskel.errors import UnknownChoice
from edgeskel.skeleton import Clip

TOML = """topology = "kinect-v1"
units = "mm"
axes = "x left, y up, z forward"
frame_rate = 30
files = "{label}.npz"
"""
KINECT = topologies.get("kinect-v1")
MISSING = "joints at exactly 0, 0, 0 are taken as missing (--zeros seen takes them as they are)"


def body(action: str = "wave") -> np.ndarray[Any, Any]:
    """(1, T, V, 3) metres, three metres before a camera."""
    return synthetic.clip(action, synthetic.SyntheticBody(), synthetic.Style(), np.random.default_rng(0),
                          camera=synthetic.Camera(noise=0), sensors=()).joints


def imported(folder: Path, joints: np.ndarray[Any, Any], **options: Any) -> tuple[Clip, ImportReport]:
    folder.mkdir(parents=True)
    (folder / "dataset.toml").write_text(TOML)
    np.savez(folder / "wave.npz", joints=joints * 1000)
    report = import_dataset("generic", folder, folder / "out.store", **options)
    return Store.open(folder / "out.store")[0], report


@settings(max_examples=8, deadline=None)
@given(share=st.floats(0.01, 0.6), seed=st.integers(0, 1000))
def test_scattered_zeros_are_missing_and_nothing_else_is(tmp_path_factory: pytest.TempPathFactory, share: float,
                                                         seed: int) -> None:
    joints = body()
    gaps = np.random.default_rng(seed).random(joints.shape[:3]) < share
    clip, report = imported(tmp_path_factory.mktemp("zeros") / "set", np.where(gaps[..., None], 0, joints))
    np.testing.assert_array_equal(clip.confidence == 0, gaps)
    note = next(note for note in report.notes if note.text == MISSING)
    assert note.details[0].startswith(f"{gaps.sum()} of {gaps.size}: ")


def test_they_are_named_and_can_be_said_to_be_seen(tmp_path: Path) -> None:
    joints = body()
    joints[0, 5:9, KINECT.index("left_hand")] = 0
    clip, report = imported(tmp_path / "a", joints)
    assert [note.details for note in report.notes if note.text == MISSING] == [(f"4 of {clip.confidence.size}: left_hand",)]
    assert MISSING in [note.text for note in Store.open(tmp_path / "a" / "out.store").notes]
    clip, report = imported(tmp_path / "b", joints, zeros="seen")
    assert (clip.confidence == 1).all() and MISSING not in [note.text for note in report.notes]
    with pytest.raises(UnknownChoice, match="did you mean 'missing'"):
        imported(tmp_path / "c", joints, zeros="miss")


def test_frames_of_zeros_are_frames_without_anybody_and_a_clip_of_them_is_refused(tmp_path: Path) -> None:
    joints = body()
    joints[:, 10:20] = 0
    clip, _ = imported(tmp_path / "a", joints)
    np.testing.assert_array_equal(clip.confidence[0].any(axis=1), np.r_[[1] * 10, [0] * 10, [1] * (clip.frames - 20)] > 0)
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "dataset.toml").write_text(TOML)
    np.savez(folder / "wave.npz", joints=body() * 1000)
    np.savez(folder / "nobody.npz", joints=np.zeros_like(body()))
    report = import_dataset("generic", folder, tmp_path / "store")
    assert report.refused == (("nobody.npz", "nobody is seen in any frame"),)


@pytest.mark.parametrize("root", ["pelvis", "spine", "neck"])
@pytest.mark.parametrize("share", [0.0, 0.08])
def test_the_root_of_a_centred_recording_is_kept_and_said_so(tmp_path: Path, root: str, share: float) -> None:
    joints = body("kick")
    centre = KINECT.index(root)
    joints = joints - joints[:, :, [centre]]
    gaps = np.random.default_rng(1).random(joints.shape[:3]) < share
    gaps[..., centre] = False
    gaps[:, 4] = share > 0  # nobody is there: nor is the root
    clip, report = imported(tmp_path / "a", np.where(gaps[..., None], 0, joints))
    np.testing.assert_array_equal(clip.confidence == 0, gaps)
    assert any(note.text.startswith(f"{root} is at 0, 0, 0 in every frame, amid the body") for note in report.notes)


@pytest.mark.parametrize("joint", ["pelvis", "head", "left_foot"])
def test_a_joint_that_is_never_tracked_is_missing_though_it_is_always_zero(tmp_path: Path, joint: str) -> None:
    joints = body()
    joints[:, :, KINECT.index(joint)] = 0
    clip, _ = imported(tmp_path / "a", joints)
    missing = (clip.confidence == 0).all(axis=(0, 1))
    assert [name for name, gone in zip(KINECT.joints, missing, strict=True) if gone] == [joint]


def test_a_limb_that_is_never_tracked_is_missing_in_a_centred_recording_too(tmp_path: Path) -> None:
    joints = body()
    joints = joints - joints[:, :, [KINECT.index("pelvis")]]
    joints[:, :, KINECT.index("right_hand")] = 0
    clip, _ = imported(tmp_path / "a", joints)
    assert np.flatnonzero((clip.confidence == 0).all(axis=(0, 1))).tolist() == [KINECT.index("right_hand")]


def test_the_published_sets_hold_twelve_such_joints(datasets: Path, tmp_path: Path) -> None:
    """Six each in two training clips of Northwestern-UCLA, which leap to the camera for one frame."""
    report = import_dataset("nw-ucla", datasets / "nw-ucla", tmp_path / "store")
    (note,) = [note for note in report.notes if note.text == MISSING]
    assert note.sources == ("all_sqe/a04_s01_e01_v01.json", "all_sqe/a04_s04_e02_v01.json")
    assert sum(int((clip.confidence == 0).sum()) for clip in Store.open(tmp_path / "store")) == 12
    before = import_dataset("nw-ucla", datasets / "nw-ucla", tmp_path / "seen", zeros="seen")
    assert before.digest == "3ec270bde3c48895aeed686dd40799d17dd716e2434cb3e5e63a59c9d2e3313e"  # of edge-nw-ucla's run.json
