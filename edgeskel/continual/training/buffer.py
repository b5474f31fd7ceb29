"""What is kept of past tasks: a reservoir of clips, and exemplars by class, both within a budget of bytes.

Axes: N clips, M persons, S frames of the window, P stored frames, V joints, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from edgeskel.continual.training.clips import Clips, every, interpolate
from edgeskel.errors import UsageError

__all__ = ["Replayed", "Reservoir", "clip_bytes"]

_FLOAT, _LABEL = 4, 8  # bytes of a float32, and of the int64 of a class


def clip_bytes(persons: int, frames: int, joints: int, *, step: int = 1, logits: int = 0) -> int:
    """Bytes of one stored clip: coordinates, confidences, its class and, where kept, its logits.

    Args:
        persons, frames, joints: M, S, V.
        step: every ``step``-th frame is kept.
        logits: K where they are kept.
    """
    return -(-frames // step) * persons * joints * 4 * _FLOAT + _LABEL + logits * _FLOAT


class Replayed(NamedTuple):
    """Clips drawn from a buffer, at full length, and the logits (N, K) stored with them (K = 0 where none are)."""

    clips: Clips
    logits: Tensor


class Reservoir:
    """A uniform sample of all clips that were ever offered, of fixed size (algorithm R, Vitter 1985,
    doi:10.1145/3147.3165).

    Args:
        budget: bytes to stay within.
        shape: (M, S, V) of a clip.
        step: keep every ``step``-th frame, and interpolate when drawing.
        classes: K where logits are kept with the clips, else 0.

    Raises:
        UsageError: the budget holds not a single clip.
    """

    frames: int
    joints: Tensor
    confidence: Tensor
    targets: Tensor
    logits: Tensor
    offered: int

    def __init__(self, budget: int, shape: tuple[int, int, int], *, step: int = 1, classes: int = 0) -> None:
        persons, self.frames, joints = shape
        self.step = step
        self.each: int = clip_bytes(persons, self.frames, joints, step=step, logits=classes)
        self.capacity: int = budget // self.each
        if self.capacity < 1:
            raise UsageError(f"a buffer of {budget} bytes", expected=f"at least {self.each}, one clip", remedy="raise --bytes")
        stored = -(-self.frames // step)
        self.offered = 0
        self.joints = torch.zeros(0, persons, stored, joints, 3)
        self.confidence = torch.zeros(0, persons, stored, joints)
        self.targets = torch.zeros(0, dtype=torch.int64)
        self.logits = torch.zeros(0, classes)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def bytes(self) -> int:
        """What its tensors hold now."""
        return sum(value.nbytes for value in self.state().values())

    def offer(self, clips: Clips, logits: Tensor | None = None) -> None:
        """Show it clips, each once: every clip ever offered is kept with the same probability.

        Args:
            clips: at full length.
            logits: (N, K) to keep with them, where K is not 0.
        """
        kept: dict[int, int] = {}  # place -> row of ``clips``
        for row in range(len(clips)):
            place = self.offered if self.offered < self.capacity else int(torch.randint(self.offered + 1, ()))
            self.offered += 1
            if place < self.capacity:
                kept[place] = row
        if not kept:
            return
        places, rows = torch.tensor(list(kept)), torch.tensor(list(kept.values()))
        joints, confidence = every(clips.joints[rows], clips.confidence[rows], self.step)
        answers = torch.zeros(len(rows), 0) if logits is None else logits[rows].detach()
        for name, values in (("joints", joints), ("confidence", confidence), ("targets", clips.targets[rows]),
                             ("logits", answers)):
            setattr(self, name, _placed(getattr(self, name), places, values))

    def draw(self, count: int) -> Replayed:
        """At most ``count`` different clips at random, at full length."""
        return self.at(torch.randperm(len(self))[:count])

    def at(self, places: Tensor | slice) -> Replayed:
        """The clips at some places, at full length."""
        joints, confidence = interpolate(self.joints[places], self.confidence[places], self.step, self.frames)
        return Replayed(Clips(joints, confidence, self.targets[places]), self.logits[places])

    def state(self) -> dict[str, Tensor]:
        """Everything that is stored."""
        return {"joints": self.joints, "confidence": self.confidence, "targets": self.targets, "logits": self.logits}

    def load(self, state: Mapping[str, Tensor], offered: int) -> None:
        """Inverse of :meth:`state` and ``offered``."""
        self.joints, self.confidence = state["joints"], state["confidence"]
        self.targets, self.logits, self.offered = state["targets"], state["logits"], offered


def _placed(old: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """``old`` with ``values`` at ``places``, longer where these lie behind its end. A copy: nobody's view changes."""
    new = torch.cat((old, old.new_zeros(max(0, int(places.max()) + 1 - len(old)), *old.shape[1:])))
    new[places] = values.to(new)
    return new
