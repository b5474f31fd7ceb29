"""``edgeskel fuse``: weights from clips that nobody learned from, a folder like any other, and a teacher."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel.cli.main import main
from edgeskel.data import split
from edgeskel.models import count_parameters, from_pretrained
from edgeskel.training import TrainConfig, evaluate, train
from edgeskel.training.fusion import fit_weights, log_loss
from tests.training.conftest import TINY

HELD_OUT = "subject:7"


def answers_of(strength: float, truth: np.ndarray, seed: int, classes: int = 4) -> np.ndarray:
    """Probabilities of a recogniser whose logits are noise, and more for the right class."""
    logits = np.random.default_rng(seed).normal(size=(len(truth), classes))
    logits[np.arange(len(truth)), truth] += strength
    shares = np.exp(logits)
    return (shares / shares.sum(1, keepdims=True)).astype(np.float32)


TRUTH = np.random.default_rng(0).integers(0, 4, 300)


def test_the_better_recogniser_counts_more_and_noise_does_not_count() -> None:
    good, fair, noise = answers_of(3, TRUTH, 1), answers_of(1.5, TRUTH, 2), answers_of(0, TRUTH, 3)
    weights = fit_weights([good, fair, noise], TRUTH)
    assert weights[0] > weights[1] > 0.2 and weights[2] < 0.15
    fused = log_loss([good, fair, noise], weights, TRUTH)
    assert fused < min(log_loss([good, fair, noise], [1 / 3] * 3, TRUTH), log_loss([good], [1], TRUTH))


def test_a_recogniser_that_points_the_wrong_way_is_left_out() -> None:
    assert fit_weights([answers_of(2, TRUTH, 1), answers_of(-2, TRUTH, 2)], TRUTH)[1] == 0


def test_two_that_say_the_same_share_the_weight() -> None:
    one = answers_of(2, TRUTH, 1)
    first, second = fit_weights([one, one], TRUTH)
    assert first == pytest.approx(second, abs=1e-3)


def test_recognisers_that_are_never_wrong_keep_finite_and_equal_weights() -> None:
    right = np.eye(4, dtype=np.float32)[TRUTH]
    assert fit_weights([right, right, right], TRUTH) == pytest.approx([1 / 3] * 3, abs=1e-3)


@pytest.fixture(scope="module")
def members(six: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same small network on joints and on bones, trained for seconds."""
    folder = tmp_path_factory.mktemp("members")

    def make(stream: str) -> str:
        settings = (*TINY, f'streams=["{stream}"]', "learning_rate=0.01", "average=0.9")
        train(TrainConfig(data=six.path, out=folder / stream, epochs=12, validation=HELD_OUT, device="cpu", settings=settings))
        return str(folder / stream)

    return {stream: make(stream) for stream in ("joint", "bone")}


@pytest.fixture(scope="module")
def fused(members: dict[str, str], six: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fused") / "both"
    assert main(["fuse", *members.values(), "--data", str(six.path), "--out", str(out), "--quiet"]) == 0
    return out


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    def run(*words: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        status = main([*words, "--json"])
        return status, json.loads(capsys.readouterr().out)

    return run


def test_the_folder_is_a_checkpoint_that_says_what_it_was_made_of(fused: Path, members: dict[str, str], six: Any) -> None:
    parts = split(six, validation=HELD_OUT)
    found = evaluate(from_pretrained(fused), six, parts.validation)
    run = json.loads((fused / "run.json").read_text())
    assert run["recogniser"] == "fused" and run["split"] == parts.name and run["validation"] == found.figures()
    fusion = json.loads((fused / "fusion.json").read_text())
    assert fusion == run["fusion"] and fusion["unseen_in_training"]
    assert [one["name"] for one in fusion["members"]] == list(members.values())
    for one, stream in zip(fusion["members"], members, strict=True):
        alone = evaluate(from_pretrained(members[stream]), six, parts.validation)
        assert one["streams"] == [stream] and one["validation_top1"] == alone.top1
    right = found.probabilities[np.arange(len(found.truth)), found.truth]
    assert fusion["validation_log_loss"] == pytest.approx(-np.log(right).mean(), abs=1e-5)
    assert fusion["validation_log_loss"] <= min(one["validation_log_loss"] for one in fusion["members"])
    card = (fused / "README.md").read_text()
    assert f"weight {fusion['members'][0]['weight']:.3f}" in card and "found on the validation part" in card
    assert (fused / "embedding.npz").is_file() and (fused / "segmenter.json").is_file()


def test_it_is_measured_by_the_split_of_its_members(fused: Path, six: Any, told: Callable[..., Any]) -> None:
    status, found = told("evaluate", str(fused), "--data", str(six.path))
    assert status == 0 and found["clips_seen_in_training"] == 0 and found["top1"] > 40, "chance is 17"
    status, refused = told("evaluate", str(fused), "--data", str(six.path), "--protocol", "loso", "--fold", "0")
    assert status == 2 and "was trained with" in refused["error"]["message"]


def test_one_small_recogniser_learns_from_it(fused: Path, config: Callable[..., TrainConfig]) -> None:
    student = train(config(teachers=(str(fused),), validation=HELD_OUT, epochs=2, settings=("distill=1.0",)))
    assert student.recogniser.name == "edge" and student.run["recipe"]["method"] == "distillation"
    assert student.run["history"][-1]["loss"] < student.run["history"][0]["loss"]  # of the teacher's answers alone
    assert count_parameters(student.recogniser) < 0.7 * count_parameters(from_pretrained(fused))


def test_weights_may_be_given(members: dict[str, str], six: Any, tmp_path: Path, told: Callable[..., Any]) -> None:
    words = (*members.values(), "--data", str(six.path), "--out", str(tmp_path / "out"))
    status, found = told("fuse", *words, "--weights", "0.25", "0")
    assert status == 0 and found["weights_from"] == "given" and [one["weight"] for one in found["members"]] == [0.25, 0]
    assert len(from_pretrained(tmp_path / "out").config.members) == 1  # type: ignore[attr-defined]


def test_a_member_without_a_record_leaves_open_what_was_learned_from(members: dict[str, str], six: Any, tmp_path: Path,
                                                                     told: Callable[..., Any]) -> None:
    shutil.copytree(members["bone"], tmp_path / "bone", ignore=shutil.ignore_patterns("run.json", "training"))
    words = (members["joint"], str(tmp_path / "bone"), "--data", str(six.path), "--out", str(tmp_path / "out"))
    status, found = told("fuse", *words)
    assert status == 0 and found["unseen_in_training"] is None and "not known" in (tmp_path / "out" / "README.md").read_text()
    assert told("evaluate", str(tmp_path / "out"), "--data", str(six.path))[1]["clips_seen_in_training"] is None


@pytest.mark.parametrize(("words", "seen"), [
    (("--validation", "subject:5"), "of that validation part"),
    (("--validation", "0"), "holds out no clips"),
    (("--weights", "1"), "1 weights for 2"),
])
def test_what_would_not_be_honest_is_refused(members: dict[str, str], six: Any, tmp_path: Path, told: Callable[..., Any],
                                             words: tuple[str, ...], seen: str) -> None:
    status, refused = told("fuse", *members.values(), "--data", str(six.path), "--out", str(tmp_path / "out"), *words)
    assert status == 2 and seen in refused["error"]["message"] and not (tmp_path / "out").exists()


def test_one_alone_is_not_fused(members: dict[str, str], six: Any, tmp_path: Path, told: Callable[..., Any]) -> None:
    status, refused = told("fuse", members["joint"], "--data", str(six.path), "--out", str(tmp_path / "out"))
    assert status == 2 and refused["error"]["expected"] == "at least two"


def test_a_members_folder_is_not_replaced(members: dict[str, str], six: Any, told: Callable[..., Any]) -> None:
    status, _ = told("fuse", *members.values(), "--data", str(six.path), "--out", members["joint"])
    assert status == 2 and from_pretrained(members["joint"]).name == "edge"


def test_labels_of_another_store_are_refused(members: dict[str, str], utd_store: Any, tmp_path: Path,
                                             told: Callable[..., Any]) -> None:
    status, refused = told("fuse", *members.values(), "--data", str(utd_store.path), "--out", str(tmp_path / "out"))
    assert status == 1 and refused["error"]["type"] == "LabelMismatch" and not (tmp_path / "out").exists()
