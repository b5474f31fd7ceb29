"""Where the joints go: what does not make another action of it, what is kept of it, and what a learner makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeskel import topologies
from edgeskel.continual.device import ClassStatistics, Demonstration, DemonstrationStore, create, load, with_learned
from edgeskel.continual.device.margin import DRAWS, MOST, least_lead
from edgeskel.embedding.trajectories import Trajectories
from edgeskel.embedding.trajectory import POINTS, trajectory
from edgeskel.errors import CorruptFile, InvalidClip
from edgeskel.runtime.bundle import Window
from edgeskel.runtime.engines import State
from edgeskel.runtime.session import Session
from edgeskel.skeleton import Clip, Float32

KINECT = topologies.get("kinect-v1")
SIZE = len(KINECT.joints)
WIDTH, OLD, FRAMES = 8, 4, 64


def body(rng: np.random.Generator) -> NDArray[np.float64]:
    """(V, 3) of somebody upright, 3 m away, turned somewhere."""
    joints = rng.normal(scale=0.1, size=(SIZE, 3))
    for side, x in (("left", 0.2), ("right", -0.2)):
        joints[KINECT.index(f"{side}_hip")] = (x / 2, 0.9, 0)
        joints[KINECT.index(f"{side}_shoulder")] = (x, 1.4, 0)
    return np.asarray(joints + np.array([0.3, 0, 3.0]))


def moving(way: NDArray[np.float64], rng: np.random.Generator, frames: int = 40, noise: float = 0.01) -> Float32:
    """(1, T, V, 3): one hand goes ``way`` and back."""
    joints = np.repeat(body(np.random.default_rng(1))[None], frames, 0)
    joints[:, KINECT.index("right_hand")] += np.sin(np.pi * np.linspace(0, 1, frames))[:, None] * way
    return (joints + rng.normal(scale=noise, size=joints.shape))[None].astype(np.float32)


def seen(joints: Float32) -> Float32:
    return np.ones(joints.shape[:3], np.float32)


@pytest.fixture
def clip() -> Float32:
    return moving(np.array([0.2, 0.5, -0.1]), np.random.default_rng(0))


def test_place_facing_size_and_pace_do_not_matter(clip: Float32) -> None:
    plain = trajectory(clip, seen(clip), KINECT)
    turn = np.array([[np.cos(1), 0, np.sin(1)], [0, 1, 0], [-np.sin(1), 0, np.cos(1)]])
    for other in (clip + np.array([1, 0.2, -2]), clip @ turn.T, 1.3 * clip):
        assert trajectory(other.astype(np.float32), seen(clip), KINECT) == pytest.approx(plain, abs=2e-3)
    slow = np.repeat(clip, 3, axis=1)
    assert trajectory(slow, seen(slow), KINECT) == pytest.approx(plain, abs=0.1)
    assert np.abs(plain).max() > 0.5  # of a trunk length: what is compared is no small thing


def test_frames_in_which_nobody_is_seen_do_not_matter(clip: Float32) -> None:
    later = np.pad(clip, ((0, 0), (30, 20), (0, 0), (0, 0)))
    confidence = np.pad(seen(clip), ((0, 0), (30, 20), (0, 0)))
    assert trajectory(later, confidence, KINECT) == pytest.approx(trajectory(clip, seen(clip), KINECT), abs=1e-4)
    assert not trajectory(later, np.zeros_like(confidence), KINECT).any()


def test_a_missing_joint_takes_its_neighbours_in_time_and_is_0_where_it_has_none(clip: Float32) -> None:
    head, confidence = KINECT.index("head"), seen(clip)
    confidence[:, 10:12, head] = 0
    holed = np.where(confidence[..., None] > 0, clip, 0).astype(np.float32)
    assert trajectory(holed, confidence, KINECT) == pytest.approx(trajectory(clip, seen(clip), KINECT), abs=0.05)
    confidence[:, :, head] = 0
    found = trajectory(np.where(confidence[..., None] > 0, clip, 0).astype(np.float32), confidence, KINECT)
    assert not found.reshape(POINTS, SIZE, 3)[:, head].any() and np.isfinite(found).all()


@pytest.mark.parametrize("name", ["coco-17", "sbu-15", "kinect-v2", "azure-kinect"])
def test_any_layout_has_one(name: str) -> None:
    topology = topologies.get(name)
    joints = np.random.default_rng(0).normal(size=(2, 5, len(topology.joints), 3)).astype(np.float32)
    found = trajectory(joints, np.ones(joints.shape[:3], np.float32), topology)
    assert found.shape == (2 * POINTS * len(topology.joints) * 3,) and np.isfinite(found).all()


def known(rng: np.random.Generator) -> ClassStatistics:
    """Of a model whose embedding tells its own classes apart and nothing else: they go four ways, in its first directions."""
    ways = np.eye(3)[[0, 1, 2, 0]] * np.array([0.4, 0.4, 0.4, -0.4])[:, None]
    classes = np.repeat(np.arange(OLD), 12)
    embeddings = embedding_of(classes, rng)
    courses = np.stack([trajectory(clip, seen(clip), KINECT) for clip in (moving(ways[index], rng) for index in classes)])
    varied = courses[::4, None] + rng.normal(scale=0.02, size=(len(courses[::4]), 6, courses.shape[1])).astype(np.float32)
    knowledge = ClassStatistics.measure(embeddings, classes, [f"old {index}" for index in range(OLD)])
    knowledge = knowledge.with_varied(rng.normal(scale=0.1, size=(60, WIDTH)).astype(np.float32))
    return replace(knowledge, trajectories=Trajectories.measure(courses, classes, varied.astype(np.float32)))


def embedding_of(classes: NDArray[np.int64], rng: np.random.Generator) -> Float32:
    return (np.eye(WIDTH)[classes % WIDTH] + rng.normal(scale=0.1, size=(len(classes), WIDTH))).astype(np.float32)


class Blind:
    """An engine to which every unknown action looks like a mixture of what it knows."""

    name = "blind"

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    @staticmethod
    def available() -> str | None:
        return None

    def __call__(self, joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
        values = np.full(WIDTH, 0.3, np.float32) + self.rng.normal(scale=0.1, size=WIDTH).astype(np.float32)
        return np.full(OLD, 1 / OLD, np.float32), values

    def step(self, joints: Float32, confidence: Float32, state: State) -> tuple[Float32, Float32, State]:
        raise AssertionError("it goes by window")


NEW = {"wave": np.array([0.35, 0.35, 0.0]), "pull": np.array([0.0, -0.3, 0.35])}


def clip_of(name: str, rng: np.random.Generator) -> Clip:
    joints = moving(NEW[name], rng, frames=int(rng.integers(25, 60)))
    return Clip(joints, seen(joints), np.arange(joints.shape[1]) / 30)


@pytest.mark.parametrize("private", [False, True])
def test_what_the_network_cannot_tell_apart_is_learned_by_where_the_joints_go(private: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    knowledge = known(rng)
    session = Session(Blind(rng), KINECT, knowledge.labels, Window(1, FRAMES, 30.0, 8))
    with DemonstrationStore.open(tmp_path / "learned.sqlite", knowledge) as memory:
        for name in NEW:
            for _ in range(3):
                memory.learn(name, Demonstration.of(clip_of(name, rng), session, private=private)[0])
    with DemonstrationStore.open(tmp_path / "learned.sqlite", knowledge) as memory:
        live = with_learned(session, memory.learner())
    found = [live.watch(clip_of(name, rng)).label == name for name in NEW for _ in range(10)]
    assert np.mean(found) > 0.9
    assert live.watch(clip_of("wave", rng)).embedding.shape == (WIDTH,)  # whoever reads the embedding finds the network's


def test_a_demonstration_without_a_trajectory_leaves_the_embedding_to_decide() -> None:
    rng = np.random.default_rng(3)
    knowledge = known(rng)
    alone, mixed, bare = (create("whitened-cosine", one) for one in (knowledge, knowledge, ClassStatistics(
        knowledge.labels, knowledge.clips, knowledge.half_means, knowledge.triangle, knowledge.spread, knowledge.varied_triangle)))
    shown = embedding_of(np.array([5, 5, 5]), rng)
    course = trajectory(clip := moving(NEW["wave"], rng), seen(clip), KINECT)
    for embedding in shown:
        for learner in (alone, bare):
            learner.learn(embedding, "new")
    mixed.learn(knowledge.seen(shown[0], course), "new")
    for embedding in shown[1:]:
        mixed.learn(embedding, "new")
    some = embedding_of(np.arange(8), rng)
    longer = np.stack([knowledge.seen(one, course) for one in some])
    assert np.array_equal(mixed.predict(some), bare.predict(some))
    assert np.array_equal(mixed.predict(longer), bare.predict(some))
    assert np.array_equal(alone.predict(some), bare.predict(some))


def test_a_saved_learner_keeps_the_trajectories(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    knowledge = known(rng)
    learner = create("whitened-cosine", knowledge)
    for name in NEW:
        for _ in range(3):
            clip = moving(NEW[name], rng)
            learner.learn(knowledge.seen(embedding_of(np.array([6]), rng)[0], trajectory(clip, seen(clip), KINECT)), name)
    learner.save(tmp_path / "learner.npz")
    some = np.stack([knowledge.seen(one, trajectory(clip, seen(clip), KINECT)) for one in embedding_of(np.arange(6), rng)])
    assert np.array_equal(load(tmp_path / "learner.npz", knowledge).predict(some), learner.predict(some))


def test_what_is_known_of_trajectories_is_kept_with_the_model_and_leaves_its_identity(tmp_path: Path) -> None:
    knowledge = known(np.random.default_rng(5))
    knowledge.save(tmp_path / "embedding.npz")
    again = ClassStatistics.load(tmp_path / "embedding.npz")
    assert again.trajectories is not None and knowledge.trajectories is not None
    for name, array in knowledge.trajectories.arrays().items():
        assert np.array_equal(again.trajectories.arrays()[name], array)
    with pytest.raises(InvalidClip, match="trajectory of shape"):
        again.seen(np.zeros(WIDTH, np.float32), np.zeros(7, np.float32))
    with np.load(tmp_path / "embedding.npz") as data:
        arrays = dict(data)
    earlier = {name: array for name, array in arrays.items() if not name.startswith("trajectory")}
    np.savez(tmp_path / "embedding.npz", **earlier)
    assert ClassStatistics.load(tmp_path / "embedding.npz").trajectories is None
    assert ClassStatistics.load(tmp_path / "embedding.npz").digest == knowledge.digest
    for name in set(arrays) - set(earlier):
        for broken in (None, arrays[name][..., None], np.full_like(arrays[name], np.nan)):
            changed = {**arrays, name: broken} if broken is not None else {key: arrays[key] for key in arrays if key != name}
            np.savez(tmp_path / "embedding.npz", **changed)
            with pytest.raises(CorruptFile, match="trajectories"):
                ClassStatistics.load(tmp_path / "embedding.npz")


def test_new_actions_that_are_near_old_ones_must_be_farther_ahead() -> None:
    rng = np.random.default_rng(6)
    own = np.repeat(np.eye(OLD), DRAWS, 0) * 0.8 + rng.normal(scale=0.05, size=(OLD * DRAWS, OLD))
    far, near = own.mean(1, keepdims=True) - 0.1, own.max(1, keepdims=True) - rng.uniform(-0.1, 0.2, size=(len(own), 1))
    assert least_lead(np.concatenate([own, far], 1), OLD) == 0
    assert least_lead(np.concatenate([own, near], 1), OLD) == pytest.approx(MOST)
    between = own.max(1, keepdims=True) + np.where(np.arange(len(own)) < 3, 0.015, -0.3)[:, None]  # three of 96 are near it
    assert 0 < least_lead(np.concatenate([own, between], 1), OLD) < MOST
