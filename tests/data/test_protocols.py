"""Splits: nobody is on two sides, the same question has the same answer, and what cannot be divided is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeskel.data import Store, split
from edgeskel.data.protocols import available, default_protocol, folds, names_in_order
from edgeskel.errors import DataError, UnknownChoice, UsageError
from tests.data.conftest import make_clip

Write = Callable[..., Store]


@pytest.fixture
def store(write: Write) -> Store:
    """12 subjects, 2 views, 2 labels, 4 clips of each subject."""
    clips = [make_clip(2, seed=48 * subject + i, label="ab"[i % 2], subject=str(subject + 1), view=str(i // 2 + 1))
             for subject in range(12) for i in range(4)]
    return write(clips)


def subjects(store: Store, part: Any) -> set[bytes]:
    return set(store.index["subject"][part].tolist())


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(protocol=st.sampled_from(["by-subject", "loso", "leave-one-out", "k-fold", "7-fold", "random"]),
       fold=st.integers(0, 4), share=st.floats(0, 0.7), seed=st.integers(0, 5))
def test_the_parts_are_disjoint_and_complete(store: Store, protocol: str, fold: int, share: float, seed: int) -> None:
    fold = fold % folds(store, protocol)
    made = split(store, protocol, fold=fold, validation=share, seed=seed)
    assert sorted(np.concatenate([made.train, made.validation, made.test])) == list(range(len(store)))
    again = split(store, protocol, fold=fold, validation=share, seed=seed)
    assert all(np.array_equal(getattr(made, part), getattr(again, part)) for part in ("train", "validation", "test"))
    if protocol in ("by-subject", "loso"):
        assert not subjects(store, made.test) & subjects(store, made.train)
        assert not subjects(store, made.validation) & subjects(store, made.train)
        assert len(made.validation) or share == 0


def test_folds_cover_every_clip_once_and_classes_evenly(store: Store) -> None:
    for protocol in ("k-fold", "4-fold", "loso", "leave-one-out"):
        tests = [split(store, protocol, fold=fold, validation=0).test for fold in range(folds(store, protocol))]
        assert sorted(np.concatenate(tests)) == list(range(len(store)))
    for fold in range(4):
        counts = np.bincount(store.index["label"][split(store, "4-fold", fold=fold, validation=0).test])
        assert counts.tolist() == [6, 6]


def test_validation_by_name(store: Store) -> None:
    assert subjects(store, split(store, validation="subject:1,3").validation) == {b"1", b"3"}
    by_view = split(store, "by-subject", validation="view:2")
    assert set(store.index["view"][by_view.validation]) == {b"2"}
    assert set(store.index["view"][by_view.train]) == {b"1"}
    assert len(split(store, validation="0.5").validation) == len(split(store, validation=0.5).validation)


def test_the_name_says_how_it_was_made(store: Store) -> None:
    assert split(store, "loso", fold=2, validation="subject:1").name == "loso, fold 2 of 12, validation subject:1"
    assert split(store, "loso", fold=9, validation=0).name == "loso, fold 9 of 12, no validation part"


def test_subjects_go_by_number(store: Store) -> None:
    assert names_in_order(store.texts("subject")) == [str(i) for i in range(1, 13)]
    assert subjects(store, split(store, "by-subject").test) == {b"10", b"11", b"12"}


def test_copies_across_the_split_are_named(write: Write) -> None:
    clips = [make_clip(2, seed=0 if i in (0, 7) else i, label="a", subject=str(i)) for i in range(8)]
    made = split(write(clips), "by-subject")
    assert made.test.tolist() == [6, 7] and made.repeated.tolist() == [7]


@pytest.mark.parametrize(("arguments", "error", "says"), [
    ({"protocol": "cross-subject"}, UnknownChoice, "protocol of mine.*by-subject"),
    ({"protocol": "five-fold"}, UnknownChoice, "unknown protocol"),
    ({"protocol": "losso"}, UnknownChoice, "did you mean 'loso'"),
    ({"protocol": "1-fold"}, UsageError, "at least 2"),
    ({"protocol": "loso", "fold": 12}, UsageError, "fold 12 of loso; expected 0 to 11"),
    ({"validation": 1.0}, UsageError, "validation 1.0"),
    ({"validation": "subject:99"}, UnknownChoice, "'99'"),
    ({"validation": "subject:12"}, UnknownChoice, "'12'"),  # a test subject can not validate
    ({"validation": "people:1"}, UsageError, "people:1"),
    ({"validation": "subject:1,2,3,4,5,6,7,8,9"}, DataError, "no clip"),
])
def test_what_cannot_be_divided_is_refused(store: Store, arguments: dict[str, Any], error: type[Exception],
                                           says: str) -> None:
    with pytest.raises(error, match=says):
        split(store, **arguments)


def test_a_store_without_subjects_is_divided_by_clip_and_says_so(write: Write) -> None:
    store = write([make_clip(2, seed=i, label="ab"[i % 2]) for i in range(20)])
    assert default_protocol(store) == "random"
    assert "loso" not in available(store)
    made = split(store)
    assert (len(made.train), len(made.validation), len(made.test)) == (13, 3, 4)
    with pytest.raises(DataError, match="name no subject.*random"):
        split(store, "loso")


def test_one_subject_validates_by_clip_and_the_name_says_so(write: Write) -> None:
    store = write([make_clip(2, seed=i, subject=str(i // 5)) for i in range(10)])
    assert "of the one training subject" in split(store, "by-subject").name
    assert len(split(store, "by-subject", validation=0).train) == 5


def test_names_in_any_script(write: Write) -> None:
    names = ["Zoë", "李", "Åsa", "bob"]
    store = write([make_clip(2, seed=i, label="a", subject=names[i % 4]) for i in range(8)])
    assert subjects(store, split(store, "loso", fold=names_in_order(store.texts("subject")).index("李")).test) == {
        "李".encode()}


def test_ntu_protocols(write: Write) -> None:
    clips = [make_clip(2, seed=100 * p + c, label="a", subject=str(p), view=str(c),
                       source=f"S{p % 3:03d}C{c:03d}P{p:03d}R001A001.skeleton")
             for p in (1, 2, 3, 6, 103, 104) for c in (1, 2, 3)]
    store = write(clips, dataset="ntu")
    assert subjects(store, split(store).test) == {b"3", b"6", b"104"}
    assert set(store.index["view"][split(store, "cross-view").test]) == {b"1"}
    setups = {source.decode()[:4] for source in store.index["source"][split(store, "cross-setup").test]}
    assert setups == {"S001"}


def test_more_folds_than_clips_are_refused(store: Store) -> None:
    for ask in (split, folds):
        with pytest.raises(UsageError, match="500-fold of 48 clips; expected at most 48 folds"):
            ask(store, "500-fold")
    assert folds(store, "48-fold") == 48


@pytest.mark.parametrize(("protocol", "field", "wanted"), [
    ("subject:2,4,6", "subject", {"2", "4", "6"}), ("subject:11", "subject", {"11"}), ("view:2", "view", {"2"}),
    ("subject: 2, 4", "subject", {"2", "4"}),
])
def test_a_test_part_of_ones_own(store: Store, protocol: str, field: str, wanted: set[str]) -> None:
    made = split(store, protocol)
    assert set(store.texts(field)[made.test].tolist()) == wanted
    assert not wanted & set(store.texts(field)[np.concatenate([made.train, made.validation])].tolist())
    assert folds(store, protocol) == 1 and made.protocol == protocol


@pytest.mark.parametrize(("protocol", "error", "says"), [
    ("subject:2,99", UnknownChoice, "'99'"), ("view:3", UnknownChoice, "view of mine"), ("view:1,2", DataError, "both sides"),
    ("stated", UsageError, "test_subjects in dataset.toml, or pass --protocol subject:2,4,6"),
])
def test_a_test_part_that_is_none(store: Store, protocol: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        split(store, protocol)
    assert "stated" not in available(store)
