"""Which clips calibrate and which are measured: those of the fold that the model was trained with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgeskel.cli.main import main
from edgeskel.data import Split, Store, StoreWriter, split
from edgeskel.errors import EdgeskelError
from edgeskel.training import record
from export import exporting, windows


class Looked(EdgeskelError):
    """Ends the command when the clips have been chosen."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    from edgeskel import topologies
    from edgeskel.data import synthetic

    path = tmp_path_factory.mktemp("fold") / "store"
    labels = synthetic.actions()[:6]
    with StoreWriter(path, dataset="synthetic", topology=topologies.get("kinect-v1"), labels=labels, rate_hz=30) as writer:
        for subject in range(4):
            for take in synthetic.takes_of(subject, takes=1, seed=0, sensors=(), labels=labels):
                writer.add(take.clip)
    return Store.open(path)


@pytest.fixture
def told(store: Store) -> dict[str, Any]:
    return {"dataset": "synthetic", "data_digest": store.digest, "split": split(store, "loso", fold=2, validation=0).name}


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[Split]:
    found: list[Split] = []

    def look(store: Store, parts: Split, *_: Any) -> None:
        found.append(parts)
        raise Looked("clips chosen")

    monkeypatch.setattr(exporting, "calibration_windows", look)
    monkeypatch.setattr(windows, "test_windows", look)
    return found


def test_export_calibrates_with_the_training_part_of_the_models_own_fold(
    store: Store, told: dict[str, Any], chosen: list[Split], checkpoint: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(checkpoint, tmp_path / "model")
    (tmp_path / "model" / record.FILE).write_text(json.dumps(told))
    words = ["export", str(tmp_path / "model"), "--calibration", str(store.path), "--out", str(tmp_path / "b"), "--json"]
    assert main(words) == 1 and "clips chosen" in capsys.readouterr().out
    assert chosen[0].name == "loso, fold 2 of 4, no validation part"
    assert main([*words, "--fold", "1"]) == 2
    assert "trained with" in json.loads(capsys.readouterr().out)["error"]["seen"]
    (tmp_path / "model" / record.FILE).write_text("{")
    assert main(words) == 1 and record.FILE in json.loads(capsys.readouterr().out)["error"]["seen"]
    (tmp_path / "model" / record.FILE).unlink()
    assert main([*words, "--protocol", "loso", "--fold", "1"]) == 1
    assert chosen[1].protocol == "loso" and chosen[1].fold == 1


def test_verify_measures_the_test_part_of_the_models_own_fold(
    store: Store, told: dict[str, Any], chosen: list[Split], bundle_folder: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained = record.Training.of(told)
    monkeypatch.setattr(record.Training, "of_bundle", lambda manifest: trained)
    words = ["verify", str(bundle_folder), "--data", str(store.path), "--json"]
    assert main(words) == 1 and "clips chosen" in capsys.readouterr().out
    assert chosen[0].protocol == "loso" and chosen[0].fold == 2
    assert main([*words, "--fold", "1"]) == 2
    assert "trained with" in json.loads(capsys.readouterr().out)["error"]["seen"]


def test_a_bundle_says_of_its_training_what_its_checkpoint_did(told: dict[str, Any]) -> None:
    assert record.Training.of_bundle({"data": {"training": told}}) == record.Training.of(told)
    assert record.Training.of_bundle({}) is None
