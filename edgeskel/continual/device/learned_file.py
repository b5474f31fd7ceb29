"""The SQLite file of a :class:`~edgeskel.continual.device.demonstration_store.DemonstrationStore`: its tables, how they are made
and checked, transactions that are over when the disk says so and are copied aside then, and SQLite's errors in our words.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from edgeskel.continual.device import checksums
from edgeskel.errors import CorruptFile, DataError
from edgeskel.printable import printable

__all__ = [
    "SCHEMA", "backup_of", "check", "check_length", "connect", "drop_backup", "explained", "keep_backup", "make", "remedy",
    "require_whole", "transaction",
]

SCHEMA = 2
"""1 had no seals; such a file is read as it is, and sealed by its first change."""
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
_MAGIC = b"SQLite format 3\0"
_NAMED = 6  # damaged rows that a message names; it counts the others


def backup_of(path: Path) -> Path:
    """Where the copy of the last whole state lies: ``learned.sqlite.backup`` beside ``learned.sqlite``."""
    return path.with_name(path.name + ".backup")


def remedy(path: Path) -> str:
    """What to do about a damaged file."""
    ways = []
    if backup_of(path).is_file():
        ways.append(f"return to the last whole state: edgeskel labels repair --backup --learned {path}")
    ways.append(f"keep what is whole: edgeskel labels repair --learned {path}")
    return "; or ".join([*ways, "enrol again into another file: --learned FILE"])


def connect(path: Path) -> sqlite3.Connection:
    """Open the file; SQLite makes it where there is none. Raises SQLite's errors."""
    connection = sqlite3.connect(path, timeout=5, isolation_level=None)
    try:
        # A text that is none is judged by its checksum; as it is, it must not end the reading.
        connection.text_factory = lambda content: content.decode("utf-8", "surrogateescape")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA synchronous = EXTRA")  # a transaction is over when the disk says so
        connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
        connection.execute("PRAGMA foreign_keys = ON")
    except UnicodeDecodeError as error:  # the message of SQLite's own error quotes what is damaged
        connection.close()
        raise sqlite3.DatabaseError("malformed database schema") from error
    except BaseException:
        connection.close()
        raise
    return connection


def make(path: Path, about: Mapping[str, str]) -> None:
    """Make a file without anything learned, unless somebody was faster: it is there as a whole or not at all.

    Raises:
        DataError: as :func:`explained`.
    """
    with explained(path), _beside(path) as temporary:
        connection = connect(temporary)
        try:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _TABLES.split(";")[:-1]:
                connection.execute(statement)
            connection.executemany("INSERT INTO about VALUES (?, ?)", about.items())
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {SCHEMA}")
            checksums.renew(connection)
            connection.execute("COMMIT")
        finally:
            connection.close()
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            os.replace(temporary, path)


def check(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse what is no file of ours, or not as it was stored.

    Raises:
        CorruptFile: it is damaged, with every damaged row named, something else, or of a later version.
    """
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != _APPLICATION:
        if _strange(connection, version) is None:
            raise CorruptFile(path, "damaged (the mark of its kind)", expected="learned actions", remedy=remedy(path))
        raise CorruptFile(path, "an SQLite file of something else", expected="learned actions",
                          remedy="name another file: --learned FILE")
    if version not in (1, SCHEMA):
        raise CorruptFile(path, f"learned actions of schema {version}", expected=f"schema {SCHEMA}",
                          remedy=f"use the version of edgeskel that wrote it; if it is this one, {remedy(path)}")
    check_length(path)
    if strange := _strange(connection, version):
        raise CorruptFile(path, f"damaged ({strange})", expected="the tables of learned actions", remedy=remedy(path))
    require_whole(path, connection)
    if (seen := connection.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
        raise CorruptFile(path, f"damaged ({printable(str(seen), 200)})", expected="learned actions", remedy=remedy(path))


def require_whole(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse a file of which a row is not as it was stored, or cannot be. Raises ``CorruptFile``, with their names."""
    found = checksums.damage(connection).found if checksums.is_sealed(connection) else checksums.implausible(connection)
    if found:
        named = "; ".join(found[:_NAMED]) + (f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
        raise CorruptFile(path, f"not as it was stored: {named}", expected="rows that fit their checksums", remedy=remedy(path))


def check_length(path: Path) -> None:
    """Refuse a file that is empty or was cut short, which SQLite may take for one with less in it. Raises ``CorruptFile``."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(100)
    if not size:
        raise CorruptFile(path, "empty", expected="learned actions",
                          remedy=f"delete it if nothing was learned yet; else {remedy(path)}")
    if header[: len(_MAGIC)] != _MAGIC[: len(header)]:
        return  # SQLite names it
    page, pages = int.from_bytes(header[16:18], "big"), int.from_bytes(header[28:32], "big")
    wanted = (65536 if page == 1 else page) * pages
    if len(header) < 100 or size < wanted:
        raise CorruptFile(path, f"cut short at {size} bytes", expected=f"{wanted} bytes", remedy=remedy(path))


def _strange(connection: sqlite3.Connection, version: int) -> str | None:
    """What of its tables is not as they were made; a trigger or a view would do what nobody asked for."""
    seen = [" ".join(str(row[0]).split()) for row in
            connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")]
    wanted = [*_TABLES.split(";")[:-1], *((checksums.TABLE,) if version == SCHEMA else ())]
    left = {" ".join(statement.split()) for statement in wanted}
    for statement in seen:
        if statement not in left:
            return f"{printable(statement, 60)!r} among its tables"
        left.remove(statement)
    return f"{printable(min(left), 60)!r} is missing" if left else None


@contextmanager
def transaction(path: Path, connection: sqlite3.Connection, *, backup: bool = True) -> Iterator[None]:
    """All of it or nothing, sealed at its end, and copied aside when it is on the disk.

    Args:
        path: of the file.
        connection: to it.
        backup: whether the copy is kept.

    Raises:
        CorruptFile: the file is damaged; nothing has changed, and nothing damaged was given a new seal.
        DataError: as :func:`explained`.
    """
    with explained(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            require_whole(path, connection)
            yield
            checksums.renew(connection)
            connection.execute(f"PRAGMA user_version = {SCHEMA}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk ends the transaction by itself
                connection.execute("ROLLBACK")
            raise
    if backup:
        keep_backup(path, connection)


def keep_backup(path: Path, connection: sqlite3.Connection) -> bool:
    """Copy the state aside, whole or not at all; whether it went. A full disk leaves the copy of an earlier state."""
    try:
        with _beside(backup_of(path)) as temporary:
            copy = sqlite3.connect(temporary, isolation_level=None)
            try:
                connection.backup(copy)
            finally:
                copy.close()
            os.replace(temporary, backup_of(path))
    except (OSError, sqlite3.Error):
        return False
    return True


def drop_backup(path: Path) -> None:
    """Remove the copy. Raises ``DataError`` where that cannot be done."""
    try:
        backup_of(path).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{backup_of(path)}: {error.strerror}", expected="a copy that can be removed",
                        remedy="remove it by hand: what was erased is still in it") from error


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` that is gone afterwards."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
        with suppress(OSError):
            temporary.with_name(temporary.name + "-journal").unlink(missing_ok=True)


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
        raise CorruptFile(path, f"unreadable ({printable(text, 200)})", expected="learned actions", remedy=remedy(path)) from error
    except UnicodeError as error:  # in a message of SQLite's own, about a name that is no text any more
        raise CorruptFile(path, "unreadable (names that are no text)", expected="learned actions", remedy=remedy(path)) from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}", expected="a file that can be read and written",
                        remedy="check the folder, the disk and who owns them") from error
