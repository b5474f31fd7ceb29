"""``edgeskel learn``, ``labels`` and ``run --learned`` from the outside, on recordings of UTD-MHAD."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel.cli.main import main
from edgeskel.models import folder_of, from_pretrained
from edgeskel.runtime.segmentation import SEGMENTER, read_segmenter
from firmware_bridge.recording import save_recording
from tests.stores import without

MODEL = "edge-utd-mhad-22"
TRAIN, TEST = "1,3,5,7", "2,4,6,8"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def files(utd_store: Any, here: Path) -> Callable[..., list[str]]:
    """``files(label, subjects, count)``: recordings of that action, as files."""

    def write(label: str, subjects: str, count: int) -> list[str]:
        names = []
        for index in range(len(utd_store)):
            if utd_store.labels[int(utd_store.index["label"][index])] != label:
                continue
            if utd_store.index["subject"][index].decode() not in subjects.split(","):
                continue
            clip = utd_store[index]
            names.append(f"{label}-{index}.npz")
            save_recording(here / names[-1], clip.joints, clip.confidence, clip.time, utd_store.topology)
            if len(names) == count:
                break
        return names

    return write


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    status = main([*words, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_learned_from_files_and_recognised_live(capsys: pytest.CaptureFixture[str], here: Path,
                                                files: Callable[..., list[str]], utd_store: Any) -> None:
    status, data = call(capsys, "learn", "deep squat", "--from", *files("squat", TRAIN, 5), "--model", MODEL)
    assert status == 0 and data["taken"] == data["total"] == 5
    assert data["next"] == f"edgeskel run SOURCE --model {MODEL} --learned learned.sqlite"
    status, data = call(capsys, "labels")
    assert status == 0 and data["labels"] == [{"label": "deep squat", "demonstrations": 5, "kept": 5}]

    from tests.streams import played

    squats = [utd_store[index] for index in range(len(utd_store)) if utd_store.index["subject"][index] == b"2"
              and utd_store.labels[int(utd_store.index["label"][index])] == "squat"]
    frames, _ = played(squats, np.random.default_rng(0))
    save_recording(here / "live.npz", np.stack([frame.joints for frame in frames], 1),
                   np.stack([frame.confidence for frame in frames], 1), np.array([frame.time for frame in frames]),
                   utd_store.topology)
    live = ("run", "replay:live.npz", "--speed", "0", "--model", MODEL)
    _, before = call(capsys, *live)
    assert "deep squat" not in {action["label"] for action in before["recognitions"]}
    for learner in ("whitened-cosine", "streaming-lda", "nearest-mean", "replayed-head"):
        status, after = call(capsys, *live, "--learned", "learned.sqlite", "--learner", learner)
        assert status == 0
        assert [action["label"] for action in after["recognitions"]].count("deep squat") >= len(squats) - 1


def test_enrolled_from_a_live_source(capsys: pytest.CaptureFixture[str], here: Path, utd_store: Any) -> None:
    from tests.streams import played

    clips = [utd_store[index] for index in range(len(utd_store)) if utd_store.index["subject"][index] == b"1"
             and utd_store.labels[int(utd_store.index["label"][index])] == "squat"]
    frames, _ = played(clips, np.random.default_rng(0))
    save_recording(here / "live.npz", np.stack([frame.joints for frame in frames], 1),
                   np.stack([frame.confidence for frame in frames], 1), np.array([frame.time for frame in frames]),
                   utd_store.topology)
    status = main(["learn", "deep squat", "--from", "replay:live.npz?speed=0", "--demonstrations", "3", "--model", MODEL])
    output = capsys.readouterr()
    assert status == 0
    assert "3 of 3 demonstrations taken" in output.out
    assert "1 of 3: stand still, then perform 'deep squat'" in output.err and "3 of 3" in output.err


def test_learn_says_how_well_an_action_is_recognised_and_warns_of_demonstrations_of_several(
        capsys: pytest.CaptureFixture[str], files: Callable[..., list[str]]) -> None:
    status, good = call(capsys, "learn", "deep squat", "--from", *files("squat", TRAIN, 5), "--model", MODEL)
    assert status == 0 and good["warnings"] == [] and not good["another_helps"]
    assert good["review"]["recognised"] == 5 and good["review"]["mistaken_for"] == {}
    several = [files(label, TRAIN, 1)[0] for label in ("bowling", "catch", "draw_triangle", "wave", "lunge")]
    status, mixed = call(capsys, "learn", "anything", "--from", *several, "--model", MODEL)
    assert status == 0 and mixed["taken"] == 5
    assert "do not resemble each other" in mixed["warnings"][0]
    assert mixed["review"]["recognised"] <= 1 and mixed["review"]["resemblance"] < good["review"]["resemblance"]
    assert not mixed["another_helps"]  # more of the same would not mend it
    assert {"wave", "lunge"} <= set(mixed["review"]["mistaken_for"])
    odd = [*files("throw", TRAIN, 4), *files("bowling", TRAIN, 2)[1:]]
    status, one = call(capsys, "learn", "hurl", "--from", *odd, "--model", MODEL)
    assert status == 0 and any("demonstration 5 of 'hurl' does not resemble the others" in line for line in one["warnings"])


def test_what_cannot_be_learned(capsys: pytest.CaptureFixture[str], here: Path, files: Callable[..., list[str]],
                                utd_store: Any) -> None:
    good = files("squat", TRAIN, 2)
    clip = utd_store[0]
    save_recording(here / "short.npz", clip.joints[:, :5], clip.confidence[:, :5], clip.time[:5], utd_store.topology)
    save_recording(here / "empty.npz", clip.joints, np.zeros_like(clip.confidence), clip.time, utd_store.topology)
    (here / "torn.npz").write_bytes((here / good[0]).read_bytes()[:500])
    status, data = call(capsys, "learn", "deep squat", "--from", good[0], "short.npz", "empty.npz", "torn.npz", good[0],
                        good[1], "--model", MODEL)
    assert status == 1 and data["taken"] == 2
    reasons = [row.get("reason", "") for row in data["demonstrations"]]
    for reason, words in zip(reasons, ("", "5 frames", "somebody is seen in 0", "torn.npz", "already", ""), strict=True):
        assert words in reason and bool(words) == bool(reason)
    for words, message in (
        (("learn", "wave", "--from", good[0]), "knows 'wave' itself"),
        (("learn", "deep squat", "--from", good[0]), "--more"),
        (("learn", "other", "--from", good[0], "--more"), "not learned yet"),
        (("learn", "other", "--from", good[0], "absent.npz"), "no such file"),
        (("learn", "other", "--from", good[0], "--demonstrations", "11"), "1 to 10"),
        (("learn", "other", "--from", *good * 6), "12 files"),
    ):
        status, data = call(capsys, *words, "--model", MODEL)
        assert status == 2 and message in data["error"]["message"]
    status, data = call(capsys, "learn", "other", "--from", good[0], "--model", "edge-utd-mhad")
    assert status == 1 and data["error"]["type"] == "ModelError"


def test_labels_are_renamed_removed_and_brought_back(capsys: pytest.CaptureFixture[str],
                                                     files: Callable[..., list[str]]) -> None:
    for name, action in (("one", "squat"), ("two", "bowling")):
        assert call(capsys, "learn", name, "--from", *files(action, TRAIN, 2), "--model", MODEL)[0] == 0

    def labels(*words: str) -> list[str]:
        status, data = call(capsys, "labels", *words)
        assert status == 0
        return [row["label"] for row in data["labels"]]

    assert labels("rename", "one", "three") == ["two", "three"]
    assert labels("remove", "two") == ["three"]
    assert labels("undo") == ["two", "three"]
    assert labels("undo") == ["one", "two"]
    assert labels("redo") == ["two", "three"]
    status, data = call(capsys, "labels", "remove", "tree")
    assert status == 2 and "did you mean 'three'" in data["error"]["message"]
    status, data = call(capsys, "labels", "erase", "--joints")
    assert data["joints_erased"] == 4 and data["changes"] == []
    status, data = call(capsys, "labels", "--learned", "absent.sqlite")
    assert status == 2 and "edgeskel learn" in data["error"]["remedy"]


def test_from_one_device_to_another_and_into_a_recogniser(capsys: pytest.CaptureFixture[str], here: Path,
                                                          files: Callable[..., list[str]]) -> None:
    call(capsys, "learn", "squat", "--from", *files("squat", TRAIN, 3), "--model", MODEL)
    assert call(capsys, "labels", "export", "sent.sqlite")[0] == 0
    status, data = call(capsys, "labels", "import", "sent.sqlite", "--learned", "other.sqlite", "--model", MODEL)
    assert status == 0 and data["taken"] == {"squat": 3}
    status, data = call(capsys, "labels", "import", "sent.sqlite", "--learned", "kept.sqlite")  # whatever their model is
    assert status == 0 and data["taken"] == {"squat": 3}
    for verb in (("to-store", "store"), ("retrain", "grown")):
        assert call(capsys, "labels", *verb, "--learned", "gone.sqlite", "--model", MODEL)[0] == 2
        assert not Path("gone.sqlite").exists() and not Path(verb[1]).exists()
    status, data = call(capsys, "labels", "to-store", "store", "--learned", "other.sqlite", "--model", MODEL)
    assert status == 0 and data["labels"] == ["squat"] and data["demonstrations"] == 3
    status, data = call(capsys, "labels", "retrain", "grown", "--learned", "other.sqlite", "--model", MODEL)
    assert status == 0 and data["labels"][-1] == "squat"
    # How live frames are cut for a model goes with what grows out of it.
    shutil.copytree(folder_of(MODEL), "own")
    Path("own", SEGMENTER).write_text(json.dumps({"start": 0.5, "stop": 0.2, "still_s": 1.0, "longest_s": 9.0}))
    assert call(capsys, "labels", "retrain", "slow", "--learned", "other.sqlite", "--model", "own")[0] == 0
    assert read_segmenter(Path("slow")) == read_segmenter(Path("own"))
    status, data = call(capsys, "learn", "bowling", "--from", *files("bowling", TRAIN, 3), "--model", "grown",
                        "--learned", "next.sqlite")
    assert status == 0
    status, data = call(capsys, "labels", "import", "sent.sqlite", "--learned", "next.sqlite")
    assert status == 2 and "--model" in data["error"]["remedy"]
    # What was learned before stands on the old model; the new one knows the action itself.
    status, data = call(capsys, "labels", "import", "sent.sqlite", "--learned", "next.sqlite", "--model", "grown")
    assert status == 0 and data["taken"] == {} and data["known"] == ["squat"]


def test_the_last_layers_learn_on_what_a_bundle_brings(capsys: pytest.CaptureFixture[str], here: Path,
                                                       files: Callable[..., list[str]], utd_store: Any) -> None:
    pytest.importorskip("executorch", reason="pip install 'edgeskel[export-mobile]'")
    known = from_pretrained(MODEL).config.labels
    without(utd_store, [label for label in utd_store.labels if label not in known], here / "store")
    (here / "board.toml").write_text('extends = "host"\nartifacts = ["onnx-fp32"]\n')  # the others take minutes and are not used
    status, data = call(capsys, "export", MODEL, "--target", "board.toml", "--latent-replay", "--calibration", "store", "--out",
                        "bundle")
    assert status == 0, data
    assert data["latent_replay"]["replayed"] == 4 * 22
    status, data = call(capsys, "verify", "bundle")
    assert status == 0 and "latent-replay" in json.dumps(data)
    status, data = call(capsys, "learn", "deep squat", "--from", *files("squat", TRAIN, 3), "--bundle", "bundle", "--deeper")
    assert status == 0 and data["taken"] == 3
    squat = files("squat", TEST, 1)[0]
    status, data = call(capsys, "run", f"replay:{squat}", "--speed", "0", "--bundle", "bundle", "--learned", "learned.sqlite",
                        "--learner", "latent-replay", "--threshold", "0.3")
    assert status == 0 and data["engine"] == "latent-replay"
    assert [action["label"] for action in data["recognitions"]] == ["deep squat"]
    content = bytearray((here / "bundle" / "latent" / "replay.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (here / "bundle" / "latent" / "replay.npz").write_bytes(content)
    status, data = call(capsys, "verify", "bundle")
    assert status != 0 and "replay.npz" in str(data)


def test_the_last_layers_need_a_bundle_that_has_them(capsys: pytest.CaptureFixture[str], here: Path,
                                                     files: Callable[..., list[str]]) -> None:
    status, data = call(capsys, "learn", "deep squat", "--from", *files("squat", TRAIN, 1), "--model", MODEL, "--deeper")
    assert status == 2 and "--latent-replay" in data["error"]["expected"]
    status, data = call(capsys, "export", MODEL, "--target", "host", "--latent-replay", "--out", "bundle")
    assert status == 2 and "--calibration" in data["error"]["expected"]
