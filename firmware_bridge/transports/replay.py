"""A recording as a transport: ``replay:walk.mcap?device=ble:left-wrist&speed=2``.

The bytes go through the same codecs and links as if they came now. Paced (``speed=1`` and others) they carry present
times; ``speed=0`` plays as fast as the reader takes them, and they keep the times that they were recorded with, so that
the same file gives the same result each time.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property

from edgeskel.errors import CorruptFile, EdgeskelError, UsageError
from firmware_bridge.address import split_address
from firmware_bridge.mcap import McapRecording, RecordedSource
from firmware_bridge.samples import Chunk
from firmware_bridge.transports import Lost, Received, Traits, Transport

__all__ = ["ReplayTransport", "open_transport"]

OPTIONS = ("device", "protocol", "speed")
TURN = 64
"""Chunks at once before others have their turn."""


class ReplayTransport(Transport):
    """One recorded device.

    Args:
        path: an MCAP recording.
        device: as it was called when recorded; "" for the only one.
        speed: 1 as it was, 2 twice as fast, 0 as fast as the reader takes it.
        clock, sleep: replaced by tests in virtual time.
    """

    def __init__(self, path: str, device: str = "", speed: float = 1.0, *,
                 clock: Callable[[], int] = time.monotonic_ns,
                 sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.address: str = f"replay:{path}"
        self._path, self._device, self._speed = path, device, speed
        self._clock, self._sleep = clock, sleep
        self._player: asyncio.Task[None] | None = None

    @cached_property
    def source(self) -> RecordedSource:
        """Who was recorded.

        Raises:
            CorruptFile, DataError: it is not a recording.
            UsageError: no such device in it, or several and none was chosen.
        """
        sources = McapRecording(self._path).sources()
        devices = list(dict.fromkeys(source.device for source in sources))
        if not devices:
            raise UsageError(f"{self._path} holds no bytes of devices", expected="a recording of what devices sent")
        if not self._device and len(devices) > 1:
            raise UsageError(f"{self._path} holds the bytes of {len(devices)} devices",
                             expected="device= with one of " + ", ".join(devices),
                             remedy=f"replay:{self._path}?device={devices[0]}")
        if self._device and self._device not in devices:
            raise UsageError(f"{self._path} holds no bytes of {self._device!r}",
                             expected="one of " + ", ".join(devices))
        return next(source for source in sources if source.device == (self._device or devices[0]))

    @property
    def protocol(self) -> str:
        """The codec that the recording names; raises as :attr:`source`."""
        return self.source.protocol

    @property
    def codec_options(self) -> dict[str, str]:
        """Options of the address that was recorded, the codec's among them; raises as :attr:`source`."""
        return split_address(self.source.device).options

    @property
    def identity(self) -> str | None:
        """Who it was, as recorded."""
        return self.source.identity or None

    @property
    def traits(self) -> Traits:
        """Where datagrams were recorded, each sender counts for itself, and they may have overtaken each other."""
        datagrams = self.source.device.startswith("udp:")
        return Traits(ordered=not datagrams, senders_apart=datagrams, on_silence="ignore")

    async def open(self, received: Received, lost: Lost) -> None:
        """Begin to play; raises as :attr:`source`."""
        self._player = asyncio.create_task(self._play(self.source.device, received, lost))

    async def write(self, data: bytes, channel: str = "") -> None:
        """Goes nowhere: what was recorded does not answer."""

    async def close(self) -> None:
        """Stop."""
        player, self._player = self._player, None
        if player is not None and player is not asyncio.current_task():
            player.cancel()
            await asyncio.wait({player})

    async def _play(self, device: str, received: Received, lost: Lost) -> None:
        begin_ns = first_ns = None
        try:
            recording = McapRecording(self._path)
            for count, (source, chunk) in enumerate(recording.chunks()):
                if source.device != device:
                    continue
                if self.room is not None:
                    await self.room()
                if count % TURN == 0:
                    await asyncio.sleep(0)
                if not self._speed:
                    received(chunk)
                    continue
                if begin_ns is None or first_ns is None:
                    begin_ns, first_ns = self._clock(), chunk.host_ns
                due_ns = begin_ns + round((chunk.host_ns - first_ns) / self._speed)
                wait_ns = due_ns - self._clock()
                if wait_ns > 0:
                    await self._sleep(wait_ns / 1e9)
                received(Chunk(chunk.data, due_ns, chunk.channel))
        except EdgeskelError as error:
            lost(error)
            return
        lost(None if recording.damage is None else CorruptFile(
            self._path, recording.damage, expected="a recording that was closed",
            remedy="everything before that was played"))


def open_transport(place: str, options: Mapping[str, str]) -> ReplayTransport:
    """The transport of ``replay:FILE``.

    Options: ``device`` picks one of several; ``speed`` is 1 for as it was, 0 for as fast as possible; ``protocol`` is
    known from the recording and may be overruled.

    Raises:
        UsageError: a speed that is none.
    """
    text = options.get("speed", "1")
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not (math.isfinite(speed) and speed >= 0):
        raise UsageError(f"replay: speed={text}", expected="a number from 0 (as fast as possible)")
    return ReplayTransport(place, options.get("device", ""), speed)
