"""Several links read together, and a link from an address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl

from edgeskel.errors import UnknownChoice, UsageError
from firmware_bridge.codecs import CODECS, create
from firmware_bridge.link.connection import Link
from firmware_bridge.link.events import Health, Item
from firmware_bridge.transports import open_transport

__all__ = ["Links", "open_link", "protocol_of"]

DEFAULT_PROTOCOL = {"serial": "node", "ble": "node"}


def protocol_of(address: str) -> str:
    """The protocol that a device at ``address`` is taken to speak; raises as :func:`open_link`."""
    scheme = address.partition(":")[0]
    protocol = dict(parse_qsl(address.partition("?")[2])).get("protocol") or DEFAULT_PROTOCOL.get(scheme)
    transport = open_transport(address)  # refuses a wrong address now, not at the first attempt
    protocol = protocol or getattr(transport, "protocol", None)
    if not protocol:
        raise UsageError(f"{address} names no protocol", expected="protocol=NAME with NAME one of " + ", ".join(CODECS))
    if protocol not in CODECS:
        raise UnknownChoice("protocol", protocol, CODECS)
    return protocol


def open_link(address: str, *, wake: asyncio.Event | None = None, **options: Any) -> Link:
    """A link for an address such as ``ble:left-wrist?protocol=dot``; nothing is opened until it is started.

    Args:
        address: see :func:`firmware_bridge.transports.open_transport`. ``protocol`` names the codec; serial ports and
            BLE speak ``node`` unless told otherwise, and a recording knows what it holds.
        wake, options: see :class:`Link`.

    Raises:
        UnknownChoice: no such transport, protocol or option.
        UsageError: the protocol is missing, or the address makes no sense.
    """
    protocol = protocol_of(address)
    return Link(address, lambda: create(protocol), lambda: open_transport(address), wake=wake, **options)


class Links:
    """Links of several devices, started and closed together and read in turn, so that none crowds out another.

    Args:
        links: each with the same ``wake`` event, or none of them read by anybody else.
    """

    def __init__(self, links: Sequence[Link]) -> None:
        self.links = tuple(links)
        self._wake = asyncio.Event()
        for link in self.links:
            link.outbox.wake = self._wake

    async def __aenter__(self) -> Links:
        for link in self.links:
            link.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close them all at once."""
        await asyncio.gather(*(link.close() for link in self.links))

    @property
    def health(self) -> list[Health]:
        """One for each link."""
        return [link.health for link in self.links]

    def drain(self) -> list[Item]:
        """What waits in every link, one link after the other. An empty one is not asked: this runs at every wake."""
        return [item for link in self.links if link.outbox.waiting for item in link.drain()]

    async def __aiter__(self) -> AsyncIterator[Item]:
        while True:
            self._wake.clear()
            items = self.drain()
            for item in items:
                yield item
            if not items:
                if all(link.ended for link in self.links):
                    return
                await self._wake.wait()
