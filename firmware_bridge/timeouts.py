"""Await something for a limited time, with a sleep that can be replaced by virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["Sleep", "within"]

Result = TypeVar("Result")
Sleep = Callable[[float], Awaitable[None]]

_abandoned: set[asyncio.Future[Any]] = set()


async def within(seconds: float, work: Coroutine[Any, Any, Result], sleep: Sleep) -> Result:
    """The result of ``work``.

    Unlike :func:`asyncio.wait_for` this does not wait for work that ignores its cancellation: the caller is free after
    ``seconds`` whatever the library underneath does (bleak's ``disconnect`` hangs when the daemon was killed).

    Raises:
        TimeoutError: it took longer; it was cancelled.
    """
    task = asyncio.ensure_future(work)
    timer = asyncio.ensure_future(sleep(seconds))
    try:
        await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise TimeoutError(f"no end after {seconds:g} s")
    finally:
        timer.cancel()
        if not task.done():
            task.cancel()
            _abandoned.add(task)
            task.add_done_callback(_forget)


def _forget(task: asyncio.Future[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # seen: the caller has gone on long ago
