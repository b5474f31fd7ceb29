"""Trials of BROAD, and how far an orientation is from their optical truth."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeskel.geometry import conjugate, multiply
from firmware_bridge.orientation import UPS, Orientation, OrientationSettings
from firmware_bridge.samples import Reading

Float64 = NDArray[np.float64]


def read_trial(file: Path) -> dict[str, Float64]:
    """One trial's arrays, as BROAD's README names them."""
    from scipy.io import loadmat

    trial = loadmat(file)
    return {name: np.asarray(trial[name], dtype=np.float64).squeeze()
            for name in ("imu_gyr", "imu_acc", "imu_mag", "opt_quat", "movement", "sampling_rate")}


def estimate(trial: dict[str, Float64], mode: str) -> tuple[Float64, float]:
    """(N, 4) sensor -> east-north-up of a trial, reading by reading, and seconds of work per reading."""
    rate = float(trial["sampling_rate"])
    columns = [[tuple(row) for row in trial[name].tolist()] for name in ("imu_gyr", "imu_acc", "imu_mag")]
    orientation = Orientation(OrientationSettings(mode=mode), name="broad")
    out = []
    start = time.perf_counter()
    for k, (gyr, acc, mag) in enumerate(zip(*columns, strict=True)):
        reading = Reading(angular_velocity=gyr, acceleration=acc, magnetic_field=mag)
        out += orientation.push(reading, k / rate)
    seconds = time.perf_counter() - start
    world = np.array([oriented.quaternion for oriented in out])
    return multiply(conjugate(np.array(UPS["+z"])), world), seconds / len(out)


def rmse_deg(estimated: Float64, trial: dict[str, Float64]) -> dict[str, float]:
    """Total, heading and inclination error of a trial, degrees.

    Args:
        estimated: (N, 4) sensor -> east-north-up.
        trial: with ``opt_quat`` (N, 4; NaN where untracked) and ``movement`` (N,).
    """
    used = trial["movement"].astype(bool) & ~np.isnan(trial["opt_quat"]).any(axis=-1)
    error = multiply(estimated[used], conjugate(trial["opt_quat"][used]))
    w, z = np.abs(error[:, 0]), error[:, 3] * np.sign(error[:, 0])
    angles = {"total": 2 * np.arccos(np.clip(w, 0, 1)), "heading": 2 * np.arctan2(z, w),
              "inclination": 2 * np.arccos(np.clip(np.hypot(w, z), 0, 1))}
    return {name: float(np.degrees(np.sqrt(np.mean(angle**2)))) for name, angle in angles.items()}
