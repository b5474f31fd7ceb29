"""``edgeskel models`` lists what ships, from files alone."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from edgeskel.cli import models
from edgeskel.cli.main import main


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped weights with one recogniser of 6 + 2 values."""
    folder = tmp_path / "edge-test"
    folder.mkdir()
    config = {"recogniser": "edge", "topology": {"name": "kinect-v1"}, "labels": ["wave", "bow"], "persons": 1}
    (folder / "config.json").write_text(json.dumps(config))
    header = {"a": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]},
              "norm.running_mean": {"dtype": "F16", "shape": [50], "data_offsets": [0, 0]},
              "b": {"dtype": "F16", "shape": [2], "data_offsets": [12, 16]}, "__metadata__": {"format": "pt"}}
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    figures = "top-1 97.50 %, macro F1 96.00 %, calibration error 2.1 %, 430 clips"
    card = f"# A card\n\nWhat it is.\n\nTest part: {figures}.\n"
    (folder / "README.md").write_text(card)
    monkeypatch.setattr(models, "WEIGHTS", tmp_path)
    return folder


def test_list(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["models"]
    assert row["parameters"] == 8
    assert row["figures"] == {"top1": 97.5, "macro_f1": 96.0, "calibration_error": 2.1, "clips": 430}
    assert (row["recogniser"], row["topology"], row["classes"]) == ("edge", "kinect-v1", 2)


def test_card(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--name", "edge-test"]) == 0
    assert "What it is." in capsys.readouterr().out


def test_unknown_name_lists_the_valid_ones(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--name", "edge-tset", "--json"]) == 2
    assert "did you mean 'edge-test'?" in json.loads(capsys.readouterr().out)["error"]["remedy"]


def test_damaged_weights_are_named(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (weights / "model.safetensors").write_bytes(b"\x00")
    assert main(["models", "--json"]) == 1
    assert "edge-test" in json.loads(capsys.readouterr().out)["error"]["seen"]


def test_what_ships_is_readable(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["models"]
    for row in rows:
        assert row["labels"]
        assert row["figures"], f"{row['name']} has no figures in its card"
        card = (models.WEIGHTS / row["name"] / "README.md").read_text()
        assert f"{row['parameters']:,} parameters" in card
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert all(f"{row['name']} " in text and f"{row['parameters']:,}" in text for row in rows)
    assert max(map(len, text.splitlines())) <= 80
