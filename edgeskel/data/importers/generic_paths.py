"""Label, subject and view from a file's path: the ``files`` of a ``dataset.toml``."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from glob import escape
from pathlib import Path, PurePath

from edgeskel.errors import DataError, UnknownChoice

__all__ = ["Item", "below", "found"]

FIELDS = ("label", "subject", "view", "*")
FIELD = re.compile(r"\{([^{}:]*)(?::([^{}]+))?\}")


@dataclass(frozen=True)
class Item:
    """One file and what is known of it."""

    file: Path
    label: str = ""
    subject: str = ""
    view: str = ""

    def __str__(self) -> str:
        known = {"label": self.label, "subject": self.subject, "view": self.view}
        return ", ".join(f"{name} {value}" for name, value in known.items() if value) or "no label, subject or view"


def found(folder: Path, files: str, labels: Collection[str] = ()) -> list[Item]:
    """Files whose path fits the pattern; the named fields are what stands in their place.

    Args:
        folder: holds ``dataset.toml``.
        files: e.g. ``"{label}/{subject}_{*}.csv"``; ``{subject:REGEX}`` says what the field looks like.
        labels: the classes, where they are known: a path is then read so that its label is one of them.

    Raises:
        DataError: the pattern leaves the folder or names a field twice, or a path fits it in more than one way.
        UnknownChoice: a field that there is not.
    """
    if not below(files):
        raise DataError(f"files = {files!r} in dataset.toml", expected="a path below the folder of dataset.toml",
                        remedy="put dataset.toml above the files and leave out what stands before it")
    parts = _parts(files)
    glob = "".join(escape(part) if isinstance(part, str) else "*" for part in parts)
    items = []
    for file in sorted(folder.glob(glob)):
        if file.is_file() or not file.exists():  # a link that leads nowhere is refused when it is read
            path = file.relative_to(folder).as_posix()
            ways = list(dict.fromkeys(Item(file, **way) for way in _ways(path, parts)))
            known = [item for item in ways if item.label in labels] if labels else ways
            if len(known) > 1:
                raise DataError(f"{path} fits files = {files!r} in more than one way: {'; or '.join(map(str, known[:3]))}",
                                expected="one way",
                                remedy='name the classes (labels = ["...", ...]), say what a field looks like, as in '
                                       "{subject:s[0-9]+}, or put each class into a folder of its own: {label}/...")
            items += known or ways[:1]  # a label that is not listed is refused with its nearest
    return items


def below(path: str) -> bool:
    """Whether a path as written stays inside the folder that it starts from."""
    return bool(path) and not PurePath(path).is_absolute() and ".." not in PurePath(path).parts


@dataclass(frozen=True)
class _Field:
    name: str
    looks: re.Pattern[str]


def _parts(files: str) -> list[str | _Field]:
    """The pattern as literal texts and fields, by turns."""
    parts: list[str | _Field] = []
    at = 0
    for match in FIELD.finditer(files):
        parts += [files[at:match.start()]] if match.start() > at else []
        if match[1] not in FIELDS:
            raise UnknownChoice("field of files in dataset.toml", match[1], FIELDS)
        if parts and isinstance(parts[-1], _Field):
            raise DataError(f"files = {files!r}: nothing stands between two fields", expected="something that ends the first")
        try:
            parts.append(_Field(match[1], re.compile(match[2] or "[^/]+")))
        except re.error as error:
            raise DataError(f"files = {files!r}: {match[2]!r} is no regular expression ({error})",
                            expected="one such as s[0-9]+") from error
        at = match.end()
    parts += [files[at:]] if at < len(files) else []
    names = [part.name for part in parts if isinstance(part, _Field) and part.name != "*"]
    if len(set(names)) != len(names):
        raise DataError(f"files = {files!r} names a field twice", expected="each of label, subject, view once")
    return parts


def _ways(path: str, parts: list[str | _Field]) -> Iterator[dict[str, str]]:
    """Every way in which ``path`` fits, as name -> value without what ``{*}`` stands for."""
    if not parts:
        if not path:
            yield {}
        return
    first, rest = parts[0], parts[1:]
    if isinstance(first, str):
        if path.startswith(first):
            yield from _ways(path[len(first):], rest)
        return
    longest = path.partition("/")[0]
    if not rest:
        ends = [len(longest)] if longest == path else []
    else:  # a field ends where the literal text behind it begins
        ends = [end for end in range(1, len(longest) + 1) if path.startswith(str(rest[0]), end)]
    for end in ends:
        if end and first.looks.fullmatch(path[:end]):
            for way in _ways(path[end:], rest):
                yield way if first.name == "*" else {first.name: path[:end], **way}
