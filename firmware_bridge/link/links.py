"""Several links read together, and a link from an address."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Collection, Sequence
from types import TracebackType
from typing import Any

from edgeskel.errors import UsageError
from firmware_bridge.address import split_address
from firmware_bridge.codecs import check_way, create, names, options_of
from firmware_bridge.link.connection import Link
from firmware_bridge.link.events import Health, Item
from firmware_bridge.transports import DEFAULT_PROTOCOL, open_transport

__all__ = ["Links", "open_link", "protocol_of"]

NOBODY = ""
"""An address that no link has: who waits for it waits in vain."""


def protocol_of(address: str) -> str:
    """The protocol that a device at ``address`` is taken to speak; raises as :func:`open_link`."""
    return _spoken(address)[0]


def _spoken(address: str) -> tuple[str, dict[str, str]]:
    """Protocol and options of its codec."""
    scheme, _, options = split_address(address)
    transport = open_transport(address)  # refuses a wrong address now, not at the first attempt
    protocol = options.get("protocol") or DEFAULT_PROTOCOL.get(scheme) or getattr(transport, "protocol", None)
    if not protocol:
        raise UsageError(f"{address} names no protocol", expected="protocol=NAME with NAME one of " + ", ".join(names()))
    check_way(protocol, scheme)
    options = getattr(transport, "codec_options", {}) | options
    chosen = {name: value for name, value in options.items() if name in options_of(protocol)}
    create(protocol, chosen)  # likewise
    return protocol, chosen


def open_link(address: str, *, wake: asyncio.Event | None = None, **options: Any) -> Link:
    """A link for an address such as ``ble:left-wrist?protocol=dot``; nothing is opened until it is started.

    Args:
        address: see :func:`firmware_bridge.transports.open_transport`. ``protocol`` names the codec, whose options (see
            :func:`firmware_bridge.codecs.options_of`) stand beside it; serial ports and BLE speak ``node`` unless told
            otherwise, and a recording knows what it holds.
        wake, options: see :class:`Link`.

    Raises:
        UnknownChoice: no such transport, protocol or option.
        UsageError: the protocol is missing, or the address or a value in it makes no sense.
    """
    protocol, chosen = _spoken(address)
    return Link(address, lambda: create(protocol, chosen), lambda: open_transport(address), wake=wake, **options)


class Links:
    """Links of several devices, started and closed together and read in turn, so that none crowds out another.

    Args:
        links: each with the same ``wake`` event, or none of them read by anybody else.
    """

    def __init__(self, links: Sequence[Link]) -> None:
        self.links: tuple[Link, ...] = tuple(links)
        self._wake = asyncio.Event()
        self._absent: set[str] = set()
        for link in self.links:
            link.outbox.wake, link.outbox.absent = self._wake, self._absent

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
        items = [item for link in self.links if link.unread for item in link.drain()]
        self._wake.clear()  # nothing waits any more
        return items

    async def wait(self, until_s: float = math.inf, devices: Collection[str] | None = None) -> None:
        """Wait for what a reader needs next, so that it is not woken for every reading.

        Args:
            until_s: host second (``time.monotonic()``, the loop's clock) after which it goes on in any case, a millisecond
                late at most.
            devices: addresses; it goes on when each of them has sent something that was not drained. None: when any device
                has. None of them (``()``): the time alone counts.

        An event (a device that was lost, say) wakes it, too, and so does any reading of a device whose bytes are decoded as
        they come: over serial ports and UDP.
        """
        unread = {link.address for link in self.links if link.unread}
        absent = set(devices or ()) - unread
        if devices is None and unread or devices and not absent:
            return
        if devices is not None:
            self._absent.update(absent or (NOBODY,))
        timer = None
        if until_s < math.inf:
            timer = asyncio.get_running_loop().call_at(until_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            self._absent.clear()
            if timer is not None:
                timer.cancel()

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
