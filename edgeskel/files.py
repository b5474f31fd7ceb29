"""Files and folders that appear whole or not at all; what a damaged one raises; reading what somebody else may have put there.

Both managers write under a temporary name beside the target, flush it to the disk and rename it. Whatever ends the
block early (an error, a full disk, an interrupt) leaves the target as it was and removes the temporary one.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from edgeskel.errors import UsageError

__all__ = ["UNREADABLE", "atomic_folder", "atomic_write", "open_regular", "read_regular"]

UNREADABLE = (OSError, ValueError, TypeError, KeyError, IndexError, EOFError, AttributeError, NotImplementedError, RuntimeError,
              OverflowError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged ``.npz`` raises, as fuzzing found it: numpy, zipfile and json each have exceptions of their own."""


def open_regular(path: str | os.PathLike[str], *, follow: bool = False) -> BinaryIO:
    """Open a regular file for reading, without waiting for anybody: a pipe in its place would keep the reader for ever.

    Args:
        path: the file.
        follow: whether ``path`` may be a symbolic link.

    Raises:
        OSError: absent, unreadable, a link that is not to be followed, or something else than a file.
    """
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags | (0 if follow else getattr(os, "O_NOFOLLOW", 0)))
    except OSError as error:
        if error.errno == errno.ELOOP and not follow:
            raise OSError(errno.ELOOP, "a symbolic link where a file is expected", str(path)) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: str | os.PathLike[str], limit: int, *, follow: bool = False) -> bytes:
    """Content of a regular file of at most ``limit`` bytes.

    Raises:
        OSError: as :func:`open_regular`, or larger.
    """
    with open_regular(path, follow=follow) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than the {limit} bytes that it may have", str(path))
    return content


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a binary file that becomes ``path`` when the block ends well; parent folders are made.

    Raises:
        UsageError: ``path`` is a folder.
        OSError: the disk is full or the place cannot be written; ``path`` is then unchanged.
    """
    target = Path(path)
    if target.is_dir():
        raise UsageError(f"{target} is a folder", expected="the name of the file to write")
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner reads
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, marker: str | None = None) -> Iterator[Path]:
    """Yield an empty folder that becomes ``path`` when the block ends well; parent folders are made.

    Where ``path`` is a link, what it leads to is replaced and the link stays.

    Args:
        path: the folder to make.
        marker: a file by which a folder of this kind is known (``"manifest.json"``). An existing folder that holds
            it is replaced by the new one; any other folder with something in it is left alone and refused.

    Raises:
        UsageError: ``path`` exists and is not ours to replace.
        OSError: the disk is full or the place cannot be written; ``path`` is then unchanged.
    """
    target = Path(os.path.realpath(path))
    _check_replaceable(target, marker)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    try:
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _sync(file)
            elif file.is_dir():
                _sync_folder(file)
        _sync_folder(temporary)
        _swap(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_folder(target.parent)


def _check_replaceable(target: Path, marker: str | None) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(f"{target} is a file", expected="a folder, or a path that does not exist yet")
    if any(target.iterdir()) and not (marker and (target / marker).is_file()):
        raise UsageError(f"{target} exists and is not empty", remedy="choose another folder or remove this one")


def _swap(temporary: Path, target: Path) -> None:
    """Put ``temporary`` in the place of ``target``; a failure in between puts the old folder back."""
    if not target.exists():
        temporary.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
    target.rename(old)  # onto an empty folder: POSIX allows it
    try:
        temporary.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    with suppress(OSError):  # some systems cannot sync a folder; the rename itself is done
        _sync(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
