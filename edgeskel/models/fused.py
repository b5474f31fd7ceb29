"""``fused``: several trained recognisers as one. Each sees the joints by itself; their scores are added, each with a weight.

The members may be of any kind: one network on joints, on bones and on motions (the streams of Shi et al., "Skeleton-Based Action
Recognition with Multi-Stream Adaptive Graph Convolutional Networks", 2020, arXiv 1912.06971), or different networks. The embedding
is that of all members, one behind the other, and the classifier is theirs, one beside the other: logits are the weighted sum of
the members' logits. So there is one graph to export, one embedding to learn on and one classifier to extend.

``fused-live`` is the same of members that all run frame by frame.

Axes: N clips, M persons, S frames of the window, V joints, n frames of a step, D width of the embedding, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from edgeskel import plugins
from edgeskel.errors import LabelMismatch, ModelError, TopologyMismatch, UsageError
from edgeskel.models.checkpoint import PACKAGE
from edgeskel.models.checks import check_common
from edgeskel.models.encoder import CausalEncoder, Encoder, RecogniserConfig
from edgeskel.models.recogniser import Recogniser
from edgeskel.models.registry import create, create_encoder, register
from edgeskel.models.steps import State, fresh
from edgeskel.transforms import STREAMS

__all__ = ["Fused", "FusedConfig", "FusedLive", "check_alike", "fuse"]

_SHARED = ("persons", "source_frames", "rate_hz")
"""What a window is: the same for all members."""


@dataclass(frozen=True, kw_only=True)
class FusedConfig(RecogniserConfig):
    """Of ``fused`` and ``fused-live``. ``frames``, ``align`` and ``confidence_channel`` are the members' own."""

    members: tuple[Mapping[str, Any], ...] = ()
    """Of each member, ``recogniser`` and its configuration, without topology and labels."""

    def __post_init__(self) -> None:
        check_common(self)
        if not isinstance(self.members, (tuple, list)) or not self.members:
            raise UsageError(f"members = {self.members!r}", expected="the configuration of each member, at least one",
                             remedy="train the members, then: edgeskel fuse A B ... --data STORE --out DIR")
        for member in self.members:
            if not isinstance(member, Mapping) or not isinstance(member.get("recogniser"), str):
                raise UsageError(f"a member = {member!r}", expected="a table with the name of its recogniser")


@register("fused", FusedConfig)
class Fused(Encoder):
    """See the module's docstring."""

    config: FusedConfig

    def __init__(self, config: FusedConfig) -> None:
        nn.Module.__init__(self)  # not that of Encoder, which would make streams: each member has its own
        self.config = config
        self.members: nn.ModuleList = nn.ModuleList(self._member(told) for told in config.members)
        self.width = sum(member.width for member in self._encoders)

    @property
    def _encoders(self) -> list[Encoder]:
        return [member for member in self.members if isinstance(member, Encoder)]

    def embed(self, joints: Tensor, confidence: Tensor) -> Tensor:
        """Embedding (N, D) of each clip, the members' one behind the other; arguments as :meth:`Encoder.inputs`."""
        return torch.cat([member.embed(joints, confidence) for member in self._encoders], dim=-1)

    def inputs(self, joints: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
        """There are none: raises ``UsageError``. What learns on streams or maps takes one of the members."""
        raise UsageError(f"the streams of {self.name!r}, which has those of {len(self.members)} members",
                         expected="a method that needs embeddings only, such as supervised or distillation",
                         remedy="train a member by itself and fuse again, or learn from the fused one: --teachers")

    def _member(self, told: Mapping[str, Any]) -> Encoder:
        settings = {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()
                    if key not in ("recogniser", PACKAGE)}
        return create_encoder(told["recogniser"], **settings, topology=self.config.topology)


@register("fused-live", FusedConfig)
class FusedLive(CausalEncoder, Fused):
    """``fused``, of members that run frame by frame."""

    def __init__(self, config: FusedConfig) -> None:
        super().__init__(config)
        self._states: list[int] = [self._count(member) for member in self._causal]

    @property
    def _causal(self) -> list[CausalEncoder]:
        return [member for member in self.members if isinstance(member, CausalEncoder)]

    @property
    def frames_per_step(self) -> int:
        return math.lcm(*(member.frames_per_step for member in self._causal))

    def prepare_steps(self, frames: int) -> None:
        for member in self._causal:
            member.prepare_steps(frames)

    def step(self, joints: Tensor, confidence: Tensor, state: State) -> tuple[Tensor, State]:
        embeddings: list[Tensor] = []
        after: State = ()
        for member, count in zip(self._causal, self._states, strict=True):
            embedding, left = member.step(joints, confidence, state[:count])
            embeddings.append(embedding)
            after, state = after + left, state[count:]
        return torch.cat(embeddings, dim=-1), after

    def _member(self, told: Mapping[str, Any]) -> Encoder:
        member = super()._member(told)
        if not isinstance(member, CausalEncoder):
            raise UsageError(f"{member.name!r} as a member of {self.name!r}", expected="a recogniser that runs frame by frame",
                             remedy="fuse it as 'fused'")
        return member

    def _count(self, member: CausalEncoder) -> int:
        """Tensors of a member's state."""
        joints = torch.zeros(1, 1, member.frames_per_step, len(self.config.topology.joints), 3)
        training = member.training
        member.eval()  # so that no statistics see these zeros
        state = fresh(lambda state: member.step(joints, joints[..., 0], state))
        member.train(training)
        return len(state)


def fuse(members: Sequence[Recogniser], weights: Sequence[float], names: Sequence[str] = ()) -> Recogniser:
    """One recogniser of several; causal where all of them are.

    Args:
        members: trained; they stay as they are.
        weights: of each member's logits, not negative. A member of weight 0 is left out.
        names: what to call the members in messages.

    Raises:
        UsageError: no member or no weight above 0, weights that are negative or not one for each, or other windows (persons,
            frames, frame rate).
        LabelMismatch, TopologyMismatch: members of other labels or joints than the first one.
        ModelError: a member whose classifier is more than one linear layer.
    """
    names = names or [f"member {index} ({member.name})" for index, member in enumerate(members, start=1)]
    if len(weights) != len(members) or not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not sum(weights):
        raise UsageError(f"the weights {list(weights)} for {len(members)} members",
                         expected="a number for each, not negative, at least one above 0")
    check_alike(members, names)
    kept = [(member, weight, name) for member, weight, name in zip(members, weights, names, strict=True) if weight]
    layers = [(_classifier(member, name), weight) for member, weight, name in kept]
    first = members[0].config
    causal = all(isinstance(member.encoder, CausalEncoder) for member, _, _ in kept)
    fused = create("fused-live" if causal else "fused", topology=first.topology, labels=first.labels,
                   **{field: getattr(first, field) for field in _SHARED}, hop=min(member.config.hop for member, _, _ in kept),
                   streams=tuple(stream for stream in STREAMS if any(stream in member.config.streams for member, _, _ in kept)),
                   members=tuple(_told(member) for member, _, _ in kept)).eval()
    assert isinstance(fused.encoder, Fused) and isinstance(fused.classifier, nn.Linear)
    for mine, (member, _, _) in zip(fused.encoder.members, kept, strict=True):
        mine.load_state_dict(member.encoder.state_dict())
    with torch.no_grad():
        fused.classifier.weight.copy_(torch.cat([weight * layer.weight for layer, weight in layers], dim=1))
        offsets = [weight * layer.bias for layer, weight in layers if layer.bias is not None]
        fused.classifier.bias.copy_(torch.stack(offsets).sum(0) if offsets else torch.zeros(len(first.labels)))
    return fused


def check_alike(members: Sequence[Recogniser], names: Sequence[str]) -> None:
    """Refuse members that cannot be fused; ``names`` are for messages. Raises as :func:`fuse`."""
    if not members:
        raise UsageError("no recogniser to fuse", expected="at least one")
    first = members[0].config
    for member, name in zip(members[1:], names[1:], strict=True):
        config = member.config
        if config.topology.joints != first.topology.joints:
            raise TopologyMismatch(f"{name} sees {config.topology.name} ({len(config.topology.joints)} joints)",
                                   expected=f"{first.topology.name} ({len(first.topology.joints)} joints), as {names[0]}")
        if tuple(config.labels) != tuple(first.labels):
            different = sorted(set(config.labels) ^ set(first.labels))
            raise LabelMismatch(f"{name} and {names[0]} differ in {', '.join(different) or 'the order of their labels'}",
                                expected="the same labels in the same order")
        for field in _SHARED:
            if getattr(config, field) != getattr(first, field):
                raise UsageError(f"{name} has {field} = {getattr(config, field)}",
                                 expected=f"{field} = {getattr(first, field)}, as {names[0]}: they are fed the same window",
                                 remedy=f"train it with --settings {field}={getattr(first, field)}" if field != "rate_hz"
                                 else "train all of them on the same store")


def _classifier(member: Recogniser, name: str) -> nn.Linear:
    if not isinstance(member.classifier, nn.Linear):
        raise ModelError(f"{name} ends in {type(member.classifier).__name__}",
                         expected="one linear layer, whose weights can stand beside the others'")
    return member.classifier


def _told(member: Recogniser) -> dict[str, Any]:
    """A member's entry in the configuration."""
    config = member.config
    told = {"recogniser": member.name, **{item.name: getattr(config, item.name) for item in fields(config)
                                          if item.name not in ("topology", "labels")}}
    module = type(member.encoder).__module__
    package = None if module.startswith("edgeskel.") else plugins.package_of(module)
    return {**told, **({PACKAGE: package} if package else {})}
