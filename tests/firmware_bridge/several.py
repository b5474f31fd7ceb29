"""Several links started, read and closed together, as tests of many devices need them."""

from __future__ import annotations

import asyncio
from types import TracebackType

from firmware_bridge.link import Item, Link, LinkHealth


class Several:
    def __init__(self, *links: Link) -> None:
        self.links = links

    async def __aenter__(self) -> Several:
        for link in self.links:
            link.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await asyncio.gather(*(link.close() for link in self.links))

    @property
    def health(self) -> list[LinkHealth]:
        return [link.health for link in self.links]

    def drain(self) -> list[Item]:
        return [item for link in self.links for item in link.drain()]
