"""The firmware itself, on emulated boards, read through a serial port."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel.errors import DeviceError, EdgeskelError, UnknownChoice, UsageError
from firmware_bridge import firmware_build
from firmware_bridge.codecs.node import NodeCodec
from firmware_bridge.codecs.node_frame import Fields, Order
from firmware_bridge.firmware_build import BOARDS, Firmware, build
from firmware_bridge.link import Gap, Reboot, Recovered, Sample, open_link
from firmware_bridge.samples import DeviceStatus, Flags
from firmware_bridge.testing.node import simulated_motion
from firmware_bridge.testing.qemu import QemuNode
from tests.firmware_bridge.test_serial import WAIT_S, Host, missing_instants

TOOLS = {"arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi", "make": "make",
         "qemu-system-arm": "qemu-system-arm"}  # fmt: skip
SENSORS = 17


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    absent = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if absent:
        message = f"apt-get install --no-install-recommends {' '.join(absent)}"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


@pytest.fixture(scope="module")
def firmware(tools: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Firmware]:
    folder = tmp_path_factory.mktemp("firmware")
    built: dict[str, Firmware] = {}

    def of(board: str) -> Firmware:
        if board not in built:
            built[board] = build(board, folder, sensors=SENSORS, rate_hz=100, identity=f"node-of-{board}",
                                 flags=["WERROR=-Werror"])  # fmt: skip
        return built[board]

    return of


@pytest.fixture(params=sorted(BOARDS))
def node(request: pytest.FixtureRequest, firmware: Callable[[str], Firmware]) -> Iterator[QemuNode]:
    with QemuNode(firmware=firmware(request.param)) as node:
        yield node


def test_a_board_streams_what_a_body_can_do(node: QemuNode) -> None:
    """No frame lost or damaged, 100 instants per second of its own clock, and the motion that the firmware makes up."""

    async def test() -> None:
        async with Host(node.address, NodeCodec(Fields.ALL)) as host:
            await host.send(*host.codec.start())
            await host.until(lambda: len(host.codec.answers) == 3)
            enough = len(host.readings) + SENSORS * 100
            await host.until(lambda: len(host.readings) > enough)
        assert host.codec.counts.bad <= 1  # the frame that was under way when the port was opened
        assert missing_instants(host.readings) == {0}
        whole = [r for r in host.readings if r.magnetic_field is not None]
        per_sensor = [r for r in whole if r.sensor == "3"]
        steps = np.diff([r.device_us for r in per_sensor])
        assert set(steps.tolist()) == {10_000}
        for reading in whole[:: SENSORS + 1]:
            assert reading.device_us is not None
            expected = simulated_motion(SENSORS, reading.device_us)[int(reading.sensor)]
            values: list[float] = [*reading.orientation, *reading.acceleration, *reading.angular_velocity,  # type: ignore[misc]
                                   *reading.magnetic_field]  # type: ignore[misc]  # fmt: skip
            steps_apart = (np.array(values) - expected) / np.repeat([1 / 32767, 1 / 200, 1 / 900, 1 / 10], [4, 3, 3, 3])
            assert np.abs(steps_apart).max() < 4
        assert len({r.orientation for r in per_sensor}) > 50

    asyncio.run(test())


def test_a_board_says_who_it_is_and_obeys(node: QemuNode) -> None:
    async def test() -> None:
        async with Host(node.address) as host:
            await host.send(*host.codec.start(500))
            await host.until(lambda: len(host.codec.answers) == 3)
            # What it says at its start may be over before the port is open; asked, it says it again.
            await host.send(host.codec.identify())
            await host.until(lambda: len(host.codec.answers) == 4)
            identities = {item.identity for item in host.items if isinstance(item, DeviceStatus)}
            assert identities == {f"node-of-{node.firmware.board.name}"}
            enough = len(host.readings) + SENSORS * 20
            await host.until(lambda: len(host.readings) > enough)
            sensor = [r.device_us for r in host.readings if r.sensor == "0"]
            assert sensor[-1] - sensor[-2] == 2_000  # type: ignore[operator]
            assert host.codec.boot == node.boot == 1
            await host.send(*host.codec.stop(), host.codec.command(Order.RATE, b"\0\0"),
                            host.codec.command(Order.TIME_SYNC, (12345).to_bytes(8, "little")))
            await host.until(lambda: len(host.codec.answers) == 7)
            assert "refused rate" in str([item for item in host.items if isinstance(item, DeviceStatus)][-1].text)
            synced = host.codec.answers[-1]
            assert synced.order == Order.TIME_SYNC and int.from_bytes(synced.data[:8], "little") == 12345
            assert synced.device_us >= sensor[-1] - 1_000_000  # type: ignore[operator]
            stopped = len(host.readings)
            await host.send(host.codec.identify())
            await host.until(lambda: len(host.codec.answers) == 8)
            assert len(host.readings) == stopped

    asyncio.run(test())


def test_after_a_power_cycle_the_link_goes_on_and_says_so(node: QemuNode) -> None:
    async def test() -> None:
        items: list[Any] = []
        async with open_link(node.address, rate_hz=200) as link:

            async def until(condition: Callable[[], bool]) -> None:
                async def wait() -> None:
                    async for item in link:
                        items.append(item)
                        if condition():
                            return

                await asyncio.wait_for(wait(), WAIT_S)

            def samples(epoch: int) -> list[Sample]:
                return [item for item in items if isinstance(item, Sample) and item.epoch == epoch]

            def seen(kind: type[Any]) -> int:
                return sum(isinstance(item, kind) for item in items)

            def rate_of(samples: list[Sample]) -> float:
                times = [s.reading.device_us for s in samples[-4 * SENSORS :] if s.reading.sensor == "5"]
                return 1e6 / (times[-1] - times[-2]) if len(times) > 2 else 0.0  # type: ignore[operator]

            await until(lambda: rate_of(samples(0)) == 200)
            for cycle in (1, 2):
                node.power_off()
                await until(lambda: link.health.state in ("lost", "opening", "stalled"))
                node.power_on()
                # It asks for its rate again: the node has forgotten it.
                await until(lambda cycle=cycle: rate_of(samples(cycle)) == 200 and seen(Recovered) >= cycle)  # type: ignore[misc]
                assert samples(cycle)[0].reading.flags & Flags.REBOOTED
                assert seen(Reboot) == seen(Recovered) == cycle
        assert link.health.bad <= 5  # what was under way at the two power cuts, and when the port was opened, three times
        # What the emulator loses on a loaded machine is counted as a gap; a power cut is none, whatever was sent before it.
        begun: set[str | None] = set()
        for item in items:
            if isinstance(item, Reboot):
                begun = set()
            elif isinstance(item, Sample):
                begun.add(item.reading.sensor)
            elif isinstance(item, Gap):
                assert item.sensor in begun and item.count < 1000

    asyncio.run(test())


def test_the_firmware_has_no_heap_and_fits_a_small_chip(firmware: Callable[[str], Firmware]) -> None:
    made = firmware("lm3s6965evb")
    symbols = subprocess.run(["arm-none-eabi-nm", str(made.path)], capture_output=True, text=True, check=True).stdout
    assert "node_encode_samples" in symbols
    for name in ("malloc", "_sbrk", "printf"):
        assert name not in symbols
    assert made.flash < 32 * 1024
    assert made.ram < 8 * 1024


def test_what_cannot_be_built_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownChoice, match="lm3s6965evb, mps2-an385"):
        build("arduino", tmp_path)
    for options in ({"sensors": 0}, {"sensors": 65}, {"rate_hz": 0}, {"rate_hz": 1001}, {"identity": 'x"; rm'}):
        with pytest.raises(UsageError):
            build("mps2-an385", tmp_path, **options)  # type: ignore[arg-type]
    with pytest.raises(EdgeskelError, match="nothing-here.c"):
        build("mps2-an385", tmp_path, flags=["PORTABLE=nothing-here.c"])
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(firmware_build, "CROSS", "absent-")
    with pytest.raises(UsageError, match="apt-get install .*gcc-arm-none-eabi"):
        build("mps2-an385", tmp_path)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    node = QemuNode(firmware=Firmware(BOARDS["mps2-an385"], tmp_path / "absent.elf", 0, 0))
    with pytest.raises(DeviceError, match="absent.elf is not there"):
        node.power_on()
    node.close()
    node.close()


def test_a_killed_emulator_is_noticed(firmware: Callable[[str], Firmware]) -> None:
    with QemuNode(firmware=firmware("lm3s6965evb")) as node:
        node.wait(0.01)
        assert node.pid is not None
        os.kill(node.pid, 9)
        with pytest.raises(DeviceError, match="QEMU ended"):
            node.wait(WAIT_S)
