"""Ways to a device: bytes in with the moment they arrived, bytes out. One file each, opened by name.

    serial:/dev/ttyUSB0?baud=460800     pyserial
    ble:NAME or ble:ADDRESS             bleak
    udp:127.0.0.1:6969                  a socket; senders are told apart by their address
    replay:walk.mcap                    what was recorded, as if it came now

``protocol=`` names who is spoken to, where the way itself does not say, and options of that protocol's codec may stand beside
the transport's own: ``ble:NAME?protocol=dot&mode=custom-3``.

A transport runs in one asyncio loop. It calls ``received`` as early as it can and never waits there; bounded queues and
what to do when they are full are the link's business (:mod:`firmware_bridge.link`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Protocol

from edgeskel.errors import UnknownChoice, UsageError
from firmware_bridge.address import split_address
from firmware_bridge.codecs import names, options_of
from firmware_bridge.samples import Chunk

__all__ = ["DEFAULT_PROTOCOL", "TRANSPORTS", "Transport", "Received", "Lost", "open_transport"]

Received = Callable[[Chunk], None]
"""Called in the loop for every chunk."""
Lost = Callable[[BaseException | None], None]
"""Called in the loop, once, when an open transport ends by itself; with the reason, or None at the end of a replay."""


class Transport(Protocol):
    """A way to one device (or, for UDP, to several senders)."""

    address: str
    """The address it was opened by, for messages."""

    async def open(self, received: Received, lost: Lost) -> None:
        """Connect and listen.

        Raises:
            DeviceError: not there, no permission, busy; the message says what to do.
        """

    async def write(self, data: bytes, channel: str = "") -> None:
        """Send ``data``; ``channel`` is a characteristic or a receiver ``"host:port"``.

        Raises:
            DeviceError: the device is gone.
        """

    async def close(self) -> None:
        """Let go. Never raises, never takes longer than two seconds, may be called twice."""


# scheme -> "module:function" with function(place, options) -> Transport; the module's OPTIONS are the names of its options
TRANSPORTS: dict[str, str] = {
    "serial": "firmware_bridge.transports.serial:open_transport",
    "ble": "firmware_bridge.transports.ble.transport:open_transport",
    "udp": "firmware_bridge.transports.udp:open_transport",
    "replay": "firmware_bridge.transports.replay:open_transport",
}

DEFAULT_PROTOCOL = {"serial": "node", "ble": "node"}
"""What is spoken where an address does not say."""


def open_transport(address: str) -> Transport:
    """The transport of an address; nothing is opened yet. Options of the protocol's codec may be there and are not looked into.

    Raises:
        UnknownChoice: no such scheme, or no such option of scheme or protocol; the message lists those that there are.
        UsageError: not an address, or a value that makes no sense.
    """
    scheme, place, options = split_address(address)
    if not scheme or not (place or options):
        raise UsageError(f"{address!r} is not the address of a device", expected="SCHEME:PLACE, with SCHEME one of "
                         + ", ".join(TRANSPORTS))
    if scheme not in TRANSPORTS:
        raise UnknownChoice("transport", scheme, TRANSPORTS)
    module, _, function = TRANSPORTS[scheme].partition(":")
    build: Callable[[str, Mapping[str, str]], Transport] = getattr(import_module(module), function)
    own: tuple[str, ...] = getattr(import_module(module), "OPTIONS")  # noqa: B009 (mypy knows no attribute of a module by name)
    protocol = options.get("protocol", DEFAULT_PROTOCOL.get(scheme, ""))
    of_codec = tuple(options_of(protocol)) if protocol in names() else ()
    for name in options:
        if name not in own + of_codec:
            raise UnknownChoice(f"option of {scheme}" + (f" with protocol={protocol}" if of_codec else ""), name, own + of_codec)
    return build(place, {name: value for name, value in options.items() if name in own})
