"""What body-worn inertial sensors measure of a motion: orientation, angular rate, specific force.

Axes: S sensors, K samples (the motion's own instants). World: y up. Sensor axes: those of the segment, turned by how
the strap sits. Gravity is 9.81 m/s²; a sensor at rest reads +9.81 upwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeskel.data.synthetic.body import SEGMENTS
from edgeskel.data.synthetic.motion import Motion
from edgeskel.data.synthetic.score import RATE_HZ
from edgeskel.errors import UnknownChoice
from edgeskel.geometry import Float64, conjugate, exponential, logarithm, multiply_many, rotate_many
from edgeskel.skeleton import Inertial

__all__ = ["DEFAULT_SENSORS", "GRAVITY", "PERFECT", "Noise", "measure", "places"]

#: m/s², world.
GRAVITY = np.array([0.0, -9.81, 0.0])

DEFAULT_SENSORS = ("right_wrist", "left_wrist", "chest", "right_thigh")

# Worn at a joint rather than amid a segment: place -> (segment, share of the way to its far end).
_WORN_AT = {
    f"{side}_{joint}": (f"{side}_{segment}", 0.9)
    for side in ("left", "right")
    for joint, segment in (("wrist", "forearm"), ("ankle", "shank"))
}


@dataclass(frozen=True)
class Noise:
    """Errors of a consumer MEMS sensor, one standard deviation each.

    Args:
        accelerometer: m/s² per sample.
        gyroscope: rad/s per sample.
        accelerometer_bias: m/s², constant in a recording.
        gyroscope_bias: rad/s, constant in a recording.
        strap: radians by which the strap sits askew.
    """

    accelerometer: float = 0.04
    gyroscope: float = 0.003
    accelerometer_bias: float = 0.08
    gyroscope_bias: float = 0.01
    strap: float = 0.15


PERFECT = Noise(0.0, 0.0, 0.0, 0.0, 0.0)


def places() -> tuple[str, ...]:
    """Where a sensor can be worn: the segments of ``imu-17``, wrists and ankles."""
    return (*(s.name for s in SEGMENTS if s.name not in ("abdomen", "neck")), *_WORN_AT)


def measure(room: Motion, sensors: Sequence[str], noise: Noise, rng: np.random.Generator) -> Inertial:
    """Signals of sensors worn during a motion.

    Args:
        room: the motion in world axes.
        sensors: of :func:`places`.
        noise: errors of accelerometer and gyroscope; ``orientation`` is the truth that a filter is measured against.
        rng: for noise.

    Raises:
        UnknownChoice: no such place.
    """
    signals = [_one(room, sensor, noise, rng) for sensor in sensors]
    orientation, gyroscope, accelerometer = (np.stack(part).astype(np.float32) for part in zip(*signals, strict=True))
    return Inertial(tuple(sensors),
                    room.time,
                    accelerometer=accelerometer,
                    gyroscope=gyroscope,
                    orientation=orientation)


def _one(room: Motion, place: str, noise: Noise, rng: np.random.Generator) -> tuple[Float64, Float64, Float64]:
    """(K, 4) sensor -> world, (K, 3) rad/s and (K, 3) m/s² in sensor axes."""
    name, share = _WORN_AT.get(place, (place, 0.5))
    segment = next((s for s in SEGMENTS if s.name == name), None)
    if segment is None or place not in places():
        raise UnknownChoice("sensor place", place, places())
    # On the skin: amid the segment, its radius outwards (ahead).
    mount = np.array(segment.tip) * share * room.body.length(name)
    mount = mount + np.array([0.0, 0.0, segment.radius * room.body.stature * room.body.girth])
    strap = exponential(noise.strap * rng.standard_normal(3))
    turns = room.turns[name]
    orientation = _continuous(multiply_many(turns, np.broadcast_to(strap, turns.shape)))
    position = room.origins[name] + rotate_many(turns, mount)
    to_sensor = conjugate(orientation)
    # Rate about sensor axes over two steps, centred on the sample, as exact as the acceleration below.
    rate = logarithm(multiply_many(conjugate(orientation[_before(len(turns))]), orientation[_after(len(turns))]))
    spans = (_after(len(turns)) - _before(len(turns)))[:, None] / RATE_HZ
    acceleration = np.empty_like(position)
    acceleration[1:-1] = (position[2:] - 2 * position[1:-1] + position[:-2]) * RATE_HZ**2
    acceleration[0], acceleration[-1] = acceleration[1], acceleration[-2]
    force = rotate_many(to_sensor, acceleration - GRAVITY)
    return (orientation, rate / spans + _errors(rate.shape, noise.gyroscope, noise.gyroscope_bias, rng),
            force + _errors(force.shape, noise.accelerometer, noise.accelerometer_bias, rng))


def _before(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.maximum(np.arange(count) - 1, 0)


def _after(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.minimum(np.arange(count) + 1, count - 1)


def _errors(shape: tuple[int, ...], white: float, bias: float, rng: np.random.Generator) -> Float64:
    return np.asarray(white * rng.standard_normal(shape) + bias * rng.standard_normal(shape[1:]), dtype=np.float64)


def _continuous(quaternion: Float64) -> Float64:
    """The same rotations without sign jumps from one sample to the next."""
    flips = np.where((quaternion[1:] * quaternion[:-1]).sum(axis=-1) < 0, -1.0, 1.0)
    signs = np.concatenate([[1.0], np.cumprod(flips)])
    return np.asarray(quaternion * signs[:, None], dtype=np.float64)
