"""Mounting from a pose and movements: random mountings, people's sloppiness, wrong limbs, and real recordings."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat

from edgeskel.errors import CorruptFile, DeviceError, UnknownChoice
from edgeskel.geometry import about_up, conjugate, exponential, heading, logarithm, multiply, normalise, rotate
from firmware_bridge.align import resample
from firmware_bridge.body import MOVEMENTS, POSES, SEGMENTS, Calibration, Track, calibrate, check_limbs
from firmware_bridge.orientation import Orientation, OrientationSettings
from firmware_bridge.samples import Reading
from tests.firmware_bridge.fusion_errors import read_walk, record, walk
from tests.firmware_bridge.mounting_faults import run_facing

Float64 = np.ndarray

G = 9.80665
USED = ("raise arms", "bow", "squat", "lift left leg", "lift right leg")


def _wearer(seed: int, facing: float = 0.4) -> tuple[dict[str, Float64], dict[str, float]]:
    """Random mountings (segment -> sensor axes) and a random heading of each sensor's world."""
    rng = np.random.default_rng(seed)
    mountings = {s: normalise(rng.standard_normal(4)) for s in SEGMENTS if "collar" not in s}
    return mountings, {s: float(rng.uniform(-3, 3)) for s in mountings}


def _track(turns: Float64, mounting: Float64, world: float) -> Track:
    """What a sensor gives whose segment goes through ``turns`` (K, 4) at 100 Hz: world and mounting are its own."""
    orientation = multiply(about_up(-world), multiply(turns, conjugate(mounting)))
    steps = logarithm(multiply(conjugate(orientation[:-1]), orientation[1:])) * 100
    return Track(np.arange(len(turns)) / 100, orientation, np.concatenate([steps, steps[-1:]]))


def _hold(pose: str, facing: float, mountings: dict[str, Float64], worlds: dict[str, float]) -> dict[str, Track]:
    still = np.array([1.0, 0.0, 0.0, 0.0])
    return {s: _track(np.tile(multiply(about_up(facing), POSES[pose].get(s, still)), (200, 1)), m, worlds[s])
            for s, m in mountings.items()}


def _swing(movement: str, facing: float, mountings: dict[str, Float64], worlds: dict[str, float], *,
           names: dict[str, str] | None = None) -> dict[str, Track]:
    """``movement`` done to the book; ``names``: segment -> the segment that its sensor really sits on."""
    time = np.arange(300) / 100
    share = 0.5 - 0.5 * np.cos(2 * np.pi * time / 3)
    tracks = {}
    for s, m in mountings.items():
        sign = MOVEMENTS[movement].get((names or {}).get(s, s), 0)
        bent = exponential(np.stack([sign * 0.8 * share, 0 * share, 0 * share], axis=-1))
        tracks[s] = _track(multiply(about_up(facing), bent), m, worlds[s])
    return tracks


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(-3, 3))
def test_any_mounting_and_any_heading_are_found_without_a_compass(seed: int, facing: float) -> None:
    mountings, worlds = _wearer(seed)
    made = calibrate("n-pose", _hold("n-pose", facing, mountings, worlds),
                     {m: _swing(m, facing, mountings, worlds) for m in USED}, facing=facing)
    for segment, mounting in mountings.items():
        assert np.linalg.norm(logarithm(multiply(conjugate(made.mounting[segment]), mounting))) < math.radians(1)
        turned = about_up(made.heading[segment] - worlds[segment])
        assert abs(float(logarithm(turned)[1])) < math.radians(1)
        assert made.by[segment] == "movement"


def _stand(made: Calibration, held: dict[str, Track], pose: str, facing: float) -> bool:
    """Whether every segment stands in the pose and faces as it should."""
    found = []
    for segment, track in held.items():
        stands = multiply(multiply(about_up(made.heading[segment]), track.orientation[0]), made.mounting[segment])
        wanted = multiply(about_up(facing), POSES[pose].get(segment, np.array([1.0, 0, 0, 0])))
        found.append(abs(float((stands * wanted).sum())) > 1 - 1e-6)
    return all(found)


@pytest.mark.parametrize("pose", sorted(POSES))
@pytest.mark.parametrize("degrees", [0, 30, 90, 180])
def test_sensors_that_share_a_heading_need_a_facing_or_one_movement_beside_the_pose(pose: str, degrees: float) -> None:
    mountings, _ = _wearer(1)
    worlds = dict.fromkeys(mountings, 0.3 - math.radians(degrees))  # so the wearer, who faces 0.3, faces `degrees` in theirs
    held = _hold(pose, 0.3, mountings, worlds)
    with pytest.raises(DeviceError, match="which way the wearer faced.*one arm tells for all.*say which way"):
        calibrate(pose, held, facing=0.3, common_heading=True)
    told = calibrate(pose, held, facing=0.3, common_heading=True, world_facing=math.radians(degrees))
    assert _stand(told, held, pose, 0.3)
    movement = "raise left arm" if pose == "n-pose" else "bow"
    moved = {movement: _swing(movement, 0.3, mountings, worlds)}
    shown = calibrate(pose, held, moved, facing=0.3, common_heading=True)
    assert _stand(shown, held, pose, 0.3)
    for made in (told, shown):
        for segment, mounting in mountings.items():
            assert np.linalg.norm(logarithm(multiply(conjugate(made.mounting[segment]), mounting))) < math.radians(1)
    with pytest.raises(DeviceError, match="by the movement the wearer faced"):
        calibrate(pose, held, moved, facing=0.3, common_heading=True, world_facing=math.radians(degrees + 90))


@pytest.mark.parametrize("degrees", [60, 120, 180, -90])
def test_a_sensor_that_does_not_share_the_heading_after_all_is_named(degrees: float) -> None:
    mountings, _ = _wearer(7)
    worlds = dict.fromkeys(mountings, 0.3) | {"left_forearm": 0.3 + math.radians(degrees)}
    held = _hold("n-pose", 0.3, mountings, worlds)
    for movements in (("raise left arm",), ("raise left arm", "bow", "squat")):
        moved = {movement: _swing(movement, 0.3, mountings, worlds) for movement in movements}
        with pytest.raises(DeviceError, match=f"do not share a heading.*: left_forearm by {abs(degrees)} degrees") as said:
            calibrate("n-pose", held, moved, facing=0.3, common_heading=True)
        assert "reset these sensors" in str(said.value)
    alone = {name: held[name] for name in MOVEMENTS["raise left arm"]}
    apart = calibrate("n-pose", alone, {"raise left arm": _swing("raise left arm", 0.3, mountings, worlds)}, facing=0.3)
    assert _stand(apart, alone, "n-pose", 0.3)  # each by its own movement, without the promise


@pytest.mark.parametrize(("degrees", "camera"), [(30.0, False), (180.0, True)])
def test_one_movement_is_as_good_as_the_facing_where_thirteen_sensors_share_a_heading(degrees: float, camera: bool) -> None:
    made = record(1, 2)
    turned = math.radians(degrees) - float(heading(made.motion.turns["pelvis"][0]))
    with pytest.raises(DeviceError, match="which way the wearer faced"):
        run_facing(made, turned, arm=False, told=False, camera=camera)
    shown, _ = run_facing(made, turned, arm=True, told=False, camera=camera)
    told, _ = run_facing(made, turned, arm=False, told=True, camera=camera)
    assert shown < 1.1 * told < 100


def test_in_a_t_pose_the_left_arm_points_left() -> None:
    turned = rotate(POSES["t-pose"]["left_forearm"], np.array([0.0, -1.0, 0.0]))
    assert np.allclose(turned, [1, 0, 0]) and np.allclose(
        rotate(POSES["t-pose"]["right_hand"], np.array([0.0, -1.0, 0.0])), [-1, 0, 0])


def test_without_a_movement_and_a_common_heading_the_forward_direction_is_not_guessed() -> None:
    mountings, worlds = _wearer(2)
    with pytest.raises(DeviceError, match="which way the sensor of .* faces.*raise arms"):
        calibrate("n-pose", _hold("n-pose", 0, {"left_forearm": mountings["left_forearm"]}, worlds))


def test_swapped_sensors_are_named() -> None:
    mountings, worlds = _wearer(3)
    swapped = {"left_shank": "right_shank", "right_shank": "left_shank"}
    tracks = _swing("lift left leg", 0.0, mountings, worlds, names=swapped)
    with pytest.raises(DeviceError, match="left_shank and right_shank seem swapped"):
        check_limbs("lift left leg", tracks)
    arm_on_leg = {"left_thigh": "left_forearm", "left_forearm": "left_thigh", "right_foot": "left_thigh"}
    with pytest.raises(DeviceError, match="left_thigh and right_foot seem swapped"):
        check_limbs("lift left leg", _swing("lift left leg", 0.0, mountings, worlds, names=arm_on_leg))
    for movement in MOVEMENTS:
        check_limbs(movement, _swing(movement, 0.0, mountings, worlds))


def test_a_limb_that_only_twists_tells_nothing() -> None:
    mountings, worlds = _wearer(4)
    held = {"left_forearm": _hold("n-pose", 0.0, mountings, worlds)["left_forearm"]}
    time = np.arange(300) / 100
    twisted = exponential(np.stack([0.02 * np.sin(5 * time), 0.8 * np.sin(2 * time), 0 * time], axis=-1))
    with pytest.raises(DeviceError, match="nothing tells which way the sensor of left_forearm faces"):
        calibrate("n-pose", held, {"raise arms": {"left_forearm": _track(twisted, mountings["left_forearm"], 1.0)}})


def test_a_pose_that_is_not_held_and_a_movement_that_is_not_made_are_refused() -> None:
    mountings, worlds = _wearer(5)
    with pytest.raises(DeviceError, match="during the n-pose"):
        calibrate("n-pose", _swing("squat", 0, mountings, worlds), common_heading=True)
    with pytest.raises(DeviceError, match="no sensor of"):
        calibrate("n-pose", _hold("n-pose", 0, mountings, worlds), {"bow": _hold("n-pose", 0, mountings, worlds)})
    empty = Track(np.zeros(0), np.zeros((0, 4)), np.zeros((0, 3)))
    with pytest.raises(DeviceError, match="no reading of head"):
        calibrate("n-pose", {"head": empty}, common_heading=True, world_facing=0.0)
    with pytest.raises(UnknownChoice, match="n-pose"):
        calibrate("a-pose", {})
    with pytest.raises(UnknownChoice, match="pelvis"):
        calibrate("n-pose", _hold("n-pose", 0, {"hip": mountings["pelvis"]}, {"hip": 0.0}), common_heading=True)


def test_a_calibration_survives_its_file_and_a_broken_file_is_refused(tmp_path: Path) -> None:
    mountings, worlds = _wearer(6)
    made = calibrate("n-pose", _hold("n-pose", 0, mountings, worlds), {m: _swing(m, 0, mountings, worlds) for m in USED})
    made.save(tmp_path / "worn.json")
    again = Calibration.load(tmp_path / "worn.json")
    assert again.heading == made.heading and again.by == made.by
    assert all(np.array_equal(again.mounting[s], made.mounting[s]) for s in made.mounting)
    text = (tmp_path / "worn.json").read_text()
    for broken in ("", "[]", text[:-20], text.replace("left_thigh", "tail"), text.replace('"mounting": [', '"mounting": [7, ')):
        (tmp_path / "broken.json").write_text(broken)
        with pytest.raises(CorruptFile):
            Calibration.load(tmp_path / "broken.json")


def _worn(time: Float64, gyr: Float64, acc: Float64, name: str) -> Track:
    orientation = Orientation(OrientationSettings("6-axis"), name=name)
    out = []
    for k, now in enumerate(time):
        out += orientation.push(Reading(acceleration=tuple(acc[k]), angular_velocity=tuple(gyr[k])), float(now))
    return Track(np.array([o.time for o in out]), np.array([o.quaternion for o in out]), np.array([o.rate for o in out]))


def _knee(thigh: Track, shank: Track, made: Calibration, side: str, time: Float64) -> Float64:
    """(N,) degrees of flexion."""
    turns = [multiply(multiply(about_up(np.full(len(time), made.heading[s])), resample(t, time)),
                      np.broadcast_to(made.mounting[s], (len(time), 4)))
             for s, t in ((f"{side}_thigh", thigh), (f"{side}_shank", shank))]
    along = rotate(multiply(conjugate(turns[0]), turns[1]), np.array([0.0, -1.0, 0.0]))
    return np.degrees(np.arctan2(-along[:, 2], -along[:, 1]))


def test_the_knees_of_the_xio_recording_bend_to_133_degrees_despite_losses(datasets: Path) -> None:
    tracks = {}
    for segment, name in (("left_thigh", "Left Upper Leg"), ("left_shank", "Left Lower Leg"), ("right_thigh", "Right Upper Leg"),
                          ("right_shank", "Right Lower Leg")):
        folder = next((datasets / "imu-lowerbody-xio" / "logged_lower_body").glob(f"{name} *"))
        rows = np.genfromtxt(folder / "Inertial.csv", delimiter=",", skip_header=1)
        assert len(rows) < 925  # of 931: readings are missing
        tracks[segment] = _worn(rows[:, 0] * 1e-6, np.radians(rows[:, 1:4]), G * rows[:, 4:7], segment)
    start = tracks["left_thigh"].time[0] + 0.05
    made = calibrate("n-pose", {s: t.between(start, start + 0.8) for s, t in tracks.items()}, {"walk": tracks})
    time = np.arange(start, tracks["left_thigh"].time[-1] - 0.1, 0.02)
    left, right = (_knee(tracks[f"{side}_thigh"], tracks[f"{side}_shank"], made, side, time) for side in ("left", "right"))
    # The maker's own software shows 0 to 133 degrees for this recording.
    assert left.max() == pytest.approx(133, abs=4) and left.min() > -8
    assert right.max() == pytest.approx(126, abs=8) and right.min() > -8
    assert np.abs(left[-40:]).max() < 10  # standing again at the end


def test_the_full_body_recording_runs_with_plausible_knees(datasets: Path) -> None:
    recording = loadmat(datasets / "imu-fullbody-qmt" / "full_body_example_data.mat", squeeze_me=True, struct_as_record=False)
    names = {f"{side}_{segment}": f"{theirs}_{side}" for side in ("left", "right")
             for segment, theirs in (("thigh", "upper_leg"), ("shank", "lower_leg"))}
    tracks = {s: _worn(np.arange(9000) / 100, recording[n].gyr[:9000], recording[n].acc[:9000], s) for s, n in names.items()}
    held = {s: t.between(22, 24) for s, t in tracks.items()}  # standing
    made = calibrate("n-pose", held, {"walk": {s: t.between(57, 85) for s, t in tracks.items()}})
    time = np.arange(60.0, 85.0, 0.01)  # running
    knees = [_knee(tracks[f"{side}_thigh"], tracks[f"{side}_shank"], made, side, time) for side in ("left", "right")]
    for knee in knees:
        assert 60 < np.percentile(knee, 99) < 150 and np.percentile(knee, 1) > -15
    # The legs alternate: each lags the other by half a stride.
    a, b = (knee - knee.mean() for knee in knees)
    assert np.corrcoef(a, b)[0, 1] < 0


def test_the_walk_agrees_with_the_optical_system(datasets: Path) -> None:
    figures = walk(datasets / "imu-vicon-gait" / "sample", "device")
    assert figures["knee_rmse_deg"] < 6 and figures["hip_rmse_deg"] < 6


def test_the_walks_reference_is_upright_at_rest(datasets: Path) -> None:
    _, bones, _ = read_walk(datasets / "imu-vicon-gait" / "sample")
    assert all(abs(float(angle[0])) < 15 for angle in bones.values())


def test_heading_is_the_turn_about_up() -> None:
    assert heading(multiply(about_up(0.7), exponential(np.array([0.3, 0.0, 0.0])))) == pytest.approx(0.7)
