"""``edge``: the recogniser designed for the targets.

Three habits make it cheap where it has to run:

* Joints are mixed by grouped 1x1 convolutions over (group x joint) as channels. A learned V x V matrix per channel
  group is then an ordinary convolution: every engine has it, int8 quantises it per output joint, and it needs no
  Einsum and no batched product with a constant.
* Time is mixed by depthwise convolutions with explicit padding. Nothing else looks along time but the final mean, so
  each can run frame by frame with the same weights.
* Joints are pooled as the channels widen (all joints -> 10 -> 5 learned regions), so that wide layers see few places.

Axes: B bodies, C channels, T frames, V joints (later: regions), G channel groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeskel.errors import UsageError
from edgeskel.models.base import Recogniser, RecogniserConfig, register
from edgeskel.models.checks import check_common, check_share, check_whole, check_wholes

__all__ = ["Edge", "EdgeConfig"]


@dataclass(frozen=True, kw_only=True)
class EdgeConfig(RecogniserConfig):
    """Sizes of ``edge``."""

    widths: tuple[int, ...] = (64, 128, 256)
    """Channels of the stages; each later stage halves the frames."""
    regions: tuple[int, ...] = (0, 12, 6)
    """Places left after joint pooling in each stage; 0 keeps the joints."""
    blocks: tuple[int, ...] = (2, 2, 2)
    """Blocks of each stage."""
    groups: int = 8
    """Channel groups, each with its own joint-mixing matrix."""
    stem_kernel: int = 5
    """Frames of the stem's convolution."""
    stem_stride: int = 2
    """Frames of the input for one of the first stage."""
    kernel: int = 7
    """Frames of a temporal convolution."""
    dropout: float = 0.2
    """Dropout before the classifier."""

    def __post_init__(self) -> None:
        check_common(self)
        for field in ("groups", "stem_kernel", "stem_stride", "kernel"):
            check_whole(field, getattr(self, field))
        check_wholes("widths", self.widths)
        check_wholes("regions", self.regions, least=0)
        check_wholes("blocks", self.blocks)
        check_share("dropout", self.dropout)
        if not len(self.widths) == len(self.regions) == len(self.blocks) > 0:
            raise UsageError(f"widths of {len(self.widths)}, regions of {len(self.regions)} and blocks of {len(self.blocks)} "
                             "stages", expected="the same number of each, at least one")
        if any(width % self.groups for width in self.widths):
            raise UsageError(f"widths = {self.widths!r} with groups = {self.groups}", expected="widths that groups divides")
        if self.kernel % 2 == 0:
            raise UsageError(f"kernel = {self.kernel}", expected="an odd number of frames: as many before as after")


class JointMixing(nn.Module):
    """A learned (V' x V) matrix per channel group, as a grouped 1x1 convolution with joints for channels.

    (B, C, T, V) -> (B, C, T, V').
    """

    whole = ("mix",)  # used by its weight, so never stored in two factors

    def __init__(self, channels: int, groups: int, joints: int, mixed: int, start: Tensor) -> None:
        super().__init__()
        self.groups, self.joints, self.mixed = groups, joints, mixed
        self.mix = nn.Conv2d(groups * joints, groups * mixed, 1, groups=groups, bias=False)
        with torch.no_grad():
            noise = 0.02 * torch.randn(groups, mixed, joints)
            self.mix.weight.copy_((start + noise).reshape(groups * mixed, joints, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        bodies, channels, frames, _ = x.shape
        share = channels // self.groups
        if not torch.compiler.is_exporting():
            # The same product without moving the joints: several times faster where PyTorch runs it itself.
            matrices = self.mix.weight.view(self.groups, self.mixed, self.joints).transpose(1, 2)
            x = torch.matmul(x.reshape(bodies, self.groups, share * frames, self.joints), matrices)
            return x.reshape(bodies, channels, frames, self.mixed)
        x = x.reshape(bodies * self.groups, share, frames, self.joints).permute(0, 3, 1, 2)
        x = x.reshape(bodies, self.groups * self.joints, share, frames)
        x = self.mix(x)
        x = x.reshape(bodies * self.groups, self.mixed, share, frames).permute(0, 2, 3, 1)
        return x.reshape(bodies, channels, frames, self.mixed)


class Block(nn.Module):
    """Mix joints, mix channels, then mix frames; a residual around each half."""

    def __init__(self, width_in: int, width: int, joints: int, regions: int, start: Tensor, stride: int,
                 config: EdgeConfig) -> None:
        super().__init__()
        self.mixing = JointMixing(width_in, config.groups, joints, regions, start)
        self.expand = nn.Sequential(nn.Conv2d(width_in, width, 1, bias=False), nn.BatchNorm2d(width))
        self.skip: nn.Module = nn.Identity()
        if width_in != width:
            self.skip = nn.Sequential(nn.Conv2d(width_in, width, 1, bias=False), nn.BatchNorm2d(width))
        self.pool: nn.Module = nn.Identity() if joints == regions else JointMixing(width_in, config.groups, joints, regions, start)
        padding = config.kernel // 2
        self.temporal = nn.Sequential(
            nn.Conv2d(width, width, (config.kernel, 1), (stride, 1), (padding, 0), groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.stride = stride
        if stride > 1:
            self.register_buffer("ones", torch.ones(width, 1, 1, 1), persistent=False)

    ones: Tensor

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.expand(self.mixing(x)) + self.skip(self.pool(x)))
        return torch.relu(self.temporal(x) + self.kept(x))

    def kept(self, x: Tensor) -> Tensor:
        """The frames that the stride keeps. In a graph as a depthwise convolution with ones, since neither a strided
        slice nor a quantised one can be left to XNNPACK."""
        if self.stride == 1:
            return x
        if not torch.compiler.is_exporting():
            return x[:, :, :: self.stride]
        return functional.conv2d(x, self.ones, stride=(self.stride, 1), groups=x.shape[1])


@register("edge", EdgeConfig)
class Edge(Recogniser):
    """See the module's docstring."""

    config: EdgeConfig

    def __init__(self, config: EdgeConfig) -> None:
        super().__init__(config)
        joints = len(config.topology.joints)
        self.stem = nn.Sequential(
            nn.BatchNorm2d(self.streams.channels),
            nn.Conv2d(self.streams.channels, config.widths[0], (config.stem_kernel, 1), (config.stem_stride, 1),
                      (config.stem_kernel // 2, 0), bias=False),
            nn.BatchNorm2d(config.widths[0]),
            nn.ReLU(),
        )
        near = torch.from_numpy(config.topology.hops <= 1).float()
        start = near / near.sum(1, keepdim=True)
        blocks: list[nn.Module] = []
        width = config.widths[0]
        for stage, (wide, regions, count) in enumerate(zip(config.widths, config.regions, config.blocks, strict=True)):
            for index in range(count):
                target = regions or joints
                if start.shape != (target, joints):
                    start = torch.full((target, joints), 1 / joints) if target != joints else torch.eye(joints)
                if target != joints:
                    # Each region starts as a soft share of the joints and learns which ones it gathers.
                    start = torch.softmax(2 * torch.randn(target, joints), dim=1)
                blocks.append(Block(width, wide, joints, target, start, 2 if stage and not index else 1, config))
                width, joints = wide, target
                start = torch.eye(joints) if stage else start
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(width, len(config.labels))

    def features(self, streams: Tensor) -> Tensor:
        x: Tensor = self.blocks(self.stem(streams))
        pooled: Tensor = self.dropout(x.mean((2, 3), keepdim=True).flatten(1))
        return pooled
