"""Can these numbers be what they are called? Units, gravity and axes of a body-worn sensor, checked on its own data.

What a person does keeps a body-worn accelerometer near 1 g in the middle of any second, and a gyroscope turns the very
direction in which gravity is seen. Both hold without a reference and catch the usual mistakes: g for m/s², degrees for
radians, gravity taken off, axes mirrored, a quaternion the wrong way round.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import DeviceError
from firmware_bridge.samples import STANDARD_GRAVITY, Vector

__all__ = ["GyroscopeScale", "check_acceleration", "up_axis"]

Float64 = NDArray[np.float64]

# (name, how many of it are 1 m/s², what to multiply by), for what makers really write.
_UNITS = (("g", 1 / STANDARD_GRAVITY, "9.80665"), ("mg", 1000 / STANDARD_GRAVITY, "0.00980665"),
          ("cm/s²", 100.0, "0.01"))
_MOVING = 0.5  # the median of a second may lie so far from 1 g (relative) while somebody moves
_LINEAR = 0.25  # below this share of 1 g there is no gravity in it
_TILT = math.radians(25)  # gravity may lie so far off an axis of the device's world: the filter is still settling

_NOTHING = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def check_acceleration(name: str, acceleration: Float64, rate: Float64) -> None:
    """Refuse a second of acceleration that is not m/s² with gravity.

    Args:
        name: of the sensor, for the message.
        acceleration: (K, 3) as received.
        rate: (K', 3) rad/s as received, may be empty; only says whether the sensor was still.

    Raises:
        DeviceError: it looks like another unit, or like acceleration without gravity.
    """
    size = float(np.median(np.linalg.norm(acceleration, axis=-1)))
    if abs(size / STANDARD_GRAVITY - 1) <= _MOVING:
        return
    # All zeros or next to nothing is no gravity in any unit; g units are told from it by being about 1, not about 0.
    for unit, scale, factor in _UNITS:
        if abs(size / (scale * STANDARD_GRAVITY) - 1) <= _MOVING:
            raise DeviceError(f"{name}: the acceleration is about {size:.3g} in the middle of a second; it looks like {unit} "
                              "units", expected="m/s², about 9.8 at rest", remedy=f"multiply by {factor} in the codec")
    if size < _LINEAR * STANDARD_GRAVITY:
        still = len(rate) == 0 or float(np.median(np.linalg.norm(rate, axis=-1))) < 0.2
        raise DeviceError(f"{name}: the acceleration is about {size:.3g} m/s² {'at rest' if still else 'while moving'}; it looks "
                          "like linear acceleration, with gravity taken off", expected="specific force, about 9.8 at rest",
                          remedy="choose the device's raw acceleration, or its own quaternion")
    raise DeviceError(f"{name}: the acceleration is about {size:.3g} in the middle of a second",
                      expected="m/s², about 9.8 at rest", remedy="check the codec's scale and the sensor's range")


def up_axis(name: str, orientation: Float64, acceleration: Float64) -> str:
    """The axis of a device's world along which its accelerometer feels the ground push: ``"+z"`` and so on.

    Args:
        name: of the sensor, for the message.
        orientation: (K, 4) the device's quaternions.
        acceleration: (K, 3) m/s² at the same instants.

    Raises:
        DeviceError: no axis of its world lies near it: the quaternion is in another order, the other way round, or of
            other axes than the acceleration.
    """
    from firmware_bridge.quaternion import conjugate, rotate

    mean = rotate(orientation, acceleration).mean(axis=0)
    axis = int(np.argmax(np.abs(mean)))
    off = math.acos(min(1.0, abs(float(mean[axis])) / float(np.linalg.norm(mean))))
    if off <= _TILT:
        return ("-" if mean[axis] < 0 else "+") + "xyz"[axis]
    back = rotate(conjugate(orientation), acceleration).mean(axis=0)
    wrong_way = float(np.abs(back).max() / np.linalg.norm(back)) > math.cos(_TILT)
    raise DeviceError(f"{name}: by the device's quaternion its accelerometer points {math.degrees(off):.0f} degrees off every "
                      "axis of its world", expected="gravity along one axis of the world",
                      remedy="the quaternion goes from world to sensor: conjugate it in the codec" if wrong_way else
                      "check the order (w, x, y, z) and that quaternion and acceleration are of the same axes")


class GyroscopeScale:
    """Compares the gyroscope with the turning of gravity's direction in sensor axes: ``d/dt a = -w x a`` for a fixed a.

    The ratio of the two is 1 whatever the movement, as linear acceleration averages out over many turns; radians taken
    for degrees make it 57.3 times too large or too small, a mirrored axis makes it negative.

    Args:
        name: of the sensor, for the message.
    """

    WINDOW_S = 0.1
    """Directions are compared over so long, averaged over as long: short enough for the small-angle formula at a few
    rad/s, long enough to average footfalls."""
    LEAST_RAD = 2 * math.pi
    """Judged when gravity's direction should have turned by so much in all."""
    QUIET = 0.1
    """Compared while every acceleration is within so much of 1 g: there its direction is gravity's."""
    FASTEST = 40.0
    """rad/s: a little over 2000 degrees/s, the range of the sensors in use and faster than limbs for any length of
    time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ratio: float | None = None
        """How fast gravity turned against what the gyroscope says; None until there was enough movement."""
        self._begin = -math.inf
        self._sums = _NOTHING
        self._count = 0
        self._before: tuple[float, Float64, Float64] | None = None
        self._cross = self._square = self._turned = 0.0
        self._fast = self._all = 0
        self._quiet = True
        self._verdict = ""
        self._end = -math.inf

    def push(self, time: float, rate: Vector, acceleration: Vector) -> None:
        """Take a reading: seconds, rad/s, m/s².

        Raises:
            DeviceError: the gyroscope is in degrees/s, was converted twice, or has mirrored axes.
        """
        if self.ratio is not None:
            return
        self._all += 1
        self._fast += rate[0] * rate[0] + rate[1] * rate[1] + rate[2] * rate[2] > self.FASTEST**2
        if self._fast > 25 and self._fast > 0.1 * self._all:
            raise DeviceError(f"{self.name}: the gyroscope reads more than {self.FASTEST:.0f} rad/s in a tenth of all readings; it "
                              "looks like degrees/s", expected="rad/s", remedy="multiply by pi / 180 in the codec")
        if self._count and time - self._begin >= self.WINDOW_S:
            self._compare()
        if not self._count:
            self._begin = time
            self._quiet = True
        size = math.sqrt(acceleration[0] ** 2 + acceleration[1] ** 2 + acceleration[2] ** 2)
        self._quiet &= abs(size / STANDARD_GRAVITY - 1) < self.QUIET
        a, b, c, d, e, f = self._sums  # scalars: numpy's calls would cost more than the filter
        self._sums = (a + rate[0], b + rate[1], c + rate[2], d + acceleration[0], e + acceleration[1], f + acceleration[2])
        self._count += 1
        self._end = time

    def _compare(self) -> None:
        mean = np.array(self._sums) / self._count
        middle = 0.5 * (self._begin + self._end)
        rate, direction = mean[:3], mean[3:] / max(float(np.linalg.norm(mean[3:])), 1e-9)
        quiet = self._quiet
        self._sums, self._count = _NOTHING, 0
        before, self._before = self._before, (middle, rate, direction) if quiet else None
        if before is None or not quiet or middle - before[0] > 2 * self.WINDOW_S:
            return
        passed = middle - before[0]
        seen = (direction - before[2]) / passed
        (p, q, r), (x, y, z) = 0.5 * (rate + before[1]), 0.5 * (direction + before[2])
        said = np.array([r * y - q * z, p * z - r * x, q * x - p * y])
        self._cross += float(seen @ said) * passed
        self._square += float(said @ said) * passed
        self._turned += float(np.linalg.norm(said)) * passed
        if self._turned < self.LEAST_RAD or self._square == 0:
            return
        ratio = self._cross / self._square
        self._cross = self._square = self._turned = 0.0
        verdict = "mirrored" if ratio < -0.5 else "degrees" if abs(ratio) < 0.05 else "twice" if ratio > 20 else "good"
        before_that, self._verdict = self._verdict, verdict
        if verdict == "good":
            self.ratio = ratio
        elif verdict == before_that:  # once is chance: a blow, a sensor that slips
            self._refuse(verdict, ratio)

    def _refuse(self, verdict: str, ratio: float) -> None:
        words = {
            "mirrored": ("it turns against the gyroscope", "look for a mirrored axis or sign between the two in the codec"),
            "degrees": ("the gyroscope looks like degrees/s", "multiply by pi / 180 in the codec"),
            "twice": ("the gyroscope looks converted to radians twice", "look at the codec's scale"),
        }
        seen, remedy = words[verdict]
        raise DeviceError(f"{self.name}: gravity turns {ratio:.3g} times as fast as the gyroscope says; {seen}",
                          expected="rad/s, a ratio of about 1", remedy=remedy)
