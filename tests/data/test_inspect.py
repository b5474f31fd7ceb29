"""What inspect reports, on stores where every figure is known; and clips joined to a recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeskel.data import Store
from edgeskel.data.inspect import inspect
from edgeskel.data.joining import join
from edgeskel.errors import InvalidClip, UsageError
from edgeskel.skeleton import Clip
from firmware_bridge.recording import load_recording, save_recording
from tests.data.conftest import make_clip, make_inertial

Write = Callable[..., Store]


def test_counts_are_what_was_put_in(write: Write) -> None:
    whole = make_clip(4, seed=1, label="a", subject="2", source="one")
    whole.confidence[:] = 1
    holes = make_clip(1, persons=2, seed=2, label="a", subject="10", source="two", inertial=make_inertial())
    holes.confidence[:] = 1
    holes.confidence[:, 0, 3] = 0
    found = inspect(write([whole, holes, make_clip(4, seed=1), make_clip(3, seed=1, source="three")]))
    assert (found.clips, found.frames) == (4, 12)
    assert found.lengths == {"min": 1, "median": 3.5, "mean": 3.0, "max": 4}
    assert found.persons == {"1": 3, "2": 1}
    assert found.labels == {"a": 2, "b": 0, "": 2} and found.imbalance == 0
    assert list(found.subjects) == ["", "2", "10"]
    assert found.one_frame == ("two",)
    assert found.inertial == {"segment_0": 1, "segment_1": 1}
    assert found.missing["left_shoulder"] >= 2 / 13
    assert any("no clip of b" in warning for warning in found.warnings)


def test_duplicates_missing_people_and_wrong_units_are_pointed_out(write: Write) -> None:
    clip = make_clip(4, seed=1, label="a", source="one")
    copy = make_clip(4, seed=1, label="a", source="again")
    empty = make_clip(4, seed=3, label="b")
    empty.confidence[:] = 0
    big = make_clip(4, seed=4, label="b")
    big.joints[:] *= 1000
    found = inspect(write([clip, copy, empty, big, Clip(big.joints * 2, big.confidence, big.time, label="b")]))
    assert found.duplicates == (("one", "again"),)
    assert found.unseen_frames == 4
    text = " ".join(found.warnings)
    assert "more than once" in text and "nobody is seen in 4 frames" in text and "the unit is likely wrong" in text


def test_a_real_store_has_nothing_to_point_out(utd_store: Store) -> None:
    found = inspect(utd_store)
    assert not found.warnings and 1.3 < found.extent_m < 1.8


def test_clips_joined_play_one_after_the_other(tmp_path: Path, write: Write) -> None:
    first, second = make_clip(4, seed=1, label="a"), make_clip(3, persons=2, seed=2, label="b")
    joints, confidence, time, spans = join([first, second], 30, gap_s=0.1)
    assert joints.shape == (2, 10, 15, 3)
    assert np.array_equal(joints[:1, :4], first.joints) and np.array_equal(joints[:, 7:], second.joints)
    assert not confidence[1, :4].any() and not confidence[:, 4:7].any()
    np.testing.assert_allclose(np.diff(time), 1 / 30)
    assert [(round(start * 30), round(end * 30), label) for start, end, label in spans] == [(0, 3, "a"), (7, 9, "b")]
    store = write([first])
    save_recording(tmp_path / "two.npz", joints, confidence, time, store.topology, spans)
    back = load_recording(tmp_path / "two.npz")
    assert np.array_equal(back.joints, joints) and back.topology == store.topology
    assert [span.label for span in back.spans] == ["a", "b"]


def test_what_cannot_be_joined() -> None:
    with pytest.raises(UsageError):
        join([], 30)
    with pytest.raises(UsageError):
        join([make_clip()], 30, gap_s=-1)
    with pytest.raises(InvalidClip):
        join([make_clip(), make_clip(joints=20)], 30)


def test_clips_in_which_nobody_is_seen_are_named(write: Write) -> None:
    some, none = make_clip(10, seed=1, source="some"), make_clip(4, seed=2, source="none")
    some.confidence[:, 3:6] = 0
    none.confidence[:] = 0
    found = inspect(write([some, none, make_clip(9, seed=3, source="whole")]))
    assert found.unseen == {"none": 4, "some": 3} and found.nobody == ("none",) and found.unseen_frames == 7
    assert any("nobody is ever seen in 1 clips, which teach nothing: none" in warning for warning in found.warnings)
    assert any("in 7 frames of 2 clips: none (4), some (3)" in warning for warning in found.warnings)


def test_odd_numbers_of_persons_and_rates_are_pointed_out(write: Write) -> None:
    clips = [make_clip(9, seed=i, label="a", source=f"c{i}") for i in range(4)]
    clips.append(make_clip(9, persons=6, seed=7, label="a", source="crowd"))
    fast = make_clip(9, seed=8, label="a", source="fast")
    clips.append(Clip(fast.joints, fast.confidence, fast.time / 4, label="a", source="fast"))
    found = inspect(write(clips))
    assert any("1 clips hold more than the 1 of most: crowd" in warning for warning in found.warnings)
    assert found.rates == ((30.0, 5), (120.0, 1))
    assert any("different rates: 5 at about 30 Hz, 1 at about 120 Hz" in warning for warning in found.warnings)


def test_a_gap_can_hold_the_persons_as_they_stood_last() -> None:
    clips = [make_clip(5, persons=2, seed=1), make_clip(4, seed=2)]
    joints, confidence, time, spans = join(clips, 30, gap_s=0.5, still=True)
    assert len(time) == 5 + 15 + 4 and np.allclose(np.diff(time), 1 / 30)
    np.testing.assert_array_equal(joints[:, 5:20], np.repeat(clips[0].joints[:, -1:], 15, axis=1))
    np.testing.assert_array_equal(confidence[:, 5:20], np.repeat(clips[0].confidence[:, -1:], 15, axis=1))
    assert [span[:2] for span in spans] == [(0.0, pytest.approx(4 / 30)), (pytest.approx(20 / 30), pytest.approx(23 / 30))]
    assert not join(clips, 30, gap_s=0.5)[1][:, 5:20].any()
