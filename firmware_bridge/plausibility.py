"""Can these numbers be what they are called? Units and gravity of a body-worn sensor, checked on its own data.

What a person does keeps a body-worn accelerometer near 1 g in the middle of any second, or else in one of the next: that catches g
for m/s², gravity taken off, a quaternion the wrong way round. A second in which somebody jumps or strikes condemns nothing. How
a gyroscope fits is judged over longer (:mod:`firmware_bridge.gyroscope_fit`), and so is the size of gravity at rest.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import DeviceError
from firmware_bridge.samples import STANDARD_GRAVITY

__all__ = ["check_acceleration", "check_at_rest", "up_axis", "violent"]

Float64 = NDArray[np.float64]

# (name, how many of it are 1 m/s², what to multiply by), for what makers really write.
_UNITS = (("g", 1 / STANDARD_GRAVITY, "9.80665"), ("mg", 1000 / STANDARD_GRAVITY, "0.00980665"),
          ("cm/s²", 100.0, "0.01"))
_MOVING = 0.5  # the median of a second may lie so far from 1 g (relative) while somebody moves
_LINEAR = 0.25  # below this share of 1 g there is no gravity in it
_TILT = math.radians(25)  # gravity may lie so far off an axis of the device's world: the filter is still settling
_AT_REST = 0.15  # a sensor that lies still feels 1 g, but for so much: twice what cheap ones are off by
_SWINGS = 0.25  # standard deviation of an axis, in g, from which on a second may be a blow or a jump and tell nothing


def violent(acceleration: Float64) -> bool:
    """Whether somebody may jump, strike or shake in this second, (K, 3) in any unit, so that its mean is not gravity."""
    size = float(np.linalg.norm(acceleration.mean(axis=0)))
    return bool(acceleration.std(axis=0).max() > _SWINGS * max(size, 1e-9))


def check_acceleration(name: str, acceleration: Float64, rate: Float64) -> None:
    """Refuse a second of acceleration that is not m/s² with gravity. One that only is too violent to tell passes.

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
    if violent(acceleration):
        return
    raise DeviceError(f"{name}: the acceleration is about {size:.3g} in the middle of a second",
                      expected="m/s², about 9.8 at rest", remedy="check the codec's scale and the sensor's range")


def check_at_rest(name: str, acceleration: Float64) -> None:
    """Refuse a sensor that lies still and does not feel 1 g.

    Args:
        name: of the sensor, for the message.
        acceleration: (3,) m/s², the mean while it lay still.

    Raises:
        DeviceError: it is a sixth or more off: a wrong range or scale, or an axis that is dead.
    """
    size = float(np.linalg.norm(acceleration))
    if abs(size / STANDARD_GRAVITY - 1) > _AT_REST:
        raise DeviceError(f"{name}: the acceleration is {size:.3g} m/s² while the sensor lies still",
                          expected="about 9.8", remedy="check the codec's scale and the sensor's range, and that all axes are read")


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
    from edgeskel.geometry import conjugate, rotate

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
