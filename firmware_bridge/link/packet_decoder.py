"""From one device's bytes to items: decoded, counted, and let in or not. It knows nothing of connections."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from firmware_bridge.codecs import Codec, Write
from firmware_bridge.link.allowlist_filter import AllowlistFilter
from firmware_bridge.link.bounded_queue import BoundedQueue
from firmware_bridge.link.events import DeviceReport, Gap, Reboot, Sample
from firmware_bridge.link.sender_state import SenderState
from firmware_bridge.samples import Chunk, DeviceStatus, Flags, Reading, maker

__all__ = ["PacketDecoder"]

log: logging.Logger = logging.getLogger(__name__)
_sample = maker(Sample)

MOST_SENDERS = 64
"""Senders of one transport that are decoded apart; more are left alone."""
MOST_TOGETHER = 64
"""Notifications of one device that wait at most to be decoded."""


class PacketDecoder:
    """What a link does with the bytes that it receives; never raises for what a device sent.

    Args:
        address: names the device in every item.
        codec: makes a fresh codec; called once for each sender.
        allowed: says who is let in.
        queue: takes the items.
        rate_hz: what to ask of senders that are decoded apart.
        tap: called with every chunk as it came.
        clock: nanoseconds.
        arrived: called with (how many readings, when) for every chunk that held some.
        owe: called with (writes, channel) that the protocol owes the device.
    """

    faults: int
    received: int

    def __init__(self, address: str, codec: Callable[[], Codec], allowed: AllowlistFilter, queue: BoundedQueue, *,
                 rate_hz: float | None,
                 tap: Callable[[Chunk], None] | None, clock: Callable[[], int], arrived: Callable[[int, int], None],
                 owe: Callable[[Sequence[Write], str], None]) -> None:
        self.senders: dict[str, SenderState] = {}
        """Codec and sequence trackers of each sender, by its channel; of "" where they are not told apart."""
        self.senders_apart = False
        """Whether a chunk's channel is a sender with a codec and counters of its own."""
        self.ordered = True
        """False where bytes may overtake each other."""
        self.undecoded: list[Chunk] = []
        """What waits to be decoded, oldest first; to look at only."""
        self.received = 0
        self.faults = 0
        self.battery: float | None = None
        self.signal_dbm: float | None = None
        self._address, self._codec, self._allowed, self._queue = address, codec, allowed, queue
        self._rate_hz, self._tap, self._clock = rate_hz, tap, clock
        self._arrived, self._owe = arrived, owe

    def sender(self, channel: str) -> SenderState:
        """Those of a sender; made where it is new."""
        key = channel if self.senders_apart else ""
        sender = self.senders.get(key)
        if sender is not None and self.senders_apart:
            self.senders[key] = self.senders.pop(key)  # the last to speak stands last
        if sender is None:
            if len(self.senders) >= MOST_SENDERS:  # the one that has been silent longest makes room
                self.senders.pop(next(iter(self.senders)))
            sender = self.senders[key] = SenderState(self._codec(), ordered=self.ordered)
        return sender

    def know(self, identity: str | None) -> None:
        """Who the device is, by what the transport or the device itself says; None says nothing."""
        if identity is not None and not self.senders_apart:
            self._allowed.know(identity)

    def keep(self, chunk: Chunk) -> None:
        """Decode it when somebody reads, together with what else has come by then: one by one it costs twice as much."""
        if self._tap is not None:
            self._tap(chunk)
        self.undecoded.append(chunk)
        if len(self.undecoded) >= MOST_TOGETHER:
            self.catch_up()
        self._queue.wakeup.arrived(self._address)

    def catch_up(self) -> None:
        """Decode what was kept."""
        if self.undecoded:
            chunks, self.undecoded = self.undecoded, []
            for chunk in chunks:
                self._decode(chunk, chunk.host_ns)

    def take(self, chunk: Chunk) -> None:
        """Decode it now."""
        if self._tap is not None:
            self._tap(chunk)
        self.catch_up()
        self._decode(chunk, self._clock())
        self._queue.wakeup.arrived(self._address)

    def _decode(self, chunk: Chunk, now_ns: int) -> None:
        if self.senders_apart and not self._allowed.admit(chunk.channel):
            return
        try:
            sender = self.senders.get("") if not self.senders_apart else None  # of "", where they are not told apart
            if sender is None:
                fresh = self.senders_apart and chunk.channel not in self.senders
                sender = self.sender(chunk.channel)
                if fresh:
                    self._owe(sender.codec.start(self._rate_hz), chunk.channel)
            decoded = sender.codec.decode(chunk)
            if writes := sender.codec.reply(chunk):
                self._owe(writes, chunk.channel)
        except Exception:
            self.faults += 1
            if self.faults == 1:
                log.exception("%s: the codec failed on %d bytes", self._address, len(chunk.data))
            return
        readings, host_ns = 0, chunk.host_ns
        for item in decoded:
            if isinstance(item, DeviceStatus):
                self._hear(item, chunk, sender)
            elif self._allowed.admitted:
                tracker = sender.trackers.get(item.sensor)
                if tracker is not None and tracker.update_if_next(item, host_ns):  # nearly all
                    self.received += 1
                    self._queue.put(_sample((self._address, host_ns, sender.epoch, item, chunk.channel)))
                    readings += 1
                else:
                    readings += self._count(item, chunk, sender)
        if readings:
            self._arrived(readings, now_ns)

    def _count(self, reading: Reading, chunk: Chunk, sender: SenderState) -> int:
        tracker = sender.tracker(reading.sensor)
        if tracker is None:
            self.faults += 1
            return 0
        loss = tracker.update(reading, chunk.host_ns)
        if loss.late:
            return 1
        flags = reading.flags
        if loss.rebooted:
            flags |= Flags.REBOOTED
            if tracker.reboots > sender.epoch:
                sender.epoch = tracker.reboots
                self._queue.put(Reboot(self._address, chunk.host_ns, sender.epoch, loss.missing, reading.sensor,
                                        chunk.channel))
        elif loss.missing:
            flags |= Flags.GAP
            self._queue.put(Gap(self._address, chunk.host_ns, loss.missing, reading.sensor, chunk.channel))
        if flags is not reading.flags:
            reading = reading._replace(flags=flags)
        self.received += 1
        self._queue.put(_sample((self._address, chunk.host_ns, sender.epoch, reading, chunk.channel)))
        return 1

    def _hear(self, status: DeviceStatus, chunk: Chunk, sender: SenderState) -> None:
        if status.identity and sender.identity != status.identity:
            sender.identity = status.identity
            if self._allowed.identity is None:
                self.know(f"serial:{status.identity}")
        if status.battery is not None:
            self.battery = status.battery
        if status.signal_dbm is not None:
            self.signal_dbm = status.signal_dbm
        self._queue.put(DeviceReport(self._address, chunk.host_ns, status, chunk.channel))
