"""UTD-MHAD: 27 actions, 8 subjects, 4 trials, with Kinect v1 skeletons and one inertial sensor.

Source: Chen, Jafari, Kehtarnavaz, "UTD-MHAD: a multimodal dataset", ICIP 2015, doi:10.1109/ICIP.2015.7350781.

``Skeleton/aA_sS_tT_skeleton.mat`` holds ``d_skel`` (20, 3, T) in metres in Kinect camera axes: x to the sensor's left,
y up, z into the scene. That is right-handed with y up, so the values are taken as they are; the joints, which the files
list from the head down, are put into kinect-v1 order. The files carry no clock; frames are 1/30 s apart.

``Inertial/aA_sS_tT_inertial.mat`` holds ``d_iner`` (K, 6): acceleration in g and angular rate in deg/s, converted to
m/s² and rad/s. The sensor sat on the right wrist for actions 1 to 21 and on the right thigh for 22 to 27. The two
recordings share no clock: the samples are stretched linearly over the clip, first on first frame and last on last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from edgeskel import topologies
from edgeskel.data.importers.common import ImportOptions, Recordings, RefusedFile, make_clip, read_mat, take
from edgeskel.data.importers.finding import find
from edgeskel.errors import CorruptFile
from edgeskel.skeleton import Clip, Float64, Inertial

__all__ = ["recordings"]

LABELS = (
    "swipe_left", "swipe_right", "wave", "clap", "throw", "arm_cross", "basketball_shoot", "draw_x", "draw_circle_cw",
    "draw_circle_ccw", "draw_triangle", "bowling", "boxing", "baseball_swing", "tennis_swing", "arm_curl",
    "tennis_serve", "push", "knock", "catch", "pickup_throw", "jog", "walk", "sit_to_stand", "stand_to_sit", "lunge",
    "squat",
)
RATE_HZ = 30.0
WRIST_ACTIONS = 21  # actions up to this one carried the sensor on the wrist, later ones on the thigh
GRAVITY = 9.80665  # m/s² in one g
FILE_ORDER = (
    "head", "neck", "spine", "pelvis", "left_shoulder", "left_elbow", "left_wrist", "left_hand", "right_shoulder",
    "right_elbow", "right_wrist", "right_hand", "left_hip", "left_knee", "left_ankle", "left_foot", "right_hip",
    "right_knee", "right_ankle", "right_foot",
)


def recordings(folder: Path, options: ImportOptions) -> Recordings:
    """Find the clips in the folder that holds ``Skeleton`` and ``Inertial``."""
    files = find(folder, "Skeleton/*_skeleton.mat", "UTD-MHAD")
    files.sort(key=lambda file: [int(number) for number in re.findall(r"\d+", file.name)])
    return Recordings("utd-mhad", topologies.get("kinect-v1"), LABELS, RATE_HZ, len(files),
                      _clips(folder, files, options))


def _clips(folder: Path, files: list[Path], options: ImportOptions) -> Iterator[Clip | RefusedFile]:
    for file in files:
        source = file.relative_to(folder).as_posix()
        yield take(source, partial(_clip, folder, file, source, options))


def _clip(folder: Path, file: Path, source: str, options: ImportOptions) -> Clip:
    name = re.fullmatch(r"a(\d+)_s(\d+)_t(\d+)_skeleton\.mat", file.name)
    if name is None or not 1 <= int(name[1]) <= len(LABELS):
        raise CorruptFile(file, "file name", expected=f"aA_sS_tT_skeleton.mat with A from 1 to {len(LABELS)}")
    order = [FILE_ORDER.index(joint) for joint in topologies.get("kinect-v1").joints]
    positions = read_mat(file, "d_skel", (20, 3, None))  # V, 3, T
    joints = positions.transpose(2, 0, 1)[None, :, order]
    time = np.arange(joints.shape[1]) / RATE_HZ
    sensor = folder / "Inertial" / file.name.replace("_skeleton", "_inertial")
    return make_clip(joints, options, time=time, label=LABELS[int(name[1]) - 1], subject=name[2], source=source,
                     inertial=_inertial(sensor, int(name[1]), time) if sensor.is_file() else None)


def _inertial(file: Path, action: int, time: Float64) -> Inertial:
    signals = read_mat(file, "d_iner", (None, 6)).astype(np.float32)
    if not np.isfinite(signals).all():
        raise CorruptFile(file, f"{int((~np.isfinite(signals)).sum())} samples are NaN or infinite",
                          expected="finite numbers")
    return Inertial(
        segments=("right_wrist" if action <= WRIST_ACTIONS else "right_thigh",),
        time=np.linspace(time[0], time[-1], len(signals)),
        accelerometer=signals[None, :, :3] * np.float32(GRAVITY), gyroscope=np.deg2rad(signals[None, :, 3:]))
