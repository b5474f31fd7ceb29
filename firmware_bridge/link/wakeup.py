"""What the reader of one or several links sleeps on, so that it need not wake for every reading."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection

__all__ = ["Wakeup"]

NOBODY = ""
"""An address that no link has: who waits for it waits in vain."""


class Wakeup:
    """Links tell it what has come, and the reader waits. In one event loop; nothing here waits for a reader."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.urgent = False
        """Whether something happened that is not to wait, since the reader has taken everything."""
        self._absent: set[str] = set()
        """Devices whose readings the reader waits for; empty where any will do."""

    def set(self) -> None:
        """Something happened that is not to wait: wake the reader."""
        self.urgent = True
        self._event.set()

    def nudge(self) -> None:
        """Let the reader look again at what it waits for."""
        self._event.set()

    def clear(self) -> None:
        """The reader has taken everything."""
        self.urgent = False
        self._event.clear()

    def arrived(self, device: str) -> None:
        """A reading of a device has come, or bytes that will be one. Wakes the reader, unless it waits for others, too."""
        if self._absent:
            self._absent.discard(device)
            if self._absent:
                return
        self._event.set()

    async def wait(self, until_s: float = math.inf, devices: Collection[str] | None = None, unread: Collection[str] = ()) -> None:
        """Wait for what a reader needs next.

        Args:
            until_s: second of the loop's clock (``time.monotonic()``) after which it goes on in any case.
            devices: addresses; it goes on when each of them has sent something that was not taken. None: when any device has.
                None of them (``()``): the time alone counts.
            unread: addresses of links of which something waits already.

        An event (a device that was lost, say) wakes it, too.
        """
        absent = set(devices or ()).difference(unread)
        if devices is None and unread or devices and not absent:
            return
        if devices is not None:
            self._absent = absent or {NOBODY}
        timer = None
        if until_s < math.inf:
            timer = asyncio.get_running_loop().call_at(until_s, self.nudge)
        try:
            await self._event.wait()
        finally:
            self._absent = set()
            if timer is not None:
                timer.cancel()
