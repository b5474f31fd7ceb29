"""Changes of training clips, each one vectorised call per batch on raw joints, on whatever device they are.

A missing joint stays missing: its confidence stays 0 and its value is 0 afterwards. Randomness comes from torch's own
generator, which the training loop seeds at each step.

Axes: N clips, M persons, S frames of the window, W frames of the training window, V joints, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from edgeskel.errors import UnknownChoice, UsageError
from edgeskel.skeleton import Topology
from edgeskel.training.recipes import Augment

__all__ = ["Augmenter", "flip", "resample", "reshape_body", "rotation", "seen_span"]

LIMBS = ("left_arm", "right_arm", "left_leg", "right_leg")


class Augmenter(nn.Module):
    """All changes of an :class:`Augment`, in the order: flip, time, body, view, noise, dropout, mix.

    Args:
        settings: how far.
        topology: the joint layout.
        labels: K class names.
        frames: W.
        mirror: see ``Recipe.mirror``.

    Raises:
        UnknownChoice: ``mirror`` names a label that does not exist.
        UsageError: ``mirror`` is not its own inverse.
    """

    ancestors: Tensor
    parents: Tensor
    segment: Tensor
    above: Tensor
    mirrored_joints: Tensor
    twin: Tensor
    limbs: Tensor
    mirrored_labels: Tensor
    may_flip: Tensor

    settings: Augment
    frames: int

    def __init__(
        self, settings: Augment, topology: Topology, labels: Sequence[str], frames: int, mirror: Mapping[str, str]
    ) -> None:
        super().__init__()
        self.settings, self.frames = settings, frames
        size = len(topology.joints)

        def constant(name: str, value: Tensor) -> None:
            self.register_buffer(name, value, persistent=False)

        ancestors = torch.zeros(size, size)
        segment, above = _segments(topology)
        for joint in range(size):
            at = joint
            while at != topology.root:
                ancestors[joint, at] = 1
                at = topology.parents[at]
        constant("ancestors", ancestors)
        constant("parents", torch.tensor([max(parent, 0) for parent in topology.parents]))
        constant("segment", torch.tensor(segment))
        constant("above", torch.tensor(above))
        constant("mirrored_joints", torch.tensor(topology.mirror))
        twin = list(range(size))
        for left, right in topology.pairs:
            twin[right] = left
        constant("twin", torch.tensor(twin))
        constant("limbs", torch.stack([torch.zeros(size), *_limb_masks(topology)]))
        order, allowed = mirrored_labels(labels, mirror)
        constant("mirrored_labels", torch.tensor(order))
        constant("may_flip", torch.tensor(allowed))
        self.root: int = topology.root

    def forward(self, joints: Tensor, confidence: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One batch, changed.

        Args:
            joints: (N, M, S, V, 3) metres.
            confidence: (N, M, S, V).
            targets: (N, K) probabilities.

        Returns:
            (N, M, W, V, 3), (N, M, W, V), (N, K).
        """
        how = self.settings
        if how.flip and bool(self.may_flip.any()):
            chosen = (torch.rand(len(joints), device=joints.device) < how.flip) & self.may_flip[targets.argmax(1)]
            joints, confidence = flip(joints, confidence, chosen, self.mirrored_joints)
            targets = torch.where(chosen[:, None], targets[:, self.mirrored_labels], targets)
        positions, filled = draw_positions(confidence, self.frames, how)
        joints, confidence = resample(joints, confidence, positions)
        confidence = confidence * filled[:, None, :, None]
        joints = joints - origin(joints, confidence, self.root)
        if how.amplitude:
            joints = amplify(joints, confidence, self._about_one(len(joints), how.amplitude, joints))
        if how.bone or how.limb:
            joints = reshape_body(joints, confidence, self._bones(len(joints), joints), self.parents, self.ancestors)
        joints = self._turn(joints)
        if how.noise:
            strength = how.noise * torch.rand(len(joints), 1, 1, 1, 1, device=joints.device)
            joints = joints + strength * torch.randn_like(joints)
        confidence = self._drop(confidence)
        if how.mix:
            joints, confidence, targets = self._mix(joints, confidence, targets)
        return joints * (confidence > 0).unsqueeze(-1), confidence, targets

    def _about_one(self, clips: int, reach: float, like: Tensor) -> Tensor:
        return 1 + reach * (2 * torch.rand(clips, device=like.device) - 1)

    def _bones(self, clips: int, like: Tensor) -> Tensor:
        """(N, V, 3, 3): what each bone is multiplied with, its length and its direction."""
        size = len(self.parents)
        length = 1 + self.settings.bone * (2 * torch.rand(clips, size, device=like.device) - 1)
        change = length[:, self.twin, None, None] * torch.eye(3, device=like.device)
        if self.settings.limb:
            angles = torch.randn(clips, int(self.segment.max()) + 1, 3, device=like.device)
            turns = rotation(self.settings.limb * angles)
            turns[:, 0] = torch.eye(3, device=like.device)  # the trunk
            change = turns[:, self.above] @ turns[:, self.segment] @ change
        return change

    def _turn(self, joints: Tensor) -> Tensor:
        how, clips = self.settings, len(joints)
        if not (how.yaw or how.tilt or how.scale):
            return joints
        angles = how.tilt * torch.randn(clips, 3, device=joints.device)
        angles[:, 1] = how.yaw * (2 * torch.rand(clips, device=joints.device) - 1)
        turn = rotation(angles)
        if how.scale:
            turn = turn * self._about_one(clips, how.scale, joints)[:, None, None]
        return (joints.flatten(1, 3) @ turn.transpose(1, 2)).view(joints.shape)

    def _drop(self, confidence: Tensor) -> Tensor:
        how = self.settings
        clips, persons, frames, size = confidence.shape

        def draw(*shape: int) -> Tensor:
            return torch.rand(*shape, device=confidence.device)

        if how.joint_dropout:
            confidence = confidence * (draw(clips, persons, 1, size) >= how.joint_dropout * draw(clips, 1, 1, 1))
        if how.frame_dropout:
            confidence = confidence * (draw(clips, 1, frames, 1) >= how.frame_dropout * draw(clips, 1, 1, 1))
        if how.part_dropout:
            which = torch.randint(1, len(self.limbs), (clips,), device=confidence.device)
            which = which * (draw(clips) < how.part_dropout)
            confidence = confidence * (1 - self.limbs[which])[:, None, None]
        return confidence

    def _mix(self, joints: Tensor, confidence: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Blend every clip with another one of the batch, joint by joint and target by target (mixup)."""
        share = torch.distributions.Beta(self.settings.mix, self.settings.mix).sample().to(joints.device)
        other = torch.randperm(len(joints), device=joints.device)
        both = (confidence > 0) & (confidence[other] > 0)
        # A clip of one person with one of two: who is in one clip only stays as he is.
        absent = (confidence.amax((2, 3), keepdim=True) > 0) & (confidence[other].amax((2, 3), keepdim=True) == 0)
        weight = torch.where(absent, torch.ones_like(share), share).unsqueeze(-1)
        joints = weight * joints + (1 - weight) * joints[other]
        confidence = torch.where(absent, confidence, torch.minimum(confidence, confidence[other]) * both)
        return joints, confidence, share * targets + (1 - share) * targets[other]


def rotation(turn: Tensor) -> Tensor:
    """Rotation vectors (..., 3) in radians -> matrices (..., 3, 3), by Rodrigues' formula."""
    angle = turn.norm(dim=-1, keepdim=True).clamp(min=1e-8)
    x, y, z = (turn / angle).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1)
    cross = cross.reshape(*cross.shape[:-1], 3, 3)
    angle = angle.unsqueeze(-1)
    matrices: Tensor = torch.eye(3, device=turn.device) + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)
    return matrices


def flip(joints: Tensor, confidence: Tensor, chosen: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror the ``chosen`` (N,) clips left to right; ``order`` (V,) is ``topology.mirror``. Twice is the identity."""
    reflect = torch.tensor([-1.0, 1.0, 1.0], device=joints.device)
    flipped = joints[..., order, :] * reflect
    return (
        torch.where(chosen[:, None, None, None, None], flipped, joints),
        torch.where(chosen[:, None, None, None], confidence[..., order], confidence),
    )


def seen_span(confidence: Tensor) -> tuple[Tensor, Tensor]:
    """First and last frame, (N,) each, in which anything was seen; (0, 0) for a clip in which nothing was."""
    seen = (confidence.amax((1, 3)) > 0).float()  # (N, S)
    frames = seen.shape[1]
    last = (seen * torch.arange(frames, device=seen.device)).amax(1)
    first = frames - 1 - (seen * torch.arange(frames - 1, -1, -1, device=seen.device)).amax(1)
    return torch.minimum(first, last), last


def draw_positions(confidence: Tensor, frames: int, how: Augment) -> tuple[Tensor, Tensor]:
    """Where in the window the frames of a training window come from: a random piece of the seen span, played at a random and
    varying speed, over all of the training window or (``pace``) at its own pace from a moment of rest to another one.

    Returns:
        (N, W) places, in frames, and (N, W), 0 where the training window is empty.
    """
    clips, device = len(confidence), confidence.device

    def draw() -> Tensor:
        return torch.rand(clips, 1, device=device)

    first, last = seen_span(confidence)
    keep = 1 - how.crop * draw()
    start = (1 - keep) * draw()
    span = (last - first)[:, None]
    filled = torch.ones(clips, frames, device=device)
    progress = torch.linspace(0, 1, frames, device=device).expand(clips, frames)
    if how.pace:
        moments = torch.arange(frames, device=device)
        before, after = (how.rest * draw() * (draw() < 0.5) for _ in range(2))
        lasting = span * keep / (1 + how.pace * (2 * draw() - 1))
        progress = ((moments - before) / lasting.clamp(min=1.0)).clamp(0, 1)
        filled = (moments <= before + lasting + after).float()
    if how.warp:
        phase = 2 * math.pi * draw()
        waves = 2 * math.pi * (1 + (draw() * 2).floor())
        progress = progress + how.warp * draw() / waves * (torch.sin(waves * progress + phase) - torch.sin(phase))
    return first[:, None] + span * (start + keep * progress).clamp(0, 1), filled


def resample(joints: Tensor, confidence: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Linear interpolation along the frames that never lets a missing joint's value in.

    Args:
        joints: (N, M, S, V, 3).
        confidence: (N, M, S, V).
        positions: (N, W) in frames, within 0..S-1.
    """
    clips, persons, frames, size, _ = joints.shape
    before = positions.long().clamp(0, frames - 1)
    after = (before + 1).clamp(max=frames - 1)
    share = (positions - before)[:, None, :, None]
    clip = torch.arange(clips, device=joints.device)[:, None]

    def at(values: Tensor, frame: Tensor) -> Tensor:  # (N, M, S, ...) -> (N, M, W, ...)
        return values.transpose(1, 2)[clip, frame].transpose(1, 2)

    weight_before, weight_after = (1 - share) * at(confidence, before), share * at(confidence, after)
    total = weight_before + weight_after
    mixed = weight_before.unsqueeze(-1) * at(joints, before) + weight_after.unsqueeze(-1) * at(joints, after)
    return mixed / total.clamp(min=1e-9).unsqueeze(-1), total


def origin(joints: Tensor, confidence: Tensor, root: int) -> Tensor:
    """(N, 1, 1, 1, 3): where the first person's root was when it was first seen; 0 if never."""
    seen = (confidence[:, 0, :, root] > 0).float()  # (N, S)
    first = seen.argmax(1)
    place = joints[torch.arange(len(joints), device=joints.device), 0, first, root]
    return (place * seen.amax(1, keepdim=True))[:, None, None, None]


def amplify(joints: Tensor, confidence: Tensor, factor: Tensor) -> Tensor:
    """Scale each joint's motion about its own mean place by ``factor`` (N,)."""
    weight = confidence.unsqueeze(-1)
    mean = (joints * weight).sum(2, keepdim=True) / weight.sum(2, keepdim=True).clamp(min=1e-9)
    return mean + (joints - mean) * factor.view(-1, 1, 1, 1, 1)


def reshape_body(joints: Tensor, confidence: Tensor, change: Tensor, parents: Tensor, ancestors: Tensor) -> Tensor:
    """Multiply every bone with its matrix and carry what hangs on it along.

    A bone of which an end is missing changes nothing further down, so that no missing value spreads.

    Args:
        joints: (N, M, S, V, 3).
        confidence: (N, M, S, V).
        change: (N, V, 3, 3) of the bone that ends in each joint.
        parents: (V,) the root's may be anything.
        ancestors: (V, V) 1 where the bone ending in the column's joint lies between the row's joint and the root.
    """
    clips, persons, frames, size, _ = joints.shape
    bones = (joints - joints[..., parents, :]) * ((confidence > 0) & (confidence[..., parents] > 0)).unsqueeze(-1)
    flat = bones.permute(0, 3, 4, 1, 2).reshape(clips, size, 3, persons * frames)
    moved = (change - torch.eye(3, device=joints.device)) @ flat  # (N, V, 3, M·S)
    moved = (ancestors @ moved.reshape(clips, size, -1)).reshape(clips, size, 3, persons, frames)
    return joints + moved.permute(0, 3, 4, 1, 2)


def mirrored_labels(labels: Sequence[str], mirror: Mapping[str, str]) -> tuple[list[int], list[bool]]:
    """Class of the mirrored clip, and whether there is one, for each class.

    Raises:
        UnknownChoice: a label that does not exist.
        UsageError: a pair that does not go back the same way.
    """
    full = dict(mirror)
    everyone = full.pop("*", None) is not None
    for one, other in list(full.items()):
        for label in (one, other):
            if label not in labels:
                raise UnknownChoice("label of mirror", label, labels)
        if full.setdefault(other, one) != one:
            raise UsageError(f"mirror maps {one!r} to {other!r}, and {other!r} to {full[other]!r}", expected="pairs")
    order, allowed = [], []
    for index, label in enumerate(labels):
        known = label in full
        order.append(labels.index(full[label]) if known else index)
        allowed.append(known or everyone)
    return order, allowed


def _segments(topology: Topology) -> tuple[list[int], list[int]]:
    """For each joint, the rigid segment its bone belongs to and the one above that (0 is the trunk, which stays).

    Every limb has an upper segment (its first two joints from the trunk) and a lower one; the head is one segment.
    """
    segment, above = [0] * len(topology.joints), [0] * len(topology.joints)
    count = 0
    depth = topology.hops[topology.root]
    for limb in LIMBS:
        joints = topology.parts.get(limb, ())
        if not joints:
            continue
        start = min(int(depth[joint]) for joint in joints)
        for joint in joints:
            lower = int(depth[joint]) > start + 1
            segment[joint] = count + 1 + lower
            above[joint] = count + 1 if lower else 0
        count += 2
    if "head" in topology.joints and topology.index("head") != topology.root:
        head = topology.index("head")
        for joint in topology.order:
            if joint == head or (topology.parents[joint] >= 0 and segment[topology.parents[joint]] == count + 1):
                segment[joint] = count + 1
    return segment, above


def _limb_masks(topology: Topology) -> list[Tensor]:
    masks = []
    for limb in LIMBS:
        mask = torch.zeros(len(topology.joints))
        mask[list(topology.parts.get(limb, ()))] = 1
        masks.append(mask)
    return masks
