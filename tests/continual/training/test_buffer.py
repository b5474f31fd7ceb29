"""The buffers: what they keep, what it costs, what comes back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgeskel.continual.training.buffer import Reservoir, clip_bytes
from edgeskel.continual.training.clips import Clips, every, interpolate
from edgeskel.continual.training.icarl import herd
from edgeskel.data import Store
from edgeskel.errors import UsageError
from edgeskel.training.data import WindowDataset

SHAPE = (1, 24, 20)


def _numbered(count: int, first: int = 0) -> Clips:
    """Clips that are told apart by their class."""
    return Clips(torch.zeros(count, 1, 24, 20, 3), torch.ones(count, 1, 24, 20), torch.arange(first, first + count))


def test_every_clip_ever_offered_is_kept_with_the_same_probability() -> None:
    torch.manual_seed(0)
    capacity, offered, rounds = 10, 40, 600
    counts = np.zeros(offered)
    for _ in range(rounds):
        buffer = Reservoir(capacity * clip_bytes(*SHAPE), SHAPE)
        for first in range(0, offered, 8):  # in tasks of 8
            buffer.offer(_numbered(8, first))
        assert len(buffer) == capacity
        counts[buffer.targets.numpy()] += 1
    expected = rounds * capacity / offered
    # Chi-square with 39 degrees of freedom: 72.1 is exceeded once in a thousand; the seed is fixed.
    assert float(((counts - expected) ** 2 / expected).sum()) < 72.1


def test_no_clip_is_in_a_buffer_twice() -> None:
    torch.manual_seed(1)
    buffer = Reservoir(7 * clip_bytes(*SHAPE), SHAPE)
    for first in range(0, 50, 5):
        buffer.offer(_numbered(5, first))
        assert len(set(buffer.targets.tolist())) == len(buffer)
    assert len(set(buffer.draw(100).clips.targets.tolist())) == 7


@given(step=st.integers(1, 30), classes=st.integers(0, 40), budget=st.integers(1, 400_000))
def test_a_buffer_never_holds_more_bytes_than_its_budget(step: int, classes: int, budget: int) -> None:
    each = clip_bytes(*SHAPE, step=step, logits=classes)
    if budget < each:
        with pytest.raises(UsageError, match=str(each)):
            Reservoir(budget, SHAPE, step=step, classes=classes)
        return
    buffer = Reservoir(budget, SHAPE, step=step, classes=classes)
    buffer.offer(_numbered(30), torch.zeros(30, classes))
    assert buffer.bytes == len(buffer) * each <= budget
    assert len(buffer) == min(30, budget // each)


def test_the_same_bytes_hold_almost_step_times_as_many_compressed_clips() -> None:
    budget = 40 * clip_bytes(*SHAPE, logits=27)
    whole, compressed = (Reservoir(budget, SHAPE, step=step, classes=27) for step in (1, 4))
    assert whole.capacity == 40
    assert 4 * 40 * 0.9 < compressed.capacity <= 4 * 40  # labels and logits are not compressed


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 7])
def test_steady_motion_comes_back_from_a_compressed_clip_at_its_full_length(step: int) -> None:
    speed = torch.randn(3, 1, 1, 20, 3)
    joints = torch.arange(24.0).view(1, 1, -1, 1, 1) * speed
    confidence = torch.ones(3, 1, 24, 20)
    short = every(joints, confidence, step)
    assert short[0].shape[2] == -(-24 // step)
    long = interpolate(*short, step, 24)
    assert long[0].shape == joints.shape
    last = (short[0].shape[2] - 1) * step  # behind the last stored frame it is held
    torch.testing.assert_close(long[0][:, :, : last + 1], joints[:, :, : last + 1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(long[0][:, :, last:], joints[:, :, last:last + 1].expand(-1, -1, 24 - last, -1, -1))


def test_a_missing_joint_is_not_mixed_into_what_is_drawn() -> None:
    joints, confidence = torch.zeros(1, 1, 24, 20, 3), torch.ones(1, 1, 24, 20)
    joints[:, :, 8, 5] = 1e6
    confidence[:, :, 8, 5] = 0
    back, seen = interpolate(*every(joints, confidence, 4), 4, 24)
    assert float(back.abs().max()) == 0
    assert float(seen[0, 0, 8, 5]) == 0


def test_recorded_motion_survives_compression_within_centimetres(utd_store: Store) -> None:
    """Every fourth of 64 frames, real clips: the median error stays below a centimetre."""
    clips = Clips.of(WindowDataset(utd_store, np.arange(0, 861, 40), np.arange(27), 1, 64, stretch=True).all())
    back, _ = interpolate(*every(clips.joints, clips.confidence, 4), 4, 64)
    error = (back - clips.joints).norm(dim=-1)[:, :, :61]
    assert float(error.median()) < 0.01
    assert float(error.mean()) < 0.03


def test_clips_of_a_store_are_stretched_from_their_first_to_their_last_frame(utd_store: Store) -> None:
    clips = Clips.of(WindowDataset(utd_store, np.array([0, 400]), np.arange(27), 1, 64, stretch=True).all())
    for row, index in enumerate((0, 400)):
        joints = torch.from_numpy(utd_store[index].joints)
        torch.testing.assert_close(clips.joints[row, :, 0], joints[:, 0])
        torch.testing.assert_close(clips.joints[row, :, -1], joints[:, -1], rtol=1e-4, atol=1e-4)
        assert int(clips.targets[row]) == int(utd_store.index["label"][index])


def test_herded_exemplars_stand_for_their_class_better_than_random_ones(clips: Callable[..., Clips]) -> None:
    draw = torch.Generator().manual_seed(3)
    features = torch.nn.functional.normalize(torch.randn(60, 16, generator=draw) + 1, dim=1)
    order = herd(features, 10)
    assert len(set(order.tolist())) == 10

    def distance(rows: torch.Tensor) -> float:
        return float((features[rows].mean(0) - features.mean(0)).norm())

    random = [distance(torch.randperm(60, generator=draw)[:10]) for _ in range(50)]
    assert distance(order) < min(random)
    # Best first: cutting the list leaves a herd of fewer.
    assert order[:4].tolist() == herd(features, 4).tolist()
    assert len(herd(features[:3], 10)) == 3
