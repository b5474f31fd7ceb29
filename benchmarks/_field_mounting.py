"""Sensors that measure or sit otherwise than they are taken to: gyroscopes that do not fit, and a facing that nobody knows.

**Gyroscopes.** Real recordings with faults put into the gyroscope: axes exchanged, turned over and both, scales of 1/57, 1/8, 1/2,
2, 8 and 57. Each sensor gives its first thirty seconds of motion, reading by reading, to
:class:`firmware_bridge.orientation.Orientation`. ``mounting_faults_refused`` is the share of faults that are refused in that time,
``good_refused`` how many sensors are refused that have none, and ``good_fit`` the share of those of BROAD and the full-body
recording that are said to fit.

The bounds of :mod:`firmware_bridge.gyroscope_fit` were set while looking at these recordings.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks._bench import datasets
from benchmarks.orientation import read_trial
from edgeskel.errors import DeviceError
from firmware_bridge.orientation import Orientation, Settings
from firmware_bridge.samples import STANDARD_GRAVITY, Reading

__all__ = ["Sensor", "faults", "judge", "measure", "sensors"]

Float64 = NDArray[np.float64]

MOTION_S, BEFORE_S = 30, 3
MOVES_RAD_S = 0.25
"""Root mean square of a second's rate from which on it is motion."""
SCALES = (1 / 57.29578, 1 / 8, 1 / 2, 2.0, 8.0, 57.29578)


class Sensor(NamedTuple):
    """One recorded sensor: seconds (K,), rad/s (K, 3), m/s² (K, 3)."""

    name: str
    time: Float64
    gyroscope: Float64
    accelerometer: Float64

    def in_motion(self) -> Sensor:
        """From its beginning, a few seconds before it first moves, until it has moved for thirty seconds."""
        second = max(1, round(1 / float(np.median(np.diff(self.time)))))
        whole = self.gyroscope[:len(self.time) // second * second].reshape(-1, second, 3)
        moves = np.repeat(np.sqrt((whole**2).sum(axis=-1).mean(axis=-1)) > MOVES_RAD_S, second)
        begin = max(0, int(np.argmax(moves)) - BEFORE_S * second)
        part = slice(begin, int(np.searchsorted(np.cumsum(moves), MOTION_S * second)))
        return Sensor(self.name, self.time[part], self.gyroscope[part], self.accelerometer[part])


def sensors(root: Path) -> Iterator[Sensor]:
    """Those of BROAD and of the full-body recording: 22."""
    from scipy.io import loadmat

    for file in sorted((root / "broad" / "data_mat").glob("*.mat")):
        trial = read_trial(file)
        time = np.arange(len(trial["imu_gyr"])) / float(trial["sampling_rate"])
        yield Sensor(f"broad {file.stem}", time, trial["imu_gyr"], trial["imu_acc"])
    recording = loadmat(root / "imu-fullbody-qmt" / "full_body_example_data.mat", squeeze_me=True, struct_as_record=False)
    for name, part in recording.items():
        if hasattr(part, "gyr"):
            yield Sensor(f"full body {name}", np.arange(len(part.gyr)) / 100, part.gyr, part.acc)


def others(root: Path) -> Iterator[Sensor]:
    """Shorter recordings of good sensors: a lower body, a walk, a wrist."""
    from scipy.io import loadmat

    for folder in sorted((root / "imu-lowerbody-xio" / "logged_lower_body").iterdir()):
        rows = np.genfromtxt(folder / "Inertial.csv", delimiter=",", skip_header=1)
        yield Sensor(f"lower body {folder.name}", rows[:, 0] * 1e-6, np.radians(rows[:, 1:4]), STANDARD_GRAVITY * rows[:, 4:7])
    for file in sorted((root / "imu-vicon-gait" / "sample" / "imu").glob("*.csv")):
        lines = [line for line in file.read_text().splitlines() if not line.startswith("//")]
        rows = np.array([[float(x) for x in line.split(",")] for line in lines[1:]])
        yield Sensor(f"walk {file.stem}", np.arange(len(rows)) / 100, rows[:, 7:10], rows[:, 4:7])
    for file in sorted((root / "utd-mhad" / "Inertial").glob("*_s1_t1_*.mat")):
        rows = loadmat(file)["d_iner"]
        yield Sensor(f"wrist {file.stem}", np.arange(len(rows)) / 50, np.radians(rows[:, 3:]), STANDARD_GRAVITY * rows[:, :3])


def faults() -> dict[str, Float64]:
    """Name -> (3, 3) from the right gyroscope to the wrong one: 47 orders and signs of axes, six scales."""
    found: dict[str, Float64] = {}
    for order, signs in itertools.product(itertools.permutations(range(3)), itertools.product((1.0, -1.0), repeat=3)):
        matrix = np.zeros((3, 3))
        matrix[range(3), order] = signs
        if not np.array_equal(matrix, np.eye(3)):
            found[" ".join(("-" if sign < 0 else "") + "xyz"[axis] for axis, sign in zip(order, signs, strict=True))] = matrix
    return found | {f"times {scale:.3g}": scale * np.eye(3) for scale in SCALES}


def judge(sensor: Sensor, fault: Float64) -> str:
    """``"refused"``, ``"fits"`` or ``"not judged yet"``, after all that a sensor gave."""
    orientation = Orientation(Settings(mode="6-axis"), name=sensor.name)
    rows = zip(sensor.time.tolist(), (sensor.gyroscope @ fault.T).tolist(), sensor.accelerometer.tolist(), strict=True)
    try:
        for time, rate, force in rows:
            orientation.push(Reading(angular_velocity=tuple(rate), acceleration=tuple(force)), time)
    except DeviceError:
        return "refused"
    return orientation.fit.judgement


def measure(quick: bool) -> dict[str, float]:
    """Faults of the gyroscope that are refused, and good sensors that are."""
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
            "good_fit": good.count("fits") / len(good)}
