"""Which way each sensor's world faces, and what holds it there.

Without a compass a sensor's heading is arbitrary at first and drifts by degrees per minute; with one it is bent by iron. Three
things correct it, none of them fast:

    yaw reset     at the calibration pose all segments face the same way
    joints        knees and ankles hardly twist, the spine little: what goes beyond comes off by a fraction of a degree per second
    camera        the direction of a bone over the floor, whenever it is not upright and both of its ends are tracked

One number and its variance per sensor (a scalar Kalman filter each). Once a heading is known it is never moved faster than
:data:`FASTEST`, so that a wrong camera frame cannot throw a limb around.

Axes: S segments that carry a sensor; angles in radians about up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from firmware_bridge.body.segments import INDEX, Float64
from firmware_bridge.quaternion import rotate, wrap

__all__ = ["Headings"]

FASTEST = math.radians(0.5)
"""rad/s: the fastest correction of a known heading."""
BY_JOINTS = math.radians(0.1)
"""rad/s: the correction by joints, which know less than a camera."""
KNOWN = math.radians(10)
"""A heading is known when its standard deviation is below this."""
AFTER_POSE = math.radians(5)
"""Standard deviation after a yaw reset: nobody's knees and elbows all face exactly ahead."""
DRIFT = math.radians(0.2)
"""Growth of the standard deviation in one second, as a random walk: 1.5 degrees in a minute."""

# Parent, child, and how far the child's lateral axis may be twisted away from the parent's before it is held to be drift.
_JOINTS = (("pelvis", "chest", 40.0), ("chest", "head", 60.0), ("pelvis", "left_thigh", 40.0), ("pelvis", "right_thigh", 40.0),
           ("left_thigh", "left_shank", 15.0), ("right_thigh", "right_shank", 15.0), ("left_shank", "left_foot", 25.0),
           ("right_shank", "right_foot", 25.0), ("left_forearm", "left_hand", 25.0), ("right_forearm", "right_hand", 25.0))
_LEVEL = 0.7
"""The lateral axis has a direction over the floor while so much of it is level."""


class Headings:
    """Corrections of the headings of some sensors, added to what the calibration found.

    Args:
        segments: S names that carry a sensor.
        known: whether a yaw reset was done; otherwise the headings are anywhere.
    """

    def __init__(self, segments: Sequence[str], *, known: bool = True) -> None:
        self.segments = tuple(segments)
        size = len(self.segments)
        self.angle = np.zeros(size)
        """(S,) radians to add."""
        self.variance = np.full(size, AFTER_POSE**2 if known else math.pi**2)
        """(S,) rad²."""
        where = {segment: row for row, segment in enumerate(self.segments)}
        joints = [(where[a], where[b], math.radians(slack)) for a, b, slack in _JOINTS if a in where and b in where]
        self._parent = np.array([a for a, _, _ in joints], dtype=np.int64)
        self._child = np.array([b for _, b, _ in joints], dtype=np.int64)
        self._slack = np.array([slack for _, _, slack in joints])
        self._pieces = np.array([INDEX[segment] for segment in self.segments], dtype=np.int64)

    @property
    def known(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """(S,) headings that limbs can be placed by."""
        return np.asarray(self.variance < KNOWN**2)

    def lose(self, segment: str) -> None:
        """The sensor's filter began anew: keep the last heading as the best guess, but trust it little."""
        self.variance[self.segments.index(segment)] = math.pi**2

    def wait(self, seconds: float) -> None:
        """Time passes, headings drift."""
        self.variance = np.minimum(self.variance + DRIFT**2 * seconds, math.pi**2)

    def observe(self, error: Float64, variance: Float64, seconds: float) -> None:
        """A camera saw bones turned away from where the sensors say.

        Args:
            error: (S,) radians about up from the sensor's bone to the camera's; NaN where it saw none.
            variance: (S,) rad² of it.
            seconds: since the last one, for the speed limit.
        """
        seen = np.isfinite(error)
        gain = np.where(seen, self.variance / (self.variance + np.where(seen, variance, 1.0)), 0.0)
        step = gain * np.where(seen, wrap(np.where(seen, error, 0.0)), 0.0)
        limit = FASTEST * seconds
        self.angle += np.where(self.known, np.clip(step, -limit, limit), step)
        self.variance *= 1 - gain

    def hold_joints(self, turns: Float64, seconds: float) -> None:
        """Take off, slowly, what twists joints beyond what they can.

        Args:
            turns: (P, 4) segment -> world, with the present corrections.
            seconds: since the last call.
        """
        if not len(self._child):
            return
        lateral = rotate(turns[self._pieces], np.array([1.0, 0.0, 0.0]))
        level = np.hypot(lateral[:, 0], lateral[:, 2])
        facing = np.arctan2(-lateral[:, 2], lateral[:, 0])
        twist = wrap(facing[self._child] - facing[self._parent])
        beyond = np.sign(twist) * np.maximum(np.abs(twist) - self._slack, 0.0)
        beyond[(level[self._child] < _LEVEL) | (level[self._parent] < _LEVEL)] = 0.0
        step = np.clip(beyond, -BY_JOINTS * seconds, BY_JOINTS * seconds)
        # Whoever of the two is less certain gives way.
        share = self.variance[self._child] / (self.variance[self._child] + self.variance[self._parent])
        np.subtract.at(self.angle, self._child, share * step)
        np.add.at(self.angle, self._parent, (1 - share) * step)
