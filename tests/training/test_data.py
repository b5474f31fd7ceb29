"""Batches: right clips, right windows, every clip once, the same after a resume and over several processes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgeskel.errors import DataError
from edgeskel.training.data import Batches, WindowDataset, loader
from edgeskel.window import fit_window

NOBODY = np.zeros(25, np.int64)
"""Labels of clips that are all alike."""


def test_an_epoch_shows_every_clip_and_depends_on_seed_and_epoch_only():
    def epoch(number, seed=0):
        batches = Batches(NOBODY[:25], 8, seed)
        batches.set_epoch(number)
        return list(batches)

    first = epoch(0)
    assert [len(batch) for batch in first] == [8, 8, 8, 8], "full batches, the last filled from the start"
    assert set(sum(first, [])) == set(range(25))
    assert first == epoch(0) and first != epoch(1) and first != epoch(0, seed=1)


def test_processes_share_each_batch():
    whole = list(Batches(NOBODY[:25], 8, 0))
    halves = [list(Batches(NOBODY[:25], 8, 0, rank, 2)) for rank in range(2)]
    for batch, one, other in zip(whole, *halves, strict=True):
        assert sorted(one + other) == sorted(batch) and not set(one) & set(other)


def test_a_process_without_a_clip_in_the_last_batch_still_takes_part(six):
    shares = [list(Batches(NOBODY[:9], 4, None, rank, 2)) for rank in range(2)]
    assert shares == [[[0, 2], [4, 6], [8]], [[1, 3], [5, 7], []]]
    for cache_bytes in (1 << 30, 0):
        windows = WindowDataset(six, np.arange(9), range(6), 1, 32, cache_bytes=cache_bytes)
        found = list(loader(windows, Batches(NOBODY[:9], 4, None, 1, 2), 0))
        assert [tuple(batch[0].shape) for batch in found] == [(2, 1, 32, 20, 3), (2, 1, 32, 20, 3), (0, 1, 32, 20, 3)]


def test_without_a_seed_the_order_is_kept():
    assert list(Batches(NOBODY[:5], 2)) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("cache_bytes", [1 << 30, 0])
def test_windows_are_those_of_the_device(six, cache_bytes):
    indices = np.array([3, 70, 5])
    windows = WindowDataset(six, indices, range(6), persons=2, frames=60, cache_bytes=cache_bytes)
    joints, confidence, labels, index = windows.__getitems__([2, 0])
    assert index.tolist() == [5, 3]
    for row, clip_index in enumerate((5, 3)):
        clip = six[clip_index]
        expected, seen = fit_window(clip.joints, clip.confidence, 2, 60)
        np.testing.assert_array_equal(joints[row], expected)
        np.testing.assert_array_equal(confidence[row], seen)
        assert six.labels[int(labels[row])] == clip.label


def test_the_loader_gives_whole_batches_with_and_without_worker_processes(six):
    indices = np.arange(20)
    found = []
    for workers in (0, 1):
        windows = WindowDataset(six, indices, range(6), 1, 32, cache_bytes=0)
        found.append(list(loader(windows, Batches(NOBODY[:20], 8, 0), workers)))
    assert [tuple(batch[0].shape) for batch in found[0]] == [(8, 1, 32, 20, 3)] * 3
    for one, other in zip(*found, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_clips_without_a_label_are_refused(six, tmp_path):
    from dataclasses import replace

    from edgeskel.data import Store, StoreWriter

    with StoreWriter(tmp_path / "s", dataset="mine", topology=six.topology, labels=("a",), rate_hz=30) as writer:
        writer.add(replace(six[0], label=""))
    with pytest.raises(DataError, match="1 clips to learn from have no label"):
        WindowDataset(Store.open(tmp_path / "s"), np.arange(1), [0], 1, 32)
