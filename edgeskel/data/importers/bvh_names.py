"""Joint names that motion capture programs use, brought into our vocabulary."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgeskel.skeleton import PARTS, Topology

__all__ = ["layout"]

MIDDLE = {"hips": "pelvis", "pelvis": "pelvis", "neck": "neck", "head": "head", "spine": "spine", "chest": "spine"}

# Two families name the limbs: by the bone that starts at the joint (LeftArm), or by the joint itself (LeftElbow).
BY_BONE = {"shoulder": "collar", "clavicle": "collar", "arm": "shoulder", "upperarm": "shoulder", "forearm": "elbow",
           "lowerarm": "elbow", "hand": "wrist", "upleg": "hip", "upperleg": "hip", "thigh": "hip", "leg": "knee",
           "lowerleg": "knee", "shin": "knee", "calf": "knee", "foot": "ankle", "toebase": "foot", "toe": "foot"}
BY_JOINT = {"collar": "collar", "shoulder": "shoulder", "elbow": "elbow", "wrist": "wrist", "hand": "wrist",
            "hip": "hip", "knee": "knee", "ankle": "ankle", "foot": "ankle", "toe": "foot", "toebase": "foot"}
ARM = ("collar", "shoulder", "elbow", "wrist", "hand")
LEG = ("hip", "knee", "ankle", "foot", "toe")


def layout(names: Sequence[str], parents: Sequence[int], title: str) -> Topology:
    """The file's hierarchy as a layout in our vocabulary.

    The topmost trunk joint below the neck is the chest. Names that are not known stay as they are, and so does a second
    joint that would get a name already given.

    Args:
        names: V joint names as in the file, parents before children.
        parents: V parent indices, -1 for the root.
        title: the layout's name.
    """
    plain = [re.sub(r"[^a-z0-9]", "", name.rpartition(":")[2].lower()) for name in names]
    limbs = BY_BONE if any(word in ("leftarm", "leftforearm", "leftupleg", "leftupperarm", "leftthigh", "lthigh")
                           for word in plain) else BY_JOINT
    given: list[str] = []
    for name, word in zip(names, plain, strict=True):
        known = _known(word, limbs)
        given.append(known if known and known not in given else name)
    chest = _chest(given, plain, parents)
    if chest is not None:
        given[chest] = "chest"
    pairs = tuple((given.index(joint), given.index(_other_side(joint))) for joint in given
                  if joint.lower().startswith("left") and _other_side(joint) in given)
    part_of: list[str] = []
    for joint, parent in zip(given, parents, strict=True):
        part_of.append(_part(joint) or (part_of[parent] if parent >= 0 else "torso"))
    parts = {part: tuple(i for i, of in enumerate(part_of) if of == part) for part in PARTS if part in part_of}
    return Topology(title, tuple(given), tuple(parents), pairs, parts, tuple(names))


def _known(word: str, limbs: dict[str, str]) -> str:
    if word in MIDDLE:
        return MIDDLE[word]
    for side in ("left", "right"):
        for prefix in (side, side[0]):
            if word.startswith(prefix) and word[len(prefix):] in limbs:
                return f"{side}_{limbs[word[len(prefix):]]}"
    return ""


def _other_side(joint: str) -> str:
    return ("Right" if joint[0] == "L" else "right") + joint[4:]


def _chest(given: list[str], plain: list[str], parents: Sequence[int]) -> int | None:
    """The joint that carries the neck, when it is a numbered spine or chest (Spine2, Chest4)."""
    if "neck" not in given:
        return None
    above = parents[given.index("neck")]
    if above >= 0 and re.fullmatch(r"(spine|chest)\d+", plain[above]):
        return above
    return None


def _part(joint: str) -> str:
    side, _, rest = joint.partition("_")
    if side not in ("left", "right"):
        return ""
    return f"{side}_arm" if rest in ARM else f"{side}_leg" if rest in LEG else ""
