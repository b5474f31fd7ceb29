"""``edgeskel evaluate`` measures on clips that the recogniser has not seen, or says that it does not."""

from __future__ import annotations

import json

import pytest
import torch

from edgeskel.cli.main import main
from edgeskel.data import split
from edgeskel.models import create


@pytest.fixture
def folder(six, tmp_path):
    """``folder("fold-2", protocol, fold)``: an untrained recogniser that says it was trained with that split."""

    def make(name, protocol="loso", fold=2, **more):
        torch.manual_seed(0)
        model = create("edge", topology=six.topology, labels=six.labels, widths=(8, 16), regions=(0, 4), blocks=(1, 1),
                       groups=2, source_frames=32, frames=16)  # fmt: skip
        model.eval().save_pretrained(tmp_path / name)
        parts = split(six, protocol, fold=fold, validation=0)
        run = {"recogniser": "edge", "dataset": six.dataset, "data_digest": six.digest, "split": parts.name, **more}
        (tmp_path / name / "run.json").write_text(json.dumps(run))
        return tmp_path / name

    return make


@pytest.fixture
def evaluate(six, capsys):
    def run(*words):
        status = main(["evaluate", *map(str, words), "--data", str(six.path), "--quiet", "--json"])
        return status, json.loads(capsys.readouterr().out)

    return run


def test_its_own_protocol_and_fold_are_the_default(six, folder, evaluate):
    status, found = evaluate(folder("a"))
    assert status == 0 and found["split"].startswith("loso, fold 2 of 8") and found["clips_seen_in_training"] == 0
    assert found["clips"] == len(split(six, "loso", fold=2).test)


@pytest.mark.parametrize("words", [("--fold", "3"), ("--protocol", "cross-subject"), ("--protocol", "k-fold")])
def test_a_split_that_holds_clips_of_its_training_is_refused_unless_told(six, folder, evaluate, words):
    model = folder("a")
    status, found = evaluate(model, *words)
    assert status == 2 and "was trained with" in found["error"]["seen"] and "own split" in found["error"]["remedy"]
    status, found = evaluate(model, *words, "--overlap")
    assert status == 0 and 0 < found["clips_seen_in_training"] <= found["clips"]


def test_folds_are_each_measured_on_their_own_and_reported_together(six, folder, evaluate, tmp_path):
    for fold in range(8):
        folder(f"fold-{fold}", fold=fold)
    page = tmp_path / "report.html"
    status, found = evaluate(tmp_path, "--fold", "all", "--report", page)
    assert status == 0 and found["clips"] == len(six)
    assert [row["split"].split(",")[1] for row in found["folds"]] == [f" fold {fold} of 8" for fold in range(8)]
    assert {row["clips_seen_in_training"] for row in found["folds"]} == {0}
    assert found["report"] == str(page) and "all 8 folds together" in page.read_text()
    status, found = evaluate(tmp_path, "--fold", "all", "--protocol", "k-fold")
    assert status == 2 and "trained with" in found["error"]["seen"]


def test_a_checkpoint_without_curves_is_reported_and_a_damaged_record_is_named(folder, evaluate, tmp_path):
    model, page = folder("a", seed=3), tmp_path / "report.html"
    assert evaluate(model, "--report", page)[0] == 0
    assert "Seed" in page.read_text()
    (model / "run.json").write_text('{"history": 1}')
    status, found = evaluate(model, "--report", page)
    assert status == 1 and "history" in found["error"]["seen"]


def test_where_nothing_is_recorded_it_says_so(folder, evaluate):
    model = folder("a")
    (model / "run.json").unlink()
    status, found = evaluate(model)
    assert status == 0 and found["clips_seen_in_training"] is None and found["split"].startswith("cross-subject")


def test_answers_that_are_not_finite_are_no_figures(six, folder):
    from edgeskel.errors import ModelError
    from edgeskel.models import from_pretrained
    from edgeskel.training import evaluate as measure

    model = from_pretrained(folder("a"))
    with torch.no_grad():
        model.classifier.bias[0] = float("nan")
    with pytest.raises(ModelError, match="12 of 12 answers are not finite, the first to clip 0"):
        measure(model, six, range(12))
