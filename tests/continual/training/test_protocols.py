"""Tasks: who learns what when, and from whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel import topologies
from edgeskel.continual.training.protocols import NTU_60, NTU_120, Sequence, sequence
from edgeskel.data import Store, StoreWriter, split
from edgeskel.errors import DataError, UnknownChoice, UsageError
from edgeskel.skeleton import Clip


def _ntu(folder: Path, actions: range) -> Store:
    """Two clips of each action, one of a training subject and one of a test subject."""
    topology = topologies.get("kinect-v2")
    labels = [f"A{action:03d}" for action in actions]
    with StoreWriter(folder, dataset="ntu", topology=topology, labels=labels, rate_hz=30.0) as writer:
        for label in labels:
            for subject in ("1", "3"):
                writer.add(Clip(joints=np.zeros((1, 2, 25, 3), np.float32), confidence=np.ones((1, 2, 25), np.float32),
                                time=np.array([0, 1 / 30]), label=label, subject=subject, view="1",
                                source=f"{label}-{subject}"))
    return Store.open(folder)


def _check(found: Sequence, store: Store) -> None:
    """No class in two tasks, no clip in two parts or tasks, and each clip in the task of its class."""
    classes = [place for task in found.tasks for place in task.classes]
    assert classes == list(range(len(found.labels)))
    assert len(set(found.labels)) == len(found.labels)
    used = np.concatenate([part for task in found.tasks for part in (task.train, task.evaluation)])
    assert len(set(used.tolist())) == len(used)
    for task in found.tasks:
        names = {found.labels[place] for place in task.classes}
        for part in (task.train, task.evaluation):
            assert {store.labels[label] for label in store.index["label"][part]} == names


@pytest.mark.parametrize("order", [0, 1])
def test_split_utd_mhad_is_nine_tasks_of_three(utd_store: Store, order: int) -> None:
    found = sequence(utd_store, "split-utd-mhad", order=order)
    assert [len(task.classes) for task in found.tasks] == [3] * 9
    _check(found, utd_store)
    own = split(utd_store, validation=0)
    assert sum(len(task.train) for task in found.tasks) == len(own.train)
    assert sum(len(task.evaluation) for task in found.tasks) == len(own.test)


def test_split_nw_ucla_is_five_tasks_of_two(ucla_store: Store) -> None:
    found = sequence(ucla_store)
    assert found.name == "split-nw-ucla"
    assert [len(task.classes) for task in found.tasks] == [2] * 5
    _check(found, ucla_store)


def test_an_order_is_a_permutation_that_its_number_repeats(utd_store: Store) -> None:
    orders = [sequence(utd_store, order=order).labels for order in (0, 1, 1, 2)]
    assert orders[0] == utd_store.labels
    assert orders[1] == orders[2] != orders[3]
    assert set(orders[1]) == set(orders[0])


def test_with_a_validation_part_no_test_clip_is_touched(utd_store: Store) -> None:
    found = sequence(utd_store, validation=0.25)
    test = set(split(utd_store).test.tolist())
    assert found.part == "validation"
    for task in found.tasks:
        assert not test & {*task.train.tolist(), *task.evaluation.tolist()}
    subjects = utd_store.texts("subject")
    held = {subjects[clip] for task in found.tasks for clip in task.evaluation}
    assert not held & {subjects[clip] for task in found.tasks for clip in task.train}


def test_ntu_60_and_120_follow_the_published_order(tmp_path: Path) -> None:
    store = _ntu(tmp_path / "ntu.store", range(1, 121))
    longest = sequence(store)
    assert longest.name == "split-ntu-120"
    assert [len(task.classes) for task in longest.tasks] == [10] * 12
    _check(longest, store)
    short = sequence(store, "split-ntu-60")
    assert [len(task.classes) for task in short.tasks] == [10] * 6
    assert short.labels == longest.labels[:60] == tuple(f"A{action:03d}" for action in NTU_60)
    assert short.labels[:3] == ("A028", "A019", "A016")
    assert sorted(NTU_120) == list(range(1, 121))
    assert np.all(short.targets[60:] == -1)


def test_half_an_ntu_is_told_apart(tmp_path: Path) -> None:
    store = _ntu(tmp_path / "ntu.store", range(1, 31))
    with pytest.raises(DataError, match="A031"):
        sequence(store, "split-ntu-60")
    assert len(sequence(store, "split-by-5").tasks) == 6


@pytest.mark.parametrize(("wrong", "error"), [
    ({"protocol": "split-nw-ucla"}, UnknownChoice), ({"protocol": "split-by-0"}, UsageError),
    ({"protocol": "split-by-27"}, UsageError), ({"tasks": 10}, UsageError), ({"tasks": 0}, UsageError),
    ({"order": -1}, UsageError),
])
def test_what_does_not_fit_the_store_is_refused(utd_store: Store, wrong: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        sequence(utd_store, **wrong)


def test_a_fold_of_the_split_can_be_chosen(utd_store: Store) -> None:
    found = sequence(utd_store, base="loso", fold=3, tasks=2)
    assert found.split.fold == 3
    tested = {subject for task in found.tasks for subject in utd_store.texts("subject")[task.evaluation].tolist()}
    assert tested == {"4"}
    assert {subject for task in sequence(utd_store, base="subject:2,4", tasks=2).tasks
            for subject in utd_store.texts("subject")[task.evaluation].tolist()} == {"2", "4"}
