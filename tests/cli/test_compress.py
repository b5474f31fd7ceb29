"""``edgeskel compress``: what it writes loads, tells the truth about itself, and is refused without recordings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeskel.cli import compress
from edgeskel.cli.main import main
from edgeskel.data import Store, StoreWriter, split
from edgeskel.models import count_parameters, create, from_pretrained
from edgeskel.training import record


@pytest.fixture(scope="module")
def store(utd_store: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of UTD-MHAD, one take of each subject: 24 recorded clips."""
    path = tmp_path_factory.mktemp("compress") / "store"
    seen = set()
    with StoreWriter(path, dataset="utd-mhad", topology=utd_store.topology, labels=utd_store.labels[:3],
                     rate_hz=utd_store.rate_hz) as out:
        for number, row in enumerate(utd_store.index):
            key = (int(row["label"]), bytes(row["subject"]))
            if key[0] < 3 and key not in seen:
                seen.add(key)
                out.add(utd_store[number])
    return path


@pytest.fixture(scope="module")
def model(utd_store: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("compress") / "model"
    create("edge", topology=utd_store.topology, labels=utd_store.labels[:3], widths=(16, 24), regions=(0, 6),
           blocks=(1, 1), source_frames=64, frames=32, groups=2).eval().save_pretrained(folder)
    (folder / "README.md").write_text("# A card\n")
    return folder


@pytest.fixture
def trained(model: Path, store: Path, tmp_path: Path) -> Callable[..., Path]:
    """``trained(protocol, fold, validation)``: the model, with a record that it was trained with that split."""

    def make(protocol: str = "cross-subject", fold: int = 0, validation: str = "0") -> Path:
        folder = tmp_path / "trained"
        shutil.copytree(model, folder)
        opened = Store.open(store)
        parts = split(opened, protocol, fold=fold, validation=validation)
        told = {"recogniser": "edge", "dataset": opened.dataset, "data_digest": opened.digest, "split": parts.name}
        (folder / record.FILE).write_text(json.dumps(told))
        return folder

    return make


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    status = main(["compress", *words, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_the_table_and_the_checkpoint_agree(model: Path, store: Path, tmp_path: Path,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small"
    status, found = run(capsys, str(model), "--data", str(store), "--out", str(out), "--ratio", "0.25")
    assert status == 0
    before, after = found["rows"]
    small = from_pretrained(out)
    assert after["parameters"] == count_parameters(small) < before["parameters"]
    assert small.config.low_rank == found["ranks"]
    assert {"macs", "bytes", "validation_top1", "test_top1", "median_ms"} <= after.keys()
    assert json.loads((out / "compression.json").read_text())["rows"] == found["rows"]
    card = (out / "README.md").read_text()
    assert found["unseen_in_training"] is None and "trained with these clips is not known" in card
    assert card.startswith("# A card") and f"{after['parameters']:,}" in card


def test_the_rank_is_chosen_on_the_validation_part(model: Path, store: Path, tmp_path: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    status, found = run(capsys, str(model), "--data", str(store), "--out", str(tmp_path / "small"), "--drop", "100")
    assert status == 0
    tried = [row["saving"] for row in found["tried"]]  # whatever it loses is allowed, so the first that is possible will do
    assert tried == [found["saving"]] and found["saving"] > 0.2
    assert "validation" in found["split"]


def test_weights_alone_need_no_recordings_and_all_else_does(model: Path, tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    status, found = run(capsys, str(model), "--method", "plain", "--energy", "0.8", "--out", str(tmp_path / "a"))
    assert status == 0 and "test_top1" not in found["rows"][0]
    for words in (["--ratio", "0.3"], ["--method", "plain"], ["--method", "plain", "--ratio", "0.3", "--int8"]):
        status, found = run(capsys, str(model), *words, "--out", str(tmp_path / "b"))
        assert status == 2 and "--data" in found["error"]["expected"]
        assert not (tmp_path / "b").exists()


def test_fine_tuning_trains_the_factors(model: Path, store: Path, tmp_path: Path,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small"
    status, found = run(capsys, str(model), "--data", str(store), "--out", str(out), "--ratio", "0.25",
                        "--fine-tune", "1", "--threads", "1")
    assert status == 0
    assert [row["stage"] for row in found["rows"]] == ["before", "low rank", "fine-tuned"]
    assert found["rows"][1]["parameters"] == found["rows"][2]["parameters"]
    assert from_pretrained(out).config.low_rank == found["ranks"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small"]  # nothing of the work is left beside it


def test_where_nothing_was_held_out_the_saving_is_fixed_and_training_clips_are_called_so(
    trained: Callable[..., Path], store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, model = tmp_path / "small", trained()
    status, found = run(capsys, str(model), "--data", str(store), "--out", str(out))
    assert status == 0
    assert found["unseen_in_training"] is True and "is not known" not in (out / "README.md").read_text()
    assert found["saving"] == compress.SAVING and found["chosen"].startswith("fixed") and found["tried"] == []
    for row in found["rows"]:
        assert "validation_top1" not in row and {"training_top1", "test_top1"} <= row.keys()
    assert "| training clips top-1 |" in (out / "README.md").read_text()
    status, found = run(capsys, str(model), "--data", str(store), "--out", str(tmp_path / "b"), "--validation", "0.25")
    assert status == 2 and "trained with 3 of the 3 clips of that validation part" in found["error"]["seen"]
    status, found = run(capsys, str(model), "--data", str(store), "--out", str(tmp_path / "b"), "--protocol", "loso")
    assert status == 2 and "trained with 3 of the 3 clips of that test part" in found["error"]["seen"]


def test_its_own_fold_and_validation_part_are_the_default(
    trained: Callable[..., Path], store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[tuple[str, ...]] = []
    clips_of = compress.training_clips

    def watched(*given: Any) -> Any:
        clips = clips_of(*given)
        looked.append(clips.sources)
        return clips

    monkeypatch.setattr(compress, "training_clips", watched)
    status, found = run(capsys, str(trained("loso", 2, "subject:1")), "--data", str(store), "--out",
                        str(tmp_path / "small"), "--fine-tune", "1", "--threads", "1", "--drop", "100")
    assert status == 0
    assert found["split"] == "loso, fold 2 of 8, validation subject:1" and found["chosen"] == "on the validation part"
    subjects = {source.split("_")[1] for source in looked[0]}
    assert subjects == {f"s{number}" for number in (2, 4, 5, 6, 7, 8)}, "neither the tested nor the held-out subject"
    told = record.read(tmp_path / "small")
    assert told["split"] == found["split"] and told["clips"] == {"train": 18, "validation": 3}


def test_an_unfinished_fine_tuning_is_taken_up_by_its_own_command_only(
    model: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeskel.training.module import TrainingModule

    def words(ratio: str, epochs: str = "2") -> list[str]:
        return [str(model), "--data", str(store), "--out", str(tmp_path / "small"), "--ratio", ratio, "--fine-tune", epochs,
                "--threads", "1"]

    step = TrainingModule.training_step

    def interrupted(self: Any, batch: Any, index: int) -> Any:
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", interrupted)
        assert run(capsys, *words("0.3"))[0] == 130
    for other, name in ((words("0.1"), "ranks"), (words("0.3", "3"), "epochs")):
        status, found = run(capsys, *other)
        assert status == 2 and name in found["error"]["seen"] and "--restart" in found["error"]["remedy"]
        assert not (tmp_path / "small").exists()
    steps: list[int] = []

    def counted(self: Any, batch: Any, index: int) -> Any:
        steps.append(self.current_epoch)
        return step(self, batch, index)

    monkeypatch.setattr(TrainingModule, "training_step", counted)
    assert run(capsys, *words("0.3"))[0] == 0
    assert set(steps) == {1}, "the first epoch was on disk"
    steps.clear()
    status, found = run(capsys, *words("0.1"), "--restart")
    assert status == 0 and set(steps) == {0, 1}
    assert from_pretrained(tmp_path / "small").config.low_rank == found["ranks"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small"]


def test_a_budget_puts_ranks_where_validation_loses_least(model: Path, store: Path, tmp_path: Path,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small"
    status, found = run(capsys, str(model), "--data", str(store), "--out", str(out), "--budget", "parameters=50%",
                        "--validation", "0.25")
    assert status == 0
    before, after = found["rows"]
    assert after["parameters"] <= 0.5 * before["parameters"] and found["budget"]["judged_by"] == "validation clips"
    assert found["budget"]["best"]["loss"] <= found["budget"]["uniform"]["loss"]
    assert count_parameters(from_pretrained(out)) == after["parameters"] == found["budget"]["best"]["cost"]
    assert (out / "front.png").read_bytes().startswith(b"\x89PNG") and "front.png" in (out / "README.md").read_text()
    assert len(found["budget"]["front"]) > 3


def test_bytes_may_be_saved_in_bits(model: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small"
    status, found = run(capsys, str(model), "--data", str(store), "--out", str(out), "--budget", "bytes=60%")
    assert status == 0
    layers = found["budget"]["best"]["layers"]
    floating = from_pretrained(out).config.floating
    assert floating == tuple(name for name, choice in layers.items() if choice["bits"] == 32)
    assert {choice["bits"] for choice in layers.values()} >= {8}


def test_two_rules_are_refused(model: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = run(capsys, str(model), "--data", str(store), "--out", str(tmp_path / "small"), "--budget", "bytes=50%",
                        "--saving", "0.5")
    assert status == 2 and found["error"]["expected"] == "one of --budget, --saving, --energy and --ratio"
