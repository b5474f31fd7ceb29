"""The bridge under load: what it loses, how late it is, what it costs, and how it comes back.

Serial: a simulated node with 17 sensors behind a pseudo-terminal, in a process of its own, read by the feed that the product reads.
BLE: 17 nodes behind a fake org.bluez on a private bus, in another process, under bleak's real BlueZ backend; all that follows is
what ``wearable:FILE`` runs, in this process: feed, links, codecs, accounting, VQF (6-axis), the fused skeleton. There is no radio
and no baud rate in these figures.

- ``path``: what the BLE figures were measured on: ``wearable``.
- ``serial_17x400_lost``, ``ble_17x100_lost``: readings that were sent and did not come out; ``bumble_17x100_lost`` of links over
  bumble's link layer and a radio model with 10 % errors, in virtual time (full runs only).
- ``latency_p99_ms``: of each frame, from the moment at which it was due to the one at which ``wearable:`` gave it. Due it is when
  the bytes of the last reading that it waits for were there, or at the end of the longest wait (``delay``), whichever is first;
  found out afterwards by putting the same readings through the fusion one by one.
- ``client_cpu_fraction``: processor time of this process, all its threads, for each reading over BLE, times 17 x 100 a second; from
  the beginning, when gyroscopes are still judged. ``bare_reader_cpu_fraction``: of a program that has bleak call an empty function
  for the same packets, in the same process right after; ``client_over_bare_reader`` is their ratio.
- ``resync_frames_per_error``: frames of our own format lost for each isolated error in a stream of 250-byte frames;
  ``resync_frames_per_burst`` for bursts of 2 to 200 random bytes.
- ``false_accepts``: frames of our own format accepted in noise; ``weak_false_accepts`` of the worse weak protocol.
- ``reconnect_p95_s``, ``reconnect_17_s``: from a device's return to its first reading; ``serial_reopen_p95_s`` likewise. The
  daemon shares the process here (17 x 25 Hz).
- ``stall_s``: from a hang of the daemon to the report, the last period included; ``daemon_return_s``: from a SIGKILLed daemon's
  return to readings.
- ``soak_growth_mb``, ``soak_leaked``: an hour of 17 x 100 Hz with reboots and outages in virtual time, through links over
  the simulated radio (no bleak and no D-Bus in it): growth of the resident set after the first ten minutes, and tasks and
  descriptors left. ``reconnect_leaked`` counts those of real reconnects over D-Bus.

``--quick`` streams for shorter and soaks for one virtual minute.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import statistics
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from benchmarks._bench import main
from benchmarks._bridge_live import SENSORS, wearable
from benchmarks.codecs import false_accepts
from edgeskel.cli.report import console
from firmware_bridge.codecs.node import COMMANDS, NOTIFICATIONS, SERVICE, NodeCodec
from firmware_bridge.codecs.node_frame import frame_of
from firmware_bridge.feed import LiveFeed
from firmware_bridge.link import Item, Link, Lost, Sample, Stalled, open_link
from firmware_bridge.samples import Chunk
from firmware_bridge.testing.bluez import FakeBluez, FakePeripheral
from firmware_bridge.testing.node import SimulatedNode
from firmware_bridge.testing.private_bus import PrivateBus
from firmware_bridge.testing.processes import DeviceProcess, node_packets
from firmware_bridge.testing.pty_node import PtyNode
from firmware_bridge.testing.radio import RadioModel, SimulatedDevice, SimulatedTransport
from firmware_bridge.testing.virtual_time import run

__all__ = ["measure"]

SEED = 0
Links = Sequence[Link]


def measure(quick: bool) -> dict[str, Any]:
    """Loss, latency, cost, resynchronisation, reconnection and a soak."""
    figures: dict[str, Any] = {}
    parts: list[tuple[str, Callable[[], dict[str, Any]]]] = []
    if not quick:  # a link layer in Python takes longer than a quick run has
        parts.append(("bumble", lambda: run(bumble)))
    for name, part in (*parts, ("serial", lambda: serial(4.0 if quick else 60.0)),
                       ("ble", lambda: asyncio.run(wearable(4.0 if quick else 60.0))),
                       ("resync", lambda: resync(1000 if quick else 4000)),
                       ("noise", lambda: noise(6 if quick else 60)),
                       ("return", lambda: asyncio.run(returns(3 if quick else 20))),
                       ("serial return", lambda: asyncio.run(serial_returns(3 if quick else 20))),
                       ("soak", lambda: soak(60.0 if quick else 3600.0))):
        found = part()
        console.print(f"{name}: {found}")
        figures |= found
    return figures


@asynccontextmanager
async def started(*links: Link) -> AsyncIterator[Links]:
    """Links that are started, and closed in the end."""
    for link in links:
        link.start()
    try:
        yield links
    finally:
        await asyncio.gather(*(link.close() for link in links))


def drain(links: Links) -> list[Item]:
    """What waits in all of them."""
    return [item for link in links for item in link.drain()]


async def settle(links: Links, limit_s: float = 60.0) -> None:
    """Wait until every link streams."""
    end = time.monotonic() + limit_s
    while not all(link.health.state == "streaming" for link in links):
        if time.monotonic() > end:
            raise TimeoutError(f"not all devices stream: {[link.health for link in links]}")
        await asyncio.sleep(0.02)


def serial(seconds: float) -> dict[str, Any]:
    """17 sensors at 400 Hz through a pseudo-terminal."""
    with DeviceProcess("serial", devices=SENSORS, rate=400) as node:
        items: list[Item] = []
        with LiveFeed({node.addresses[0]: None}) as feed:
            begin = cpu = 0.0
            for _, batch in feed:
                if begin:
                    items += [item for item in batch if isinstance(item, Sample)]
                    if time.monotonic() > begin + seconds:
                        break
                elif feed.health[0].state == "streaming":
                    begin, cpu, before = time.monotonic(), time.process_time(), feed.health[0]
            elapsed, cpu = time.monotonic() - begin, time.process_time() - cpu
            after = feed.health[0]
        sent = node.stop()["numbers"]
    numbers: dict[str, list[int]] = {}
    for item in items:
        if isinstance(item, Sample):
            numbers.setdefault(item.reading.sensor, []).append(item.reading.sequence or 0)
    # Against what the node wrote, not by our own accounting: its mistakes would show.
    absent = holes = 0
    for each in numbers.values():
        written = sent[sent.index(each[0]):sent.index(each[-1]) + 1]
        absent += len(set(written) - set(each))
        holes += (each[-1] - each[0]) % 2**16 + 1 - len(written)
    received = sum(map(len, numbers.values()))
    return {"serial_17x400_lost": absent + after.dropped, "serial_17x400_readings": received,
            "serial_17x400_missed_by_node": holes, "serial_17x400_reported": after.lost - before.lost,
            "serial_bad_frames": after.bad - before.bad, "serial_cpu_fraction": cpu / elapsed,
            "serial_rate_hz": received / SENSORS / elapsed}


async def bumble(clock: Callable[[], int]) -> dict[str, Any]:
    """17 nodes at 100 Hz over bumble's link layer and a radio with 10 % errors, 6.5 s in virtual time."""
    from firmware_bridge.testing.bumble_backend import World
    from firmware_bridge.transports.ble import BleTransport

    assert NodeCodec.gatt is not None
    gatt, packet = NodeCodec.gatt, node_packets(100)
    world = World(clock=clock)
    await world.start()
    radio = world.radio()
    peripherals = [await world.add(f"F0:00:00:00:00:{n:02X}", f"n{n}", gatt, SimulatedDevice(
        lambda sequence, _: packet(sequence), model=RadioModel(packet_error=0.1, seed=n), clock=clock),
        write=(COMMANDS,)) for n in range(SENSORS)]
    received = 0
    async with started(*(Link(f"ble:n{n}", NodeCodec, lambda n=n: BleTransport(f"n{n}", gatt, radio=radio),  # type: ignore[misc]
                              clock=clock) for n in range(SENSORS))) as links:
        while not all(link.health.state == "streaming" for link in links):
            await asyncio.sleep(0.05)
        end = clock() + 6_500_000_000
        while clock() < end:
            await asyncio.sleep(0.05)
            received += sum(isinstance(item, Sample) for item in drain(links))
        refused = sum(peripheral.channel.refused for peripheral in peripherals if peripheral.channel)
        lost = sum(link.health.lost + link.health.dropped for link in links) - refused
    await world.stop()
    await asyncio.sleep(0.1)
    return {"bumble_17x100_lost": lost, "bumble_17x100_readings": received}


def resync(count: int) -> dict[str, Any]:
    """Frames lost for each error in a stream of our own frames, in pieces of any size."""
    node = SimulatedNode(SENSORS, micros=lambda: 0)
    whole = [b"".join(frame_of(body) for body in node.samples(n * 10_000)) for n in range(count)]
    figures: dict[str, Any] = {"resync_frame_bytes": statistics.mean(map(len, whole))}
    for kind in ("error", "burst"):
        chance = random.Random(f"{kind} {SEED}")
        hit = sorted(chance.sample(range(1, count - 1), count // 10))
        data = bytearray()
        hits = set(hit)
        for number, frame in enumerate(whole):
            data += _hurt(frame, kind, chance) if number in hits else frame
        codec, found, place = NodeCodec(), set(), 0
        while place < len(data):
            size = chance.randrange(1, 700)
            for reading in codec.decode(Chunk(bytes(data[place:place + size]), 0)):
                found.add(getattr(reading, "sequence", None))
            place += size
        figures[f"resync_frames_per_{kind}"] = (count - len(found)) / len(hit)
    return figures


def _hurt(frame: bytes, kind: str, chance: random.Random) -> bytes:
    place = chance.randrange(len(frame))
    if kind == "burst":
        length = chance.randrange(2, 201)
        return frame[:place] + chance.randbytes(min(length, len(frame) - place)) + frame[place + length:]
    how = chance.randrange(4)
    if how == 0:
        return frame[:place] + bytes([frame[place] ^ 1 << chance.randrange(8)]) + frame[place + 1:]
    if how == 1:
        return frame[:place] + frame[place + 1:]
    if how == 2:
        return frame[:place] + chance.randbytes(1) + frame[place:]
    return frame[:place] + b"\0" + frame[place + 1:]


def noise(megabytes: int) -> dict[str, Any]:
    """Frames that are found where there are none."""
    weak = min(megabytes, 20)
    return {"false_accepts": false_accepts("node", megabytes), "noise_mb": megabytes, "weak_noise_mb": weak,
            "weak_false_accepts": max(false_accepts(name, weak) for name in ("witmotion", "bno08x"))}


async def returns(rounds: int) -> dict[str, Any]:
    """How long it takes from a device's return, or the daemon's, to readings; and what is left behind."""
    peripherals = [FakePeripheral(f"AA:BB:CC:00:01:{n:02X}", f"edge-node-{n}", SERVICE, (NOTIFICATIONS,), (COMMANDS,),
                                  node_packets(25), 25) for n in range(SENSORS)]
    one, many, stalls, daemon = [], [], [], []
    async with PrivateBus():
        bluez = FakeBluez(peripherals)
        await bluez.start()
        async with started(open_link(f"ble:{peripherals[0].address}?protocol=node")) as links:
            await settle(links)  # what bleak opens once and keeps is open now
        gc.collect()
        tasks, descriptors = len(asyncio.all_tasks()), _descriptors()
        async with started(*(open_link(f"ble:{p.address}?protocol=node", seed=SEED) for p in peripherals)) as links:
            await settle(links)
            for number in range(rounds):
                one.append(await _one_return(bluez, peripherals[number % SENSORS], links, 0.3 + 0.1 * number))
            for _ in range(max(1, rounds // 4)):
                await asyncio.sleep(0.2)
                for peripheral in peripherals:
                    bluez.drop(peripheral, present=False)
                await asyncio.sleep(1.0)
                for peripheral in peripherals:
                    peripheral.present = True
                many.append(await _timed(settle(links)))
            for _ in range(max(1, rounds // 4)):
                drain(links)
                await asyncio.sleep(0.3)
                bluez.freeze()
                stalls.append(await _timed(_until(links, lambda item: isinstance(item, Stalled | Lost))))
                await bluez.kill()
                await asyncio.sleep(1.0)
                await bluez.start()
                daemon.append(await _timed(settle(links)))
        await asyncio.sleep(2.5)  # what was abandoned has ended by now
        gc.collect()
        leaked = max(0, len(asyncio.all_tasks()) - tasks) + max(0, _descriptors() - descriptors)
        await bluez.kill()
    return {"reconnect_p95_s": float(np.percentile(one, 95)), "reconnect_17_s": max(many), "stall_s": max(stalls),
            "daemon_return_s": max(daemon), "reconnect_leaked": leaked, "reconnects": rounds}


async def _one_return(bluez: FakeBluez, peripheral: FakePeripheral, links: Links, away_s: float) -> float:
    bluez.drop(peripheral, present=False)
    await asyncio.sleep(away_s)
    peripheral.present = True
    return await _timed(settle(links))


async def serial_returns(rounds: int) -> dict[str, Any]:
    """From plugging in to the first reading."""
    times = []
    with PtyNode(sensors=1, rate_hz=100) as node:
        async with started(open_link(node.address, seed=SEED)) as links:
            await settle(links)
            for number in range(rounds):
                node.unplug()
                while links[0].health.state == "streaming":
                    await asyncio.sleep(0.001)
                await asyncio.sleep(0.3 + 0.1 * number)
                node.plug_in()
                times.append(await _timed(settle(links)))
    return {"serial_reopen_p95_s": float(np.percentile(times, 95))}


async def _timed(work: Awaitable[None]) -> float:
    begin = time.monotonic()
    await work
    return time.monotonic() - begin


async def _until(links: Links, wanted: Callable[[Item], bool]) -> None:
    end = time.monotonic() + 30
    while not any(wanted(item) for item in drain(links)):
        if time.monotonic() > end:
            raise TimeoutError("nothing was reported")
        await asyncio.sleep(0.002)


def soak(seconds: float) -> dict[str, Any]:
    """17 links for so many virtual seconds, with errors in the air, outages and reboots."""
    begin = time.monotonic()
    figures = run(lambda clock: _soak(clock, seconds))
    return {**figures, "soak_virtual_s": seconds, "soak_real_s": time.monotonic() - begin}


async def _soak(clock: Callable[[], int], seconds: float) -> dict[str, Any]:
    chance = random.Random(SEED)
    packets = node_packets(100)
    whole = [packets(number)[4:] for number in range(210)]

    def packet(sequence: int, device_us: int) -> bytes:
        body = whole[sequence % 210]
        # Kind, boot number 0 (the node cannot tell), sequence, time; the rest is the same for all.
        return struct.pack("<BBHI", 1, 0, sequence, device_us % 2**32) + body[4:]

    devices = [SimulatedDevice(packet, model=RadioModel(packet_error=0.1, seed=n), first=65000, clock=clock,
                               drift_ppm=5.0 * n) for n in range(SENSORS)]
    ways: dict[int, SimulatedTransport] = {}

    def way(number: int) -> SimulatedTransport:
        ways[number] = SimulatedTransport(devices[number], f"node-{number}", channel=NOTIFICATIONS)
        return ways[number]

    descriptors, received, lost = _descriptors(), 0, 0
    resident = warm = 0.0
    async with started(*(Link(f"node-{n}", NodeCodec, lambda n=n: way(n), clock=clock, seed=n)  # type: ignore[misc]
                         for n in range(SENSORS))) as links:
        begin = clock()
        while clock() < begin + seconds * 1e9:
            await asyncio.sleep(1.0)
            for item in drain(links):
                received += isinstance(item, Sample)
            if chance.random() < 0.1:
                number = chance.randrange(SENSORS)
                if chance.random() < 0.3:
                    devices[number].reboot()
                ways[number].cut()
            if not warm and clock() > begin + seconds * 1e9 / 6:  # by then queues and caches are full
                gc.collect()
                warm = _resident_mb()
        gc.collect()
        resident = _resident_mb()
        lost = sum(link.health.lost for link in links)
    await asyncio.sleep(3.0)  # what was abandoned has ended by now
    tasks = len(asyncio.all_tasks()) - 1
    return {"soak_growth_mb": max(0.0, resident - warm), "soak_readings": received, "soak_lost_reported": lost,
            "soak_leaked": tasks + max(0, _descriptors() - descriptors)}


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _resident_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main("bridge", measure, seeds=(SEED,))
