"""What a file of learned actions says of itself: its labels, and the changes that led there."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Change", "Learned"]


@dataclass(frozen=True)
class Learned:
    """One label: how many demonstrations it has, and of how many the joints are kept."""

    label: str
    demonstrations: int
    kept: int


@dataclass(frozen=True)
class Change:
    """One step of the history; ``undone`` where it can be done again."""

    number: int
    what: str
    time: float
    undone: bool
