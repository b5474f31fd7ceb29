"""The reference firmware on an emulated Cortex-M3 board, behind a serial port of this machine.

    with QemuNode(sensors=17, rate_hz=100) as node:
        node.address        # serial:/tmp/.../node?protocol=node, the same after a power cycle
        node.power_off()
        node.power_on()

It is the program of a real node: what differs is the board around it. QEMU has no baud rate (bytes pass at once), no noise
on the line and, as the boards have no sensors, a motion that the firmware makes up. It looks once a second whether somebody has
opened the port, so the first commands after that may be heard a second late; what the node sends comes at once.
"""

from __future__ import annotations

import atexit
import os
import re
import selectors
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from edgeskel.errors import DeviceError
from firmware_bridge.firmware_build import Firmware, build, need

__all__ = ["QemuNode"]

QEMU = "qemu-system-arm"
START_S = 20.0


class QemuNode:
    """A node in QEMU. It is off until :meth:`power_on` or the ``with`` block.

    Args:
        board, sensors, rate_hz, identity: see :func:`firmware_bridge.firmware_build.build`.
        firmware: a program that was built before, instead.

    Raises:
        UsageError: QEMU, the compiler or ``make`` is not installed; the message names the Debian package.
    """

    def __init__(
        self, *, board: str = "lm3s6965evb", sensors: int = 1, rate_hz: int = 100, identity: str | None = None,
        firmware: Firmware | None = None,
    ) -> None:  # fmt: skip
        self._qemu = need(QEMU, QEMU, "running the firmware")
        self._folder = TemporaryDirectory(prefix="edgeskel-node-")
        self.path: Path = Path(self._folder.name) / "node"
        """The port; a link that leads nowhere while the node is off."""
        self.firmware: Firmware = firmware or build(
            board, Path(self._folder.name), sensors=sensors, rate_hz=rate_hz, identity=identity
        )
        self.boot: int = 0
        """Number of the present start, as the firmware sends it: 1 to 255 and again from 1."""
        self._process: subprocess.Popen[str] | None = None
        atexit.register(self.close)

    @property
    def address(self) -> str:
        """What to open."""
        return f"serial:{self.path}?protocol=node"

    def __enter__(self) -> QemuNode:
        self.power_on()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def power_on(self) -> None:
        """Start the board. Its port has another number each time; :attr:`path` leads there.

        Raises:
            DeviceError: the program is not there, QEMU ended, or gave no port; the message has what it said.
        """
        if self._process is not None:
            return
        if not self.firmware.path.is_file():
            raise DeviceError(f"{self.firmware.path} is not there", expected="a program for the board")
        self.boot = self.boot % 255 + 1
        number = f"loader,addr={self.firmware.board.boot_number_at:#x},data={self.boot},data-len=1"
        command = [self._qemu, "-M", self.firmware.board.name, "-kernel", str(self.firmware.path), "-display", "none",
                   "-monitor", "none", "-serial", "pty", "-device", number]
        guard = shutil.which("setpriv")  # so that the emulator ends with us even when we are killed
        self._process = subprocess.Popen(
            [guard, "--pdeathsig", "KILL", *command] if guard else command,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,  # an interrupt from the keyboard is for us; we end it
        )  # fmt: skip
        try:
            port = self._port(self._process)
        except DeviceError:
            self.power_off()
            raise
        link = self.path.with_name("link")
        link.symlink_to(port)
        link.replace(self.path)

    @staticmethod
    def _port(process: subprocess.Popen[str]) -> str:
        """The port that QEMU names in its first line."""
        assert process.stdout is not None
        said = ""
        deadline = time.monotonic() + START_S
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while selector.select(max(0.0, deadline - time.monotonic())):
                line = process.stdout.readline()
                said += line
                found = re.search(r"redirected to (/dev/\S+)", line)
                if found:
                    return found[1]
                if not line:
                    break
        raise DeviceError(f"QEMU gave no serial port: {said.strip() or 'it said nothing'}")

    def power_off(self) -> None:
        """Cut the power: the port is gone at once, whatever was being sent."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        self.path.unlink(missing_ok=True)

    @property
    def pid(self) -> int | None:
        """Process number of the emulator while it runs."""
        return None if self._process is None else self._process.pid

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the emulator ends by itself, or for ``seconds``.

        Raises:
            DeviceError: it ended.
        """
        if self._process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(seconds)
            raise DeviceError(f"QEMU ended with status {status}", expected="it to run until it is stopped")

    def close(self) -> None:
        """Power off and remove the files; may be called twice."""
        self.power_off()
        atexit.unregister(self.close)
        if os.path.isdir(self._folder.name):
            self._folder.cleanup()
