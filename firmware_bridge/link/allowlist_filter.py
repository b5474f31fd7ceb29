"""Who may speak on a link: nobody who is not enrolled is handed over."""

from __future__ import annotations

from collections.abc import Callable

from edgeskel.errors import DeviceError
from firmware_bridge.device_allowlist import DeviceAllowlist
from firmware_bridge.link.bounded_queue import BoundedQueue
from firmware_bridge.link.events import DeviceRefused

__all__ = ["AllowlistFilter"]

MOST_REFUSED = 64
"""Strangers of one link that are named; more are refused all the same."""


class AllowlistFilter:
    """Lets one device in, or several senders each for itself.

    Args:
        address: names the link in messages.
        allowlist: who may speak; None lets everybody in.
        queue: takes :class:`~firmware_bridge.link.DeviceRefused`, once for each stranger.
        clock: nanoseconds.
    """

    def __init__(self, address: str, allowlist: DeviceAllowlist | None, queue: BoundedQueue, clock: Callable[[], int]) -> None:
        self.identity: str | None = None
        """Who the device is (see :mod:`firmware_bridge.device_allowlist`), once it is known."""
        self.admitted: bool = allowlist is None
        """Whether what it sends may be handed over."""
        self._address, self._allowlist, self._queue, self._clock = address, allowlist, queue, clock
        self._refused: set[str] = set()
        self._end: Callable[[BaseException | None], None] | None = None

    def open(self, end: Callable[[BaseException | None], None]) -> None:
        """A connection begins, and it is not known to whom; ``end`` ends it."""
        self.identity, self.admitted, self._end = None, self._allowlist is None, end

    def close(self) -> None:
        """The connection has ended."""
        self._end = None

    def know(self, identity: str) -> None:
        """Who the device is, by what the transport or the device itself says; ends the connection if it is a stranger."""
        self.identity = identity
        if self._allowlist is None:
            return
        self.admitted = self._allowlist.admits(identity)
        if not self.admitted:
            self._refuse(identity)
            if self._end is not None:
                self._end(DeviceError(f"{self._address} is {identity}, which is not enrolled",
                                      expected="a device that was enrolled", remedy=f"enrol {identity} first"))

    def admit(self, channel: str) -> bool:
        """Whether the sender of a datagram may speak."""
        if self._allowlist is None:
            return True
        self.admitted = self._allowlist.admits(f"udp:{channel}")
        if not self.admitted:
            self._refuse(f"udp:{channel}")
        return self.admitted

    def _refuse(self, identity: str) -> None:
        if identity not in self._refused and len(self._refused) < MOST_REFUSED:
            self._refused.add(identity)
            self._queue.put(DeviceRefused(self._address, self._clock(), identity))
