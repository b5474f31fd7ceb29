"""Senders of datagrams on this machine: a tracker that counts, loses, repeats and reorders, and one that floods."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["NetworkModel", "UdpPeer"]


@dataclass(frozen=True)
class NetworkModel:
    """What happens to datagrams on their way: probabilities of loss, repetition, and of being overtaken by the next."""

    loss: float = 0.0
    repeat: float = 0.0
    reorder: float = 0.0
    seed: int = 0


class UdpPeer:
    """Sends to ``127.0.0.1:port``.

    Args:
        port: the receiver's.
        host: the address to send from, in 127.0.0.0/8 (Linux lets all of them be used).
        network: see :class:`NetworkModel`.

    ``lost`` are the numbers of the datagrams that the network swallowed; ``delivered`` is how many it handed over, repeated ones
    counted as often.
    """

    sent: int
    delivered: int

    def __init__(self, port: int, *, host: str = "127.0.0.1", network: NetworkModel | None = None) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.setblocking(False)
        self._receiver = ("127.0.0.1", port)
        self.network = network or NetworkModel()
        self._chance = random.Random(self.network.seed)
        self._held: bytes | None = None
        self.lost: list[int] = []
        self.sent = self.delivered = 0

    @property
    def channel(self) -> str:
        """As the receiver sees it."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def send(self, data: bytes) -> None:
        """One datagram through the network."""
        number, self.sent = self.sent, self.sent + 1
        if self._chance.random() < self.network.loss:
            self.lost.append(number)
            return
        if self._held is None and self._chance.random() < self.network.reorder:
            self._held = data
            return
        self._put(data)
        if self._chance.random() < self.network.repeat:
            self._put(data)
        if self._held is not None:
            self._put(self._held)
            self._held = None

    async def run(self, packet: Callable[[int], bytes], rate_hz: float, count: int) -> None:
        """Send ``packet(0)``, ``packet(1)``, ... at a rate."""
        begin = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, begin + number / rate_hz - time.monotonic()))
            self.send(packet(number))

    async def answer(self, timeout_s: float = 2.0) -> bytes:
        """The next datagram that the receiver sent back.

        Raises:
            TimeoutError: none came.
        """
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.sock_recv(self._socket, 65535), timeout_s)
        except asyncio.TimeoutError as error:
            raise TimeoutError(f"no answer within {timeout_s:g} s") from error

    def flood(self, data: bytes, count: int) -> int:
        """Send as fast as the kernel takes them; returns how many it took."""
        taken = 0
        for _ in range(count):
            try:
                self._socket.sendto(data, self._receiver)
                taken += 1
            except BlockingIOError:
                continue
        return taken

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _put(self, data: bytes) -> None:
        self.delivered += 1
        self._socket.sendto(data, self._receiver)
