"""Text that somebody else wrote, made fit for a terminal: a journal, a health file, a name in a file that came by mail."""

from __future__ import annotations

import unicodedata
from typing import Any

__all__ = ["printable", "printable_all"]

# What turns the direction of writing, so that a line reads otherwise than it is (Unicode's bidirectional controls).
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str, limit: int | None = None) -> str:
    """``text`` with what would steer a terminal shown as Python escapes it (``\\x1b``, ``\\n``, ``\\u202e``).

    Args:
        text: anything, lone surrogates included.
        limit: letters after which it is cut, with an ellipsis.
    """
    if limit is not None and len(text) > limit:
        text = text[:limit] + "…"
    if text.isprintable():
        return text
    return "".join(_escaped(letter) if _steers(letter) else letter for letter in text)


def printable_all(value: Any) -> Any:
    """The same for every text inside a JSON value, names of fields included."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [printable_all(item) for item in value]
    if isinstance(value, dict):
        return {printable(str(key)): printable_all(item) for key, item in value.items()}
    return value


def _steers(letter: str) -> bool:
    return letter != "\t" and (unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") or letter in _TURNING)


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode()
