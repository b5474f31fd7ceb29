"""Headings: held by joints, corrected by a camera, never fast; and the pose's error beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeskel.geometry import about_up, exponential, multiply, rotate
from firmware_bridge.body import HeadingEstimator
from firmware_bridge.body.heading import FASTEST
from firmware_bridge.body.segments import INDEX, PIECES

DOWN = np.array([0.0, -1.0, 0.0])


def _filmed(headings: HeadingEstimator, true: np.ndarray, off: float, tilt: np.ndarray, seconds: float) -> list[float]:
    """One upper arm that swings about (its true orientations ``true`` (K, 4)), filmed at 30 Hz; its sensor's world is ``off``
    radians turned and its segment stood turned by ``tilt`` in the pose. Returns the heading's correction, frame by frame."""
    course = []
    for k in range(int(seconds * 30)):
        turn = true[k % len(true)]
        measured = multiply(multiply(about_up(headings.angle[0] - off), multiply(turn, tilt)), headings.tilt[0])
        headings.wait(1 / 30)
        ours, theirs = rotate(measured, DOWN), rotate(turn, DOWN)
        headings.observe(np.array([0]), measured[None], ours[None], theirs[None], np.array([0.1]), np.array([1e-4]), 1 / 30)
        course.append(float(headings.angle[0]))
    return course


def _swinging(seconds: float = 20) -> np.ndarray:
    time = np.arange(0, seconds, 1 / 30)
    return exponential(np.stack([-0.9 + 0.7 * np.sin(2 * time), 0.5 * np.sin(0.7 * time), 0.4 * np.sin(1.3 * time)], axis=-1))


def test_a_known_heading_is_corrected_at_half_a_degree_per_second_and_no_faster() -> None:
    headings = HeadingEstimator(["left_upper_arm"])
    course = _filmed(headings, _swinging(), math.radians(20), np.array([1.0, 0, 0, 0]), 60)
    steps = np.diff(course, prepend=0.0)
    assert np.abs(steps).max() <= FASTEST / 30 + 1e-12
    assert course[-1] == pytest.approx(math.radians(20), abs=math.radians(4))


def test_an_unknown_heading_is_found_at_once() -> None:
    headings = HeadingEstimator(["left_upper_arm"], known=False)
    course = _filmed(headings, _swinging(), 2.0, np.array([1.0, 0, 0, 0]), 2)
    assert course[-1] == pytest.approx(2.0, abs=math.radians(15))


def test_a_heading_that_was_lost_is_found_again_at_once() -> None:
    headings = HeadingEstimator(["left_upper_arm"])
    headings.lose("left_upper_arm")
    assert not headings.known[0]
    assert _filmed(headings, _swinging(), -1.5, np.array([1.0, 0, 0, 0]), 2)[-1] == pytest.approx(-1.5, abs=math.radians(10))
    assert headings.known[0]


def test_an_upright_bone_tells_no_heading() -> None:
    headings = HeadingEstimator(["left_thigh"])
    standing = np.tile([1.0, 0.0, 0.0, 0.0], (30, 1))
    _filmed(headings, standing, math.radians(20), np.array([1.0, 0, 0, 0]), 10)
    assert abs(headings.angle[0]) < math.radians(1)


def test_the_poses_error_is_not_taken_for_heading() -> None:
    headings = HeadingEstimator(["left_upper_arm"])
    tilt = exponential(np.array([0.12, 0.0, -0.08]))
    course = _filmed(headings, _swinging(), 0.0, tilt, 120)
    left = multiply(tilt, headings.tilt[0])
    assert 2 * math.acos(min(1.0, abs(float(left[0])))) < 0.5 * 2 * math.acos(float(tilt[0]))
    assert abs(course[-1]) < math.radians(5)


def test_a_frame_that_lies_moves_nothing_far() -> None:
    headings = HeadingEstimator(["left_upper_arm"])
    bone = np.array([[0.8, -0.6, 0.0]])
    headings.observe(np.array([0]), np.array([[1.0, 0, 0, 0]]), bone, -bone[:, [2, 1, 0]], np.array([0.1]), np.array([1e-3]),
                     1 / 30)
    assert np.abs(headings.state[0, :3]).max() <= FASTEST / 30 + 1e-12


def _turns(**turned: float) -> np.ndarray:
    turns = np.tile([1.0, 0.0, 0.0, 0.0], (len(PIECES), 1))
    for segment, degrees in turned.items():
        turns[INDEX[segment]] = about_up(math.radians(degrees))
    return turns


def test_a_knee_that_is_twisted_too_far_is_slowly_straightened() -> None:
    headings = HeadingEstimator(["left_thigh", "left_shank"])
    for _ in range(300):
        off = np.degrees(headings.angle)
        headings.hold_joints(_turns(left_thigh=off[0], left_shank=40 + off[1]), 0.1)
    off = np.degrees(headings.angle)
    assert 1.5 < (off[0] - off[1]) < 3.1  # a tenth of a degree per second for 30 s
    for _ in range(6000):
        off = np.degrees(headings.angle)
        headings.hold_joints(_turns(left_thigh=off[0], left_shank=40 + off[1]), 0.1)
    off = np.degrees(headings.angle)
    assert 40 + off[1] - off[0] == pytest.approx(15, abs=0.5)


def test_a_knee_within_its_range_is_left_alone() -> None:
    headings = HeadingEstimator(["left_thigh", "left_shank"])
    headings.hold_joints(_turns(left_thigh=-5, left_shank=8), 10.0)
    assert not headings.angle.any()


def test_doubt_grows_while_nothing_is_seen() -> None:
    headings = HeadingEstimator(["left_thigh"])
    before = float(headings.variance[0])
    headings.wait(60)
    assert math.degrees(math.sqrt(headings.variance[0] - before)) == pytest.approx(3.9, abs=0.2)
