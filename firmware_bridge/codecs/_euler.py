"""Quaternions from the Euler angles that some devices send; plain floats, because numpy is slower for one."""

from __future__ import annotations

import math

from firmware_bridge.samples import Quaternion

__all__ = ["about", "multiply", "zyx"]


def about(axis: int, angle: float) -> Quaternion:
    """(w, x, y, z) of a turn by ``angle`` radians about x (0), y (1) or z (2)."""
    vector = [0.0, 0.0, 0.0]
    vector[axis] = math.sin(angle / 2)
    return math.cos(angle / 2), vector[0], vector[1], vector[2]


def multiply(first: Quaternion, second: Quaternion) -> Quaternion:
    """Hamilton product: turns by ``second`` first, seen from fixed axes."""
    w, x, y, z = first
    a, b, c, d = second
    return (
        w * a - x * b - y * c - z * d,
        w * b + x * a + y * d - z * c,
        w * c - x * d + y * a + z * b,
        w * d + x * c - y * b + z * a,
    )


def zyx(z: float, y: float, x: float) -> Quaternion:
    """Radians about z, then about the turned y, then about the x turned twice; sensor -> world."""
    return multiply(multiply(about(2, z), about(1, y)), about(0, x))
