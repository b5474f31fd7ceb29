"""Batches of windows straight from the store, as one tensor operation each.

A store that fits is fitted into windows once and stays in memory; then a batch is one indexing. A larger one is read
clip by clip, by worker processes.

Axes: N clips, M persons, S frames of the window, V joints.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data import Sampler as BatchSampler

from edgeskel.data import Split, Store
from edgeskel.errors import DataError, UsageError
from edgeskel.skeleton import Float32
from edgeskel.training.augment import resample, seen_span
from edgeskel.training.samplers import Sampler, shuffle
from edgeskel.window import fit_window

__all__ = ["Batch", "Batches", "WindowDataset", "check_classes", "loader"]


class Batch(NamedTuple):
    """Clips of one step.

    Args:
        joints: (N, M, S, V, 3) metres.
        confidence: (N, M, S, V) in 0..1; 0 is missing.
        labels: (N,) class of the recogniser; None where the method asks for none.
        index: (N,) place of each clip in its store, by which a method finds what lies beside it: a video, an IMU, a text.
    """

    joints: Tensor
    confidence: Tensor
    labels: Tensor | None
    index: Tensor  # type: ignore[assignment]  # a tuple's own method of this name says nothing about a batch


CACHE_BYTES = 2 << 30
"""Windows up to this size are kept in memory."""


def check_classes(store: Store, parts: Split) -> None:
    """Refuse a store without classes, and a training part that lacks one: it cannot be learned, nor described for a device.

    Raises:
        DataError: it does.
    """
    if not store.labels:
        raise DataError(f"the clips of {store.dataset} have no labels", expected="a label for each",
                        remedy="give them labels when importing, or train with a method that needs none")
    shown = np.bincount(store.index["label"][parts.train][store.index["label"][parts.train] >= 0], minlength=len(store.labels))
    lacking = [label for label, clips in zip(store.labels, shown, strict=True) if not clips]
    if lacking:
        raise DataError(
            f"no training clip of {', '.join(lacking[:8])}{', ...' if len(lacking) > 8 else ''} in {parts.name}",
            expected=f"some of each of the {len(store.labels)} classes",
            remedy="choose another --protocol, or import without them: labels of dataset.toml, and the recordings, name the"
            " classes",
        )


class WindowDataset(Dataset[Batch]):
    """Clips of a store as windows, whole batches at a time.

    Args:
        store: the recordings.
        indices: which clips.
        targets: (K',) class of the recogniser for each label of the store; None gives batches without labels.
        persons: M.
        frames: S.
        cache_bytes: keep all windows in memory if they take no more than this.
        stretch: let each clip's seen frames fill the window, whose first frame is its first and whose last is its last; else the
            clip keeps its pace, as :func:`edgeskel.window.fit_window` puts it.

    Raises:
        DataError: a clip without a label, where labels are asked for.
    """

    store: Store
    indices: NDArray[np.int64]
    labels: NDArray[np.int64]
    persons: int
    frames: int

    def __init__(
        self,
        store: Store,
        indices: NDArray[np.int64],
        targets: Sequence[int] | NDArray[np.int64] | None,
        persons: int,
        frames: int,
        cache_bytes: int = CACHE_BYTES,
        stretch: bool = False,
    ) -> None:
        self._fit = _stretched if stretch else fit_window
        self.store, self.indices, self.persons, self.frames = store, np.asarray(indices, np.int64), persons, frames
        labels = store.index["label"][self.indices].astype(np.int64)
        if targets is not None and np.any(labels < 0):
            raise DataError(
                f"{int(np.sum(labels < 0))} clips to learn from have no label",
                expected="a label for each",
                remedy="give them labels when importing, leave them out, or train with a method that needs none",
            )
        self.labels = labels if targets is None else np.asarray(targets, np.int64)[labels]
        """(N,) class of each clip; of the store, and -1 for none, where there are no ``targets``."""
        self._targets: Tensor | None = None if targets is None else torch.from_numpy(self.labels)
        self._places: Tensor = torch.from_numpy(self.indices)
        each = persons * frames * len(store.topology.joints) * 16
        self.cached: bool = len(self.indices) * each <= cache_bytes
        self._kept = self._read(range(len(self.indices))) if self.cached else None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: int) -> Batch:
        return self.__getitems__([item])

    def __getitems__(self, items: Sequence[int]) -> Batch:
        """One batch of the clips at these places of ``indices``."""
        chosen = torch.as_tensor(items, dtype=torch.int64)
        joints, confidence = self._read(items) if self._kept is None else (self._kept[0][chosen], self._kept[1][chosen])
        return Batch(joints, confidence, None if self._targets is None else self._targets[chosen], self._places[chosen])

    def all(self) -> Batch:
        """Every clip."""
        return self.__getitems__(range(len(self)))

    def _read(self, items: Sequence[int]) -> tuple[Tensor, Tensor]:
        size = len(self.store.topology.joints)
        joints = np.empty((len(items), self.persons, self.frames, size, 3), np.float32)
        confidence = np.empty(joints.shape[:-1], np.float32)
        for row, item in enumerate(items):
            clip = self.store[int(self.indices[item])]
            joints[row], confidence[row] = self._fit(clip.joints, clip.confidence, self.persons, self.frames)
        nobody = np.flatnonzero(~confidence.any(axis=(1, 2, 3)))
        if len(nobody):
            names = [self.store.texts("source")[self.indices[items[row]]] for row in nobody[:5].tolist()]
            raise DataError(
                f"nobody is seen in {len(nobody)} clips: {', '.join(names)}{', ...' if len(nobody) > 5 else ''}",
                expected="somebody to learn from",
                remedy="import the recordings again, which leaves such clips out, or name them in the setting exclude",
            )
        return torch.from_numpy(joints), torch.from_numpy(confidence)


def _stretched(joints: Float32, confidence: Float32, persons: int, frames: int) -> tuple[Float32, Float32]:
    """As :func:`edgeskel.window.fit_window`, with the seen frames over all of the window."""
    fitted = fit_window(joints, confidence, persons, joints.shape[1])
    whole, seen = (torch.from_numpy(values)[None] for values in fitted)
    first, last = seen_span(seen)
    positions = first[:, None] + (last - first)[:, None] * torch.linspace(0, 1, frames)
    stretched, there = resample(whole, seen, positions)
    return stretched[0].numpy(), there[0].numpy()


class Batches(BatchSampler[list[int]]):
    """Which clips stand in which batch; depends on seed and epoch alone, so that a resumed run sees what it would have.

    Every process works out the same order and takes its share of each batch, so that all take part in the same number
    of batches. In training all are full: the last one is filled from the start of the order. Without a seed the clips keep their
    order and the last batch may be short; with fewer clips in it than processes, the share of some is empty.

    Args:
        labels: (N,) class of each clip, for the sampler.
        batch_size: clips of a batch, over all processes together.
        seed: of the draws; None keeps the order.
        rank, processes: which of how many data-parallel processes this is.
        sampler: draws an epoch.
    """

    labels: NDArray[np.int64]
    batch_size: int
    seed: int | tuple[int, ...] | None
    rank: int
    processes: int
    size: int
    """Draws of an epoch."""

    def __init__(self, labels: NDArray[np.int64], batch_size: int, seed: int | tuple[int, ...] | None = None, rank: int = 0,
                 processes: int = 1, sampler: Sampler = shuffle) -> None:
        self.labels, self.batch_size, self.seed = labels, batch_size, seed
        self.rank, self.processes = rank, processes
        self.draws = sampler
        self.epoch: int = 0
        self.size = 0  # until the first draw
        self.size = len(labels) if seed is None else len(self._drawn())
        self.sampler = self  # where the trainer looks for something whose epoch it should set

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = np.arange(self.size) if self.seed is None else np.resize(self._drawn(), len(self) * self.batch_size)
        for start in range(0, len(order), self.batch_size):
            yield order[start : start + self.batch_size][self.rank :: self.processes].tolist()

    def _drawn(self) -> NDArray[np.int64]:
        seed = self.seed if isinstance(self.seed, tuple) else (self.seed or 0,)
        order = np.asarray(self.draws(self.labels, np.random.default_rng((*seed, self.epoch))))
        clips = len(self.labels)
        fits = order.ndim == 1 and len(order) and order.min() >= 0 and order.max() < clips
        if not fits or self.size not in (0, len(order)):
            raise UsageError(f"a sampler drew {order.shape} places of {clips} clips in epoch {self.epoch + 1}",
                             expected="places of clips, as many in every epoch")
        return order


def _together(batch: Any) -> Any:
    """The dataset gives whole batches already."""
    return batch


def loader(windows: WindowDataset, batches: Batches, workers: int | None = None) -> DataLoader[Batch]:
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
