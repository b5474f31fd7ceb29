"""From what is worn to frames: session files, live and recorded devices, guided calibration, and all that goes wrong on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeskel.errors import CorruptFile, DeviceError, UnknownChoice, UsageError
from edgeskel.skeleton import Frame
from firmware_bridge import open_source
from firmware_bridge.body import SEGMENTS, Calibration
from firmware_bridge.calibration_guide import CalibrationGuide, movements_for
from firmware_bridge.cameras import adapter
from firmware_bridge.device_allowlist import DeviceAllowlist
from firmware_bridge.feed import CameraFrame, LiveFeed, Notice
from firmware_bridge.fusion import FusedFrame, Origin
from firmware_bridge.link import (
    DeviceRefused,
    DeviceReport,
    Gap,
    Ignored,
    LinkHealth,
    Lost,
    Overflow,
    Recovered,
    Sample,
    Stalled,
)
from firmware_bridge.link_messages import LinkMessages
from firmware_bridge.mcap import McapRecording, Recorder
from firmware_bridge.orientation import OrientationSettings
from firmware_bridge.recorded_feed import RecordedFeed
from firmware_bridge.recording import Span
from firmware_bridge.samples import DeviceStatus, Flags, Reading
from firmware_bridge.testing.peers import FilmPeer, LinesPeer, MocopiPeer, Playing, SlimeVRPeer
from firmware_bridge.testing.pty_node import PtyNode
from firmware_bridge.testing.wearer import MOVEMENT_S, POSE_S, PROGRAMME, Wearer
from firmware_bridge.wearable import Wearable
from firmware_bridge.wearable_config import DeviceConfig, SensorConfig, WearableConfig, toml_of
from firmware_bridge.wearable_pipeline import WearablePipeline

PLACES = ("pelvis", "chest", "left_forearm", "right_forearm", "left_shank", "right_shank")
NODE = "serial:/dev/ttyUSB0?protocol=node"
WAIT_S = 120.0  # for a loaded machine; what is waited for comes within a second otherwise
LAYOUT = adapter("kinect-v2").topology
START_S = 1000.0


def write(folder: Path, devices: Sequence[DeviceConfig], camera: str = "", **options: Any) -> WearableConfig:
    path = folder / "body.toml"
    path.write_text(toml_of(devices, camera, enrolled="devices.json", **options), encoding="utf-8")
    return WearableConfig.load(path)


def node(places: Sequence[str] = PLACES, address: str = NODE) -> DeviceConfig:
    return DeviceConfig(address, tuple(SensorConfig(str(number), place) for number, place in enumerate(places)))


def samples(person: Wearer, places: Sequence[str], seconds: float, *, device: str = NODE, rate_hz: int = 50,
            really: Sequence[str] | None = None) -> Iterator[Sample]:
    """What a node with these sensors would have sent; ``really``: where they sat in truth."""
    motion = person.worn(really or places)
    for number in range(round(seconds * rate_hz)):
        at = number / rate_hz
        for sensor, row in enumerate(motion(len(places), round(at * 1e6)).tolist()):
            yield Sample(device, round((START_S + at + 0.004) * 1e9), 0, Reading(
                str(sensor), number % 65536, round(at * 1e6), tuple(row[:4]), tuple(row[4:7]), None, tuple(row[7:10])))


def recorded(path: Path, items: Iterable[Sample], film: Iterable[Frame] = ()) -> Path:
    with Recorder(path) as recorder:
        for item in items:
            recorder.sample(item)
        for frame in film:
            recorder.frame(frame, LAYOUT, "camera")
    return path


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person with six sensors: the pose, five movements, then four seconds of anything."""
    person = Wearer(programme=PROGRAMME[:5])
    path = tmp_path_factory.mktemp("walk") / "walk.mcap"
    return recorded(path, samples(person, PLACES, person.begin_s + 4.0))


def error_mm(person: Wearer, frames: Sequence[FusedFrame], joints: Sequence[str] | None = None) -> float:
    """Mean distance of joints from the truth, both placed by their pelvis."""
    chosen = [LAYOUT.index(name) for name in joints or LAYOUT.joints]
    truth = person.joints(LAYOUT, np.array([fused.frame.time - START_S for fused in frames]))
    got = np.stack([fused.frame.joints[0] for fused in frames])
    root = LAYOUT.index("pelvis")
    off = (got - got[:, root:root + 1]) - (truth - truth[:, root:root + 1])
    return float(1e3 * np.linalg.norm(off[:, chosen], axis=-1).mean())


# -- the file ----------------------------------------------------------------------------------------------------------


@given(places=st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=17, unique=True), mode=st.sampled_from(("auto", "6-axis")),
       up=st.sampled_from((None, "+z", "-y")), compass=st.booleans(), stature=st.floats(0.6, 2.5),
       rate=st.sampled_from((None, 100.0)), nominal=st.sampled_from((None, 52.0)))
def test_a_session_file_says_what_it_was_written_for(
    tmp_path_factory: pytest.TempPathFactory, places: list[str], mode: str, up: str | None, compass: bool, stature: float,
    rate: float | None, nominal: float | None,
) -> None:  # fmt: skip
    settings = OrientationSettings(mode, up, compass)
    many = DeviceConfig("udp:6969?protocol=slimevr&from=10.0.0.7",
                      tuple(SensorConfig(str(number), place, settings) for number, place in enumerate(places[1:])),
                      nominal_hz=nominal)
    one = DeviceConfig('ble:na"me\\?protocol=dot', (SensorConfig("", places[0], settings),), rate)
    devices = (one, many) if many.sensors else (one,)
    read = write(tmp_path_factory.mktemp("session"), devices, "camera:udp?port=7000&layout=azure-kinect", stature=stature)
    assert read.devices == devices
    assert read.camera == "camera:udp?port=7000&layout=azure-kinect"
    assert read.stature == pytest.approx(stature, rel=1e-4)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("device = [", CorruptFile, "not a TOML file"),
        ("", UsageError, "no device and no camera"),
        ("statur = 1.8", UnknownChoice, "did you mean 'stature'"),
        ('stature = "tall"\n[camera]\nsource="camera:x"', UsageError, "a number from 0.5 to 2.6"),
        ('layout = "kinect"\n[camera]\nsource="camera:x"', UnknownChoice, "kinect-v2"),
        ('[[device]]\nplace="pelvis"', UsageError, "has no address"),
        ('[[device]]\naddress="serial:/dev/ttyUSB0"', UsageError, "neither place nor sensors"),
        ('[[device]]\naddress="serial:/dev/ttyUSB0"\nplace="left_arm"', UnknownChoice, "left_forearm"),
        ('[[device]]\naddress="serial:/dev/ttyUSB0"\nplace="pelvis"\nmode="7-axis"', UnknownChoice, "6-axis"),
        ('[[device]]\naddress="serial:/dev/ttyUSB0?protocol=nod"\nplace="pelvis"', UnknownChoice, "did you mean 'node'"),
        ('[[device]]\naddress="udp:9000"\nplace="pelvis"', UsageError, "names no protocol"),
        ('[[device]]\naddress="replay:walk.mcap?device=x"\nplace="pelvis"', UsageError, "?replay=walk.mcap"),
        ('[[device]]\naddress="serial:/a"\nplace="left_wrist"\n[[device]]\naddress="serial:/b"\nplace="left_forearm"', UsageError,
         "on left_forearm"),
        ('[[device]]\naddress="serial:/a"\nplace="pelvis"\n[[device]]\naddress="serial:/a"\nplace="chest"', UsageError, "2 times"),
    ],
)
def test_what_is_wrong_with_a_session_file_is_named(tmp_path: Path, text: str, error: type[Exception], said: str) -> None:
    (tmp_path / "body.toml").write_text(text, encoding="utf-8")
    with pytest.raises(error, match=said.replace("?", r"\?")):
        open_source(f"wearable:{tmp_path / 'body.toml'}")


def test_without_calibration_and_camera_there_is_nothing_to_show(tmp_path: Path) -> None:
    session = write(tmp_path, [node()])
    with pytest.raises(UsageError, match=f"edgeskel devices calibrate {session.path}"):
        open_source(f"wearable:{session.path}")


# -- a recording -------------------------------------------------------------------------------------------------------


def guided(session: WearableConfig, recording: Path, **options: Any) -> tuple[Calibration, list[str]]:
    pipeline = WearablePipeline(session)
    guide = CalibrationGuide(pipeline.fusion, movements=movements_for(pipeline.fusion.segments), patience_s=math.inf, **options)
    steps = []
    for now_ns, items in RecordedFeed(recording, speed=0):
        for item in items:
            pipeline.take(item)
        pipeline.frames(now_ns)
        steps += [step.text for step in guide.look(now_ns / 1e9)]
    return guide.finish(), steps


def test_a_recorded_calibration_gives_the_skeleton_of_what_follows(tmp_path: Path, walk: Path) -> None:
    person = Wearer(programme=PROGRAMME[:5])
    session = write(tmp_path, [node()])
    made, steps = guided(session, walk)
    assert [step for step in steps if step in PROGRAMME] == list(PROGRAMME[:5])
    made.save(session.calibration)
    with open_source(f"wearable:{session.path}?replay={walk}&speed=0") as source:
        assert isinstance(source, Wearable)
        assert source.topology.name == "kinect-v2" and source.rate_hz == 30
        frames = [fused for fused in source.fused() if fused.frame.time > START_S + person.begin_s]
    assert len(frames) == pytest.approx(4 * 30, abs=5)
    assert np.allclose(np.diff([fused.frame.time for fused in frames]), 1 / 30)
    # Upper arms and thighs carry no sensor here: wrists are as good as that, the trunk is as good as its sensors.
    assert error_mm(person, frames, ("spine", "chest", "neck", "left_shoulder", "right_shoulder")) < 25
    last = frames[-1]
    assert last.origin[LAYOUT.index("chest")] == Origin.INERTIAL and last.age_s[LAYOUT.index("chest")] < 0.1
    assert last.origin[LAYOUT.index("left_wrist")] == Origin.INFERRED and math.isinf(last.age_s[LAYOUT.index("left_wrist")])
    assert last.frame.confidence[0, LAYOUT.index("chest")] > last.frame.confidence[0, LAYOUT.index("left_wrist")] > 0
    assert math.isinf(last.root_age_s)  # no camera ever said where the person is


def test_a_sensor_on_the_wrong_limb_is_noticed_while_the_wearer_stands_there(tmp_path: Path) -> None:
    person = Wearer(programme=PROGRAMME[:1])
    swapped = ("pelvis", "chest", "right_forearm", "left_forearm", "left_shank", "right_shank")
    recording = recorded(tmp_path / "swapped.mcap", samples(person, PLACES, person.begin_s, really=swapped))
    with pytest.raises(DeviceError, match="left_forearm and right_forearm seem swapped"):
        guided(write(tmp_path, [node()]), recording)


def test_a_recording_that_lacks_a_movement_says_which_one(tmp_path: Path) -> None:
    person = Wearer(programme=PROGRAMME[:2])
    recording = recorded(tmp_path / "short.mcap", samples(person, PLACES, POSE_S + 1.5 * MOVEMENT_S))
    with pytest.raises(DeviceError, match="'raise right arm'.*record the steps in this order"):
        guided(write(tmp_path, [node()]), recording)


def test_a_device_that_sends_only_quaternions_is_calibrated_like_the_others(tmp_path: Path) -> None:
    person = Wearer(programme=("raise left arm",))

    def bare() -> Iterator[Sample]:
        for sample in samples(person, ("left_forearm",), person.begin_s + 1.0):
            reading = Reading("", sample.reading.sequence, sample.reading.device_us, sample.reading.orientation)
            yield Sample(sample.device, sample.host_ns, 0, reading)

    session = write(tmp_path, [DeviceConfig(NODE, (SensorConfig("", "left_forearm", OrientationSettings(up="+z")),))])
    made, _ = guided(session, recorded(tmp_path / "bare.mcap", bare()))
    truth = person.calibration(("left_forearm",))
    assert abs(float(made.mounting["left_forearm"] @ truth.mounting["left_forearm"])) > math.cos(math.radians(3) / 2)


def test_a_recording_that_was_cut_off_plays_up_to_there_and_says_so(tmp_path: Path, walk: Path) -> None:
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(walk.read_bytes()[: walk.stat().st_size // 3])
    items = [item for _, batch in RecordedFeed(cut, speed=0) for item in batch]
    assert sum(isinstance(item, Sample) for item in items) > 1000
    assert isinstance(items[-1], Notice) and "everything before that was played" in items[-1].text


def test_a_recording_is_played_at_its_own_pace(walk: Path) -> None:
    slept: list[float] = []
    begin = time.monotonic()
    for now_ns, _ in RecordedFeed(walk, speed=1000.0, sleep=slept.append):
        if now_ns > (START_S + 20) * 1e9:
            break
    assert sum(slept) == pytest.approx(0.02, abs=0.02) or time.monotonic() - begin > 0.02  # it was waited for, or was late anyway


def test_others_devices_in_a_recording_are_refused_by_name(tmp_path: Path, walk: Path) -> None:
    session = write(tmp_path, [node(address="serial:/dev/ttyACM0?protocol=node")])
    Wearer().calibration(PLACES).save(session.calibration)
    with pytest.raises(UsageError, match="readings of serial:/dev/ttyUSB0.*expected one of serial:/dev/ttyACM0"):
        open_source(f"wearable:{session.path}?replay={walk}")


def test_frames_of_a_recording_are_a_source_of_their_own(tmp_path: Path) -> None:
    person, path = Wearer(programme=()), tmp_path / "film.mcap"
    shown = [person.frame(LAYOUT, at, at) for at in np.arange(0, 3, 1 / 30)]
    shown[7] = Frame(shown[7].time, np.full_like(shown[7].joints, np.nan), np.zeros_like(shown[7].confidence))
    recorded(path, (), shown)
    with open_source(f"replay:{path}?speed=0") as source:
        played = list(source)
    assert source.topology == LAYOUT and source.rate_hz == pytest.approx(30)
    for one, other in zip(shown, played, strict=True):
        assert other.time == one.time
        np.testing.assert_array_equal(other.confidence, one.confidence)
        np.testing.assert_allclose(other.joints[other.confidence > 0], one.joints[one.confidence > 0], atol=1e-6)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_source(f"replay:{path}?speed=0") as source:
        assert 10 < len(list(source)) < 90


def test_a_recording_without_frames_says_how_to_play_it(walk: Path) -> None:
    with pytest.raises(CorruptFile, match=rf"wearable:FILE.toml\?replay={walk}"):
        open_source(f"replay:{walk}")


# -- what devices do wrong ---------------------------------------------------------------------------------------------


def fed(pipeline: WearablePipeline, items: Iterator[Sample]) -> None:
    for item in items:
        pipeline.take(item)


def test_a_sensor_in_other_units_is_left_out_and_named_once(tmp_path: Path) -> None:
    person = Wearer(programme=())
    pipeline = WearablePipeline(write(tmp_path, [node()]), calibration=person.calibration(PLACES))
    for sample in samples(person, PLACES, 3.0):
        reading = sample.reading
        if reading.sensor == "1":  # g instead of m/s²
            scaled = tuple(value / 9.80665 for value in reading.acceleration or ())
            reading = Reading(reading.sensor, reading.sequence, reading.device_us, reading.orientation, scaled, None,  # type: ignore[arg-type]
                              reading.angular_velocity)
        pipeline.take(Sample(sample.device, sample.host_ns, 0, reading))
    notice, = pipeline.pending_notices
    assert "chest" in notice and "g units" in notice and "others go on" in notice
    frame = pipeline.frames(round((START_S + 3) * 1e9))[-1]
    assert frame.measured.sum() == len(PLACES) - 1


def test_sensors_and_senders_that_the_file_does_not_place_are_named(tmp_path: Path) -> None:
    lines = DeviceConfig("udp:9000?protocol=lines", (SensorConfig("hand", "left_hand"),))
    pipeline = WearablePipeline(write(tmp_path, [node(PLACES[:2]), lines]))
    fed(pipeline, samples(Wearer(programme=()), PLACES[:3], 0.1))
    for number, host in enumerate(("10.0.0.7:4000", "10.0.0.7:4001", "10.0.0.8:4000")):
        pipeline.take(Sample(lines.address, number, 0, Reading("hand", number, acceleration=(0.0, 0.0, 9.8)), host))
    assert len(pipeline.pending_notices) == 2
    assert "sensor '2'" in pipeline.pending_notices[0] and "'0', '1'" in pipeline.pending_notices[0]
    assert "10.0.0.8 sends as well" in pipeline.pending_notices[1] and "from=10.0.0.8" in pipeline.pending_notices[1]


def test_a_camera_frame_of_another_layout_does_not_stop_the_sensors(tmp_path: Path) -> None:
    pipeline = WearablePipeline(write(tmp_path, [node()]))
    for _ in range(3):
        pipeline.take(CameraFrame(Frame(1.0, np.zeros((1, 7, 3), np.float32), np.ones((1, 7), np.float32))))
    assert len(pipeline.pending_notices) == 1 and "7 joints" in pipeline.pending_notices[0]


def health(**values: Any) -> LinkHealth:
    usual: dict[str, Any] = dict(
        device="ble:wrist", state="streaming", rate_hz=100.0, received=0, lost=0, late=0, loss=0.0, dropped=0, frames=0, bad=0,
        faults=0, reboots=0, reopened=0, battery=None, signal_dbm=None, last_seen_ns=None, problem="")  # fmt: skip
    return LinkHealth(**{**usual, **values})


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (Gap("ble:wrist", 0, 3), "readings were lost on the way (3 so far)"),
        (Gap("udp:9000?protocol=lines", 0, 3), "readings were lost on the way or came too late (3 so far)"),
        (Stalled("ble:wrist", 0, 0.6), "silent for 0.6 s; it is opened again"),
        (Stalled("udp:9000?protocol=lines", 0, 3.0), "silent for 3.0 s; it is waited for"),
        (Lost("ble:wrist", 0, "ble:wrist: Bluetooth is switched off; run: bluetoothctl power on"),
         "ble:wrist: Bluetooth is switched off; run: bluetoothctl power on; it is tried again"),
        (Lost("ble:wrist", 0, "a rate of 3 Hz", final=True), "ble:wrist: a rate of 3 Hz"),
        (Recovered("ble:wrist", 0, 2.5), "sends again, after 2.5 s"),
        (DeviceRefused("ble:wrist", 0, "ble:AA:BB:CC:DD:EE:FF"), "run: edgeskel devices enrol ble:AA:BB:CC:DD:EE:FF"),
        (Ignored("udp:9000?from=10.0.0.1", 0, "10.0.0.9"), "10.0.0.9 sends to this port and is not listed in from="),
        (Overflow("ble:wrist", 0, 12), "too slow, readings were dropped (12 so far)"),
        (DeviceReport("ble:wrist", 0, DeviceStatus(battery=0.04)), "the battery is at 4%"),
        (Sample("ble:wrist", 0, 0, Reading("", flags=Flags.SATURATED)), "end of the sensor's range"),
        (DeviceReport("ble:wrist", 0, DeviceStatus(battery=0.9)), None),
        (Sample("ble:wrist", 0, 0, Reading("")), None),
    ],
)  # fmt: skip
def test_what_happens_on_a_link_is_said_with_what_to_do(item: Any, said: str | None) -> None:
    sentence = LinkMessages().of(item)
    assert sentence is None if said is None else said in (sentence or "")


def test_what_repeats_is_said_when_its_count_has_another_digit() -> None:
    notices = LinkMessages()
    said = [sentence for _ in range(250) if (sentence := notices.of(Gap("x", 0, 1)))]
    assert [sentence.rpartition("(")[2] for sentence in said[1:]] == ["10 so far)", "100 so far)"]
    flat = [notices.of(DeviceReport("x", 0, DeviceStatus(battery=level))) for level in (0.09, 0.05, 0.8, 0.02)]
    assert [sentence is not None for sentence in flat] == [True, False, False, True]


def test_nothing_but_refused_frames_means_another_protocol_or_cut_packets() -> None:
    notices = LinkMessages()
    assert not notices.health([health()])
    (said,) = notices.health([health(bad=40)])
    assert "refused (40 so far) and no reading was understood" in said and "MTU" in said and "baud" not in said
    assert not notices.health([health(bad=60)])
    (said,) = notices.health([health(bad=100)])
    assert "(100 so far)" in said
    (said,) = notices.health([health(device="serial:/dev/ttyUSB0", bad=40)])
    assert "baud" in said and "MTU" not in said
    (said,) = notices.health([health(device="udp:9000", bad=40)])
    assert said.endswith("is it this protocol?")
    # Text on a line of ours has no end of a frame in it, so that it is one refused frame for ever; but then it is no silence.
    assert "understood" not in notices.health([health(device="serial:a", bad=1)])[0]
    (said,) = notices.health([health(device="serial:a", bad=1, state="stalled", problem="no reading for 3.00 s")])
    assert "no reading was understood" in said
    (said,) = notices.health([health(device="other", bad=2, received=500)])
    assert "frames were refused" in said and "MTU" not in said


# -- live --------------------------------------------------------------------------------------------------------------


class Played:
    """A person whose time is ours, a node on a pseudo-terminal, and a session file for it."""

    def __init__(self, folder: Path, *, camera: str = "", enrolled: bool = True, places: Sequence[str] = PLACES) -> None:
        self.person = Wearer(programme=(), facing=math.pi, place=(0.0, -1.0, 3.0))
        motion = self.person.worn(places)
        self.began = time.monotonic() - POSE_S
        self.node = PtyNode(sensors=len(places), rate_hz=100, motion=lambda count, _: motion(count, round(1e6 * self.seconds())))
        self.session = write(folder, [node(places, self.node.address)], camera)
        self.person.calibration(places).save(self.session.calibration)
        if enrolled:
            DeviceAllowlist(self.session.enrolled).add("serial:simulated")

    def seconds(self) -> float:
        return time.monotonic() - self.began


def until(source: Wearable, condition: Callable[[FusedFrame], bool]) -> FusedFrame:
    deadline = time.monotonic() + WAIT_S
    for fused in source.fused():
        if condition(fused):
            return fused
        if time.monotonic() > deadline:
            break
    raise AssertionError(f"not within {WAIT_S} s; said: {list(source.notices)}; {source.health}")


def test_a_live_node_and_camera_become_one_skeleton_that_survives_both(tmp_path: Path) -> None:
    """Everything at once: sensors and camera, the cable pulled, the camera silent, and both back."""
    with open_source("camera:udp?port=0&layout=azure-kinect") as probe:
        port = probe.port  # type: ignore[attr-defined]
    played = Played(tmp_path, camera=f"camera:udp?port={port}&layout=azure-kinect&silence=0.5")
    film = FilmPeer(port, played.person)
    with played.node, open_source(f"wearable:{played.session.path}") as source:
        assert isinstance(source, Wearable) and source.topology.name == "azure-kinect"
        wrist, chest = source.topology.index("left_wrist"), source.topology.index("chest")
        with Playing([film], played.seconds):
            both = until(source, lambda fused: fused.origin[chest] == Origin.BOTH and fused.frame.confidence[0, wrist] > 0.5)
            assert both.measured.sum() == len(PLACES)
            assert both.age_s[chest] < 0.5 and both.root_age_s < 1.0
            later = until(source, lambda fused: fused.frame.time > both.frame.time + 1.0)
            truth = played.person.joints(source.topology, later.frame.time - played.began)
            off = later.frame.joints[0] - truth
            assert np.linalg.norm(off - off[source.topology.index("pelvis")], axis=-1).mean() < 0.08
            assert np.linalg.norm(off.mean(axis=0)) < 0.4  # at three metres a tilt of five degrees is 0.26 m
            played.node.unplug()
            blind = until(source, lambda fused: not fused.measured.any())
            assert blind.origin[chest] == Origin.CAMERA  # the camera goes on alone
            assert any("plug the device in" in said for said in source.notices)
            played.node.plug_in()
            until(source, lambda fused: fused.measured.sum() == len(PLACES))
        alone = until(source, lambda fused: fused.root_age_s > 0.6)  # the camera has stopped
        assert alone.origin[chest] == Origin.INERTIAL and alone.frame.confidence[0, chest] > 0.5
        until(source, lambda _: any("nothing came for 0.5 s" in said and "sensors go on" in said for said in source.notices))


def test_a_stranger_is_refused_and_how_to_enrol_it_is_said(tmp_path: Path) -> None:
    played = Played(tmp_path, enrolled=False, places=PLACES[:1])
    with played.node, open_source(f"wearable:{played.session.path}") as source:
        assert isinstance(source, Wearable)
        deadline = time.monotonic() + WAIT_S
        for _, items in source.feed:
            assert not any(isinstance(item, Sample) for item in items)
            said = [LinkMessages().of(item) for item in items if isinstance(item, DeviceRefused)]
            if said or time.monotonic() > deadline:
                break
        assert any(sentence and "edgeskel devices enrol serial:simulated" in sentence for sentence in said)


def test_everything_that_was_handed_over_live_is_in_the_recording(tmp_path: Path) -> None:
    with PtyNode(sensors=2, rate_hz=100) as device:
        handed: list[Sample] = []
        with LiveFeed({device.address: None}, record=tmp_path / "all.mcap") as feed:
            for _, items in feed:
                handed += [item for item in items if isinstance(item, Sample)]
                if len(handed) > 100:
                    break
        assert feed.health[0].identity == "serial:simulated" and feed.health[0].state == "streaming"
        assert feed.health[0].frames >= 50 and feed.health[0].lost == feed.health[0].bad == 0
    kept = list(McapRecording(tmp_path / "all.mcap").samples())
    assert kept[: len(handed)] == handed
    assert len(kept) == feed.health[0].received
    assert sum(len(chunk.data) for _, chunk in McapRecording(tmp_path / "all.mcap").chunks()) > 50 * 40


def test_a_full_disk_is_told_and_what_was_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = Recorder.sample, count()

    def full(self: Recorder, sample: Sample) -> None:
        if next(written) >= 20:
            raise OSError(28, "No space left on device")
        real(self, sample)

    monkeypatch.setattr(Recorder, "sample", full)
    with PtyNode(rate_hz=100) as device, pytest.raises(OSError, match="No space left"):
        with LiveFeed({device.address: None}, record=tmp_path / "full.mcap") as feed:
            for _ in feed:
                pass
    assert len(list(McapRecording(tmp_path / "full.mcap").samples())) == 20


class FailingCamera:
    """A source that fails twice, in two ways, before it gives a frame."""

    topology, rate_hz = LAYOUT, 30.0
    spans: tuple[Span, ...] = ()

    def __init__(self) -> None:
        self.entered = 0

    def __enter__(self) -> FailingCamera:
        self.entered += 1
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[Frame]:
        if self.entered == 1:
            raise DeviceError("the cable is loose", remedy="push it in")
        if self.entered == 2:
            raise RuntimeError("something inside the maker's SDK")
        yield Wearer().frame(LAYOUT, 0.0, 5.0)


def test_a_camera_that_fails_is_named_and_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.feed.AGAIN_S", 0.05)
    said, deadline = [], time.monotonic() + WAIT_S
    with LiveFeed({}, FailingCamera()) as feed:  # type: ignore[arg-type]
        for _, items in feed:
            said += [item.text for item in items if isinstance(item, Notice)]
            if any(isinstance(item, CameraFrame) for item in items) or time.monotonic() > deadline:
                break
    assert "push it in" in said[0] and "maker's SDK" in said[1] and all("sensors go on" in text for text in said[:2])


def test_a_computer_that_was_asleep_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = iter([5_000_000_000, 5_000_000_000, 65_000_000_000])
    monkeypatch.setattr("firmware_bridge.feed.suspended_ns", lambda: next(asleep, 65_000_000_000))
    with PtyNode(rate_hz=100) as device, LiveFeed({device.address: None}) as feed:
        said = [item.text for _, (_, items) in zip(range(5), feed, strict=False) for item in items if isinstance(item, Notice)]
    assert said == ["this computer was asleep for 60 s; what devices sent meanwhile is lost"]


def test_a_reader_who_is_too_slow_is_told_what_he_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.feed.KEPT", 10)
    with PtyNode(rate_hz=1000) as device, LiveFeed({device.address: None}) as feed:
        deadline = time.monotonic() + WAIT_S
        for _, items in feed:
            late = [item for item in items if isinstance(item, Notice) and "not looked at" in item.text]
            if late or time.monotonic() > deadline:
                break
            while feed.health[0].received < 50 and time.monotonic() < deadline:
                time.sleep(0.01)  # the reader is busy with something else
    assert late


# -- simulated people and their devices --------------------------------------------------------------------------------


def test_the_simulated_sensors_measure_what_they_must() -> None:
    """Gyroscope and orientation, accelerometer and gravity, magnetometer and field fit together."""
    person = Wearer()
    motion = person.worn(PLACES)
    step = 0.001
    for at in np.linspace(0.5, person.begin_s + 30, 97):
        before, now, after = (motion(6, round(1e6 * (at + shift))) for shift in (-step, 0.0, step))
        assert np.allclose(np.linalg.norm(now[:, :4], axis=1), 1)
        # Half the quaternion's derivative is the rate: q' = q * (0, w) / 2.
        w, x, y, z = now[:, 0], now[:, 1], now[:, 2], now[:, 3]
        change = (after[:, :4] - before[:, :4]) / (2 * step)
        rate = 2 * np.stack([w * change[:, 1] - x * change[:, 0] - y * change[:, 3] + z * change[:, 2],
                             w * change[:, 2] + x * change[:, 3] - y * change[:, 0] - z * change[:, 1],
                             w * change[:, 3] - x * change[:, 2] + y * change[:, 1] - z * change[:, 0]], axis=1)
        assert np.abs(rate - now[:, 7:10]).max() < 0.15
        assert np.all(np.abs(np.linalg.norm(now[:, 10:13], axis=1) - math.hypot(20, 44)) < 0.5)
        assert np.all(np.abs(np.linalg.norm(now[:, 4:7], axis=1) - 9.80665) < 5)
    still = motion(6, 2_600_000)
    assert np.all(np.abs(np.linalg.norm(still[:, 4:7], axis=1) - 9.80665) < 0.1)


def test_every_simulated_sender_shows_the_same_person() -> None:
    """SlimeVR, mocopi and JSON lines, through links: the left upper arm is where the person has it."""
    person = Wearer(programme=())
    ports = []
    for _ in range(3):
        with open_source("camera:udp?port=0&layout=azure-kinect") as probe:
            ports.append(probe.port)  # type: ignore[attr-defined]
    addresses = {f"udp:{port}?protocol={name}": None for port, name in zip(ports, ("slimevr", "mocopi", "lines"), strict=True)}
    peers = [SlimeVRPeer(ports[0], person, "left_upper_arm"), MocopiPeer(ports[1], person),
             LinesPeer(ports[2], person, ("left_upper_arm", "head"))]
    began = time.monotonic() - person.begin_s - 1.0
    newest: dict[tuple[str, str], Sample] = {}
    deadline = time.monotonic() + WAIT_S
    wanted = {("slimevr", "0"), ("mocopi", "l_up_arm"), ("lines", "left_upper_arm"), ("lines", "head")}
    with Playing(peers, lambda: time.monotonic() - began), LiveFeed(addresses) as feed:
        for _, items in feed:
            for item in items:
                if isinstance(item, Sample):
                    newest[item.device.rpartition("=")[2], item.reading.sensor] = item
            if wanted <= set(newest) or time.monotonic() > deadline:
                break
        assert all(one.bad == 0 for one in feed.health)
    assert wanted <= set(newest)
    motion = person.worn(("left_upper_arm",))
    for key in (("slimevr", "0"), ("lines", "left_upper_arm")):
        sample = newest[key]
        truth = motion(1, round(1e6 * (sample.host_ns / 1e9 - began)))[0, :4]
        assert abs(float(np.array(sample.reading.orientation) @ truth)) > math.cos(math.radians(10) / 2)

