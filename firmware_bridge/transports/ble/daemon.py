"""Whether bluetoothd is there, and what it holds: the owner of ``org.bluez`` on the system bus, on a connection of our own.

bleak does not watch it: when the daemon is killed nothing is reported and every connection looks alive. D-Bus tells at
once who has lost a name (D-Bus specification, ``org.freedesktop.DBus.NameOwnerChanged``).
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from firmware_bridge.timeouts import within
from firmware_bridge.transports.ble.held import DEVICE, HeldLink, links_in

__all__ = ["DaemonWatch"]

log: logging.Logger = logging.getLogger(__name__)

NAME = "org.bluez"
CONNECT_S = 2.0
_RULE = ("type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
         f"member='NameOwnerChanged',arg0='{NAME}'")


class DaemonWatch:
    """Calls ``gone(reason)`` when bluetoothd or the bus disappears.

    Elsewhere than on Linux, or without a bus, there is nothing to watch: :attr:`present` is then None.
    """

    def __init__(self, gone: Callable[[str], None]) -> None:
        self.present: bool | None = None
        self._gone = gone
        self._bus: Any = None
        self._ended: asyncio.Task[None] | None = None
        self._appeared = asyncio.Event()
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Begin to watch, or again after the bus was lost. Never raises."""
        async with self._starting:
            await self._start()

    async def _start(self) -> None:
        if sys.platform != "linux" or (self._bus is not None and self._bus.connected):
            return
        await self.stop()
        from dbus_fast import BusType, Message
        from dbus_fast.aio import MessageBus

        bus = MessageBus(bus_type=BusType.SYSTEM)
        try:
            # A bus that dies just now takes the connection and never answers.
            await within(CONNECT_S, bus.connect(), asyncio.sleep)
            bus.add_message_handler(self._hear)

            async def ask(member: str, body: str) -> Any:
                return await _call(bus, Message(
                    destination="org.freedesktop.DBus", path="/org/freedesktop/DBus", interface="org.freedesktop.DBus",
                    member=member, signature="s", body=[body]))

            await ask("AddMatch", _RULE)
            self._set(bool((await ask("NameHasOwner", NAME))[0]))
        except Exception as error:  # no bus, no permission: scanning will say so in its own words
            log.debug("bluetoothd is not watched: %s", error)
            bus.disconnect()
            return
        self._bus = bus
        self._ended = asyncio.create_task(self._watch_bus(bus), name="watch of the D-Bus system bus")

    async def appeared(self) -> None:
        """Wait until the daemon is there."""
        await self._appeared.wait()

    async def held(self, adapter: str = "") -> list[HeldLink]:
        """The devices that are connected to this machine, whoever connected them; empty where that cannot be known."""
        objects = await self._ask("/", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
        return [] if objects is None else links_in(objects[0], adapter)

    async def disconnect(self, link: HeldLink) -> bool:
        """End the link of a device; whether the daemon did so."""
        return await self._ask(link.path, DEVICE, "Disconnect") is not None

    async def _ask(self, path: str, interface: str, member: str) -> Any:
        """Call a method of BlueZ without arguments; None where it cannot be asked or refuses."""
        bus = self._bus
        if bus is None or not self.present:
            return None
        from dbus_fast import Message

        try:
            return await _call(bus, Message(destination=NAME, path=path, interface=interface, member=member))
        except Exception as error:  # the daemon or the bus has gone meanwhile: who searches will hear of that
            log.debug("%s of %s: %s", member, path, error)
            return None

    async def stop(self) -> None:
        """Let go of the bus."""
        ended, self._ended = self._ended, None
        bus, self._bus = self._bus, None
        if ended is not None:
            ended.cancel()
            with suppress(asyncio.CancelledError):
                await ended
        if bus is not None:
            bus.disconnect()
        self.present = None

    def _hear(self, message: Any) -> None:
        if message.member == "NameOwnerChanged" and message.body and message.body[0] == NAME:
            was, now = message.body[1], message.body[2]
            self._set(bool(now))
            if was:  # also where a new daemon takes over: it knows nothing of our connections
                self._gone("bluetoothd has gone")

    def _set(self, present: bool) -> None:
        self.present = present
        if present:
            self._appeared.set()
        else:
            self._appeared.clear()

    async def _watch_bus(self, bus: Any) -> None:
        with suppress(Exception):
            await bus.wait_for_disconnect()
        self.present = None
        self._appeared.clear()
        self._gone("the D-Bus system bus has gone")


async def _call(bus: Any, message: Any) -> Any:
    """The body of the reply to a method call, which comes soon or not at all."""
    from dbus_fast import MessageType

    reply = await within(CONNECT_S, bus.call(message), asyncio.sleep)
    if reply is None or reply.message_type == MessageType.ERROR:
        raise OSError(f"{message.member}: {reply.body if reply else 'no reply'}")
    return reply.body
