"""``camera:udp?port=7000&layout=azure-kinect&from=10.0.0.7``: any camera, any language, over datagrams of JSON.

One datagram is one frame, as :mod:`~firmware_bridge.cameras.datagrams` describes. Who may speak is as for wearables
(:mod:`firmware_bridge.transports.udp`): this machine only, unless ``host`` and ``from`` say otherwise. Of several listed
senders the first to speak is heard until it has been silent for a second.

==============  ======================================================================================================
``port``        where to listen; ``host=127.0.0.1`` by default
``from``        who may send: addresses, with or without port, separated by commas
``layout``      what is sent: a name of :data:`firmware_bridge.cameras.ADAPTERS`
``units``       ``axes``, ``handedness``, ``intrinsics``: where the layout's maker has not fixed them
``rate``        frames per second, nominally (30)
``silence``     seconds without a datagram after which the source gives up (10; 0 waits for ever)
==============  ======================================================================================================
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

from edgeskel.errors import DeviceError, UsageError
from edgeskel.skeleton import Frame, Topology
from firmware_bridge.cameras.convert import FrameConverter, RefusedFrame
from firmware_bridge.cameras.datagrams import parse
from firmware_bridge.cameras.frame_validator import FrameValidator, HostClock
from firmware_bridge.cameras.options import CONVERSION, above_zero, at_least_zero, door_of
from firmware_bridge.recording import Span
from firmware_bridge.samples import Chunk
from firmware_bridge.source import options_of
from firmware_bridge.transports import Transport
from firmware_bridge.transports.udp import UdpTransport, open_transport

__all__ = ["UdpCamera", "open_camera"]

KEPT = 64
"""Datagrams that wait for a slow reader: two seconds of a camera."""
PATIENCE_S = 1.0
"""After which another listed sender may take over."""


class UdpCamera:
    """Frames out of datagrams; see the module's docstring.

    Args:
        transport: whom to listen to.
        door: how to convert what comes.
        rate_hz: nominal.
        silence_s: seconds without a datagram after which iterating raises; 0 never.
    """

    spans: tuple[Span, ...] = ()

    def __init__(self, transport: UdpTransport, converter: FrameConverter, *, rate_hz: float = 30.0,
                 silence_s: float = 10.0) -> None:
        self.topology: Topology = converter.topology
        self.rate_hz = rate_hz
        self._transport, self._converter, self._silence = transport, converter, silence_s
        self._validator = FrameValidator(f"camera:{transport.address}", converter.topology, converter.metres)
        self._listener = _FrameListener(transport)
        self._sender, self._heard_ns = "", 0
        self._host_time = HostClock()

    @property
    def port(self) -> int:
        """Where it listens, once it is open."""
        return self._transport.port

    @property
    def faults(self) -> Mapping[str, int]:
        """How often each of :data:`firmware_bridge.cameras.FAULTS` was seen."""
        return self._validator.faults

    @property
    def refused(self) -> Mapping[str, int]:
        """Senders that are not listed, and how often each was heard."""
        return self._transport.refused

    def __enter__(self) -> UdpCamera:
        """Listen.

        Raises:
            DeviceError: the port is taken, or the address is not one of this machine.
        """
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more; iterating ends."""
        self._listener.stop()

    def __iter__(self) -> Iterator[Frame]:
        """Frames as they come.

        Raises:
            DeviceError: nothing came for ``silence_s``.
        """
        while not self._listener.stopped():
            chunk = self._listener.next(self._silence)
            if self._listener.dropped:
                lost, self._listener.dropped = self._listener.dropped, 0
                self._validator.fault("overrun", f"{lost} datagrams came while the reader was busy", lost)
            if chunk is None:
                if not self._listener.stopped():
                    raise self._silent()
                return
            frame = self._frame(chunk)
            if frame is not None:
                yield frame

    def _frame(self, chunk: Chunk) -> Frame | None:
        if not self._speaks(chunk):
            return None
        try:
            datagram = parse(chunk.data, len(self.topology.joints))
            moment = chunk.host_ns * 1e-9 if datagram.time is None else self._host_time(datagram.time, chunk.host_ns)
            frame = self._converter.frame(moment, datagram.joints, datagram.states)
        except RefusedFrame as error:
            self._validator.refuse(error)
            return None
        if self._host_time.restarted:
            self._validator.fault("restarted", f"{chunk.channel} says {datagram.time} s")
        if datagram.strange and not self._converter.adapter.nan_is_missing:
            self._validator.fault("nan", f"{datagram.strange} joints or scores that are no numbers", datagram.strange)
        return self._validator.take(frame)

    def _speaks(self, chunk: Chunk) -> bool:
        if chunk.channel != self._sender:
            if self._sender and chunk.host_ns - self._heard_ns < PATIENCE_S * 1e9:
                self._validator.fault("sender", f"{chunk.channel} sends while {self._sender} does")
                return False
            self._sender, self._host_time = chunk.channel, HostClock()
        self._heard_ns = chunk.host_ns
        return True

    def _silent(self) -> DeviceError:
        refused = ", ".join(f"{host} ({count} times)" for host, count in self.refused.items())
        return DeviceError(
            f"camera:{self._transport.address}: nothing came for {self._silence:g} s"
            + (f"; not listed, and so not heard: {refused}" if refused else ""),
            expected="a datagram of JSON for every frame",
            remedy="list the sender with from=" if refused else "start the sender, or check its address and port",
        )


class _FrameListener:
    """Runs a transport in a thread of its own, so that datagrams get their time of arrival while the reader works."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._chunks: deque[Chunk] = deque(maxlen=KEPT)
        self._news = threading.Condition()
        self._failures: list[BaseException] = []
        self._open = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self.dropped = 0

    def stopped(self) -> bool:
        return self._stop.is_set()

    def start(self) -> None:
        self._stop.clear()
        self._failures.clear()
        self._open.clear()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name=self._transport.address, daemon=True)
        self._thread.start()
        self._open.wait()
        if self._failures:
            self._thread.join()
            raise self._failures[0]

    def stop(self) -> None:
        self._stop.set()
        if self._loop is not None and self._end is not None:
            self._loop.call_soon_threadsafe(self._end.set)
            self._loop = None
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._news:
            self._news.notify_all()

    def next(self, silence_s: float) -> Chunk | None:
        """The next datagram; None when stopped or when nothing came for so long."""
        until = time.monotonic() + silence_s if silence_s > 0 else None
        with self._news:
            while not self._chunks and not self.stopped():
                left = 1.0 if until is None else until - time.monotonic()
                if left <= 0:
                    return None
                self._news.wait(min(left, 1.0))  # in steps, so that an interrupt gets through everywhere
            return self._chunks.popleft() if self._chunks and not self.stopped() else None

    async def _run(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        try:
            await self._transport.open(self._take, lambda reason: None)
        except BaseException as error:
            self._loop = None
            self._failures.append(error)
            return
        finally:
            self._open.set()
        await self._end.wait()
        await self._transport.close()

    def _take(self, chunk: Chunk) -> None:
        with self._news:
            self.dropped += len(self._chunks) == KEPT
            self._chunks.append(chunk)
            self._news.notify()


def open_camera(options: Mapping[str, str]) -> UdpCamera:
    """Open ``camera:udp?...``; nothing is bound before the source is entered.

    Raises:
        UsageError: no port or layout, a setting that makes no sense, or a place that others reach without ``from``.
        UnknownChoice: an option or layout that there is not.
    """
    known: dict[str, Callable[[str], object]] = {
        "host": str, "port": str, "from": str, "rate": above_zero, "silence": at_least_zero, **CONVERSION,
    }
    settings: dict[str, Any] = options_of(options, known, "camera:udp")
    if "port" not in settings:
        raise UsageError("camera:udp names no port", expected="camera:udp?port=7000&layout=azure-kinect")
    host = settings.get("host", "127.0.0.1")
    place = f"[{host}]:{settings['port']}" if ":" in host else f"{host}:{settings['port']}"
    transport = open_transport(place, {"from": settings["from"]} if "from" in settings else {})
    return UdpCamera(
        transport,
        door_of(settings, "camera:udp"),
        rate_hz=settings.get("rate", 30.0),
        silence_s=settings.get("silence", 10.0),
    )
