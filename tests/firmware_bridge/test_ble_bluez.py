"""BLE links through bleak's real BlueZ backend, on a fake org.bluez and a private D-Bus daemon."""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import Awaitable, Callable
from typing import ClassVar

import pytest

from edgeskel.errors import DeviceError, UnknownChoice, UsageError
from firmware_bridge.codecs import Counts, Gatt, Write
from firmware_bridge.link import Gap, Item, Link, Links, Lost, Recovered, Sample, Stalled
from firmware_bridge.samples import Chunk, Reading, Status
from firmware_bridge.testing.bluez import FakeBluez, FakePeripheral, PrivateBus, dbus_daemon
from firmware_bridge.transports import open_transport
from firmware_bridge.transports.ble import BleTransport

if dbus_daemon() is None:
    if os.environ.get("CI"):
        pytest.fail("dbus-daemon is not installed: apt-get install dbus-daemon", pytrace=False)
    pytest.skip("needs dbus-daemon: apt-get install dbus-daemon", allow_module_level=True)

SERVICE, NOTIFY, WRITE = (f"0000{n}-1111-2222-3333-444444444444" for n in ("aaa0", "aaa1", "aaa2"))
GATT = Gatt(SERVICE, (NOTIFY,), names=("left",))


class Counting:
    """u16 counter and u32 microseconds in 26 bytes, as an inertial sensor sends them."""

    name: ClassVar[str] = "counting"
    gatt: ClassVar[Gatt | None] = GATT
    sequence_bits: ClassVar[int | None] = 16
    clock_bits: ClassVar[int | None] = 32
    clock_tick_us: ClassVar[float] = 1.0

    def __init__(self) -> None:
        self.counts = Counts()

    def decode(self, chunk: Chunk) -> list[Reading | Status]:
        if len(chunk.data) != 26 or chunk.channel != NOTIFY:
            self.counts.bad += 1
            return []
        sequence, device_us = struct.unpack_from("<HI", chunk.data)
        return [Reading(sequence=sequence, device_us=device_us)]

    def start(self, rate_hz: float | None = None) -> list[Write]:
        return [Write(b"start", WRITE)]

    def stop(self) -> list[Write]:
        return [Write(b"stop", WRITE)]

    def reply(self, chunk: Chunk) -> list[Write]:
        return []

    def reset(self) -> None:
        pass


def packet(number: int) -> bytes:
    return struct.pack("<HI20x", number % 65536, number * 10_000 % 2**32)


def peripheral(number: int = 1, name: str = "left", **options: object) -> FakePeripheral:
    return FakePeripheral(f"AA:BB:CC:00:00:{number:02X}", name, SERVICE, (NOTIFY,), (WRITE,), packet, **options)  # type: ignore[arg-type]


def link_to(place: str, *, acquire: bool = False, search_s: float = 10.0, **options: object) -> Link:
    return Link(f"ble:{place}", Counting,
                lambda: BleTransport(place, GATT, protocol="counting", acquire=acquire, search_s=search_s),
                seed=1, **options)  # type: ignore[arg-type]


class Watched:
    """Reads a link (or several) and keeps what came."""

    def __init__(self, link: Link | Links) -> None:
        self.link, self.items = link, []  # type: tuple[Link | Links, list[Item]]

    def of(self, kind: type) -> list[Item]:
        self.items += self.link.drain()
        return [item for item in self.items if type(item) is kind]

    async def until(self, condition: Callable[[], object], limit_s: float = 10.0) -> float:
        begin = time.monotonic()
        while not condition():
            assert time.monotonic() - begin < limit_s, f"waited in vain; {self.items[-3:]}"
            await asyncio.sleep(0.005)
        return time.monotonic() - begin


def run(scenario: Callable[[FakeBluez], Awaitable[None]], *peripherals: FakePeripheral) -> None:
    async def whole() -> None:
        async with PrivateBus():
            bluez = FakeBluez(peripherals)
            await bluez.start()
            await scenario(bluez)
            await bluez.kill()
            left = [task for task in asyncio.all_tasks() if task.get_name().startswith(("link", "watch"))]
            assert not left

    asyncio.run(whole())


@pytest.mark.parametrize("acquire", [False, True])
def test_notifications_arrive_whole_and_commands_go_out(acquire: bool) -> None:
    device = peripheral()

    async def scenario(bluez: FakeBluez) -> None:
        async with link_to("left", acquire=acquire) as link:
            watched = Watched(link)
            await watched.until(lambda: len(watched.of(Sample)) >= 100)
            assert link.health.lost == 0 and link.health.bad == 0
        assert device.written == [(WRITE, b"start"), (WRITE, b"stop")]
        assert not bluez.connected(device)

    run(scenario, device)


def test_the_address_finds_it_too_and_an_enrolment_knows_it() -> None:
    device = peripheral()

    async def scenario(bluez: FakeBluez) -> None:
        transport = BleTransport("aa:bb:cc:00:00:01", GATT)
        chunks: list[Chunk] = []
        await transport.open(chunks.append, lambda reason: None)
        assert transport.identity == "ble:AA:BB:CC:00:00:01"
        await Watched(Links([])).until(lambda: len(chunks) > 5)
        assert chunks[0].channel == NOTIFY and abs(chunks[0].host_ns - time.monotonic_ns()) < 2e9
        with pytest.raises(DeviceError, match="no characteristic 'x'"):
            await transport.write(b"", "x")
        await transport.close()
        await transport.close()
        with pytest.raises(DeviceError, match="is not connected"):
            await transport.write(b"", WRITE)

    run(scenario, device)


def test_seventeen_at_once_through_one_scanner_and_one_connection_at_a_time() -> None:
    devices = [peripheral(n, f"node-{n}", rate_hz=25.0) for n in range(17)]  # 100 Hz are the benchmark's
    for device in devices:
        device.packet = lambda number: struct.pack("<HI20x", number % 65536, number * 40_000 % 2**32)

    async def scenario(bluez: FakeBluez) -> None:
        async with Links([link_to(device.name) for device in devices]) as links:
            watched = Watched(links)
            streaming = lambda: all(h.state == "streaming" for h in links.health)  # noqa: E731
            await watched.until(streaming, 120)  # seconds on a machine of one's own
            assert bluez.most_at_once == 1
            for device in devices:
                bluez.drop(device)
            await watched.until(lambda: not any(h.state == "streaming" for h in links.health))
            await watched.until(streaming, 120)
            await asyncio.sleep(0.3)
            gaps = sum(gap.count for gap in watched.of(Gap))
            assert sum(h.lost for h in links.health) == gaps  # each packet of the outage is accounted for
            assert bluez.most_at_once == 1

    run(scenario, *devices)


def test_a_device_that_comes_back_is_connected_again() -> None:
    device = peripheral()

    async def scenario(bluez: FakeBluez) -> None:
        async with link_to("left") as link:
            watched = Watched(link)
            await watched.until(lambda: len(watched.of(Sample)) >= 20)
            bluez.drop(device, present=False)
            await watched.until(lambda: watched.of(Lost))
            assert "has disconnected" in watched.of(Lost)[0].reason
            await asyncio.sleep(1.5)
            device.present = True
            assert await watched.until(lambda: link.health.state == "streaming") < 2.0

    run(scenario, device)


def test_a_killed_daemon_is_noticed_and_its_return_too() -> None:
    """bleak says "connected" all the time; the bus says who has gone."""
    device = peripheral()

    async def scenario(bluez: FakeBluez) -> None:
        async with link_to("left") as link:
            watched = Watched(link)
            await watched.until(lambda: len(watched.of(Sample)) >= 50)
            await bluez.kill()
            assert await watched.until(lambda: watched.of(Lost) or watched.of(Stalled)) < 2.0
            await asyncio.sleep(1.0)
            await bluez.start()
            assert await watched.until(lambda: link.health.state == "streaming") < 5.0
            assert watched.of(Recovered)

    run(scenario, device)


def test_a_daemon_that_hangs_is_noticed_by_silence_alone() -> None:
    device = peripheral()

    async def scenario(bluez: FakeBluez) -> None:
        async with link_to("left") as link:
            watched = Watched(link)
            await watched.until(lambda: len(watched.of(Sample)) >= 50)
            bluez.freeze()
            assert 0.3 < await watched.until(lambda: watched.of(Stalled)) < 2.0
            await bluez.kill()  # what an administrator does then
            await bluez.start()
            await watched.until(lambda: link.health.state == "streaming", 20.0)

    run(scenario, device)


def test_the_bus_itself_may_be_killed() -> None:
    device = peripheral()

    async def whole() -> None:
        async with PrivateBus() as bus:
            bluez = FakeBluez([device])
            await bluez.start()
            async with link_to("left") as link:
                watched = Watched(link)
                await watched.until(lambda: len(watched.of(Sample)) >= 20)
                await bus.kill()
                assert await watched.until(lambda: watched.of(Lost) or watched.of(Stalled)) < 2.0
                await bluez.kill()
                await bus.start()
                await bluez.start()
                await watched.until(lambda: link.health.state == "streaming", 20.0)
            await bluez.kill()

    asyncio.run(whole())


def test_a_silent_device_that_stays_connected_is_opened_anew() -> None:
    device = peripheral()

    async def scenario(bluez: FakeBluez) -> None:
        async with link_to("left") as link:
            watched = Watched(link)
            await watched.until(lambda: len(watched.of(Sample)) >= 50)
            device.silent = True
            await watched.until(lambda: watched.of(Stalled))
            device.silent = False
            await watched.until(lambda: link.health.state == "streaming")
            assert device.connects == 2
            assert link.health.lost == sum(gap.count for gap in watched.of(Gap)) >= 50

    run(scenario, device)


def test_busy_and_broken_off_connections_are_tried_again() -> None:
    device = peripheral()

    async def scenario(bluez: FakeBluez) -> None:
        bluez.busy, bluez.aborts = 2, 1
        async with link_to("left") as link:
            watched = Watched(link)
            await watched.until(lambda: len(watched.of(Sample)) >= 5)
            assert bluez.busy == bluez.aborts == 0

    run(scenario, device)


def test_a_device_that_the_daemon_forgot_is_found_again() -> None:
    device = peripheral()

    async def scenario(bluez: FakeBluez) -> None:
        async with link_to("left") as link:
            watched = Watched(link)
            await watched.until(lambda: len(watched.of(Sample)) >= 50)
            bluez.remove(device)
            await watched.until(lambda: watched.of(Stalled) or watched.of(Lost))
            await watched.until(lambda: link.health.state == "streaming")

    run(scenario, device)


@pytest.mark.parametrize(("prepare", "words"), [
    (lambda b: b.power(False), "switched off.*bluetoothctl power on"),
    (lambda b: setattr(b, "denied", True), "no permission.*usermod -aG bluetooth"),
    (lambda b: setattr(b.peripherals[0], "present", False), "not found within 0.3 s"),
    (lambda b: setattr(b, "busy", 99), "busy with another scan"),
    (lambda b: setattr(b.peripherals[0], "notify", (WRITE,)), "no characteristic 0000aaa1.*speaks counting"),
    (lambda b: setattr(b, "acquire_refused", True), "subscribing to ble:left"),
    (lambda b: b.peripherals.append(peripheral(2)), "2 devices are called 'left': AA:BB:CC:00:00:01, AA:BB:CC:00:00:02"),
])
def test_what_is_wrong_is_named_with_what_to_do(prepare: Callable[[FakeBluez], None], words: str) -> None:
    async def scenario(bluez: FakeBluez) -> None:
        prepare(bluez)
        transport = BleTransport("left", GATT, protocol="counting", search_s=0.3, acquire=bluez.acquire_refused)
        with pytest.raises(DeviceError, match=words):
            await transport.open(lambda chunk: None, lambda reason: None)

    run(scenario, peripheral())


def test_without_a_daemon_or_a_bus_it_says_so() -> None:
    async def without_daemon() -> None:
        async with PrivateBus():
            with pytest.raises(DeviceError, match="daemon does not run.*systemctl start bluetooth"):
                await BleTransport("left", GATT).open(print, print)

    asyncio.run(without_daemon())


def test_without_a_bus_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    with pytest.raises(DeviceError, match="no D-Bus system bus"):
        asyncio.run(BleTransport("left", GATT).open(print, print))


def test_of_two_namesakes_the_one_that_was_connected_before_is_taken() -> None:
    device, other = peripheral(1), peripheral(2, present=False)

    async def scenario(bluez: FakeBluez) -> None:
        async with link_to("left") as link:
            watched = Watched(link)
            await watched.until(lambda: len(watched.of(Sample)) >= 5)
            other.present = True
            bluez.drop(device)
            await watched.until(lambda: device.connects == 2 and link.health.state == "streaming")
            assert other.connects == 0

    run(scenario, device, other)


@pytest.mark.parametrize(("address", "error"), [
    ("ble:left?protocol=witmotion", UsageError),
    ("ble:left?protocol=dto", UnknownChoice),
    ("ble:left?notify=ask", UnknownChoice),
    ("ble:left?pair=yes", UsageError),
    ("ble:left?seconds=-1", UsageError),
    ("ble:left?mtu=23", UnknownChoice),
])
def test_wrong_addresses_are_refused_before_anything_is_opened(address: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        open_transport(address)


def test_an_address_names_protocol_and_device() -> None:
    transport = open_transport("ble:Movella DOT?protocol=dot&notify=acquire&pair=1&seconds=3")
    assert transport.address == "ble:Movella DOT"
