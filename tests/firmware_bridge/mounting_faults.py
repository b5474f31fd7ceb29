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

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeskel import topologies
from edgeskel.data.synthetic.score import RATE_HZ
from edgeskel.errors import DeviceError
from edgeskel.geometry import about_up, conjugate, exponential, multiply, rotate
from edgeskel.skeleton import Frame
from firmware_bridge.body import BodyDimensions, Calibration
from firmware_bridge.fusion import Fusion
from firmware_bridge.orientation import Orientation, OrientationSettings
from firmware_bridge.samples import STANDARD_GRAVITY, Reading
from firmware_bridge.worn_sensor import SensorSetup
from tests.firmware_bridge.broad import read_trial
from tests.firmware_bridge.fusion_errors import LATE_S, START_S, Recorded, record

Float64 = NDArray[np.float64]

WORN = ("pelvis", "chest", "head", *(f"{side}_{segment}" for side in ("left", "right")
                                     for segment in ("upper_arm", "forearm", "thigh", "shank", "foot")))
"""Thirteen sensors, as in TotalCapture."""
FACINGS = (0.0, 30.0, 90.0, 180.0)
"""Degrees that wearers face in the sensors' common world."""
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
    orientation = Orientation(OrientationSettings(mode="6-axis"), name=sensor.name)
    rows = zip(sensor.time.tolist(), (sensor.gyroscope @ fault.T).tolist(), sensor.accelerometer.tolist(), strict=True)
    try:
        for time, rate, force in rows:
            orientation.push(Reading(angular_velocity=tuple(rate), acceleration=tuple(force)), time)
    except DeviceError:
        return "refused"
    return orientation.fit.judgement


def run_facing(made: Recorded, turned: float, *, arm: bool, told: bool, camera: bool = False) -> tuple[float, Calibration]:
    """Mean joint error, millimetres, of a recording whose sensors' common world is ``turned`` (radians) against the room.

    Args:
        made: the recording.
        turned: so much is added to the heading of every sensor's orientation.
        arm: whether the left arm is raised for the calibration.
        told: whether the calibration is told the facing in the sensors' common world.
        camera: whether the camera sees the wearer, the whole time.

    Raises:
        DeviceError: the calibration refuses.
    """
    topology = topologies.get("kinect-v1")
    fusion = Fusion(topology, {s: SensorSetup(s, settings=OrientationSettings(mode="device")) for s in WORN},
                    body=BodyDimensions(made.person.stature))
    rows = [made.inertial.segments.index(segment) for segment in WORN]
    rng = np.random.default_rng(13)
    off = exponential(np.radians([1.0, 2.0, 1.0]) * rng.standard_normal((len(rows), 3)))
    assert made.inertial.orientation is not None
    world = multiply(multiply(about_up(turned), off)[:, None], made.inertial.orientation[rows].astype(np.float64))
    facing = _facing(made)
    truth = made.motion.joints(topology)
    end = max(until for _, until in made.moved.values())
    film, errors = 0, []
    for k, time in enumerate(made.inertial.time.tolist()):
        while camera and film < len(made.camera_time) and made.camera_time[film] + LATE_S <= time:
            fusion.push_camera(Frame(START_S + float(made.camera_time[film]) + LATE_S,
                                     made.camera_joints[film][None].astype(np.float32),
                                     made.camera_confidence[film][None].astype(np.float32)))
            film += 1
        for row, segment, own in zip(rows, WORN, world[:, k].tolist(), strict=True):
            fusion.push_reading(segment, Reading(
                orientation=tuple(own), acceleration=tuple(made.inertial.accelerometer[row, k].tolist()),
                angular_velocity=tuple(made.inertial.gyroscope[row, k].tolist())), int((START_S + time) * 1e9))
        if fusion.calibration is None and time >= end:
            begin, until = made.moved["raise arms"]
            moved = {"raise left arm": (START_S + begin, START_S + until)} if arm else {}
            fusion.calibrate("n-pose", (START_S + made.held[0], START_S + made.held[1]), moved, facing=0.0 if camera else facing,
                             common_heading=True, world_facing=facing + turned if told else None)
        for fused in fusion.frames(int((START_S + time) * 1e9)):
            at = round((fused.frame.time - START_S) * RATE_HZ)
            if fused.frame.time > START_S + made.begin + 1 and at < len(truth):
                got = fused.frame.joints[0].astype(np.float64)
                if camera:
                    got = rotate(conjugate(multiply(fusion.camera.tilt.rotation, made.look)), got)
                apart = got - got[topology.root] - truth[at] + truth[at][topology.root]
                errors.append(1e3 * float(np.linalg.norm(apart, axis=-1).mean()))
    assert fusion.calibration is not None
    return float(np.mean(errors)), fusion.calibration


def _facing(made: Recorded) -> float:
    pelvis = rotate(made.motion.turns["pelvis"][0], np.array([0.0, 0.0, 1.0]))
    return float(np.arctan2(pelvis[0], pelvis[2]))


def facing_figures(quick: bool) -> dict[str, float]:
    """How much worse one movement is than a facing that is given, and whether the pose alone is refused."""
    refused: list[bool] = []
    errors: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for seed, degrees in enumerate((30.0, 90.0, 180.0) if quick else 2 * FACINGS):
        made = record(seed, 2 if quick else 20)
        turned = math.radians(degrees) - _facing(made)
        try:
            run_facing(made, turned, arm=False, told=False)
            refused.append(False)
        except DeviceError:
            refused.append(True)
        for camera in (False,) if quick else (False, True):
            one, given = (run_facing(made, turned, arm=arm, told=not arm, camera=camera)[0] for arm in (True, False))
            errors[camera].append((one, given))
    figures = {"pose_alone_refused": float(np.mean(refused))}
    for camera, found in errors.items():
        if found:
            one, given = np.mean(found, axis=0)
            figures["facing_camera_error_ratio" if camera else "facing_error_ratio"] = float(one / given)
    return figures
