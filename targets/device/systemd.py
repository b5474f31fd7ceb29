"""The service under systemd: system units, or the units of the user who owns the prefix."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from pathlib import Path

from edgeskel.errors import DeviceError
from edgeskel.files import atomic_write
from targets.device.layout import Install, Layout
from targets.device.status import ServiceStatus
from targets.device.units import SERVICE, SETTLE, SWITCH, rendered
from targets.device.users import groups

__all__ = ["Systemd"]

_LIMIT_S = 4000.0  # a start may build an engine first
_ENDING_S = 5.0


class Systemd:
    """See :class:`targets.device.status.ServiceManager`."""

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
        changed = False
        for name, content in rendered(self._layout, self._install, network=network, groups=groups()).items():
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

    def status(self) -> ServiceStatus:
        wanted = ("ActiveState", "SubState", "NRestarts", "MainPID", "Result", "ExecMainStatus", "ExecMainCode")
        said = self._run("show", SERVICE, "--property", ",".join(wanted)).stdout
        found = dict(line.partition("=")[::2] for line in said.splitlines())
        why = found.get("Result", "")
        if why and why != "success" and found.get("ExecMainStatus", "0") != "0":
            why += f" (status {found['ExecMainStatus']})"
        active = found.get("ActiveState", "inactive")
        if found.get("SubState") == "auto-restart":
            active = "failed"
        return ServiceStatus(
            active, int(found.get("NRestarts") or 0), int(found.get("MainPID") or 0), "" if why == "success" else why
        )

    def begin_switch(self, identity: str) -> None:
        escaped = subprocess.run(
            ["systemd-escape", identity], capture_output=True, text=True, check=True
        ).stdout.strip()
        unit = SWITCH.replace("@", f"@{escaped}")
        self._run("reset-failed", unit)
        # A run that has decided and is about to end would swallow the start.
        end = time.monotonic() + _ENDING_S
        while self._is_busy(unit) and not self._layout.is_locked("switch") and time.monotonic() < end:
            time.sleep(0.05)
        self._run("start", "--no-block", unit, check=True)

    def _is_busy(self, unit: str) -> bool:
        said = self._run("show", unit, "--property", "ActiveState", "--value").stdout.strip()
        return said in ("activating", "deactivating")

    def log(self, lines: int) -> str:
        """The last lines that the service wrote into the journal; what systemd says of it stands in :meth:`status`."""
        field = "_SYSTEMD_UNIT" if self._install.scope == "system" else "_SYSTEMD_USER_UNIT"
        command = [
            "journalctl",
            f"{field}={SERVICE}",
            "--lines",
            str(lines),
            "--no-pager",
            "--output",
            "cat",
            "--quiet",
        ]
        try:
            return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout.strip()
        except OSError:  # no journal on this device
            return ""

    def _run(self, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["systemctl", *self._user, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_LIMIT_S,
            env={**os.environ, "XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")},
        )
        if check and done.returncode:
            raise DeviceError(
                f"systemctl {shlex.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}",
                expected="systemd to do it",
                remedy="look at: systemctl status edgeskel",
            )
        return done
