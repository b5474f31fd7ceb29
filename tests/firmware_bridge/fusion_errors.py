"""How far the fused skeleton is from the truth: of synthetic persons, and of a recorded walk against an optical system."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeskel import topologies
from edgeskel.data.synthetic import camera as cameras
from edgeskel.data.synthetic import imu
from edgeskel.data.synthetic.body import SyntheticBody as Person
from edgeskel.data.synthetic.body import random_body
from edgeskel.data.synthetic.camera import random_camera
from edgeskel.data.synthetic.motion import Motion, perform
from edgeskel.data.synthetic.score import DOFS, RATE_HZ, STANDING, Score, minimum_jerk
from edgeskel.data.synthetic.style import random_style
from edgeskel.data.synthetic.takes import play
from edgeskel.geometry import about, conjugate, multiply_many, rotate_many
from edgeskel.skeleton import Frame, Inertial
from firmware_bridge.body import SEGMENTS, BodyDimensions, calibrate
from firmware_bridge.fusion import FusedFrame, Fusion
from firmware_bridge.orientation import Orientation, OrientationSettings
from firmware_bridge.samples import Reading
from firmware_bridge.track import Track
from firmware_bridge.worn_sensor import SensorSetup

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

HIDDEN = 0.3
LATE_S = 0.083
START_S = 100.0
SPARSE = ("pelvis", "chest", "left_forearm", "right_forearm", "left_shank", "right_shank")

# Movement of the calibration -> what each degree of freedom swings by, radians.
_SWINGS: dict[str, dict[str, float]] = {
    "raise arms": {"left.shoulder.flexion": 1.2, "right.shoulder.flexion": 1.2},
    "bow": {"trunk.bend": 0.8, "head.nod": 0.3},
    "squat": {"left.hip.flexion": 0.9, "right.hip.flexion": 0.9, "left.knee.flexion": 1.3, "right.knee.flexion": 1.3,
              "trunk.bend": 0.5},
    "lift left leg": {"left.hip.flexion": 0.7, "left.foot.pitch": 0.7, "support": 1.0},
    "lift right leg": {"right.hip.flexion": 0.7, "right.foot.pitch": 0.7, "support": -1.0},
}
_POSE_S, _SWING_S, _SETTLE_S = 4.0, 3.0, 3.0
_CLUMSY = 0.05  # radians by which every degree of freedom misses the pose, and a tenth of a swing goes astray


class Recorded(NamedTuple):
    """One person's recording and its truth. Times count from 0."""

    motion: Motion
    look: Float64
    camera_time: Float64
    camera_joints: Float64
    camera_confidence: Float64
    inertial: Inertial
    held: tuple[float, float]
    moved: dict[str, tuple[float, float]]
    begin: float
    person: Person


def record(seed: int, actions: int) -> Recorded:
    """A calibration, then ``actions`` actions, filmed and measured."""
    rng = np.random.default_rng([11, seed])
    person, habit = random_body(rng), random_style(rng)
    tracks, moved = _calibration(rng)
    pieces = [tracks]
    labels = rng.choice(sorted(_labels()), actions)
    for label in labels:
        score = play(str(label), random_style(rng, habit), rng)
        lead = minimum_jerk(np.linspace(0, 1, int(0.8 * RATE_HZ)))[:, None]
        pieces += [pieces[-1][-1] + lead * (score.tracks[0] - pieces[-1][-1]), score.tracks]
    whole = np.concatenate(pieces)
    camera = random_camera(rng)
    room = cameras.view(perform(Score(np.arange(len(whole)) / RATE_HZ, whole, (0.0, 1.0)), person), camera)
    joints, confidence, time = cameras.record(room, camera, topologies.get("kinect-v1"), rng)
    inertial = imu.measure(room, SEGMENTS, imu.Noise(), rng)
    look = multiply_many(about(0, -camera.tilt), about(2, camera.roll))
    return Recorded(room, look, time, joints.astype(np.float64), confidence.astype(np.float64), inertial,
                    (1.0, _POSE_S - 0.5), moved, len(tracks) / RATE_HZ, person)


def _labels() -> tuple[str, ...]:
    from edgeskel.data.synthetic import actions

    return actions()


def _calibration(rng: np.random.Generator) -> tuple[Float64, dict[str, tuple[float, float]]]:
    """(T, D) tracks of an N-pose and the movements, as people do them, and when each movement was."""
    pose = np.array([_CLUMSY * rng.standard_normal() if dof not in ("heading", "lift", "support") else 0.0 for dof in DOFS])
    pose[DOFS.index("balance")] = STANDING["balance"]
    for dof in ("left.knee.flexion", "right.knee.flexion", "left.elbow.flexion", "right.elbow.flexion"):
        pose[DOFS.index(dof)] = abs(pose[DOFS.index(dof)])  # neither bends backwards
    total = _POSE_S + len(_SWINGS) * _SWING_S + _SETTLE_S
    time = np.arange(int(total * RATE_HZ)) / RATE_HZ
    tracks = np.tile(pose, (len(time), 1))
    moved = {}
    for number, (movement, swing) in enumerate(_SWINGS.items()):
        start = _POSE_S + number * _SWING_S
        share = minimum_jerk((time - start - 0.3) / 1.0) - minimum_jerk((time - start - 1.5) / 1.0)
        for dof, size in swing.items():
            tracks[:, DOFS.index(dof)] += size * rng.uniform(0.8, 1.2) * share
            side, _, rest = dof.partition(".")
            astray = f"{side}.{rest.split('.')[0]}.abduction"
            if astray in DOFS:
                tracks[:, DOFS.index(astray)] += 0.1 * size * rng.standard_normal() * share
        moved[movement] = (start, start + _SWING_S - 0.1)
    hertz, start = rng.uniform(0.1, 0.4, (2, len(DOFS), 3))
    sway = 0.004 * np.sin(2 * np.pi * (hertz * time[:, None, None] + 2.5 * start)).sum(axis=-1)  # as in quiet standing
    sway[:, [DOFS.index("balance"), DOFS.index("lift"), DOFS.index("support"), DOFS.index("heading")]] = 0
    return tracks + sway, moved


def hidden_runs(time: Float64, begin: float, rng: np.random.Generator) -> Bool:
    """(T,) which frames are hidden: 30 % of those after ``begin``, in runs of one to three seconds."""
    hidden = np.zeros(len(time), dtype=bool)
    after = time > begin
    while hidden.sum() < HIDDEN * after.sum():
        start = rng.uniform(begin, time[-1])
        hidden |= (time >= start) & (time < start + rng.uniform(1.0, 3.0)) & after
    return hidden


def run(made: Recorded, segments: tuple[str, ...], *, hidden: Bool | None, facing: float) -> tuple[list[FusedFrame], Fusion]:
    """All frames of a fusion; with a camera where ``hidden`` says which of its frames are not there.

    Args:
        made: the recording.
        segments: which of its sensors are worn.
        hidden: None leaves the camera out.
        facing: as the calibration is told.
    """
    settings = OrientationSettings(mode="6-axis")
    stature = made.person.stature
    fusion = Fusion(topologies.get("kinect-v1"), {s: SensorSetup(s, settings=settings) for s in segments},
                    body=BodyDimensions(stature))
    rows = [made.inertial.segments.index(segment) for segment in segments]
    acc = made.inertial.accelerometer.astype(np.float64)
    gyr = made.inertial.gyroscope.astype(np.float64)
    # The model's rates are of the instant; a sensor gives the mean of the period that has just passed.
    gyr[:, 1:] = 0.5 * (gyr[:, 1:] + gyr[:, :-1])
    frames: list[FusedFrame] = []
    film = 0
    ready = max(end for _, end in made.moved.values())
    for k, time in enumerate(made.inertial.time):
        now = START_S + float(time)
        while hidden is not None and film < len(made.camera_time) and made.camera_time[film] + LATE_S <= time:
            if not hidden[film]:
                fusion.push_camera(Frame(START_S + float(made.camera_time[film]) + LATE_S,
                                         made.camera_joints[film][None].astype(np.float32),
                                         made.camera_confidence[film][None].astype(np.float32)))
            film += 1
        for row, segment in zip(rows, segments, strict=True):
            fusion.push_reading(segment, Reading(acceleration=tuple(acc[row, k].tolist()),
                                                 angular_velocity=tuple(gyr[row, k].tolist())), int(now * 1e9))
        if fusion.calibration is None and time >= ready:
            told = {name: (START_S + a, START_S + b) for name, (a, b) in made.moved.items()}
            fusion.calibrate("n-pose", (START_S + made.held[0], START_S + made.held[1]), told, facing=facing,
                             common_heading=len(segments) < len(SEGMENTS))
        frames += fusion.frames(int(now * 1e9))
    return frames, fusion


def _errors(joints: Float64, truth: Float64, root: int) -> tuple[Float64, Float64]:
    """(T,) millimetres, mean over joints: placed by their own root, and as they stand."""
    relative = np.linalg.norm((joints - joints[:, root:root + 1]) - (truth - truth[:, root:root + 1]), axis=-1).mean(axis=-1)
    return 1e3 * relative, 1e3 * np.linalg.norm(joints - truth, axis=-1).mean(axis=-1)


def paired(seed: int, actions: int, segments: tuple[str, ...] = SEGMENTS) -> dict[str, float]:
    """Figures of one person."""
    made = record(seed, actions)
    topology = topologies.get("kinect-v1")
    hidden = hidden_runs(made.camera_time, made.begin, np.random.default_rng([12, seed]))
    truth = made.motion.joints(topology)
    pelvis = rotate_many(made.motion.turns["pelvis"][0], np.array([0.0, 0.0, 1.0]))
    facing = float(np.arctan2(pelvis[0], pelvis[2]))
    figures: dict[str, float] = {}
    alone, _ = run(made, segments, hidden=None, facing=facing)
    fused, fusion = run(made, segments, hidden=hidden, facing=0.0)
    back = conjugate(multiply_many(fusion.camera.tilt.rotation, made.look))  # the fused world is level by the camera's own finding
    for name, frames in (("imu_only", alone), ("fused", fused)):
        time = np.array([f.frame.time for f in frames]) - START_S
        used = time > made.begin + 1
        at = np.round(time[used] * RATE_HZ).astype(int).clip(0, len(truth) - 1)
        got = np.stack([f.frame.joints[0] for f in frames]).astype(np.float64)[used]
        behind = hidden[np.searchsorted(made.camera_time, time[used]).clip(0, len(hidden) - 1)]
        relative, _ = _errors(got, truth[at], topology.root)
        _, absolute = _errors(rotate_many(back, got) if name == "fused" else got, truth[at], topology.root)
        figures |= {f"{name}_mm": relative.mean(), f"{name}_hidden_mm": relative[behind].mean(),
                    f"{name}_seen_mm": relative[~behind].mean()}
        if name == "fused":
            figures["fused_absolute_mm"] = absolute.mean()
    figures |= _camera_alone(made, hidden, truth, topology.root)
    figures["offset_error_ms"] = 1e3 * abs(fusion.camera.late - LATE_S)
    tilt = multiply_many(fusion.camera.tilt.rotation, made.look)
    figures["tilt_error_deg"] = float(np.degrees(2 * np.arcsin(np.hypot(tilt[1], tilt[3]))))
    figures["gain"] = 1 - figures["fused_mm"] / min(figures["imu_only_mm"], figures["camera_only_mm"])
    return figures


def _camera_alone(made: Recorded, hidden: Bool, truth: Float64, root: int) -> dict[str, float]:
    """The camera's own joints, each held where it was last tracked; the camera's tilt and delay are taken as known."""
    joints = rotate_many(conjugate(made.look), made.camera_joints)
    seen = (made.camera_confidence > 0) & ~hidden[:, None]
    for t in range(1, len(joints)):
        joints[t] = np.where(seen[t][:, None], joints[t], joints[t - 1])
    used = made.camera_time > made.begin + 1
    at = np.round(made.camera_time[used] * RATE_HZ).astype(int).clip(0, len(truth) - 1)
    relative, absolute = _errors(joints[used], truth[at], root)
    behind = hidden[used]
    return {"camera_only_mm": relative.mean(), "camera_only_hidden_mm": relative[behind].mean(),
            "camera_only_seen_mm": relative[~behind].mean(), "camera_only_absolute_mm": absolute.mean()}


WALK = {"pelvis": "Pelvis", "left_thigh": "L_UpLeg", "right_thigh": "R_UpLeg", "left_shank": "L_LowLeg",
        "right_shank": "R_LowLeg"}
STANDING_S = 0.005


def read_walk(folder: Path) -> tuple[dict[str, Float64], dict[str, Float64], dict[str, Float64]]:
    """The walk at 100 Hz: sensors, and angles by Vicon in two ways, on the same frames.

    Returns:
        Segment -> (T, 13) orientation w x y z, acceleration m/s², rate rad/s, magnetic field in units of the local
        one; joint -> (T,) degrees of flexion between bones from joint centre to joint centre, the hip against the
        pelvis' markers; and joint -> (T,) as Vicon's own model writes them (of the hip, here with flexion positive).
        The two differ where the model's axes are off: its left hip jumps to 77 degrees in the turn, with the thigh
        upright.
    """
    from scipy.io import loadmat

    def table(file: Path) -> Float64:
        lines = [line for line in file.read_text().splitlines() if not line.startswith("//")]
        return np.array([[float(x) for x in line.split(",")] for line in lines[1:]])

    sensors = {segment: table(folder / "imu" / f"S02-Trial-Walk-1-{name}.csv") for segment, name in WALK.items()}
    first, last = (int(x) for x in (folder / "data-list.csv").read_text().splitlines()[1].split(",")[2:])
    vicon = {name: np.asarray(value, dtype=np.float64).squeeze()[first - 1:last]
             for name, value in loadmat(folder / "vicon" / "S02-Trial-Walk-1.mat").items() if not name.startswith("_")}
    ahead = vicon["LASI"] + vicon["RASI"] - vicon["LPSI"] - vicon["RPSI"]
    left = vicon["LASI"] + vicon["LPSI"] - vicon["RASI"] - vicon["RPSI"]
    up = _unit(np.cross(ahead, left))
    left = _unit(left)
    ahead = np.cross(left, up)
    bones, model = {}, {}
    for side, letter in (("left", "L"), ("right", "R")):
        thigh = _unit(vicon[f"{letter}KJC"] - vicon[f"{letter}HJC"])
        shank = _unit(vicon[f"{letter}AJC"] - vicon[f"{letter}KJC"])
        bones[f"{side}_knee"] = np.degrees(np.arccos(np.clip((thigh * shank).sum(axis=-1), -1, 1)))
        bones[f"{side}_hip"] = np.degrees(np.arctan2((thigh * ahead).sum(axis=-1), -(thigh * up).sum(axis=-1)))
        model[f"{side}_knee"] = vicon[f"{letter}_Femur_{letter}_Tibia"]
        model[f"{side}_hip"] = -vicon[f"Root_{letter}_Femur"][:, 0]
    return sensors, bones, model


def _unit(vectors: Float64) -> Float64:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float64)


def walk_angles(sensors: dict[str, Float64], mode: str) -> dict[str, Float64]:
    """(T,) degrees of flexion of knees and hips by the sensors; ``mode`` as in ``Settings``."""
    tracks = {}
    for segment, rows in sensors.items():
        orientation = Orientation(OrientationSettings(mode=mode), name=segment)
        out = []
        for k, row in enumerate(rows.tolist()):
            out += orientation.push(Reading(orientation=tuple(row[:4]) if mode == "device" else None, acceleration=tuple(row[4:7]),
                                            angular_velocity=tuple(row[7:10]), magnetic_field=tuple(row[10:])), k / 100)
        tracks[segment] = Track(np.array([o.time for o in out]), np.array([o.quaternion for o in out]),
                                np.array([o.rate for o in out]))
    made = calibrate("n-pose", {s: t.between(0.0, STANDING_S) for s, t in tracks.items()}, {"walk": tracks}, common_heading=True)
    turns = {s: multiply_many(multiply_many(np.broadcast_to(about(1, made.heading[s]), t.orientation.shape), t.orientation),
                         np.broadcast_to(made.mounting[s], t.orientation.shape)) for s, t in tracks.items()}
    angles = {}
    for side in ("left", "right"):
        knee = multiply_many(conjugate(turns[f"{side}_thigh"]), turns[f"{side}_shank"])
        hip = multiply_many(conjugate(turns["pelvis"]), turns[f"{side}_thigh"])
        angles[f"{side}_knee"] = np.degrees(_flexion(knee))
        angles[f"{side}_hip"] = -np.degrees(_flexion(hip))
    return angles


def _flexion(turn: Float64) -> Float64:
    """(T,) radians about the parent's lateral axis, by where the child's long axis points: the first angle of the
    joint coordinate system of Grood and Suntay, J. Biomechanical Engineering 105 (1983), 10.1115/1.3138397. Backwards
    is positive."""
    along = rotate_many(turn, np.array([0.0, -1.0, 0.0]))
    return np.asarray(np.arctan2(-along[:, 2], -along[:, 1]), dtype=np.float64)


def walk(folder: Path, mode: str) -> dict[str, float]:
    """RMSE of knee and hip flexion, mean of the sides, degrees; ``model`` against the angles of Vicon's own model."""
    sensors, bones, model = read_walk(folder)
    angles = walk_angles(sensors, mode)
    figures = {}
    for joint in ("knee", "hip"):
        for name, truth in (("", bones), ("model_", model)):
            off = [angles[f"{side}_{joint}"] - truth[f"{side}_{joint}"] for side in ("left", "right")]
            figures[f"{joint}_{name}rmse_deg"] = float(np.mean([np.sqrt(np.mean(each**2)) for each in off]))
            if not name:
                figures[f"{joint}_from_pose_rmse_deg"] = float(np.mean([np.sqrt(np.mean((e - e[0]) ** 2)) for e in off]))
    return figures
