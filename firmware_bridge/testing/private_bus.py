"""A D-Bus system bus of one's own, which can be killed: what :mod:`.bluez` stands on."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from edgeskel.errors import DeviceError

__all__ = ["PrivateBus", "dbus_daemon"]

_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="*" eavesdrop="true"/>
<allow receive_type="*" eavesdrop="true"/></policy></busconfig>
"""


def dbus_daemon() -> str | None:
    """The path of ``dbus-daemon``; None where it is not installed (Debian: ``apt-get install dbus-daemon``)."""
    return shutil.which("dbus-daemon")


class PrivateBus:
    """A system bus of one's own; an async context manager that sets ``DBUS_SYSTEM_BUS_ADDRESS`` meanwhile.

    Raises:
        DeviceError: dbus-daemon is not installed or does not start.
    """

    def __init__(self) -> None:
        self.address: str = ""
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._daemon: asyncio.subprocess.Process | None = None
        self._before: str | None = None

    async def __aenter__(self) -> PrivateBus:
        self._folder = tempfile.TemporaryDirectory(prefix="edgeskel-dbus-")
        place = Path(self._folder.name) / "bus"
        self.address = f"unix:path={place}"
        (Path(self._folder.name) / "bus.conf").write_text(_CONFIGURATION.format(socket=place))
        await self.start()
        self._before = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS")
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = self.address
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        if self._before is None:
            os.environ.pop("DBUS_SYSTEM_BUS_ADDRESS", None)
        else:
            os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = self._before
        await self.kill()
        if self._folder is not None:
            self._folder.cleanup()

    async def start(self) -> None:
        """Start the daemon, again after :meth:`kill`."""
        program = dbus_daemon()
        if program is None:
            raise DeviceError("dbus-daemon is not installed", remedy="run: apt-get install dbus-daemon")
        assert self._folder is not None
        self._daemon = await asyncio.create_subprocess_exec(
            program, f"--config-file={self._folder.name}/bus.conf", "--nofork", "--nopidfile", "--print-address",
            stdout=asyncio.subprocess.PIPE)
        assert self._daemon.stdout is not None
        if not await self._daemon.stdout.readline():
            raise DeviceError("dbus-daemon did not start", expected="its address on stdout")

    async def kill(self) -> None:
        """SIGKILL the bus itself."""
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            with suppress(ProcessLookupError):
                daemon.kill()
            await daemon.wait()
            transport = getattr(daemon, "_transport", None)
            if transport is not None:
                transport.close()
        if self._folder is not None:
            (Path(self._folder.name) / "bus").unlink(missing_ok=True)
