"""From raw joints to the streams that a recogniser sees, as one exportable module.

Everything here is inside the deployed graph, so an app feeds metres and confidences and re-implements nothing. The
operators are those that ONNX, TensorRT and XNNPACK share: no Einsum, no data-dependent shape. Sums over joints, frames
or axes are products with constants and pooling rather than reductions, because XNNPACK takes the former whole; x, y and
z stay side by side in memory for the same reason.

Axes: N clips, M persons, B = N·M bodies, S frames of the window, T frames of the network, V joints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeskel.errors import UnknownChoice
from edgeskel.skeleton import Topology

__all__ = ["ALIGNMENTS", "STREAMS", "Streams"]

STREAMS = ("joint", "bone", "joint_motion", "bone_motion")
"""The streams, in the order in which they are concatenated; each has 3 channels."""

ALIGNMENTS = ("none", "yaw", "body")
"""How a clip is turned: not at all, about the vertical so that the body faces the camera, or into the body's own axes."""

_TINY = 1e-6
_HARDLY = 1e-4
_TRUNK = 0.5  # metres from the hips to the neck of an adult


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
        persons: M.
    """

    # Constants of the layout, which __init__ registers.
    instants: Tensor
    progress: Tensor
    sum_frames: Tensor
    sum_axes: Tensor
    points: Tensor
    directions: Tensor
    interval: Tensor
    end: Tensor
    one: Tensor
    tiny: Tensor
    steep: Tensor
    firm: Tensor
    all_joints: Tensor
    all_persons: Tensor
    everything: Tensor
    mean_frames: Tensor
    usual: Tensor
    needed: Tensor
    vertical: Tensor
    level: Tensor
    quarter_turn: Tensor
    next_axis: Tensor
    last_axis: Tensor
    pelvis: Tensor
    bones: Tensor
    parents: Tensor
    at_root: Tensor
    elsewhere: Tensor
    to_joints: Tensor

    source_frames: int
    frames: int

    def __init__(
        self,
        topology: Topology,
        source_frames: int,
        frames: int,
        streams: Sequence[str] = STREAMS,
        align: str = "yaw",
        confidence_channel: bool = True,
        persons: int = 1,
    ) -> None:
        super().__init__()
        for stream in streams:
            if stream not in STREAMS:
                raise UnknownChoice("stream", stream, STREAMS)
        if align not in ALIGNMENTS:
            raise UnknownChoice("alignment", align, ALIGNMENTS)
        self.source_frames, self.frames = source_frames, frames
        self.streams: tuple[str, ...] = tuple(stream for stream in STREAMS if stream in streams)
        self.align = align
        self.confidence_channel = confidence_channel
        self.channels: int = 3 * len(self.streams) + confidence_channel
        size, root = len(topology.joints), topology.root
        eye, axes = torch.eye(size), torch.eye(3)

        def constant(name: str, value: Tensor) -> None:
            self.register_buffer(name, value, persistent=False)

        def weights(*joints: str) -> Tensor:
            known = [topology.index(joint) for joint in joints if joint in topology.joints]
            return eye[known].mean(0) if known else torch.zeros(size)

        def anchored(*joints: str) -> Tensor:
            # Every other joint counts a very little, so that a body seen without its hips still has a place.
            return weights(*joints) + _HARDLY

        constant("instants", torch.arange(source_frames, dtype=torch.float32).view(1, 1, -1))
        constant("progress", torch.linspace(0, 1, frames).view(1, -1, 1))
        constant("interval", torch.tensor([1 / max(frames - 1, 1)]))
        constant("end", torch.tensor([source_frames - 1.0]))
        # Numbers are constants of the graph too: a bare one is traced in double precision and converted at every run.
        constant("one", torch.ones(1))
        constant("tiny", torch.tensor([_TINY]))
        constant("steep", torch.tensor([1e6]))  # makes 1 of whatever is not 0
        constant("firm", torch.tensor([1e3]))  # the same, but for what a filter's tail has left over
        constant("all_joints", torch.ones(1, size))
        constant("all_persons", torch.ones(1, persons))
        constant("everything", torch.ones(1, frames * size))
        constant("mean_frames", torch.full((1, frames), 1 / frames))
        constant("sum_frames", torch.ones(1, source_frames))
        constant("sum_axes", torch.ones(1, 3))
        # What the body is aligned by: left, right, top and centre of the trunk, as means over joints.
        pelvis = anchored("pelvis", "left_hip", "right_hip")
        constant("points", torch.stack([weights("left_hip", "left_shoulder"), weights("right_hip", "right_shoulder"),
                                        weights("neck", "left_shoulder", "right_shoulder"), pelvis]))  # (4, V)
        # From those four points: left-right axis, upward axis, origin.
        constant("directions", torch.tensor([[1.0, -1, 0, 0], [0, 0, 1, -1], [0, 0, 0, 1]]))
        # What stands in for an axis whose joints were never seen: facing the camera, upright, an adult's trunk.
        constant("usual", torch.tensor([[[0.3, 0, 0], [0, _TRUNK, 0], [0, 0, 0]]]))
        constant("needed", torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 2]]) / 2)
        constant("vertical", torch.tensor([[[0.0, 1, 0]]]))
        constant("level", torch.tensor([[[1.0, 0, 1]]]))
        constant("quarter_turn", torch.tensor([[0.0, 0, -1], [0, 0, 0], [1, 0, 0]]))  # about the vertical
        constant("next_axis", axes[[1, 2, 0]])
        constant("last_axis", axes[[2, 0, 1]])
        # For sums over joints, which then stand last; and for products with (B, T, V, 3).
        bones = eye.clone()
        parents = [joint if parent < 0 else parent for joint, parent in enumerate(topology.parents)]
        bones[range(size), parents] -= 1
        at_root = eye[root].view(1, 1, size, 1)
        constant("pelvis", pelvis.view(1, size))
        constant("bones", bones)  # child - parent, 0 at the root
        constant("parents", eye[parents])
        constant("at_root", at_root)
        constant("elsewhere", 1 - at_root)
        constant("to_joints", 2 * at_root - 1)  # all else is relative to the pelvis; the root's place carries it

    def forward(self, joints: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
        """Streams of every body.

        Args:
            joints: (N, M, S, V, 3) metres.
            confidence: (N, M, S, V) in 0..1.

        Returns:
            (B, C, T, V) streams and (N, M) presence: 1 where a person was seen at all.
        """
        clips, persons, _, size, _ = joints.shape
        moments, coverage = self.resample(joints, confidence)  # (N, M, T, 3V) and (N, M, T, V)
        positions = self.canonicalise(moments, coverage)  # (N, M·T, V, 3)
        bodies = clips * persons
        streams = self.stack(positions.reshape(bodies, self.frames, size, 3), coverage.reshape(bodies, self.frames, size))
        presence = functional.linear(coverage.reshape(clips, persons, self.frames * size), self.everything)
        return streams, (presence * self.steep).clamp(max=1.0).reshape(clips, persons)

    def resample(self, joints: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
        """Stretch the seen span over the network's frames.

        Args:
            joints: (N, M, S, V, 3).
            confidence: (N, M, S, V).

        Returns:
            (N, M, T, 3V) positions times coverage, and (N, M, T, V) coverage in 0..1.
        """
        clips, persons, frames, size, _ = joints.shape
        seen = functional.linear(confidence, self.all_joints).reshape(clips, persons, frames)
        if persons > 1:
            seen = functional.linear(seen.transpose(1, 2), self.all_persons)
        seen = (seen.reshape(clips, 1, frames) * self.steep).clamp(max=1.0)
        last = _largest(self.instants * seen)
        first = self.end - _largest((self.end - self.instants) * seen)
        span = last - first
        reach = (span * self.interval).clamp(min=1.0)  # the filter widens when it has to skip frames
        position = first + span * self.progress  # (N, T, 1)
        kernel = (self.one - (position - self.instants).abs() / reach).clamp(min=0.0)  # (N, T, S)
        kernel = kernel / (functional.linear(kernel, self.sum_frames) + self.tiny)

        weighted = joints * confidence.unsqueeze(-1)
        values = torch.cat((weighted.reshape(clips, persons, frames, 3 * size), confidence), dim=-1)
        if persons > 1:
            values = values.transpose(1, 2)
        values = torch.bmm(kernel, values.reshape(clips, frames, persons * 4 * size))
        values = values.reshape(clips, self.frames, persons, 4 * size).transpose(1, 2)
        return values[..., : 3 * size], values[..., 3 * size :]

    def canonicalise(self, moments: Tensor, coverage: Tensor) -> Tensor:
        """Origin, direction and size from the first person, for all persons of the clip.

        Args:
            moments: (N, M, T, 3V) positions times coverage.
            coverage: (N, M, T, V).

        Returns:
            (N, M·T, V, 3) positions, in torso lengths.
        """
        clips, persons, frames, size = coverage.shape
        lead = moments[:, 0] if persons > 1 else moments.reshape(clips, frames, 3 * size)
        mean = functional.linear(lead.transpose(1, 2), self.mean_frames).reshape(clips, size, 3).transpose(1, 2)
        lead = coverage[:, 0] if persons > 1 else coverage.reshape(clips, frames, size)
        share = functional.linear(lead.transpose(1, 2), self.mean_frames).reshape(clips, 1, size)
        across, up, origin = self.directions_of(functional.linear(mean, self.points), functional.linear(share, self.points))
        length = self.norm(up)
        moments = moments.reshape(clips, persons * frames, size, 3)
        positions = moments / (coverage.reshape(clips, persons * frames, size, 1) + self.tiny)
        positions = positions.reshape(clips, persons * frames * size, 3) - origin
        if self.align == "none":
            turned = positions / length
        else:
            turned = torch.bmm(positions, self.turn(across, up / length).transpose(1, 2) / length)
        return turned.reshape(clips, persons * frames, size, 3)

    def directions_of(self, moments: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Left-right axis, upward axis and origin, each (N, 1, 3), from the four points that the body is aligned by.

        Args:
            moments: (N, 3, 4) positions times coverage.
            known: (N, 1, 4) coverage.
        """
        points = moments / (known + self.tiny)  # (N, 3, 4)
        directions = functional.linear(points, self.directions).transpose(1, 2)  # (N, 3 directions, 3 axes)
        # 1 where both ends of a direction were seen at some time, else 0.
        certain = functional.linear((known * self.steep).clamp(max=1.0), self.needed)
        certain = (certain + certain - self.one).clamp(min=0.0).transpose(1, 2)  # (N, 3, 1)
        directions = self.usual + certain * (directions - self.usual)
        return directions[:, 0:1], directions[:, 1:2], directions[:, 2:3]

    def turn(self, across: Tensor, up: Tensor) -> Tensor:
        """Rotation (N, 3, 3) that takes ``across`` (N, 1, 3) to x; with "body" also ``up``, of length 1, to y."""
        if self.align == "yaw":
            across = across * self.level
            first = across / self.norm(across)
            vertical = self.vertical.expand_as(first) if len(first) > 1 else self.vertical
            return torch.cat((first, vertical, functional.linear(first, self.quarter_turn)), dim=1)
        across = across - up * functional.linear(across * up, self.sum_axes)
        first = across / self.norm(across)
        third = functional.linear(first, self.next_axis) * functional.linear(up, self.last_axis)
        third = third - functional.linear(first, self.last_axis) * functional.linear(up, self.next_axis)
        return torch.cat((first, up, third), dim=1)

    def norm(self, vectors: Tensor) -> Tensor:
        """(N, 1, 3) -> (N, 1, 1)."""
        return (functional.linear(vectors * vectors, self.sum_axes) + self.tiny).sqrt()

    def stack(self, positions: Tensor, coverage: Tensor) -> Tensor:
        """(B, T, V, 3) positions and (B, T, V) coverage -> (B, C, T, V)."""
        values = self.spread(positions, coverage)
        channels = []
        for stream in self.streams:
            value = values[stream.removesuffix("_motion")]
            channels.append(_motion(value) if stream.endswith("_motion") else value)
        if self.confidence_channel:
            channels.append(coverage.reshape(*coverage.shape, 1))
        return torch.cat(channels, dim=-1).permute(0, 3, 1, 2)

    def spread(self, positions: Tensor, coverage: Tensor) -> dict[str, Tensor]:
        """The joint and bone streams that are needed, (B, T, V, 3), from (B, T, V, 3) positions and (B, T, V) coverage."""
        bodies, frames, size = coverage.shape
        one_joint, one_axis = (bodies, frames, 1, 3), (bodies, frames, size, 1)
        mask = (coverage * self.firm).clamp(max=1.0)
        weighted = (positions * coverage.reshape(one_axis)).transpose(2, 3)
        weight = functional.linear(coverage, self.pelvis).reshape(bodies, frames, 1, 1)
        pelvis = (functional.linear(weighted, self.pelvis) / (weight + self.tiny)).reshape(one_joint)
        values: dict[str, Tensor] = {}
        if "joint" in self.streams or "joint_motion" in self.streams:
            joint = positions * self.elsewhere + pelvis * self.to_joints
            values["joint"] = joint * mask.reshape(one_axis)
        if "bone" in self.streams or "bone_motion" in self.streams:
            bone = functional.linear(positions.transpose(2, 3), self.bones).transpose(2, 3) + pelvis * self.at_root
            values["bone"] = bone * (mask * functional.linear(mask, self.parents)).reshape(one_axis)
        return values


def _largest(values: Tensor) -> Tensor:
    """(N, 1, S) -> (N, 1, 1), as pooling."""
    clips, _, frames = values.shape
    return functional.max_pool2d(values.reshape(clips, 1, 1, frames), (1, frames), (1, frames)).reshape(clips, 1, 1)


def _motion(values: Tensor) -> Tensor:
    """Forward difference along the frames; the last one is 0. (B, T, V, 3) -> (B, T, V, 3)."""
    return torch.cat((values[:, 1:] - values[:, :-1], values[:, -1:] - values[:, -1:]), dim=1)
