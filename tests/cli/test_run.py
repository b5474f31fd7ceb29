"""``edgeskel run`` from the outside: a synthetic recording goes in, recognised actions come out."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel import topologies
from edgeskel.cli.main import main
from edgeskel.errors import DeviceError
from edgeskel.skeleton import Frame
from firmware_bridge.recording import save_recording
from firmware_bridge.replay import Replay, read_recording
from tests.runtime.conftest import write_bundle
from tests.runtime.test_motion import arm_moves

SPANS = [(1.0, 3.0, "front"), (4.5, 6.0, "front")]


@pytest.fixture
def bundle(once: Callable[..., Path]) -> Path:
    return once("tiny-bundle", write_bundle)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two arm movements; the tiny bundle names the axis along which the person stands farthest: always "front"."""
    frames = arm_moves([span[:2] for span in SPANS], 7.0)
    save_recording(
        tmp_path / "arm.npz",
        np.stack([f.joints for f in frames], axis=1),
        np.stack([f.confidence for f in frames], axis=1),
        np.array([f.time for f in frames]),
        topologies.get("kinect-v1"),
        SPANS,
    )
    return tmp_path / "arm.npz"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    status = main(["run", *words, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_json_holds_recognitions_latency_and_agreement(
    capsys: pytest.CaptureFixture[str], bundle: Path, recording: Path
) -> None:
    status, data = run(
        capsys,
        f"replay:{recording}",
        "--speed",
        "0",
        "--bundle",
        str(bundle),
        "--engine",
        "onnxruntime",
        "--threshold",
        "0.3",
        "--threads",
        "1",
    )
    assert status == 0
    assert data["engine"] == "onnxruntime" and data["frames"] == 210
    assert [action["label"] for action in data["recognitions"]] == ["front", "front"]
    for action, (start, end, _) in zip(data["recognitions"], SPANS, strict=True):
        assert action["start"] == pytest.approx(start - 0.2, abs=0.3)
        assert action["end"] == pytest.approx(end + 0.2, abs=0.3)
        assert 0.3 <= action["probability"] <= 1
    assert data["agreement"] == 1
    assert 0 < data["latency_ms"]["median"] <= data["latency_ms"]["p95"] <= data["latency_ms"]["p99"]


def test_a_pipe_gets_one_line_per_action(capsys: pytest.CaptureFixture[str], bundle: Path, recording: Path) -> None:
    words = [
        "run",
        f"replay:{recording}?speed=0",
        "--bundle",
        str(bundle),
        "--engine",
        "onnxruntime",
        "--threshold",
        "0.3",
    ]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("front" in line for line in lines) == 2
    assert any("2 of the 2 labelled actions recognised" in line for line in lines)


def test_labels_that_the_model_lacks_are_not_compared(
    capsys: pytest.CaptureFixture[str], bundle: Path, recording: Path, tmp_path: Path
) -> None:
    frames = arm_moves([], 1.0)
    path = tmp_path / "other.npz"
    save_recording(
        path,
        np.stack([f.joints for f in frames], axis=1),
        np.ones((1, 30, 20), np.float32),
        np.array([f.time for f in frames]),
        topologies.get("kinect-v1"),
        [(0.0, 1.0, "juggle")],
    )
    status, data = run(capsys, f"replay:{path}", "--speed", "0", "--bundle", str(bundle), "--engine", "onnxruntime")
    assert status == 0 and data["agreement"] is None and data["recognitions"] == []


@pytest.mark.parametrize(
    ("words", "status", "kind"),
    [
        (["replay:absent.npz", "--bundle", "BUNDLE"], 1, "CorruptFile"),
        (["tcp:here", "--bundle", "BUNDLE"], 2, "UnknownChoice"),
        (["replay:RECORDING", "--bundle", "absent"], 1, "BundleError"),
        (["replay:RECORDING", "--model", "absent"], 2, "UnknownChoice"),
        (["replay:RECORDING", "--model", "absent", "--engine", "onnxruntime"], 2, "UsageError"),
        (["replay:RECORDING", "--bundle", "BUNDLE", "--model", "edge-demo"], 2, "UsageError"),
        (["replay:RECORDING", "--bundle", "BUNDLE", "--engine", "nonesuch"], 2, "UnknownChoice"),
        (["replay:RECORDING", "--bundle", "BUNDLE", "--engine", "executorch"], 1, "EngineError"),
        (["replay:RECORDING", "--bundle", "BUNDLE", "--speed", "-1"], 2, "UsageError"),
        (["replay:RECORDING", "--bundle", "BUNDLE", "--threshold", "1.5"], 2, "UsageError"),
        (["replay:RECORDING", "--bundle", "BUNDLE", "--persons", "0"], 2, "UsageError"),
        (["replay:RECORDING", "--bundle", "BUNDLE", "--record", "seen.npz"], 2, "UsageError"),
        (["replay:RECORDING", "--bundle", "BUNDLE", "--engine", "onnxruntime", "--mode", "streaming"], 1, "EngineError"),
        (["replay:RECORDING", "--model", "edge-demo", "--mode", "streaming"], 2, "UnknownChoice"),
    ],
)
def test_wrong_choices_end_with_their_error(
    capsys: pytest.CaptureFixture[str], bundle: Path, recording: Path, words: list[str], status: int, kind: str
) -> None:
    filled = [word.replace("BUNDLE", str(bundle)).replace("RECORDING", str(recording)) for word in words]
    got, data = run(capsys, *filled)
    assert (got, data["error"]["type"]) == (status, kind)


def test_what_is_recorded_is_replayed_with_the_same_events(
    capsys: pytest.CaptureFixture[str], bundle: Path, recording: Path, tmp_path: Path
) -> None:
    how = ["--speed", "0", "--bundle", str(bundle), "--engine", "onnxruntime", "--threshold", "0.3"]
    status, seen = run(capsys, f"replay:{recording}", *how, "--record", str(tmp_path / "seen.mcap"))
    assert status == 0 and [event["kind"] for event in seen["events"]].count("ended") == 2
    status, again = run(capsys, f"replay:{tmp_path / 'seen.mcap'}", *how)
    assert status == 0 and again["events"] == seen["events"] and again["frames"] == seen["frames"]


def test_a_recording_is_never_written_over(
    capsys: pytest.CaptureFixture[str], bundle: Path, recording: Path, tmp_path: Path
) -> None:
    (tmp_path / "kept.mcap").write_bytes(b"mine")
    words = [f"replay:{recording}", "--bundle", str(bundle), "--engine", "onnxruntime", "--record", str(tmp_path / "kept.mcap")]
    status, data = run(capsys, *words)
    assert (status, data["error"]["type"]) == (2, "UsageError") and (tmp_path / "kept.mcap").read_bytes() == b"mine"


def test_a_picture_without_rerun_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], bundle: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    status, data = run(capsys, f"replay:{recording}", "--bundle", str(bundle), "--engine", "onnxruntime", "--rerun")
    assert (status, data["error"]["type"]) == (2, "MissingExtra") and "edgeskel[viewer]" in data["error"]["remedy"]


def test_a_picture_is_written_for_rerun(
    capsys: pytest.CaptureFixture[str], bundle: Path, recording: Path, tmp_path: Path
) -> None:
    pytest.importorskip("rerun", reason="pip install 'edgeskel[viewer]'")
    words = [f"replay:{recording}", "--speed", "0", "--bundle", str(bundle), "--engine", "onnxruntime", "--threshold", "0.3"]
    status, _ = run(capsys, *words, "--rrd", str(tmp_path / "seen.rrd"))
    assert status == 0 and (tmp_path / "seen.rrd").stat().st_size > 10_000


def test_the_screen_draws_skeleton_probabilities_and_timeline(bundle: Path) -> None:
    from rich.console import Console

    from edgeskel.cli.live import Moments, Screen
    from edgeskel.runtime import EventConfig, load

    terminal = Console(file=io.StringIO(), force_terminal=True, width=100, height=40)
    session = load(bundle, engine="onnxruntime", threads=1, config=EventConfig(threshold=0.3, begin=0.3))
    pictures = []
    with Screen(terminal, session, Moments(live=False), "replay:arm", 30.0) as screen:
        for frame in arm_moves([(1.0, 3.0)], 4.5):
            screen.show(frame, session.step(frame), 0.001)
            if round(frame.time * 30) in (15, 60, 130):
                paper = io.StringIO()
                Console(file=paper, width=100).print(screen.picture(frame))
                pictures.append(paper.getvalue())
    still, moving, after = pictures
    assert "no action" in still and "none yet" in still
    assert "front" in moving and "%" in moving
    assert "front" in after and "█" in after
    assert any("⠀" < character <= "⣿" for character in moving)  # dots of the skeleton
    assert {len(picture.splitlines()) for picture in pictures} == {len(still.splitlines())}


@pytest.mark.parametrize(("loop", "number", "status"), [
    ("forever", signal.SIGINT, 0), ("forever", signal.SIGTERM, 0), ("9999", signal.SIGINT, 130), ("9999", signal.SIGTERM, 143)])
def test_what_was_recognised_until_an_interrupt_is_reported(
    bundle: Path, recording: Path, loop: str, number: signal.Signals, status: int
) -> None:
    words = [sys.executable, "-m", "edgeskel.cli.main", "run", f"replay:{recording}?loop={loop}&speed=0", "--bundle", str(bundle),
             "--engine", "onnxruntime", "--threshold", "0.3", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # ignored in the background
    assert process.stdout is not None and process.stderr is not None
    seen = next((line for line in iter(process.stderr.readline, "") if "front" in line), "")
    process.send_signal(number)
    out, err = process.communicate(timeout=600)
    data = json.loads(out)
    assert process.returncode == status, err
    assert seen and {event["kind"] for event in data["events"]} == {"ended"}
    assert data["frames"] > 0 and data["latency_ms"] and len(data["recognitions"]) >= 1
    assert ("error" in data) == (status != 0)


def test_a_source_that_fails_costs_nothing_that_was_recognised_before(
    capsys: pytest.CaptureFixture[str], bundle: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unplugged(Replay):
        def __iter__(self) -> Iterator[Frame]:
            for frame in super().__iter__():
                if frame.time > 4:
                    raise DeviceError("the camera is gone")
                yield frame

    monkeypatch.setattr("firmware_bridge.open_source", lambda address: Unplugged(read_recording(recording), speed=0))
    words = ["camera:udp", "--bundle", str(bundle), "--engine", "onnxruntime", "--threshold", "0.3"]
    status, data = run(capsys, *words)
    assert status == 1 and data["error"]["seen"] == "the camera is gone"
    assert [event["kind"] for event in data["events"]] == ["ended"]
    assert main(["run", *words]) == 1
    said = capsys.readouterr()
    assert "1 actions and 0 unknown" in said.out and "the camera is gone" in said.err


@pytest.mark.parametrize("room", [64 << 10, 4 << 20])
def test_a_disk_that_becomes_full_costs_nothing_that_was_recognised_before(
    bundle: Path, recording: Path, tmp_path: Path, room: int
) -> None:
    """No more than so many bytes fit into a file of this process: the system itself refuses, in a frame or at the end."""
    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error instead of the end
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    words = ["run", f"replay:{recording}?speed=0", "--bundle", str(bundle), "--engine", "onnxruntime", "--threshold", "0.3",
             "--record", str(tmp_path / "seen.mcap")]
    done = subprocess.run([sys.executable, "-m", "edgeskel.cli.main", *words, "--json"], capture_output=True, text=True,
                          check=False, preexec_fn=limited,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])})
    data = json.loads(done.stdout)
    whole = room > (1 << 20)
    assert (done.returncode, "error" in data) == ((0, False) if whole else (1, True)), done.stderr
    assert data["frames"] > 30 and data["latency_ms"] and "events" in data and "recognitions" in data
    if not whole:
        assert "seen.mcap: File too large" in data["error"]["seen"] and "Traceback" not in done.stderr
        assert 30 < len(read_recording(tmp_path / "seen.mcap").time) <= data["frames"] + 1


def test_a_gap_in_the_recording_ends_the_action_and_not_the_run(
    capsys: pytest.CaptureFixture[str], bundle: Path, tmp_path: Path
) -> None:
    frames = arm_moves([(1.0, 3.0), (4.5, 6.0)], 7.0)
    times = np.array([frame.time + (3600 if frame.time > 2 else 0) for frame in frames])
    save_recording(tmp_path / "gap.npz", np.stack([f.joints for f in frames], axis=1), np.ones((1, len(frames), 20), np.float32),
                   times, topologies.get("kinect-v1"))
    status, data = run(capsys, f"replay:{tmp_path / 'gap.npz'}", "--speed", "0", "--bundle", str(bundle), "--engine", "onnxruntime",
                       "--threshold", "0.3")
    assert status == 0 and [event["kind"] for event in data["events"]] == ["ended"] * 3
    assert data["recognitions"][0]["end"] < 3 < 3600 < data["recognitions"][1]["start"]
