"""The SQLite file of :class:`~edgeskel.continual.device.memory.Memory`: its tables, how they are made and checked, transactions
that are over when the disk says so, and SQLite's errors in our words.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edgeskel.errors import CorruptFile, DataError

__all__ = ["DAMAGED", "check", "connect", "explained", "is_empty", "make_tables", "transaction"]

SCHEMA = 1
_APPLICATION = 0x45534B4C  # "ESKL", in the file's header
_TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE change (number INTEGER PRIMARY KEY, what TEXT NOT NULL, time REAL NOT NULL);
CREATE TABLE demonstration (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, embedding BLOB NOT NULL,
    checksum TEXT NOT NULL, seconds REAL NOT NULL, source TEXT NOT NULL, joints BLOB);
CREATE TABLE hold (demonstration INTEGER NOT NULL REFERENCES demonstration, label TEXT NOT NULL,
    since INTEGER NOT NULL, until INTEGER);
CREATE INDEX hold_demonstration ON hold (demonstration);
"""
DAMAGED = "restore a copy, or enrol again into another file: --learned FILE"
"""What to do about a damaged file."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file; SQLite makes it where there is none. Raises SQLite's errors."""
    connection = sqlite3.connect(path, timeout=5, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = EXTRA")  # a transaction is over when the disk says so
        connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether nobody has begun it."""
    return not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def make_tables(path: Path, connection: sqlite3.Connection, about: Mapping[str, str]) -> None:
    """Make the tables, unless somebody was faster, and say what the file is about. Raises as :func:`transaction`."""
    with transaction(path, connection):
        if is_empty(connection):
            for statement in _TABLES.split(";")[:-1]:
                connection.execute(statement)
            connection.executemany("INSERT INTO about VALUES (?, ?)", about.items())
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {SCHEMA}")


def check(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse what is no file of ours.

    Raises:
        CorruptFile: it is damaged, something else, or of a later version.
    """
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != _APPLICATION:
        raise CorruptFile(path, "an SQLite file of something else", expected="learned actions",
                          remedy="name another file: --learned FILE")
    if version != SCHEMA:
        raise CorruptFile(path, f"learned actions of schema {version}", expected=f"schema {SCHEMA}",
                          remedy="use the version of edgeskel that wrote it")
    if (seen := connection.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
        raise CorruptFile(path, f"damaged ({seen})", expected="learned actions", remedy=DAMAGED)


@contextmanager
def transaction(path: Path, connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing; raises as :func:`explained`."""
    with explained(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk ends the transaction by itself
                connection.execute("ROLLBACK")
            raise


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """SQLite's errors in our words.

    Raises:
        DataError: the disk is full, or the file cannot be read or written, or another program is writing it.
        CorruptFile: it is damaged.
    """
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "full" in text:
            raise DataError(f"{path}: the disk is full; nothing has changed", expected="room for the demonstration",
                            remedy="free some space and do it again") from error
        if "locked" in text:
            raise DataError(f"{path}: another program is writing it", remedy="wait for it to end and do it again") from error
        if "readonly" in text or "unable to open" in text or "disk I/O" in text:
            raise DataError(f"{path}: {text}", expected="a file that can be read and written",
                            remedy="check the folder, the disk and who owns them") from error
        raise CorruptFile(path, f"unreadable ({text})", expected="learned actions", remedy=DAMAGED) from error
