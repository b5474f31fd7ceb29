"""Sensors that measure or sit otherwise than they are taken to: gyroscopes that do not fit, and a facing that nobody knows.

**Gyroscopes.** Real recordings with faults put into the gyroscope: axes exchanged, turned over and both, scales of 1/57, 1/8, 1/2,
2, 8 and 57. Each sensor gives its first thirty seconds of motion, reading by reading, to
:class:`firmware_bridge.orientation.Orientation`. ``mounting_faults_refused`` is the share of faults that are refused in that time,
``good_refused`` how many sensors are refused that have none, and ``good_fit`` the share of those of BROAD and the full-body
recording that are said to fit.

**Facing.** Synthetic people as in :mod:`benchmarks.fusion`, thirteen sensors whose own filters share one world, in which the wearer
faces somewhere; each of them is off by some 2 degrees of heading and 1 degree of tilt for good. A calibration by the pose alone
must be refused (``pose_alone_refused``, share). ``facing_error_ratio`` is the mean joint error after one arm was raised, as askew
as people do, against that with the facing given; ``facing_camera_error_ratio`` likewise with a camera (not under ``--quick``).

The bounds of :mod:`firmware_bridge.gyroscope_fit` were set while looking at these recordings.
"""

from __future__ import annotations

import numpy as np

from tests.datasets import datasets
from tests.firmware_bridge.mounting_faults import facing_figures, faults, judge, others, sensors

__all__ = ["measure"]


def measure(quick: bool) -> dict[str, float]:
    """Faults of the gyroscope that are refused, good sensors that are, and what a movement is worth where the facing is unknown."""
    wrong = list(faults().values())
    long = list(sensors(datasets()))
    refused = []
    for number, sensor in enumerate(long):
        moving = sensor.in_motion()
        # Under --quick each sensor has two faults, so that together they have nearly all of them.
        chosen = [wrong[(2 * number + k) % len(wrong)] for k in range(2)] if quick else wrong
        refused += [judge(moving, fault) == "refused" for fault in chosen]
    good = [judge(sensor.in_motion() if quick else sensor, np.eye(3)) for sensor in long]
    short = [judge(sensor, np.eye(3)) for sensor in others(datasets())]
    return {"mounting_faults_refused": float(np.mean(refused)), "mounting_faults": len(refused),
            "good_refused": float((good + short).count("refused")), "good_sensors": len(good) + len(short),
            "good_fit": good.count("fits") / len(good)} | facing_figures(quick)
