"""An event loop whose clock jumps: an hour of timers runs in the time that their callbacks take.

    def test_backoff():
        async def scenario(clock): ...
        run(scenario)

Only timers are virtual. What waits for a socket, a process or a thread waits in real time, and while it does the clock
jumps ahead to the next timer; keep those out of a scenario.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["VirtualLoop", "run"]

Result = TypeVar("Result")


class _JumpingSelector(selectors.DefaultSelector):
    """Never sleeps: where it would, the loop's clock moves on instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:  # no timer at all: only the outside can wake the loop
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self.loop.advance(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time. It begins at 1 s, so that no time stamp is 0."""

    def __init__(self) -> None:
        self._virtual_ns = 1_000_000_000
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Virtual seconds."""
        return self._virtual_ns / 1e9

    def time_ns(self) -> int:
        """Virtual nanoseconds: what stands for ``time.monotonic_ns`` in a scenario."""
        return self._virtual_ns

    def advance(self, seconds: float) -> None:
        """Let so much time pass, rounded up to a nanosecond so that the timer that is waited for is due."""
        self._virtual_ns += max(1, round(seconds * 1e9))


def run(scenario: Callable[[Callable[[], int]], Coroutine[Any, Any, Result]]) -> Result:
    """Run ``scenario(clock)`` to its end in virtual time; ``clock()`` gives nanoseconds.

    Raises:
        AssertionError: the scenario left tasks behind, or a callback raised.
    """
    loop = VirtualLoop()
    failures: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))
    try:
        result = loop.run_until_complete(scenario(loop.time_ns))
        for _ in range(3):  # cancelled timers need a turn to end
            loop.run_until_complete(asyncio.sleep(0))
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        assert not left, f"tasks left behind: {left}"
        assert not failures, f"a callback failed: {failures}"
        return result
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
