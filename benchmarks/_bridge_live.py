"""17 nodes over Bluetooth through ``wearable:`` as the product runs it, and how late and how dear that is.

Real are bleak and its BlueZ backend, D-Bus, the sockets that notifications come through, and all of ours: the wearable's file, the
list of enrolled devices, the feed's thread, links, codecs, VQF (6-axis), fusion. The nodes and org.bluez are simulated, in another
process; there is no radio.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from firmware_bridge.body import SEGMENTS, Calibration
from firmware_bridge.codecs.node import NOTIFICATIONS
from firmware_bridge.device_allowlist import DeviceAllowlist
from firmware_bridge.feed import Batch, Feed
from firmware_bridge.fusion import FusedFrame
from firmware_bridge.link import Sample
from firmware_bridge.oriented_sample import OrientationSettings
from firmware_bridge.testing.private_bus import PrivateBus
from firmware_bridge.testing.processes import DeviceProcess
from firmware_bridge.wearable import Wearable, feed_of
from firmware_bridge.wearable_config import DeviceConfig, SensorConfig, WearableConfig, toml_of
from firmware_bridge.wearable_pipeline import WearablePipeline

__all__ = ["bare_reader", "wearable"]

SENSORS = len(SEGMENTS)
RATE_HZ = 100
WARM_S = 2.0
"""The first second of readings is kept until it is over; then it is worked through at once."""
LIMIT_S = 60.0


class _Kept(Feed):
    """A feed whose batches are kept, to be looked at when the measurement is over; until ``counting`` is set."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.batches: list[Batch] = []
        self.counting = False
        self.items = 0

    def __enter__(self) -> Feed:
        return self.feed.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.feed.__exit__(*error)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.feed:
            self.items += len(batch[1])
            if not self.counting:
                self.batches.append(batch)
            self.health = self.feed.health
            yield batch

    def expect(self, until_s: float, devices: Collection[str] | None) -> None:
        self.feed.expect(until_s, devices)


def worn(folder: Path, addresses: list[str]) -> tuple[WearableConfig, Calibration]:
    """A file for nodes at these addresses, all enrolled; how they sit is made up, which costs the same."""
    path = folder / "body.toml"
    path.write_text(toml_of([DeviceConfig(address, (SensorConfig("", segment, OrientationSettings("6-axis")),))
                             for address, segment in zip(addresses, SEGMENTS, strict=True)], enrolled="devices.json"))
    session = WearableConfig.load(path)
    allowlist = DeviceAllowlist(session.enrolled)
    for address in addresses:
        allowlist.add(address.partition("?")[0])
    still = np.array([1.0, 0.0, 0.0, 0.0])
    return session, Calibration({segment: still for segment in SEGMENTS}, dict.fromkeys(SEGMENTS, 0.0),
                                dict.fromkeys(SEGMENTS, "movement"))


async def wearable(seconds: float) -> dict[str, Any]:
    """Latency of frames, processor time, and what is lost; then a bare reader of the same packets."""
    async with PrivateBus():
        with DeviceProcess("bluez", devices=SENSORS, rate=RATE_HZ) as devices, tempfile.TemporaryDirectory() as folder:
            session, calibration = worn(Path(folder), devices.addresses)
            figures = await asyncio.to_thread(_run, session, calibration, seconds)
            bare = await bare_reader(devices.addresses, min(seconds, 10.0))
    return {"path": "wearable", **figures, "bare_reader_cpu_fraction": bare,
            "client_over_bare_reader": figures["client_cpu_fraction"] / bare}


def _run(session: WearableConfig, calibration: Calibration, seconds: float) -> dict[str, Any]:
    """Frames for so long with everything kept, for their latency, then for so long without, for the processor time."""
    feed = _Kept(feed_of(session))
    source = Wearable(session, feed, calibration=calibration)
    made: list[tuple[float, float]] = []  # when, and the frame's own time
    with source:
        frames = source.fused()
        limit = time.monotonic() + LIMIT_S
        while next(frames).measured.sum() < SENSORS:
            if time.monotonic() > limit:
                raise TimeoutError(f"not all devices stream: {source.health}")
        _frames(frames, WARM_S)
        begun = len(feed.batches)
        made = _frames(frames, seconds)
        kept, feed.counting = feed.batches, True
        gc.collect()  # the kept ones need not be looked at again, which would count as ours
        gc.freeze()
        items, begin, cpu = feed.items, time.monotonic(), time.process_time()
        counted = len(_frames(frames, seconds))
        elapsed, cpu, items = time.monotonic() - begin, time.process_time() - cpu, feed.items - items
        gc.unfreeze()
        health = source.health
    due = due_times(session, calibration, kept, begun)
    late = np.array([1e3 * (at - due[own]) for at, own in made if own in due])
    low, high = np.percentile(late, [50, 99])
    numbers: dict[str, list[int]] = {}
    for _, batch in kept[begun:]:
        for item in batch:
            if isinstance(item, Sample):
                numbers.setdefault(item.device, []).append(item.reading.sequence or 0)
    absent = sum((b - a - 1) % 2**16 for each in numbers.values() for a, b in zip(each, each[1:], strict=False))
    return {"ble_17x100_lost": absent + sum(h.lost + h.dropped for h in health),
            "ble_17x100_readings": sum(map(len, numbers.values())) + items, "ble_frames": len(made) + counted,
            "latency_p50_ms": float(low), "latency_p99_ms": float(high), "latency_frames": len(late),
            "client_cpu_fraction": cpu / items * SENSORS * RATE_HZ, "ble_reopened": sum(h.reopened for h in health),
            "frames_per_second": counted / elapsed}


def _frames(frames: Iterator[FusedFrame], seconds: float) -> list[tuple[float, float]]:
    """When each frame of so long came, and its own time."""
    made = []
    end = time.monotonic() + seconds
    for fused in frames:
        now = time.monotonic()
        made.append((now, fused.frame.time))
        if now >= end:
            break
    return made


def due_times(session: WearableConfig, calibration: Calibration, batches: list[Batch], begun: int) -> dict[float, float]:
    """Seconds at which each frame could be made at the earliest, by its own time: by somebody who looks at every reading in the
    very moment in which its bytes were there, and takes no time for it."""
    pipeline = WearablePipeline(session, None, calibration)
    for _, items in batches[:begun]:  # as it was taken, so that the frames are those of the run
        for item in items:
            pipeline.take(item)
        pipeline.frames(max((item.host_ns for item in items if isinstance(item, Sample)), default=0))
    samples = [item for _, items in batches[begun:] for item in items if isinstance(item, Sample)]
    due: dict[float, float] = {}
    for sample in sorted(samples, key=lambda sample: sample.host_ns):
        pipeline.take(sample)
        for fused in pipeline.frames(sample.host_ns):
            due[fused.frame.time] = min(sample.host_ns * 1e-9, fused.frame.time + session.delay_s)
    return due


async def bare_reader(addresses: list[str], seconds: float) -> float:
    """Processor time, as a share of a core, of a program that has bleak call a function that does nothing for the same packets."""
    from bleak import BleakClient, BleakScanner

    received = 0

    def hear(*_: Any) -> None:
        nonlocal received
        received += 1

    clients: list[Any] = []
    for address in addresses:
        name = address.partition("?")[0].removeprefix("ble:")
        device = await BleakScanner.find_device_by_address(name)
        assert device is not None, f"{name} advertises"
        client = BleakClient(device)
        await client.connect()
        await client.start_notify(NOTIFICATIONS, hear, bluez={"use_start_notify": False})
        clients.append(client)
    await asyncio.sleep(0.5)
    received, cpu = 0, time.process_time()
    await asyncio.sleep(seconds)
    cpu = time.process_time() - cpu
    share = cpu / received * SENSORS * RATE_HZ
    for client in clients:
        await client.disconnect()
    return share
