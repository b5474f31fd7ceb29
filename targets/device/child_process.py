"""The service where there is no service manager: a child of the trial."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from edgeskel.files import open_regular
from targets.device import launch
from targets.device.layout import Install, Layout
from targets.device.status import ServiceStatus, health

__all__ = ["ChildProcessService"]

_START_S = 90.0
_TAIL = 1 << 20  # bytes of the log that are looked at


class ChildProcessService:
    """See :class:`targets.device.status.ServiceManager`. The service ends with the trial.

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
                launch.command(
                    self._install.python,
                    str(self._layout.tool),
                    "serve",
                    "--prefix",
                    str(self._layout.prefix),
                    "--no-guard",
                ),
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
        while time.monotonic() < end and not self._ready and self.status().active != "failed":
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

    def status(self) -> ServiceStatus:
        if self._process is None or self._socket is None:
            said = health(self._install)
            pid = said["pid"] if said else 0
            return ServiceStatus("active" if pid and Path(f"/proc/{pid}").exists() else "inactive", 0, pid)
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
        return ServiceStatus(active, 1 if self._why else 0, self._process.pid, self._why)

    def begin_switch(self, identity: str) -> None:
        with (self._layout.prefix / "switch.log").open("ab") as log:
            subprocess.Popen(
                launch.command(
                    self._install.python,
                    str(self._layout.tool),
                    "run-switch",
                    identity,
                    "--prefix",
                    str(self._layout.prefix),
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def log(self, lines: int) -> str:
        """The last lines that the service wrote while it was last tried."""
        try:
            with open_regular(self._layout.prefix / "service.log") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
                text = file.read(_TAIL).decode("utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])
