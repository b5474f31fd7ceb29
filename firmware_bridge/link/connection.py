"""One device's link: open, configure, decode, watch, and open again, for as long as it is wanted."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

from edgeskel.errors import DataError, DeviceError, EdgeskelError, UsageError
from firmware_bridge.codecs import Codec, Write
from firmware_bridge.device_allowlist import DeviceAllowlist
from firmware_bridge.link.allowlist_filter import AllowlistFilter
from firmware_bridge.link.backoff import Backoff
from firmware_bridge.link.bounded_queue import BoundedQueue
from firmware_bridge.link.events import (
    Ignored,
    Item,
    LinkHealth,
    Lost,
    Recovered,
    Stalled,
)
from firmware_bridge.link.packet_decoder import PacketDecoder
from firmware_bridge.link.sender_state import ArrivalRate
from firmware_bridge.link.wakeup import Wakeup
from firmware_bridge.samples import Chunk
from firmware_bridge.timeouts import Sleep, within
from firmware_bridge.transports import Transport

__all__ = ["Link"]

log: logging.Logger = logging.getLogger(__name__)

OPEN_S = 30.0
"""A transport that has neither opened nor failed after so long hangs."""
CLOSE_S = 2.0
"""What a transport may take to close; then it is abandoned."""
FIRST_READING_S = 3.0
"""How long a device may take from its start command to the first reading."""
LEAST_SILENCE_S = 0.5
PERIODS_OF_SILENCE = 10
DEAF_NS = 50_000_000
"""A timer that is later than that says that our own loop was held up; a device is not blamed for it."""
MOST_REPLIES = 64


class Link:
    """A device that is kept connected.

    ``async with Link(...) as link`` starts it; :meth:`drain` or iteration gives what arrives. It never ends by itself
    but at the end of a replay or where the way it is used is wrong (:class:`~firmware_bridge.link.Lost` with
    ``final``); nothing that a device does raises out of it, so that one bad device never harms the others.

    Args:
        address: names the device in every item.
        codec: makes a fresh codec; called once for each sender.
        transport: makes a transport that is not open yet; called for each attempt, so that one that hangs is left behind.
        rate_hz: what to ask of the device; None for its default. Also the nominal interval of the watchdog.
        allowlist: hand over nothing of a device that is not in it; None lets every device through (for recording only).
        limit: items that wait for the reader at most; the oldest samples are dropped and counted beyond.
        tap: called with every chunk as it came, before it is decoded: a recorder.
        backoff: waits between attempts.
        open_s: see :data:`OPEN_S`.
        clock: nanoseconds, as the transport's ``host_ns``; replaced by tests in virtual time, together with ``sleep``.
        wakeup: what the reader sleeps on; links may share one.
        seed: of the random part of the backoff.
    """

    def __init__(self, address: str, codec: Callable[[], Codec], transport: Callable[[], Transport], *,
                 rate_hz: float | None = None, allowlist: DeviceAllowlist | None = None, limit: int = 8192,
                 tap: Callable[[Chunk], None] | None = None, backoff: Backoff | None = None, open_s: float = OPEN_S,
                 clock: Callable[[], int] = time.monotonic_ns, sleep: Sleep = asyncio.sleep,
                 wakeup: Wakeup | None = None, seed: int | None = None) -> None:
        self.address = address
        self._codec, self._transport = codec, transport
        self._rate_hz, self._open_s = rate_hz, open_s
        self._backoff = backoff or Backoff()
        self._clock, self._sleep = clock, sleep
        self._chance = random.Random(seed)
        self.queue: BoundedQueue = BoundedQueue(address, limit, wakeup)
        self._allowed = AllowlistFilter(address, allowlist, self.queue, clock)
        self._decoder = PacketDecoder(address, codec, self._allowed, self.queue, rate_hz=rate_hz, tap=tap, clock=clock,
                              arrived=self._arrived, owe=self._queue_writes)
        self._arrivals = ArrivalRate(rate_hz)
        self._state, self._problem = "closed", ""
        self._reopened = 0
        self._down_since_ns: int | None = None
        self._most_wait_s = math.inf
        self._session: object | None = None
        self._silent = self._closing = False
        self._open: Transport | None = None
        self._ignored: set[str] = set()
        self._writes: deque[tuple[Write, str]] = deque()
        self._to_write = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # -- for the reader -------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Link:
        self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self.close()

    def start(self) -> None:
        """Begin to connect, in the running loop; returns at once."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"link {self.address}")

    async def close(self) -> None:
        """Make the device silent and let it go; at most about three seconds. What waits can still be drained."""
        task, self._task = self._task, None
        self._closing = True
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._state = "closed"
        self.queue.wakeup.set()

    @property
    def ended(self) -> bool:
        """True when nothing more will come: closed, or ``Lost`` with ``final``."""
        return self._task is None or self._task.done()

    def drain(self) -> list[Item]:
        """Everything that waits, oldest first; never waits itself."""
        self._decoder.catch_up()
        return self.queue.drain()

    @property
    def unread(self) -> bool:
        """Whether something waits for :meth:`drain`."""
        return bool(self._decoder.undecoded or self.queue.waiting)

    @property
    def together(self) -> bool:
        """Whether its bytes come in small chunks, of which several may be read at once; False while it is not connected."""
        return self._open is not None and self._open.traits.together

    async def __aiter__(self) -> AsyncIterator[Item]:
        while True:
            self.queue.wakeup.clear()
            items = self.drain()
            for item in items:
                yield item
            if not items:
                if self.ended:
                    return
                await self.queue.wakeup.wait()

    async def write(self, writes: Sequence[Write]) -> None:
        """Send commands to the device now.

        Raises:
            DeviceError: it is not connected, or went while we wrote.
        """
        if self._open is None:
            raise DeviceError(f"{self.address} is not connected", remedy=self._problem)
        await self._send(self._open, writes, "")

    @property
    def identity(self) -> str | None:
        """Who the device is (see :mod:`firmware_bridge.device_allowlist`), once it is known."""
        return self._allowed.identity

    @property
    def health(self) -> LinkHealth:
        """How the link is doing now."""
        self._decoder.catch_up()
        decoder = self._decoder
        trackers = [tracker for sender in decoder.senders.values() for tracker in sender.trackers.values()]
        lost = sum(tracker.lost for tracker in trackers)
        received = decoder.received
        return LinkHealth(
            device=self.address, state=self._state,
            rate_hz=self._arrivals.rate_hz(self._clock()) / max(1, len(trackers)),
            received=received, lost=lost, late=sum(tracker.late for tracker in trackers),
            loss=lost / (received + lost) if received + lost else 0.0,
            dropped=self.queue.dropped, frames=sum(sender.codec.counts.frames for sender in decoder.senders.values()),
            bad=sum(sender.codec.counts.bad for sender in decoder.senders.values()),
            faults=decoder.faults, reboots=sum(sender.epoch for sender in decoder.senders.values()), reopened=self._reopened,
            battery=decoder.battery, signal_dbm=decoder.signal_dbm, last_seen_ns=self._arrivals.last_ns,
            problem="" if self._state == "streaming" else self._problem, identity=self._allowed.identity)

    # -- connecting -----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        failures = 0
        try:
            while True:
                begun_ns = self._clock()
                received = self._decoder.received
                try:
                    if await self._connected():
                        return
                    reason, final = "", False
                except (UsageError, DataError) as error:  # trying again would not help
                    reason, final = str(error), True
                except (EdgeskelError, OSError, TimeoutError, asyncio.TimeoutError) as error:
                    reason, final = str(error) or type(error).__name__, False
                except Exception as error:  # a fault of ours or of a library: this device suffers, the others do not
                    log.exception("%s: the link failed", self.address)
                    reason, final = f"{type(error).__name__}: {error}", False
                if reason and (reason != self._problem or self._state == "streaming" or final):
                    self.queue.put(Lost(self.address, self._clock(), reason, final))
                self._problem = reason or self._problem
                self._state = "lost" if reason else self._state
                if final:
                    return
                if self._down_since_ns is None:
                    self._down_since_ns = self._arrivals.last_ns or begun_ns
                failures = 1 if self._decoder.received > received else failures + 1
                spent_s = (self._clock() - begun_ns) / 1e9 if failures > 1 else 0.0
                delay_s = min(self._backoff.delay_s(failures, self._chance) - spent_s, self._most_wait_s)
                await self._sleep(max(0.02, delay_s))
                self._reopened += 1
        finally:
            self._state = "closed"
            self.queue.wakeup.set()

    async def _connected(self) -> bool:
        """One connection from opening to its end; True when there will be no other (the end of a replay)."""
        self._state = "opening"
        session = self._session = object()
        transport = self._transport()
        decoder = self._decoder
        traits = transport.traits
        decoder.senders_apart, decoder.ordered = traits.senders_apart, traits.ordered
        if decoder.senders_apart:
            self._codec().start(self._rate_hz)  # a rate that there is not is refused now, not at each sender's first datagram
        transport.room = self.queue.room
        ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

        def received(chunk: Chunk) -> None:
            if self._session is session:  # an abandoned transport may still speak
                if self._allowed.identity is None:
                    decoder.know(transport.identity)
                if traits.together and self._state == "streaming":
                    decoder.keep(chunk)
                else:
                    decoder.take(chunk)

        def lost(reason: BaseException | None) -> None:
            if not ended.done():
                ended.set_result(reason)

        writer: asyncio.Task[None] | None = None
        try:
            self._writes.clear()
            self._arrivals.restart()
            for sender in decoder.senders.values():
                sender.reopened()
            self._allowed.open(lost)
            opening = transport.open(received, lost)
            await (opening if traits.bounds_opening else within(self._open_s, opening, self._sleep))
            self._open = transport
            decoder.know(transport.identity)
            writer = asyncio.create_task(self._write_replies(transport, lost))
            if not decoder.senders_apart:
                await self._send(transport, decoder.sender("").codec.start(self._rate_hz), "")
            if self._state == "opening":
                self._state = "waiting"
            return await self._watch(transport, ended)
        finally:
            self._session = None
            self._decoder.catch_up()  # a codec that begins anew must not see the end of what was before
            self._allowed.close()
            if writer is not None:
                writer.cancel()
            if self._open is not None and self._closing:
                await self._say_goodbye(transport)
            self._open = None
            # Looking for a serial port costs nothing, so it may be done often; connecting over the air is not so.
            self._most_wait_s = transport.most_wait_s
            with suppress(Exception):
                await within(CLOSE_S, transport.close(), self._sleep)

    async def _watch(self, transport: Transport, ended: asyncio.Future[BaseException | None]) -> bool:
        """Until the transport ends or falls silent. bleak says "connected" of a dead daemon, so silence decides."""
        opened_ns, on_silence = self._clock(), transport.traits.on_silence
        while True:
            self._name_ignored(transport.refused)
            silence_s, allowed_s = self._silence(opened_ns)
            if silence_s >= allowed_s and on_silence != "ignore":
                self._fall_silent(silence_s)
                if on_silence == "reopen":
                    return False
            # Never longer than the least silence: the interval, and with it what is allowed, may just have become known.
            wait_s = min(allowed_s - silence_s, LEAST_SILENCE_S) if silence_s < allowed_s else LEAST_SILENCE_S
            asleep_ns = self._clock()
            timer = asyncio.ensure_future(self._sleep(wait_s + 0.001))
            either: set[asyncio.Future[Any]] = {ended, timer}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                timer.cancel()
            if not ended.done():
                overslept_ns = self._clock() - asleep_ns - round(wait_s * 1e9)
                if overslept_ns > DEAF_NS:
                    self._decoder.catch_up()  # what came before that is no news
                    # This program was held up, and since before the timer was due, who knows how long: hence twice.
                    self._arrivals.excuse(2 * overslept_ns)
                continue
            reason = ended.result()
            if reason is None:
                return True
            raise reason

    def _silence(self, opened_ns: int) -> tuple[float, float]:
        """Seconds since the last reading, and how many of them are allowed."""
        silence_s, allowed_s = self._heard(opened_ns)
        if silence_s >= allowed_s and self._decoder.undecoded:  # mostly the reader has decoded: doing it here would wake it
            self._decoder.catch_up()
            silence_s, allowed_s = self._heard(opened_ns)
        return silence_s, allowed_s

    def _heard(self, opened_ns: int) -> tuple[float, float]:
        """The same, of what is decoded."""
        interval_s, last_ns = self._arrivals.interval_s, self._arrivals.last_ns
        if last_ns is None or last_ns < opened_ns or interval_s is None:
            since_ns, allowed_s = max(last_ns or 0, opened_ns), FIRST_READING_S
        else:
            since_ns, allowed_s = last_ns, max(LEAST_SILENCE_S, PERIODS_OF_SILENCE * interval_s)
        return (self._clock() - since_ns - self._arrivals.deaf_ns) / 1e9, allowed_s

    def _name_ignored(self, senders: Iterable[str]) -> None:
        for sender in senders:
            if sender not in self._ignored:
                self._ignored.add(sender)
                self.queue.put(Ignored(self.address, self._clock(), sender))

    def _fall_silent(self, silence_s: float) -> None:
        self._state, self._problem = "stalled", f"no reading for {silence_s:.2f} s"
        if self._silent:
            return  # said once; the next reading is what changes something
        self._silent = True
        self.queue.put(Stalled(self.address, self._clock(), silence_s))
        self._down_since_ns = self._down_since_ns or self._arrivals.last_ns or self._clock()
        for sender in self._decoder.senders.values():
            for tracker in sender.trackers.values():
                tracker.reopened()

    async def _say_goodbye(self, transport: Transport) -> None:
        with suppress(Exception):
            stop = [write for sender in self._decoder.senders.values() for write in sender.codec.stop()]
            await within(1.0, self._send(transport, stop, ""), self._sleep)

    async def _send(self, transport: Transport, writes: Sequence[Write], channel: str) -> None:
        for write in writes:
            await transport.write(write.data, write.channel or channel)
            if write.pause_s:
                await self._sleep(write.pause_s)

    async def _write_replies(self, transport: Transport, lost: Callable[[BaseException | None], None]) -> None:
        try:
            while True:
                await self._to_write.wait()
                self._to_write.clear()
                while self._writes:
                    write, channel = self._writes.popleft()
                    await self._send(transport, [write], channel)
        except (EdgeskelError, OSError) as error:
            lost(error)

    # -- what comes of receiving ----------------------------------------------------------------------------------

    def _arrived(self, readings: int, now_ns: int) -> None:
        if self._down_since_ns is not None:
            self.queue.put(Recovered(self.address, now_ns, (now_ns - self._down_since_ns) / 1e9))
            self._down_since_ns = None
        self._state, self._problem, self._silent = "streaming", "", False
        self._arrivals.add(now_ns, readings)

    def _queue_writes(self, writes: Sequence[Write], channel: str) -> None:
        if writes and len(self._writes) < MOST_REPLIES:
            self._writes.extend((write, channel) for write in writes)
            self._to_write.set()

