"""Joint names that motion capture programs use, brought into our vocabulary.

A name is taken apart into words (``Bip01 L UpperArm``, ``upperarm_l``, ``mixamorig:LeftArm``, ``r_low_leg``), what all names
share is dropped (``Bip01``, ``mixamorig``, ``CC_Base``), a side is looked for, and the rest is a word of the tables below.
Where programs use one word for two joints (a shoulder is a collar where there is an upper arm, too), the other names of
the file decide.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from edgeskel import topologies
from edgeskel.skeleton import PARTS, Topology

__all__ = ["layout", "not_understood"]

SIDES = {"left": "left", "l": "left", "lft": "left", "right": "right", "r": "right", "rgt": "right"}
CENTRE = {"c", "m", "mid", "center", "centre"}

# Word -> joint, for words that mean one thing; {side} is in front of it.
LIMBS = {
    "collar": ("collar", "clavicle", "clav", "collarbone", "scapula", "innershoulder", "shoulderblade"),
    "shoulder": ("arm", "upperarm", "uparm", "uarm", "upparm", "shldr", "shldrbend", "humerus", "upperarmbend", "armup"),
    "elbow": ("elbow", "forearm", "lowerarm", "lowarm", "loarm", "farm", "larm", "forearmbend", "radius", "ulna", "armlow"),
    "wrist": ("wrist",),
    "hip": ("upleg", "upperleg", "uppleg", "uleg", "thigh", "thighbend", "femur", "legup"),
    "knee": ("knee", "lowerleg", "lowleg", "loleg", "lleg", "shin", "calf", "tibia", "leglow"),
    "ankle": ("ankle",),
    "foot": ("toe", "toes", "toebase", "ball"),
}
WORDS = {word: joint for joint, words in LIMBS.items() for word in words}
TRUNK = {"hips": "pelvis", "pelvis": "pelvis", "hipcenter": "pelvis", "spinebase": "pelvis", "neck": "neck", "head": "head",
         "spine": "spine", "spinemid": "spine", "spineshoulder": "chest"}
CHESTS = ("upperchest", "chestupper", "thorax", "upperback")
# Where no name says it plainly.
ROOTS = ("hip", "root", "")
NECKS = ("necklower", "lowerneck", "necktwist", "neck")
KNOWN_WORDS = {*WORDS, *TRUNK, *SIDES, "chest", "shoulder", "hand", "foot", "leg", "hip", "abdomen", "torso", "up", "low", "upper",
               "lower", "fore"}
_END = re.compile(r"_end\d*$")
ARM = ("collar", "shoulder", "elbow", "wrist", "hand")
LEG = ("hip", "knee", "ankle", "foot", "toe")


def layout(names: Sequence[str], parents: Sequence[int], title: str, aliases: Mapping[str, str] | None = None) -> Topology:
    """The file's hierarchy as a layout in our vocabulary.

    Names that are not known stay as they are, and so does a second joint that would get a name already given.

    Args:
        names: V joint names as in the file, parents before children.
        parents: V parent indices, -1 for the root.
        title: the layout's name.
        aliases: names of the file -> ours, which go before what the tables say.
    """
    given = _given(names, parents, aliases or {})
    pairs = tuple((given.index(joint), given.index(_other_side(joint))) for joint in given
                  if joint.lower().startswith("left") and _other_side(joint) in given)
    part_of: list[str] = []
    for joint, parent in zip(given, parents, strict=True):
        part_of.append(_part(joint) or (part_of[parent] if parent >= 0 else "torso"))
    parts = {part: tuple(i for i, of in enumerate(part_of) if of == part) for part in PARTS if part in part_of}
    return Topology(title, tuple(given), tuple(parents), pairs, parts, tuple(names))


def not_understood(own: Topology) -> list[str]:
    """Names in the file that :func:`layout` left as they are; ends of chains have none of their own."""
    return [name for name, joint in zip(own.aliases, own.joints, strict=True)
            if joint not in _vocabulary() and not _END.search(name)]


@cache
def _vocabulary() -> frozenset[str]:
    return frozenset(joint for name in topologies.names() for joint in topologies.get(name).joints)


@dataclass
class _Names:
    """What is known of the joints, and the names that they are given. Axes: V joints."""

    names: Sequence[str]
    parents: Sequence[int]
    sided: list[tuple[str, str, str]]  # side, word, number; empty for the end of a chain
    given: list[str]

    def give(self, joint: int, name: str) -> None:
        """Call a joint ``name``, unless it has a name of ours or another one has this."""
        if name and name not in self.given and self.given[joint] == self.names[joint]:
            self.given[joint] = name

    def above(self, joint: int) -> Iterator[int]:
        """The joints from a joint's parent up to the root."""
        while (joint := self.parents[joint]) >= 0:
            yield joint


def _given(names: Sequence[str], parents: Sequence[int], aliases: Mapping[str, str]) -> list[str]:
    ends = [_END.search(name) is not None for name in names]
    words = iter(_words([name for name, end in zip(names, ends, strict=True) if not end]))
    known = _Names(names, parents, [("", "", "") if end else next(words) for end in ends], list(names))
    has = {(side, word) for side, word, _ in known.sided}
    for joint, name in enumerate(names):
        known.give(joint, aliases.get(name, ""))
    for joint, (side, word, number) in enumerate(known.sided):
        if side and number in ("", "0"):
            limb = _limb(side, word, has, known.sided[parents[joint]] if parents[joint] >= 0 else ("", "", ""))
            known.give(joint, f"{side}_{limb}" if limb else "")
        elif not side and not number:
            known.give(joint, TRUNK.get(word, ""))
    middle = [joint for joint, (side, _, _) in enumerate(known.sided) if not side and not ends[joint]]
    for ours, wanted in (*(("neck", word) for word in NECKS), *(("pelvis", word) for word in ROOTS)):
        joint = next((joint for joint in middle if known.sided[joint][1] == wanted), -1)
        if joint >= 0 and (wanted or parents[joint] < 0):
            known.give(joint, ours)
    _trunk(known)
    return known.given


def _limb(side: str, word: str, has: set[tuple[str, str]], parent: tuple[str, str, str]) -> str:
    """Our joint for a word beside a side, by what else there is on this side; "" where it is none of ours."""

    def there(joint: str) -> bool:
        return any((side, known) in has for known in LIMBS[joint])

    if word == "shoulder":
        return "collar" if there("shoulder") else "shoulder"
    if word == "hand":
        return "hand" if there("wrist") else "wrist"
    if word == "foot":
        return "foot" if there("ankle") else "ankle"
    if word in LIMBS["foot"] and there("ankle") and (side, "foot") in has:
        return "toes"
    if word == "hip":
        return "" if there("hip") else "hip"
    if word == "leg":
        below_hip = parent[0] == side and (there("hip") or parent[1] == "hip")
        return "knee" if below_hip or not there("knee") else "hip"
    return WORDS.get(word, "")


def _trunk(known: _Names) -> None:
    """Chest and spine by their place between pelvis and neck, where no name says them plainly."""
    given, sided = known.given, known.sided
    top = next((given.index(name) for name in ("neck", "head") if name in given), -1)
    hips = [given.index(name) for name in ("pelvis", "left_hip", "right_hip") if name in given]
    below = {*hips, *(joint for hip in hips for joint in known.above(hip))}
    chain = [joint for joint in (known.above(top) if top >= 0 else ()) if joint not in below and not sided[joint][0]]
    plain = next((joint for joint, what in enumerate(sided) if what == ("", "chest", "")), -1)
    if len(chain) > 1 or (chain and (sided[chain[0]][2] or sided[chain[0]][1] in CHESTS)):
        if given[chain[0]] != "spine":
            known.give(chain[0], "chest")
        if len(chain) > 2 and "spine" not in given and plain != chain[-1]:
            known.give(chain[len(chain) // 2], "spine")
            known.give(chain[-1], "spine_low")
        elif len(chain) > 1:
            known.give(chain[-1], "spine")
    elif chain or plain >= 0:
        known.give(chain[0] if chain else plain, "spine")


def _words(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """(side, word, number) of each name."""
    plain = [re.split(r"[:|]", name)[-1] for name in names]
    shared = os.path.commonprefix([name.lower() for name in plain]) if len(plain) > 1 else ""
    # "mixamorighips", "mixamorigleftarm": one text in front of every name, and no word of a body.
    cut = len(shared) if len(shared) > 3 and not any(shared.startswith(word) for word in KNOWN_WORDS if len(word) > 2) else 0
    tokens = [_tokens(name[cut:]) for name in plain]
    for at in (0, -1):
        while (word := _in_most(tokens, at)) is not None:
            tokens = [(part[1:] if at == 0 else part[:-1]) if part and part[at] == word else part for part in tokens]
    return [_sided(part) for part in tokens]


def _tokens(name: str) -> list[str]:
    """Lower-case words and numbers of a name: ``LHipJoint`` is l, hip, joint; ``Bip01 L Thigh`` is bip, 01, l, thigh."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+", name)]


def _in_most(tokens: list[list[str]], at: int) -> str | None:
    """What most names have in front (0) or at their end (-1), if it is no word of a body."""
    found = Counter(part[at] for part in tokens if part)
    if len(tokens) < 2 or not found:
        return None
    word, count = found.most_common(1)[0]
    return word if count > 0.6 * len(tokens) and word not in KNOWN_WORDS else None


def _sided(tokens: list[str]) -> tuple[str, str, str]:
    words = [word for word in tokens if not word.isdigit()]
    number = next((word.lstrip("0") or "0" for word in tokens if word.isdigit()), "")
    if len(words) > 1 and words[0] in CENTRE:
        words = words[1:]
    for at in (0, -1, *range(1, len(words) - 1)):
        if len(words) > 1 and words[at] in SIDES:
            side = SIDES[words.pop(at)]
            return side, "".join(words), number
    word = "".join(words)
    for prefix, side in (("left", "left"), ("right", "right"), ("l", "left"), ("r", "right")):
        for rest in (word.removeprefix(prefix), word.removesuffix(prefix)):
            if rest != word and (rest in WORDS or rest in ("shoulder", "hand", "foot", "leg", "hip", "hipjoint")):
                return side, rest, number
    return "", word, number


def _other_side(joint: str) -> str:
    return ("Right" if joint[0] == "L" else "right") + joint[4:]


def _part(joint: str) -> str:
    side, _, rest = joint.partition("_")
    if side not in ("left", "right"):
        return ""
    return f"{side}_arm" if rest in ARM else f"{side}_leg" if rest in LEG else ""
