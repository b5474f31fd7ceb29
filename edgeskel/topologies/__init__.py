"""Named joint layouts, one TOML file each, and the reader of a user's own.

A layout file names each joint once, in the order of the data::

    name = "my-rig"
    joints = [
      { joint = "pelvis",    parent = "",       part = "torso", alias = "Hips" },
      { joint = "left_hip",  parent = "pelvis", part = "left_leg" },
      { joint = "right_hip", parent = "pelvis", part = "right_leg" },
    ]

``parent`` is a joint's name ("" for the root), ``part`` one of torso, left_arm, right_arm, left_leg and right_leg (a
joint without one belongs to its parent's part), ``alias`` the maker's own name. ``left_X`` and ``right_X`` are a pair;
a layout that names its sides otherwise lists them: ``pairs = [["hand_l", "hand_r"]]``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from edgeskel.errors import CorruptFile, UnknownChoice, UsageError
from edgeskel.skeleton import PARTS, Topology

__all__ = ["get", "load", "names"]


@cache
def names() -> tuple[str, ...]:
    """Names of the layouts that ship with the package, sorted."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return tuple(sorted(file.removesuffix(".toml") for file in files if file.endswith(".toml")))


@cache
def get(name: str) -> Topology:
    """The built-in layout ``name``, or a user's own where ``name`` is the path of a ``.toml`` file.

    Raises:
        UnknownChoice: no such layout; the message lists those that exist.
        CorruptFile, UsageError: as :func:`load`.
    """
    if name in names():
        return parse((resources.files(__name__) / f"{name}.toml").read_text("utf-8"), name)
    if name.endswith(".toml"):
        return load(name)
    raise UnknownChoice("topology", name, names())


def load(path: str | Path) -> Topology:
    """Read a layout file.

    Raises:
        CorruptFile: the file is absent or not TOML, or a field is missing or of the wrong type.
        UsageError: the layout contradicts itself (see :class:`~edgeskel.skeleton.Topology`).
    """
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CorruptFile(path, str(error), expected="a layout in TOML") from error
    return parse(text, path)


def parse(text: str, origin: object) -> Topology:
    """Read a layout from TOML text; ``origin`` is what error messages call it. Raises as :func:`load`."""
    data = _toml(text, origin)
    rows = data.get("joints")
    if not isinstance(data.get("name"), str) or not isinstance(rows, list) or not rows:
        raise CorruptFile(origin, f"fields {sorted(data)}",
                          expected='name = "..." and joints = [{ joint = ..., parent = ... }, ...]')
    joints = tuple(_text(row, "joint", origin) for row in rows)
    parents = tuple(_parent(row, joints, origin) for row in rows)
    if len(set(joints)) != len(joints):
        twice = sorted({joint for joint in joints if joints.count(joint) > 1})
        raise UsageError(f"{origin}: joints named twice: {', '.join(twice)}", expected="each joint once")
    # Built without parts first: that refuses loops, so that parts can be handed down from parent to child.
    tree = Topology(name=data["name"], joints=joints, parents=parents)
    aliases = tuple(_text(row, "alias", origin, "") for row in rows)
    return Topology(name=tree.name, joints=joints, parents=parents, pairs=_pairs(data, joints, origin),
                    parts=_parts(rows, tree, origin), aliases=aliases if any(aliases) else ())


def read_toml(path: str | Path) -> dict[str, Any]:
    """A TOML file as plain data. Raises ``CorruptFile``."""
    try:
        return _toml(Path(path).read_text("utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise CorruptFile(path, str(error), expected="a TOML file") from error


def _toml(text: str, origin: object) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CorruptFile(origin, str(error), expected="TOML") from error


def _text(row: object, field: str, origin: object, default: str | None = None) -> str:
    value = row.get(field, default) if isinstance(row, Mapping) else None
    if not isinstance(value, str) or (default is None and not value):
        raise CorruptFile(origin, f"joint {row!r} has no text in {field!r}",
                          expected='{ joint = "left_knee", parent = "left_hip", part = "left_leg" }')
    return value


def _parent(row: Mapping[str, Any], joints: tuple[str, ...], origin: object) -> int:
    parent = _text(row, "parent", origin, "")
    if parent and parent not in joints:
        raise UnknownChoice(f"parent of {row['joint']} in {origin}", parent, joints)
    return joints.index(parent) if parent else -1


def _pairs(data: Mapping[str, Any], joints: tuple[str, ...], origin: object) -> tuple[tuple[int, int], ...]:
    named = data.get("pairs")
    if named is None:
        named = [(joint, "right_" + joint[5:]) for joint in joints
                 if joint.startswith("left_") and "right_" + joint[5:] in joints]
    for pair in named:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or any(joint not in joints for joint in pair):
            raise CorruptFile(origin, f"pair {pair!r}", expected="two joints of this layout, left then right")
    return tuple((joints.index(left), joints.index(right)) for left, right in named)


def _parts(rows: list[Mapping[str, Any]], tree: Topology, origin: object) -> dict[str, tuple[int, ...]]:
    part_of: dict[int, str] = {}
    for joint in tree.order:
        inherited = part_of[tree.parents[joint]] if tree.parents[joint] >= 0 else "torso"
        part = part_of[joint] = _text(rows[joint], "part", origin, inherited)
        if part not in PARTS:
            raise UnknownChoice(f"part of {tree.joints[joint]} in {origin}", part, PARTS)
    return {part: members for part in PARTS
            if (members := tuple(joint for joint in range(len(rows)) if part_of[joint] == part))}
