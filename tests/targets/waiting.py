"""Waiting for what another process does: on its condition, for as long as a loaded machine may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["LIMIT_S", "until"]

LIMIT_S = 240.0
"""Longer than anything takes on a machine that has ten times as much to do as it has cores; it comes at once otherwise."""

T = TypeVar("T")


def until(look: Callable[[], T], enough: Callable[[T], object] = bool, *, every_s: float = 0.05) -> T:
    """What ``look`` finds, asked again until it is ``enough``; fails with the last of it after ``LIMIT_S``."""
    end = time.monotonic() + LIMIT_S
    while not enough(found := look()):
        assert time.monotonic() < end, found
        time.sleep(every_s)
    return found
