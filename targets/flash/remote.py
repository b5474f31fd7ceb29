"""A device over the user's own OpenSSH: his configuration, keys, agent, jump hosts; one connection for all steps.

Passwords and unknown host keys are OpenSSH's business: with a terminal it asks, without one it refuses and we say why.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO

from edgeskel.errors import DeviceError
from edgeskel.printable import printable, printable_all

__all__ = ["Connection"]

_CONNECT_S = 15
_KEEP_S = 30
_LINE = 16 << 20  # bytes of one line of an answer
_LETTERS = 2000  # of a line that is shown
_ALIVE = ("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=4")

# What OpenSSH says -> what it means and what to do.
_REASONS = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "{host} shows another host key than last time",
        "the key that this workstation knows",
        "if the device was set up anew: ssh-keygen -R {name}; otherwise somebody else answers there",
    ),
    (
        "Host key verification failed",
        "{host}'s host key is not known here",
        "a host key that was accepted once",
        "connect once by hand and compare the fingerprint: ssh {host}",
    ),
    (
        "Permission denied",
        "{host} does not let this user in",
        "a key or a password that it accepts",
        "try by hand: ssh {host}",
    ),
    (
        "Could not resolve hostname",
        "{host} is no name that this network knows",
        "a host",
        "check the name, or use the address",
    ),
    (
        "Connection refused",
        "{host} answers, but no SSH server does",
        "sshd",
        "on the device: sudo apt install openssh-server",
    ),
    ("timed out", "{host} does not answer", "a device on this network", "is it on, and connected?"),
    ("No route to host", "{host} cannot be reached", "a device on this network", "is it on, and connected?"),
    ("Network is unreachable", "{host} cannot be reached", "a device on this network", "is this machine connected?"),
)


class Connection:
    """Runs commands on one host. A context manager; the connection is shared by all of them and closed at its end.

    Args:
        host: as ``ssh`` takes it: a name of its configuration, ``user@host``, or ``ssh://user@host:port``.
        config: another configuration file than the user's own.
    """

    def __init__(self, host: str, config: Path | None = None) -> None:
        if shutil.which("ssh") is None:
            raise DeviceError(
                "no ssh on this workstation", expected="OpenSSH's client", remedy="sudo apt install openssh-client"
            )
        if host.startswith("-"):
            raise DeviceError(f"{host!r} is no host", expected="a name, user@host or ssh://user@host:port")
        self.host = host
        self.sudo = False
        self._config = ["-F", str(config)] if config is not None else []

    def __enter__(self) -> Connection:
        self._folder = tempfile.mkdtemp(prefix="edgeskel-")  # short: a socket's path has 104 bytes at most
        self._options = [
            *self._config,
            *_ALIVE,
            "-o",
            f"ConnectTimeout={_CONNECT_S}",
            "-o",
            "ControlMaster=auto",
            "-o",
            f"ControlPath={self._folder}/%C",
            "-o",
            f"ControlPersist={_KEEP_S}",
        ]
        if not sys.stdin.isatty():
            self._options += ["-o", "BatchMode=yes"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(
            ["ssh", *self._options, "-O", "exit", self.host],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        shutil.rmtree(self._folder, ignore_errors=True)

    def open(self) -> None:
        """Connect, with whatever OpenSSH wants to ask. Raises ``DeviceError`` that says what stands in the way."""
        self.run(["true"])

    def run(
        self, command: Sequence[str], *, stdin: bytes | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """One command; becomes root where :attr:`sudo` is set.

        Raises:
            DeviceError: no connection; or, with ``check``, the command failed.
        """
        done = subprocess.run(
            self._command(command),
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        self._require_connection(done.returncode, done.stderr)
        if check and done.returncode:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise DeviceError(f"{self.host}: {_verb(command)} failed: {printable(said[-300:])}")
        return done

    def call(
        self,
        command: Sequence[str],
        *,
        feed: Callable[[BinaryIO], None] | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> dict[str, Any]:
        """One verb of ``edgeskel-device``; what it says goes to ``say``, and its result is returned.

        Args:
            feed: writes its input.

        Raises:
            DeviceError: no connection, or the device's own error.
        """
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(
                self._command(command),
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            ) as process,
        ):
            try:
                broken = _feed(process, feed) if feed else False
                assert process.stdout is not None
                answer = _answer(process.stdout, say)
                status = process.wait()
            except BaseException:
                process.kill()
                raise
            errors.seek(0)
            text = errors.read()
        self._require_connection(status if not answer else 0, text)
        error = answer.get("error")
        if isinstance(error, dict):
            seen, expected, remedy = (str(error.get(name, "")) for name in ("seen", "expected", "remedy"))
            raise DeviceError(seen or "the device gave no reason", expected=expected, remedy=remedy)
        if not isinstance(answer.get("result"), dict) or broken and status:
            raise DeviceError(
                f"{self.host}: {_verb(command)} ended with status {status} "
                f"and no answer: {printable(text.decode(errors='replace').strip()[-300:])}",
                remedy="run flash again",
            )
        result: dict[str, Any] = answer["result"]
        return result

    def _command(self, command: Sequence[str]) -> list[str]:
        root = ["sudo", "-n", "--"] if self.sudo else []
        return ["ssh", *self._options, "-T", self.host, shlex.join([*root, *command])]

    def _require_connection(self, status: int, text: bytes) -> None:
        """255 is how ssh itself ends when there is no connection."""
        if status != 255:
            return
        said = text.decode(errors="replace")
        name = self.host.removeprefix("ssh://").rpartition("@")[2].partition(":")[0]
        for mark, seen, expected, remedy in _REASONS:
            if mark in said:
                raise DeviceError(
                    seen.format(host=self.host), expected=expected, remedy=remedy.format(host=self.host, name=name)
                )
        raise DeviceError(
            f"the connection to {self.host} broke: {printable(' '.join(said.split())[-300:]) or 'no reason given'}",
            remedy="run the same command again: it goes on where it stopped",
        )


def _feed(process: subprocess.Popen[bytes], feed: Callable[[BinaryIO], None]) -> bool:
    """Write the input; whether the other side closed it early (it says why on its stdout)."""
    assert process.stdin is not None
    stream: Any = process.stdin
    try:
        feed(stream)
        stream.close()
    except BrokenPipeError:
        return True
    finally:
        try:
            stream.close()
        except BrokenPipeError:
            pass
    return False


def _answer(stream: IO[bytes], say: Callable[[str], None]) -> dict[str, Any]:
    """The last object of the lines; the device may be anybody's, so nothing that steers a terminal gets past here."""
    answer: dict[str, Any] = {}
    while line := stream.readline(_LINE):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue  # a log-in banner, a library's chatter
        if not isinstance(content, dict):
            continue
        if "say" in content:
            say(printable(str(content["say"]), _LETTERS))
        else:
            answer = printable_all(content)
    return answer


def _verb(command: Sequence[str]) -> str:
    """What of a command line a person wants to hear: not the check that stands before the program."""
    words = [word for word in command if "\n" not in word]
    return shlex.join(words)[:100]
