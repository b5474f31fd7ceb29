"""From one joint layout to another, by name.

The rule, joint by joint of the target:

1. the source has a joint of that name: it is taken as it is;
2. the table ``DERIVED`` lists, for that name, joints that the source has: their mean is taken, and its confidence is
   the least of theirs, so that a joint derived from a missing one is missing (the recipe depends on the layouts alone:
   changing it from frame to frame would make a still joint jump);
3. otherwise the joint is missing: confidence 0.

Axes: M persons, T frames, V joints of the source, W joints of the target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edgeskel.errors import TopologyMismatch
from edgeskel.skeleton import Clip, Float32, Frame, Topology

__all__ = ["DERIVED", "Remap", "converter", "remap_clip"]

# Joint -> recipes, best first; the first whose joints the source all has is used. {side} stands for left and right.
_TABLE: dict[str, tuple[tuple[str, ...], ...]] = {
    "pelvis": (("left_hip", "right_hip"),),
    "spine": (("spine_low", "chest"), ("left_shoulder", "right_shoulder", "left_hip", "right_hip")),
    # A joint named twice weighs twice: a third of the way from the hips to the shoulders.
    "spine_low": (("pelvis", "spine"), ("left_hip", "right_hip", "spine"),
                  ("left_hip", "right_hip", "left_hip", "right_hip", "left_shoulder", "right_shoulder")),
    "chest": (("left_collar", "right_collar"), ("left_shoulder", "right_shoulder")),
    "neck": (("chest", "head"), ("left_shoulder", "right_shoulder")),
    "neck_high": (("neck", "head"), ("left_shoulder", "right_shoulder", "left_ear", "right_ear")),
    "head": (("left_ear", "right_ear"), ("left_eye", "right_eye"), ("nose",)),
    "nose": (("left_eye", "right_eye"), ("head",)),
    "{side}_eye": (("{side}_eye_inner", "{side}_eye_outer"),),
    "{side}_collar": (("chest", "{side}_shoulder"), ("neck", "{side}_shoulder"),
                      ("left_shoulder", "right_shoulder", "{side}_shoulder")),
    "{side}_wrist": (("{side}_hand_root",), ("{side}_hand",)),
    "{side}_hand_root": (("{side}_wrist",), ("{side}_hand",)),
    "{side}_hand": (("{side}_index_1", "{side}_middle_1", "{side}_ring_1", "{side}_pinky_1"),
                    ("{side}_index_1", "{side}_pinky_1"), ("{side}_hand_tip", "{side}_wrist"), ("{side}_wrist",)),
    "{side}_hand_tip": (("{side}_middle_4",), ("{side}_index_1",), ("{side}_hand",)),
    "{side}_thumb": (("{side}_thumb_4",), ("{side}_thumb_2",)),
    "{side}_index_1": (("{side}_hand",),),
    "{side}_pinky_1": (("{side}_hand",),),
    "{side}_thumb_2": (("{side}_thumb",),),
    "{side}_ankle": (("{side}_foot",),),
    "{side}_foot": (("{side}_big_toe", "{side}_small_toe"), ("{side}_toes", "{side}_ankle"), ("{side}_ankle",)),
    "{side}_big_toe": (("{side}_foot",),),
    "{side}_toes": (("{side}_big_toe", "{side}_small_toe"), ("{side}_foot",)),
}


def _both_sides() -> dict[str, tuple[tuple[str, ...], ...]]:
    table = {}
    for joint, recipes in _TABLE.items():
        for side in ("left", "right") if "{side}" in joint else ("",):
            table[joint.format(side=side)] = tuple(tuple(name.format(side=side) for name in recipe)
                                                   for recipe in recipes)
    return table


DERIVED = _both_sides()


@dataclass(frozen=True)
class Remap:
    """The plan from ``source`` to ``target``; make it with :meth:`between`.

    Args:
        source, target: the layouts.
        recipes: for each of the W target joints the source joints whose mean it is; empty where it is missing.
    """

    source: Topology
    target: Topology
    recipes: tuple[tuple[int, ...], ...]

    @classmethod
    def between(cls, source: Topology, target: Topology) -> Remap:
        """Apply the rule of this file to two layouts.

        Raises:
            TopologyMismatch: not one joint of the target can be had from the source.
        """
        recipes = tuple(_recipe(joint, source) for joint in target.joints)
        if not any(recipes):
            raise TopologyMismatch(f"no joint of {target.name} can be had from {source.name}",
                                   expected=f"some of the names {', '.join(target.joints[:8])}, ...",
                                   remedy="name the joints of your layout as the built-in layouts do")
        return cls(source, target, recipes)

    @property
    def exact(self) -> tuple[str, ...]:
        """Target joints that the source has."""
        return tuple(joint for joint in self.target.joints if joint in self.source.joints)

    @property
    def derived(self) -> dict[str, tuple[str, ...]]:
        """Target joint -> source joints whose mean stands for it."""
        return {joint: tuple(self.source.joints[i] for i in recipe)
                for joint, recipe in zip(self.target.joints, self.recipes, strict=True)
                if recipe and joint not in self.source.joints}

    @property
    def missing(self) -> tuple[str, ...]:
        """Target joints that stay at confidence 0."""
        return tuple(joint for joint, recipe in zip(self.target.joints, self.recipes, strict=True) if not recipe)

    def __call__(self, joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
        """Bring joints into the target layout.

        Args:
            joints: (..., V, 3) metres.
            confidence: (..., V) in 0..1.

        Returns:
            (..., W, 3) and (..., W), newly allocated; missing joints hold 0.

        Raises:
            TopologyMismatch: V is not the source's.
        """
        if joints.shape[-2:] != (len(self.source.joints), 3) or confidence.shape != joints.shape[:-1]:
            raise TopologyMismatch(f"joints {joints.shape} and confidence {confidence.shape}",
                                   expected=f"(..., {len(self.source.joints)}, 3) and the same without the 3, for "
                                            f"{self.source.name}")
        shape = (*joints.shape[:-2], len(self.target.joints))
        mapped, trust = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32)
        for joint, recipe in enumerate(self.recipes):
            if recipe:
                trust[..., joint] = confidence[..., recipe].min(axis=-1)
                mapped[..., joint, :] = joints[..., recipe, :].mean(axis=-2)
        mapped[trust == 0] = 0
        return mapped, trust


def remap_clip(clip: Clip, source: Topology, target: Topology) -> Clip:
    """``clip`` in another layout. Raises as :class:`Remap`."""
    joints, confidence = Remap.between(source, target)(clip.joints, clip.confidence)
    return replace(clip, joints=joints, confidence=confidence)


def converter(source: Topology, target: Topology, say: Callable[[str], None] = lambda line: None) -> Callable[[Frame], Frame]:
    """What brings a source's frames into a recogniser's layout, by joint names; frames of that layout stay as they are.

    Args:
        say: told once, when frames are mapped, which joints are derived.

    Raises:
        TopologyMismatch: the source lacks joints that cannot be derived from those that it has.
    """
    if source.joints == target.joints:
        return lambda frame: frame
    remap = Remap.between(source, target)
    if remap.missing:
        raise TopologyMismatch(
            f"{source.name} has no {', '.join(remap.missing)}, and nothing to derive them from",
            expected=f"the joints of {target.name}",
            remedy=f"use a model that was trained on {source.name}",
        )
    derived = f"; derived: {', '.join(remap.derived)}" if remap.derived else ""
    say(f"{source.name} is mapped to {target.name} by joint names{derived}")

    def convert(frame: Frame) -> Frame:
        joints, confidence = remap(frame.joints, frame.confidence)
        return replace(frame, joints=joints, confidence=confidence)

    return convert


def _recipe(joint: str, source: Topology) -> tuple[int, ...]:
    for names in ((joint,), *DERIVED.get(joint, ())):
        if all(name in source.joints for name in names):
            return tuple(source.joints.index(name) for name in names)
    return ()
