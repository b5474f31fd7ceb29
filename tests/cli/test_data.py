"""``edgeskel data ...`` as a user types it."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel.cli.main import main
from edgeskel.data import synthetic
from firmware_bridge.recording import load_recording


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Any:
    """``run("data", ...)``: exit status and the JSON object that was printed."""

    def call(*words: object) -> tuple[int, dict[str, Any]]:
        capfd.readouterr()
        status = main([*map(str, words), "--json"])
        out = capfd.readouterr().out
        assert out.count("\n") == 1
        return status, json.loads(out)

    return call


@pytest.fixture(scope="module")
def store(datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "sbu"
    assert main(["data", "import", "sbu", str(datasets / "sbu-interaction"), "--out", str(path), "--quiet"]) == 0
    return path


def test_import_reports_what_it_took_and_refused(run: Any, datasets: Path, tmp_path: Path) -> None:
    status, report = run("data", "import", "utkinect", datasets / "utkinect-action3d", "--out", tmp_path / "store")
    assert (status, report["clips"], report["dataset"]) == (0, 199, "utkinect")
    (refused,) = report["refused"]
    assert refused == {"source": "joints/joints_s10_e02.txt#carry", "reason": "its frame range is NaN to NaN"}
    assert len(report["digest"]) == 64


def test_inspect(run: Any, store: Path) -> None:
    status, report = run("data", "inspect", store, "--verify")
    assert status == 0 and report["verified"]
    assert (report["clips"], report["topology"], report["persons"]) == (282, "sbu-15", {"2": 282})
    assert main(["data", "inspect", str(store)]) == 0


def test_split(run: Any, store: Path) -> None:
    status, report = run("data", "split", store, "--fold", 3, "--clips")
    assert status == 0
    assert (report["protocol"], report["fold"], report["folds"]) == ("five-fold", 3, 5)
    assert sum(report[part]["clips"] for part in ("train", "validation", "test")) == 282
    assert len(report["test"]["sources"]) == report["test"]["clips"]
    assert report["repeated"] == 0
    assert main(["data", "split", str(store), "--protocol", "loso"]) == 0


def test_an_unknown_protocol_lists_the_valid_ones(run: Any, store: Path) -> None:
    status, report = run("data", "split", store, "--protocol", "cross-subject")
    assert status == 2 and "five-fold" in report["error"]["expected"]


def test_pick_writes_a_recording_of_several_clips(run: Any, store: Path, tmp_path: Path) -> None:
    status, report = run("data", "pick", store, "--clip", 0, "--clip", 281, "--gap", 1, "--out", tmp_path / "r.npz")
    assert status == 0 and [span["label"] for span in report["spans"]] == ["approaching", "punching"]
    recording = load_recording(tmp_path / "r.npz")
    assert recording.joints.shape[1] == report["frames"] and recording.topology.name == "sbu-15"
    assert run("data", "pick", store, "--clip", 282, "--out", tmp_path / "s.npz")[0] == 2
    assert run("data", "pick", store, "--out", tmp_path / "s.txt")[0] == 2


@pytest.mark.parametrize("kind", ["png", "svg", "gif"])
def test_view_draws(run: Any, store: Path, tmp_path: Path, kind: str) -> None:
    status, report = run("data", "view", store, "--clip", 3, "--out", tmp_path / f"clip.{kind}")
    assert status == 0 and (tmp_path / f"clip.{kind}").stat().st_size > 500
    assert report["label"] == "departing"


def test_view_of_an_unknown_kind(run: Any, store: Path, tmp_path: Path) -> None:
    status, report = run("data", "view", store, "--out", tmp_path / "clip.bmp")
    assert status == 2 and ".png" in report["error"]["expected"]


def test_synth_makes_a_store(run: Any, tmp_path: Path) -> None:
    status, report = run("data", "synth", "--out", tmp_path / "s", "--subjects", 1, "--takes", 1)
    assert status == 0 and report["dataset"] == "synthetic" and report["clips"] >= 12
    assert run("data", "inspect", tmp_path / "s")[1]["clips"] == report["clips"]


def test_a_damaged_file_exits_1_and_a_wrong_dataset_2(run: Any, tmp_path: Path) -> None:
    (tmp_path / "set" / "all_sqe").mkdir(parents=True)
    (tmp_path / "set" / "all_sqe" / "a01_s01_e00_v01.json").write_text("{")
    status, report = run("data", "import", "nw-ucla", tmp_path / "set", "--out", tmp_path / "store", "--strict")
    assert status == 1 and report["error"]["type"] == "CorruptFile"
    status, report = run("data", "import", "nw-ucla", tmp_path / "set", "--out", tmp_path / "store")
    assert status == 1 and "no clip" in report["error"]["seen"] and "a01_s01_e00_v01.json" in report["error"]["seen"]
    status, report = run("data", "import", "nw-ucla2", tmp_path / "set", "--out", tmp_path / "store")
    assert status == 2 and "did you mean 'nw-ucla'" in report["error"]["remedy"]
    assert not (tmp_path / "store").exists()


def test_a_disk_that_is_really_too_small(datasets: Path, tmp_path: Path) -> None:
    """The process may write files of 256 kB at most: the kernel refuses the rest, as a full disk does."""

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18))

    done = subprocess.run(
        [sys.executable, "-m", "edgeskel.cli.main", "data", "import", "sbu", str(datasets / "sbu-interaction"), "--out",
         str(tmp_path / "store"), "--json"], preexec_fn=small, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 1, done.stderr
    assert "large" in json.loads(done.stdout)["error"]["message"].lower()
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_the_middle_of_an_import(datasets: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeskel.cli.main", "data", "import", "nw-ucla", str(datasets / "nw-ucla"), "--out",
         str(tmp_path / "store"), "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # what a shell runs in the background ignores it
    while process.poll() is None and not any(tmp_path.glob(".store.*/joints.bin")):
        pass  # until it is writing
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 130 and "interrupted" in json.loads(out)["error"]["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_refused_recording_is_a_warning_and_a_line_but_no_failure(
    datasets: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "set" / "all_sqe"
    folder.mkdir(parents=True)
    whole = (datasets / "nw-ucla/all_sqe/a01_s01_e00_v01.json").read_bytes()
    (folder / "a01_s01_e00_v01.json").write_bytes(whole)
    (folder / "a02_s01_e00_v01.json").write_bytes(whole[:100])
    words = ["data", "import", "nw-ucla", str(tmp_path / "set"), "--out", str(tmp_path / "store")]
    assert main(words) == 0
    said = capfd.readouterr()
    assert "warning: 1 of 2 recordings were refused" in " ".join(said.err.split())
    assert "1 clips of nw-ucla" in said.out and "refused all_sqe/a02_s01_e00_v01.json: JSONDecodeError" in said.out
    assert main(["data", "inspect", str(tmp_path / "store")]) == 0
    assert "a02_s01_e00_v01.json" in capfd.readouterr().out
    assert main([*words, "--strict"]) == 1


def test_a_picture_without_skeletons_is_wrong_usage(run: Any, store: Path, tmp_path: Path) -> None:
    status, report = run("data", "view", store, "--frames", -3, "--out", tmp_path / "x.svg")
    assert status == 2 and "-3 skeletons" in report["error"]["seen"]
    assert not (tmp_path / "x.svg").exists()


def test_an_import_says_how_it_read_a_path_the_classes_and_what_it_changed(
    run: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    body = synthetic.clip("wave", synthetic.SyntheticBody(), synthetic.Style(), np.random.default_rng(0),
                          camera=synthetic.Camera(noise=0), sensors=()).joints
    body[0, 3:5, 7] = 0
    folder = tmp_path / "a data set of a long name"
    (folder / "wave").mkdir(parents=True)
    (folder / "dataset.toml").write_text('topology = "kinect-v1"\nunits = "m"\naxes = "x left, y up, z forward"\n'
                                         'frame_rate = 30\nfiles = "{label}/{subject}.npz"\n')
    np.savez(folder / "wave" / "s1.npz", joints=body)
    status, report = run("data", "import", "generic", folder, "--out", tmp_path / "store")
    assert status == 0 and report["labels"] == {"wave": 1}
    assert report["notes"][0] == {"text": "read as: label wave, subject s1", "sources": ["wave/s1.npz"], "details": [""]}
    assert report["notes"][1]["details"] == [f"2 of {body.shape[1] * 20}: left_hand"]
    assert main(["data", "import", "generic", str(folder), "--out", str(tmp_path / "store")]) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "1 classes: wave (1)" in said and "note: joints at exactly 0, 0, 0 are taken as missing" in said
    assert main(["data", "inspect", str(tmp_path / "store")]) == 0
    assert "a data set of a long name 1 clips, " in capfd.readouterr().out
    status, report = run("data", "import", "generic", folder, "--out", tmp_path / "store", "--zeros", "seen")
    assert len(report["notes"]) == 1


def test_synth_and_pick_print_text_and_no_python(run: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "synth", "--out", str(tmp_path / "s"), "--subjects", "1", "--takes", "1"]) == 0
    out = capfd.readouterr().out
    assert "20 clips of 20 actions by 1 bodies" in out and "('" not in out and "wave, push" in out
    assert main(["data", "synth", "--sequence", "wave", "sit down", "--out", str(tmp_path / "live.npz")]) == 0
    out = capfd.readouterr().out
    assert "{" not in out and re.search(r"to +\d+\.\d\d s  sit down", out)
    words = ("data", "pick", tmp_path / "s", "--clip", 0, "--clip", 1, "--gap", 1, "--out", tmp_path / "r.npz")
    for who, seen in (("nobody", False), ("still", True)):
        assert run(*words, "--gap-with", who)[0] == 0
        recording = load_recording(tmp_path / "r.npz")
        first = round(run(*words, "--gap-with", who)[1]["spans"][0]["end"] * 30) + 2
        assert bool((recording.confidence[:, first : first + 25] > 0).any()) == seen
