"""What every decoder asks of the numbers it takes out of a packet."""

from __future__ import annotations

import math

from firmware_bridge.samples import Quaternion, Vector

__all__ = ["DEGREE", "LONGEST_ATTRIBUTE", "positive", "reaches", "unit", "within", "words"]

DEGREE = math.pi / 180
LONGEST_ATTRIBUTE = 512
"""Bytes of the longest attribute value (Bluetooth Core 5.4, Vol 3, Part F, 3.2.9): no notification is longer."""
NORM_SLACK = 0.01
"""A float quaternion whose norm is further from 1 than this is not a rotation."""


def positive(text: str) -> float:
    """A number above 0, of an option; ValueError if it is none."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise ValueError("a number above 0")
    return value


def words(text: str) -> tuple[str, ...]:
    """Words between commas, of an option."""
    return tuple(word for word in text.split(",") if word)


def within(vector: Vector, limit: float) -> bool:
    """Whether every component is a number of at most ``limit``; NaN and infinities are not."""
    x, y, z = vector
    return -limit <= x <= limit and -limit <= y <= limit and -limit <= z <= limit


def reaches(vector: Vector, level: float) -> bool:
    """Whether a component stands at ``level`` or beyond."""
    x, y, z = vector
    return not (-level < x < level and -level < y < level and -level < z < level)


def unit(w: float, x: float, y: float, z: float) -> Quaternion | None:
    """The unit quaternion, or None when these four are no rotation."""
    square = w * w + x * x + y * y + z * z
    if not (1 - NORM_SLACK) ** 2 <= square <= (1 + NORM_SLACK) ** 2:
        return None
    scale = 1 / math.sqrt(square)
    return w * scale, x * scale, y * scale, z * scale
