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

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from edgeskel.errors import UnknownChoice, UsageError
from firmware_bridge.address import split_address
from firmware_bridge.codecs import names, options_of
from firmware_bridge.samples import Chunk

__all__ = ["DEFAULT_PROTOCOL", "TRANSPORTS", "Traits", "Transport", "Received", "Lost", "open_transport"]

Received = Callable[[Chunk], None]
"""Called in the loop for every chunk."""
Lost = Callable[[BaseException | None], None]
"""Called in the loop, once, when an open transport ends by itself; with the reason, or None at the end of a replay."""


@dataclass(frozen=True)
class Traits:
    """What a way is like, for the link that uses it.

    Args:
        ordered: False where bytes may overtake each other (datagrams).
        senders_apart: ``Chunk.channel`` is a sender with a codec and counters of its own.
        together: chunks are small and many, and hardly ever answered: those that wait may be decoded at once when they are read.
        on_silence: what a device's silence means: ``reopen`` the way, ``report`` it where nothing can be opened anew, ``ignore`` it
            where pauses are recorded.
        bounds_opening: each step of opening has a limit of its own, and none is set from outside.
    """

    ordered: bool = True
    senders_apart: bool = False
    together: bool = False
    on_silence: Literal["reopen", "report", "ignore"] = "reopen"
    bounds_opening: bool = False


class Transport(ABC):
    """A way to one device (or, for UDP, to several senders)."""

    address: str
    """The address it was opened by, for messages."""
    room: Callable[[], Awaitable[None]] | None = None
    """Set by a link. A source that can be held up, such as a file, awaits it before each piece, for slow readers."""

    @property
    def traits(self) -> Traits:
        """What the way is like."""
        return Traits()

    @property
    def identity(self) -> str | None:
        """``ble:AA:...``, ``serial:NUMBER``: who the device is (see :mod:`firmware_bridge.device_allowlist`), once it is known."""
        return None

    @property
    def most_wait_s(self) -> float:
        """The longest wait before the next attempt to open, where looking again costs nothing (an unplugged port)."""
        return math.inf

    @property
    def refused(self) -> Mapping[str, int]:
        """Hosts whose datagrams are dropped unread, and how many."""
        return {}

    @property
    def protocol(self) -> str | None:
        """What the device speaks, where the way itself knows that."""
        return None

    @property
    def codec_options(self) -> Mapping[str, str]:
        """And with which options of its codec."""
        return {}

    @abstractmethod
    async def open(self, received: Received, lost: Lost) -> None:
        """Connect and listen.

        Raises:
            DeviceError: not there, no permission, busy; the message says what to do.
        """

    @abstractmethod
    async def write(self, data: bytes, channel: str = "") -> None:
        """Send ``data``; ``channel`` is a characteristic or a receiver ``"host:port"``.

        Raises:
            DeviceError: the device is gone.
        """

    @abstractmethod
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
