"""Where the body is: walked by its feet, put right by a camera.

The path that the feet walk is smooth and drifts; a camera's root is noisy and does not. What is estimated is the
slowly changing difference of the two (a Kalman filter with one variance for the three axes), so that the root goes on
through occlusion, and a late camera frame is compared with the path at the time that it shows.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from edgeskel.geometry import about_up, rotate
from firmware_bridge.body.kinematics import FloorContact
from firmware_bridge.body.segments import Float64

__all__ = ["RootPosition"]

SLIP = 0.15
"""Metres, growth of the path's error in one second as a random walk: feet that slide or leave the floor."""
BLIND = 0.5
"""The same where the legs carry no sensors, and the path therefore knows nothing."""
HISTORY_S = 3.0
"""How late a camera frame may be."""


class RootPosition:
    """Position of the pelvis segment's origin in the world."""

    def __init__(self) -> None:
        self._contact = FloorContact()
        self._path: deque[tuple[float, Float64]] = deque()
        self._off = np.zeros(3)
        self._variance = math.inf
        self._seen = -math.inf

    def walk(self, time: float, turns: Float64, soles: Float64) -> None:
        """Take the next posture: (P, 4) segment -> world, and (4, 3) metres of its soles from the root."""
        moved, height = self._contact.push(turns, soles)
        at = self._path[-1][1] + moved if self._path else moved
        at = np.array([at[0], height, at[2]])
        self._path.append((time, at))
        while self._path[0][0] < time - HISTORY_S:
            self._path.popleft()

    def turn(self, angle: float) -> None:
        """The whole world turned about up by ``angle`` radians: so does the path."""
        about = about_up(angle)
        self._path = deque((time, rotate(about, at)) for time, at in self._path)
        self._contact.forget()

    def see(self, time: float, position: Float64, variance: float, *, blind: bool) -> Float64:
        """A camera saw the root at ``time``.

        Args:
            time: seconds.
            position: (3,) metres.
            variance: m² of each axis.
            blind: the legs carry no sensors.

        Returns:
            (3,) the root at that time, after this correction.
        """
        path = self._at(time)
        if math.isinf(self._variance):
            self._off, self._variance = position - path, variance
        else:
            growth = BLIND if blind else SLIP
            self._variance += growth**2 * max(0.0, time - self._seen)
            gain = self._variance / (self._variance + variance)
            self._off = self._off + gain * (position - path - self._off)
            self._variance *= 1 - gain
        self._seen = max(self._seen, time)
        return path + self._off

    def at(self, time: float) -> tuple[Float64, float]:
        """(3,) metres at ``time``, and the seconds since a camera saw it; infinite before one did."""
        return self._at(time) + self._off, time - self._seen

    def _at(self, time: float) -> Float64:
        """(3,) the path, linear between its points; its ends are held."""
        if not self._path:
            return np.zeros(3)
        before = self._path[-1]
        for point in reversed(self._path):
            if point[0] <= time:
                if point is before:
                    return point[1]
                share = (time - point[0]) / (before[0] - point[0])
                return np.asarray(point[1] + share * (before[1] - point[1]), dtype=np.float64)
            before = point
        return self._path[0][1]
