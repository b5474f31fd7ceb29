"""Engines' libraries write to stderr about processors that they do not know and profilers that they were built without, and most
have no switch for it. What they do once, when they are imported, loaded and run for the first time, is kept off the terminal."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO

__all__ = ["remarks_kept"]

_lock = threading.RLock()  # stderr belongs to the process: two threads that put it back in the wrong order would lose it


@contextmanager
def remarks_kept() -> Iterator[IO[bytes]]:
    """What the process writes to its standard error meanwhile goes into this file, also from C."""
    with _lock, TemporaryFile() as file:
        try:
            sys.stderr.flush()
            kept = os.dup(2)
        except (AttributeError, OSError, ValueError):  # a program without a standard error
            yield file
            return
        try:
            os.dup2(file.fileno(), 2)
            yield file
        finally:
            os.dup2(kept, 2)
            os.close(kept)
