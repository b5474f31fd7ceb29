"""Joint layouts as makers number them, written as plain rows beside each adapter.

A device that only reads a camera needs no file of layouts; that these rows are the very layouts that models are trained
on is held by a test.
"""

from __future__ import annotations

from edgeskel.skeleton import PARTS, Topology

__all__ = ["layout"]


def layout(name: str, rows: str) -> Topology:
    """A layout from its rows.

    Args:
        name: of the layout.
        rows: a line per joint, in the maker's order: the joint in our words, its parent ("-" for the root), its part of
            the body, and the maker's own name where there is one.

    Raises:
        UsageError: the layout contradicts itself (see :class:`~edgeskel.skeleton.Topology`).
    """
    table = [line.split() for line in rows.strip().splitlines()]
    joints = tuple(row[0] for row in table)
    aliases = tuple(row[3] if len(row) > 3 else "" for row in table)
    return Topology(
        name=name,
        joints=joints,
        parents=tuple(-1 if row[1] == "-" else joints.index(row[1]) for row in table),
        pairs=tuple(
            (index, joints.index("right_" + joint[5:]))
            for index, joint in enumerate(joints)
            if joint.startswith("left_")
        ),
        parts={
            part: members
            for part in PARTS
            if (members := tuple(index for index, row in enumerate(table) if row[2] == part))
        },
        aliases=aliases if any(aliases) else (),
    )
