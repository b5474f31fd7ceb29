"""What an import says beside what it took and refused: what was left out of a recording, changed in it or not understood."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Note", "Notes"]


@dataclass(frozen=True)
class Note:
    """One remark and the recordings that it is about.

    Args:
        text: what was found and what became of it.
        sources: the recordings, in the order in which they were read; empty when it is about all.
        details: for each of them what is its own ("96 of 1200 joints"), or "".
    """

    text: str
    sources: tuple[str, ...] = ()
    details: tuple[str, ...] = ()


class Notes:
    """Collects remarks; the same text from several recordings is one note."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, str]] = {}

    def add(self, text: str, source: str = "", detail: str = "") -> None:
        """Say ``text`` of the recording ``source``; once, however often it is added."""
        about = self._found.setdefault(text, {})
        if source:
            about.setdefault(source, detail)

    def all(self) -> tuple[Note, ...]:
        """In the order in which they came up."""
        return tuple(Note(text, tuple(about), tuple(about.values())) for text, about in self._found.items())
