"""Changes of a clip that leave the action what it is."""

from __future__ import annotations

import numpy as np
import pytest

from edgeskel.embedding.variation import changed
from edgeskel.skeleton import Clip


@pytest.fixture
def clip() -> Clip:
    time = np.arange(40) / 30
    joints = np.random.default_rng(0).normal(size=(2, 40, 5, 3)).astype(np.float32).cumsum(1) / 10
    confidence = np.ones((2, 40, 5), np.float32)
    confidence[0, 10:20, 3] = 0
    joints[0, 10:20, 3] = 0
    return Clip(joints, confidence, time, label="wave")


def test_changes_are_clips_that_stay_near_what_was_performed(clip: Clip) -> None:
    low, high = clip.joints.min() - 1, clip.joints.max() + 1
    for one in changed(clip):
        assert one.label == "wave" and one.joints.shape[0] == 2 and one.joints.shape[2:] == (5, 3)
        assert one.joints.min() > low and one.joints.max() < high
        assert np.all(np.diff(one.time) > 0)
        assert not np.array_equal(one.joints, clip.joints)


def test_what_is_missing_stays_missing_and_moves_nothing(clip: Clip) -> None:
    other = clip.joints.copy()
    other[0, 10:20, 3] = 99.0  # whatever stands in a joint that nobody saw
    unlike = Clip(other, clip.confidence, clip.time, label="wave")
    for one, same in zip(changed(clip), changed(unlike), strict=True):
        gone = one.confidence == 0
        assert gone.any() and not one.joints[gone].any()
        seen = one.confidence > 0
        assert np.array_equal(one.confidence, same.confidence) and np.allclose(one.joints[seen], same.joints[seen])


def test_the_shortest_clip_can_be_changed() -> None:
    short = Clip(np.zeros((1, 2, 5, 3), np.float32), np.ones((1, 2, 5), np.float32), np.arange(2) / 15)
    assert all(one.frames >= 2 for one in changed(short))
