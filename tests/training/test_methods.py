"""Methods: what a new one can do that cross-entropy does not, with nothing but its own few lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgeskel.data import Store, StoreWriter
from edgeskel.errors import DataError, UsageError
from edgeskel.models import encoder_from_pretrained, from_pretrained
from edgeskel.training import Method, register, train
from edgeskel.training.methods import Supervised
from edgeskel.training.methods.base import REGISTRY

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """As it was, after each test."""
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


@pytest.fixture
def unlabelled(six: Any, tmp_path: Path) -> Store:
    """The clips of ``six`` without their labels."""
    with StoreWriter(tmp_path / "unlabelled", dataset="mine", topology=six.topology, labels=(), rate_hz=six.rate_hz) as writer:
        for number in range(len(six)):
            writer.add(replace(six[number], label=""))
    return Store.open(tmp_path / "unlabelled")


def test_an_encoder_is_trained_without_labels_and_a_recogniser_starts_from_it(unlabelled, config, tmp_path) -> None:
    @register("masked")
    class Masked(Method):
        """Draw the middle half of a clip from what the encoder makes of the rest."""

        def __init__(self, setup: Any) -> None:
            super().__init__(setup)
            joints = len(setup.encoder.config.topology.joints)
            self.draw = nn.Linear(setup.encoder.width, 3 * joints)

        def loss(self, encoder: Any, batch: Any) -> dict[str, torch.Tensor]:
            assert batch.labels is None
            frames = batch.joints.shape[2]
            seen = batch.confidence.clone()
            seen[:, :, frames // 4 : -frames // 4] = 0
            drawn = self.draw(encoder.embed(batch.joints, seen)).unflatten(1, (-1, 3))
            middle = batch.joints[:, 0, frames // 2]
            return {"reconstruction": (drawn - middle).square().mean()}

    told = config(data=unlabelled.path, out=tmp_path / "encoder", method="masked", protocol="loso", epochs=4,
                  settings=("learning_rate=0.01",))
    first = train(replace(told, epochs=2))
    assert first.run["validation"] is None and first.run["recipe"]["method"] == "masked"
    pretrained = train(replace(told, restart=True))
    losses = [row["loss"] for row in pretrained.run["history"]]
    assert losses[-1] < 0.7 * losses[0]
    encoder = encoder_from_pretrained(pretrained.folder)
    assert encoder.config.labels == () and "An encoder to train further" in (pretrained.folder / "README.md").read_text()
    assert not any(name.startswith("draw") for name in encoder.state_dict())
    # Supervised training starts from its weights; at a rate of next to nothing they stay where they are.
    still = ("learning_rate=1e-12", "average=0", "weight_decay=0")
    labelled = config(out=tmp_path / "recogniser", start=str(pretrained.folder), epochs=1, settings=still)
    recogniser = train(labelled).recogniser
    weights = dict(recogniser.encoder.named_parameters())
    assert recogniser.config.labels and weights.keys() == dict(encoder.named_parameters()).keys()
    for name, value in weights.items():
        torch.testing.assert_close(value, encoder.get_parameter(name), rtol=0, atol=1e-6)


def test_a_method_that_needs_labels_says_so(unlabelled, config, tmp_path) -> None:
    with pytest.raises(DataError, match="label"):
        train(config(data=unlabelled.path, out=tmp_path / "out", protocol="loso"))


def test_a_sampler_of_ones_own_decides_what_is_shown(six, config, tmp_path) -> None:
    shown: list[int] = []

    @register("watched")
    class Watched(Supervised):
        """Cross-entropy, and a list of what was shown."""

        def loss(self, encoder: Any, batch: Any) -> dict[str, torch.Tensor]:
            shown.extend(batch.index.tolist())
            return super().loss(encoder, batch)

    def tail(labels: Any, rng: np.random.Generator) -> Any:
        """Three clips of class 5 for each of class 0, and nothing else: 64 in all."""
        head, rare = (rng.choice(np.flatnonzero(labels == label), count) for label, count in ((0, 16), (5, 48)))
        return rng.permutation(np.concatenate((head, rare)))

    told = config(method="watched", epochs=2, settings=("batch_size=16",))
    run = train(told, sampler=tail, identity={"sampler": "tail"}).run
    labels = six.index["label"][shown]
    assert len(shown) == 128 and np.bincount(labels, minlength=6).tolist() == [32, 0, 0, 0, 0, 96]
    assert run["sampler"] == "tail"
    with pytest.raises(UsageError, match="sampler was 'tail' and is now"):
        train(told, identity={"sampler": "head"})
    shown.clear()
    balanced = config(method="watched", out=tmp_path / "balanced", epochs=1, settings=("sampler=balanced", "batch_size=12"))
    train(balanced)
    drawn = np.bincount(six.index["label"][shown], minlength=6)
    assert drawn.max() - drawn.min() <= 2
    with pytest.raises(UsageError, match="drew .* places"):
        train(replace(told, out=tmp_path / "nonsense"), sampler=lambda labels, rng: np.array([len(labels)]))


def test_what_lies_beside_a_clip_is_found_by_its_index(six, config, tmp_path) -> None:
    """A second modality: the wrist's path as a vector for each clip of the store; it is learned from and not kept."""
    beside = torch.stack([torch.from_numpy(six[number].joints[0, :, 10].std(0)) for number in range(len(six))])

    @register("co-learning")
    class CoLearning(Supervised):
        """The embedding should tell the other modality too."""

        def __init__(self, setup: Any) -> None:
            super().__init__(setup)
            assert setup.store.digest == six.digest
            self.tell = nn.Linear(setup.encoder.width, 3)
            self.register_buffer("beside", beside, persistent=False)

        def loss(self, encoder: Any, batch: Any) -> dict[str, torch.Tensor]:
            joints, confidence, targets = self.changed(batch)
            embedding = encoder.embed(joints, confidence)
            other = (self.tell(embedding) - self.beside[batch.index]).square().mean()
            return {"cross_entropy": self.cross_entropy(self.classifier(embedding).float(), targets), "other": other}

    trained = train(config(method="co-learning", epochs=3, settings=("mix=0", "learning_rate=0.01")))
    others = [row["loss_other"] for row in trained.run["history"]]
    assert others[-1] < 0.5 * others[0] and {"loss", "loss_cross_entropy"} <= trained.run["history"][0].keys()
    kept = from_pretrained(trained.folder)
    assert not any("tell" in name for name in kept.state_dict())


def test_the_method_of_the_documents_trains(config) -> None:
    text = (DOCS / "training.md").read_text("utf-8").partition("## A method of your own")[2]
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    lines = [line for line in code[1].splitlines() if line.strip()]
    assert len(lines) <= 12
    exec(compile(code[1], "docs/training.md", "exec"), {})
    trained = train(config(method="compact"))
    assert {"loss_cross_entropy", "loss_spread"} <= trained.run["history"][0].keys()
