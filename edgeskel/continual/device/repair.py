"""Mends a damaged file of learned actions: what is whole of it is kept, or the copy of its last whole state takes its place.

The damaged file itself stays, under another name.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from edgeskel.continual.device import checksums
from edgeskel.continual.device.learned_file import (
    backup_of,
    check,
    check_length,
    connect,
    explained,
    keep_backup,
    make,
    transaction,
)
from edgeskel.errors import CorruptFile, UsageError

__all__ = ["Repaired", "repair"]

_NEEDED = {"model", "model_labels", "width"}


@dataclass(frozen=True)
class Repaired:
    """What a repair did.

    Args:
        from_backup: whether the copy took the file's place.
        lost: what of the file was not as it was stored, or could not be read; empty where all of it was whole.
        damaged: where the damaged file lies now; None where nothing was the matter.
    """

    from_backup: bool
    lost: tuple[str, ...]
    damaged: Path | None


def repair(path: str | Path, *, backup: bool = False) -> Repaired:
    """Mend a file in place.

    Args:
        path: of the file.
        backup: return to the last whole state, instead of keeping what is whole now.

    Raises:
        UsageError: there is no file, or no copy of it.
        CorruptFile: nothing of it can be vouched for, or the copy is damaged too; both are left as they are.
        DataError: it cannot be read or written.
    """
    path = Path(path)
    if backup:
        return _from_backup(path)
    if not path.is_file():
        raise UsageError(f"no learned actions in {path}", expected="a file to mend")
    lost = _complaints(path)
    if not lost:
        return Repaired(False, (), None)
    kept = _whole_rows(path)
    fresh = _free(path, ".repaired")
    about: dict[str, str] = {row[0]: row[1] for row in kept["about"]}
    numbers = [int(row[0]) for row in kept["change"]]
    make(fresh, {**about, "now": str(about.get("now", max(numbers, default=0)))})
    connection = connect(fresh)
    try:
        with transaction(fresh, connection, backup=False):
            for relation in ("change", "demonstration", "hold"):
                for row in kept[relation]:
                    marks = ", ".join("?" * len(row))
                    columns = checksums.RELATIONS[relation][0]
                    connection.execute(f"INSERT INTO {relation} ({columns}) VALUES ({marks})", row)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    finally:
        connection.close()
    return Repaired(False, tuple(lost), _exchange(path, fresh))


def _from_backup(path: Path) -> Repaired:
    copy = backup_of(path)
    if not copy.is_file():
        raise UsageError(f"there is no copy of {path}", expected=str(copy), remedy="keep what is whole: without --backup")
    lost = _complaints(path) if path.is_file() else [f"{path} is gone"]
    fresh = _free(path, ".restored")
    with explained(copy):
        check_length(copy)
        source = connect(copy)
        try:
            check(copy, source)
            target = connect(fresh)
            try:
                source.backup(target)
            finally:
                target.close()
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        finally:
            source.close()
    return Repaired(True, tuple(lost), _exchange(path, fresh))


def _complaints(path: Path) -> list[str]:
    """What is wrong with a file; nothing where it is whole."""
    try:
        with explained(path):
            check_length(path)
            connection = connect(path)
            try:
                check(path, connection)
            finally:
                connection.close()
    except CorruptFile as error:
        return [error.seen.removeprefix(f"{path}: ")]
    return []


def _whole_rows(path: Path) -> dict[str, list[checksums.Row]]:
    """Rows that fit their seals and belong to something that does.

    Raises:
        CorruptFile: the seals themselves cannot be read, or what it says of its model is damaged.
    """
    kept: dict[str, list[checksums.Row]] = {}
    with suppress(sqlite3.Error), closing(connect(path)) as connection:
        seals = {(str(row[0]), str(row[1])) for row in _readable(connection, "SELECT relation, checksum FROM seal", "relation")}
        kept = {
            relation: [row for row in _both_ways(connection, relation) if (relation, checksums.checksum(relation, row)) in seals]
            for relation in checksums.RELATIONS
        }
    if not kept or not _NEEDED <= {row[0] for row in kept["about"]}:
        raise CorruptFile(path, "nothing of it can be vouched for: its checksums or what it says of its model are damaged",
                          expected="learned actions with their checksums",
                          remedy=f"edgeskel labels repair --backup --learned {path}, or enrol again")
    whole = {row[0] for row in kept["demonstration"]}
    kept["hold"] = [row for row in kept["hold"] if row[0] in whole]
    return kept


def _both_ways(connection: sqlite3.Connection, relation: str) -> list[checksums.Row]:
    """The rows that can be read from the beginning and from the end, in their order; damaged pages may lie between."""
    columns, order = checksums.RELATIONS[relation]
    query = f"SELECT {columns} FROM {relation}"
    first = list(_readable(connection, query, order))
    last = list(_readable(connection, query, f"{order} DESC"))
    return [*first, *(row for row in reversed(last) if row not in first)]


def _readable(connection: sqlite3.Connection, query: str, order: str) -> Iterator[checksums.Row]:
    try:
        yield from connection.execute(f"{query} ORDER BY {order}")
    except sqlite3.DatabaseError:
        return


def _free(path: Path, ending: str) -> Path:
    number = 1
    while (place := path.with_name(f"{path.name}{ending}{'' if number == 1 else f'.{number}'}")).exists():
        number += 1
    return place


def _exchange(path: Path, fresh: Path) -> Path:
    """Put ``fresh`` in the place of ``path``, and that beside it; where."""
    with explained(path):
        aside = _free(path, ".damaged")
        journal = path.with_name(path.name + "-journal")
        if path.exists():
            os.replace(path, aside)
        if journal.exists():  # of the damaged file: it must not be played back into the mended one
            os.replace(journal, aside.with_name(aside.name + "-journal"))
        os.replace(fresh, path)
        connection = connect(path)
        try:
            keep_backup(path, connection)
        finally:
            connection.close()
    return aside
