"""Several devices and a camera read together from an ordinary loop; a recording of them is in :mod:`.recorded_feed`.

    with LiveFeed({"serial:/dev/ttyUSB0": None}) as feed:
        for now_ns, items in feed:
            ...

Links run in a thread with an event loop of its own, so that bytes get their time of arrival however busy the reader is. What
waits is bounded there; what a slow reader loses is counted and said.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from edgeskel.errors import EdgeskelError
from edgeskel.skeleton import Frame, Topology
from firmware_bridge.coalescing import new_loop
from firmware_bridge.device_allowlist import DeviceAllowlist
from firmware_bridge.link import Item, Link, LinkHealth, Sample, Wakeup, open_link, protocol_of
from firmware_bridge.mcap import Recorder
from firmware_bridge.samples import Chunk
from firmware_bridge.source import Source

__all__ = ["WAIT_S", "Batch", "CameraFrame", "Feed", "LiveFeed", "Notice"]

log: logging.Logger = logging.getLogger(__name__)
Result = TypeVar("Result")

WAIT_S = 0.02
"""A batch comes at least so often, however quiet it is, to a reader that does not say what it needs; and what comes is recorded
and kept for it at least so often, while it is busy."""
LONGEST_S = 0.2
"""And to one that says it."""
NONE: frozenset[str] = frozenset()
BUSY: tuple[float, frozenset[str] | None] = math.inf, NONE
"""What a reader needs that is at work on a batch: nothing."""
GATHER_S = 0.002
"""Readings that come so close together are handed over at once: waking another thread costs more than a reading."""
GATHER_SMALL_S = 0.005
"""And for so long where all devices send small packets, over Bluetooth, whose own intervals are longer: arrivals are seen later by
so much then, but for those that a reader waits for, and from those the clocks are known."""
HEALTH_S = 0.2
"""The links' state is looked at so often, and whenever something happens: of 17 devices it costs as much as ten readings."""
KEPT = 1 << 15
"""Items that wait for a reader who is busy: 20 s of 17 sensors at 100 Hz."""
AGAIN_S = 1.0
SLEPT_NS = 1_000_000_000


class CameraFrame(NamedTuple):
    """A frame of the camera; its time is on the host's monotonic clock."""

    frame: Frame


class Notice(NamedTuple):
    """Something for the user that no link says: about the camera, or about this computer."""

    text: str


Batch = tuple[int, list[Item | CameraFrame | Notice]]


class Feed(ABC):
    """What live and recorded feeds have in common: a context manager to iterate."""

    health: list[LinkHealth]
    """One for each device, as of the last event in a batch; a live feed's is a fifth of a second old at most."""

    def expect(self, until_s: float, devices: Collection[str] | None) -> None:  # noqa: B027 (a recording waits for nobody)
        """What the reader needs next, said before it asks for each batch, so that a live feed need not wake it for every reading.

        Args:
            until_s: host second (``time.monotonic()``) after which a batch comes in any case, if it is an empty one.
            devices: addresses; it comes when each of them has sent something. None: when anything has come. None of them: the
                time alone counts. What happens to a device does not wait, nor does what was taken up before this was said.
        """

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,  # noqa: B027 (nothing to let go of)
                 trace: TracebackType | None) -> None:
        pass

    @abstractmethod
    def __iter__(self) -> Iterator[Batch]:
        """(``time.monotonic_ns()`` or a recording's, what came since the last batch)."""


class LiveFeed(Feed):
    """Devices as they send.

    Args:
        devices: address -> rate in Hz to ask for, None for the device's default.
        camera: a source of frames that is not entered yet; entered and left here, and entered again when it fails.
        allowlist: who may be heard; None hears every device (to look at, or to record).
        record: an MCAP file that must not exist: takes bytes, readings and camera frames, each written before it is handed over.

    Raises:
        UsageError, UnknownChoice: an address that makes no sense, or a recording that exists.
    """

    def __init__(self, devices: Mapping[str, float | None], camera: Source | None = None, *,
                 allowlist: DeviceAllowlist | None = None, record: str | os.PathLike[str] | None = None) -> None:
        self.camera = camera
        self._wakeup = Wakeup()
        self._expected: tuple[float, frozenset[str] | None] | None = None  # None while the reader says nothing
        self.links: list[Link] = [self._link(address, rate_hz, allowlist, recorded=record is not None)
                                  for address, rate_hz in devices.items()]
        self.health = [link.health for link in self.links]
        self._box: deque[Item | CameraFrame | Notice] = deque()
        self._due = False  # the reader is to go on, even if nothing waits
        self._unread = 0
        self._news = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._filming: threading.Thread | None = None
        self._closed = threading.Event()
        self._pumping: asyncio.Task[None] | None = None
        self._slept = suspended_ns()
        self._disk: OSError | None = None
        self._recording = threading.Lock()
        self._recorder = None if record is None else Recorder(record)

    def __enter__(self) -> LiveFeed:
        """Open the camera and begin to connect to the devices; those that are not there are waited for.

        Raises:
            DeviceError: the camera is not there.
        """
        try:
            if self.camera is not None:
                self.camera.__enter__()
        except BaseException:
            self._close_recorder()
            raise
        self._loop, self._selector = new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._thread.start()
        self._call(self._start())
        if self.camera is not None:
            self._filming = threading.Thread(target=self._film_on, name="camera", daemon=True)
            self._filming.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Let all devices go; iterating ends."""
        self._closed.set()
        if self.camera is not None:
            with suppress(Exception):  # it is let go; what it thinks of that helps nobody
                self.camera.__exit__(None, None, None)
        assert self._loop is not None, "it was entered"
        try:
            self._call(self._stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            if self._filming is not None:
                self._filming.join(timeout=2 * AGAIN_S)
            self._close_recorder()

    def __iter__(self) -> Iterator[Batch]:
        """Batches, at least one every 20 ms, until the feed is closed or nothing more will come (recordings that were played).

        Raises:
            OSError: the recording cannot be written any more; what was written is whole.
        """
        while not self._closed.is_set():
            over = all(link.ended for link in self.links) and self.camera is None
            items = self._take()
            if self._disk is not None:
                raise self._disk
            slept = suspended_ns() - self._slept
            if slept > SLEPT_NS:
                self._slept += slept
                items.append(Notice(f"this computer was asleep for {slept / 1e9:.0f} s; what devices sent meanwhile is lost"))
            yield time.monotonic_ns(), items
            if over and not items:
                return

    def expect(self, until_s: float, devices: Collection[str] | None) -> None:
        """See :meth:`Feed.expect`."""
        self._expected = until_s, None if devices is None else frozenset(devices)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wakeup.nudge)

    def _take(self) -> list[Item | CameraFrame | Notice]:
        """What waits; where the reader says nothing, after :data:`WAIT_S` at the latest."""
        with self._news:
            if not self._box and not self._due:
                self._news.wait(WAIT_S if self._expected is None else LONGEST_S)
            items, self._box, self._due = list(self._box), deque(), False
            unread, self._unread = self._unread, 0
        if unread:
            items.insert(0, Notice(f"this computer is too slow: {unread} readings were not looked at"
                                 + (" (they are in the recording)" if self._recorder is not None else "")))
        return items

    def _put(self, items: Iterable[Item | CameraFrame | Notice]) -> None:
        with self._news:
            self._box.extend(items)
            self._due = True
            while len(self._box) > KEPT:
                self._box.popleft()
                self._unread += 1
            self._news.notify()

    def record_frame(self, frame: Frame, topology: Topology, name: str) -> None:
        """Write a frame into the recording, if there is one.

        Raises:
            OSError: the disk is full or gone.
        """
        if self._recorder is not None:
            with self._recording:
                self._recorder.frame(frame, topology, name)

    def _link(self, address: str, rate_hz: float | None, allowlist: DeviceAllowlist | None, *, recorded: bool) -> Link:
        protocol = protocol_of(address)

        def tap(chunk: Chunk) -> None:
            self._write(lambda recorder: recorder.chunk(address, protocol, chunk, link.identity or ""))

        link = open_link(address, rate_hz=rate_hz, allowlist=allowlist, tap=tap if recorded else None, wakeup=self._wakeup)
        return link

    def _write(self, write: Callable[[Recorder], None]) -> None:
        if self._recorder is None or self._disk is not None:
            return
        try:
            with self._recording:
                write(self._recorder)
        except OSError as error:  # raised where somebody can do something about it
            self._disk = error

    def _close_recorder(self) -> None:
        if self._recorder is not None:
            with self._recording:
                self._recorder.close()

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        assert self._loop is not None, "it was entered"
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self) -> None:
        for link in self.links:
            link.start()
        self._pumping = asyncio.create_task(self._pump())

    async def _pump(self) -> None:
        """Record readings and hand them over, when the reader needs them."""
        looked_s = 0.0
        while not self._closed.is_set():
            due = await self._needed()
            items = self._drain()
            self._wakeup.clear()  # only now: bytes that were decoded when they were drained have set it
            self._record_samples(items)
            if time.monotonic() >= looked_s + HEALTH_S or not all(type(item) is Sample for item in items):
                looked_s, self.health = time.monotonic(), [link.health for link in self.links]
            if items or due:
                if self._expected is not None:
                    self._expected, self._selector.gather_s = BUSY, self._gather_s()
                self._put(items)

    def _gather_s(self) -> float:
        """For how long packets may gather while nobody waits for them."""
        return GATHER_SMALL_S if all(link.together for link in self.links) else GATHER_S

    async def _needed(self) -> bool:
        """Wait for what the reader needs; whether it is to go on even if nothing has come."""
        while True:
            if not self._wakeup.urgent:
                self._wakeup.clear()  # of what is not urgent, ``unread`` tells
            expected, now = self._expected, asyncio.get_running_loop().time()
            self._selector.gather_s = self._gather_s() if expected is not None and expected[1] == NONE else 0.0
            if expected is None:
                await self._wakeup.wait(now + HEALTH_S, None, [link.address for link in self.links if link.unread])
                await asyncio.sleep(GATHER_S)
                return False
            until_s, devices = expected
            busy = expected is BUSY
            latest = now + (WAIT_S if busy else LONGEST_S)
            unread = [link.address for link in self.links if link.unread] if devices or devices is None else ()
            await self._wakeup.wait(min(until_s, latest), devices, unread)
            if devices is None:
                await asyncio.sleep(GATHER_S)
            if self._expected is expected or self._wakeup.urgent:  # else it has said meanwhile that it needs something else
                return not busy

    async def _stop(self) -> None:
        if self._pumping is not None:
            self._wakeup.set()
            await self._pumping  # not cancelled: wait_for of Python 3.10 and 3.11 may swallow that
        before = [link.health for link in self.links]
        await asyncio.gather(*(link.close() for link in self.links))
        self._record_samples(self._drain())
        # That they are closed now is no news; how they were is.
        self.health: list[LinkHealth] = [replace(link.health, state=was.state, problem=was.problem, rate_hz=was.rate_hz)
                       for link, was in zip(self.links, before, strict=True)]
        await asyncio.get_running_loop().shutdown_default_executor()
        await asyncio.sleep(0)  # what was still being opened is closed by its callback

    def _drain(self) -> list[Item]:
        return [item for link in self.links if link.unread for item in link.drain()]

    def _record_samples(self, items: list[Item]) -> None:
        if self._recorder is None:
            return
        for item in items:
            if isinstance(item, Sample):
                sample = item
                self._write(lambda recorder: recorder.sample(sample))  # noqa: B023 (called at once)

    def _film_on(self) -> None:
        camera, said, entered = self.camera, "", True
        assert camera is not None
        while not self._closed.is_set():
            try:
                if not entered:
                    camera.__enter__()
                    entered = True
                for frame in camera:
                    self._write(lambda recorder: recorder.frame(frame, camera.topology, "camera"))  # noqa: B023
                    self._put([CameraFrame(frame)])
                    said = ""
                    if self._closed.is_set():
                        break
                text = "the camera has ended"
            except EdgeskelError as error:
                text = str(error)
            except Exception as error:  # a maker's SDK: the sensors go on
                log.exception("the camera failed")
                text = f"the camera failed: {type(error).__name__}: {error}"
            if self._closed.is_set():
                break
            if text != said:
                self._put([Notice(f"{text}; it is tried again, the sensors go on")])
                said = text
            if entered:
                with suppress(Exception):  # what is broken may not close; the next round says so
                    camera.__exit__(None, None, None)
                entered = False
            self._closed.wait(AGAIN_S)


def suspended_ns() -> int:
    """How long this computer has been asleep since it was started; 0 where the system does not say."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return 0 if clock is None else time.clock_gettime_ns(clock) - time.monotonic_ns()
