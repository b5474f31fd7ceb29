"""One skeleton from sensors and a camera: what is measured, what is inferred, occlusion, lateness, lost and refused sensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from edgeskel import topologies
from edgeskel.errors import DeviceError, InvalidClip, UnknownChoice
from edgeskel.geometry import about_up, conjugate, multiply, rotate
from edgeskel.skeleton import Frame, Topology
from firmware_bridge.body import SEGMENTS, BodyDimensions
from firmware_bridge.body.calibration import Calibration
from firmware_bridge.body.segments import INDEX
from firmware_bridge.clock import Clock
from firmware_bridge.fusion import FusedFrame, Fusion, Origin
from firmware_bridge.orientation import OrientationSettings
from firmware_bridge.samples import Flags, Reading
from firmware_bridge.testing.wearer import Wearer
from firmware_bridge.worn_sensor import SensorSetup
from tests.firmware_bridge.fusion_errors import paired
from tests.firmware_bridge.mounting_faults import sensors

LAYOUT = topologies.get("kinect-v2")
SPARSE = ("pelvis", "left_forearm", "right_forearm", "left_shank", "right_shank", "head")
START = 50.0


def _wearer() -> Wearer:
    return Wearer(facing=0.3, place=(0.4, 0.0, 2.5))


def _drive(wearer: Wearer, fusion: Fusion, places: Sequence[str], begin: float, end: float, *,
           filmed: Callable[[float], bool] | None = None, late: float = 0.0, rate: float = 50.0,
           silent: Callable[[str, float], bool] = lambda place, time: False,
           change: Callable[[np.ndarray], np.ndarray] = lambda joints: joints) -> list[FusedFrame]:
    """Push what sensors at ``places`` and, when ``filmed``, a camera see from ``begin`` to ``end``; the frames that come of it."""
    motion = wearer.worn(SEGMENTS)
    seen = wearer.filmed(LAYOUT)
    rows = [SEGMENTS.index(place) for place in places]
    out, next_frame = [], begin
    for k in range(round(begin * rate), round(end * rate)):
        now = k / rate
        while filmed is not None and next_frame + late <= now:
            if filmed(next_frame):
                joints = change(seen(next_frame)).astype(np.float32)
                fusion.push_camera(Frame(START + next_frame + late, joints[None], np.ones((1, len(joints)), np.float32)))
            next_frame += 1 / 30
        values = motion(len(SEGMENTS), round(now * 1e6))
        for row, place in zip(rows, places, strict=True):
            if not silent(place, now):
                q, a, w = values[row, :4], values[row, 4:7], values[row, 7:10]
                fusion.push_reading(place, Reading(orientation=tuple(q), acceleration=tuple(a), angular_velocity=tuple(w)),
                                    round((START + now) * 1e9))
        out += fusion.frames(round((START + now) * 1e9))
    return out


def _fusion(wearer: Wearer, places: Sequence[str], *, calibrated: bool = True, body: BodyDimensions | None = None) -> Fusion:
    known = wearer.calibration(SEGMENTS)
    mine = Calibration({s: known.mounting[s] for s in places}, {s: known.heading[s] for s in places},
                       dict.fromkeys(places, "known"))
    return Fusion(LAYOUT, {place: SensorSetup(place) for place in places}, calibration=mine if calibrated else None, body=body)


def _error(wearer: Wearer, frames: Sequence[FusedFrame], *, after: float = 0.0, absolute: bool = False) -> np.ndarray:
    """(V,) millimetres, mean over the frames ``after``; each placed by its own root unless ``absolute``."""
    chosen = [frame for frame in frames if frame.frame.time - START > after]
    truth = np.stack([wearer.joints(LAYOUT, frame.frame.time - START) for frame in chosen])
    got = np.stack([frame.frame.joints[0] for frame in chosen]).astype(np.float64)
    if not absolute:
        truth, got = (x - x[:, LAYOUT.root:LAYOUT.root + 1] for x in (truth, got))
    return 1e3 * np.linalg.norm(got - truth, axis=-1).mean(axis=0)


def test_sensors_alone_carry_the_whole_pose() -> None:
    wearer = _wearer()
    begin = wearer.begin_s
    frames = _drive(wearer, _fusion(wearer, SEGMENTS), SEGMENTS, begin, begin + 6)
    assert _error(wearer, frames, after=begin + 1.5).max() < 15
    last = frames[-1]
    assert (last.origin == Origin.INERTIAL).all() and last.measured[[INDEX[s] for s in SEGMENTS]].all()
    assert last.age_s.max() < 0.05 and math.isinf(last.root_age_s)
    assert last.frame.confidence.min() > 0.5
    low = last.frame.joints[0][[LAYOUT.index("left_foot"), LAYOUT.index("right_foot")], 1].min()
    assert abs(low) < 0.06  # the floor is at 0


def test_frames_come_at_the_rate_asked_for_and_as_soon_as_all_sensors_are_there() -> None:
    wearer = _wearer()
    fusion = _fusion(wearer, SPARSE)
    frames = _drive(wearer, fusion, SPARSE, 30, 34)
    times = np.array([frame.frame.time for frame in frames])
    assert np.allclose(np.diff(times), 1 / 30)
    assert times[-1] > START + 34 - 1 / 50 - 1 / 30 - 1e-6  # not held back by the delay that late readings are given


def test_a_sensor_that_goes_silent_holds_up_nothing_and_is_said_to_be_old() -> None:
    wearer = _wearer()
    fusion = _fusion(wearer, SEGMENTS)
    frames = _drive(wearer, fusion, SEGMENTS, 36, 40, silent=lambda place, time: place == "left_forearm" and time > 38)
    elbow, wrist = LAYOUT.index("left_elbow"), LAYOUT.index("left_wrist")
    soon = next(frame for frame in frames if frame.frame.time > START + 38.2)
    assert soon.origin[wrist] == Origin.INERTIAL and soon.age_s[wrist] == pytest.approx(0.2, abs=0.05)
    last = frames[-1]
    assert last.frame.time > START + 39.85
    assert last.origin[wrist] == Origin.INFERRED and math.isinf(last.age_s[wrist])
    assert last.origin[elbow] == Origin.INERTIAL
    assert last.frame.confidence[0, wrist] < 0.5 < last.frame.confidence[0, elbow]


@pytest.mark.parametrize("places", [("left_forearm",), ("pelvis",), SPARSE])
def test_any_number_of_sensors_gives_whole_frames_that_say_what_was_measured(places: tuple[str, ...]) -> None:
    wearer = _wearer()
    frames = _drive(wearer, _fusion(wearer, places), places, 36, 39)
    last = frames[-1]
    assert np.isfinite(last.frame.joints).all()
    assert {name for name in SEGMENTS if last.measured[INDEX[name]]} == set(places)
    carried = set(np.array(LAYOUT.joints)[last.origin == Origin.INERTIAL])
    assert ("left_hip" in carried) == ("pelvis" in places) and "left_wrist" not in carried
    assert np.all(last.frame.confidence[0, last.origin == Origin.INFERRED] < 0.5)


def test_a_camera_alone_is_followed_within_its_noise() -> None:
    wearer = _wearer()
    fusion = Fusion(LAYOUT, {})
    frames = _drive(wearer, fusion, (), 30, 36, filmed=lambda time: True)
    assert _error(wearer, frames, after=31, absolute=True).mean() < 60
    assert (frames[-1].origin == Origin.CAMERA).all() and frames[-1].root_age_s < 0.1
    assert frames[-1].frame.confidence.min() > 0.7


def test_limbs_go_on_moving_while_the_camera_is_blind_and_with_one_sensor_one_limb_does() -> None:
    wearer = _wearer()
    begin = wearer.begin_s
    visible = lambda time: time < begin + 12 or time > begin + 17  # noqa: E731
    blind = _drive(wearer, _fusion(wearer, SEGMENTS), SEGMENTS, begin, begin + 17, filmed=visible)
    during = [frame for frame in blind if begin + 13 < frame.frame.time - START < begin + 16.8]
    assert _error(wearer, during).max() < 40
    assert _error(wearer, during, absolute=True).mean() < 60
    assert during[-1].root_age_s > 3 and set(during[-1].origin) == {Origin.INERTIAL}
    held = _drive(wearer, Fusion(LAYOUT, {}), (), begin, begin + 17, filmed=visible)
    nothing = [frame for frame in held if begin + 13 < frame.frame.time - START < begin + 16.8]
    assert _error(wearer, during).mean() < 0.5 * _error(wearer, nothing).mean()
    assert nothing[-1].frame.confidence.max() < 0.5  # and the frame says so


def test_the_cameras_world_is_found_whatever_the_sensors_call_ahead() -> None:
    wearer = _wearer()
    begin = wearer.begin_s
    fusion = _fusion(wearer, SEGMENTS)
    assert fusion.calibration is not None
    known = fusion.calibration
    fusion.use(Calibration(known.mounting, {s: a + 2.2 for s, a in known.heading.items()}, known.by))
    frames = _drive(wearer, fusion, SEGMENTS, begin, begin + 12, filmed=lambda time: True)
    assert _error(wearer, frames, after=begin + 8, absolute=True).mean() < 40
    assert set(frames[-1].origin) == {Origin.BOTH}


def test_a_late_and_tilted_camera_is_put_right() -> None:
    wearer = _wearer()
    begin = wearer.begin_s
    fusion = _fusion(wearer, SEGMENTS)
    tilted = np.array([math.cos(0.1), math.sin(0.1), 0.0, 0.0])
    frames = _drive(wearer, fusion, SEGMENTS, begin, begin + 24, filmed=lambda time: True, late=0.1,
                    change=lambda joints: rotate(tilted, joints))
    assert fusion.camera.late == pytest.approx(0.1, abs=0.005)
    up = rotate(multiply(fusion.camera.tilt.rotation, tilted), np.array([0.0, 1.0, 0.0]))
    assert math.degrees(math.acos(min(1.0, up[1]))) < 1
    assert _error(wearer, frames, after=begin + 16, absolute=True).mean() < 40


def test_bone_lengths_come_from_the_camera() -> None:
    wearer = Wearer(facing=0.3, place=(0.4, 0.0, 2.5), body=BodyDimensions(1.9))
    fusion = _fusion(wearer, SEGMENTS, body=BodyDimensions(1.7))
    _drive(wearer, fusion, SEGMENTS, 20, 26, filmed=lambda time: True)
    for group in ("thigh", "shank", "trunk"):
        assert fusion.skeleton.body.scale[group] == pytest.approx(1.9 / 1.7, abs=0.04)
    joints = fusion.frames(round((START + 40) * 1e9))[-1].frame.joints[0]
    thigh = joints[LAYOUT.index("left_hip")] - joints[LAYOUT.index("left_knee")]
    assert np.linalg.norm(thigh) == pytest.approx(0.245 * 1.9, abs=0.03)


def test_a_heading_that_is_off_comes_right_slowly() -> None:
    wearer = _wearer()
    begin = wearer.begin_s
    worn = ("pelvis", "chest", "left_upper_arm", "left_forearm", "right_upper_arm")
    fusion = _fusion(wearer, worn)
    assert fusion.calibration is not None
    off = dict(fusion.calibration.heading)
    off["left_upper_arm"] += math.radians(15)
    fusion.use(Calibration(fusion.calibration.mounting, off, fusion.calibration.by))
    frames = _drive(wearer, fusion, worn, begin, begin + 60, filmed=lambda time: True, rate=30)

    def yaw(frame: FusedFrame) -> float:
        arm = INDEX["left_upper_arm"]
        turned = multiply(frame.turns[arm], conjugate(wearer.turns(frame.frame.time - START)[arm]))
        return math.degrees(2 * math.atan2(turned[2], turned[0]) + math.pi) % 360 - 180

    course = np.abs([yaw(frame) for frame in frames if frame.frame.time - START > begin + 4])
    assert course[0] > 8
    assert course[-30:].mean() < 0.6 * course[0]


def test_of_several_persons_the_wearer_is_followed() -> None:
    wearer = _wearer()
    fusion = Fusion(LAYOUT, {})
    seen = wearer.filmed(LAYOUT)
    for k in range(90):
        mine = seen(30 + k / 30)
        other = mine + [1.5 - 0.02 * k, 0.0, 0.5]  # passes by
        persons = [mine, other] if k % 2 == 0 or k == 0 else [other, mine]
        joints = np.stack(persons).astype(np.float32)
        confidence = np.full(joints.shape[:2], 0.9, np.float32)
        if k == 0:
            confidence[0] = 1.0
        fusion.push_camera(Frame(START + k / 30, joints, confidence))
        for frame in fusion.frames(round((START + k / 30) * 1e9)):
            truth = wearer.joints(LAYOUT, 30 + frame.frame.time - START)
            assert np.linalg.norm(frame.frame.joints[0] - truth, axis=-1).mean() < 0.15


def test_a_refused_sensor_is_told_once_and_the_others_go_on() -> None:
    wearer = _wearer()
    fusion = Fusion(LAYOUT, {"good": SensorSetup("pelvis"), "bad": SensorSetup("left_thigh")})
    motion = wearer.worn(("pelvis",))
    told = 0
    for k in range(300):
        now = round((START + k / 50) * 1e9)
        q, a, w = np.split(motion(1, k * 20_000)[0, :10], [4, 7])
        fusion.push_reading("good", Reading(orientation=tuple(q), acceleration=tuple(a), angular_velocity=tuple(w)), now)
        try:
            fusion.push_reading("bad", Reading(acceleration=(0.0, 0.0, 1.0), angular_velocity=(0.0, 0.0, 0.0)), now)
        except DeviceError as error:
            told += 1
            assert "bad" in str(error) and "g units" in str(error)
    assert told == 1 and set(fusion.refused) == {"bad"}
    assert fusion.frames()[-1].frame.time > START + 5


def test_what_is_found_out_between_two_frames_is_told_by_the_sensors_next_reading() -> None:
    fusion = Fusion(LAYOUT, {"good": SensorSetup("pelvis"), "bad": SensorSetup("left_thigh")})
    told = []
    for k in range(300):
        now = round((START + k / 50) * 1e9)
        fast = 0.0 if k < 100 else 90.0  # degrees/s, taken for rad/s
        still = Reading(acceleration=(0.0, 0.0, 9.8), angular_velocity=(0.0, 0.0, 0.0))
        fusion.push_reading("good", still, now)
        try:
            fusion.push_reading("bad", still._replace(angular_velocity=(fast, 0.0, 0.0)), now)
        except DeviceError as error:
            told.append(k)
            assert "degrees" in str(error)
            assert set(fusion.refused) == {"bad"}
        fusion.frames()
    assert len(told) == 1 and 100 < told[0] < 140
    fusion.calibrate("n-pose", (START + 4, START + 5), common_heading=True, world_facing=0.0)
    assert fusion.calibration is not None and set(fusion.calibration.mounting) == {"pelvis"}


def test_whoever_asks_finds_every_reading_that_was_pushed() -> None:
    fusion = Fusion(LAYOUT, {"one": SensorSetup("pelvis"), "other": SensorSetup("left_thigh")})
    still = Reading(acceleration=(0.0, 0.0, 9.8), angular_velocity=(0.0, 0.0, 0.0))
    for k in range(200):
        for name in ("one", "other"):
            fusion.push_reading(name, still, round((START + k / 100) * 1e9))
        if k == 150:
            fusion.frames()
        if k % 7 == 0 and k > 150:
            assert fusion.track("one", START, START + 9).time[-1] == pytest.approx(START + k / 100)
    assert len(fusion.track("other", START, START + 9).time) == 200


def test_a_frame_comes_with_the_last_sensors_reading_and_without_it_after_the_delay() -> None:
    fusion = Fusion(LAYOUT, {"quick": SensorSetup("pelvis"), "slow": SensorSetup("left_thigh")}, rate_hz=25, delay_s=0.06)
    still = Reading(acceleration=(0.0, 0.0, 9.8), angular_velocity=(0.0, 0.0, 0.0))
    due: dict[int, float] = {}
    for k in range(600):
        for name, late in (("quick", 0), ("slow", 4)):
            if name == "quick" or k <= 400:  # then it falls silent
                now = START + 0.01 * k + 0.001 * late
                fusion.push_reading(name, still, round(now * 1e9))
                for frame in fusion.frames():
                    due[round((frame.frame.time - START) * 1000)] = (now - frame.frame.time) * 1000
    after = {time: late for time, late in due.items() if time > 1100}
    assert all(late == pytest.approx(4, abs=0.01) for time, late in after.items() if time <= 4000)
    assert all(60 - 1e-6 <= late <= 70 for time, late in after.items() if 4010 < time < 4480)
    assert all(late == pytest.approx(0, abs=0.01) for time, late in after.items() if time > 4560)  # waited for no more
    assert len(after) > 100


@pytest.mark.parametrize("delay_s", [0.06, 0.004])
def test_a_reader_who_waits_as_it_is_told_gets_the_same_frames_no_later(delay_s: float) -> None:
    wearer, chance = _wearer(), np.random.default_rng(4)
    motion, begin = wearer.worn(SPARSE), wearer.begin_s
    arrivals = []
    for number, place in enumerate(SPARSE):
        for k in range(300):
            now = begin + 0.01 * k + 0.0015 * number
            if place == "head" and 1.4 < now - begin < 2.2:
                continue  # silent: at first it is waited for, then not
            q, a, w = np.split(motion(len(SPARSE), round(now * 1e6))[number], [4, 7, 10])[:3]
            reading = Reading(orientation=tuple(q), acceleration=tuple(a), angular_velocity=tuple(w),
                              device_us=round(now * 1e6), sequence=k)
            arrivals.append((START + now + float(chance.gamma(1.0, 0.003)), place, reading))
    arrivals.sort(key=lambda each: each[0])

    def made(waits: bool) -> list[tuple[int, FusedFrame]]:
        known = wearer.calibration(SPARSE)
        fusion = Fusion(LAYOUT, {place: SensorSetup(place, Clock(clock_bits=32)) for place in SPARSE}, delay_s=delay_s,
                        calibration=Calibration({s: known.mounting[s] for s in SPARSE}, {s: known.heading[s] for s in SPARSE},
                                                dict.fromkeys(SPARSE, "known")))
        out: list[tuple[int, FusedFrame]] = []
        waiting: list[tuple[float, str, Reading]] = []
        until, sensors, calls = math.inf, None, 0
        for number, arrival in enumerate(arrivals):
            waiting.append(arrival)
            if waits and arrival[0] < until and sensors is not None and not (
                    sensors and sensors <= {place for _, place, _ in waiting}):
                continue
            for time, place, reading in waiting:
                fusion.push_reading(place, reading, round(time * 1e9))
                out += [(number, fused) for fused in fusion.frames()]
            waiting, calls = [], calls + 1
            until, sensors = fusion.waits_for(round(arrival[0] * 1e9))
            if waits and sensors:
                fusion.catch_up()
        assert calls == len(arrivals) if not waits else calls < 0.5 * len(arrivals)
        return out

    patient, eager = made(True), made(False)
    assert len(eager) > 50
    assert [at for at, _ in patient] == [at for at, _ in eager]
    for (_, one), (_, other) in zip(patient, eager, strict=True):
        assert one.frame.time == other.frame.time
        np.testing.assert_array_equal(one.frame.joints, other.frame.joints)
        np.testing.assert_array_equal(one.age_s, other.age_s)


def test_a_reader_may_sleep_until_the_last_of_steady_sensors_can_have_measured() -> None:
    wearer, places = _wearer(), ("pelvis", "left_thigh", "right_thigh")
    fusion = Fusion(LAYOUT, {place: SensorSetup(place, Clock(clock_bits=32)) for place in places},
                    calibration=_fusion(wearer, places).calibration)
    motion, asleep, told = wearer.worn(places), [], 0.0
    for k in range(400):
        for number, (place, phase) in enumerate(zip(places, (0.002, 0.006, 0.007), strict=True)):
            now = 0.01 * k + phase
            q, a, w = np.split(motion(len(places), round(now * 1e6))[number], [4, 7, 10])[:3]
            until, sensors = fusion.waits_for(round((START + now) * 1e9))
            told = until if sensors is not None and not sensors else told
            fusion.push_reading(place, Reading(orientation=tuple(q), acceleration=tuple(a), angular_velocity=tuple(w),
                                               device_us=round(now * 1e6), sequence=k), round((START + now) * 1e9))
            asleep += [START + now - told for _ in fusion.frames() if k > 150]
    # Until four milliseconds and a tenth of a period before the reading that makes the frame, whichever sensor it is of. (None of
    # them measures within a tenth of a period before a frame's instant, where it could not be told from one right after it.)
    assert len(asleep) > 60
    assert asleep == pytest.approx([0.005] * len(asleep), abs=1e-4)


def test_a_reboot_makes_a_heading_doubtful() -> None:
    wearer = _wearer()
    fusion = Fusion(LAYOUT, {"thigh": SensorSetup("left_thigh", Clock(clock_bits=32))},
                    calibration=_fusion(wearer, ("left_thigh",)).calibration)
    assert fusion.headings.known.all()
    motion = wearer.worn(("left_thigh",))
    for k in range(300):
        q, a, w = np.split(motion(1, k * 20_000)[0, :10], [4, 7])
        flags = Flags.REBOOTED if k == 200 else Flags.NONE
        fusion.push_reading("thigh", Reading(device_us=(k * 20_000) if k < 200 else (k - 200) * 20_000, orientation=tuple(q),
                                             acceleration=tuple(a), angular_velocity=tuple(w), flags=flags),
                            round((START + k / 50) * 1e9))
    assert not fusion.headings.known.any()


def test_calibrating_through_the_fusion_finds_how_the_sensors_sit() -> None:
    wearer = Wearer(facing=0.3, programme=("raise arms", "bow", "squat", "lift left leg", "lift right leg"))
    places = tuple(s for s in SEGMENTS if "collar" not in s)
    fusion = _fusion(wearer, places, calibrated=False)
    frames = _drive(wearer, fusion, places, 0, wearer.begin_s)
    assert not frames[-1].measured.any()  # nothing is believed before the calibration
    told = {name: (START + 6 + 4 * k, START + 8.5 + 4 * k) for k, name in enumerate(wearer.programme)}
    made = fusion.calibrate("n-pose", (START + 2, START + 5), told, facing=0.3)
    true = wearer.calibration(SEGMENTS)
    for segment in places:
        apart = 2 * math.acos(min(1.0, abs(float(made.mounting[segment] @ true.mounting[segment]))))
        assert math.degrees(apart) < 6, segment
    frames = _drive(wearer, fusion, places, wearer.begin_s, wearer.begin_s + 4)
    assert _error(wearer, frames).mean() < 40


def test_wrong_use_is_told_with_what_would_be_right() -> None:
    with pytest.raises(DeviceError, match="a and b both sit on left_forearm"):
        Fusion(LAYOUT, {"a": SensorSetup("left_wrist"), "b": SensorSetup("left_forearm")})
    with pytest.raises(UnknownChoice, match="sensor place"):
        Fusion(LAYOUT, {"a": SensorSetup("tail")})
    fusion = Fusion(LAYOUT, {"a": SensorSetup("left_wrist", settings=OrientationSettings("6-axis"))})
    with pytest.raises(UnknownChoice, match="one of a"):
        fusion.push_reading("b", Reading(), 0)
    with pytest.raises(UnknownChoice, match="one of a"):
        fusion.track("b", 0, 1)
    with pytest.raises(InvalidClip):
        fusion.push_camera(Frame(1.0, np.zeros((1, 3, 3), np.float32), np.ones((1, 3), np.float32)))
    assert fusion.frames() == []


def test_a_codec_says_how_its_clock_counts() -> None:
    from firmware_bridge.codecs import create

    worn = SensorSetup.of(create("node"), "chest")
    assert worn.clock is not None and worn.place == "chest"
    assert SensorSetup.of(create("witmotion-ble"), "chest").clock is not None  # it has none of its own: readings are counted
    assert SensorSetup.of(create("witmotion-ble"), "chest", rate_hz=50).settings.rate_hz == 50


@pytest.mark.parametrize("seed", [200])
def test_both_together_are_better_than_either_alone_on_synthetic_truth(seed: int) -> None:
    figures = paired(seed, 6)
    assert figures["fused_mm"] < figures["imu_only_mm"]
    assert figures["fused_mm"] < 0.7 * figures["camera_only_mm"]
    assert figures["fused_hidden_mm"] < 0.5 * figures["camera_only_hidden_mm"]


def test_turning_about_up_is_what_it_says() -> None:
    assert np.allclose(rotate(about_up(math.pi / 2), np.array([0.0, 0.0, 1.0])), [1.0, 0.0, 0.0])


def _filmed(datasets: Path, subject: int) -> Iterator[Frame]:
    """What a Kinect saw of a person in all kinds of actions, one after the other, 30 frames per second."""
    time = START
    for file in sorted((datasets / "utd-mhad" / "Skeleton").glob(f"*_s{subject}_t1_*.mat")):
        for joints in np.moveaxis(loadmat(file)["d_skel"], 2, 0):
            time += 1 / 30
            yield Frame(time, joints[None].astype(np.float32), np.ones((1, len(joints)), dtype=np.float32))


def _exchanged(layout: Topology) -> list[int]:
    names = layout.joints
    return [names.index(n.replace("left_", "?").replace("right_", "left_").replace("?", "right_")) for n in names]


@pytest.mark.parametrize("fault", ["exchanged", "mirrored"])
def test_a_camera_that_takes_left_for_right_is_left_out_until_it_shows_them_right(datasets: Path, fault: str) -> None:
    layout = topologies.get("kinect-v1")
    fusion = Fusion(layout, {"hip": SensorSetup("pelvis")})
    frames = list(_filmed(datasets, 1))[:1200]
    told = []
    for number, frame in enumerate(frames):
        joints = frame.joints
        if number < 600:
            joints = joints[:, _exchanged(layout)] if fault == "exchanged" else joints * np.float32([-1, 1, 1])
        try:
            fusion.push_camera(Frame(frame.time, joints, frame.confidence))
        except DeviceError as error:
            told.append(str(error))
        if number == 599:
            assert fusion.camera_refused is not None and not fusion.camera.active
    assert len(told) == 1 and "left and right swapped" in told[0]
    assert fusion.camera_refused is None and fusion.camera.active


def test_what_people_do_before_a_camera_is_never_taken_for_a_mirror(datasets: Path) -> None:
    for subject in (1, 5, 8):
        fusion = Fusion(topologies.get("kinect-v1"), {"hip": SensorSetup("pelvis")})
        for frame in _filmed(datasets, subject):
            fusion.push_camera(frame)
        assert fusion.camera_refused is None


def test_a_back_that_is_turned_is_not_taken_for_a_mirror(datasets: Path) -> None:
    fusion = Fusion(topologies.get("kinect-v1"), {"hip": SensorSetup("pelvis")})
    for frame in _filmed(datasets, 2):
        fusion.push_camera(Frame(frame.time, frame.joints * np.float32([-1, 1, -1]), frame.confidence))
    assert fusion.camera_refused is None


def test_sensors_are_judged_in_quiet_moments_and_say_how_far_it_came(datasets: Path) -> None:
    sensor = next(one for one in sensors(datasets) if "hand_left" in one.name).in_motion()
    fusion = Fusion(LAYOUT, {"good": SensorSetup("left_hand"), "bad": SensorSetup("right_hand")})
    assert set(fusion.judgements.values()) == {"not judged yet"}
    told = []
    for time, rate, force in zip(sensor.time.tolist(), sensor.gyroscope.tolist(), sensor.accelerometer.tolist(), strict=True):
        now = round((START + time) * 1e9)
        for name, sign in (("good", 1), ("bad", -1)):
            try:
                fusion.push_reading(name, Reading(acceleration=tuple(force), angular_velocity=tuple(sign * x for x in rate)), now)
            except DeviceError as error:
                told.append((name, str(error)))
        if not fusion.frames():
            fusion.judge()
    assert fusion.judgements == {"good": "fits", "bad": "refused"}
    assert [name for name, _ in told] == ["bad"] and "against the gyroscope" in told[0][1]
