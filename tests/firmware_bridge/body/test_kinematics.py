"""From orientations and lengths to joints; the root walked by the feet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel import topologies
from edgeskel.data.synthetic import perform, play, random_body, random_style
from edgeskel.data.synthetic.body import SEGMENTS as TRUE_PIECES
from edgeskel.errors import TopologyMismatch, UnknownChoice
from edgeskel.geometry import about_up, exponential, multiply, normalise
from edgeskel.skeleton import Topology
from firmware_bridge.body import SEGMENTS, BodyDimensions, FloorContact, Skeleton, infer
from firmware_bridge.body.root_position import RootPosition
from firmware_bridge.body.segments import INDEX, LENGTHS, PIECES, PLACES, segment_of

STILL = np.tile([1.0, 0.0, 0.0, 0.0], (len(PIECES), 1))


def test_the_segments_are_those_of_the_layout() -> None:
    assert sorted(SEGMENTS) == sorted(topologies.get("imu-17").aliases)


def test_joints_of_our_vocabulary_are_placed_in_every_layout_of_a_camera() -> None:
    for name in ("kinect-v1", "kinect-v2", "azure-kinect", "coco-17", "smpl-24", "imu-17"):
        assert Skeleton(topologies.get(name)).placed.all(), name


def test_a_standing_body_stands() -> None:
    layout = topologies.get("kinect-v2")
    joints = dict(zip(layout.joints, Skeleton(layout).forward(STILL), strict=True))
    assert joints["left_shoulder"][0] > 0 > joints["right_shoulder"][0]  # x is to the left
    assert joints["head"][1] > joints["neck"][1] > joints["pelvis"][1] > joints["left_knee"][1] > joints["left_ankle"][1]
    assert joints["left_foot"][2] > joints["left_ankle"][2]  # z is ahead


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(1.4, 2.0))
def test_bones_keep_their_length_whatever_the_posture(seed: int, stature: float) -> None:
    skeleton = Skeleton(topologies.get("kinect-v2"), BodyDimensions(stature))
    turns = normalise(np.random.default_rng(seed).normal(size=(3, len(PIECES), 4)))
    sure = np.ones(25)
    at_rest = skeleton.lengths(skeleton.forward(STILL), sure)
    for joints in skeleton.forward(turns):
        lengths = skeleton.lengths(joints, sure)
        for group in ("upper_arm", "forearm", "thigh", "shank", "foot", "hips"):
            assert lengths[group] == pytest.approx(at_rest[group])


def test_turning_the_whole_body_turns_its_joints() -> None:
    skeleton = Skeleton(topologies.get("kinect-v1"))
    turns = normalise(np.random.default_rng(0).normal(size=(len(PIECES), 4)))
    whole = exponential(np.array([0.3, -0.8, 0.5]))
    from edgeskel.geometry import rotate

    assert np.allclose(skeleton.forward(multiply(whole, turns)), rotate(whole, skeleton.forward(turns)))


def test_the_lengths_that_a_body_is_given_are_those_it_has() -> None:
    layout = topologies.get("kinect-v2")
    skeleton = Skeleton(layout, BodyDimensions(1.8))
    scale = {"upper_arm": 1.1, "forearm": 0.9, "thigh": 1.05, "shank": 0.95, "hips": 1.2, "shoulders": 1.1}
    before = skeleton.lengths(skeleton.forward(STILL), np.ones(25))
    skeleton.resize(skeleton.body.measured(scale))
    after = skeleton.lengths(skeleton.forward(STILL), np.ones(25))
    for group in ("upper_arm", "forearm", "thigh", "shank", "hips"):
        assert after[group] / before[group] == pytest.approx(scale[group])
    assert set(LENGTHS) == set(before)


def test_a_length_is_not_taken_from_joints_that_are_not_sure() -> None:
    layout = topologies.get("kinect-v2")
    skeleton = Skeleton(layout)
    sure = np.ones(25)
    sure[layout.index("left_elbow")] = 0.5
    joints = skeleton.forward(STILL)
    joints[layout.index("left_elbow")] += 1.0
    right = skeleton.lengths(skeleton.forward(STILL), np.ones(25))["forearm"]
    assert skeleton.lengths(joints, sure)["forearm"] == pytest.approx(right)
    sure[layout.index("right_elbow")] = 0.5
    assert "forearm" not in skeleton.lengths(joints, sure)


def test_a_layout_without_a_body_is_refused() -> None:
    with pytest.raises(TopologyMismatch, match="at least three"):
        Skeleton(Topology("hand", ("wrist", "thumb"), (-1, 0)))
    with pytest.raises(UnknownChoice, match="left_forearm"):
        segment_of("left_lower_arm")
    assert segment_of("left_wrist") == "left_forearm"
    assert {piece for piece, _ in PLACES.values()} <= set(INDEX)


def _truth(action: str, seed: int) -> tuple[np.ndarray, np.ndarray, BodyDimensions]:
    """(T, P, 4) turns and (T, 3) pelvis of a synthetic performance at 100 Hz, and the body as a user would describe it."""
    rng = np.random.default_rng(seed)
    motion = perform(play(action, random_style(rng), rng), random_body(rng))
    assert [piece.name for piece in PIECES] == [segment.name for segment in TRUE_PIECES]
    turns = np.stack([motion.turns[piece.name] for piece in PIECES], axis=1)
    return turns, motion.origins["pelvis"], BodyDimensions(motion.body.stature)


def test_the_feet_walk_the_root_about_as_far_as_it_goes() -> None:
    turns, pelvis, body = _truth("walk", 3)
    contact = FloorContact()
    soles = Skeleton(topologies.get("imu-17"), body).forward_with_soles(turns)[1]
    moved, heights = zip(*map(contact.push, turns, soles), strict=True)
    path = np.cumsum(moved, axis=0)
    far = np.linalg.norm((pelvis[-1] - pelvis[0])[[0, 2]])
    assert far > 0.5
    assert np.linalg.norm((path[-1] - (pelvis[-1] - pelvis[0]))[[0, 2]]) < 0.3 * far
    assert np.std(np.array(heights) - pelvis[:, 1]) < 0.03


def test_the_root_follows_the_camera_and_walks_on_without_it() -> None:
    turns, pelvis, body = _truth("walk", 3)
    time = np.arange(len(turns)) / 100
    root = RootPosition()
    soles = Skeleton(topologies.get("imu-17"), body).forward_with_soles(turns)[1]
    offset = np.array([0.4, -0.9, 2.6])
    half = len(time) // 2
    rng = np.random.default_rng(0)
    errors = []
    for k in range(0, len(time), 3):
        root.walk(float(time[k]), turns[k], soles[k])
        if k < half:
            seen = root.see(float(time[k]), pelvis[k] + offset + rng.normal(scale=0.02, size=3), 0.02**2, blind=False)
            assert np.linalg.norm(seen - pelvis[k] - offset) < 0.1
        errors.append(np.linalg.norm(root.at(float(time[k]))[0] - pelvis[k] - offset))
    assert errors[-1] < 0.25 < np.linalg.norm(pelvis[half] - pelvis[-1])  # standing where it was seen last would be off by more
    assert root.at(float(time[-1]))[1] == pytest.approx(time[-1] - time[half], abs=0.05)


def test_what_is_not_measured_is_inferred_from_the_rest() -> None:
    turns, measured = STILL.copy(), np.zeros(len(PIECES), dtype=bool)
    facing = about_up(0.6)
    turns[INDEX["pelvis"]] = multiply(facing, exponential(np.array([0.8, 0.0, 0.0])))  # bowing
    turns[INDEX["left_forearm"]] = exponential(np.array([0.0, 0.0, 1.0]))
    measured[[INDEX["pelvis"], INDEX["left_forearm"]]] = True
    done = infer(turns, measured)
    assert np.allclose(np.linalg.norm(done, axis=-1), 1)
    assert np.allclose(done[INDEX["chest"]], turns[INDEX["pelvis"]])
    assert np.allclose(done[INDEX["left_thigh"]], facing)  # legs stand, though the pelvis leans
    assert np.allclose(done[INDEX["left_foot"]], facing)
    assert np.allclose(done[INDEX["left_hand"]], turns[INDEX["left_forearm"]])
    assert np.allclose(infer(STILL, np.zeros(len(PIECES), dtype=bool), 0.6)[INDEX["pelvis"]], facing)
