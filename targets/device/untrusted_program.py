"""Runs a program that is not believed: for so long, with so much output, and without this terminal.

Its output goes through pipes that are read until it has ended, not until they are closed: a process that it leaves behind
could keep them open for ever.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from edgeskel.errors import DeviceError

__all__ = ["ProgramResult", "run", "signal_name"]

_LIMIT = 8 << 20  # bytes of output
_TURN_S = 0.1


@dataclass(frozen=True)
class ProgramResult:
    """How a program ended, and what it wrote."""

    status: int
    """As ``subprocess`` gives it: below 0 a signal."""
    output: str
    errors: str

    @property
    def how(self) -> str:
        """In words: ``ended with status 3``, ``was ended by SIGSEGV``."""
        return f"was ended by {signal_name(-self.status)}" if self.status < 0 else f"ended with status {self.status}"


def signal_name(number: int) -> str:
    """SIGSEGV for 11."""
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def run(
    command: Sequence[str], *, what: str, limit_s: float, cwd: str, env: Mapping[str, str], owner: Mapping[str, Any]
) -> ProgramResult:
    """Run it to its end.

    Args:
        command: and its arguments.
        what: it is, for messages.
        limit_s: for which it may run.
        cwd, env, owner: as for ``subprocess.Popen``; ``owner`` is whom it runs as.

    Raises:
        DeviceError: it took too long, or wrote too much; it and what it started are ended.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=env,
        start_new_session=True,  # the terminal of whoever installs from a stick takes no input from it
        **owner,
    )
    assert process.stdout is not None and process.stderr is not None
    kept: dict[IO[bytes], bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
    try:
        _read(process, kept, what, limit_s)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # and whatever it left behind
        process.wait()
        for stream in kept:
            stream.close()
    output, errors = (bytes(content).decode("utf-8", errors="replace") for content in kept.values())
    return ProgramResult(process.returncode, output, errors)


def _read(process: subprocess.Popen[bytes], kept: Mapping[IO[bytes], bytearray], what: str, limit_s: float) -> None:
    end = time.monotonic() + limit_s
    with selectors.DefaultSelector() as ready:
        for stream in kept:
            os.set_blocking(stream.fileno(), False)
            ready.register(stream, selectors.EVENT_READ)
        while ready.get_map():
            over = process.poll() is not None  # asked before reading, so that its last words are read
            found = ready.select(0 if over else _TURN_S)
            for key, _ in found:
                block = os.read(key.fd, 1 << 16)
                if not block:
                    ready.unregister(key.fileobj)
                kept[key.fileobj] += block  # type: ignore[index]
            if sum(map(len, kept.values())) > _LIMIT:
                raise DeviceError(f"{what} wrote more than {_LIMIT >> 20} MB", expected="an answer", remedy="flash another release")
            if over and not found:
                return
            if time.monotonic() > end:
                raise DeviceError(f"{what} took over {limit_s:.0f} s", remedy="the device is too slow, or busy")
        process.wait(max(0.0, end - time.monotonic()))
