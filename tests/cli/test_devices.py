"""``edgeskel devices`` from the outside, with simulated devices at the other end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel.cli.main import main
from firmware_bridge import open_source
from firmware_bridge.cameras import adapter
from firmware_bridge.mcap import McapRecording
from firmware_bridge.scanning import guess_gatt
from firmware_bridge.testing.node import simulated_motion
from firmware_bridge.testing.peers import LinesPeer, Playing
from firmware_bridge.testing.pty_node import PtyNode
from firmware_bridge.testing.wearer import PROGRAMME, Wearer
from firmware_bridge.wearable_config import WearableConfig
from tests.firmware_bridge.test_wearable import NODE, PLACES, node, recorded, samples, write

WAIT_S = 240.0  # for a loaded machine


@pytest.fixture(autouse=True)
def own_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's list of enrolled devices is touched; nobody is enrolled."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def device() -> Iterator[PtyNode]:
    with PtyNode(sensors=2, rate_hz=100) as node:
        yield node


@pytest.fixture
def port() -> int:
    """A port for datagrams that is free just now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def devices(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any], str]:
    status = main(["devices", *words, "--json"])
    out, err = capfd.readouterr()
    return status, json.loads(out), err


def test_scan_finds_and_guesses_and_says_why_not(capfd: pytest.CaptureFixture[str], device: PtyNode, port: int) -> None:
    sender = LinesPeer(port, Wearer(programme=()), ("head",))
    with Playing([sender]):
        status, data, _ = devices(capfd, "scan", "--seconds", "1.5", "--probe", "--port", str(device.path), "--listen", str(port))
    assert status == 0
    (found,) = [port for port in data["serial"] if str(device.path) in port["address"]]
    assert found["address"] == device.address and found["protocol"] == "node"
    assert found["identity"] == "serial:simulated" and not found["enrolled"]
    (heard,) = data["udp"]
    assert heard["protocol"] == "lines" and heard["identity"] == "udp:127.0.0.1" and heard["datagrams"] > 10
    assert heard["address"] == f"udp:127.0.0.1:{port}?protocol=lines&from=127.0.0.1"
    # Where there is Bluetooth its devices are listed; here a machine without it must be told so.
    assert data["ble"] or "ble" not in data["problems"] or "looking for BLE devices" in data["problems"]["ble"]


def test_a_port_that_is_taken_does_not_stop_the_scan(capfd: pytest.CaptureFixture[str], port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", port))
        status, data, _ = devices(capfd, "scan", "--kinds", "udp", "serial", "--seconds", "0.2", "--listen", str(port))
    assert status == 0 and f"sport = :{port}" in data["problems"][f"udp:127.0.0.1:{port}"]
    assert isinstance(data["serial"], list)


def test_ble_devices_are_guessed_by_service_then_by_name() -> None:
    assert guess_gatt("", ("70AD0001-2093-4E7C-B4B1-A29182AA9A72",)) == "node"
    assert guess_gatt("QM-SS1 00123", ()) == "mocopi-ble"
    assert guess_gatt("Somebody's headphones", ("0000110b-0000-1000-8000-00805f9b34fb",)) == ""
    assert guess_gatt("", ()) == ""


def test_record_counts_everything_and_names_the_stranger(
    capfd: pytest.CaptureFixture[str], device: PtyNode, tmp_path: Path
) -> None:
    out = tmp_path / "walk.mcap"
    status, data, err = devices(capfd, "record", device.address, "--seconds", "1", "--out", str(out))
    assert status == 0
    assert data["lost"] == data["bad"] == data["dropped"] == 0
    assert data["frames"] >= 90 and data["seconds"] >= 1
    assert len(list(McapRecording(out).samples())) == data["readings"] >= 180
    assert data["bytes"] == out.stat().st_size
    (one,) = data["devices"]
    assert one["identities"] == ["serial:simulated"] and not one["enrolled"]
    assert [sensor["sensor"] for sensor in one["sensors"]] == ["0", "1"]
    assert one["battery"] == pytest.approx(0.8) and one["sensors"][0]["rest_m_s2"] == pytest.approx(9.807, abs=0.01)
    assert "edgeskel devices enrol serial:simulated" in err


def test_what_a_line_loses_is_reported(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with PtyNode(rate_hz=200, bit_errors=2e-4, drops=0.05, seed=3) as noisy:
        status, data, _ = devices(capfd, "record", noisy.address, "--seconds", "1.5", "--out", str(tmp_path / "x.mcap"))
    assert status == 0 and data["bad"] > 0 and data["lost"] > 0
    numbers = [sample.reading.sequence or 0 for sample in McapRecording(tmp_path / "x.mcap").samples()]
    assert data["lost"] == sum(b - a - 1 for a, b in zip(numbers, numbers[1:], strict=False))
    assert any("readings were lost on the way" in said for said in data["notices"])


@pytest.mark.parametrize(
    ("columns", "factor", "said"),
    [(slice(4, 7), 1 / 9.80665, "it looks like g units"), (slice(7, 10), 180 / np.pi, "it looks like degrees/s")],
)
def test_numbers_in_other_units_are_named_once_and_recorded(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, columns: slice, factor: float, said: str
) -> None:
    def motion(sensors: int, device_us: int) -> Any:
        values = simulated_motion(sensors, device_us).copy()
        values[:, 7] = 1.0  # rad/s about x, however it lies
        values[1:, columns] *= factor
        return values

    out = tmp_path / "x.mcap"
    with PtyNode(sensors=2, rate_hz=200, motion=motion) as node:
        status, data, _ = devices(capfd, "record", node.address, "--seconds", "2", "--out", str(out))
    (doubt,) = [sentence for sentence in data["notices"] if "looks like" in sentence]
    assert status == 0 and doubt.startswith(f"{node.address} 1: ") and said in doubt
    assert len(list(McapRecording(out).samples())) == data["readings"] >= 700


def test_who_a_device_is_stays_known_when_it_has_fallen_silent(
    capfd: pytest.CaptureFixture[str], device: PtyNode, tmp_path: Path
) -> None:
    timer = threading.Timer(1.0, device.unplug)
    timer.start()
    status, data, err = devices(capfd, "record", device.address, "--seconds", "2", "--out", str(tmp_path / "x.mcap"))
    timer.join()
    (one,) = data["devices"]
    assert status == 0 and one["state"] != "streaming" and one["identities"] == ["serial:simulated"]
    assert "edgeskel devices enrol serial:simulated" in err


def test_what_is_wrong_with_a_cameras_frames_is_counted(capfd: pytest.CaptureFixture[str], port: int, tmp_path: Path) -> None:
    body = [[0.1 * (joint % 5), 0.05 * joint - 0.5, 2.0] for joint in range(25)]
    good, short = ({"persons": [{"joints": joints}]} for joints in (body, body[:24]))
    ended = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not ended.wait(0.02):
                for datagram in (json.dumps(good).encode(), json.dumps(short).encode(), b"\xff"):
                    sender.sendto(datagram, ("127.0.0.1", port))

    sending = threading.Thread(target=send)
    sending.start()
    status, data, _ = devices(capfd, "record", f"camera:udp?port={port}&layout=kinect-v2", "--seconds", "1",
                              "--out", str(tmp_path / "x.mcap"))
    ended.set()
    sending.join()
    assert status == 0 and data["skeletons"] > 10
    assert set(data["camera_faults"]) == {"joints", "json"} and min(data["camera_faults"].values()) > 10


def test_one_absent_device_is_named_and_the_other_recorded(
    capfd: pytest.CaptureFixture[str], device: PtyNode, tmp_path: Path
) -> None:
    absent = f"serial:{tmp_path / 'nothing'}?protocol=node"
    status, data, _ = devices(capfd, "record", device.address, absent, "--seconds", "0.5", "--out", str(tmp_path / "x.mcap"))
    assert status == 1
    there, gone = data["devices"]
    assert there["readings"] > 50 and gone["readings"] == 0
    assert "is not there" in gone["problem"] and "plug the device in" in gone["problem"]
    assert len(list(McapRecording(tmp_path / "x.mcap").samples())) == there["readings"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("record", "--seconds", "1"), "edgeskel devices scan"),
        (("record", "serial:/dev/null?protocol=nod", "--seconds", "1"), "did you mean 'node'"),
        (("record", "udp:9000", "--seconds", "1"), "names no protocol"),
        (("record", "tty:/dev/ttyUSB0", "--seconds", "1"), "serial, udp"),
        (("record", "udp:0.0.0.0:9000?protocol=lines", "--seconds", "1"), "names no senders"),
        (("record", NODE, "--seconds", "0"), "a number above 0"),
        (("record", NODE, "--out", "EXISTS"), "exists"),
        (("show", "wearable:absent.toml", "ble:x"), "it alone"),
        (("show", "camera:udp?port=1&layout=azure-kinect", "camera:udp?port=2&layout=azure-kinect"), "2 cameras"),
        (("scan", "--kinds", "wifi"), "serial"),
        (("scan", "--listen", "here"), "PORT or HOST:PORT"),
        (("simulate", "--kinds", "nodes"), "did you mean 'node'"),
        (("simulate", "--places", "left_arm", "--kinds", "node"), "left_forearm"),
        (("enrol", "--name", "wrist"), "no device is named"),
        (("enrol", "serial:1", "--remove"), "is not enrolled"),
        (("enrol", "bluetooth:1"), "ble:ADDRESS"),
    ],
)
def test_wrong_usage(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EXISTS").touch()
    status, data, _ = devices(capfd, *words)
    assert status == 2 and said in data["error"]["message"]
    assert not list(tmp_path.glob("*.mcap"))


def test_enrolled_devices_are_listed_added_by_address_and_removed(
    capfd: pytest.CaptureFixture[str], device: PtyNode, tmp_path: Path
) -> None:
    assert devices(capfd, "enrol")[1]["enrolled"] == []
    status, data, _ = devices(capfd, "enrol", device.address, "--name", "belt")
    assert status == 0 and data["enrolled"] == [{"identity": "serial:simulated", "name": "belt"}]
    assert Path(data["list"]) == tmp_path / "config" / "edgeskel" / "devices.json"
    devices(capfd, "enrol", "ble:aa:bb:cc:dd:ee:ff", "udp:10.0.0.7")
    _, shown, err = devices(capfd, "show", device.address, "--seconds", "1")
    assert shown["devices"][0]["enrolled"] and "not enrolled" not in err
    _, data, _ = devices(capfd, "enrol", "ble:AA:BB:CC:DD:EE:FF", "serial:simulated", "--remove")
    assert data["enrolled"] == [{"identity": "udp:10.0.0.7", "name": ""}]


def test_two_senders_at_one_address_are_not_enrolled_by_guessing(capfd: pytest.CaptureFixture[str], port: int) -> None:
    person = Wearer(programme=())
    with Playing([LinesPeer(port, person, ("head",), host=f"127.0.0.{n}") for n in (2, 3)]):
        address = f"udp:{port}?protocol=lines&from=127.0.0.2,127.0.0.3"
        status, data, _ = devices(capfd, "enrol", address)
    assert status == 2 and "udp:127.0.0.2, udp:127.0.0.3" in data["error"]["message"]


def test_show_plays_a_recording_of_several_devices(capfd: pytest.CaptureFixture[str], device: PtyNode, tmp_path: Path) -> None:
    out = tmp_path / "two.mcap"
    with PtyNode(rate_hz=50, identity="other") as other:
        devices(capfd, "record", device.address, other.address, "--seconds", "0.5", "--out", str(out))
    status, data, _ = devices(capfd, "show", f"replay:{out}?speed=0")
    assert status == 0 and len(data["devices"]) == 2
    assert all(one["readings"] > 20 and one["lost"] == 0 for one in data["devices"])


def test_a_picture_without_rerun_says_how_to_get_it(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, device: PtyNode, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    status, data, _ = devices(capfd, "show", device.address, "--rrd", str(tmp_path / "x.rrd"), "--seconds", "1")
    assert status == 2 and "pip install 'edgeskel[viewer]'" in data["error"]["message"]


def test_the_picture_is_written(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if not os.environ.get("CI"):  # where it must not be skipped
        pytest.importorskip("rerun", reason="needs rerun: pip install 'edgeskel[viewer]'")
    person = Wearer(programme=())
    layout = adapter("kinect-v2").topology
    recorded(tmp_path / "walk.mcap", samples(person, PLACES, 3.0), [person.frame(layout, t, 1000 + t) for t in (0.1, 0.2)])
    session = write(tmp_path, [node()])
    person.calibration(PLACES).save(session.calibration)
    from firmware_bridge.viewer import Viewer
    from firmware_bridge.wearable import Wearable

    with open_source(f"wearable:{session.path}?replay={tmp_path / 'walk.mcap'}&speed=0") as source:
        assert isinstance(source, Wearable)
        viewer = Viewer(source.topology, {place: place for place in PLACES}, file=tmp_path / "x.rrd")
        before = (tmp_path / "x.rrd").stat().st_size
        for fused in source.fused():
            viewer.draw(fused=fused, camera=source.camera_frame)
        viewer.close()
    assert (tmp_path / "x.rrd").stat().st_size > before + 10_000


def test_calibrate_works_on_a_recording(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    person = Wearer(programme=PROGRAMME[:2])
    places = ("left_forearm", "right_forearm")
    recording = recorded(tmp_path / "walk.mcap", samples(person, places, person.begin_s + 1.0))
    session = write(tmp_path, [node(places)])
    status, data, err = devices(capfd, "calibrate", str(session.path), "--replay", f"replay:{recording}")
    assert status == 0 and Path(data["calibration"]) == session.calibration
    assert list(data["movements"]) == ["raise left arm", "raise right arm"]
    assert {segment: sensor["by"] for segment, sensor in data["sensors"].items()} == dict.fromkeys(places, "movement")
    assert "hold still" in err and "raise right arm" in err
    with open_source(f"wearable:{session.path}?replay={recording}&speed=0") as source:
        assert len(list(source)) > 20


def test_calibrate_stops_at_a_sensor_on_the_wrong_limb(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    person = Wearer(programme=PROGRAMME[:2])
    places = ("left_forearm", "right_forearm")
    recording = recorded(tmp_path / "walk.mcap", samples(person, places, person.begin_s, really=places[::-1]))
    session = write(tmp_path, [node(places)])
    status, data, _ = devices(capfd, "calibrate", str(session.path), "--replay", str(recording))
    assert status == 1 and "seem swapped" in data["error"]["message"]
    assert not session.calibration.exists()


def test_simulated_devices_are_recorded_recognised_and_stopped(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way: simulate in a process of its own, record the skeleton, run a recogniser on it, interrupt."""
    pytest.importorskip("torch", reason="pip install 'edgeskel[train]'")
    monkeypatch.chdir(tmp_path)
    ports = []
    for name in ("slimevr", "lines", "camera"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            ports += [f"--{name}-port", str(probe.getsockname()[1])]
    words = [sys.executable, "-m", "edgeskel.cli.main", "devices", "simulate", "--kinds", "node", "slimevr", "lines", "camera",
             "--write", "body.toml", "--json", *ports]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment)
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert [device["kind"] for device in told["devices"]] == ["node", "slimevr", "lines", "camera"]
        assert len(WearableConfig.load("body.toml").places) == len(PLACES) + 2
        status, data, _ = devices(capfd, "record", "wearable:body.toml", "--seconds", "2", "--out", "walk.mcap")
        assert status == 0, data
        # How much of it comes in time is this machine's affair; what is cut off on the way is counted, and not taken.
        assert data["bad"] <= data["lost"] and data["skeletons"] > 0
        assert all("protocol 18" in said for said in data["notices"])  # nothing but what the tracker says of itself
        assert all(device["enrolled"] and device["readings"] > 0 for device in data["devices"])
        assert main(["run", "wearable:body.toml", "--seconds", "1", "--json"]) == 0
        ran = json.loads(capfd.readouterr().out)
        assert ran["frames"] > 0 and ran["engine"] == "torch"
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, err
    assert main(["run", "replay:walk.mcap", "--speed", "0", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["frames"] == data["skeletons"]
    with open_source("replay:walk.mcap?speed=0") as source:
        frames = list(source)
    assert all(np.isfinite(frame.joints).all() for frame in frames)
