"""Starts, stops and looks at the service: through systemd (system or user), or as a child where there is none."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgeskel.errors import DeviceError
from edgeskel.files import atomic_write
from targets.device.layout import Install, Layout, read_json
from targets.device.units import SERVICE, SETTLE, SWITCH, rendered

__all__ = ["Child", "Look", "Manager", "Systemd", "health", "last_words", "manager", "service_user"]

_GROUPS = ("video", "render", "dialout", "plugdev", "input")  # cameras, the GPU, serial ports, USB, wearables
_START_S = 90.0


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
    return Child(layout, install) if install.scope == "none" else Systemd(layout, install)


def health(install: Install) -> dict[str, Any] | None:
    """What the running service says of itself (``targets.service.health``); None while it has said nothing."""
    return read_json(Path(install.run) / "health.json")


class Systemd:
    """System units, or the units of the user who owns the prefix."""

    def __init__(self, layout: Layout, install: Install) -> None:
        self._layout, self._install = layout, install
        self._user = [] if install.scope == "system" else ["--user"]

    @property
    def units(self) -> Path:
        """Where the unit files lie."""
        if self._install.scope == "system":
            return Path("/etc/systemd/system")
        return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"

    def prepare(self, *, network: bool) -> None:
        present = {group.gr_name for group in grp.getgrall()}
        groups = [name for name in _GROUPS if name in present]
        changed = False
        for name, content in rendered(self._layout, self._install, network=network, groups=groups).items():
            path = self.units / name
            if not path.is_file() or path.read_text("utf-8") != content:
                with atomic_write(path) as file:
                    file.write(content.encode())
                changed = True
        if changed:
            self._run("daemon-reload", check=True)

    def enable(self) -> None:
        self._run("enable", "--quiet", SERVICE, SETTLE, check=True)

    def restart(self) -> None:
        self._run("reset-failed", SERVICE)
        self._run("restart", SERVICE)

    def stop(self) -> None:
        for unit in (SETTLE, SERVICE):
            self._run("disable", "--quiet", "--now", unit)

    def remove(self) -> None:
        """Stop it, and take the units away."""
        self.stop()
        for name in (SERVICE, SWITCH, SETTLE):
            (self.units / name).unlink(missing_ok=True)
        self._run("daemon-reload")
        self._run("reset-failed", SERVICE)

    def look(self) -> Look:
        wanted = ("ActiveState", "SubState", "NRestarts", "MainPID", "Result", "ExecMainStatus", "ExecMainCode")
        said = self._run("show", SERVICE, "--property", ",".join(wanted)).stdout
        found = dict(line.partition("=")[::2] for line in said.splitlines())
        why = found.get("Result", "")
        if why and why != "success" and found.get("ExecMainStatus", "0") != "0":
            why += f" (status {found['ExecMainStatus']})"
        active = found.get("ActiveState", "inactive")
        if found.get("SubState") == "auto-restart":
            active = "failed"
        return Look(
            active, int(found.get("NRestarts") or 0), int(found.get("MainPID") or 0), "" if why == "success" else why
        )

    def begin_switch(self, identity: str) -> None:
        escaped = subprocess.run(
            ["systemd-escape", identity], capture_output=True, text=True, check=True
        ).stdout.strip()
        unit = SWITCH.replace("@", f"@{escaped}")
        self._run("reset-failed", unit)
        self._run("start", "--no-block", unit, check=True)

    def log(self, lines: int) -> str:
        """The last lines that the service wrote into the journal; what systemd says of it stands in :meth:`look`."""
        field = "_SYSTEMD_UNIT" if self._install.scope == "system" else "_SYSTEMD_USER_UNIT"
        command = ["journalctl", f"{field}={SERVICE}", "--lines", str(lines), "--no-pager", "--output", "cat", "--quiet"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    def _run(self, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["systemctl", *self._user, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            env={**os.environ, "XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")},
        )
        if check and done.returncode:
            raise DeviceError(
                f"systemctl {shlex.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}",
                expected="systemd to do it",
                remedy="look at: systemctl status edgeskel",
            )
        return done


class Child:
    """Without a service manager: the service is a child of the trial, and ends with it.

    The same signals count as under systemd: READY and WATCHDOG messages on a socket, and the end of the process. What
    starts the service afterwards is its user's own business: ``PREFIX/bin/edgeskel-device serve --prefix PREFIX``.
    """

    _WATCHDOG_S = 15.0

    def __init__(self, layout: Layout, install: Install) -> None:
        self._layout, self._install = layout, install
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._ready, self._heard, self._why = False, 0.0, ""

    def prepare(self, *, network: bool) -> None:
        Path(self._install.run).mkdir(parents=True, exist_ok=True)

    def enable(self) -> None:
        pass  # nothing here starts at boot

    def restart(self) -> None:
        self.stop()
        (Path(self._install.run) / "health.json").unlink(missing_ok=True)
        address = Path(self._install.run) / "notify"
        address.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind(str(address))
        self._socket.setblocking(False)
        self._ready, self._heard, self._why = False, time.monotonic(), ""
        with (self._layout.prefix / "service.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    self._install.python,
                    "-I",
                    "-B",
                    str(self._layout.tool),
                    "serve",
                    "--prefix",
                    str(self._layout.prefix),
                    "--no-guard",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._layout.prefix,
                env={
                    **os.environ,
                    "NOTIFY_SOCKET": str(address),
                    "RUNTIME_DIRECTORY": self._install.run,
                    "EDGESKEL_ENGINES": str(self._layout.engines),
                    "OMP_NUM_THREADS": "1",
                },
            )
        end = time.monotonic() + _START_S
        while time.monotonic() < end and not self._ready and self.look().active != "failed":
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    remove = stop

    def look(self) -> Look:
        if self._process is None or self._socket is None:
            said = health(self._install)
            pid = int(said["pid"]) if said else 0
            return Look("active" if pid and Path(f"/proc/{pid}").exists() else "inactive", 0, pid)
        with suppress(BlockingIOError):
            while message := self._socket.recv(4096):
                self._heard = time.monotonic()
                self._ready = self._ready or b"READY=1" in message
        status = self._process.poll()
        if status is not None:
            self._why = self._why or f"it ended with status {status}"
        elif time.monotonic() - self._heard > self._WATCHDOG_S:
            self._why = "watchdog"
            self._process.kill()
        active = "failed" if self._why else "active" if self._ready else "activating"
        return Look(active, 1 if self._why else 0, self._process.pid, self._why)

    def begin_switch(self, identity: str) -> None:
        with (self._layout.prefix / "switch.log").open("ab") as log:
            subprocess.Popen(
                [
                    self._install.python,
                    "-I",
                    "-B",
                    str(self._layout.tool),
                    "run-switch",
                    identity,
                    "--prefix",
                    str(self._layout.prefix),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def log(self, lines: int) -> str:
        """The last lines that the service wrote while it was last tried."""
        path = self._layout.prefix / "service.log"
        text = path.read_text("utf-8", errors="replace") if path.is_file() else ""
        return "\n".join(text.splitlines()[-lines:])


def service_user(name: str) -> None:
    """Make the system user that the service runs as, where it is not there yet.

    Raises:
        DeviceError: it cannot be made.
    """
    with suppress(KeyError):
        pwd.getpwnam(name)
        return
    program = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        raise DeviceError(
            "no useradd here", expected=f"the system user {name}", remedy=f"make it, or flash with --scope user: {name}"
        )
    done = subprocess.run(
        [
            program,
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
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
