"""Figures against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeskel.errors import DataError
from edgeskel.training.metrics import Metrics, calibration_error, mean_and_spread


def metrics(probabilities, truth):
    probabilities = np.asarray(probabilities, np.float32)
    truth = np.asarray(truth)
    return Metrics(tuple("abcdefgh"[: probabilities.shape[1]]), probabilities, truth, np.arange(len(truth)))


def test_accuracy_confusion_and_f1():
    found = metrics([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.6, 0.4, 0], [0.1, 0.9, 0]], [0, 1, 1, 1])
    assert found.top1 == 75
    assert found.confusion.tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    # class a: precision 1/2, recall 1, F1 2/3; class b: precision 1, recall 2/3, F1 4/5; c neither occurs nor is answered
    assert found.macro_f1 == pytest.approx(100 * (2 / 3 + 4 / 5) / 2)
    assert [row["f1"] for row in found.per_class] == pytest.approx([200 / 3, 80, 0])
    assert found.per_class[1] == pytest.approx(
        {"label": "b", "clips": 3, "answered": 2, "precision": 100.0, "recall": 200 / 3, "f1": 80.0}
    )


def test_a_class_answered_but_absent_lowers_macro_f1():
    assert metrics([[1, 0], [0, 1]], [0, 0]).macro_f1 == pytest.approx(100 * (2 / 3) / 2)


def test_top5_is_about_rank():
    ranks = np.array([[6, 5, 4, 3, 2, 1]]) / 21
    assert [metrics(ranks, [k]).top5 for k in range(6)] == [100, 100, 100, 100, 100, 0]


def test_equal_probabilities_do_not_all_count_as_right():
    assert metrics(np.full((8, 8), 1 / 8), range(8)).top5 == pytest.approx(62.5)


def test_calibration_error_of_the_certain_and_wrong():
    certain = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    assert calibration_error(certain, np.array([0, 1])) == pytest.approx(50)
    assert calibration_error(certain, np.array([0, 0])) == pytest.approx(0)


def test_calibration_error_weighs_bins_by_clips():
    # three answers of 0.9 certainty, two right (gap |2/3 - 0.9|), one of 0.6, right (gap 0.4)
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    expected = 100 * (3 / 4 * abs(2 / 3 - 0.9) + 1 / 4 * 0.4)
    assert calibration_error(probabilities, np.array([0, 0, 1, 0])) == pytest.approx(expected)


def test_the_worst_come_first():
    assert metrics([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]], [0, 0, 0]).worst(2).tolist() == [1, 2]


def test_nothing_to_measure_is_an_error():
    with pytest.raises(DataError, match="no clip"):
        metrics(np.zeros((0, 2)), [])


@given(st.integers(2, 7), st.integers(1, 40), st.integers(0, 10_000))
def test_figures_stay_in_their_bounds(classes, clips, seed):
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(classes), clips)
    found = metrics(probabilities, random.integers(0, classes, clips))
    assert 0 <= found.top1 <= found.top5 <= 100
    assert 0 <= found.macro_f1 <= 100
    assert 0 <= found.calibration_error <= 100
    assert found.confusion.sum() == clips
    assert np.trace(found.confusion) == pytest.approx(found.top1 / 100 * clips)


def test_folds_are_averaged_and_their_clips_added():
    rows = [{"top1": 90.0, "clips": 10}, {"top1": 94.0, "clips": 12}]
    assert mean_and_spread(rows) == {"top1": 92.0, "top1_std": pytest.approx(2.8284), "clips": 22}
