"""What every encoder is: raw joints in, an embedding out, with the maps between them in the open.

    joints, confidence --inputs--> streams, presence --maps--> maps --pool--> embedding

A new recogniser is one new file with a config and a subclass of :class:`Encoder` (or :class:`CausalEncoder`) that sets
``width`` and writes :meth:`~Encoder.maps`; :class:`~edgeskel.models.recogniser.Recogniser` puts a classifier behind it.

Axes: N clips, M persons, B = N·M bodies, S frames of the window, T frames of the network, T' frames and V' places of the
maps, V joints, C channels, D width of the embedding, K classes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeskel.models import checkpoint
from edgeskel.models.steps import State
from edgeskel.skeleton import Topology
from edgeskel.transforms import STREAMS, Streams

__all__ = ["CausalEncoder", "Encoder", "RecogniserConfig", "mean_of_maps", "mean_of_persons"]


@dataclass(frozen=True, kw_only=True)
class RecogniserConfig:
    """What all recognisers have in common."""

    topology: Topology
    """The joint layout of the input."""
    labels: tuple[str, ...] = ()
    """K class names, in the order of the logits; none for an encoder on its own."""
    persons: int = 1
    """M: bodies in one window."""
    source_frames: int = 128
    """S: frames of the window as recorded."""
    frames: int = 64
    """T: frames the network sees, stretched over what was seen."""
    rate_hz: float = 30.0
    """Nominal frame rate of the window."""
    hop: int = 8
    """Frames between two live recognitions."""
    streams: tuple[str, ...] = STREAMS
    """Which of joint, bone, joint_motion, bone_motion the network sees."""
    align: str = "yaw"
    """How a clip is turned: none, yaw or body."""
    confidence_channel: bool = True
    """Whether the network sees the confidences as a channel."""
    low_rank: Mapping[str, int] = field(default_factory=dict)
    """Rank of each layer of the encoder that is stored in two factors, by name (``edgeskel.compression`` fills it)."""
    floating: tuple[str, ...] = ()
    """Layers of the encoder, by name, that int8 artifacts keep in floating point (``edgeskel.compression`` fills it)."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``config.json``."""
        data = {item.name: getattr(self, item.name) for item in fields(self)}
        return {**data, "topology": self.topology.to_dict()}


class Encoder(nn.Module):
    """Base of all encoders. Several persons and the streams are handled here, once: a subclass sees bodies."""

    name: str = ""
    """Of the recogniser; set by ``register``."""
    width: int
    """D. A subclass sets it."""

    def __init__(self, config: RecogniserConfig) -> None:
        super().__init__()
        self.config = config
        self.streams: Streams = self.make_streams(config.source_frames)
        # In a tuple, so that it is no part of the module: windows of other lengths are a matter of training.
        self._others: tuple[dict[int, Streams]] = ({},)

    def make_streams(self, frames: int) -> Streams:
        """The preprocessing for windows of some length. It holds no weights, so any serves the same network."""
        config = self.config
        return Streams(config.topology, frames, config.frames, config.streams, config.align, config.confidence_channel,
                       config.persons)

    def inputs(self, joints: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
        """What the network sees of each clip.

        Always in float32: bfloat16 would round a joint three metres away to the centimetre.

        Args:
            joints: (N, M, S', V, 3) metres, S' of any length.
            confidence: (N, M, S', V) in 0..1; 0 is missing.

        Returns:
            streams (B, C, T, V), and presence (N, M), 1 where a person was seen; of a causal encoder (N, T).
        """
        streams = self._streams_of(joints)
        if torch.is_autocast_enabled(joints.device.type):
            with torch.autocast(joints.device.type, enabled=False):
                found: tuple[Tensor, Tensor] = streams(joints.float(), confidence.float())
                return found
        found = streams(joints, confidence)
        return found

    def maps(self, streams: Tensor) -> Tensor:
        """(B, C, T, V) -> (B, D, T', V'). A subclass writes this."""
        raise NotImplementedError

    def pool(self, maps: Tensor, presence: Tensor) -> Tensor:
        """Maps (B, D, T', V') and presence as of :meth:`inputs` -> (N, D): the mean over time, places and the persons who are
        there."""
        return mean_of_persons(mean_of_maps(maps), presence)

    def embed(self, joints: Tensor, confidence: Tensor) -> Tensor:
        """Embedding (N, D) of each clip; arguments as :meth:`inputs`."""
        streams, presence = self.inputs(joints, confidence)
        return self.pool(self.maps(streams), presence)

    def forward(self, joints: Tensor, confidence: Tensor) -> Tensor:
        """As :meth:`embed`."""
        return self.embed(joints, confidence)

    def new_classifier(self, classes: int) -> nn.Module:
        """A fresh classifier (N, D) -> (N, classes) for this encoder."""
        return nn.Linear(self.width, classes)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` of an encoder without a classifier, each by atomic rename."""
        checkpoint.write(Path(folder), self.name, type(self), {**self.config.to_dict(), "labels": ()}, self.state_dict())

    def _streams_of(self, joints: Tensor) -> Streams:
        frames = joints.shape[2]
        if frames == self.streams.source_frames:
            return self.streams
        others, = self._others
        if frames not in others or others[frames].all_joints.device != joints.device:
            others[frames] = self.make_streams(frames).to(joints.device)
        return others[frames]


class CausalEncoder(Encoder):
    """An encoder that waits for no frame to come, so that it runs frame by frame too. A window is taken as it is, not stretched."""

    @property
    @abstractmethod
    def frames_per_step(self) -> int:
        """n: frames for one answer."""

    def prepare_steps(self, frames: int) -> None:
        """Make the preprocessing for steps of so many frames, in place: an exported step then holds no constants for a clip."""
        self.streams = self.make_streams(frames)

    @abstractmethod
    def step(self, joints: Tensor, confidence: Tensor, state: State) -> tuple[Tensor, State]:
        """The next frames of a stream; a clip in steps ends with the clip's own embedding.

        Args:
            joints: (N, 1, n, V, 3) metres, n a multiple of :attr:`frames_per_step`.
            confidence: (N, 1, n, V) in 0..1; 0 is missing.
            state: as the step before left it; ``()`` is a fresh one (see :mod:`edgeskel.models.steps`).

        Returns:
            the embedding (N, D) as of the last frame, and the state for the next step.
        """


def mean_of_maps(maps: Tensor) -> Tensor:
    """(B, D, T', V') -> (B, D)."""
    return maps.mean((2, 3), keepdim=True).flatten(1)  # with the axes kept, XNNPACK takes it


def mean_of_persons(features: Tensor, presence: Tensor) -> Tensor:
    """(B, D) features and (N, M) presence -> (N, D): the mean over the persons that are present."""
    clips, persons = presence.shape
    if persons == 1:
        return features
    share = presence / (presence.mean(-1, keepdim=True) * persons + 1e-6)  # (N, M)
    weighted = features.reshape(clips, persons, -1) * share.reshape(clips, persons, 1)
    return weighted.mean(1) * persons
