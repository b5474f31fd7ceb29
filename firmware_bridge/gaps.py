"""What may have happened while no reading came: how far the sensor may have turned otherwise than its neighbours say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgeskel.geometry import float_product
from firmware_bridge.samples import STANDARD_GRAVITY, Quaternion, Vector

__all__ = ["DOUBTFUL_RAD", "doubt", "rate_between", "relearnt", "turn_to_heading"]

DOUBTFUL_RAD = math.radians(3)
"""After a gap in which more may have been turned unseen, the heading is said to be lost."""
BENDING = 0.25
"""Share of the change of rate, and of what the acceleration before would have changed, that a gap may hide."""
SWINGING = 0.3
SWINGING_S = 0.15
"""In a gap of so long a limb that swings may turn back, which puts such a share of its turn in doubt; shorter gaps hide less, in
proportion."""
PUSHED_RAD = math.radians(24)
"""How far the acceleration of a limb in motion points off the vertical."""
SPEED_CORRELATION_S = 0.2
"""Accelerations so long after each other tell something new."""


def doubt(earlier: Vector, before: Vector, after: Vector, period_s: float, seconds: float) -> float:
    """By how many radians the turn on the line between two rates may be wrong.

    The shares above were set by gaps of 0.02 to 0.25 s made in recordings of limbs and of a sensor turned by hand, so that few of
    those with less than 3 degrees in doubt are off by more.

    Args:
        earlier: rad/s of the reading before ``before``.
        before: rad/s of the last reading before the gap.
        after: rad/s of the first one behind it.
        period_s: seconds from ``earlier`` to ``before``.
        seconds: between ``before`` and ``after``.
    """
    rate = math.sqrt(max(_square(before), _square(after)))
    change = math.sqrt(_square([b - a for a, b in zip(before, after, strict=True)]))
    bend = math.sqrt(_square([b - a for a, b in zip(earlier, before, strict=True)])) / period_s * seconds
    return seconds * (BENDING * (change + bend) + SWINGING * rate * min(1.0, seconds / SWINGING_S))


def relearnt(state: Mapping[str, Any], angle: float, period_s: float) -> dict[str, Any]:
    """VQF's state when its tilt may be off by so much.

    VQF corrects its tilt by the mean acceleration of some seconds. That mean begins anew with the tilt as it is, counting as so
    many readings as are worth the doubt: the greater it is, the sooner the accelerometer decides.

    Args:
        state: of a ``vqf.VQF``.
        angle: radians.
        period_s: of the filter, seconds.
    """
    worth = SPEED_CORRELATION_S * (PUSHED_RAD / (0.5 * angle)) ** 2 / period_s
    w, x, y, z = state["accQuat"]
    up = (2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z)  # in the axes of that mean
    # A VQF filter that begins: NaN, how many it has, and their sum.
    mean = [math.nan] * len(state["accLpState"])
    mean[1:5] = [worth, *(worth * STANDARD_GRAVITY * axis for axis in up)]
    return {**state, "accLpState": mean}


def turn_to_heading(guess: Quaternion, quaternion: Quaternion) -> Quaternion:
    """The turn about up (y) that brings ``quaternion`` to the heading of ``guess``."""
    w, x, y, z = quaternion
    apart = float_product(guess, (w, -x, -y, -z))
    size = math.hypot(apart[0], apart[2])
    return (apart[0] / size, 0.0, apart[2] / size, 0.0) if size > 1e-9 else (1.0, 0.0, 0.0, 0.0)


def rate_between(before: Quaternion, after: Quaternion, seconds: float) -> Vector:
    """rad/s in sensor axes that carry one orientation to the other on the shorter way."""
    w, x, y, z = before
    turn = float_product((w, -x, -y, -z), after)
    sine = math.sqrt(turn[1] ** 2 + turn[2] ** 2 + turn[3] ** 2)
    scale = 2.0 / seconds if sine < 1e-9 else 2.0 * math.atan2(sine, abs(turn[0])) / sine / seconds
    scale = math.copysign(scale, turn[0])
    return (scale * turn[1], scale * turn[2], scale * turn[3])


def _square(vector: Sequence[float]) -> float:
    return vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2]
