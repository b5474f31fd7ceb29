"""BLE links through bleak's real BlueZ backend, on a fake org.bluez and a private D-Bus daemon."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edgeskel.errors import DeviceError, UnknownChoice, UsageError
from firmware_bridge.link import Gap, Item, Link, Lost, Recovered, Sample, Stalled
from firmware_bridge.samples import Chunk
from firmware_bridge.testing.bluez import FakePeripheral
from firmware_bridge.testing.private_bus import PrivateBus, dbus_daemon
from firmware_bridge.transports import open_transport
from firmware_bridge.transports.ble import BleTransport
from tests.firmware_bridge.bluez_worlds import LONGEST_S, REAL, SLOWER, World, fake_only, run
from tests.firmware_bridge.counting import GATT, NOTIFY, SERVICE, WRITE, CountingOverBle, packet
from tests.firmware_bridge.several import Several

if dbus_daemon() is None:
    if os.environ.get("CI"):
        pytest.fail("dbus-daemon is not installed: apt-get install dbus-daemon", pytrace=False)
    pytest.skip("needs dbus-daemon: apt-get install dbus-daemon", allow_module_level=True)

SEARCH_S = 0.3 * SLOWER
CROWD_HZ = 4.0 if REAL else 25.0  # of each of 17: an emulated processor carries no more; 100 Hz are the benchmark's


def peripheral(number: int = 1, name: str = "left", **options: object) -> FakePeripheral:
    return FakePeripheral(f"AA:BB:CC:00:00:{number:02X}", name, SERVICE, (NOTIFY,), (WRITE,),
                          lambda n: packet(n, n * 10_000), **options)  # type: ignore[arg-type]


def link_to(place: str, *, acquire: bool = False, search_s: float = 10.0, **options: object) -> Link:
    return Link(f"ble:{place}", CountingOverBle,
                lambda: BleTransport(place, GATT, protocol="counting", acquire=acquire, search_s=search_s),
                seed=1, **options)  # type: ignore[arg-type]


class Watched:
    """Reads a link (or several) and keeps what came."""

    def __init__(self, link: Link | Several) -> None:
        self.link, self.items = link, []  # type: tuple[Link | Several, list[Item]]

    def of(self, kind: type) -> list[Item]:
        self.items += self.link.drain()
        return [item for item in self.items if type(item) is kind]

    async def until(self, condition: Callable[[], object]) -> None:
        """How soon it is true is for ``benchmarks.bridge`` to say; here only that it becomes true (``run`` has the limit)."""
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("acquire", [False, True])
def test_notifications_arrive_whole_and_commands_go_out(acquire: bool) -> None:
    device = peripheral()

    async def scenario(bluez: Any) -> None:
        async with link_to("left", acquire=acquire) as link:
            watched = Watched(link)
            await watched.until(lambda: len(watched.of(Sample)) >= 100)
            assert link.health.lost == 0 and link.health.bad == 0
        assert device.written == [(WRITE, b"start"), (WRITE, b"stop")]
        await watched.until(lambda: not bluez.connected(device))  # bluetoothd gives a device two seconds to say goodbye

    run(scenario, device)


@fake_only
def test_a_device_that_may_be_listened_to_through_a_socket_is_heard_where_the_daemon_refuses_one() -> None:
    device = peripheral()

    async def scenario(bluez: Any) -> None:
        gatt = replace(GATT, acquire=True)
        for refused in (False, True):
            bluez.acquire_refused = refused
            link = Link("ble:left", CountingOverBle, lambda: BleTransport("left", gatt), seed=1)
            async with link:
                watched = Watched(link)
                await watched.until(lambda watched=watched: len(watched.of(Sample)) >= 20)
                assert bluez.lends_socket == (not refused)
            await watched.until(lambda: not bluez.connected(device))

    run(scenario, device)


def test_the_address_finds_it_too_and_an_enrolment_knows_it() -> None:
    device = peripheral()

    async def scenario(bluez: Any) -> None:
        transport = BleTransport("aa:bb:cc:00:00:01", GATT)
        chunks: list[Chunk] = []
        begin_ns = time.monotonic_ns()
        await transport.open(chunks.append, lambda reason: None)
        assert transport.identity == "ble:AA:BB:CC:00:00:01"
        await Watched(Several()).until(lambda: len(chunks) > 5)
        assert chunks[0].channel == NOTIFY and begin_ns < chunks[0].host_ns <= chunks[-1].host_ns < time.monotonic_ns()
        with pytest.raises(DeviceError, match="no characteristic 'x'"):
            await transport.write(b"", "x")
        await transport.close()
        await transport.close()
        with pytest.raises(DeviceError, match="is not connected"):
            await transport.write(b"", WRITE)

    run(scenario, device)


def test_seventeen_at_once_through_one_scanner_and_one_connection_at_a_time() -> None:
    devices = [peripheral(n, f"node-{n}", rate_hz=CROWD_HZ) for n in range(17)]
    for device in devices:
        device.packet = lambda n: packet(n, round(n / CROWD_HZ * 1e6))

    async def scenario(bluez: Any) -> None:
        async with Several(*(link_to(device.name) for device in devices)) as links:
            watched = Watched(links)
            streaming = lambda: all(h.state == "streaming" for h in links.health)  # noqa: E731
            await watched.until(streaming)
            assert bluez.most_at_once in (1, None)
            for device in devices:
                bluez.drop(device)
            await watched.until(lambda: not any(h.state == "streaming" for h in links.health))
            await watched.until(streaming)
            await watched.until(lambda: watched.of(Gap))
            gaps = sum(gap.count for gap in watched.of(Gap))
            assert sum(h.lost for h in links.health) == gaps  # each packet of the outage is accounted for
            assert bluez.most_at_once in (1, None)

    run(scenario, *devices)


@pytest.mark.parametrize("acquire", [False, True])
def test_a_device_that_comes_back_is_connected_again(acquire: bool) -> None:
    device = peripheral()

    async def scenario(bluez: Any) -> None:
        async with link_to("left", acquire=acquire) as link:
            watched = Watched(link)
            await watched.until(lambda: len(watched.of(Sample)) >= 20)
            bluez.drop(device, present=False)
            await watched.until(lambda: watched.of(Lost))
            assert "has disconnected" in watched.of(Lost)[0].reason
            await watched.until(lambda: link.health.state == "opening")  # it looks for a device that is away
            device.present = True
            await watched.until(lambda: link.health.state == "streaming")

    run(scenario, device)


@pytest.mark.parametrize("acquire", [False, True])
def test_a_killed_daemon_is_noticed_and_its_return_too(acquire: bool) -> None:
    """bleak says "connected" all the time; the bus says who has gone."""
    device = peripheral()

    async def scenario(bluez: Any) -> None:
        async with link_to("left", acquire=acquire) as link:
            watched = Watched(link)
            await watched.until(lambda: len(watched.of(Sample)) >= 50)
            await bluez.kill()
            await watched.until(lambda: watched.of(Lost) or watched.of(Stalled))
            await watched.until(lambda: "does not run" in link.health.problem)  # it was tried in vain
            await bluez.start()
            await watched.until(lambda: link.health.state == "streaming")
            assert watched.of(Recovered)

    run(scenario, device)


@pytest.mark.parametrize("acquire", [False, True])
def test_a_daemon_that_hangs_is_noticed_by_silence_alone(acquire: bool) -> None:
    device = peripheral()

    async def scenario(bluez: Any) -> None:
        async with link_to("left", acquire=acquire) as link:
            watched = Watched(link)
            await watched.until(lambda: len(watched.of(Sample)) >= 50)
            bluez.freeze()
            await watched.until(lambda: watched.of(Stalled))
            await bluez.kill()  # what an administrator does then
            await bluez.start()
            await watched.until(lambda: link.health.state == "streaming")

    run(scenario, device)


def test_the_bus_itself_may_be_killed() -> None:
    device = peripheral()

    async def whole() -> None:
        async with World(device) as world, link_to("left") as link:
            watched = Watched(link)
            await watched.until(lambda: len(watched.of(Sample)) >= 20)
            await world.bus.kill()
            await watched.until(lambda: watched.of(Lost) or watched.of(Stalled))
            await world.bluez.kill()
            await world.bus.start()
            await world.bluez.start()
            await watched.until(lambda: link.health.state == "streaming")

    asyncio.run(asyncio.wait_for(whole(), LONGEST_S * SLOWER))


def test_a_silent_device_that_stays_connected_is_opened_anew() -> None:
    device = peripheral()

    async def scenario(bluez: Any) -> None:
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


@fake_only
def test_a_socket_that_ends_while_the_device_stays_connected_is_opened_anew() -> None:
    """bleak closes its end and tells nobody."""
    device = peripheral()

    async def scenario(bluez: Any) -> None:
        async with link_to("left", acquire=True) as link:
            watched = Watched(link)
            await watched.until(lambda: len(watched.of(Sample)) >= 50)
            bluez.end_sockets()
            assert bluez.connected(device)
            await watched.until(lambda: watched.of(Stalled))
            await watched.until(lambda: link.health.state == "streaming")
            assert bluez.lends_socket
            assert device.connects == 2

    run(scenario, device)


@fake_only
def test_busy_and_broken_off_connections_are_tried_again() -> None:
    device = peripheral()

    async def scenario(bluez: Any) -> None:
        bluez.busy, bluez.aborts = 2, 1
        async with link_to("left") as link:
            watched = Watched(link)
            await watched.until(lambda: len(watched.of(Sample)) >= 5)
            assert bluez.busy == bluez.aborts == 0

    run(scenario, device)


def test_a_device_that_the_daemon_forgot_is_found_again() -> None:
    device = peripheral()

    async def scenario(bluez: Any) -> None:
        async with link_to("left") as link:
            watched = Watched(link)
            await watched.until(lambda: len(watched.of(Sample)) >= 50)
            bluez.remove(device)
            await watched.until(lambda: watched.of(Stalled) or watched.of(Lost))
            await watched.until(lambda: link.health.state == "streaming")

    run(scenario, device)


@pytest.mark.parametrize(("prepare", "words"), [
    (lambda b: b.power(False), "switched off.*bluetoothctl power on"),
    pytest.param(lambda b: setattr(b, "denied", True), "no permission.*usermod -aG bluetooth", marks=fake_only),
    (lambda b: setattr(b.peripherals[0], "present", False), f"not found within {SEARCH_S:g} s"),
    pytest.param(lambda b: setattr(b, "busy", 99), "busy with another scan", marks=fake_only),
    (lambda b: b.offer(b.peripherals[0], [WRITE]), "no characteristic 0000aaa1.*speaks counting"),
    pytest.param(lambda b: setattr(b, "acquire_refused", True), "subscribing to ble:left", marks=fake_only),
    (lambda b: b.peripherals.append(peripheral(2)), "2 devices are called 'left': AA:BB:CC:00:00:01, AA:BB:CC:00:00:02"),
])
def test_what_is_wrong_is_named_with_what_to_do(prepare: Callable[[Any], Any], words: str) -> None:
    async def scenario(bluez: Any) -> None:
        done = prepare(bluez)
        if done is not None:
            await done
        transport = BleTransport("left", GATT, protocol="counting", search_s=SEARCH_S, acquire=bluez.acquire_refused)
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

    async def scenario(bluez: Any) -> None:
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
