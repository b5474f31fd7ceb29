"""What each change of a clip must keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel import topologies
from edgeskel.errors import UnknownChoice, UsageError
from edgeskel.training.augment import Augmenter, flip, mirrored_labels, resample, rotation, seen_span
from edgeskel.training.recipes import Augment

OFF = Augment(
    frames=0, crop=0, warp=0, amplitude=0, bone=0, limb=0, yaw=0, tilt=0, noise=0, joint_dropout=0, flip=0, mix=0
)
KINECT = topologies.get("kinect-v1")


def change(**fields):
    from dataclasses import replace

    return replace(OFF, **fields)


def clips(count=3, persons=2, frames=20, topology=KINECT, missing=0.2, seed=0):
    """Random joints; a part of them missing with a huge value, as after a sensor's failure."""
    draw = torch.Generator().manual_seed(seed)
    size = len(topology.joints)
    joints = torch.randn(count, persons, frames, size, 3, generator=draw)
    confidence = (torch.rand(count, persons, frames, size, generator=draw) >= missing).float()
    return joints * confidence.unsqueeze(-1), confidence


def augmenter(how, topology=KINECT, frames=20, labels=("a", "b", "c"), mirror=None):
    return Augmenter(how, topology, labels, frames, mirror or {})


def run(how, joints, confidence, *, seed=0, **options):
    torch.manual_seed(seed)
    targets = torch.eye(3)[: len(joints)]
    return augmenter(how, frames=joints.shape[2], **options)(joints, confidence, targets)


def bone_lengths(joints, topology=KINECT):
    pairs = [(child, parent) for child, parent in enumerate(topology.parents) if parent >= 0]
    return torch.stack([(joints[..., a, :] - joints[..., b, :]).norm(dim=-1) for a, b in pairs], -1)


def test_switched_off_changes_nothing_but_the_origin():
    joints, confidence = clips(missing=0)
    changed, seen, targets = run(OFF, joints, confidence)
    torch.testing.assert_close(changed, joints - joints[:, :1, :1, :1])
    assert torch.equal(seen, confidence)
    assert torch.equal(targets, torch.eye(3))


@pytest.mark.parametrize("how", [{"yaw": 3.0}, {"tilt": 0.5}, {"limb": 0.6}])
@pytest.mark.parametrize("name", ["kinect-v1", "kinect-v2", "sbu-15", "coco-17", "imu-17", "hdm05-31"])
def test_turning_keeps_every_bone_length(how, name):
    topology = topologies.get(name)
    joints, confidence = clips(topology=topology, missing=0)
    changed, _, _ = run(change(**how), joints, confidence, topology=topology)
    torch.testing.assert_close(bone_lengths(changed, topology), bone_lengths(joints, topology), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(changed, joints - joints[:, :1, :1, :1])


def test_bones_grow_by_one_factor_each_left_as_right():
    joints, confidence = clips(missing=0)
    changed, _, _ = run(change(bone=0.3), joints, confidence)
    factor = bone_lengths(changed) / bone_lengths(joints)  # (N, M, T, V - 1)
    torch.testing.assert_close(factor, factor[:, :1, :1].expand_as(factor), rtol=1e-3, atol=1e-3)
    assert 0.7 <= factor.min() < 0.95 and 1.05 < factor.max() <= 1.3
    for left, right in KINECT.pairs:  # the root has no bone, so bone j - 1 ends in joint j
        torch.testing.assert_close(factor[..., left - 1], factor[..., right - 1], rtol=1e-3, atol=1e-3)


def test_yaw_leaves_heights_alone():
    joints, confidence = clips(missing=0)
    changed, _, _ = run(change(yaw=3.0), joints, confidence)
    torch.testing.assert_close(changed[..., 1], (joints - joints[:, :1, :1, :1])[..., 1])


@given(st.integers(0, 1000))
@settings(max_examples=15)
def test_missing_joints_stay_missing_and_their_values_never_matter(seed):
    how = Augment(frames=0, frame_dropout=0.2, part_dropout=0.5, scale=0.1, flip=1.0)
    joints, confidence = clips(seed=seed)
    confidence[0, 1] = 0  # a person who is not there
    confidence[1] = 0  # a clip in which nobody is
    garbage = torch.where(confidence.unsqueeze(-1) > 0, joints, torch.full_like(joints, 1e6))
    options = {"seed": seed, "mirror": {"*": "*"}}
    clean, clean_seen, _ = run(how, joints, confidence, **options)
    spoilt, spoilt_seen, _ = run(how, garbage, confidence, **options)
    assert torch.equal(clean_seen, spoilt_seen)
    torch.testing.assert_close(clean, spoilt, rtol=1e-3, atol=1e-3)
    assert torch.isfinite(clean).all() and clean.abs().max() < 100
    assert not clean[clean_seen == 0].any()
    assert 0 <= clean_seen.min() and clean_seen.max() <= 1 + 1e-6


def test_the_same_seed_gives_the_same_clips_and_another_seed_others():
    joints, confidence = clips()
    first, second, other = (run(Augment(frames=0), joints, confidence, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_flip_twice_is_the_identity_and_once_is_a_mirror():
    joints, confidence = clips()
    order, chosen = torch.tensor(KINECT.mirror), torch.tensor([True, False, True])
    once = flip(joints, confidence, chosen, order)
    twice = flip(*once, chosen, order)
    assert torch.equal(twice[0], joints) and torch.equal(twice[1], confidence)
    left, right = KINECT.index("left_hand"), KINECT.index("right_hand")
    assert torch.equal(once[0][0, ..., left, 0], -joints[0, ..., right, 0])
    assert torch.equal(once[0][1], joints[1])


def test_a_flip_carries_its_label_along_and_only_where_allowed():
    joints, confidence = clips(missing=0)
    mirror = {"a": "b"}  # and so b -> a; c must not be flipped
    changed, _, targets = run(change(flip=1.0), joints, confidence, mirror=mirror)
    assert targets.argmax(1).tolist() == [1, 0, 2]
    torch.testing.assert_close(changed[2], (joints - joints[:, :1, :1, :1])[2])
    _, _, untouched = run(change(flip=1.0), joints, confidence)
    assert torch.equal(untouched, torch.eye(3))


def test_mirror_tables_are_checked():
    assert mirrored_labels("abc", {"a": "b", "*": "*"}) == ([1, 0, 2], [True, True, True])
    with pytest.raises(UnknownChoice, match="one of a, b"):
        mirrored_labels("ab", {"a": "z"})
    with pytest.raises(UsageError, match="pairs"):
        mirrored_labels("abc", {"a": "b", "b": "c"})


def test_resampling_is_linear_interpolation_of_what_was_seen():
    joints, confidence = clips(missing=0)
    positions = torch.tensor([[0.0, 3.25, 19.0]]).expand(3, 3)
    found, seen = resample(joints, confidence, positions)
    torch.testing.assert_close(found[:, :, 1], 0.75 * joints[:, :, 3] + 0.25 * joints[:, :, 4])
    torch.testing.assert_close(found[:, :, 2], joints[:, :, 19])
    confidence[:, :, 4] = 0
    found, seen = resample(joints, confidence, positions)
    torch.testing.assert_close(found[:, :, 1], joints[:, :, 3])
    torch.testing.assert_close(seen[:, :, 1], torch.full_like(seen[:, :, 1], 0.75))


@given(st.integers(0, 19), st.integers(0, 19))
def test_the_seen_span_is_found(one, other):
    first, last = min(one, other), max(one, other)
    confidence = torch.zeros(1, 2, 20, 5)
    confidence[0, 1, first, 2] = confidence[0, 0, last, 4] = 0.5
    assert [int(value) for value in seen_span(confidence)] == [first, last]


def test_a_crop_stays_inside_what_was_seen():
    joints = torch.arange(20.0).view(1, 1, 20, 1, 1).expand(3, 1, 20, 20, 3).clone()
    confidence = torch.zeros(3, 1, 20, 20)
    confidence[:, :, 4:15] = 1
    changed, seen, _ = run(change(crop=0.5, warp=0.8), joints * confidence.unsqueeze(-1), confidence)
    places = changed[:, 0, :, 5, 0] + 4  # counted from where the root is first seen, at frame 4 or later
    assert (seen > 0).all()
    assert (places.diff() > -1e-4).all(), "time never runs backwards"
    assert places.max() - places.min() <= 10 + 1e-4


def test_dropouts_take_the_share_they_say():
    joints, confidence = torch.zeros(3, 1, 400, 20, 3), torch.ones(3, 1, 400, 20)
    _, seen, _ = run(change(frame_dropout=0.5), joints, confidence)
    assert (1 - seen.mean((1, 2, 3)) <= 0.6).all() and seen.mean() < 1
    _, seen, _ = run(change(part_dropout=1.0), joints, confidence)
    gone = [[KINECT.joints[j] for j in np.flatnonzero(row[0, 0].numpy() == 0)] for row in seen]
    assert all(names and len({name.split("_")[0] for name in names}) == 1 for names in gone)


def test_mixing_blends_clips_and_targets_alike():
    joints, confidence = clips(missing=0)
    changed, _, targets = run(change(mix=5.0), joints, confidence, seed=3)
    plain = joints - joints[:, :1, :1, :1]
    torch.testing.assert_close(targets.sum(1), torch.ones(3))
    for row in range(3):
        blend = sum(share * plain[k] for k, share in enumerate(targets[row]))
        torch.testing.assert_close(changed[row], blend, rtol=1e-4, atol=1e-4)


def test_rotation_vectors_turn_by_their_length():
    quarter = rotation(torch.tensor([0.0, torch.pi / 2, 0.0]))
    torch.testing.assert_close(quarter @ torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(rotation(torch.zeros(3)), torch.eye(3))


def test_a_clip_keeps_its_pace_and_the_rest_of_the_window_is_empty():
    joints = torch.zeros(4, 1, 64, 20, 3)
    joints[..., 0] = torch.arange(64.0)[:, None]  # everything moves a metre per frame along x
    confidence = torch.zeros(4, 1, 64, 20)
    confidence[:, :, :30] = 1
    out, seen, _ = augmenter(change(pace=0.2), frames=64)(joints, confidence, torch.eye(4))
    for clip, there in zip(out[:, 0, :, 0, 0], seen[:, 0, :, 0] > 0, strict=True):
        speed = clip[there][:-1].diff()
        assert 30 / 1.25 <= int(there.sum()) <= 30 / 0.75 and bool(there[: int(there.sum())].all())
        assert float(speed.std()) < 1e-3 and 0.75 <= float(speed.mean()) <= 1.25
    stretched, everywhere, _ = augmenter(OFF, frames=64)(joints, confidence, torch.eye(4))
    assert everywhere.all() and float(stretched[0, 0, :, 0, 0].diff().mean()) < 0.5


def test_a_clip_may_begin_and_end_at_rest():
    torch.manual_seed(0)
    joints = torch.zeros(64, 1, 96, 20, 3)
    joints[..., 0] = torch.arange(96.0)[:, None]
    confidence = torch.zeros(64, 1, 96, 20)
    confidence[:, :, :40] = 1
    out, seen, _ = augmenter(change(pace=0.01, rest=20), frames=96)(joints, confidence, torch.eye(64)[:, :3])
    moving = (out[:, 0, 1:, 0, 0] - out[:, 0, :-1, 0, 0]) * seen[:, 0, 1:, 0] > 0.1
    first = moving.float().argmax(1)
    lasting = seen[:, 0, :, 0].sum(1)
    assert 0.3 < float((first > 1).float().mean()) < 0.7 and int(first.max()) <= 21
    assert int(lasting.min()) >= 38 and int(lasting.max()) <= 82 and int(lasting.max()) > 50
