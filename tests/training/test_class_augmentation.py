"""Class augmentation: what is drawn, and that nothing of it is left in what is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeskel import topologies
from edgeskel.errors import UsageError
from edgeskel.models import create
from edgeskel.training import recipe_for
from edgeskel.training.methods import Setup, settings_of
from edgeskel.training.methods import create as make
from edgeskel.training.methods.class_augmentation import FORMS, reverse


def window(clips: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips that are seen from frame 3 to 12 of 20."""
    torch.manual_seed(0)
    confidence = torch.zeros(clips, 1, 20, 20)
    confidence[:, :, 3:13] = 1
    return torch.randn(clips, 1, 20, 20, 3) * confidence[..., None], confidence


def test_reversing_plays_the_seen_span_backwards_in_its_place() -> None:
    joints, confidence = window(4)
    chosen = torch.tensor([True, False, True, False])
    turned, seen = reverse(joints, confidence, chosen)
    assert torch.equal(seen, confidence)
    assert torch.equal(turned[0, 0, 3], joints[0, 0, 12]) and torch.equal(turned[0, 0, 12], joints[0, 0, 3])
    assert torch.equal(turned[1], joints[1])
    again, _ = reverse(turned, seen, chosen)
    assert torch.equal(again, joints)


def test_every_form_is_a_class_of_its_own(utd_store: Any) -> None:
    recogniser = create("edge", topology=topologies.get("kinect-v1"), labels=("a", "b", "c"))
    joints, confidence = window()
    targets = torch.nn.functional.one_hot(torch.arange(64) % 3, 3).float()
    recipe = replace(recipe_for("edge", ""), method="class-augmentation")
    method: Any = make(Setup(recogniser.encoder, recogniser.classifier, recipe, settings_of("class-augmentation"), utd_store,
                             np.arange(1)))
    moved, _, spread = method.in_forms(joints, confidence, targets)
    assert spread.shape == (64, FORMS * 3) and torch.equal(spread.sum(1), torch.ones(64))
    forms, classes = spread.argmax(1) // 3, spread.argmax(1) % 3
    assert torch.equal(classes, torch.arange(64) % 3)
    assert set(forms.tolist()) == {0, 1, 2, 3}
    mirror = torch.tensor(recogniser.config.topology.mirror)
    expected = {0: joints, 1: reverse(joints, confidence, torch.ones(64, dtype=torch.bool))[0]}
    for form in (2, 3):
        expected[form] = expected[form - 2][..., mirror, :] * torch.tensor([-1.0, 1, 1])
    for clip, form in enumerate(forms.tolist()):
        assert torch.equal(moved[clip], expected[form][clip])


def test_what_is_kept_knows_its_own_classes_only(tmp_path: Path, utd_store: Any) -> None:
    from edgeskel.embedding import ClassStatistics, statistics
    from edgeskel.training import TrainConfig, train

    small = ("widths=[8, 8, 8]", "blocks=[1, 1, 1]")

    def config(name: str, *settings: str, **more: Any) -> TrainConfig:
        return TrainConfig(data=utd_store.path, out=tmp_path / name, epochs=1, settings=(*small, *settings), threads=1,
                           **{"method": "class-augmentation", **more})

    trained = train(config("small"))
    assert trained.recogniser.config.labels == utd_store.labels
    known = ClassStatistics.load(tmp_path / "small" / statistics.FILE)
    assert known.labels == utd_store.labels and known.width == 8 and known.clips == trained.run["clips"]["train"]
    assert known.varied is not None and np.linalg.eigvalsh(known.varied).max() > 0  # what learners on a device go by
    with pytest.raises(UsageError, match="teachers"):
        train(config("taught", teachers=("edge-utd-mhad",)))
    with pytest.raises(UsageError, match="'class-augmentation' and mirror"):
        train(config("flipped", 'mirror={"*"="*"}'))
    with pytest.warns(FutureWarning, match="--method class-augmentation"):  # as earlier versions spelt it
        again = train(config("small", "virtual=true", method=None))
    assert again.resumed_at == 1, "the same training"
