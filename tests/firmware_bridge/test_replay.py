"""A recording plays as a live source: paced by its time stamps, whole, or with a clear error."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeskel import topologies
from edgeskel.errors import CorruptFile, EdgeskelError, UnknownChoice, UsageError
from edgeskel.skeleton import Topology
from firmware_bridge import open_source
from firmware_bridge.recording import Recording, Span, load_recording, save_recording
from firmware_bridge.replay import Replay

ARM = Topology("arm", ("shoulder", "elbow", "wrist"), (-1, 0, 1))


def recording(times: list[float]) -> Recording:
    rng = np.random.default_rng(0)
    return Recording(
        rng.normal(size=(1, len(times), 3, 3)).astype(np.float32),
        np.ones((1, len(times), 3), np.float32),
        np.array(times),
        ARM,
        (Span(0.0, 0.5, "wave"),),
    )


class Clock:
    """Time that passes only when somebody waits, or works."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.mark.parametrize("speed", [0.5, 1.0, 4.0])
def test_frames_come_when_their_time_stamps_say(speed: float) -> None:
    clock, arrived = Clock(), []
    times = [5.0, 5.1, 5.15, 6.0]
    for frame in Replay(recording(times), speed=speed, clock=clock, sleep=clock.sleep):
        arrived.append((frame.time, clock.now - 100.0))
    np.testing.assert_allclose(arrived, [(t, (t - 5.0) / speed) for t in times], atol=1e-9)


def test_a_slow_reader_gets_late_frames_and_never_fewer() -> None:
    clock, seen = Clock(), []
    for frame in Replay(recording([0.0, 0.1, 0.2, 0.3, 1.0]), clock=clock, sleep=clock.sleep):
        seen.append(frame.time)
        clock.now += 0.25  # the reader's own work
    assert seen == [0.0, 0.1, 0.2, 0.3, 1.0]
    assert len(clock.waits) == 0 or clock.now == pytest.approx(101.25)


def test_speed_zero_never_waits_and_loops_go_on_in_time() -> None:
    clock = Clock()
    times = [
        frame.time for frame in Replay(recording([1.0, 1.1, 1.2]), speed=0, loop=2, clock=clock, sleep=clock.sleep)
    ]
    assert not clock.waits
    np.testing.assert_allclose(times, [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8])


def test_an_address_opens_a_recording_with_its_options(tmp_path: Path) -> None:
    made = recording([0.0, 0.05, 0.1])
    path = tmp_path / "arm wave.npz"
    save_recording(path, made.joints, made.confidence, made.time, made.topology, made.spans)
    with open_source(f"replay:{path}?speed=0&loop=forever") as source:
        assert source.topology == ARM and source.spans == made.spans and source.rate_hz == pytest.approx(20)
        frames = [frame for frame, _ in zip(source, range(10), strict=False)]
    np.testing.assert_array_equal(frames[4].joints, made.joints[:, 1])


def test_closing_ends_the_iteration() -> None:
    with Replay(recording([0.0, 0.1]), speed=0, loop=float("inf")) as source:
        frames = iter(source)
        next(frames)
    assert list(frames) == []


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("walk.npz", UsageError, "replay:walk.npz"),
        ("replai:walk.npz", UnknownChoice, "did you mean 'replay'"),
        ("replay:", UsageError, "names no place"),
        ("replay:walk.mp4", UnknownChoice, ".jsonl, .mcap, .npz"),
        ("replay:absent.npz", CorruptFile, "absent.npz"),
        ("replay:absent.jsonl", CorruptFile, "absent.jsonl"),
    ],
)
def test_wrong_addresses_say_what_is_valid(address: str, error: type[EdgeskelError], message: str) -> None:
    with pytest.raises(error, match=message):
        open_source(address)


@pytest.mark.parametrize("query", ["speed=-1", "speed=nan", "speed=fast", "loop=-1", "loop=1.5"])
def test_wrong_options_are_refused(tmp_path: Path, query: str) -> None:
    made = recording([0.0, 0.1])
    save_recording(tmp_path / "a.npz", made.joints, made.confidence, made.time, made.topology)
    with pytest.raises(UsageError, match=query.partition("=")[0]):
        open_source(f"replay:{tmp_path / 'a.npz'}?{query}")
    with pytest.raises(UnknownChoice, match="loop, speed"):
        open_source(f"replay:{tmp_path / 'a.npz'}?sped=1")


@given(data=st.data())
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_spoilt_recording_is_refused_or_read_as_it_was(tmp_path: Path, data: st.DataObject) -> None:
    made = recording([0.0, 0.1, 0.2])
    path = tmp_path / "spoilt.npz"
    save_recording(path, made.joints, made.confidence, made.time, made.topology, made.spans)
    whole = path.read_bytes()
    if data.draw(st.booleans()):
        spoilt = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        place = data.draw(st.integers(0, len(whole) - 1))
        spoilt = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    path.write_bytes(spoilt)
    try:
        read = load_recording(path)
    except CorruptFile as error:
        assert "spoilt.npz" in str(error)
    else:  # a flip in an unused byte of the archive's directory
        np.testing.assert_array_equal(read.joints, made.joints)


def write_lines(path: Path, *frames: object, topology: object = None) -> Path:
    header = {"topology": topology or ARM.to_dict(), "spans": [[0, 1, "wave"]]}
    path.write_text("\n".join(json.dumps(line) for line in (header, *frames)))
    return path


def test_json_lines_hold_missing_joints_and_changing_persons(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "a.jsonl",
        {"time": 0, "joints": [[[0, 1, 2], None, [3, 4, 5]]]},
        {"time": 0.1, "joints": []},
        {"time": 0.2, "joints": [[[0, 1, 2]] * 3, [[1, 1, 1]] * 3], "confidence": [[1, 0.5, 0], [1, 1, 1]]},
    )
    with open_source(f"replay:{path}?speed=0") as source:
        frames = list(source)
        assert source.spans == (Span(0, 1, "wave"),)
    assert [frame.confidence.tolist() for frame in frames] == [
        [[1, 0, 1], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0]],
        [[1, 0.5, 0], [1, 1, 1]],
    ]
    assert frames[0].joints[0, 2].tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"time": 0, "joints": [[[0, 0, 0]]]}, "line 2"),
        ({"joints": [[[0, 0, 0]] * 3]}, "time"),
        ({"time": 0, "joints": [[[0, 0]] * 3]}, "line 2"),
        ({"time": 0, "joints": [[["x", 0, 0]] * 3]}, "line 2"),
        ({"time": 0, "joints": [[[0, 0, 0]] * 3], "confidence": [[2, 1, 1]]}, "0..1"),
        ([], "line 2"),
    ],
)
def test_broken_lines_are_named(tmp_path: Path, frame: object, message: str) -> None:
    with pytest.raises(CorruptFile, match=message):
        open_source(f"replay:{write_lines(tmp_path / 'a.jsonl', frame)}")


def test_a_cut_off_or_empty_file_of_lines_is_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", {"time": 0, "joints": [[[0, 0, 0]] * 3]})
    path.write_text(path.read_text()[:-5])
    with pytest.raises(CorruptFile, match="line 2.*remove that line"):
        open_source(f"replay:{path}")
    for text in ("", "{}", "null", '{"topology": {"name": "kinect-v1"}}', json.dumps({"topology": ARM.to_dict()})):
        path.write_text(text)
        with pytest.raises(CorruptFile, match="a.jsonl"):
            open_source(f"replay:{path}")


def test_a_recording_of_the_wrong_layout_is_refused() -> None:
    with pytest.raises(EdgeskelError, match="3 joints"):
        Recording(
            np.zeros((1, 1, 3, 3), np.float32), np.ones((1, 1, 3), np.float32), np.zeros(1), topologies.get("kinect-v1")
        )
