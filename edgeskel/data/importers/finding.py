"""Files below a folder, through symbolic links, whatever the case of their ending."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from edgeskel.errors import DataError

__all__ = ["find", "missing_description"]


def find(folder: Path, pattern: str, dataset: str) -> list[Path]:
    """Files below ``folder`` that match ``pattern``, sorted.

    Links to files and folders are followed; a folder that is reached through itself is not entered again. A link that
    leads nowhere is in the list, so that reading it names it.

    Args:
        folder: where to look.
        pattern: as of :meth:`pathlib.Path.glob`; ``**`` only as its first part. Case does not count in the file's name.
        dataset: whose files they are, for the message.

    Raises:
        DataError: there is none.
    """
    where, _, name = pattern.rpartition("/")
    if where == "**":
        places: Iterable[Path] = _folders(folder)
    else:
        places = (place for place in folder.glob(where) if place.is_dir()) if where else (folder,)
    files = sorted(file for place in places for file in _listed(place)
                   if fnmatchcase(file.name.lower(), name.lower()) and not file.is_dir())
    if not files:
        raise DataError(f"{folder} holds no {pattern}", expected=f"the folder of {dataset}")
    return files


def missing_description(described: Path) -> DataError:
    """What to say of a folder without its ``dataset.toml``."""
    return DataError(f"{described.parent} has no {described.name}",
                     expected="one beside the recordings, which says their layout, unit, axes and labels",
                     remedy="write it: docs/recordings.md has examples")


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror})", expected="a folder that may be read") from error


def _folders(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """``folder`` and all below it; ``above`` are the real paths of those that it lies in."""
    real = os.path.realpath(folder)
    if real in above:
        return
    yield folder
    for entry in sorted(_listed(folder)):
        if entry.is_dir():
            yield from _folders(entry, above | {real})
