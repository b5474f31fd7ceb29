"""The body's geometry and the motion it performs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel import topologies
from edgeskel.data import synthetic
from edgeskel.data.synthetic.body import SEGMENTS
from edgeskel.data.synthetic.motion import Motion
from edgeskel.geometry import exponential, logarithm, multiply, rotate, to_matrix

ACTIONS = synthetic.actions()
vectors = st.lists(st.floats(-2.0, 2.0), min_size=3, max_size=3).map(np.array)


def performed(action: str, seed: int = 0, *, hand: str = "right") -> Motion:
    rng = np.random.default_rng(seed)
    return synthetic.perform(synthetic.play(action, synthetic.Style(hand=hand), rng), synthetic.random_body(rng))


@given(vectors, vectors, vectors)
def test_rotations_compose(first: np.ndarray, second: np.ndarray, point: np.ndarray) -> None:
    one, two = exponential(first), exponential(second)
    np.testing.assert_allclose(rotate(multiply(one, two), point), rotate(one, rotate(two, point)), atol=1e-9)
    np.testing.assert_allclose(to_matrix(one) @ point, rotate(one, point), atol=1e-9)
    if np.linalg.norm(first) < 3.1:
        np.testing.assert_allclose(logarithm(one), first, atol=1e-9)


@pytest.mark.parametrize("layout", ["kinect-v1", "imu-17"])
@settings(max_examples=10)
@given(action=st.sampled_from(ACTIONS), seed=st.integers(0, 1000))
def test_limb_bones_keep_their_length(layout: str, action: str, seed: int) -> None:
    topology = topologies.get(layout)
    joints = performed(action, seed).joints(topology)
    for side in ("left", "right"):
        for near, far in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
            bone = joints[:, topology.index(f"{side}_{near}")] - joints[:, topology.index(f"{side}_{far}")]
            assert np.ptp(np.linalg.norm(bone, axis=-1)) < 1e-9


def test_a_body_stands_as_tall_as_it_is() -> None:
    body = synthetic.SyntheticBody(stature=1.80)
    motion = synthetic.perform(synthetic.play("wave", synthetic.Style(sway=0), np.random.default_rng(0)), body)
    joints = motion.joints(topologies.get("kinect-v1"))
    head, hip, knee, ankle = (topologies.get("kinect-v1").index(name)
                              for name in ("head", "left_hip", "left_knee", "left_ankle"))
    heights = joints[0, [head, hip, knee, ankle], 1] / body.stature
    np.testing.assert_allclose(heights, [0.93, 0.53, 0.285, 0.039], atol=0.015)


def test_segments_are_those_that_imu_17_names() -> None:
    assert set(topologies.get("imu-17").aliases) <= {segment.name for segment in SEGMENTS}


def test_segment_masses_add_up_to_a_body() -> None:
    assert sum(segment.mass for segment in SEGMENTS) == pytest.approx(0.90, abs=0.1)


@pytest.mark.parametrize("action", ACTIONS)
def test_feet_stay_on_the_floor(action: str) -> None:
    motion = performed(action)
    soles = np.stack([motion.body.place(f"{side}_{point}", motion.origins, motion.turns)[:, 1]
                      for side in ("left", "right") for point in ("heel", "toe")])
    assert soles.min() > -0.02
    if action == "jump":
        assert soles.min(axis=0).max() > 0.05
    else:
        assert soles.min(axis=0).max() < 0.02


@pytest.mark.parametrize("action", [name for name in ACTIONS if name not in ("walk", "jump")])
def test_the_standing_foot_does_not_slide(action: str) -> None:
    motion = performed(action)
    feet = [motion.body.place(f"{side}_foot", motion.origins, motion.turns) for side in ("left", "right")]
    steadier = min(float(np.ptp(foot[:, [0, 2]], axis=0).max()) for foot in feet)
    assert steadier < 0.09


def test_walking_gets_somewhere_and_sitting_down_gets_down() -> None:
    walk, sit = performed("walk"), performed("sit down")
    assert walk.origins["pelvis"][-1, 2] - walk.origins["pelvis"][0, 2] > 0.7
    assert sit.origins["pelvis"][0, 1] - sit.origins["pelvis"][-1, 1] > 0.25


def test_motion_is_smooth() -> None:
    for action in ACTIONS:
        joints = performed(action).joints(topologies.get("kinect-v1"))
        acceleration = np.linalg.norm(np.diff(joints, 2, axis=0), axis=-1) * 100.0**2
        assert acceleration.max() < 400.0, action  # a hard throw's hand reaches some 300 m/s²


@pytest.mark.parametrize("action", ACTIONS)
def test_a_left_handed_performance_is_the_mirror_of_its_mirror_action(action: str) -> None:
    topology = topologies.get("kinect-v1")
    style = {hand: synthetic.Style(hand=hand, sway=0.0) for hand in ("left", "right")}
    body = synthetic.SyntheticBody()
    left = synthetic.perform(synthetic.play(action, style["left"], np.random.default_rng(5)), body)
    mirror = synthetic.mirrors()[action]
    right = synthetic.perform(synthetic.play(mirror, style["right"], np.random.default_rng(5)), body)
    reflected = right.joints(topology)[:, topology.mirror] * [-1.0, 1.0, 1.0]
    np.testing.assert_allclose(left.joints(topology), reflected, atol=1e-6)


def test_mirroring_twice_is_the_same_action() -> None:
    mirrors = synthetic.mirrors()
    assert all(mirrors[mirrors[name]] == name for name in ACTIONS)
    assert mirrors["swipe left"] == "swipe right"


@pytest.mark.parametrize(("action", "sign"), [("swipe left", -1), ("swipe right", 1)])
@pytest.mark.parametrize("hand", ["left", "right"])
def test_a_swipe_goes_where_its_name_says(action: str, sign: int, hand: str) -> None:
    motion = performed(action, hand=hand)
    # The body looks along z, so that its right is -x.
    across = -motion.origins[f"{hand}_hand"][:, 0]
    raised = motion.origins[f"{hand}_hand"][:, 1] > 0.7 * motion.origins[f"{hand}_upper_arm"][:, 1].max()
    velocity = np.gradient(across)[raised]
    assert sign * velocity[np.argmax(np.abs(velocity))] > 0


def test_a_circle_turns_as_its_actor_sees_it() -> None:
    for action, sign in (("circle clockwise", 1), ("circle counter-clockwise", -1)):
        motion = performed(action)
        hand = motion.origins["right_hand"]
        x, y = -hand[:, 0], hand[:, 1]  # seen from behind the actor: right is right
        high = y > 0.8 * motion.origins["right_upper_arm"][:, 1].mean()
        x, y = x[high] - x[high].mean(), y[high] - y[high].mean()
        turned = np.unwrap(np.arctan2(x, y))
        assert sign * (turned[-1] - turned[0]) > np.pi
