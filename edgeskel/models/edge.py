"""``edge``: the recogniser designed for the targets.

Three habits make it cheap where it has to run:

* Joints are mixed by grouped 1x1 convolutions over (group x joint) as channels. A learned V x V matrix per channel
  group is then an ordinary convolution: every engine has it, int8 quantises it per output joint, and it needs no
  Einsum and no batched product with a constant.
* Time is mixed by depthwise convolutions with explicit padding. Nothing else looks along time but the final mean, so
  each can run frame by frame with the same weights: ``edge-live`` does, by the layers of :mod:`edgeskel.models.steps`.
* Joints are pooled as the channels widen (all joints -> 10 -> 5 learned regions), so that wide layers see few places.

Axes: B bodies, C channels, T frames, V joints (later: regions), G channel groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeskel.errors import UsageError
from edgeskel.models import steps
from edgeskel.models.causal_streams import CausalStreams
from edgeskel.models.checks import check_common, check_positive, check_share, check_whole, check_wholes
from edgeskel.models.encoder import CausalEncoder, Encoder, RecogniserConfig, mean_of_maps, mean_of_persons
from edgeskel.models.registry import register

__all__ = ["Edge", "EdgeConfig", "EdgeLive", "EdgeLiveConfig"]


@dataclass(frozen=True, kw_only=True)
class EdgeConfig(RecogniserConfig):
    """Sizes of ``edge``."""

    widths: tuple[int, ...] = (64, 128, 256)
    """Channels of the stages."""
    regions: tuple[int, ...] = (0, 12, 6)
    """Places left after joint pooling in each stage; 0 keeps the joints."""
    blocks: tuple[int, ...] = (2, 2, 2)
    """Blocks of each stage."""
    strides: tuple[int, ...] = ()
    """Frames of its input for one of each stage; empty: 1 for the first stage and 2 for every later one."""
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
        check_wholes("strides", self.strides)
        if not len(self.widths) == len(self.regions) == len(self.blocks) == len(self.stage_strides) > 0:
            raise UsageError(f"widths of {len(self.widths)}, regions of {len(self.regions)}, blocks of {len(self.blocks)} and "
                             f"strides of {len(self.stage_strides)} stages", expected="the same number of each, at least one")
        if any(width % self.groups for width in self.widths):
            raise UsageError(f"widths = {self.widths!r} with groups = {self.groups}", expected="widths that groups divides")
        if self.kernel % 2 == 0:
            raise UsageError(f"kernel = {self.kernel}", expected="an odd number of frames: as many before as after")

    @property
    def stage_strides(self) -> tuple[int, ...]:
        """The stride of each stage."""
        return self.strides or (1, *[2] * (len(self.widths) - 1))

    @property
    def frames_per_map(self) -> int:
        """Frames of the network behind one of the maps: the product of all strides."""
        return self.stem_stride * math.prod(self.stage_strides)


class JointMixing(nn.Module):
    """A learned (V' x V) matrix per channel group, as a grouped 1x1 convolution with joints for channels.

    (B, C, T, V) -> (B, C, T, V').
    """

    whole: tuple[str, ...] = ("mix",)  # used by its weight, so never stored in two factors

    groups: int
    joints: int
    mixed: int

    def __init__(self, channels: int, groups: int, joints: int, mixed: int, start: Tensor) -> None:
        super().__init__()
        self.groups, self.joints, self.mixed = groups, joints, mixed
        self.mix: nn.Conv2d = nn.Conv2d(groups * joints, groups * mixed, 1, groups=groups, bias=False)
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


class EdgeBlock(steps.Step):
    """Mix joints, mix channels, then mix frames; a residual around each half."""

    states = 1

    def __init__(self, width_in: int, width: int, joints: int, regions: int, start: Tensor, stride: int,
                 config: EdgeConfig, along_frames: AlongFrames) -> None:
        super().__init__()
        self.mixing: JointMixing = JointMixing(width_in, config.groups, joints, regions, start)
        self.expand: nn.Sequential = nn.Sequential(nn.Conv2d(width_in, width, 1, bias=False), nn.BatchNorm2d(width))
        self.skip: nn.Module = nn.Identity()
        if width_in != width:
            self.skip = nn.Sequential(nn.Conv2d(width_in, width, 1, bias=False), nn.BatchNorm2d(width))
        self.pool: nn.Module = nn.Identity() if joints == regions else JointMixing(width_in, config.groups, joints, regions, start)
        self.temporal: steps.Sequential = steps.Sequential(
            along_frames.convolution(width, width, config.kernel, stride, width),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.every = stride
        self.kept: nn.Module = nn.Identity()  # the frames that the stride keeps
        if stride > 1:
            self.kept = along_frames.kept(width, stride)

    def forward(self, x: Tensor) -> Tensor:
        x = self.within_frames(x)
        return torch.relu(self.temporal(x) + self.kept(x))

    def within_frames(self, x: Tensor) -> Tensor:
        """The first half, which looks at each frame alone."""
        return torch.relu(self.expand(self.mixing(x)) + self.skip(self.pool(x)))

    def step(self, x: Tensor, state: steps.State) -> tuple[Tensor, steps.State]:
        x = self.within_frames(x)
        mixed, state = self.temporal.step(x, state)
        return torch.relu(mixed + self.kept(x)), state


class First(nn.Module):
    """The first of every ``stride`` frames. In a graph as a depthwise convolution with ones, since neither a strided slice nor
    a quantised one can be left to XNNPACK."""

    ones: Tensor

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.register_buffer("ones", torch.ones(channels, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_exporting():
            return x[:, :, :: self.stride]
        return functional.conv2d(x, self.ones, stride=(self.stride, 1), groups=x.shape[1])


class AlongFrames:
    """How a network looks along time: about each frame."""

    def convolution(self, channels_in: int, channels_out: int, kernel: int, stride: int, groups: int = 1) -> nn.Conv2d:
        """Centred on its output's frame."""
        return nn.Conv2d(channels_in, channels_out, (kernel, 1), (stride, 1), (kernel // 2, 0), groups=groups, bias=False)

    def kept(self, channels: int, stride: int) -> nn.Module:
        """The frames that a stride keeps."""
        return First(channels, stride)


class BehindFrames(AlongFrames):
    """How a network looks along time that waits for no frame: from each one back."""

    def convolution(self, channels_in: int, channels_out: int, kernel: int, stride: int, groups: int = 1) -> nn.Conv2d:
        """Ending with its output's frame."""
        return steps.Conv(channels_in, channels_out, kernel, stride, groups=groups, bias=False)

    def kept(self, channels: int, stride: int) -> nn.Module:
        """The last of each stride."""
        return steps.Last(channels, stride)


@register("edge", EdgeConfig)
class Edge(Encoder):
    """See the module's docstring."""

    config: EdgeConfig
    along_frames: AlongFrames = AlongFrames()

    def __init__(self, config: EdgeConfig) -> None:
        super().__init__(config)
        joints, along = len(config.topology.joints), self.along_frames
        self.stem: steps.Sequential = steps.Sequential(
            nn.BatchNorm2d(self.streams.channels),
            along.convolution(self.streams.channels, config.widths[0], config.stem_kernel, config.stem_stride),
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
                stride = 1 if index else config.stage_strides[stage]
                blocks.append(EdgeBlock(width, wide, joints, target, start, stride, config, along))
                width, joints = wide, target
                start = torch.eye(joints) if stage else start
        self.blocks: steps.Sequential = steps.Sequential(*blocks)
        self.dropout: nn.Dropout = nn.Dropout(config.dropout)
        self.width, self.places = width, joints

    def maps(self, streams: Tensor) -> Tensor:
        x: Tensor = self.blocks(self.stem(streams))
        return x

    def pool(self, maps: Tensor, presence: Tensor) -> Tensor:
        return mean_of_persons(self.dropout(mean_of_maps(maps)), presence)


@dataclass(frozen=True, kw_only=True)
class EdgeLiveConfig(EdgeConfig):
    """Sizes of ``edge-live``: an answer every fourth frame."""

    frames: int = 128
    strides: tuple[int, ...] = (1, 2, 1)
    align_s: float = 3.0
    """Seconds after which a frame counts 1/e in what the body is aligned by."""
    pool_s: float = 2.0
    """Seconds after which a frame counts 1/e in the embedding."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("align_s", "pool_s"):
            check_positive(field, getattr(self, field))
        if self.persons != 1:
            raise UsageError(f"edge-live with persons = {self.persons}",
                             expected="persons = 1: each person has a state of their own",
                             remedy="train with --settings persons=1: of each clip the person who moves most counts, and live "
                                    "each has a state, as edgeskel.runtime.Session does")
        if self.frames != self.source_frames or self.frames % self.frames_per_map:
            raise UsageError(f"edge-live with frames = {self.frames} and source_frames = {self.source_frames}",
                             expected=f"the same number of both, a multiple of {self.frames_per_map}: nothing is stretched")
        if max(self.stage_strides) > self.kernel or self.stem_stride > self.stem_kernel:
            raise UsageError(f"strides {self.stage_strides} and {self.stem_stride} with kernels of {self.kernel} and "
                             f"{self.stem_kernel} frames", expected="no stride longer than its kernel")


@register("edge-live", EdgeLiveConfig)
class EdgeLive(CausalEncoder, Edge):
    """``edge`` in its causal form. Its weights have the shapes of ``edge``'s, so a training may start from those."""

    config: EdgeLiveConfig
    streams: CausalStreams
    along_frames = BehindFrames()

    def __init__(self, config: EdgeLiveConfig) -> None:
        super().__init__(config)
        steps_of_window = config.frames // config.frames_per_map
        self.mean: steps.RunningMean = steps.RunningMean(math.exp(-config.frames_per_map / (config.pool_s * config.rate_hz)),
                                                         steps_of_window)
        # Means over places and over frames as products with constants: XNNPACK takes no other mean of theirs.
        self.register_buffer("each_place", torch.full((1, self.places), 1 / self.places), persistent=False)
        self.register_buffer("each_frame", torch.full((1, config.frames_per_map), 1 / config.frames_per_map), persistent=False)

    each_place: Tensor
    each_frame: Tensor

    @property
    def frames_per_step(self) -> int:
        return self.config.frames_per_map

    def make_streams(self, frames: int) -> CausalStreams:
        config = self.config
        return CausalStreams(config.topology, frames, config.align_s * config.rate_hz, config.streams, config.align,
                             config.confidence_channel)

    def pool(self, maps: Tensor, presence: Tensor) -> Tensor:
        """(B, D, T', V') and (B, T) -> (B, D), as of the last step in which anybody was seen."""
        pooled: Tensor = self.dropout(self.mean(self._over_places(maps), self._shares(presence))[..., -1])
        return pooled

    def step(self, joints: Tensor, confidence: Tensor, state: steps.State) -> tuple[Tensor, steps.State]:
        (streams, seen), left = self.streams.step(joints[:, 0], confidence[:, 0], state[:3])
        x, stem = self.stem.step(streams, state[3:4])
        x, middle = self.blocks.step(x, state[4:-2])
        features, mean = self.mean.step_weighted(self._over_places(x), self._shares(seen), state[-2:])
        embedding = features[..., -1] if features.shape[-1] > 1 else features.flatten(1)
        return embedding, left + stem + middle + mean

    def _over_places(self, x: Tensor) -> Tensor:
        """(B, C, T', V) -> (B, C, T')."""
        return functional.linear(x, self.each_place).reshape(x.shape[:3])

    def _shares(self, seen: Tensor) -> Tensor:
        """(B, T) -> (B, 1, T'): how much of each step was seen."""
        shares = functional.linear(seen.reshape(len(seen), -1, self.config.frames_per_map), self.each_frame)
        return shares.reshape(len(seen), 1, -1)
