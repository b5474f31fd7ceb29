"""Which way each sensor's world faces and how its segment really stood in the pose, and what holds both there.

Without a compass a sensor's heading is arbitrary at first and drifts by degrees per minute; with one it is bent by
iron. And nobody stands in a pose to the degree. Three things correct it, none of them fast:

    yaw reset     at the calibration pose all segments face the same way
    joints        knees and ankles hardly twist, the spine little: what goes beyond comes off, slowly
    camera        the direction of a bone: its part about up is heading, what stays alike in the segment's axes is the
                  pose's error

Per sensor one small Kalman filter: heading, two turns of the segment across its bone, and beside them how far off the
camera sees the bone for good, which must not be taken for either. How much of each a camera frame can tell follows
from how the bone stands; an upright one tells no heading. A known heading is never moved faster than :data:`FASTEST`,
so that a wrong camera frame cannot throw a limb around.

Axes: S segments that carry a sensor, L bones; angles in radians.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeskel.geometry import exponential, rotate, wrap
from firmware_bridge.body.segments import INDEX, Float64

__all__ = ["AFTER_POSE", "FASTEST", "LONG", "POSE", "HeadingEstimator"]

FASTEST = math.radians(0.5)
"""rad/s: the fastest correction of a known heading."""
BY_JOINTS = math.radians(0.1)
"""rad/s: the correction by joints, which know less than a camera."""
KNOWN = math.radians(10)
"""A heading is known when its standard deviation is below this."""
AFTER_POSE = math.radians(5)
"""Standard deviation after a yaw reset: nobody's knees and elbows all face exactly ahead."""
DRIFT = math.radians(0.5)
"""Growth of the standard deviation in one second, as a random walk: 2.5 degrees in 25 s, as much as a tenth of a
degree per second of gyroscope bias that the filter has not found."""

POSE = math.radians(5)
"""Standard deviation of a segment's tilt in the calibration pose against what the pose says."""
SLIP = math.radians(0.05)
"""Growth of that in one second, as a random walk: straps slip."""

# Parent, child, and how far the child's lateral axis may be twisted away from the parent's before it is held to be drift: the
# ranges of everyday movement. Joints go farther now and then; the correction is slow enough not to mind.
_JOINTS = (("pelvis", "chest", 25.0), ("chest", "head", 40.0), ("pelvis", "left_thigh", 20.0), ("pelvis", "right_thigh", 20.0),
           ("left_thigh", "left_shank", 15.0), ("right_thigh", "right_shank", 15.0), ("left_shank", "left_foot",
           25.0), ("right_shank", "right_foot", 25.0), ("left_forearm", "left_hand", 25.0), ("right_forearm",
           "right_hand", 25.0))
LONG = ("upper_arm", "forearm", "thigh", "shank")
_LEVEL = 0.7
"""The lateral axis has a direction over the floor while so much of it is level."""


class HeadingEstimator:
    """Corrections of some sensors, on top of what the calibration found.

    Args:
        segments: S names that carry a sensor.
        known: whether a yaw reset was done; otherwise the headings are anywhere.
    """

    def __init__(self, segments: Sequence[str], *, known: bool = True) -> None:
        self.segments: tuple[str, ...] = tuple(segments)
        size = len(self.segments)
        self.state: Float64 = np.zeros((size, 6))
        """(S, 6) radians: heading, the turns about two axes of the segment across its bone, and (x, y, z) by which
        the camera sees the bone's direction off for good."""
        self.covariance: Float64 = np.zeros((size, 6, 6))
        """(S, 6, 6) rad². That of the camera's part is set when a bone is first seen, since it depends on its
        length."""
        self.covariance[:, [0, 1, 2], [0, 1, 2]] = [AFTER_POSE**2 if known else math.pi**2, POSE**2, POSE**2]
        self._met = np.zeros(size, dtype=bool)
        where = {segment: row for row, segment in enumerate(self.segments)}
        joints = [(where[a], where[b], math.radians(slack)) for a, b, slack in _JOINTS if a in where and b in where]
        self._parent = np.array([a for a, _, _ in joints], dtype=np.int64)
        self._child = np.array([b for _, b, _ in joints], dtype=np.int64)
        self._slack = np.array([slack for _, _, slack in joints])
        self._pieces = np.array([INDEX[segment] for segment in self.segments], dtype=np.int64)
        # Cameras place joints a centimetre or two off for good: short bones and the trunk's tell nothing about the pose.
        short = np.array([not segment.endswith(LONG) for segment in self.segments], dtype=bool)
        self.covariance[short, 1:] = 0.0
        self._slip = np.where(short, 0.0, SLIP**2)
        self._across = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # long bones lie along y

    @property
    def angle(self) -> Float64:
        """(S,) radians to add to the heading."""
        return self.state[:, 0]

    @property
    def variance(self) -> Float64:
        """(S,) rad² of the heading."""
        return self.covariance[:, 0, 0]

    @property
    def tilt(self) -> Float64:
        """(S, 4) how each segment stands against what its mounting says, in its own axes."""
        return exponential(self.state[:, 1:3] @ self._across)

    @property
    def known(self) -> NDArray[np.bool_]:
        """(S,) headings that limbs can be placed by."""
        return np.asarray(self.variance < KNOWN**2)

    def lose(self, segment: str) -> None:
        """The sensor's filter began anew: keep the last heading as the best guess, but trust it little."""
        row = self.segments.index(segment)
        self.covariance[row, 0, :] = self.covariance[row, :, 0] = 0.0
        self.covariance[row, 0, 0] = math.pi**2

    def wait(self, seconds: float) -> None:
        """Time passes: headings drift, straps slip."""
        variance = self.covariance[:, 0, 0]
        np.minimum(variance + DRIFT**2 * seconds, math.pi**2, out=variance)
        slip = self._slip * seconds
        self.covariance[:, 1, 1] += slip
        self.covariance[:, 2, 2] += slip

    def observe(self, rows: NDArray[np.int64], turns: Float64, ours: Float64, theirs: Float64, variance: Float64, lasting: Float64,
                seconds: float) -> None:
        """A camera saw bones.

        Args:
            rows: (L,) which sensor each bone belongs to, each at most once.
            turns: (L, 4) segment -> world, with the present corrections.
            ours: (L, 3) unit, the bones by the sensors, world.
            theirs: (L, 3) unit, the bones by the camera, world.
            variance: (L,) rad² of a camera's direction, each way across it.
            lasting: (L,) rad² of what a camera is off by for good.
            seconds: since the last one, for the speed limit.
        """
        if not len(rows):
            return
        new = ~self._met[rows]
        self.covariance[rows[new][:, None], [3, 4, 5], [3, 4, 5]] = lasting[new][:, None]
        self._met[rows] = True
        axes = np.empty((len(rows), 3, 3))
        axes[:, 0] = [0.0, 1.0, 0.0]
        axes[:, 1:] = rotate(turns[:, None], self._across)
        # What each angle moves the bone by; everything lies in the plane across it, to first order.
        plane = np.eye(3) - ours[:, :, None] * ours[:, None, :]
        moves = np.concatenate([np.cross(axes, ours[:, None]).transpose(0, 2, 1), plane], axis=2)
        error = (plane @ (theirs - self.state[rows, 3:])[:, :, None])[:, :, 0]
        covariance = self.covariance[rows]
        known = covariance[:, 0, 0] < KNOWN**2
        seen = moves @ covariance @ moves.transpose(0, 2, 1) + variance[:, None, None] * np.eye(3)
        gain = covariance @ moves.transpose(0, 2, 1) @ np.linalg.inv(seen)
        step = (gain @ error[:, :, None])[:, :, 0]
        limit = FASTEST * seconds
        slowed = step.copy()
        slowed[known, :3] = np.clip(step[known, :3], -limit, limit)
        self.state[rows] += slowed
        # What the speed limit held back is still to come: the covariance shrinks by what was really applied (Joseph's form).
        gain *= np.divide(slowed, step, out=np.ones_like(step), where=np.abs(step) > 1e-12)[:, :, None]
        rest = np.eye(6) - gain @ moves
        noise = variance[:, None, None] * (gain @ gain.transpose(0, 2, 1))
        self.covariance[rows] = rest @ covariance @ rest.transpose(0, 2, 1) + noise

    def hold_joints(self, turns: Float64, seconds: float) -> None:
        """Take off, slowly, what twists joints beyond what they can.

        Args:
            turns: (P, 4) segment -> world, with the present corrections.
            seconds: since the last call.
        """
        if not len(self._child):
            return
        lateral = rotate(turns[self._pieces], np.array([1.0, 0.0, 0.0]))
        facing = np.arctan2(-lateral[:, 2], lateral[:, 0])
        twist = wrap(facing[self._child] - facing[self._parent])
        if not (np.abs(twist) > self._slack).any():
            return
        beyond = np.sign(twist) * np.maximum(np.abs(twist) - self._slack, 0.0)
        level = np.hypot(lateral[:, 0], lateral[:, 2])
        beyond[(level[self._child] < _LEVEL) | (level[self._parent] < _LEVEL)] = 0.0
        step = np.clip(beyond, -BY_JOINTS * seconds, BY_JOINTS * seconds)
        # Whoever of the two is less certain gives way.
        share = self.variance[self._child] / (self.variance[self._child] + self.variance[self._parent])
        np.subtract.at(self.state[:, 0], self._child, share * step)
        np.add.at(self.state[:, 0], self._parent, (1 - share) * step)
