"""Clips of one length in memory, and how a clip is made shorter and long again.

Axes: N clips, M persons, S frames of the window, P stored frames, V joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from edgeskel.training.augment import resample
from edgeskel.training.data import Batch

__all__ = ["Clips", "concatenate", "every", "interpolate"]


class Clips(NamedTuple):
    """Labelled clips, without their place in a store: those that were kept are in none.

    Args:
        joints: (N, M, S, V, 3) metres.
        confidence: (N, M, S, V); 0 is missing.
        targets: (N,) class.
    """

    joints: Tensor
    confidence: Tensor
    targets: Tensor

    @classmethod
    def of(cls, batch: Batch) -> Clips:
        """Those of a batch."""
        assert batch.labels is not None
        return cls(batch.joints, batch.confidence, batch.labels)

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> Clips:
        """On another device."""
        return Clips(*(values.to(device) for values in self))

    def take(self, items: Tensor | slice) -> Clips:
        """Some of them."""
        return Clips(self.joints[items], self.confidence[items], self.targets[items])


def concatenate(parts: Sequence[Clips]) -> Clips:
    """One behind the other."""
    return Clips(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


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
