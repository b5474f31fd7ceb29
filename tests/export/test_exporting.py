"""``export.export_bundle``: what ``edgeskel export`` does, from Python, and which target sets which limits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import export
import targets
from edgeskel.errors import ExportError, UsageError
from edgeskel.models.edge import Edge
from edgeskel.runtime.bundle import Bundle

from .conftest import small_recogniser

HOST = replace(targets.get("host"), artifacts=("onnx-fp32",))


def test_the_package_names_what_it_offers() -> None:
    assert export.__all__ and all(callable(getattr(export, name)) for name in export.__all__)
    assert set(export.__all__) <= set(dir(export))
    with pytest.raises(AttributeError, match="nothing_here"):
        export.nothing_here  # noqa: B018


def test_a_checkpoint_and_a_recogniser_in_memory_give_the_same_answers(checkpoint: Path, tmp_path: Path) -> None:
    models = (str(checkpoint), small_recogniser())
    made = [export.export_bundle(model, tmp_path / str(index), HOST) for index, model in enumerate(models)]
    assert [bundle.name for bundle in made] == ["small-checkpoint", "model"]
    assert [Bundle.open(bundle.path).target for bundle in made] == ["host", "host"]
    np.testing.assert_allclose(made[0].golden.probabilities, made[1].golden.probabilities, atol=1e-6)


def test_what_contradicts_itself_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="latent replay without calibration"):
        export.export_bundle("edge-demo", tmp_path / "b", HOST, latent_replay=True)
    with pytest.raises(ExportError, match="no artifact in fp16"):
        export.export_bundle(small_recogniser(), tmp_path / "b", HOST, precisions=("fp16",))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "oldest"), [
    ("host", None), ("raspberry-pi-5", None), ("android", None), ("ios", None), ("jetson", (10, 3)), ("jetson-orin-nano", (10, 3)),
    ("jetson-thor", (10, 13)),
])
def test_the_oldest_tensorrt_of_a_target(name: str, oldest: tuple[int, int] | None) -> None:
    assert targets.get(name).tensorrt == oldest


def test_a_users_profile_says_its_releases(tmp_path: Path) -> None:
    (tmp_path / "kiosk.toml").write_text('extends = "jetson"\nreleases = ["jetpack-7.2"]\n')
    assert targets.get(str(tmp_path / "kiosk.toml")).tensorrt == (10, 16)
    (tmp_path / "own.toml").write_text('purpose = "own board"\nextra = "export-jetson"\nartifacts = ["onnx-fp32"]\n'
                                       'programs = ["build_engine.py"]\n')
    assert targets.get(str(tmp_path / "own.toml")).tensorrt == (10, 3)


class Contracted(Edge):
    """With a sum over two letters, which stays one operator in ONNX."""

    def pool(self, maps: Tensor, presence: Tensor) -> Tensor:
        return torch.einsum("bd,de->be", super().pool(maps, presence), torch.eye(self.config.widths[-1]))


def test_an_einsum_is_refused_for_a_jetson_and_for_nobody_else(tmp_path: Path) -> None:
    model = small_recogniser()
    model.encoder.__class__ = Contracted
    with pytest.raises(ExportError, match=r"TensorRT 10\.3 cannot take this graph: Einsum"):
        export.export_bundle(model, tmp_path / "jetson", replace(targets.get("jetson"), artifacts=("onnx-fp32",)))
    made = export.export_bundle(model, tmp_path / "host", HOST)
    assert made.artifacts[0].engines == ("onnxruntime",) and made.artifacts[0].details["measured"][0]["agreement"] == 1.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["host"]
