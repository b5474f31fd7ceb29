"""What an orientation is, and how one may be made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from edgeskel.errors import UnknownChoice
from firmware_bridge.samples import Quaternion, Vector

__all__ = ["MODES", "UPS", "OrientedSample", "OrientationSettings"]

MODES = ("auto", "device", "9-axis", "6-axis")

_HALF = math.sqrt(0.5)
UPS: dict[str, Quaternion] = {
    "+x": (_HALF, 0.0, 0.0, _HALF), "-x": (_HALF, 0.0, 0.0, -_HALF), "+y": (1.0, 0.0, 0.0, 0.0),
    "-y": (0.0, 1.0, 0.0, 0.0), "+z": (_HALF, -_HALF, 0.0, 0.0), "-z": (_HALF, _HALF, 0.0, 0.0),
}
"""Axis of a device's world that points up -> the rotation into our world."""


@dataclass(frozen=True)
class OrientationSettings:
    """How one sensor's orientation is made.

    Args:
        mode: one of :data:`MODES`; ``auto`` takes the device's quaternion where there is one, else VQF, with the
            magnetometer only if ``magnetometer`` says so.
        up: axis of the device's world that points up (``"+z"``), for its own quaternions; None finds out from the
            accelerometer, and refuses where there is none.
        magnetometer: ``auto`` may use it. Indoors it is disturbed more often than not, hence off.
        rate_hz: at which the sensor should measure; None finds it out. It helps where readings are missing from the beginning.

    Raises:
        UnknownChoice: another mode or axis.
    """

    mode: str = "auto"
    up: str | None = None
    magnetometer: bool = False
    rate_hz: float | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UnknownChoice("way to an orientation", self.mode, MODES)
        if self.up is not None and self.up not in UPS:
            raise UnknownChoice("axis", self.up, UPS)


class OrientedSample(NamedTuple):
    """A sensor's orientation at one instant.

    Args:
        time: seconds, host's monotonic clock; when it was measured, jitter of the stamps taken off.
        quaternion: sensor -> world, y up.
        rate: rad/s in sensor axes, with the filter's bias taken off. Of a device that sends quaternions only, how
            fast they turn; None for its first few.
        epoch: changes when the heading was lost (a long gap, one in fast motion, a reboot): earlier headings do not compare with
            later ones.
    """

    time: float
    quaternion: Quaternion
    rate: Vector | None
    epoch: int
