"""``hyperformer``: the hypergraph transformer that LORTSAR compresses, with the reference's parameters exactly.

After Zhou et al., "Hypergraph Transformer for Skeleton-based Action Recognition" (arXiv 2211.09590): ten blocks of
joint attention in every frame followed by multi-scale temporal convolutions, all 216 channels wide. 2,729,194
parameters for NTU RGB+D 60 (25 joints, 2 persons, 60 classes).

What the reference computes joint by joint is rearranged here into few large products, with the same parameters and
the same result: channels stand last, so a 1x1 convolution is one matrix product over all joints of all frames; the
table of hop embeddings is multiplied into the query projection instead of being looked up for each pair of joints;
the group embedding is made once for each group and not for each joint; parallel convolutions of one input are one.

Axes: N clips, M persons, B = N·M bodies, C channels, T frames, V joints, H heads, D channels of a head, E body groups,
J hops; F = B·T frames of all bodies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeskel.errors import UsageError
from edgeskel.models.checks import check_common, check_whole, check_wholes
from edgeskel.models.encoder import Encoder, RecogniserConfig
from edgeskel.models.registry import register
from edgeskel.skeleton import Topology

__all__ = ["PARTITIONS", "Hyperformer", "HyperformerConfig"]

PARTITIONS: Mapping[str, tuple[int, ...]] = {
    "kinect-v2": (0, 4, 2, 2, 2, 2, 1, 1, 2, 2, 1, 1, 2, 3, 3, 3, 2, 3, 3, 3, 1, 0, 1, 0, 1),
    "kinect-v1": (0,) * 4 + (1,) * 8 + (2,) * 8,
}
"""The body group of each joint in the reference: learned by its authors for NTU RGB+D, given for Northwestern-UCLA."""

_STRIDED = (5, 8)  # blocks, counted from 1, that halve the frames


@dataclass(frozen=True, kw_only=True)
class HyperformerConfig(RecogniserConfig):
    """Sizes of ``hyperformer``; the defaults are the reference's."""

    streams: tuple[str, ...] = ("joint",)
    confidence_channel: bool = False
    width: int = 216
    """Channels of every block."""
    heads: int = 9
    """Attention heads; they share the width."""
    blocks: int = 10
    """Blocks; the fifth and the eighth halve the frames."""
    groups: int = 6
    """Groups of the projection after the attention (6 in the reference, whatever the number of heads)."""
    partition: tuple[int, ...] = ()
    """Body group of each joint; empty takes the reference's for its layouts and the body parts for any other."""

    def __post_init__(self) -> None:
        check_common(self)
        for field in ("width", "heads", "blocks", "groups"):
            check_whole(field, getattr(self, field))
        check_wholes("partition", self.partition, least=0)
        if self.width % self.heads or self.width % self.groups or self.width % 4:
            raise UsageError(f"hyperformer of width {self.width}, {self.heads} heads, {self.groups} groups",
                             expected="a width that heads, groups and 4 divide")
        if len(self.partition) not in (0, len(self.topology.joints)):
            raise UsageError(f"a partition of {len(self.partition)} joints",
                             expected=f"{len(self.topology.joints)}, as {self.topology.name} has")


def body_groups(topology: Topology) -> tuple[int, ...]:
    """The group of each joint: the reference's partition, or the layout's body parts.

    Raises:
        UsageError: a layout without a partition and without body parts.
    """
    if topology.name in PARTITIONS and len(PARTITIONS[topology.name]) == len(topology.joints):
        return PARTITIONS[topology.name]
    group = {joint: index for index, joints in enumerate(topology.parts.values()) for joint in joints}
    if len(group) != len(topology.joints):
        raise UsageError(f"topology {topology.name!r} puts {len(group)} of its {len(topology.joints)} joints into parts",
                         expected="every joint in one part, or a partition in the configuration",
                         remedy="set partition to the group of each joint")
    return tuple(group[joint] for joint in range(len(topology.joints)))


class HypergraphAttention(nn.Module):
    """Attention among the joints of a frame that knows their distance in the skeleton and their body group.

    For joints n and m of hop distance j, m in group e, in each head::

        score(n, m) = (q_n·k_m + q_n·r_j + q_n·g_e + w·g_e) / sqrt(D)
        out = (a·softmax(score) + S) v

    with ``r`` a learned row for each distance, ``g`` the projected mean of a group's joints, ``S`` a learned (V, V)
    matrix that starts as the identity, and ``a`` a scalar that starts at 0.
    """

    heads: int
    joints: int
    distances: int
    width: int

    def __init__(self, channels: int, width: int, heads: int, groups: int, topology: Topology,
                 partition: Sequence[int]) -> None:
        super().__init__()
        joints, hops = len(topology.joints), torch.from_numpy(topology.hops)
        distances = int(hops.max()) + 1
        self.heads, self.joints, self.distances, self.width = heads, joints, distances, width
        self.query: nn.Linear = nn.Linear(channels, width, bias=False)
        self.key_value: nn.Linear = nn.Linear(channels, 2 * width, bias=False)
        self.group: nn.Linear = nn.Linear(channels, width, bias=False)
        self.project: nn.Conv2d = nn.Conv2d(width, width, 1, groups=groups)
        self.hop_table: nn.Parameter = nn.Parameter(torch.zeros(distances, width))
        self.group_bias: nn.Parameter = nn.Parameter(torch.zeros(heads, width // heads))
        self.mixing: nn.Parameter = nn.Parameter(torch.eye(joints).repeat(heads, 1, 1))
        self.share: nn.Parameter = nn.Parameter(torch.zeros(1))
        member = functional.one_hot(torch.tensor(partition), max(partition) + 1).float()  # (V, E)
        self.register_buffer("member", member, persistent=False)
        self.register_buffer("mean_of_group", (member / member.sum(0)).t().contiguous(), persistent=False)  # (E, V)
        self.register_buffer("at_distance", functional.one_hot(hops, distances).float().permute(0, 2, 1).contiguous(),
                             persistent=False)  # (V, J, V)

    member: Tensor
    mean_of_group: Tensor
    at_distance: Tensor

    def forward(self, normed: Tensor, plain: Tensor) -> Tensor:
        """(F, V, C) with and without layer norm -> (F, V, C'), before the projection."""
        heads, joints, depth = self.heads, self.joints, self.width // self.heads
        frames = normed.shape[0]
        query = self.query(normed)  # (F, V, C')
        key, value = self.key_value(normed).split(self.width, dim=-1)
        groups = self.group(self.mean_of_group @ plain)  # (F, E, C')
        key = key + self.member @ groups

        query = query.reshape(frames, joints, heads, depth).transpose(1, 2) * depth**-0.5  # (F, H, V, D)
        key = key.reshape(frames, joints, heads, depth).permute(0, 2, 3, 1)  # (F, H, D, V)
        value = value.reshape(frames, joints, heads, depth).transpose(1, 2)
        score = query @ key + self._by_distance(query) + self._by_group(groups)
        attention = self.share * score.softmax(-1) + self.mixing
        mixed: Tensor = (attention @ value).transpose(1, 2).reshape(frames, joints, self.width)
        return mixed

    def _by_distance(self, query: Tensor) -> Tensor:
        """(F, H, V, D) -> (F, H, V, V): the query's product with the row of each distance, spread over the joints."""
        frames, heads, joints, depth = query.shape
        table = self.hop_table.reshape(self.distances, heads, depth).permute(1, 2, 0)  # (H, D, J)
        product = (query @ table).permute(2, 0, 1, 3).reshape(joints, frames * heads, self.distances)
        score: Tensor = (product @ self.at_distance).reshape(joints, frames, heads, joints).permute(1, 2, 0, 3)
        return score

    def _by_group(self, groups: Tensor) -> Tensor:
        """(F, E, C') -> (F, H, 1, V): how much each head looks at a group whatever the query."""
        frames, size, _ = groups.shape
        depth = self.width // self.heads
        product = (groups * self.group_bias.reshape(-1) * depth**-0.5).reshape(frames, size, self.heads, depth).sum(-1)
        score: Tensor = (self.member @ product).transpose(1, 2).reshape(frames, self.heads, 1, self.joints)
        return score


class TemporalMix(nn.Module):
    """Four views of time, a quarter of the channels each: kernel 5, kernel 5 dilated by 2, largest of 3, one frame.

    (B, C, T, V) -> (B, C, T', V). The three entries that share an input are one convolution.
    """

    quarter: int
    stride: int

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        quarter = width // 4
        self.quarter, self.stride = quarter, stride
        self.enter: nn.Sequential = nn.Sequential(nn.Conv2d(width, 3 * quarter, 1), nn.BatchNorm2d(3 * quarter), nn.ReLU())
        self.near: nn.Sequential = nn.Sequential(nn.Conv2d(quarter, quarter, (5, 1), (stride, 1), (2, 0)), nn.BatchNorm2d(quarter))
        self.far: nn.Sequential = nn.Sequential(nn.Conv2d(quarter, quarter, (5, 1), (stride, 1), (4, 0), (2, 1)),
                                 nn.BatchNorm2d(quarter))
        self.largest: nn.Sequential = nn.Sequential(nn.MaxPool2d((3, 1), (stride, 1), (1, 0)), nn.BatchNorm2d(quarter))
        self.point: nn.Sequential = nn.Sequential(nn.Conv2d(width, quarter, 1, (stride, 1)), nn.BatchNorm2d(quarter))

    def forward(self, x: Tensor) -> Tensor:
        near, far, largest = self.enter(x).split(self.quarter, dim=1)
        return torch.cat((self.near(near), self.far(far), self.largest(largest), self.point(x)), dim=1)


class HyperformerBlock(nn.Module):
    """Attention with its residual, then time with its residual. (B, T, V, C) -> (B, T', V, C')."""

    def __init__(self, channels: int, stride: int, config: HyperformerConfig, partition: Sequence[int]) -> None:
        super().__init__()
        width = config.width
        self.norm: nn.LayerNorm = nn.LayerNorm(channels)
        self.attention: HypergraphAttention = HypergraphAttention(channels, width, config.heads, config.groups, config.topology,
                                                                  partition)
        self.skip: nn.Module = nn.Identity() if channels == width else nn.Linear(channels, width, bias=False)
        self.temporal: TemporalMix = TemporalMix(width, stride)
        self.residual: nn.Module = nn.Identity()
        if channels != width or stride > 1:
            self.residual = nn.Sequential(nn.Conv2d(channels, width, 1, (stride, 1)), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        bodies, frames, joints, channels = x.shape
        plain = x.reshape(bodies * frames, joints, channels)
        attended = self.attention(self.norm(plain), plain).reshape(bodies, frames, joints, -1)
        # Channels last: these permutations move no data.
        mixed = self.attention.project(attended.permute(0, 3, 1, 2)) + self.skip(x).permute(0, 3, 1, 2)
        y = torch.relu(self.temporal(mixed) + self.residual(x.permute(0, 3, 1, 2)))
        return y.permute(0, 2, 3, 1)


@register("hyperformer", HyperformerConfig)
class Hyperformer(Encoder):
    """See the module's docstring."""

    config: HyperformerConfig

    def __init__(self, config: HyperformerConfig) -> None:
        super().__init__(config)
        joints, width = len(config.topology.joints), config.width
        partition = config.partition or body_groups(config.topology)
        self.norm: nn.BatchNorm1d = nn.BatchNorm1d(config.persons * joints * self.streams.channels)
        self.blocks: nn.Sequential = nn.Sequential(*(
            HyperformerBlock(width if index > 1 else self.streams.channels, 2 if index in _STRIDED else 1, config, partition)
            for index in range(1, config.blocks + 1)))
        self.width = width
        self.apply(_initialise)

    def maps(self, streams: Tensor) -> Tensor:
        bodies, channels, frames, joints = streams.shape
        clips = bodies // self.config.persons
        x = streams.permute(0, 3, 1, 2).reshape(clips, self.config.persons * joints * channels, frames)
        x = self.norm(x).reshape(bodies, joints, channels, frames).permute(0, 3, 1, 2).contiguous()
        maps: Tensor = self.blocks(x).permute(0, 3, 1, 2)  # no data moves
        return maps

    def new_classifier(self, classes: int) -> nn.Module:
        return super().new_classifier(classes).apply(_initialise)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=math.sqrt(2 / module.out_features))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
