"""Exporting libraries report about their own internals; none of it helps the person who exports."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partialmethod
from importlib import import_module
from typing import Any

__all__ = ["suppress_library_output"]


@contextmanager
def suppress_library_output() -> Iterator[None]:
    """Without third parties' warnings, log lines and progress bars; errors pass."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), _without_progress_bars():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """coremltools draws one bar per pass and has no switch for it."""
    try:
        bar: Any = import_module("tqdm").tqdm  # untyped
    except ImportError:
        yield
        return
    drawn = bar.__init__
    bar.__init__ = partialmethod(drawn, disable=True)
    try:
        yield
    finally:
        bar.__init__ = drawn
