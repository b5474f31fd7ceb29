"""Runs the programs of a release: ``build`` (its engine), ``prove`` (golden inputs, latency). Never as root."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeskel.errors import DeviceError
from targets.device.layout import Layout, read_json, write_json
from targets.device.release import require_whole

__all__ = ["PROGRAM", "as_owner", "build", "program", "prove", "serve"]

PROGRAM = "program"
_LIMIT_S = {"build": 3600.0, "prove": 600.0, "verify": 600.0}


def program(layout: Layout, identity: str, verb: str, say: Callable[[str], None], *arguments: str) -> dict[str, Any]:
    """Run one verb of the release's program as the service's user; the object that it prints last.

    Raises:
        DeviceError: it failed; the message is its own.
    """
    install = layout.install()
    folder = layout.release(identity)
    process = subprocess.Popen(
        [install.python, "-I", "-B", str(folder / PROGRAM), verb, "--release", str(folder), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": "/nonexistent",
            "OMP_NUM_THREADS": "1",
            "EDGESKEL_ENGINES": str(layout.engines),
        },
        **as_owner(install.user),
    )
    try:
        output, errors = process.communicate(timeout=_LIMIT_S[verb])
    except BaseException as error:
        process.kill()
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise DeviceError(
                f"{verb} of {identity} took over {_LIMIT_S[verb]:.0f} s", remedy="the device is too slow, or busy"
            ) from error
        raise
    for line in errors.splitlines():
        say(line)
    answer = _last_object(output)
    if "error" in answer:
        raise DeviceError(**answer["error"])
    if process.returncode or "result" not in answer:
        tail = " ".join(errors.split())[-400:]
        raise DeviceError(
            f"{verb} of {identity} ended with status {process.returncode}: {tail or output[-200:]}",
            expected="an answer",
            remedy="edgeskel flash logs HOST shows more",
        )
    result: dict[str, Any] = answer["result"]
    return result


def _last_object(text: str) -> dict[str, Any]:
    for line in reversed(text.splitlines()):
        try:
            content = json.loads(line)
        except ValueError:
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
    write_json(layout.choice(identity), {**(read_json(layout.choice(identity)) or {}), "choice": result})
    return result


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
