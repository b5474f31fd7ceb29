"""What every class-incremental method is: a loss for a step, and what it keeps when a task ends.

The loop (``loop.py``) is the same for all. A method sees the clips of the task at hand and whatever it stored itself.

Axes: N clips, M persons, S frames of the window, V joints, K classes of all tasks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeskel.continual.training.clips import Clips, concatenate
from edgeskel.errors import UnknownChoice, UsageError
from edgeskel.models.edge import Edge
from edgeskel.training.augment import Augmenter
from edgeskel.training.recipes import Augment

__all__ = ["Method", "Settings", "answer", "changed"]

#: Changes of a training clip, the same for every method; replayed clips are changed anew at every draw.
AUGMENT = Augment(frames=0, crop=0.25, warp=0.3, amplitude=0.0, bone=0.1, limb=0.1, yaw=0.3, tilt=0.1, noise=0.01,
                  joint_dropout=0.0, flip=0.0, mix=0.0)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all methods have in common, with the same values for all."""

    epochs: int = 15
    """Passes over the clips of a task."""
    batch_size: int = 16
    """New clips of a step; as many replayed ones for each term that replays."""
    learning_rate: float = 3e-3
    """Of AdamW at the start of each task; it falls as a cosine to 0 within the task."""
    weight_decay: float = 1e-3
    """On all weights."""
    clip_norm: float = 2.0
    """Gradients longer than this are shortened to it."""

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}", expected=f"at least {least}")
        for item in fields(self):
            value = getattr(self, item.name)
            if not math.isfinite(value) or value < 0:
                raise UsageError(f"{item.name} is {value}", expected="a finite number, not negative")


S = TypeVar("S", bound=Settings)


def answer(recogniser: Edge, streams: Tensor, presence: Tensor) -> Tensor:
    """Logits (N, K) of streams (B, C, T, V) with presence (N, M)."""
    logits: Tensor = recogniser.classifier(recogniser.pool(recogniser.features(streams), presence))
    return logits


def changed(settings: S, changes: Mapping[str, Any]) -> S:
    """``settings`` with other values.

    Raises:
        UnknownChoice: no such setting.
        UsageError: a value of the wrong type or size.
    """
    known = {item.name: getattr(settings, item.name) for item in fields(settings)}
    converted: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in known:
            raise UnknownChoice("setting", name, known)
        whole = isinstance(known[name], int)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise UsageError(f"{name} is {value!r}", expected=f"a number, such as {known[name]!r}")
        converted[name] = int(value) if whole else float(value)
    return replace(settings, **converted)


class Method:
    """Base of all methods; by itself it is fine-tuning, which keeps nothing.

    Args:
        recogniser: learns in place. Its head has a place for every class of the protocol.
        settings: of :attr:`settings_type`.
        budget: bytes that may be stored between tasks.
        device: where the recogniser is.
    """

    name = "finetune"
    settings_type: type[Settings] = Settings
    at_once = False
    """Whether all tasks are learned as one (``joint``)."""

    recogniser: Edge
    settings: Settings
    budget: int
    device: str
    new: range
    seen: int

    def __init__(self, recogniser: Edge, settings: Settings, budget: int, device: str = "cpu") -> None:
        config = recogniser.config
        self.recogniser, self.settings, self.budget, self.device = recogniser.to(device), settings, budget, device
        self.shape: tuple[int, int, int] = (config.persons, config.source_frames, len(config.topology.joints))
        self.classes: int = len(config.labels)
        self.augment: Augmenter = Augmenter(AUGMENT, config.topology, config.labels, config.source_frames, {}).to(device)
        self.new = range(0)
        """Classes of the task at hand."""
        self.seen = 0
        """Classes of all tasks so far; they are the first ones."""

    def modules(self) -> nn.ModuleList:
        """Everything that learns."""
        return nn.ModuleList([self.recogniser])

    def begin(self, new: range) -> None:
        """A task with the classes ``new`` begins; the recogniser is as the one before left it."""
        self.new, self.seen = new, new.stop

    def loss(self, batch: Clips) -> Tensor:
        """Of one step on new clips; draws from the global generator."""
        logits, = self.recognise([batch])
        return self.classify(logits, batch.targets)

    def end(self, clips: Clips) -> None:
        """The task ends: look at its clips a last time and store what is to be kept."""

    def finish(self) -> None:
        """All tasks are learned: let the recogniser itself answer as :meth:`predict` does."""

    @property
    def stored_bytes(self) -> int:
        """What is kept between tasks beside the recogniser."""
        return 0

    def state(self) -> dict[str, Any]:
        """Tensors and numbers that are kept between tasks, beside :meth:`modules`."""
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""

    # For the methods.

    def inputs(self, parts: Sequence[Clips]) -> tuple[Tensor, Tensor]:
        """All clips of ``parts`` as one batch: changed at random, as streams (B, C, T, V), with presence (N, M)."""
        clips = concatenate(parts)
        with torch.no_grad():
            nothing = torch.zeros(len(clips), 1, device=self.device)
            joints, confidence, _ = self.augment(clips.joints.to(self.device), clips.confidence.to(self.device), nothing)
            streams, presence = self.recogniser.streams(joints, confidence)
        return streams, presence

    def recognise(self, parts: Sequence[Clips]) -> tuple[Tensor, ...]:
        """Logits (N, K) of each part, in one pass, so that normalisation sees old and new clips together."""
        streams, presence = self.inputs(parts)
        logits = answer(self.recogniser, streams, presence)
        return torch.split(logits, [len(part) for part in parts])

    def classify(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of (N, K) with classes (N,); ``loss`` gives it the places of later classes too."""
        return functional.cross_entropy(logits, targets.to(logits.device))

    @torch.no_grad()
    def embed(self, clips: Clips, batch_size: int = 64) -> Tensor:
        """(N, D) of whole, unchanged clips, in evaluation mode, on the CPU."""
        training = self.recogniser.training
        self.recogniser.eval()
        found = [self.recogniser.embed(part.joints.to(self.device), part.confidence.to(self.device)).cpu()
                 for part in (clips.take(slice(start, start + batch_size)) for start in range(0, len(clips), batch_size))]
        self.recogniser.train(training)
        return torch.cat(found)

    @torch.no_grad()
    def logits(self, clips: Clips) -> Tensor:
        """(N, K) of whole, unchanged clips, in evaluation mode, on the CPU."""
        answers: Tensor = self.recogniser.classifier(self.embed(clips).to(self.device))
        return answers.cpu()

    def predict(self, clips: Clips) -> Tensor:
        """(N,) classes, among those seen so far."""
        return self.logits(clips)[:, : self.seen].argmax(1)
