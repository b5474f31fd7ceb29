"""The bounded queue between a link and whoever reads it: when it is full the oldest samples go, and are counted."""

from __future__ import annotations

import asyncio
from collections import deque

from firmware_bridge.link.events import Item, Overflow, Sample
from firmware_bridge.link.wakeup import Wakeup

__all__ = ["BoundedQueue"]


class BoundedQueue:
    """Items in order. ``put`` never waits; a reader that is too slow finds an :class:`Overflow` before the rest.

    Args:
        device: for the :class:`Overflow` item.
        limit: items that wait at most.
        wakeup: what the reader sleeps on; links may share one.
    """

    dropped: int

    def __init__(self, device: str, limit: int, wakeup: Wakeup | None = None) -> None:
        self.dropped = 0
        self.wakeup: Wakeup = wakeup or Wakeup()
        self._device = device
        self._limit, self._half = limit, limit // 2
        self.waiting: deque[Item] = deque()
        """What waits, oldest first; to look at only."""
        self._unreported = 0
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self.waiting)

    def put(self, item: Item) -> None:
        """Append; at the limit drop the oldest sample (an event only where nothing but events waits). An event wakes the reader;
        that bytes have come is said by whoever takes them."""
        waiting = len(self.waiting)
        if waiting >= self._limit:
            self._drop()
        self.waiting.append(item)
        if waiting >= self._half:
            self._room.clear()
        if type(item) is not Sample:
            self.wakeup.set()

    def drain(self) -> list[Item]:
        """Everything that waits, oldest first."""
        if not self.waiting:
            return []
        items = list(self.waiting)
        self.waiting.clear()
        self._room.set()
        if self._unreported:
            items.insert(0, Overflow(self._device, items[0].host_ns, self._unreported))
            self._unreported = 0
        return items

    async def room(self) -> None:
        """Wait until less than half of the limit waits: for a source that can be held up, such as a file."""
        await self._room.wait()

    def _drop(self) -> None:
        for index, item in enumerate(self.waiting):
            if isinstance(item, Sample):
                del self.waiting[index]
                break
        else:
            self.waiting.popleft()
        self.dropped += 1
        self._unreported += 1
