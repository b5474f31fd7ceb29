"""``edgeskel compress``: what it writes loads, tells the truth about itself, and is refused without recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeskel.cli.main import main
from edgeskel.data import StoreWriter
from edgeskel.models import count_parameters, create, from_pretrained


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
    assert card.startswith("# A card") and f"{after['parameters']:,}" in card


def test_the_rank_is_chosen_on_the_validation_part(model: Path, store: Path, tmp_path: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    status, found = run(capsys, str(model), "--data", str(store), "--out", str(tmp_path / "small"), "--drop", "100")
    assert status == 0
    assert [row["ratio"] for row in found["tried"]] == [0.1]  # whatever it loses is allowed, so the smallest will do
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
