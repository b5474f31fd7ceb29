"""Objects with properties that a simulated service shows on a D-Bus, and its messages, sent as fast as the bus takes them."""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import Sequence
from typing import Any

__all__ = ["BusObjects", "answer", "refusal"]

MANAGER, PROPERTIES = "org.freedesktop.DBus.ObjectManager", "org.freedesktop.DBus.Properties"

Values = dict[str, tuple[str, Any]]
"""Property -> (its D-Bus signature, its value)."""


class BusObjects:
    """What there is to see of a service; every change is announced."""

    def __init__(self) -> None:
        self.bus: Any = None
        """dbus-fast's connection; None while the service is not there."""
        self.objects: dict[str, dict[str, Values]] = {}
        """Path -> interface -> properties."""
        self.mute = False
        """Announce nothing, as a service that hangs."""
        self._outgoing: deque[Any] = deque()

    def clear(self) -> None:
        """Forget the objects and what was not sent yet, without a word."""
        self._outgoing.clear()
        self.objects = {}

    def managed(self) -> dict[str, dict[str, dict[str, Any]]]:
        """All objects, as GetManagedObjects gives them."""
        return {path: {name: _variants(values) for name, values in interfaces.items()}
                for path, interfaces in self.objects.items() if interfaces}

    def add(self, path: str, interfaces: dict[str, Values]) -> None:
        """A new object."""
        self.objects[path] = interfaces
        self.signal("/", MANAGER, "InterfacesAdded", "oa{sa{sv}}",
                    [path, {name: _variants(values) for name, values in interfaces.items()}])

    def change(self, path: str, interface: str, values: Values, *, keep: bool = True) -> None:
        """Properties have other values; with ``keep`` False that is announced only."""
        if keep and path in self.objects:
            self.objects[path].setdefault(interface, {}).update(values)
        self.signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, _variants(values), []])

    def signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        """Send a signal."""
        from dbus_fast import Message

        if self.bus is not None and not self.mute:
            self.send(Message.new_signal(path, interface, member, signature, body))

    def send(self, message: Any) -> None:
        """Send a message after those that wait."""
        self._outgoing.append(message)
        if len(self._outgoing) == 1:
            self._flush()

    def _flush(self) -> None:
        """Write while the bus takes it. dbus-fast (5.2) ends a connection whose socket is full for a moment."""
        bus = self.bus
        while self._outgoing and bus is not None and bus.connected:
            if not select.select((), (bus._fd,), (), 0)[1]:
                asyncio.get_running_loop().call_later(0.001, self._flush)
                return
            # The future fails when the bus goes; nobody waits for it.
            bus.send(self._outgoing.popleft()).add_done_callback(lambda sent: sent.cancelled() or sent.exception())
        self._outgoing.clear()


def answer(message: Any, signature: str = "", body: Sequence[Any] = ()) -> Any:
    """The reply to a method call."""
    from dbus_fast import Message

    return Message.new_method_return(message, signature, list(body))


def refusal(message: Any, name: str, text: str) -> Any:
    """The reply of BlueZ's error ``name``."""
    from dbus_fast import Message

    return Message.new_error(message, f"org.bluez.Error.{name}", text)


def _variants(values: Values) -> dict[str, Any]:
    from dbus_fast import Variant

    return {name: Variant(signature, value) for name, (signature, value) in values.items()}
