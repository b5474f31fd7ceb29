"""Part of a clip for the encoder, all of it for the decoder: CHARON's masking with reconstruction.

A clip is cut along time into tuples of frames. The encoder sees some of them, one behind the other, so that a step costs
less time and memory; a small decoder puts a learned token in the place of the others and draws the whole motion again.

The paper's encoder is STTFormer, whose tuples are 6 frames. Here it is ``edge``, and a tuple is what one output step of
it stands for: the product of its strides.

Axes: N clips, M persons, B = N·M bodies, C channels, T frames, G frames of a tuple, Q tuples, P kept tuples, V joints,
R regions, D width of the embedding, W width of the decoder.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgeskel.errors import UsageError
from edgeskel.models import Encoder
from edgeskel.models.edge import EdgeConfig

__all__ = ["Decoder", "draw_tuples", "reconstruction_error", "take_tuples", "tuple_frames"]


def tuple_frames(encoder: Encoder) -> int:
    """G: frames of the network's input behind one output step.

    Raises:
        UsageError: they do not divide the clip.
    """
    config = encoder.config
    assert isinstance(config, EdgeConfig)
    frames = config.stem_stride << len(config.widths) - 1  # the stem's stride, and 2 for each later stage
    if config.frames % frames or config.frames == frames:
        raise UsageError(f"clips of {config.frames} frames in tuples of {frames}", expected=f"a multiple of {frames}, above it",
                         remedy="change the recogniser's frames")
    return frames


def draw_tuples(clips: int, tuples: int, ratio: float) -> Tensor:
    """Which tuples of each clip the encoder sees: int(Q·(1 - ratio)) of them, at least one, in their order. (N, P)."""
    kept = max(1, int(tuples * (1 - ratio) + 1e-6))
    return torch.rand(clips, tuples).argsort(1)[:, :kept].sort(1).values


def take_tuples(streams: Tensor, kept: Tensor, frames: int) -> Tensor:
    """(B, C, T, V) and (B, P) -> (B, C, P·G, V): the kept tuples one behind the other."""
    bodies, channels, _, joints = streams.shape
    cut = streams.reshape(bodies, channels, -1, frames, joints)
    index = kept[:, None, :, None, None].expand(-1, channels, -1, frames, joints)
    return cut.gather(2, index).reshape(bodies, channels, -1, joints)


class Decoder(nn.Module):
    """From the encoder's maps of the kept tuples to the coordinates of all frames.

    Args:
        encoder: whose maps.
        width: W.
    """

    position: Tensor

    def __init__(self, encoder: Encoder, width: int = 32) -> None:
        super().__init__()
        config = encoder.config
        assert isinstance(config, EdgeConfig)
        self.frames: int = tuple_frames(encoder)
        self.tuples: int = config.frames // self.frames
        joints = len(config.topology.joints)
        self.enter: nn.Conv2d = nn.Conv2d(config.widths[-1], width, 1)
        self.token: nn.Parameter = nn.Parameter(0.02 * torch.randn(width))
        self.spread: nn.Linear = nn.Linear(config.regions[-1] or joints, joints)
        self.mix: nn.ModuleList = nn.ModuleList(nn.Conv2d(width, width, (3, 1), padding=(1, 0)) for _ in range(2))
        self.leave: nn.Conv2d = nn.Conv2d(width, 3 * self.frames, 1)
        self.register_buffer("position", _sinusoids(self.tuples, width), persistent=False)

    def forward(self, maps: Tensor, kept: Tensor) -> Tensor:
        """(B, D, P, R) and (B, P) -> (B, 3, T, V)."""
        seen = self.enter(maps)  # (B, W, P, R)
        bodies, width, _, regions = seen.shape
        x = self.token.view(1, -1, 1, 1).expand(bodies, width, self.tuples, regions)
        x = x.scatter(2, kept[:, None, :, None].expand_as(seen), seen)
        x = self.spread(x + self.position)
        for mix in self.mix:
            x = x + torch.relu(mix(x))
        drawn: Tensor = self.leave(x)  # (B, 3·G, Q, V)
        cut = drawn.reshape(bodies, 3, self.frames, self.tuples, -1)
        return cut.transpose(2, 3).reshape(bodies, 3, -1, drawn.shape[-1])


def reconstruction_error(drawn: Tensor, streams: Tensor) -> Tensor:
    """Mean square error (torso lengths squared) of ``drawn`` (B, 3, T, V) over every frame, masked or not.

    Args:
        drawn: by the decoder.
        streams: (B, C, T, V) whole; the first three channels are the coordinates, the last is the confidence. A joint that
            was not seen does not count.
    """
    seen = (streams[:, -1:] > 0).float()
    return ((drawn - streams[:, :3]) ** 2 * seen).sum() / (3 * seen.sum()).clamp(min=1)


def _sinusoids(tuples: int, width: int) -> Tensor:
    """(1, W, Q, 1) position code."""
    rates = torch.exp(-math.log(10_000) * torch.arange(0, width, 2) / width)
    angles = torch.arange(tuples)[None, :] * rates[:, None]
    return torch.cat((angles.sin(), angles.cos()))[None, :width, :, None]
