"""Stores and recordings of synthetic motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeskel import topologies
from edgeskel.data import Store, synthetic
from edgeskel.data.synthetic import imu
from edgeskel.errors import UnknownChoice, UsageError
from edgeskel.skeleton import Clip

KINECT = topologies.get("kinect-v1")
SOME = ("throw", "walk", "sit down")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return synthetic.generate(tmp_path_factory.mktemp("synthetic") / "store", subjects=5, takes=2)


def test_a_store_holds_every_action_of_every_person_with_paired_sensors(store: Store) -> None:
    assert store.dataset == "synthetic" and store.labels == synthetic.actions() and len(store.labels) >= 16
    assert len(store) == 5 * 2 * len(store.labels)
    counts = np.unique(store.index[["subject", "label"]], return_counts=True)[1]
    assert (counts == 2).all()
    clip = store[3]
    assert clip.inertial is not None and clip.inertial.segments == imu.DEFAULT_SENSORS
    assert clip.inertial.orientation is not None
    assert abs(clip.inertial.time[-1] - clip.time[-1]) < 0.05


def test_no_two_clips_are_alike(store: Store) -> None:
    assert len(set(store.index["digest"])) == len(store)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    def made(name: str, seed: int) -> str:
        return synthetic.generate(tmp_path / name, subjects=1, takes=1, seed=seed, labels=SOME).digest

    assert made("a", 3) == made("b", 3) != made("c", 4)


def test_a_person_is_the_same_however_many_others_there_are(tmp_path: Path) -> None:
    alone = next(synthetic.takes_of(1, takes=1, seed=2, labels=SOME)).clip
    both = synthetic.generate(tmp_path / "two", subjects=2, takes=1, seed=2, labels=SOME)
    assert alone.digest == both[len(SOME)].digest


def test_people_differ_in_size(store: Store) -> None:
    def height(clip: Clip) -> float:
        head, foot = KINECT.index("head"), KINECT.index("left_ankle")
        return float(np.linalg.norm(clip.joints[0, :, head] - clip.joints[0, :, foot], axis=-1).max())

    walks = [height(store[int(i)]) for i in np.flatnonzero(store.index["label"] == store.labels.index("bow"))]
    assert np.ptp(walks) > 0.1


def test_the_classes_differ_but_not_by_their_mean_poses_alone(store: Store) -> None:
    """Nearest neighbour across people beats chance by far; the nearest class mean stays well short of solving it."""
    features = np.stack([_features(store[i]) for i in range(len(store))])
    label, test = store.index["label"], np.isin(store.index["subject"], [b"s04", b"s05"])
    means = np.stack([features[~test & (label == k)].mean(axis=0) for k in range(len(store.labels))])

    def accuracy(known: np.ndarray, known_label: np.ndarray) -> float:
        distance = ((features[test][:, None] - known[None]) ** 2).sum(axis=-1)
        return float((known_label[distance.argmin(axis=1)] == label[test]).mean())

    assert accuracy(features[~test], label[~test]) > 0.45
    assert 0.15 < accuracy(means, np.arange(len(means))) < 0.8


def _features(clip: Clip) -> np.ndarray:
    """Joints about the pelvis, the person turned to the front, at 20 instants."""
    joints = np.where(clip.confidence[0][..., None] > 0, clip.joints[0], clip.joints[0][:, :1]).astype(np.float64)
    joints = joints - joints[:, :1]
    across = np.median(joints[:, KINECT.index("left_shoulder")] - joints[:, KINECT.index("right_shoulder")], axis=0)
    angle = np.arctan2(across[2], across[0])
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    chosen = np.linspace(0, len(joints) - 1, 20).round().astype(int)
    return np.asarray(joints[chosen] @ turn.T).ravel()


def test_unknown_actions_and_empty_orders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownChoice, match="clap"):
        synthetic.generate(tmp_path / "x", subjects=1, takes=1, labels=("claps",))
    with pytest.raises(UsageError, match="at least one"):
        synthetic.generate(tmp_path / "x", subjects=0)
    assert not list(tmp_path.iterdir())


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(people: object, count: int) -> list[int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthetic.generate(tmp_path / "store", subjects=2, takes=1, watch=interrupted)
    assert not list(tmp_path.iterdir())


def test_a_sequence_performs_in_order_without_a_jump() -> None:
    order = ("wave", "sit down", "stand up", "walk")
    made = synthetic.sequence(order, seed=1, camera=synthetic.Camera(noise=0.0))
    assert tuple(label for _, _, label in made.spans) == order
    edges = [edge for start, end, _ in made.spans for edge in (start, end)]
    assert edges == sorted(edges) and edges[-1] <= made.clip.time[-1]
    speed = np.linalg.norm(np.diff(made.clip.joints[0], axis=0), axis=-1) * 30
    assert speed.max() < 12.0
    pelvis = made.clip.joints[0, :, 0, 1]
    standing, seated = (np.searchsorted(made.clip.time, made.spans[1][edge]) for edge in (0, 1))
    assert pelvis[standing] - pelvis[seated] > 0.2
    assert made.clip.inertial is not None


def test_a_sequence_needs_actions() -> None:
    with pytest.raises(UsageError):
        synthetic.sequence(())
