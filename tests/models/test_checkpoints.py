"""A checkpoint is what was saved, or it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from edgeskel import topologies
from edgeskel.errors import CorruptFile
from edgeskel.models import create, from_pretrained


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = create("edge", topology=topologies.get("kinect-v1"), labels=("a", "b"), widths=(8, 16), regions=(0, 4),
                   blocks=(1, 1), groups=2, source_frames=32, frames=16)
    model.save_pretrained(tmp_path)
    return tmp_path


def _without_digest(folder: Path) -> None:
    """As an earlier version wrote it."""
    config = json.loads((folder / "config.json").read_text())
    del config["weights_sha256"]
    (folder / "config.json").write_text(json.dumps(config))


def test_one_altered_byte_in_the_weights_is_found(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-7] ^= 1  # still a finite number, and a file of the right form
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match=r"model\.safetensors: its SHA-256 is not"):
        from_pretrained(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(folder: Path, value: float) -> None:
    _without_digest(folder)
    state = load_file(folder / "model.safetensors")
    state["classifier.bias"][1] = value
    save_file(state, folder / "model.safetensors")
    with pytest.raises(CorruptFile, match=r"classifier\.bias holds values that are not finite"):
        from_pretrained(folder)


def test_a_checkpoint_of_an_earlier_version_loads(folder: Path) -> None:
    whole = from_pretrained(folder).state_dict()
    _without_digest(folder)
    assert all(torch.equal(value, whole[name]) for name, value in from_pretrained(folder).state_dict().items())


@pytest.mark.parametrize(
    ("setting", "value"), [("frames", "many"), ("widths", [8, -1]), ("dropout", 3), ("rank", 4), ("streams", [])]
)
def test_a_nonsensical_configuration_is_laid_to_its_file(folder: Path, setting: str, value: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, setting: value}))
    with pytest.raises(CorruptFile, match=rf"config\.json: .*{setting}"):
        from_pretrained(folder)
