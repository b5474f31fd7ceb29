"""Quaternions from the Euler angles that some devices send; plain floats, because numpy is slower for one."""

from __future__ import annotations

from edgeskel.geometry import float_about, float_product
from firmware_bridge.samples import Quaternion

__all__ = ["zyx"]


def zyx(z: float, y: float, x: float) -> Quaternion:
    """Radians about z, then about the turned y, then about the x turned twice; sensor -> world."""
    return float_product(float_product(float_about(2, z), float_about(1, y)), float_about(0, x))
