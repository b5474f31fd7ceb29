"""Jitter buffers, the camera's lateness and its tilt."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat

from edgeskel.data.importers.utd_mhad import FILE_ORDER
from edgeskel.geometry import about_up, conjugate, exponential, multiply, rotate
from firmware_bridge.align import (
    CameraTilt,
    JitterBuffer,
    bone_speed,
    bone_velocity,
    camera_offset,
    orientations,
    resample,
)
from firmware_bridge.body import Track
from firmware_bridge.body.camera_correction import OFFSET_SURE
from firmware_bridge.orientation import OrientedSample

Float64 = np.ndarray


def _turning(time: float) -> OrientedSample:
    """A sensor that turns about up at 2 rad/s."""
    w, x, y, z = about_up(2 * time).tolist()
    return OrientedSample(time, (w, x, y, z), (0.0, 2.0, 0.0), 0)


def _angle(quaternion: Float64) -> float:
    return float(2 * math.atan2(quaternion[2], quaternion[0])) % (2 * math.pi)


def test_between_readings_an_orientation_lies_between_them_and_after_them_it_is_carried_on() -> None:
    buffer = JitterBuffer()
    for k in (0, 1, 2, 4):  # one is lost
        buffer.push(_turning(k * 0.01))
    for time in (0.005, 0.0199, 0.03, 0.04, 0.09):
        turned, age = orientations([buffer], time)
        assert _angle(turned[0]) == pytest.approx(2 * time, abs=1e-6)
        assert age[0] == pytest.approx(time - max(t for t in (0, 0.01, 0.02, 0.04) if t <= time))
    turned, age = orientations([buffer], 5.0)
    assert _angle(turned[0]) == pytest.approx(2 * 0.14, abs=1e-6)  # no farther than a tenth of a second
    assert age[0] == pytest.approx(4.96)
    assert math.isinf(orientations([buffer], -0.01)[1][0]) and math.isinf(orientations([JitterBuffer()], 0.0)[1][0])


def test_a_full_buffer_forgets_the_oldest_only() -> None:
    buffer = JitterBuffer(size=64)
    for k in range(1000):
        buffer.push(_turning(k * 0.01))
        if k > 70:
            at = (k - 30.5) * 0.01
            assert _angle(orientations([buffer], at)[0][0]) == pytest.approx((2 * at) % (2 * math.pi), abs=1e-6)
    assert len(buffer) == 64 and buffer.newest == pytest.approx(9.99)
    assert math.isinf(orientations([buffer], 9.0)[1][0])
    track = buffer.track(9.5, 9.6)
    assert len(track.time) == 11 and np.allclose(track.rate, [0, 2, 0])


def test_readings_kept_one_by_one_or_many_at_once_are_the_same_however_old() -> None:
    one, many = JitterBuffer(size=300), JitterBuffer(size=300)
    rng = np.random.default_rng(4)
    count = 0
    while count < 1000:
        some = [_turning(0.01 * (count + k)) for k in range(rng.integers(1, 200))]
        count += len(some)
        for reading in some:
            one.push(reading)
        many.extend(some)
        for at in rng.uniform(0, 0.01 * count + 0.1, 20):
            for a, b in zip(orientations([one], at), orientations([many], at), strict=True):
                assert np.array_equal(a, b)
        assert np.array_equal(one.track(0, 99).orientation, many.track(0, 99).orientation)
    assert len(many) == 300 and len(many.track(0, 99).time) == 300
    at = 0.01 * (count - 290.5)  # long before what is at hand
    assert _angle(orientations([many], at)[0][0]) == pytest.approx(2 * at % (2 * math.pi), abs=1e-6)
    many.clear()
    assert len(many) == 0 and not len(many.track(0, 99).time) and many.newest == -math.inf


def test_a_product_is_hamiltons_and_a_rotation_is_one_from_both_sides() -> None:
    units = np.eye(4)
    one, i, j, k = units
    for a, b, product in ((i, j, k), (j, k, i), (k, i, j), (j, i, -k), (k, j, -i), (i, k, -j), (i, i, -one), (j, j, -one),
                          (k, k, -one), (one, j, j), (k, one, k)):
        assert np.array_equal(multiply(a, b), product)
    rng = np.random.default_rng(6)
    turns, vectors = exponential(rng.normal(size=(7, 1, 3))), rng.normal(size=(5, 3))
    pure = np.concatenate([np.zeros((5, 1)), vectors], axis=-1)
    assert np.allclose(rotate(turns, vectors), multiply(multiply(turns, pure), conjugate(turns))[..., 1:])


@settings(max_examples=50)
@given(st.lists(st.floats(0.001, 0.05), min_size=3, max_size=40), st.floats(0, 1))
def test_resampling_gives_unit_quaternions_on_the_way(steps: list[float], where: float) -> None:
    time = np.cumsum(steps)
    rng = np.random.default_rng(len(steps))
    turns = exponential(rng.normal(size=(len(time), 3)))
    got = resample(Track(time, turns, np.zeros((len(time), 3))), np.array([time[0] + where * (time[-1] - time[0]), time[1]]))
    assert np.allclose(np.linalg.norm(got, axis=-1), 1)
    assert abs(float((got[1] * turns[1]).sum())) == pytest.approx(1)


def _movement(rng: np.random.Generator) -> tuple[Float64, Float64]:
    """25 s of two bones that swing about, at 100 Hz: what a body does between 0.3 and 2 Hz."""
    time = np.arange(0, 25, 0.01)
    turn = np.stack([np.sum([rng.normal() * np.sin(2 * np.pi * rng.uniform(0.3, 2) * time + rng.uniform(0, 6))
                             for _ in range(5)], axis=0) for _ in range(6)], axis=-1).reshape(-1, 2, 3)
    return time, rotate(exponential(0.5 * turn), np.array([0.0, -0.3, 0.0]))


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1), st.floats(-0.15, 0.35))
def test_the_cameras_lateness_is_found_within_five_milliseconds(seed: int, late: float) -> None:
    rng = np.random.default_rng(seed)
    time, bones = _movement(rng)
    seen_at = np.arange(1.0, 24.0, 1 / 30)
    seen = np.stack([np.interp(seen_at, time, axis) for axis in bones.reshape(len(time), -1).T], axis=-1).reshape(-1, 2, 3)
    seen += rng.normal(scale=0.005, size=seen.shape)
    seen[rng.random(seen.shape[:2]) < 0.1] = np.nan
    found, sure = camera_offset(*bone_speed(seen_at + late, seen, 0.133), *bone_speed(time, bones, 0.133))
    assert abs(found - late) < 0.005
    assert sure > 0.7


@pytest.mark.parametrize("seed", range(5))
def test_what_has_nothing_in_common_is_not_believed(seed: int) -> None:
    signals = []
    for person in (0, 1):
        at, velocity = bone_velocity(*_movement(np.random.default_rng([seed, person])), 0.133)
        signals += [at, velocity.reshape(len(at), -1)]
    a = _movement(np.random.default_rng(seed))
    assert camera_offset(*signals)[1] < OFFSET_SURE
    assert camera_offset(np.zeros(0), np.zeros((0, 2)), *bone_speed(*a, 0.133)) == (0.0, 0.0)


def test_wrist_sensor_and_camera_of_real_recordings_agree_about_the_time(datasets: Path) -> None:
    # UTD-MHAD: the wrist's turning rate against the wrist's speed about the elbow in the camera's picture. The two share no clock
    # there and are stretched over the same seconds, so that a tenth of a second either way is theirs.
    wrist, elbow = FILE_ORDER.index("right_wrist"), FILE_ORDER.index("right_elbow")
    offsets, moved = [], []
    for file in sorted((datasets / "utd-mhad" / "Skeleton").glob("a1[01]_s[1-4]_t[12]_*.mat")):
        joints = loadmat(file)["d_skel"].transpose(2, 0, 1)
        signals = loadmat(datasets / "utd-mhad" / "Inertial" / file.name.replace("skeleton", "inertial"))["d_iner"]
        time = np.arange(len(joints)) / 30
        turning = np.radians(np.linalg.norm(signals[:, 3:], axis=-1))
        sensor_at = np.linspace(time[0], time[-1], len(signals))
        seen_at, seen = bone_speed(time, joints[:, wrist:wrist + 1] - joints[:, elbow:elbow + 1], 0.133)
        for shift, found in ((0.0, offsets), (0.2, moved)):
            late, sure = camera_offset(seen_at + shift, seen, sensor_at, turning[:, None], reach=0.4)
            found.append(late if sure > 0.4 else np.nan)
    both = ~np.isnan(offsets) & ~np.isnan(moved)
    assert both.sum() >= 8
    assert abs(np.nanmedian(offsets)) < 0.1
    assert np.median((np.array(moved) - offsets)[both]) == pytest.approx(0.2, abs=0.02)


def test_a_tilted_camera_is_levelled_and_the_common_heading_found() -> None:
    rng = np.random.default_rng(0)
    tilted = exponential(np.array([0.2, 0.0, -0.05]))  # our world -> camera
    sensors_off = about_up(0.3)
    tilt = CameraTilt()
    for _ in range(300):
        body = rng.normal(size=(15, 3)) * [0.2, 0.5, 0.15]
        body -= body.mean(axis=0)
        tilt.push(rotate(tilted, body) + rng.normal(scale=0.03, size=body.shape), rotate(sensors_off, body))
    up = rotate(multiply(tilt.rotation, tilted), np.array([0.0, 1.0, 0.0]))
    assert math.degrees(math.acos(min(1.0, up[1]))) < 1
    assert tilt.heading == pytest.approx(-0.3, abs=0.03)
    tilt.turn(-0.3)
    assert tilt.heading == pytest.approx(0.0, abs=0.03)
