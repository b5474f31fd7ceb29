"""Learners on a made-up embedding: what they tell apart, forget, keep and refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeskel.continual.device import LEARNERS, ClassStatistics, Learner, create, load
from edgeskel.continual.device.head import joined
from edgeskel.errors import CorruptFile, InvalidClip, ModelError, UnknownChoice, UsageError
from tests.continual.device.conftest import OLD, WIDTH, World

every_learner = pytest.mark.parametrize("name", LEARNERS)


def taught(name: str, knowledge: ClassStatistics, world: World, shots: int = 5) -> Learner:
    learner = create(name, knowledge)
    for index in range(3):
        for embedding in world.draw(OLD + index, shots):
            learner.learn(embedding, f"new {index}")
    return learner


def accuracy(learner: Learner, world: World, classes: range) -> float:
    right = [learner.predict(world.draw(index, 200)).argmax(-1) == index for index in classes]
    return float(np.mean(right))


@every_learner
def test_new_labels_are_told_apart_from_old_ones(name: str, knowledge: ClassStatistics, world: World) -> None:
    learner = taught(name, knowledge, world)
    assert learner.labels == (*knowledge.labels, "new 0", "new 1", "new 2")
    least = 0.6 if name == "nearest-mean" else 0.9  # it trusts the directions that say nothing as much as the others
    assert accuracy(learner, world, range(OLD, OLD + 3)) > least
    assert accuracy(learner, world, range(OLD)) > least


def test_discriminant_analysis_uses_what_is_known_of_the_spread(knowledge: ClassStatistics, world: World) -> None:
    new = range(OLD, OLD + 3)
    assert accuracy(taught("streaming-lda", knowledge, world, 1), world, new) \
        > accuracy(taught("nearest-mean", knowledge, world, 1), world, new)


def test_new_labels_whose_embeddings_are_short_are_found_and_old_ones_kept() -> None:
    """What nobody trained on gives shorter embeddings, spread by whatever tells nothing: the angle has to do, at any number of old
    classes and without anything set."""
    rng = np.random.default_rng(5)
    width, new = 48, 3
    moves = np.where(np.arange(width) < 8, 1.5, 0.2)  # how clips of anybody differ
    for old in (6, 48):
        means = rng.normal(size=(old + new, width)) * np.where(np.arange(old + new) < old, 1.0, 0.5)[:, None]

        def draw(index: int, count: int, spread: float = 1.0, means: np.ndarray = means) -> np.ndarray:
            return (means[index] + spread * rng.normal(size=(count, width)) * moves).astype(np.float32)

        seen = np.concatenate([draw(index, 20, 0.2) for index in range(old)])  # clips that were trained on lie close
        knowledge = ClassStatistics.measure(seen, np.repeat(np.arange(old), 20), [f"old {index}" for index in range(old)])
        knowledge = knowledge.with_varied((0.7 * rng.normal(size=(400, width)) * moves).astype(np.float32))
        found = {}
        for name in ("whitened-cosine", "streaming-lda"):
            learner = create(name, knowledge)
            for index in range(new):
                for embedding in draw(old + index, 5):
                    learner.learn(embedding, f"new {index}")
            found[name] = [float(np.mean([learner.predict(draw(index, 100)).argmax(-1) == index for index in classes]))
                           for classes in (range(old, old + new), range(old))]
        assert found["whitened-cosine"][0] > 0.8
        assert found["whitened-cosine"][1] > 0.9
        assert sum(found["whitened-cosine"]) >= sum(found["streaming-lda"])


@every_learner
def test_probabilities_of_one_and_of_many(name: str, knowledge: ClassStatistics, world: World) -> None:
    learner = taught(name, knowledge, world)
    some = world.draw(2, 4)
    together = learner.predict(some)
    assert together.shape == (4, OLD + 3)
    assert together.sum(-1) == pytest.approx(np.ones(4), abs=1e-5)
    assert np.stack([learner.predict(one) for one in some]) == pytest.approx(together, abs=1e-6)


@every_learner
def test_forgetting_a_label_keeps_the_others(name: str, knowledge: ClassStatistics, world: World) -> None:
    learner = taught(name, knowledge, world)
    learner.forget("new 1")
    assert learner.labels[OLD:] == ("new 0", "new 2")
    least = 0.6 if name == "nearest-mean" else 0.9
    assert np.mean(learner.predict(world.draw(OLD + 2, 200)).argmax(-1) == OLD + 1) > least
    with pytest.raises(UnknownChoice, match="new 1"):
        learner.forget("new 1")


@pytest.mark.parametrize("name", ["whitened-cosine", "nearest-mean", "replayed-head"])
def test_forgetting_leaves_no_trace(name: str, knowledge: ClassStatistics, world: World) -> None:
    shown = {label: world.draw(OLD + index, 3) for index, label in enumerate(("kept", "dropped"))}
    both, one = create(name, knowledge), create(name, knowledge)
    for label, embeddings in shown.items():
        for embedding in embeddings:
            both.learn(embedding, label)
            if label == "kept":
                one.learn(embedding, label)
    both.forget("dropped")
    some = world.draw(0, 20)
    assert np.array_equal(both.predict(some), one.predict(some))


@every_learner
def test_a_saved_learner_answers_as_before_and_learns_on(name: str, knowledge: ClassStatistics, world: World,
                                                         tmp_path: Path) -> None:
    learner = taught(name, knowledge, world)
    learner.save(tmp_path / "learner.npz")
    again = load(tmp_path / "learner.npz", knowledge)
    some, more = world.draw(7, 10), world.draw(8, 1)[0]
    assert np.array_equal(again.predict(some), learner.predict(some))
    for one in (learner, again):
        one.learn(more, "new 0")
    assert np.array_equal(again.predict(some), learner.predict(some))


@every_learner
def test_a_learner_of_another_model_is_refused(name: str, knowledge: ClassStatistics, world: World, tmp_path: Path) -> None:
    taught(name, knowledge, world).save(tmp_path / "learner.npz")
    seen = np.concatenate([world.draw(index, 10) for index in range(OLD)])
    other = ClassStatistics.measure(seen, np.repeat(np.arange(OLD), 10), knowledge.labels)
    with pytest.raises(ModelError, match="another model"):
        load(tmp_path / "learner.npz", other)


@every_learner
def test_damage_in_a_saved_learner_never_passes_for_something_else(name: str, knowledge: ClassStatistics, world: World,
                                                                   tmp_path: Path) -> None:
    path = tmp_path / "learner.npz"
    taught(name, knowledge, world).save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(whole)
        if rng.random() < 0.5:
            broken = broken[: int(rng.integers(len(whole)))]
        else:
            broken[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(broken))
        try:
            learner = load(path, knowledge)
        except (CorruptFile, ModelError):
            continue
        assert np.isfinite(learner.predict(world.draw(0, 2))).all()  # the flipped bit meant nothing to the format


def test_what_cannot_be_learned(knowledge: ClassStatistics, world: World) -> None:
    learner = create("streaming-lda", knowledge)
    with pytest.raises(UsageError, match="old 1"):
        learner.learn(world.draw(0, 1)[0], "old 1")
    with pytest.raises(InvalidClip, match="16 finite"):
        learner.learn(np.zeros(WIDTH + 1, np.float32), "new")
    with pytest.raises(InvalidClip, match="not finite"):
        learner.learn(np.full(WIDTH, np.nan, np.float32), "new")
    assert learner.labels == knowledge.labels
    with pytest.raises(UnknownChoice, match="streaming-lda"):
        create("streaming-ida", knowledge)


@every_learner
def test_sixty_classes_of_a_real_width_stay_under_a_megabyte(name: str) -> None:
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(22 * 8, 256)).astype(np.float32)
    learner = create(name, ClassStatistics.measure(seen, np.repeat(np.arange(22), 8), [f"old {index}" for index in range(22)]))
    for index in range(38):
        for _ in range(10):
            learner.learn(rng.normal(size=256).astype(np.float32), f"new {index}")
    learner.predict(seen[0])
    assert learner.nbytes < 1_000_000


def test_joining_never_exchanges_old_classes(world: World) -> None:
    rng = np.random.default_rng(1)
    classifier, learner = (rng.dirichlet(np.ones(size), 500).astype(np.float32) for size in (OLD, OLD + 3))
    both = joined(classifier, learner)
    assert both.sum(-1) == pytest.approx(np.ones(500), abs=1e-5)
    assert np.array_equal(both[:, :OLD].argmax(-1), classifier.argmax(-1))
    likelier = learner[:, OLD:].max(-1) > learner[:, :OLD].max(-1)
    assert np.array_equal(both.argmax(-1) >= OLD, likelier)
    nothing_new = joined(classifier, learner * (np.arange(OLD + 3) < OLD))
    assert nothing_new == pytest.approx(np.pad(classifier, ((0, 0), (0, 3))), abs=1e-6)


@pytest.mark.parametrize("old", [5, 48, 500])
def test_however_many_unlikely_actions_do_not_outweigh_a_likely_one(old: int) -> None:
    """The new action is likelier than any single old one, so it is what is seen, whatever the classifier's favourite is."""
    learner = np.full(old + 1, 0.7 / old, np.float32)
    learner[old] = 0.3
    classifier = np.full(old, 0.1 / (old - 1), np.float32)
    classifier[0] = 0.9
    both = joined(classifier, learner)
    assert (both.argmax() == old) == (0.3 > 0.7 / old)
    assert both[old] / both[0] == pytest.approx(0.3 / (0.7 / old), rel=1e-4)


def test_knowledge_is_the_same_from_its_file(knowledge: ClassStatistics, tmp_path: Path) -> None:
    knowledge.save(tmp_path / "embedding.npz")
    again = ClassStatistics.load(tmp_path / "embedding.npz")
    assert again.digest == knowledge.digest
    assert np.array_equal(again.covariance, knowledge.covariance)
    assert np.linalg.eigvalsh(knowledge.covariance).min() > 0
    with pytest.raises(ModelError, match="edgeskel export"):
        ClassStatistics.load(tmp_path / "nothing.npz")
    varied = knowledge.with_varied(np.random.default_rng(0).normal(size=(50, WIDTH)).astype(np.float32))
    varied.save(tmp_path / "varied.npz")
    again = ClassStatistics.load(tmp_path / "varied.npz")
    assert again.digest == knowledge.digest  # what was learned before it was measured still fits
    assert again.varied is not None and np.array_equal(again.varied, varied.varied)
    assert ClassStatistics.load(tmp_path / "embedding.npz").varied is None
    copies = ClassStatistics.measure(np.repeat(varied.means, 2, 0), np.repeat(np.arange(OLD), 2), knowledge.labels)
    copies.with_varied(np.ones((5, WIDTH), np.float32)).save(tmp_path / "copies.npz")
    assert ClassStatistics.load(tmp_path / "copies.npz").digest == copies.digest
    (tmp_path / "embedding.npz").write_bytes(b"not an archive")
    with pytest.raises(CorruptFile):
        ClassStatistics.load(tmp_path / "embedding.npz")
