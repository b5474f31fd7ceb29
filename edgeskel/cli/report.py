"""What a verb is, what it gives back, and where each kind of text goes.

Results go to stdout, everything else (logs, progress, errors) to stderr through ``console``.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import PurePath
from typing import Any, NamedTuple

from rich.console import Console

from edgeskel.console import open_console
from edgeskel.errors import EdgeskelError

__all__ = ["Command", "Report", "console", "fields_of", "jsonable", "nothing_on_stderr",
           "only_results_on_stdout", "refused_by_the_machine"]

console: Any = open_console(stderr=True)


@dataclasses.dataclass(frozen=True)
class Report:
    """What a verb found.

    Args:
        data: the result by name; ``--json`` prints exactly this. Paths, arrays and dataclasses are allowed.
        text: draws the same for a person; None prints the names and values.
        ok: False ends the program with status 1 although nothing was raised (a disagreement found by ``verify``).
        error: what ended the work before its time, where there is a result all the same: printed after it (with ``--json``
            as its field ``error``), and its exit status is the program's.
        stay: called once the result has been printed; for what goes on until it is interrupted (a simulated device).
    """

    data: dict[str, Any]
    text: Callable[[Console], None] | None = None
    ok: bool = True
    error: EdgeskelError | None = None
    stay: Callable[[], None] | None = None


class Command(NamedTuple):
    """One verb: its configuration (a dataclass whose docstrings are the help) and what it does."""

    config: type
    function: Callable[[Any], Report]


def jsonable(value: Any) -> Any:
    """``value`` as plain JSON types: arrays become lists, paths become text, NaN and infinity become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # numpy arrays and scalars, torch tensors; numpy itself may not be imported
        return jsonable(value.tolist())
    raise TypeError(f"{type(value).__name__} has no JSON form")


def show(report: Report, *, as_json: bool) -> None:
    """Print ``report`` on stdout."""
    if as_json:
        data = report.data if report.error is None else {**report.data, "error": fields_of(report.error)}
        print(json.dumps(jsonable(data), allow_nan=False), flush=True)
        return
    out = open_console()
    if report.text is not None:
        report.text(out)
        return
    for name, value in report.data.items():
        out.print(f"{name}: {value}", soft_wrap=True)


def fields_of(error: EdgeskelError) -> dict[str, str]:
    """An error for ``--json``."""
    return {"type": type(error).__name__, "message": str(error), "seen": error.seen, "expected": error.expected,
            "remedy": error.remedy}


def refused_by_the_machine(error: OSError, left: str = "") -> EdgeskelError:
    """What the machine refused (a full disk, a path) as one of our errors; ``left``: what a full disk left behind."""
    place = f"{error.filename}: " if error.filename else ""
    remedy = {
        errno.ENOSPC: "free some space and run the same command again" + (f"; {left}" if left else ""),
        errno.EACCES: "check who owns it",
        errno.ENOENT: "check the path",
    }.get(error.errno or 0, "")
    return EdgeskelError(f"{place}{error.strerror or error}", remedy=remedy)


@contextmanager
def nothing_on_stderr() -> Iterator[None]:
    """Drop what libraries, C++ code and child processes print on stderr inside the block, for ``--quiet``.

    Errors leave the block as exceptions and are printed behind it.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            with redirect_stderr(nowhere):
                yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


@contextmanager
def only_results_on_stdout() -> Iterator[None]:
    """Send to stderr whatever libraries, C++ code and child processes print on stdout inside the block."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
