"""A model of a BLE radio link, and a device behind it: what arrives when, without a radio.

BLE's link layer repeats a packet until it is acknowledged, so nothing is lost in the air. Errors make the data late
instead; then the device's transmit queue overflows, and that is where packets are lost (Bluetooth Core Specification
5.4, vol. 6, part B, 4.5). The model has connection events at a fixed interval, packet errors that end an event
(the peers meet again at the next), a bounded transmit queue that refuses the newest packet when it is full, fades in
which nothing gets through, and the supervision timeout.

It has no interference between connections, no channel hopping and no scheduling in the host's controller: its figures
are a model's, not measurements of a radio.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from edgeskel.errors import DeviceError
from firmware_bridge.samples import Chunk
from firmware_bridge.transports import Lost, Received, Traits, Transport

__all__ = ["RadioChannel", "RadioModel", "SimulatedDevice", "SimulatedTransport"]


@dataclass(frozen=True)
class RadioModel:
    """The figures of one link.

    Args:
        interval_s: connection interval, 7.5 ms to 4 s in the standard.
        packet_error: probability that a packet has to be repeated.
        queue: packets that the device can hold; more are lost.
        per_event: packets that fit into one connection event.
        supervision_s: the connection is lost after so long without a packet that got through.
        fades: (begin, end) in seconds of the clock, in which nothing gets through.
        seed: of the packet errors.
    """

    interval_s: float = 0.015
    packet_error: float = 0.0
    queue: int = 16
    per_event: int = 6
    supervision_s: float = 2.0
    fades: tuple[tuple[float, float], ...] = ()
    seed: int = 0


class RadioChannel:
    """One connection under a :class:`RadioModel`. Driven from outside: ``offer`` packets, call ``event`` each interval."""

    refused: int

    def __init__(self, model: RadioModel, begin_s: float = 0.0) -> None:
        self.refused = 0
        self._model = model
        self._chance = random.Random(model.seed)
        self._queue: deque[bytes] = deque()
        self._heard_s = begin_s

    def offer(self, packet: bytes) -> bool:
        """Put a packet into the device's transmit queue; False if it is full and the packet is lost."""
        if len(self._queue) >= self._model.queue:
            self.refused += 1
            return False
        self._queue.append(packet)
        return True

    def event(self, now_s: float) -> list[bytes]:
        """What gets through in the connection event at ``now_s``, seconds of the clock."""
        model = self._model
        if any(begin <= now_s < end for begin, end in model.fades):
            return []
        if not self._queue:  # empty packets keep the connection alive and may be lost as well
            if self._chance.random() >= model.packet_error:
                self._heard_s = now_s
            return []
        through: list[bytes] = []
        while self._queue and len(through) < model.per_event:
            if self._chance.random() < model.packet_error:
                break
            through.append(self._queue.popleft())
            self._heard_s = now_s
        return through

    def lost(self, now_s: float) -> bool:
        """Whether the supervision timeout has passed at ``now_s``, seconds of the clock."""
        return now_s - self._heard_s > self._model.supervision_s


class SimulatedDevice:
    """A wearable that counts: it sends ``packet(sequence, device_us)`` at a rate, reboots, and goes out of reach.

    Args:
        packet: the bytes for a counter value and a device time.
        rate_hz: packets per second by the device's own clock.
        model: the radio between it and us; None for a perfect wire.
        sequence_bits: where its counter wraps.
        first: the counter's first value: start it just below the wrap to see the wrap.
        drift_ppm: how much faster its clock runs than ours.
        clock: nanoseconds.
        sleep: as :func:`asyncio.sleep`.
    """

    packet: Callable[[int, int], bytes]
    rate_hz: float
    model: RadioModel | None
    clock: Callable[[], int]
    sleep: Callable[[float], Awaitable[None]]
    boots: int

    def __init__(self, packet: Callable[[int, int], bytes], *, rate_hz: float = 100.0, model: RadioModel | None = None,
                 sequence_bits: int = 16, first: int = 0, drift_ppm: float = 0.0, clock: Callable[[], int],
                 sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.packet, self.rate_hz, self.model = packet, rate_hz, model
        self.clock, self.sleep = clock, sleep
        self.modulus: int = 1 << sequence_bits
        self.present = True
        self.silent = False
        self.sent = 0
        """Packets that were made while a host was connected, delivered or not."""
        self.boots = 0
        self.written: list[tuple[bytes, str]] = []
        self._rate = 1.0 + drift_ppm * 1e-6
        self._first = first
        self._began_ns = clock()

    def reboot(self) -> None:
        """Begin anew: clock and counter at 0."""
        self._began_ns = self.clock()
        self._first = 0
        self.boots += 1

    def now(self) -> tuple[int, int]:
        """How many packets it has made since it began (the counter without wrap), and its clock in microseconds."""
        seconds = (self.clock() - self._began_ns) * 1e-9 * self._rate
        return int(seconds * self.rate_hz), int(seconds * 1e6)

    def bytes_of(self, made: int) -> bytes:
        """The packet that it makes as its ``made``-th."""
        return self.packet((self._first + made) % self.modulus, round(made / self.rate_hz * 1e6))


class SimulatedTransport(Transport):
    """The way to a :class:`SimulatedDevice`, with faults to inject; ``traits`` as those of another way where a test
    wants that.

    ``cut`` ends the connection as a device out of reach does; ``hang`` makes ``close`` hang as bleak's does when its
    daemon was killed; while the device is ``silent`` the connection stays and nothing comes.
    """

    traits = Traits()
    identity: str | None = None

    def __init__(self, device: SimulatedDevice, address: str = "simulated:device", *, connect_s: float = 0.05,
                 identity: str | None = None, channel: str = "") -> None:
        self.address = address
        self.identity = identity
        self.hang = False
        self.closed: bool = False
        self._device, self._connect_s, self._channel = device, connect_s, channel
        self._pump: asyncio.Task[None] | None = None
        self._lost: Lost | None = None

    async def open(self, received: Received, lost: Lost) -> None:
        """Connect after ``connect_s``.

        Raises:
            DeviceError: the device is not there.
        """
        await self._device.sleep(self._connect_s)
        if not self._device.present:
            raise DeviceError(f"{self.address} was not found", expected="a device that is switched on and near")
        self._lost = lost
        self._pump = asyncio.create_task(self._deliver(received, lost))

    async def write(self, data: bytes, channel: str = "") -> None:
        """Kept in the device's ``written``.

        Raises:
            DeviceError: not connected.
        """
        if self._pump is None or self._pump.done():
            raise DeviceError(f"{self.address} is not connected")
        self._device.written.append((data, channel))

    async def close(self) -> None:
        """Let go, or hang for an hour where a test asked for that."""
        if self._pump is not None:
            self._pump.cancel()
        if self.hang:
            await self._device.sleep(3600.0)
        self.closed = True

    def cut(self) -> None:
        """The connection breaks now, and the transport notices."""
        if self._pump is not None and not self._pump.done():
            self._pump.cancel()
            assert self._lost is not None
            self._lost(DeviceError(f"{self.address} went out of reach"))

    async def _deliver(self, received: Received, lost: Lost) -> None:
        device, model = self._device, self._device.model
        made, _ = device.now()
        boots = device.boots
        channel = RadioChannel(model, device.clock() / 1e9) if model is not None else None
        step_s = model.interval_s if model is not None else 1.0 / device.rate_hz
        next_ns = device.clock()
        while True:
            next_ns += round(step_s * 1e9)
            await device.sleep(max(0.0, (next_ns - device.clock()) / 1e9))
            if device.boots != boots:
                boots, made = device.boots, 0
            count, _ = device.now()
            packets = [device.bytes_of(number) for number in range(made, count)] if not device.silent else []
            device.sent += len(packets)
            made = max(made, count)
            if channel is not None:
                for packet in packets:
                    channel.offer(packet)
                packets = channel.event(device.clock() / 1e9)
                if channel.lost(device.clock() / 1e9):
                    lost(DeviceError(f"{self.address} went out of reach (supervision timeout)"))
                    return
            for packet in packets:
                received(Chunk(packet, device.clock(), self._channel))
