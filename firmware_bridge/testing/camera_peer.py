"""A camera on this machine that is none: sends frames as datagrams of JSON, in a maker's layout, units and axes.

    peer = CameraPeer(7000, layout="azure-kinect")
    with firmware_bridge.open_source("camera:udp?port=7000&layout=azure-kinect") as source:
        peer.send(frame)
        received = next(iter(source))
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from edgeskel.skeleton import Frame
from firmware_bridge.cameras import ConversionSettings, adapter
from firmware_bridge.cameras.convert import FrameConverter
from firmware_bridge.cameras.datagrams import pack

__all__ = ["CameraPeer"]


class CameraPeer:
    """Sends to ``127.0.0.1:port``; a context manager.

    Args:
        port: the receiver's.
        layout: a name of :data:`firmware_bridge.cameras.ADAPTERS`.
        settings: units and axes to send in, where the maker has not fixed them.
        host: the address to send from, in 127.0.0.0/8 (Linux lets all of them be used).
        clock: gives the seconds that the camera puts into its frames; None sends each frame's own time.

    Raises:
        UnknownChoice, UsageError: as :meth:`firmware_bridge.cameras.Adapter.converter`.
    """

    sent: int

    def __init__(
        self,
        port: int,
        *,
        layout: str,
        settings: ConversionSettings | None = None,
        host: str = "127.0.0.1",
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.converter: FrameConverter = adapter(layout).converter(settings)
        self.sent = 0
        self._clock = clock
        self._receiver = ("127.0.0.1", port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))

    def __enter__(self) -> CameraPeer:
        """Ready since it was made."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the socket."""
        self.close()

    @property
    def channel(self) -> str:
        """``"host:port"``, as the receiver sees it."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def send(self, frame: Frame) -> None:
        """Send a frame of ours, as this camera would say it. Joints of confidence 0 are sent as null."""
        self.send_bytes(pack(frame, self.converter, time=None if self._clock is None else self._clock()))

    def send_object(self, said: Any) -> None:
        """Send anything as JSON, right or wrong."""
        self.send_bytes(json.dumps(said).encode())

    def send_bytes(self, data: bytes) -> None:
        """Send a datagram as it is."""
        self._socket.sendto(data, self._receiver)
        self.sent += 1

    def play(self, frames: Iterable[Frame], *, speed: float = 1.0, sleep: Callable[[float], None] = time.sleep) -> None:
        """Send frames as far apart as their times say.

        Args:
            frames: in the order of time.
            speed: times as fast.
            sleep: waits for seconds.
        """
        begin, first = time.monotonic(), None
        for frame in frames:
            first = frame.time if first is None else first
            wait = begin + (frame.time - first) / speed - time.monotonic()
            if wait > 0:
                sleep(wait)
            self.send(frame)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
