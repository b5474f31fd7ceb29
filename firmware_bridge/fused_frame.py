"""A frame of the fused skeleton, and where each of its joints comes from.

Axes: P pieces, V joints of the layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from edgeskel.skeleton import Frame

__all__ = ["FusedFrame", "Origin", "origins"]

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

STALE_S = 0.25
"""A sensor, or a camera, that has been silent for longer measures nothing any more."""


class Origin(IntEnum):
    """Where a joint's value comes from."""

    MISSING = 0
    """Nothing is known: confidence 0."""
    INFERRED = 1
    """From the rest of the body: no sensor on its bones, no camera."""
    CAMERA = 2
    """A camera saw it within the last :data:`STALE_S`; none of its bones has a sensor."""
    INERTIAL = 3
    """Sensors on all of its bones."""
    BOTH = 4
    """Both."""


@dataclass(frozen=True)
class FusedFrame:
    """A frame and what is behind it.

    Args:
        frame: one person; world y up, metres. Where a camera is, its place and heading; else the start.
        origin: (V,) of :class:`Origin`.
        age_s: (V,) seconds since the oldest of the readings, or the camera frame, that the joint rests on; infinite
            where inferred.
        turns: (P, 4) segment -> world of ``segments.PIECES``.
        measured: (P,) which of them carry a live sensor.
        root_age_s: seconds since a camera saw where the body is; infinite before.
    """

    frame: Frame
    origin: NDArray[np.int8]
    age_s: Float64
    turns: Float64
    measured: NDArray[np.bool_]
    root_age_s: float


_ORIGINS = np.array([[[Origin.MISSING, Origin.CAMERA], [Origin.INERTIAL, Origin.BOTH]],
                     [[Origin.INFERRED, Origin.CAMERA], [Origin.INERTIAL, Origin.BOTH]]], dtype=np.int8).reshape(8)
"""By whether it is known at all, has sensors, was filmed (plain numbers: an enum's members cost numpy more than the rest)."""


def origins(known: Bool, measured: Bool, filmed: Bool) -> NDArray[np.int8]:
    """(V,) of :class:`Origin`, by whether a joint is known at all, has sensors on its bones, was filmed."""
    found: NDArray[np.int8] = _ORIGINS[known * 4 + measured * 2 + filmed]
    return found
