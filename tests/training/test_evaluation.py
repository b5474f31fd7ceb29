"""Measuring a recogniser on a store that may not quite fit it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeskel import topologies
from edgeskel.data import Store, StoreWriter
from edgeskel.errors import LabelMismatch, TopologyMismatch
from edgeskel.training import evaluate


class Oracle:
    """Reads the label off a window: the number of its frames was made to say it."""

    def __init__(self, topology, labels, lengths):
        self.topology, self.labels, self.persons, self.frames = topology, tuple(labels), 1, 64
        self.lengths = lengths
        self.seen = []

    def __call__(self, joints, confidence):
        self.seen.append(joints)
        length = (confidence[:, 0].max(-1) > 0).sum(-1)
        answers = np.zeros((len(joints), len(self.labels)), np.float32)
        for row, frames in enumerate(length):
            answers[row, self.labels.index(self.lengths[int(frames)])] = 1
        return answers


LENGTHS = {10: "wave", 20: "clap", 30: "jog"}


@pytest.fixture
def store(six, tmp_path):
    """Three classes, told apart by their length alone."""
    with StoreWriter(tmp_path / "s", dataset="x", topology=six.topology, labels=LENGTHS.values(), rate_hz=30) as writer:
        for frames, label in LENGTHS.items():
            for clip in (six[0], six[1]):
                cut = replace(
                    clip,
                    joints=clip.joints[:, :frames],
                    confidence=clip.confidence[:, :frames],
                    time=clip.time[:frames],
                    label=label,
                    inertial=None,
                )
                writer.add(cut)
    return Store.open(tmp_path / "s")


def test_labels_are_matched_by_name_whatever_their_order(store):
    found = evaluate(Oracle(store.topology, ("jog", "wave", "clap"), LENGTHS), store, range(6), batch_size=4)
    assert found.top1 == 100
    assert found.truth.tolist() == [1, 1, 2, 2, 0, 0]
    assert found.clips.tolist() == list(range(6))


def test_other_labels_are_refused_with_the_difference(store):
    with pytest.raises(LabelMismatch, match="only the store has jog; only the model has run.*--remap"):
        evaluate(Oracle(store.topology, ("wave", "clap", "run"), LENGTHS), store, range(6))


def test_remap_measures_the_labels_that_both_have_and_counts_the_rest(store):
    found = evaluate(Oracle(store.topology, ("wave", "clap", "run"), LENGTHS), store, range(6), remap=True)
    assert found.left_out == 2
    assert found.clips.tolist() == [0, 1, 2, 3]
    assert found.figures()["top1"] == 100


def test_no_common_label_is_refused_even_with_remap(store):
    with pytest.raises(LabelMismatch, match="knows none"):
        evaluate(Oracle(store.topology, ("run",), LENGTHS), store, range(6), remap=True)


def test_another_layout_is_refused_with_the_difference_and_remapped_on_demand(store):
    wanted = topologies.get("kinect-v2")
    oracle = Oracle(wanted, store.labels, LENGTHS)
    with pytest.raises(TopologyMismatch, match="kinect-v1.*kinect-v2.*the store lacks.*--remap"):
        evaluate(oracle, store, range(6))
    assert evaluate(oracle, store, range(6), remap=True).top1 == 100
    wrist = wanted.index("left_wrist")
    np.testing.assert_array_equal(
        oracle.seen[0][0, 0, :10, wrist], store[0].joints[0, :, store.topology.index("left_wrist")]
    )


def test_a_recogniser_is_measured_in_evaluation_mode_and_left_as_it_was(six):
    import torch

    from edgeskel.models import create

    torch.manual_seed(0)
    model = create("edge", topology=six.topology, labels=six.labels, dropout=0.9).train()
    first, second = (evaluate(model, six, range(12)) for _ in range(2))
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert model.training
    np.testing.assert_allclose(first.probabilities.sum(1), 1, rtol=1e-5)
