"""Where everything lies under the one prefix, and how it is written: whole or not at all.

PREFIX/
  install.json            what kind of install this is: scope, the service's user, its run folder, the interpreter
  state.json              which release runs, which one ran before, what happened last (state.py)
  state.copy.json         the same again, for when the disk has damaged that one
  journal.jsonl           every transition, one line each
  bin/edgeskel-device     this program
  trust/allowed_signers   public keys whose releases are taken
  releases/ID/            complete releases: release.json, its signature, bundle/, program/, packages/, files/
  choices/ID.json         what was measured of a release here, and which artifact it runs
  engines/                TensorRT engines and timing caches, shared by releases
  staging/                what is being uploaded
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgeskel.errors import DeviceError
from edgeskel.files import atomic_write, open_regular, read_regular

__all__ = ["Install", "Layout", "now", "read_json", "write_json"]

SCHEMA = 1
_RESERVE = 64 << 10  # bytes kept back, so that a full disk cannot keep us from writing which release runs
_JOURNAL = 1 << 20  # bytes; the older half is dropped beyond that
_RECORD = 4 << 20  # bytes that a JSON file may have


@dataclass(frozen=True)
class Install:
    """What kind of install lies under the prefix.

    Args:
        scope: ``system`` (systemd, as root), ``user`` (systemd user units) or ``none`` (no service manager).
        user: whom the service runs as; "" is whoever owns the prefix.
        run: the folder of ``health.json``, on memory where systemd gives one.
        python: the device's own interpreter.
    """

    scope: str
    user: str
    run: str
    python: str


@dataclass(frozen=True)
class Layout:
    """The paths of one install."""

    prefix: Path

    @property
    def tool(self) -> Path:
        return self.prefix / "bin" / "edgeskel-device"

    @property
    def state(self) -> Path:
        return self.prefix / "state.json"

    @property
    def state_copy(self) -> Path:
        return self.prefix / "state.copy.json"

    @property
    def journal(self) -> Path:
        return self.prefix / "journal.jsonl"

    @property
    def signers(self) -> Path:
        return self.prefix / "trust" / "allowed_signers"

    @property
    def releases(self) -> Path:
        return self.prefix / "releases"

    @property
    def staging(self) -> Path:
        return self.prefix / "staging"

    @property
    def engines(self) -> Path:
        return self.prefix / "engines"

    def release(self, identity: str) -> Path:
        return self.releases / identity

    def choice(self, identity: str) -> Path:
        return self.prefix / "choices" / f"{identity}.json"

    def install(self) -> Install:
        """How this prefix was installed.

        Raises:
            DeviceError: there is no install, or its record is damaged.
        """
        record = read_json(self.prefix / "install.json")
        if record is None:
            raise DeviceError(
                f"no edgeskel is installed under {self.prefix}",
                expected="an install",
                remedy="flash the device first: edgeskel flash HOST BUNDLE",
            )
        try:
            return Install(*(str(record[name]) for name in ("scope", "user", "run", "python")))
        except (KeyError, TypeError) as error:
            raise DeviceError(
                f"{self.prefix}/install.json is damaged ({error!r})", remedy="flash the device again"
            ) from error

    def write_install(self, install: Install) -> None:
        """Keep how this prefix is installed, and the folders that every install has."""
        for folder in (self.releases, self.staging, self.signers.parent, self.prefix / "choices", self.engines):
            folder.mkdir(parents=True, exist_ok=True)
        write_json(self.prefix / "install.json", {"schema": SCHEMA, **asdict(install)})
        reserve = self.prefix / ".reserve"
        if not reserve.exists():
            reserve.write_bytes(os.urandom(_RESERVE))  # bytes that a compressing file system cannot make small

    def note(self, event: str, **facts: Any) -> None:
        """One line in the journal. Never fails the step that it describes: a full disk must not stop a return."""
        line = json.dumps({"time": now(), "event": event, **facts}) + "\n"
        with suppress(OSError), self.journal.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):
            if self.journal.stat().st_size > _JOURNAL:
                lines = self.journal_text().splitlines(keepends=True)
                with atomic_write(self.journal) as kept:
                    kept.write("".join(lines[len(lines) // 2 :]).encode())

    def journal_text(self) -> str:
        """The journal; "" where there is none."""
        try:
            return read_regular(self.journal, 2 * _JOURNAL).decode("utf-8", errors="replace")
        except OSError:
            return ""

    def write_state(self, content: Mapping[str, Any]) -> None:
        """Replace ``state.json``, then its copy; on a full disk the reserve is given up for it."""
        try:
            write_json(self.state, content)
        except OSError:
            (self.prefix / ".reserve").unlink(missing_ok=True)
            write_json(self.state, content)
        with suppress(OSError):
            write_json(self.state_copy, content)

    @contextmanager
    def lock(self, name: str, *, wait_s: float = 0.0) -> Iterator[None]:
        """Hold a lock of this prefix; it ends with the process, however that ends.

        Args:
            name: ``flash`` (taking in a release), ``switch`` (a trial), ``state`` (one change of the state).
            wait_s: how long to wait for whoever holds it.

        Raises:
            DeviceError: somebody else holds it.
        """
        self.prefix.mkdir(parents=True, exist_ok=True)
        end = time.monotonic() + wait_s
        # For its owner alone: whoever may read a file may lock it, and keep a return from happening.
        place = self.prefix / f".{name}.lock"
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "a") as file:
            if os.fstat(handle).st_mode & 0o077:  # as earlier versions made it
                os.fchmod(handle, 0o600)
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= end:
                        raise DeviceError(
                            f"another {name} is going on under {self.prefix}",
                            expected="one at a time",
                            remedy="wait for it; edgeskel flash status HOST shows it",
                        ) from None
                    time.sleep(0.05)
            yield

    def is_locked(self, name: str) -> bool:
        """Whether somebody holds the lock now."""
        try:
            with open_regular(self.prefix / f".{name}.lock") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


def now() -> str:
    """This moment on the device's clock, ISO 8601 in UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def read_json(path: Path) -> dict[str, Any] | None:
    """An object; None where the file is absent, no regular file, too large, or holds none. Never waits for a writer."""
    try:
        content = json.loads(read_regular(path, _RECORD))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object, whole or not at all."""
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode())
