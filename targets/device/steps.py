"""Runs the programs of a release: ``build`` (its engine), ``prove`` (golden inputs, latency). Never as root."""

from __future__ import annotations

import json
import os
import pwd
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgeskel.errors import DeviceError
from edgeskel.printable import printable, printable_all
from targets.device import untrusted_program
from targets.device.layout import Layout, read_json, write_json
from targets.device.release import require_whole

__all__ = ["PROGRAM", "as_owner", "build", "program", "prove", "proved", "serve"]

PROGRAM = "program"
_LIMIT_S = {"build": 3600.0, "prove": 600.0, "verify": 600.0}
_LINES, _LETTERS = 200, 1000  # of what a program says
_CHOSEN = ("artifact", "engine", "precision")


def program(layout: Layout, identity: str, verb: str, say: Callable[[str], None], *arguments: str) -> dict[str, Any]:
    """Run one verb of the release's program as the service's user; the object that it prints last.

    Raises:
        DeviceError: it failed, and the message is its own; or it was ended by a signal, took too long, or gave no answer.
    """
    install = layout.install()
    folder = layout.release(identity)
    ended = untrusted_program.run(
        [install.python, "-I", "-B", str(folder / PROGRAM), verb, "--release", str(folder), *arguments],
        what=f"{verb} of {identity}",
        limit_s=_LIMIT_S[verb],
        cwd=str(folder),
        env={
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": "/nonexistent",
            "OMP_NUM_THREADS": "1",
            "EDGESKEL_ENGINES": str(layout.engines),
        },
        owner=as_owner(install.user),
    )
    for line in ended.errors.splitlines()[-_LINES:]:
        say(printable(line, _LETTERS))
    answer = _last_object(ended.output)
    error, result = answer.get("error"), answer.get("result")
    if isinstance(error, dict):
        seen, expected, remedy = (printable(str(error.get(name, "")), _LETTERS) for name in ("seen", "expected", "remedy"))
        raise DeviceError(seen or f"{verb} of {identity} failed", expected=expected, remedy=remedy)
    if ended.status or not isinstance(result, dict):
        tail = " ".join((ended.errors or ended.output).split())[-400:]
        raise DeviceError(
            f"{verb} of {identity} {ended.how}: {printable(tail) or 'it said nothing'}",
            expected="an answer",
            remedy="flash another release; what ran before still runs",
        )
    cleaned: dict[str, Any] = printable_all(result)
    return {"says": "", **cleaned}


def _last_object(text: str) -> dict[str, Any]:
    for line in reversed(text.splitlines()):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict):
            return content
    return {}


def as_owner(user: str) -> dict[str, Any]:
    """What makes a child run as the service's user, where we are root and it is somebody else.

    Raises:
        DeviceError: nobody of that name is there.
    """
    if os.getuid() or not user:
        return {}
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise DeviceError(
            f"the service's user {user} is gone",
            expected=f"the system user {user}",
            remedy="flash the device again: it is made anew",
        ) from error
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": os.getgrouplist(user, entry.pw_gid)}


def build(layout: Layout, identity: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Build the engines that the release needs here; on hosts whose engine needs none, nothing."""
    require_whole(layout.release(identity), identity)
    return program(layout, identity, "build", say)


def prove(layout: Layout, identity: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Golden inputs and latency; keeps what was chosen for the service.

    Raises:
        DeviceError: an answer is wrong, or too slow.
    """
    require_whole(layout.release(identity), identity)
    result = program(layout, identity, "prove", say)
    if not _is_choice(result):
        raise DeviceError(f"{identity} proves nothing", expected="an artifact and its engine", remedy="flash another release")
    write_json(layout.choice(identity), {**(read_json(layout.choice(identity)) or {}), "choice": result})
    return result


def proved(layout: Layout, identity: str) -> dict[str, Any] | None:
    """What was measured of a release here; None where nothing was, or what is kept of it makes no sense."""
    choice = (read_json(layout.choice(identity)) or {}).get("choice")
    return choice if isinstance(choice, dict) and _is_choice(choice) else None


def _is_choice(result: Mapping[str, Any]) -> bool:
    chosen = result.get("chosen")
    return isinstance(chosen, dict) and all(isinstance(chosen.get(name), str) for name in _CHOSEN)


def serve(layout: Layout, identity: str) -> None:
    """Become the service: same process, so that systemd's main process is the one that recognises."""
    folder = layout.release(identity)
    sys.stdout.flush()
    sys.stderr.flush()
    install = layout.install()
    os.environ.setdefault("EDGESKEL_ENGINES", str(layout.engines))
    os.environ.setdefault("RUNTIME_DIRECTORY", install.run)
    files = folder / "files"
    os.chdir(files if files.is_dir() else folder)
    python = install.python if Path(install.python).exists() else sys.executable
    os.execv(
        python,
        [
            python,
            "-I",
            "-B",
            str(folder / PROGRAM),
            "serve",
            "--release",
            str(folder),
            "--choice",
            str(layout.choice(identity)),
        ],
    )
