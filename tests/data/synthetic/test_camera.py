"""What the depth camera makes of a motion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeskel import topologies
from edgeskel.data import synthetic
from edgeskel.data.synthetic.camera import Camera, random_camera

KINECT = topologies.get("kinect-v1")


def take(action: str, camera: Camera, seed: int = 0) -> synthetic.Take:
    rng = np.random.default_rng(seed)
    return synthetic.take(action, synthetic.SyntheticBody(), synthetic.Style(), rng, camera=camera, sensors=())


def test_without_noise_the_camera_sees_the_truth() -> None:
    made = take("throw", Camera(noise=0.0))
    truth = made.motion.joints(KINECT)
    at_frames = np.stack([np.stack([np.interp(made.clip.time, made.motion.time, truth[:, v, c]) for c in range(3)], -1)
                          for v in range(20)], axis=1)
    np.testing.assert_allclose(made.clip.joints[0], at_frames, atol=1e-5)
    assert (made.clip.confidence == 1).all()


def test_the_actor_faces_the_camera() -> None:
    clip = take("bow", Camera(noise=0.0, distance=3.0)).clip
    left, right, head = (clip.joints[0, 0, KINECT.index(name)] for name in ("left_hip", "right_hip", "head"))
    assert left[0] < right[0]  # Kinect's x grows to the camera's left, which is the actor's right
    assert head[2] == pytest.approx(3.0, abs=0.2)
    assert left[1] < head[1]


def test_missing_joints_have_confidence_0_and_no_position() -> None:
    rng = np.random.default_rng(0)
    clips = [take(action, random_camera(rng), seed).clip for seed, action in enumerate(synthetic.actions())]
    confidence = np.concatenate([clip.confidence[0] for clip in clips])
    joints = np.concatenate([clip.joints[0] for clip in clips])
    assert set(np.unique(confidence)) == {0.0, 0.5, 1.0}
    assert np.isfinite(joints).all()
    assert (joints[confidence == 0] == 0).all()
    assert (np.abs(joints[confidence > 0]).sum(axis=-1) > 0).all()
    assert 0.005 < (confidence == 0).mean() < 0.2 and 0.005 < (confidence == 0.5).mean() < 0.2


def test_the_far_arm_of_somebody_seen_from_the_side_is_hidden() -> None:
    far, near = [], []
    for seed in range(8):
        clip = take("bow", Camera(yaw=np.pi / 2), seed).clip  # the actor's right side is turned away
        sides = [[KINECT.index(f"{side}_{joint}") for joint in ("shoulder", "elbow", "hip")] for side in ("left", "right")]
        means = sorted(float(clip.confidence[0][:, side].mean()) for side in sides)
        far.append(means[0])
        near.append(means[1])
    assert np.mean(near) > 0.9 > np.mean(far) + 0.15


def test_errors_grow_with_distance() -> None:
    def depth_error(distance: float) -> float:
        errors = []
        for seed in range(4):
            clip = take("bow", Camera(distance=distance), seed).clip
            truth = take("bow", Camera(distance=distance, noise=0.0), seed).clip
            sure = clip.confidence == 1
            steps = np.diff(clip.joints - truth.joints, axis=1)[..., 2]
            errors.append(steps[(sure[:, 1:] & sure[:, :-1])].std())
        return float(np.mean(errors))

    assert depth_error(4.0) > 1.5 * depth_error(1.8)


def test_some_inferred_joints_are_frozen() -> None:
    held = 0
    for seed in range(12):
        clip = take("clap", Camera(), seed).clip
        inferred = clip.confidence[0, 1:] == 0.5
        still = (clip.joints[0, 1:] == clip.joints[0, :-1]).all(axis=-1)
        assert not (still & (clip.confidence[0, 1:] == 1)).any()
        held += int((still & inferred).sum())
    assert held > 0


def test_nobody_comes_closer_than_the_camera_can_see() -> None:
    clip = take("walk", replace(Camera(noise=0.0), distance=1.5)).clip
    assert clip.joints[..., 2].min() > 1.0


def test_frames_come_at_the_rate_asked_for() -> None:
    clip = take("wave", Camera(rate_hz=15.0)).clip
    np.testing.assert_allclose(np.diff(clip.time), 1 / 15)
