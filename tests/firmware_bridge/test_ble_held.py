"""What other programs of this machine have connected: left alone while they listen, freed where they were killed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edgeskel.errors import DeviceError
from firmware_bridge.link import Lost, Sample
from firmware_bridge.scanning import ble
from firmware_bridge.transports.ble import BleTransport
from tests.firmware_bridge.bluez_worlds import SLOWER, run
from tests.firmware_bridge.counting import GATT
from tests.firmware_bridge.test_ble_bluez import SEARCH_S, Watched, link_to, peripheral

ROOT = Path(__file__).resolve().parents[2]
OTHER_PROGRAM = """
import asyncio, sys
from firmware_bridge.transports.ble import BleTransport
from tests.firmware_bridge.counting import GATT
async def listen():
    heard = asyncio.Event()
    transport = BleTransport("left", GATT, acquire=sys.argv[1] == "True")
    await transport.open(lambda chunk: heard.set(), lambda reason: None)
    await heard.wait()
    print("listening", flush=True)
    await asyncio.sleep(3600)
asyncio.run(listen())
"""


@asynccontextmanager
async def another_program(acquire: bool) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that listens to the device; it is killed in the end."""
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", OTHER_PROGRAM, str(acquire), cwd=ROOT,
                                                   env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.PIPE)
    try:
        assert program.stdout is not None and await program.stdout.readline() == b"listening\n"
        yield program
    finally:
        if program.returncode is None:
            program.kill()
        await program.wait()


@pytest.mark.parametrize("acquire", [False, True])
def test_a_device_that_a_killed_program_has_left_connected_is_opened_all_the_same(
    acquire: bool, caplog: pytest.LogCaptureFixture
) -> None:
    device = peripheral()

    async def scenario(bluez: Any) -> None:
        async with another_program(acquire) as program:
            program.kill()
            await program.wait()
        assert bluez.connected(device)
        async with link_to("left") as link:
            watched = Watched(link)
            await watched.until(lambda: len(watched.of(Sample)) >= 20)
            assert not watched.of(Lost)
        assert "AA:BB:CC:00:00:01 was still connected" in caplog.text

    run(scenario, device)


def test_a_device_that_another_program_listens_to_is_left_to_it() -> None:
    device = peripheral()

    async def scenario(bluez: Any) -> None:
        async with another_program(acquire=False):
            found = await ble(SEARCH_S)
            assert [(each.address, each.name, each.connected) for each in found] == [("ble:AA:BB:CC:00:00:01", "left", True)]
            transport = BleTransport("left", GATT, search_s=2.0 * SLOWER)
            with pytest.raises(DeviceError, match="another program listens.*bluetoothctl disconnect AA:BB:CC:00:00:01"):
                await transport.open(lambda chunk: None, lambda reason: None)
            assert device.connects == 1

    run(scenario, device)
