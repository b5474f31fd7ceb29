"""``serial:/dev/ttyUSB0?protocol=node&baud=921600``: a serial port, USB adapter or pseudo-terminal.

Bytes are read as soon as the system has them and stamped before anything else. Options: ``baud`` (by default what the
protocol's devices come with), ``protocol`` (for the codec; only the default of ``baud`` depends on it here).
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgeskel.errors import DeviceError, UsageError
from firmware_bridge.samples import Chunk
from firmware_bridge.transports import Lost, Received, Transport

__all__ = ["SerialTransport", "open_transport"]

BAUDS = {"node": 921600, "witmotion": 9600}
"""What devices of a protocol come with, by their specifications."""
DEFAULT_BAUD = 115200
OPTIONS = ("baud", "protocol")
SAY_WHO_THEY_ARE = ("node",)
"""Protocols whose devices report a serial number of their own, which counts more than the adapter's."""
READ_SIZE = 1 << 16
LOOK_AGAIN_S = 0.1
COMING_S = 5.0
"""A port that has appeared is root's until udev has set its owner; for so long a refusal may pass."""
SMALL_READ = 64
GATHER_S = 0.001
"""A UART hands over a few bytes at a time, thousands of times a second. After a read of less than ``SMALL_READ`` bytes we
wait so long before the next, which then finds the rest of the frame; a frame is known at most that much later."""
WRITE_S = 2.0
"""A port that has not taken a command after so long takes none."""


def open_transport(place: str, options: Mapping[str, str]) -> SerialTransport:
    """The transport of an address.

    Raises:
        UsageError: ``baud`` is no positive whole number.
    """
    protocol = options.get("protocol", "node")
    text = options.get("baud", str(BAUDS.get(protocol, DEFAULT_BAUD)))
    if not text.isdecimal() or int(text) == 0:
        raise UsageError(f"serial: baud={text}", expected="a positive whole number")
    return SerialTransport(place, int(text), known_by_port=protocol not in SAY_WHO_THEY_ARE)


class SerialTransport(Transport):
    """One serial port. See :class:`firmware_bridge.transports.Transport`.

    Args:
        port: path of the device file.
        baud: bits per second; a pseudo-terminal ignores it.
        known_by_port: the device reports no serial number of its own, so the USB port's is its identity.
    """

    port: str
    baud: int
    identity: str | None = None
    """``serial:NUMBER`` of the USB port once it is open; None where it has none or the device knows better."""
    most_wait_s: float = math.inf
    """Short where the device was unplugged or is only coming."""

    def __init__(self, port: str, baud: int = DEFAULT_BAUD, *, known_by_port: bool = False) -> None:
        self.address: str = f"serial:{port}"
        self.port, self.baud = port, baud
        self._known_by_port = known_by_port
        self._serial: Any = None  # serial.Serial
        self._fd = -1
        self._received: Received
        self._lost: Lost
        self._gathering: asyncio.TimerHandle | None = None
        self._writing = asyncio.Lock()

    async def open(self, received: Received, lost: Lost) -> None:
        """Open the port for us alone and listen.

        Raises:
            DeviceError: not there, not ours to open, in use, or no serial port; the message says what to do.
            ModuleNotFoundError: pyserial is not installed.
        """
        loop = asyncio.get_running_loop()
        # A USB adapter may take many milliseconds to be set up; other devices go on meanwhile.
        opening = loop.run_in_executor(None, _open, self.port, self.baud)
        try:
            self._serial = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise
        except DeviceError:
            self.most_wait_s = LOOK_AGAIN_S if _may_come(self.port) else math.inf
            raise
        self.most_wait_s = LOOK_AGAIN_S
        self._fd = self._serial.fileno()
        if self._known_by_port:
            self.identity = await loop.run_in_executor(None, _identity, self.port)
        self._received, self._lost = received, lost
        loop.add_reader(self._fd, self._read)

    def _read(self) -> None:
        host_ns = time.monotonic_ns()
        try:
            data = os.read(self._fd, READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(DeviceError(f"{self.port} went away: {error.strerror}", remedy="plug the device in again"))
            return
        if not data:
            self._end(DeviceError(f"{self.port} was unplugged", remedy="plug the device in again"))
            return
        if len(data) < SMALL_READ and self._gathering is None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._fd)
            self._gathering = loop.call_later(GATHER_S, self._gathered)
        self._received(Chunk(data, host_ns))

    def _gathered(self) -> None:
        self._gathering = None
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def _stop_reading(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    def _end(self, reason: DeviceError) -> None:
        self._stop_reading()
        self._lost(reason)

    async def write(self, data: bytes, channel: str = "") -> None:
        """Send ``data``; ``channel`` has no meaning on a serial line.

        Raises:
            DeviceError: the port is closed, was unplugged, or takes no bytes.
        """
        async with self._writing:
            if self._serial is None:
                raise DeviceError(f"{self.port} is not open")
            rest = memoryview(data)
            deadline = time.monotonic() + WRITE_S
            while rest:
                try:
                    rest = rest[os.write(self._fd, rest) :]
                except (BlockingIOError, InterruptedError):
                    await self._writable(deadline)
                except OSError as error:
                    raise DeviceError(
                        f"{self.port} went away: {error.strerror}", remedy="plug the device in again"
                    ) from error

    async def _writable(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def writable() -> None:
            if not ready.done():
                ready.set_result(None)

        loop.add_writer(self._fd, writable)
        try:
            await asyncio.wait_for(ready, max(0.0, deadline - time.monotonic()))
        except (asyncio.TimeoutError, TimeoutError):
            raise DeviceError(f"{self.port} took no bytes for {WRITE_S:g} s", expected="a device that listens",
                              remedy="check the cable and whether this is the right port") from None
        finally:
            loop.remove_writer(self._fd)

    async def close(self) -> None:
        """See :meth:`firmware_bridge.transports.Transport.close`."""
        port, self._serial = self._serial, None
        if port is None:
            return
        self._stop_reading()
        asyncio.get_running_loop().remove_writer(self._fd)
        _close(port)


def _open(path: str, baud: int) -> Any:
    """An open ``serial.Serial``, locked for us; blocks shortly."""
    import serial

    try:
        port = serial.Serial(path, baud, timeout=0, write_timeout=0, exclusive=True)
    except (OSError, ValueError) as error:
        raise _explained(path, baud, error) from error
    # FTDI adapters else hold bytes back for 16 ms to fill a USB packet. Others cannot, and need not.
    with suppress(OSError, ValueError, AttributeError, NotImplementedError):
        port.set_low_latency_mode(True)
    return port


def _may_come(path: str) -> bool:
    """Whether a port that could not be opened may soon be one: it is not there, or has only just appeared."""
    try:
        return time.time() - os.stat(path).st_ctime < COMING_S
    except OSError:
        return True


def _identity(path: str) -> str | None:
    from serial.tools.list_ports import comports

    device = os.path.realpath(path)
    number = next((port.serial_number for port in comports() if port.device == device), None)
    return f"serial:{number}" if number else None


def _close(port: Any) -> None:
    with suppress(Exception):
        port.reset_output_buffer()  # what is not sent yet would make close wait for a dead line
    with suppress(Exception):
        port.close()


def _close_unwanted(opening: asyncio.Future[Any]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        _close(opening.result())


def _explained(path: str, baud: int, error: Exception) -> DeviceError:
    """What went wrong, and what the user standing there should do."""
    number = getattr(error, "errno", None)
    if number is None and error.__context__ is not None and error.__context__.args:
        number = error.__context__.args[0]  # pyserial wraps termios.error without its number
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return DeviceError(f"{path} is not there", expected=_ports(),
                           remedy="plug the device in; dmesg then says which port it got")
    except OSError:
        mode = 0
    if not stat.S_ISCHR(mode) or number == errno.ENOTTY:
        return DeviceError(f"{path} is no serial port", expected=_ports())
    if number in (errno.EACCES, errno.EPERM):
        return DeviceError(f"no permission to open {path}", remedy=_permission(path))
    if number in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK):
        user = _user_of(path)
        return DeviceError(f"{path} is in use" + (f" by {user}" if user else " by another program"),
                           remedy="close that program")
    if isinstance(error, ValueError):
        return DeviceError(f"{path} does not do {baud} baud", remedy="give another baud=")
    return DeviceError(f"{path} cannot be opened: {error}", expected=_ports())


def _ports() -> str:
    """The ports of this machine, with the devices' names where USB gives them."""
    from serial.tools.list_ports import comports

    ports = sorted(comports(), key=lambda port: str(port.device))
    known = ", ".join(f"{p.device} ({p.description})" if p.hwid != "n/a" else p.device for p in ports)
    return f"one of {known}" if known else "a serial port, of which this machine has none now"


def _permission(path: str) -> str:
    """How to get at a port: its group, or a udev rule where its group is root's."""
    import grp

    group = ""
    with suppress(OSError, KeyError):
        found = os.stat(path)
        group = grp.getgrgid(found.st_gid).gr_name if found.st_mode & stat.S_IRGRP else ""
    if group and group != "root":
        return f"run: sudo usermod -aG {group} $USER, then log in again"
    return ('write SUBSYSTEM=="tty", GROUP="dialout", MODE="0660" into /etc/udev/rules.d/60-serial.rules, '
            "run: sudo udevadm control --reload && sudo udevadm trigger, and sudo usermod -aG dialout $USER, then log in again")


def _user_of(path: str) -> str:
    """Name and number of a process that has the port open, as far as we may look."""
    target = os.path.realpath(path)
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(entry) != target or int(entry.parts[2]) == os.getpid():
                continue
            if os.path.samestat(os.stat(entry), os.stat(target)):  # a container may have a port of the same name
                name = (Path("/proc") / entry.parts[2] / "comm").read_text().strip()
                return f"{name} (process {entry.parts[2]})"
    return ""
