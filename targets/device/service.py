"""Starts, stops and looks at the service: through systemd (system or user), or as a child where there is none."""

from __future__ import annotations

import grp
import pwd
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgeskel.errors import DeviceError
from targets.device.layout import Install, Layout, read_json

__all__ = ["Look", "Manager", "groups", "has_user", "health", "last_words", "manager", "service_user"]

_GROUPS = ("video", "render", "dialout", "plugdev", "input")  # cameras, the GPU, serial ports, USB, wearables


@dataclass(frozen=True)
class Look:
    """What is seen of the service from outside."""

    active: str
    """active, activating, failed, inactive"""
    restarts: int
    """Starts that nobody asked for, since the last one that somebody did."""
    pid: int
    why: str = ""
    """How the last run ended, where it ended badly."""


class Manager(Protocol):
    """Who runs the service."""

    def prepare(self, *, network: bool) -> None:
        """Write the units, so that they fit the release that is about to run."""

    def enable(self) -> None:
        """Start it at boot."""

    def restart(self) -> None:
        """Stop what runs and start what is current. Does not judge: a look says how it went."""

    def stop(self) -> None:
        """Stop it and do not start it at boot."""

    def look(self) -> Look:
        """How it is now."""

    def begin_switch(self, identity: str) -> None:
        """Start the trial of a release in the background, out of reach of this connection's end."""

    def remove(self) -> None:
        """Stop it for good, units and all."""

    def log(self, lines: int) -> str:
        """The last lines that the service wrote."""


def last_words(manager: Manager) -> str:
    """The service's last error, or the last that it said."""
    lines = manager.log(20).splitlines()
    return next((line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else "")


def manager(layout: Layout, install: Install) -> Manager:
    """The one of this install."""
    from targets.device.child import Child
    from targets.device.systemd import Systemd

    return Child(layout, install) if install.scope == "none" else Systemd(layout, install)


def health(install: Install) -> dict[str, Any] | None:
    """What the running service says of itself (``targets.service.health``); None while it has said nothing."""
    return read_json(Path(install.run) / "health.json")


def groups() -> list[str]:
    """Groups of this device whose members reach cameras, serial ports and the GPU."""
    present = {group.gr_name for group in grp.getgrall()}
    return [name for name in _GROUPS if name in present]


def has_user(name: str) -> bool:
    """Whether this device knows a user of that name."""
    with suppress(KeyError):
        pwd.getpwnam(name)
        return True
    return False


def service_user(name: str) -> None:
    """Make the system user that the service runs as, where it is not there yet.

    Raises:
        DeviceError: it cannot be made.
    """
    if has_user(name):
        return
    program = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        raise DeviceError(
            "no useradd here", expected=f"the system user {name}", remedy=f"make it, or flash with --scope user: {name}"
        )
    with_group = ["--user-group"]
    with suppress(KeyError):  # left by somebody, or by an earlier user of that name
        with_group = ["--gid", grp.getgrnam(name).gr_name]
    done = subprocess.run(
        [
            program,
            "--system",
            *with_group,
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--groups",
            ",".join(groups()),
            "--shell",
            "/usr/sbin/nologin",
            name,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DeviceError(f"useradd {name}: {done.stderr.strip()}", expected="a system user for the service")
