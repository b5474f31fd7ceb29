"""Orientation through the streaming pipeline on BROAD, by BROAD's own metric.

Laidig, Caruso, Cereatti and Seel, "BROAD: a benchmark for robust inertial orientation estimation", Data 6 (2021),
10.3390/data6070072. Root mean square, over the samples where the sensor moves and is tracked, of the angle between
estimated and optical orientation: all of it (total), its part about the vertical (heading), and the rest
(inclination). Readings are pushed one at a time, as a live sensor's are; no parameter was chosen on these recordings
(VQF is at its package's defaults).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._bench import datasets, main
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


def measure(quick: bool) -> dict[str, Any]:
    """Orientation error on the six BROAD trials at hand, through the streaming pipeline; quick or not, all of them."""
    del quick  # a mean over some of the trials would be another figure, and all of them take seconds
    files = sorted((datasets() / "broad" / "data_mat").glob("*.mat"))
    rows: list[dict[str, Any]] = []
    for file in files:
        trial = read_trial(file)
        nine, cost = estimate(trial, "9-axis")
        six, _ = estimate(trial, "6-axis")
        nine_error, six_error = rmse_deg(nine, trial), rmse_deg(six, trial)
        rows.append({"trial": file.stem, "9-axis total": round(nine_error["total"], 2),
                     "9-axis heading": round(nine_error["heading"], 2),
                     "9-axis inclination": round(nine_error["inclination"], 2),
                     "6-axis inclination": round(six_error["inclination"], 2), "us per reading": round(cost * 1e6, 1)})
        rows[-1]["_"] = (nine_error["total"], six_error["inclination"], cost)
    totals, inclinations, costs = zip(*(row.pop("_") for row in rows), strict=True)
    return {"nine_axis_rmse_deg": float(np.mean(totals)), "six_axis_inclination_rmse_deg": float(np.mean(inclinations)),
            "microseconds_per_reading": float(np.mean(costs) * 1e6), "trials": len(rows), "tables": {"BROAD": rows}}


if __name__ == "__main__":
    main("orientation", measure)
