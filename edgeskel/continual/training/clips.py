"""Clips of one length in memory, and how a clip is made shorter and long again.

Axes: N clips, M persons, S frames of the window, P stored frames, V joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgeskel.data import Store
from edgeskel.training.augment import resample, seen_span
from edgeskel.window import fit_window

__all__ = ["Clips", "concatenate", "every", "interpolate", "read"]


class Clips(NamedTuple):
    """Labelled clips.

    Args:
        joints: (N, M, S, V, 3) metres.
        confidence: (N, M, S, V); 0 is missing.
        targets: (N,) class.
    """

    joints: Tensor
    confidence: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, items: Tensor | slice) -> Clips:
        """Some of them."""
        return Clips(self.joints[items], self.confidence[items], self.targets[items])


def concatenate(parts: Sequence[Clips]) -> Clips:
    """One behind the other."""
    return Clips(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


def read(store: Store, indices: NDArray[np.int64], targets: NDArray[np.int64], persons: int, frames: int) -> Clips:
    """Clips of a store, each stretched over the window: its first seen frame is frame 0, its last one frame S - 1.

    Args:
        store: the recordings.
        indices: which clips.
        targets: (K',) class of each label of the store.
        persons: M; the most visible ones where a clip has more.
        frames: S.
    """
    size = len(store.topology.joints)
    joints = torch.empty(len(indices), persons, frames, size, 3)
    confidence = torch.empty(len(indices), persons, frames, size)
    for row, index in enumerate(indices):
        clip = store[int(index)]
        window = fit_window(clip.joints, clip.confidence, persons, clip.joints.shape[1])
        whole, seen = torch.from_numpy(window[0])[None], torch.from_numpy(window[1])[None]
        first, last = seen_span(seen)
        positions = first[:, None] + (last - first)[:, None] * torch.linspace(0, 1, frames)
        joints[row], confidence[row] = (values[0] for values in resample(whole, seen, positions))
    classes = targets[store.index["label"][indices].astype(np.int64)]
    return Clips(joints, confidence, torch.from_numpy(classes))


def every(joints: Tensor, confidence: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Uniform sampling: every ``step``-th frame from the first. (N, M, S, ...) -> (N, M, P, ...), P = ceil(S / step)."""
    return joints[:, :, ::step], confidence[:, :, ::step]


def interpolate(joints: Tensor, confidence: Tensor, step: int, frames: int) -> tuple[Tensor, Tensor]:
    """Back to the original length: linear between the stored frames, the last one held. The inverse of :func:`every` for
    motion that is linear between them; a missing joint's value never mixes in.

    Args:
        joints: (N, M, P, V, 3).
        confidence: (N, M, P, V).
        step: as it was stored with.
        frames: S.
    """
    if step == 1:
        return joints, confidence
    positions = (torch.arange(frames) / step).clamp(max=joints.shape[2] - 1).expand(len(joints), frames)
    return resample(joints, confidence, positions.to(joints.device))
