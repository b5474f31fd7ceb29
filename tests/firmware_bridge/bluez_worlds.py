"""Where the tests of BLE links run: on a fake org.bluez, or in a virtual machine (``tests/firmware_bridge/vm``) on a real one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from firmware_bridge.testing.bluez import FakeBluez, FakePeripheral
from firmware_bridge.testing.private_bus import PrivateBus

REAL = os.environ.get("EDGESKEL_BLUEZ") == "kernel"
"""Whether org.bluez is the real one."""
if REAL:  # not on the way: in the guest it takes longer than a test may
    from tests.firmware_bridge.vm.kernel_bluez import KernelBluez
SLOWER = float(os.environ.get("EDGESKEL_SLOWER", "1"))
"""How much slower than usual the machine is; limits of time are longer by that."""
LONGEST_S = 240.0  # what is waited for comes within seconds, but on a loaded machine

fake_only = pytest.mark.skipif(REAL, reason="a fault that only the fake has on demand")


class World:
    """A bus, a daemon on it, and devices in reach."""

    def __init__(self, *peripherals: FakePeripheral) -> None:
        self.bus = PrivateBus()
        self._peripherals = peripherals
        self.bluez: Any = None  # FakeBluez, or what has its interface

    async def __aenter__(self) -> World:
        await self.bus.__aenter__()
        if REAL:
            self.bluez = KernelBluez(self._peripherals)
        else:
            self.bluez = FakeBluez(self._peripherals)
        await self.bluez.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await (self.bluez.close() if REAL else self.bluez.kill())
        await self.bus.__aexit__(None, None, None)


def run(scenario: Callable[[Any], Awaitable[None]], *peripherals: FakePeripheral) -> None:
    """Run a scenario, which is given the daemon; afterwards nothing of ours may be left."""

    async def whole() -> None:
        async with World(*peripherals) as world:
            await scenario(world.bluez)
            left = [task for task in asyncio.all_tasks() if task.get_name().startswith(("link", "watch"))]
            assert not left

    async def bounded() -> None:
        """A test that hangs in a guest would hold up all others; what everybody waits for is printed then."""
        task = asyncio.ensure_future(whole())
        done, _ = await asyncio.wait({task}, timeout=LONGEST_S * SLOWER)
        if not done:
            for each in asyncio.all_tasks():
                each.print_stack()
            pytest.fail(f"not done after {LONGEST_S * SLOWER:g} s", pytrace=False)
        await task

    asyncio.run(bounded())
