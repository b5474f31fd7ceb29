"""The streams of :mod:`edgeskel.transforms` for recognisers that run frame by frame: nothing here waits for the future.

What a clip's form may do and a stream's cannot is left out: there is no stretching of the seen span (a frame is a frame, at
the recogniser's rate), no filling of a gap from its far side, and no mean over the whole clip. In their place origin,
direction and size come from the frames so far, each counting less than the next one, and motion looks back. One function
serves clip and step: a clip is a step from a fresh state over all its frames.

Axes: B bodies, n frames of a step (T of a clip), V joints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from edgeskel.models.steps import Decay, State
from edgeskel.skeleton import Topology
from edgeskel.transforms import STREAMS, Streams

__all__ = ["CausalStreams"]


class CausalStreams(Streams):
    """Canonicalise by what has been seen so far, and stack the streams.

    A frame's origin is the mean place of the pelvis, its direction the mean left-right axis and its size the mean trunk, each
    over the frames so far with a memory of ``memory`` frames. Motion is the difference to the frame before, of joints seen in
    both. A missing joint is 0 in every stream, as is its motion.

    The state is the decayed sums of what the body is aligned by (B, 16, 1), and the joints (B, 1, V, 3) and confidences
    (B, 1, V) of the frame before.

    Args:
        topology, streams, align, confidence_channel: as :class:`~edgeskel.transforms.Streams`.
        frames: n.
        memory: frames after which one counts 1/e.
    """

    states = 3
    upright: Tensor

    def __init__(self, topology: Topology, frames: int, memory: float, streams: Sequence[str] = STREAMS, align: str = "yaw",
                 confidence_channel: bool = True) -> None:
        super().__init__(topology, frames, frames, streams, align, confidence_channel)
        self.decay: Decay = Decay(math.exp(-1 / memory), frames)
        self.register_buffer("upright", torch.eye(3).unsqueeze(0), persistent=False)

    def forward(self, joints: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
        """Streams of clips: (N, 1, T, V, 3) metres and (N, 1, T, V) -> (N, C, T, V) and (N, T), 1 where anything was seen."""
        return self.step(joints[:, 0], confidence[:, 0], ())[0]

    def step(self, joints: Tensor, confidence: Tensor, state: State) -> tuple[tuple[Tensor, Tensor], State]:
        """The next frames.

        Args:
            joints: (B, n, V, 3) metres.
            confidence: (B, n, V) in 0..1.
            state: as the step before left it; ``()`` is a fresh one.

        Returns:
            (B, C, n, V) streams and (B, n), 1 where anything was seen; and the state for the next step.
        """
        bodies, frames, size, _ = joints.shape
        seen = (confidence * self.firm).clamp(max=1.0)
        sums = self._sums(joints * confidence.unsqueeze(-1), confidence, state[:1])
        origin, axes = self._place(sums)
        joints_before, seen_before = self._before(joints, seen, state[1:])
        places = joints.reshape(bodies * frames, size, 3) - origin
        moves = (joints - joints_before).reshape(bodies * frames, size, 3)
        both = torch.bmm(torch.cat((places, moves), dim=1), axes)  # (B·n, 2V, 3), in torso lengths and aligned
        values = self._spread(both, torch.cat((confidence, seen * seen_before), dim=1), bodies, frames)
        channels = [values[stream] for stream in self.streams]
        if self.confidence_channel:
            channels.append(confidence.unsqueeze(-1))
        anything = (functional.linear(confidence, self.all_joints) * self.steep).clamp(max=1.0).reshape(bodies, frames)
        streams = torch.cat(channels, dim=-1).permute(0, 3, 1, 2)
        return (streams, anything), (sums[..., -1:], joints[:, -1:], seen[:, -1:])

    def _sums(self, weighted: Tensor, confidence: Tensor, state: State) -> Tensor:
        """(B, 16, n): x, y, z and weight of each of the four points that the body is aligned by, summed over the past."""
        bodies, frames, size = confidence.shape
        values = torch.cat((weighted, confidence.unsqueeze(-1)), dim=-1).transpose(2, 3)  # (B, n, 4, V)
        points = functional.linear(values, self.points).reshape(bodies, frames, 16)
        sums: Tensor = self.decay(points.transpose(1, 2), state)
        return sums

    def _place(self, sums: Tensor) -> tuple[Tensor, Tensor]:
        """Origin (B·n, 1, 3), and what turns and scales a row vector (B·n, 3, 3)."""
        bodies, _, frames = sums.shape
        sums = sums.transpose(1, 2).reshape(bodies * frames, 4, 4)
        across, up, origin = self.directions_of(sums[:, :3], sums[:, 3:])
        length = self.norm(up)
        if self.align == "none":
            return origin, self.upright / length
        return origin, self.turn(across, up / length).transpose(1, 2) / length

    def _before(self, joints: Tensor, seen: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """Of each frame, the joints (B, n, V, 3) of the one before and whether they were seen (B, n, V)."""
        if not state:
            state = (torch.zeros_like(joints[:, :1]), torch.zeros_like(seen[:, :1]))
        if joints.shape[1] == 1:
            return state[0], state[1]
        return torch.cat((state[0], joints[:, :-1]), dim=1), torch.cat((state[1], seen[:, :-1]), dim=1)

    def _spread(self, both: Tensor, coverage: Tensor, bodies: int, frames: int) -> dict[str, Tensor]:
        """Places and moves, (B·n, 2V, 3) with their coverage (B, 2n, V), as the streams (B, n, V, 3)."""
        size = both.shape[1] // 2
        parts = [both[:, part * size : (part + 1) * size].reshape(bodies, frames, size, 3) for part in (0, 1)]
        spread = self.spread(torch.cat(parts, dim=1), coverage)
        return {name + suffix: value[:, part * frames : (part + 1) * frames]
                for name, value in spread.items() for part, suffix in enumerate(("", "_motion"))}
