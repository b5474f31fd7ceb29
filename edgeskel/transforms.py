"""From raw joints to the streams that a recogniser sees, as one exportable module.

Everything here is inside the deployed graph, so an app feeds metres and confidences and re-implements nothing. The
operators are those that ONNX, TensorRT and ExecuTorch share: no Einsum, no data-dependent shape, rank at most 4 in
the arithmetic.

Axes: N clips, M persons, B = N·M bodies, S frames of the window, T frames of the network, V joints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgeskel.errors import UnknownChoice
from edgeskel.skeleton import Topology

__all__ = ["ALIGNMENTS", "STREAMS", "Streams"]

STREAMS = ("joint", "bone", "joint_motion", "bone_motion")
"""The streams, in the order in which they are concatenated; each has 3 channels."""

ALIGNMENTS = ("none", "yaw", "body")
"""How a clip is turned: not at all, about the vertical so that the body faces the camera, or into the body's own axes."""

_TINY = 1e-6


class Streams(nn.Module):
    """Resample the seen span to T frames, canonicalise, and stack the streams.

    Resampling is a triangle filter over the frames between the first and the last one in which anything was seen,
    weighted by confidence: a missing joint takes its neighbours in time, and one that is missing throughout stays 0.
    Canonicalisation moves the first person's pelvis at the start of the clip to the origin, turns the scene by that
    person's mean left-right axis, and divides by the mean torso length. In the joint and bone streams the root's
    place carries the pelvis trajectory (as Hyperformer's feeder does), all else is relative to the pelvis or parent.

    Args:
        topology: names the joints; needs hips and shoulders unless ``align`` is ``"none"``.
        source_frames: S.
        frames: T.
        streams: which of :data:`STREAMS`, in that order.
        align: one of :data:`ALIGNMENTS`.
        confidence_channel: append the resampled confidence as one more channel.
    """

    def __init__(
        self,
        topology: Topology,
        source_frames: int,
        frames: int,
        streams: Sequence[str] = STREAMS,
        align: str = "yaw",
        confidence_channel: bool = True,
    ) -> None:
        super().__init__()
        for stream in streams:
            if stream not in STREAMS:
                raise UnknownChoice("stream", stream, STREAMS)
        if align not in ALIGNMENTS:
            raise UnknownChoice("alignment", align, ALIGNMENTS)
        self.source_frames, self.frames = source_frames, frames
        self.streams = tuple(stream for stream in STREAMS if stream in streams)
        self.align = align
        self.confidence_channel = confidence_channel
        self.channels = 3 * len(self.streams) + confidence_channel
        size = len(topology.joints)

        def constant(name: str, value: Tensor) -> None:
            self.register_buffer(name, value, persistent=False)

        constant("instants", torch.arange(source_frames, dtype=torch.float32).view(1, 1, -1))
        constant("progress", torch.linspace(0, 1, frames).view(1, -1, 1))
        bones = torch.eye(size)
        for child, parent in enumerate(topology.parents):
            if parent >= 0:
                bones[child, parent] = -1
        bones[topology.root] = 0
        constant("bone_matrix", bones.t().contiguous())  # (V, V): x @ matrix gives child - parent
        parent = [joint if index < 0 else index for joint, index in enumerate(topology.parents)]
        constant("parent_matrix", torch.eye(size)[parent].t().contiguous())
        constant("root", torch.eye(size)[topology.root].view(1, 1, size))

        def weights(*joints: str) -> Tensor:
            known = [topology.index(joint) for joint in joints if joint in topology.joints]
            weight = torch.zeros(size)
            weight[known] = 1 / max(len(known), 1)
            return weight.view(1, size, 1)

        constant("centre", weights("pelvis", "left_hip", "right_hip"))
        constant("left", weights("left_hip", "left_shoulder"))
        constant("right", weights("right_hip", "right_shoulder"))
        constant("top", weights("neck", "left_shoulder", "right_shoulder"))

    def forward(self, joints: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
        """Streams of every body.

        Args:
            joints: (N, M, S, V, 3) metres.
            confidence: (N, M, S, V) in 0..1.

        Returns:
            (B, C, T, V) streams and (N, M) presence: 1 where a person was seen at all.
        """
        clips, persons, _, size, _ = joints.shape
        x, y, z, seen = self.resample(joints, confidence)  # each (B, T, V)
        x, y, z = self.canonicalise(x, y, z, seen, clips, persons)
        streams = self.stack(x, y, z, seen)
        presence = seen.reshape(clips, persons, self.frames * size).mean(-1).mul(1e6).clamp(max=1.0)
        return streams, presence

    def resample(self, joints: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, M, S, V, 3) and (N, M, S, V) -> x, y, z and coverage, each (B, T, V)."""
        clips, persons, frames, size, _ = joints.shape
        seen = confidence.transpose(1, 2).reshape(clips, frames, persons * size)
        seen = seen.mean(-1).mul(1e6).clamp(max=1.0).reshape(clips, 1, frames)
        last = (self.instants * seen).amax(-1, keepdim=True)
        end = frames - 1
        first = end - ((end - self.instants) * seen).amax(-1, keepdim=True)
        reach = ((last - first) / max(self.frames - 1, 1)).clamp(min=1.0)  # the filter widens when it has to skip frames
        position = first + (last - first) * self.progress  # (N, T, 1)
        kernel = (1 - (position - self.instants).abs() / reach).clamp(min=0.0)  # (N, T, S)
        kernel = kernel / (kernel.mean(-1, keepdim=True) * frames + _TINY)

        def flat(values: Tensor) -> Tensor:  # (N, M, S, V) -> (N, S, M·V)
            return values.transpose(1, 2).reshape(clips, frames, persons * size)

        def bodies(values: Tensor) -> Tensor:  # (N, T, M·V) -> (B, T, V)
            return values.reshape(clips, self.frames, persons, size).transpose(1, 2).reshape(-1, self.frames, size)

        weight = flat(confidence)
        coverage = bodies(kernel @ weight)
        scale = 1 / (coverage + _TINY)
        x, y, z = (bodies(kernel @ (flat(joints[..., axis]) * weight)) * scale for axis in range(3))
        return x, y, z, coverage

    def canonicalise(
        self, x: Tensor, y: Tensor, z: Tensor, seen: Tensor, clips: int, persons: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Origin, direction and size from the first person, for all persons of the clip."""

        def first_person(values: Tensor) -> Tensor:  # (B, ...) -> (N, ...)
            return values.reshape(clips, persons, self.frames, -1)[:, 0]

        lead_seen = first_person(seen)

        def point(weights: Tensor) -> tuple[Tensor, ...]:  # mean over the clip of a weighted set of joints: (N, 1, 1)
            total = (lead_seen @ weights).mean(1, keepdim=True) + _TINY
            return tuple(
                ((first_person(axis) * lead_seen) @ weights).mean(1, keepdim=True) / total for axis in (x, y, z)
            )

        left, right, top, centre = point(self.left), point(self.right), point(self.top), point(self.centre)
        across = [a - b for a, b in zip(left, right, strict=True)]
        up = [a - b for a, b in zip(top, centre, strict=True)]
        length = (up[0] ** 2 + up[1] ** 2 + up[2] ** 2 + _TINY).sqrt()
        zero, one = torch.zeros_like(length), torch.ones_like(length)
        if self.align == "none":
            rows = ((one, zero, zero), (zero, one, zero), (zero, zero, one))
        elif self.align == "yaw":
            norm = (across[0] ** 2 + across[2] ** 2 + _TINY).sqrt()
            cosine, sine = across[0] / norm, across[2] / norm
            rows = ((cosine, zero, sine), (zero, one, zero), (-sine, zero, cosine))
        else:
            second = [component / length for component in up]
            along = across[0] * second[0] + across[1] * second[1] + across[2] * second[2]
            first = [a - along * b for a, b in zip(across, second, strict=True)]
            norm = (first[0] ** 2 + first[1] ** 2 + first[2] ** 2 + _TINY).sqrt()
            first = [component / norm for component in first]
            third = [first[1] * second[2] - first[2] * second[1], first[2] * second[0] - first[0] * second[2],
                     first[0] * second[1] - first[1] * second[0]]
            rows = (tuple(first), tuple(second), tuple(third))

        def each(value: Tensor) -> Tensor:  # (N, 1, 1) -> (B, 1, 1)
            return value.expand(clips, persons, 1).reshape(-1, 1, 1) if persons > 1 else value

        scale = each(1 / length)
        moved = [axis - each(origin) for axis, origin in zip((x, y, z), centre, strict=True)]
        turned = [
            (each(row[0]) * moved[0] + each(row[1]) * moved[1] + each(row[2]) * moved[2]) * scale for row in rows
        ]
        return turned[0], turned[1], turned[2]

    def stack(self, x: Tensor, y: Tensor, z: Tensor, seen: Tensor) -> Tensor:
        """x, y, z and coverage, each (B, T, V) -> (B, C, T, V)."""
        mask = (seen * 1e3).clamp(max=1.0)
        bone_mask = mask * (mask @ self.parent_matrix)
        weight = (seen @ self.centre) + _TINY
        joint, bone = [], []
        for axis in (x, y, z):
            pelvis = ((axis * seen) @ self.centre) / weight  # (B, T, 1)
            trajectory = self.root * pelvis
            joint.append(((axis - pelvis) * (1 - self.root) + trajectory) * mask)
            bone.append((axis @ self.bone_matrix + trajectory) * bone_mask)
        channels: list[Tensor] = []
        for stream in self.streams:
            for value in joint if stream.startswith("joint") else bone:
                channels.append(_motion(value) if stream.endswith("motion") else value)
        if self.confidence_channel:
            channels.append(seen)
        return torch.stack(channels, dim=1)


def _motion(values: Tensor) -> Tensor:
    """Forward difference along the frames; the last one is 0. (B, T, V) -> (B, T, V)."""
    return torch.cat((values[:, 1:] - values[:, :-1], torch.zeros_like(values[:, :1])), dim=1)
