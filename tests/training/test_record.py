"""``run.json`` is read in one place; what it tells decides which clips a recogniser may be measured on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edgeskel.data import split
from edgeskel.errors import CorruptFile, UsageError
from edgeskel.training import record

SPLITS = [
    ("subject:2,4", 0, "0.25"),
    ("subject:2,4", 0, "subject:1,5"),
    ("subject:8", 0, "0"),
    ("cross-subject", 0, "0"),
    ("cross-subject", 0, "subject:1,5"),
    ("cross-subject", 0, "0.25"),
    ("loso", 3, "0.25"),
    ("k-fold", 2, "0.2"),
    ("10-fold", 7, "0"),
    ("random", 0, "0.2"),
]


def told(store, protocol, fold, validation):
    parts = split(store, protocol, fold=fold, validation=validation)
    return {"dataset": store.dataset, "data_digest": store.digest, "split": parts.name}


@pytest.mark.parametrize(("protocol", "fold", "validation"), SPLITS)
def test_the_quoted_split_gives_the_very_clips_again(six, protocol, fold, validation):
    expected = split(six, protocol, fold=fold, validation=validation)
    found = record.Training.of(told(six, protocol, fold, validation)).split(six)
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))


def test_what_is_not_asked_for_is_as_in_the_training(six):
    trained = record.Training.of(told(six, "loso", 3, "subject:1"))
    assert record.parts_for(trained, six).name == split(six, "loso", fold=3, validation="subject:1").name
    assert record.parts_for(trained, six, fold=2).name == split(six, "loso", fold=2, validation=0).name
    assert record.parts_for(trained, six, "k-fold").name == split(six, "k-fold", validation=0).name
    assert record.parts_for(None, six, otherwise="0.25").name == split(six, validation=0.25).name
    elsewhere = record.Training("another", six.digest, "loso", 3, "0")
    assert record.parts_for(elsewhere, six).protocol == "cross-subject"


def test_clips_of_its_training_are_found_wherever_another_split_puts_them(six):
    trained = record.Training.of(told(six, "loso", 3, "subject:1"))
    own, other = trained.split(six), split(six, "loso", fold=0, validation=0)
    assert record.check_unseen(trained, six, own.test, model="m") == 0
    assert record.check_unseen(trained, six, own.validation, model="m", part="validation") == 0
    with pytest.raises(UsageError, match=r"m was trained with 24 of the 24 clips of that test part: .*loso, fold 3"):
        record.check_unseen(trained, six, other.test, model="m")  # subject 1, on which its epoch was chosen
    assert record.check_unseen(trained, six, other.test, model="m", allowed=True) == len(other.test)
    with pytest.raises(UsageError, match="trained with"):
        record.check_split(trained, six, other, model="m")
    smaller = replace(own, train=np.concatenate((own.train, own.test[1:])), test=own.test[:1])
    with pytest.raises(UsageError, match="23 of the .* training clips of .* are test clips of m"):
        record.check_split(trained, six, smaller, model="m")
    another = record.Training(six.dataset, "0" * 64, "loso", 3, "0")
    assert record.check_unseen(another, six, other.test, model="m") is None, "another store: not known"


def test_what_may_be_absent_is_absent(tmp_path):
    assert record.read(tmp_path) == {}
    (tmp_path / "run.json").write_text('{"recogniser": "edge", "start": null}')
    assert record.read(tmp_path) == {"recogniser": "edge", "start": None}
    assert record.Training.of({"recogniser": "edge"}) is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "unreadable"),
        ("[]", "list at the top"),
        ('{"history": 3}', "history is '3'.*a list"),
        ('{"history": [{"epoch": 1}]}', "history of epoch 1"),
        ('{"clips": {}}', "clips"),
        ('{"seed": true}', "seed is 'True'.*a whole number"),
        ('{"recipe": []}', "recipe.*a table"),
    ],
)
def test_what_is_damaged_is_named(tmp_path, text, named):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(CorruptFile, match=rf"run\.json: {named}"):
        record.read(tmp_path)


def test_a_finished_training_is_read_as_it_was_written(tmp_path):
    run = {"recogniser": "edge", "history": [{"epoch": 1.0, "loss": 2.0, "learning_rate": 0.1}], "clips": {"train": 3}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    assert record.read(tmp_path) == run


def test_a_published_set_imported_by_other_rules_is_known_by_its_clips(six):
    own = split(six, "loso", fold=3, validation=0)
    told_of = {"dataset": "utd-mhad", "data_digest": "0" * 64, "split": own.name, "clips": {"train": len(own.train)}}
    assert record.Training.of(told_of).knows(six)
    assert record.check_unseen(record.Training.of(told_of), six, own.train, model="m", allowed=True) == len(own.train)
    assert not record.Training.of({**told_of, "clips": {"train": 7}}).knows(six)
    assert not record.Training.of({**told_of, "dataset": "mine"}).knows(six)
