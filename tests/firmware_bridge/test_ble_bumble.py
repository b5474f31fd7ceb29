"""BLE links over bumble's controllers and a modelled radio, in virtual time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest

if os.environ.get("CI"):  # where it must not be skipped
    import firmware_bridge.testing.bumble_backend as bumble_backend
else:
    bumble_backend = pytest.importorskip("firmware_bridge.testing.bumble_backend",
                                         reason="needs bumble and bleak: pip install 'edgeskel[dev,sensors]'")

from edgeskel.errors import DeviceError  # noqa: E402 (after the check that bumble is there)
from firmware_bridge.link import Gap, Item, Link, Lost, Reboot, Recovered, Sample, Stalled  # noqa: E402
from firmware_bridge.testing.radio import RadioModel, SimulatedDevice  # noqa: E402
from firmware_bridge.testing.virtual_time import run  # noqa: E402
from firmware_bridge.transports.ble import BleTransport, Radio  # noqa: E402
from tests.firmware_bridge.counting import GATT, WRITE, CountingOverBle, packet  # noqa: E402
from tests.firmware_bridge.several import Several  # noqa: E402

Clock = Callable[[], int]


class Air:
    """A world with devices, links to them, and what came out."""

    def __init__(self, world: object, clock: Clock, count: int, model: RadioModel | None, first: int) -> None:
        self.world, self.clock = world, clock
        self.radio: Radio = world.radio()  # type: ignore[attr-defined]
        self.names = [f"n{index}" for index in range(count)]
        self.sensors = [SimulatedDevice(packet, model=model, first=first, clock=clock) for _ in self.names]
        self.items: list[Item] = []
        self.links = Several(*(self.link(name) for name in self.names))

    def link(self, name: str, **options: object) -> Link:
        return Link(f"ble:{name}", CountingOverBle, lambda: BleTransport(name, GATT, protocol="counting", radio=self.radio),
                    clock=self.clock, seed=1, **options)  # type: ignore[arg-type]

    def of(self, kind: type) -> list[Item]:
        self.items += self.links.drain()
        return [item for item in self.items if type(item) is kind]

    async def until(self, condition: Callable[[], object], limit_s: float = 30.0) -> float:
        begin_ns = self.clock()
        while not condition():
            assert self.clock() - begin_ns < limit_s * 1e9, f"waited in vain: {self.links.health}"
            await asyncio.sleep(0.01)
        return (self.clock() - begin_ns) / 1e9

    async def streaming(self) -> float:
        return await self.until(lambda: all(h.state == "streaming" for h in self.links.health))


def on_air(scenario: Callable[[Air, list[object]], Awaitable[None]], *, count: int = 1, model: RadioModel | None = None,
           first: int = 0, mtu: int = 247) -> None:
    async def whole(clock: Clock) -> None:
        world = bumble_backend.World(mtu=mtu, clock=clock)
        await world.start()
        air = Air(world, clock, count, model, first)
        peripherals = [await world.add(f"F0:00:00:00:00:{index:02X}", name, GATT, sensor, write=(WRITE,))
                       for index, (name, sensor) in enumerate(zip(air.names, air.sensors, strict=True))]
        async with air.links:
            await scenario(air, peripherals)
        await world.stop()
        await asyncio.sleep(0.1)

    run(whole)


def test_packets_arrive_in_order_and_commands_go_out() -> None:
    async def scenario(air: Air, peripherals: list[object]) -> None:
        await air.streaming()
        await asyncio.sleep(2.0)
        numbers = [item.reading.sequence for item in air.of(Sample)]
        assert len(numbers) > 190 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert air.sensors[0].written == [(b"start", WRITE)]

    on_air(scenario)


def test_seventeen_devices_lose_nothing_and_come_back_within_three_seconds() -> None:
    async def scenario(air: Air, peripherals: list[object]) -> None:
        await air.streaming()
        await asyncio.sleep(0.4)
        assert sum(h.lost for h in air.links.health) == 0 and len(air.of(Sample)) > 17 * 35
        await asyncio.gather(*(peripheral.cut() for peripheral in peripherals))  # type: ignore[attr-defined]
        await air.until(lambda: not any(h.state == "streaming" for h in air.links.health))
        assert await air.streaming() < 3.0
        assert sum(h.lost for h in air.links.health) == sum(gap.count for gap in air.of(Gap))

    on_air(scenario, count=17, model=RadioModel(interval_s=0.015))


def test_errors_in_the_air_delay_and_the_queue_loses_and_each_loss_is_counted() -> None:
    async def scenario(air: Air, peripherals: list[object]) -> None:
        await air.streaming()
        await asyncio.sleep(20.0)
        numbers = [item.reading.sequence for item in air.of(Sample)]
        lost = sum(gap.count for gap in air.of(Gap))
        assert lost == (numbers[-1] - numbers[0]) % 65536 + 1 - len(numbers)
        # What the device's queue refused after the last reading has no reading behind it yet.
        assert 0 <= peripherals[0].channel.refused - lost <= 40 and lost > 100  # type: ignore[attr-defined]

    on_air(scenario, model=RadioModel(interval_s=0.05, packet_error=0.3, queue=8, supervision_s=6.0, seed=5), first=65000)


def test_a_short_fade_is_survived() -> None:
    async def scenario(air: Air, peripherals: list[object]) -> None:
        await air.streaming()
        await asyncio.sleep(6.0)
        assert not air.of(Lost) and not air.of(Stalled)
        assert air.links.health[0].lost == peripherals[0].channel.refused > 0  # type: ignore[attr-defined]

    on_air(scenario, model=RadioModel(supervision_s=2.0, fades=((4.0, 4.4),)))


def test_a_long_fade_ends_in_a_supervision_timeout() -> None:
    async def scenario(air: Air, peripherals: list[object]) -> None:
        await air.streaming()
        await air.until(lambda: air.of(Lost))
        assert "has disconnected" in air.of(Lost)[0].reason
        await air.streaming()
        await air.until(lambda: air.clock() > 6e9 and air.links.health[0].state == "streaming")
        assert not air.of(Stalled) and peripherals[0].connects >= 2  # type: ignore[attr-defined]
        assert sum(h.lost for h in air.links.health) == sum(gap.count for gap in air.of(Gap)) >= 90

    on_air(scenario, model=RadioModel(supervision_s=0.4, fades=((4.0, 5.0),)))


def test_packets_cut_by_the_mtu_are_refused_and_counted() -> None:
    async def scenario(air: Air, peripherals: list[object]) -> None:
        await air.until(lambda: air.links.health[0].bad > 50)
        assert not air.of(Sample)
        await air.until(lambda: air.of(Stalled))

    on_air(scenario, mtu=23)


def test_a_reboot_and_a_silence_are_told_apart() -> None:
    async def scenario(air: Air, peripherals: list[object]) -> None:
        await air.streaming()
        await asyncio.sleep(3.0)
        air.sensors[0].reboot()
        await peripherals[0].cut()  # type: ignore[attr-defined]
        await air.until(lambda: air.of(Reboot))
        await asyncio.sleep(2.0)
        air.sensors[0].silent = True
        assert 0.45 < await air.until(lambda: air.of(Stalled)) < 0.55
        air.sensors[0].silent = False
        await air.streaming()
        await asyncio.sleep(0.2)
        assert [item.epoch for item in air.of(Reboot)] == [1]

    on_air(scenario, model=RadioModel())


def test_a_device_that_comes_back_after_a_minute_is_there_within_a_second() -> None:
    async def scenario(air: Air, peripherals: list[object]) -> None:
        await air.streaming()
        await peripherals[0].advertise(False)  # type: ignore[attr-defined]
        await peripherals[0].cut()  # type: ignore[attr-defined]
        await asyncio.sleep(63.0)
        await peripherals[0].advertise(True)  # type: ignore[attr-defined]
        assert await air.streaming() < 1.0
        assert air.of(Recovered)[-1].after_s > 60

    on_air(scenario)


def test_an_adapter_that_is_off_is_named() -> None:
    async def whole(clock: Clock) -> None:
        world = bumble_backend.World(clock=clock)
        await world.start()
        world.on = False
        transport = BleTransport("n0", GATT, radio=world.radio())
        with pytest.raises(DeviceError, match="switched off.*bluetoothctl power on"):
            await transport.open(lambda chunk: None, lambda reason: None)
        await world.stop()
        await asyncio.sleep(0.1)

    run(whole)
