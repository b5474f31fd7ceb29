"""``edgeskel evaluate`` measures on clips that the recogniser has not seen, or says that it does not."""

from __future__ import annotations

import csv
import json
import sys

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


def test_answers_are_written_clip_by_clip_for_other_tools(six, folder, evaluate, tmp_path):
    path = tmp_path / "answers.csv"
    status, found = evaluate(folder("a"), "--predictions", path)
    assert status == 0 and found["predictions"] == str(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    test = split(six, "loso", fold=2).test
    assert [row["clip"] for row in rows] == six.texts("source")[test].tolist()
    assert [row["label"] for row in rows] == [six.labels[k] for k in six.index["label"][test]]
    for row in rows:
        scores = {label: float(row[f"score_{label}"]) for label in six.labels}
        assert sum(scores.values()) == pytest.approx(1, abs=1e-4) and row["predicted"] == max(scores, key=scores.get)
    assert found["top1"] == pytest.approx(100 * sum(row["label"] == row["predicted"] for row in rows) / len(rows), abs=1e-3)
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install 'edgeskel[tables]'")
    assert evaluate(folder("a"), "--predictions", tmp_path / "answers.parquet")[0] == 0
    table = parquet.read_table(tmp_path / "answers.parquet").to_pydict()
    assert table["clip"] == [row["clip"] for row in rows] and table["predicted"] == [row["predicted"] for row in rows]
    assert table[f"score_{six.labels[0]}"] == pytest.approx([float(row[f"score_{six.labels[0]}"]) for row in rows])


def test_answers_of_all_folds_are_written_together(six, folder, evaluate, tmp_path):
    for fold in range(8):
        folder(f"fold-{fold}", fold=fold)
    assert evaluate(tmp_path, "--fold", "all", "--predictions", tmp_path / "answers.csv")[0] == 0
    lines = (tmp_path / "answers.csv").read_text("utf-8").splitlines()
    assert {line.split(",")[0] for line in lines[1:]} == set(six.texts("source").tolist())


def test_answers_that_cannot_be_written_are_refused_before_anything_is_measured(folder, evaluate, tmp_path, monkeypatch):
    status, found = evaluate(folder("a"), "--predictions", tmp_path / "answers.xlsx")
    assert status == 2 and ".csv or .parquet" in found["error"]["expected"]
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    status, found = evaluate(folder("a"), "--predictions", tmp_path / "answers.parquet")
    assert status == 2 and found["error"]["remedy"] == "run: pip install 'edgeskel[tables]'"
    assert not list(tmp_path.glob("answers*"))
