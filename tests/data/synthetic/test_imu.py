"""Inertial signals against the motion they come from."""

from __future__ import annotations

import numpy as np
import pytest

from edgeskel import topologies
from edgeskel.data import synthetic
from edgeskel.data.synthetic import imu
from edgeskel.data.synthetic.score import RATE_HZ
from edgeskel.errors import UnknownChoice
from edgeskel.geometry import conjugate, exponential, logarithm, multiply, rotate
from edgeskel.skeleton import Inertial

SENSORS = ("right_wrist", "chest", "left_shank", "right_thigh")


def take(action: str, noise: imu.Noise = imu.PERFECT, seed: int = 0) -> synthetic.Take:
    rng = np.random.default_rng(seed)
    return synthetic.take(action, synthetic.random_body(rng), synthetic.Style(), rng, sensors=SENSORS, noise=noise)


def signals(action: str, noise: imu.Noise = imu.PERFECT) -> Inertial:
    inertial = take(action, noise).clip.inertial
    assert inertial is not None and inertial.orientation is not None
    return inertial


@pytest.mark.parametrize("action", ["wave", "throw", "kick", "walk"])
def test_integrating_the_gyroscope_gives_the_orientation(action: str) -> None:
    inertial = signals(action)
    assert inertial.orientation is not None
    for gyroscope, orientation in zip(inertial.gyroscope, inertial.orientation, strict=True):
        quaternion = orientation[0].astype(np.float64)
        rate = gyroscope.astype(np.float64)
        worst = 0.0
        for k in range(len(rate) - 1):
            quaternion = multiply(quaternion, exponential(0.5 * (rate[k] + rate[k + 1]) / RATE_HZ))
            worst = max(worst, float(np.linalg.norm(logarithm(multiply(conjugate(quaternion), orientation[k + 1])))))
        assert worst < np.radians(3.0)


def test_orientations_are_unit_and_without_sign_jumps() -> None:
    orientation = signals("throw").orientation
    assert orientation is not None
    np.testing.assert_allclose(np.linalg.norm(orientation, axis=-1), 1.0, atol=1e-6)
    assert (orientation[:, 1:] * orientation[:, :-1]).sum(axis=-1).min() > 0.9


def test_a_sensor_at_rest_feels_gravity_upwards() -> None:
    rng = np.random.default_rng(1)
    still = synthetic.Style(sway=0.0, before=1.0)
    made = synthetic.take("wave", synthetic.SyntheticBody(), still, rng, sensors=SENSORS, noise=imu.PERFECT).clip.inertial
    assert made is not None and made.orientation is not None
    before = made.time < 0.8
    world = rotate(made.orientation[:, before].astype(np.float64), made.accelerometer[:, before].astype(np.float64))
    np.testing.assert_allclose(world, np.broadcast_to([0.0, 9.81, 0.0], world.shape), atol=0.12)  # it breathes


def test_integrating_the_accelerometer_twice_gives_the_way() -> None:
    made = take("walk")
    inertial = made.clip.inertial
    assert inertial is not None and inertial.orientation is not None
    chest = SENSORS.index("chest")
    orientation = inertial.orientation[chest].astype(np.float64)
    acceleration = rotate(orientation, inertial.accelerometer[chest].astype(np.float64)) + imu.GRAVITY
    # From the second instant on: the difference that stands for the first is a copy of its neighbour's.
    way = made.motion.origins["chest"][1:]
    start = (way[1] - way[0]) * RATE_HZ - 0.5 * acceleration[1] / RATE_HZ
    velocity = start + np.cumsum(acceleration[2:-1], axis=0) / RATE_HZ
    travelled = way[-1] - way[0]
    assert np.linalg.norm(travelled) > 0.7
    np.testing.assert_allclose(velocity.sum(axis=0) / RATE_HZ, travelled, atol=0.06)


def test_nothing_is_felt_in_free_flight() -> None:
    made = take("jump")
    inertial, motion = made.clip.inertial, made.motion
    assert inertial is not None
    soles = np.stack([motion.body.place(f"{side}_toe", motion.origins, motion.turns)[:, 1]
                      for side in ("left", "right")])
    floor = np.percentile(soles, 5)
    flying = soles.min(axis=0) > floor + 0.6 * (soles.min(axis=0).max() - floor)
    felt = np.linalg.norm(inertial.accelerometer[SENSORS.index("chest")], axis=-1)
    assert np.median(felt[flying]) < 5.0 < np.median(felt[~flying])


def test_noise_and_bias_are_as_large_as_asked() -> None:
    noise = imu.Noise(accelerometer=0.1, gyroscope=0.02, accelerometer_bias=0.0, gyroscope_bias=0.0, strap=0.0)
    made = take("bow", noise).clip.inertial
    perfect = take("bow", imu.PERFECT).clip.inertial
    assert made is not None and perfect is not None
    assert np.std(made.gyroscope - perfect.gyroscope) == pytest.approx(0.02, rel=0.1)
    assert np.std(made.accelerometer - perfect.accelerometer) == pytest.approx(0.1, rel=0.1)


def test_the_orientation_is_the_segments_up_to_the_strap() -> None:
    made = take("wave")
    inertial = made.clip.inertial
    assert inertial is not None and inertial.orientation is not None
    segment = made.motion.turns["chest"]
    apart = logarithm(multiply(conjugate(segment), inertial.orientation[SENSORS.index("chest")].astype(np.float64)))
    assert np.abs(apart).max() < 1e-5


@pytest.mark.parametrize("place", imu.places())
def test_every_place_can_carry_a_sensor(place: str) -> None:
    rng = np.random.default_rng(0)
    made = synthetic.take("wave", synthetic.SyntheticBody(), synthetic.Style(), rng, sensors=(place,)).clip.inertial
    assert made is not None and np.isfinite(made.accelerometer).all() and made.segments == (place,)


def test_an_unknown_place_is_refused_with_the_list() -> None:
    with pytest.raises(UnknownChoice, match="right_wrist"):
        synthetic.take("wave", synthetic.SyntheticBody(), synthetic.Style(), np.random.default_rng(0), sensors=("tail",))


def test_places_cover_the_segments_of_imu_17() -> None:
    assert set(topologies.get("imu-17").aliases) <= set(imu.places())
