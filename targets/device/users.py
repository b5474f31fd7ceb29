"""The user that the service runs as."""

from __future__ import annotations

import grp
import pwd
import shutil
import subprocess
from contextlib import suppress

from edgeskel.errors import DeviceError

__all__ = ["groups", "has_user", "service_user"]

_GROUPS = ("video", "render", "dialout", "plugdev", "input")  # cameras, the GPU, serial ports, USB, wearables


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
