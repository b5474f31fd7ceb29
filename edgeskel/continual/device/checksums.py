"""Checksums over everything in a file of learned actions, so that no bit of it turns unnoticed.

SQLite notices damage to its own structure and none to what is stored in it. So every row of every table has a SHA-256 in the
table ``seal``, and one more stands for all of them in their order, by which rows that are gone are missed. A change checks
the seals before it begins and renews them before it is over.
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from edgeskel.printable import printable

__all__ = ["RELATIONS", "TABLE", "Damage", "Row", "checksum", "damage", "implausible", "is_sealed", "renew", "rows"]

RELATIONS = {
    "about": ("key, value", "key"),
    "change": ("number, what, time", "number"),
    "demonstration": ("id, digest, embedding, checksum, seconds, source, joints", "id"),
    "hold": ("demonstration, label, since, until", "rowid"),
}
"""Table -> its columns, and what its rows are ordered by."""
TABLE = "CREATE TABLE seal (relation TEXT NOT NULL, checksum TEXT NOT NULL, PRIMARY KEY (relation, checksum)) WITHOUT ROWID"
_WHOLE = "whole"
_LARGEST = 1e11  # of a number: seconds since 1970 are below

Row = tuple[Any, ...]


@dataclass
class Damage:
    """What is not as it was stored.

    Args:
        found: one sentence for each damaged row, and for rows that are missing.
        whole: table -> the rows that are as they were stored.
    """

    found: list[str] = field(default_factory=list)
    whole: dict[str, list[Row]] = field(default_factory=dict)


def checksum(relation: str, row: Row) -> str:
    """SHA-256 of a row, as hexadecimal: its table, and the type, the length and the bytes of each value."""
    digest = hashlib.sha256(relation.encode())
    for value in row:
        kind, content = _plain(value)
        digest.update(kind + struct.pack("<q", len(content)))
        digest.update(content)
    return digest.hexdigest()


def _plain(value: object) -> tuple[bytes, bytes]:
    if value is None:
        return b"n", b""
    if isinstance(value, int):
        return b"i", str(value).encode()
    if isinstance(value, float):
        return b"f", struct.pack("<d", value)
    if isinstance(value, str):
        return b"t", value.encode("utf-8", "surrogateescape")
    assert isinstance(value, bytes)
    return b"b", value


def rows(connection: sqlite3.Connection, relation: str) -> Iterator[Row]:
    """All rows of a table in their order, read from the table itself and no index. Raises SQLite's errors."""
    columns, order = RELATIONS[relation]
    source = relation if relation == "about" else f"{relation} NOT INDEXED"
    yield from connection.execute(f"SELECT {columns} FROM {source} ORDER BY {order}")


def is_sealed(connection: sqlite3.Connection) -> bool:
    """Whether the file has seals at all; files of earlier versions have none until their first change."""
    return bool(connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'seal'").fetchone()[0])


def renew(connection: sqlite3.Connection) -> None:
    """Seal everything as it is now; inside a transaction."""
    if not is_sealed(connection):
        connection.execute(TABLE)
    seals = [(relation, checksum(relation, row)) for relation in RELATIONS for row in rows(connection, relation)]
    connection.execute("DELETE FROM seal")
    connection.executemany("INSERT OR IGNORE INTO seal VALUES (?, ?)", [*seals, (_WHOLE, _all(seals))])


def _all(seals: list[tuple[str, str]]) -> str:
    return hashlib.sha256("".join(f"{relation} {seal}\n" for relation, seal in seals).encode()).hexdigest()


def damage(connection: sqlite3.Connection) -> Damage:
    """Compare a sealed file with its seals. Raises SQLite's errors where its structure is damaged."""
    seals = [(str(relation), str(seal)) for relation, seal in connection.execute("SELECT relation, checksum FROM seal")]
    wanted = {relation: {seal for other, seal in seals if other == relation} for relation in (*RELATIONS, _WHOLE)}
    if strange := {relation for relation, _ in seals} - set(wanted):
        return Damage([f"seals of {printable(', '.join(sorted(strange)), 60)}, which is no table"])
    found, seen = Damage(), []
    for relation in RELATIONS:
        missed, wrong = set(wanted[relation]), 0
        found.whole[relation] = []
        for row in rows(connection, relation):
            seal = checksum(relation, row)
            seen.append((relation, seal))
            missed.discard(seal)
            if seal in wanted[relation]:
                found.whole[relation].append(row)
            else:
                wrong += 1
                found.found.append(_named(relation, row))
        if (gone := len(missed) - wrong) > 0:
            found.found.append(f"{gone} {'rows are' if gone > 1 else 'row is'} missing in {relation}")
    if not found.found and wanted[_WHOLE] != {_all(seen)}:
        found.found.append("rows are missing, or in another order")
    return found


_KINDS: dict[str, tuple[tuple[type, ...], ...]] = {
    "about": ((str,), (str,)),
    "change": ((int,), (str,), (float,)),
    "demonstration": ((int,), (str,), (bytes,), (str,), (float,), (str,), (bytes, type(None))),
    "hold": ((int,), (str,), (int,), (int, type(None))),
}


def implausible(connection: sqlite3.Connection) -> list[str]:
    """Rows of a file without seals that cannot have been stored so: other types, texts that are none, impossible numbers."""
    found = []
    for relation, kinds in _KINDS.items():
        for row in rows(connection, relation):
            right = all(isinstance(value, kind) and _could_be(value) for value, kind in zip(row, kinds, strict=True))
            if right and relation == "demonstration":
                right = hashlib.sha256(row[2]).hexdigest() == row[3]
            if not right:
                found.append(_named(relation, row))
    return found


def _could_be(value: object) -> bool:
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    return not isinstance(value, (int, float)) or 0 <= value < _LARGEST


def _named(relation: str, row: Row) -> str:
    """The row as a person would know it; one of its fields is wrong."""
    places = {"about": (0,), "change": (0, 1), "demonstration": (0, 5), "hold": (1, 0)}[relation]
    shown = [row[place] for place in places]
    words = [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in shown]
    what = {"about": "what it is about", "change": "change", "demonstration": "demonstration", "hold": "label"}[relation]
    return f"{what} {printable(', '.join(words), 80)!r}"
