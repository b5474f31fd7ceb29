"""An event loop that may be told to look at what has come less often.

Devices send a packet each, thousands in a second together. Where nobody waits for any of them just now, those that come within two
milliseconds are read in one turn of the loop instead of a turn each, which is most of what they cost.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import time
from typing import Any

__all__ = ["CoalescingSelector", "new_loop"]


class CoalescingSelector(selectors.DefaultSelector):
    """Waits for files and sockets as the system's best selector does, and lets what comes gather for a while before it looks."""

    gather_s: float = 0.0
    """Seconds; timers of the loop are kept all the same. 0 looks at once."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See :meth:`selectors.BaseSelector.select`."""
        if self.gather_s and (timeout is None or timeout > 0):
            pause = self.gather_s if timeout is None else min(self.gather_s, timeout)
            time.sleep(pause)
            timeout = None if timeout is None else timeout - pause
        found: list[Any] = super().select(timeout)
        return found


def new_loop() -> tuple[asyncio.AbstractEventLoop, CoalescingSelector]:
    """A loop, and the selector that it looks with; on Windows, whose loops have none, one that changes nothing."""
    selector = CoalescingSelector()
    if sys.platform == "win32":
        return asyncio.new_event_loop(), selector
    return asyncio.SelectorEventLoop(selector), selector
