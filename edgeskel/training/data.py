"""Batches of windows straight from the store, as one tensor operation each.

A store that fits is fitted into windows once and stays in memory; then a batch is one indexing. A larger one is read
clip by clip, by worker processes.

Axes: N clips, M persons, S frames of the window, V joints.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from edgeskel.data import Split, Store
from edgeskel.errors import DataError
from edgeskel.window import fit_window

__all__ = ["Batches", "Windows", "check_classes", "loader"]

Batch = tuple[Tensor, Tensor, Tensor]

CACHE_BYTES = 2 << 30
"""Windows up to this size are kept in memory."""


def check_classes(store: Store, parts: Split) -> None:
    """Refuse a training part that lacks a class: it cannot be learned, nor described for a device.

    Raises:
        DataError: it does.
    """
    shown = np.bincount(store.index["label"][parts.train][store.index["label"][parts.train] >= 0], minlength=len(store.labels))
    lacking = [label for label, clips in zip(store.labels, shown, strict=True) if not clips]
    if lacking:
        raise DataError(
            f"no training clip of {', '.join(lacking[:8])}{', ...' if len(lacking) > 8 else ''} in {parts.name}",
            expected=f"some of each of the {len(store.labels)} classes",
            remedy="choose another --protocol, or import without them: labels of dataset.toml, and the recordings, name the"
            " classes",
        )


class Windows(Dataset[Batch]):
    """Clips of a store as windows, whole batches at a time.

    Args:
        store: the recordings.
        indices: which clips.
        targets: (K',) class of the recogniser for each label of the store.
        persons: M.
        frames: S.
        cache_bytes: keep all windows in memory if they take no more than this.
    """

    store: Store
    indices: NDArray[np.int64]
    persons: int
    frames: int

    def __init__(
        self,
        store: Store,
        indices: NDArray[np.int64],
        targets: Sequence[int],
        persons: int,
        frames: int,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.store, self.indices, self.persons, self.frames = store, np.asarray(indices), persons, frames
        labels = store.index["label"][self.indices].astype(np.int64)
        if np.any(labels < 0):
            raise DataError(
                f"{int(np.sum(labels < 0))} clips to learn from have no label",
                expected="a label for each",
                remedy="give them labels when importing, or leave them out",
            )
        self.targets: Any = torch.from_numpy(np.asarray(targets, np.int64)[labels])
        each = persons * frames * len(store.topology.joints) * 16
        self.cached: bool = len(self.indices) * each <= cache_bytes
        self._kept = self._read(range(len(self.indices))) if self.cached else None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: int) -> Batch:
        return self.__getitems__([item])

    def __getitems__(self, items: Sequence[int]) -> Batch:
        """joints (N, M, S, V, 3), confidence (N, M, S, V), class (N,)."""
        chosen = torch.as_tensor(items, dtype=torch.int64)
        if self._kept is None:
            return *self._read(items), self.targets[chosen]
        return self._kept[0][chosen], self._kept[1][chosen], self.targets[chosen]

    def _read(self, items: Sequence[int]) -> tuple[Tensor, Tensor]:
        size = len(self.store.topology.joints)
        joints = np.empty((len(items), self.persons, self.frames, size, 3), np.float32)
        confidence = np.empty(joints.shape[:-1], np.float32)
        for row, item in enumerate(items):
            clip = self.store[int(self.indices[item])]
            joints[row], confidence[row] = fit_window(clip.joints, clip.confidence, self.persons, self.frames)
        nobody = np.flatnonzero(~confidence.any(axis=(1, 2, 3)))
        if len(nobody):
            names = [self.store.texts("source")[self.indices[items[row]]] for row in nobody[:5].tolist()]
            raise DataError(
                f"nobody is seen in {len(nobody)} clips: {', '.join(names)}{', ...' if len(nobody) > 5 else ''}",
                expected="somebody to learn from",
                remedy="import the recordings again, which leaves such clips out, or name them in the setting exclude",
            )
        return torch.from_numpy(joints), torch.from_numpy(confidence)


class Batches(Sampler[list[int]]):
    """Which clips stand in which batch; depends on seed and epoch alone, so that a resumed run sees what it would have.

    Every process works out the same order and takes its share of each batch, so that all take part in the same number
    of batches. In training all are full: the last one is filled from the start of the order. Without a shuffle the last
    one may be short, and with fewer clips in it than processes the share of some is empty.

    Args:
        size: number of clips.
        batch_size: clips of a batch, over all processes together.
        seed: of the shuffle; None keeps the order and lets the last batch be short.
        rank, processes: which of how many data-parallel processes this is.
    """

    size: int
    batch_size: int
    seed: int | None
    rank: int
    processes: int

    def __init__(self, size: int, batch_size: int, seed: int | None = None, rank: int = 0, processes: int = 1) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.rank, self.processes = rank, processes
        self.epoch: int = 0
        self.sampler = self  # where the trainer looks for something whose epoch it should set

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        if self.seed is None:
            order = np.arange(self.size)
        else:
            shuffled = np.random.default_rng((self.seed, self.epoch)).permutation(self.size)
            order = np.resize(shuffled, len(self) * self.batch_size)
        for start in range(0, len(order), self.batch_size):
            yield order[start : start + self.batch_size][self.rank :: self.processes].tolist()


def _together(batch: Any) -> Any:
    """The dataset gives whole batches already."""
    return batch


def loader(windows: Windows, batches: Batches, workers: int | None = None) -> DataLoader[Batch]:
    """Loader over ``windows``.

    Args:
        windows: the clips.
        batches: the sampler.
        workers: reading processes; None takes none for cached windows and up to four otherwise.
    """
    if workers is None:
        workers = 0 if windows.cached else min(4, os.cpu_count() or 1)
    return DataLoader(
        windows,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_together,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
    )
