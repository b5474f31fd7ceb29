"""Simulated devices in a process of their own, so that what they cost is not counted as ours, and so that they can be killed.

    with DeviceProcess("bluez", devices=17, rate=100) as devices:    # needs a PrivateBus around it
        ...
        print(devices.stop())                                       # what was sent

As a command: ``python -m firmware_bridge.testing.processes serial --devices 17 --rate 400``. It prints one JSON object when
the devices are there and, when its standard input ends, another with what they sent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

from edgeskel.errors import DeviceError

__all__ = ["DeviceProcess", "node_packets"]

DISTINCT = 210
"""Packets that are made beforehand and sent in turn, with new numbers: the motion repeats after 2.1 s."""


def node_packets(rate_hz: float, *, fields: int | None = None) -> Callable[[int], bytes]:
    """``packet(n)`` of a node with one sensor: the body of its ``n``-th instant, cheap enough to send 17 of them fast."""
    from firmware_bridge.codecs.node_frame import HEADER, Fields, FrameKind
    from firmware_bridge.testing.node import SimulatedNode

    chosen = Fields(fields) if fields is not None else Fields.ACCELERATION | Fields.GYROSCOPE
    node = SimulatedNode(1, rate_hz=round(rate_hz), fields=chosen, micros=lambda: 0)
    records = [node.samples(round(n / rate_hz * 1e6))[0][HEADER.size:] for n in range(DISTINCT)]

    def packet(number: int) -> bytes:
        head = HEADER.pack(FrameKind.SAMPLES, 1, number % 2**16, round(number / rate_hz * 1e6) % 2**32, chosen, 1, 1)
        return head + records[number % DISTINCT]

    return packet


class DeviceProcess:
    """A running ``python -m firmware_bridge.testing.processes``; a context manager.

    Args:
        kind: ``serial`` (one node with so many sensors on a pseudo-terminal) or ``bluez`` (so many nodes with one sensor).
        devices: sensors or nodes.
        rate: Hz.

    Raises:
        DeviceError: it did not start.
    """

    def __init__(self, kind: str, *, devices: int, rate: int) -> None:
        self._arguments = [kind, "--devices", str(devices), "--rate", str(rate)]
        self._process: subprocess.Popen[str] | None = None
        self.addresses: list[str] = []

    def __enter__(self) -> DeviceProcess:
        self._process = subprocess.Popen([sys.executable, "-m", "firmware_bridge.testing.processes", *self._arguments], text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.kill()
            raise DeviceError("the simulated devices did not start", expected="a line of JSON")
        self.addresses = json.loads(line)["addresses"]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.kill()

    def stop(self) -> dict[str, Any]:
        """End it in order; returns what it sent."""
        assert self._process is not None
        out, _ = self._process.communicate(timeout=10)
        told: dict[str, Any] = json.loads(out)
        return told

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _serial(devices: int, rate: int) -> None:
    from firmware_bridge.testing.pty_node import PtyNode

    class Logged(PtyNode):
        """Remembers the numbers of the instants that reached the port whole: what a loss is measured against."""

        numbers: list[int] = []

        def _send_instant(self, device_us: int) -> None:
            sent, number = self.sent, self.node.sequence
            super()._send_instant(device_us)
            if self.sent > sent:
                self.numbers.append(number)

    node = Logged(sensors=devices, rate_hz=rate)
    with node:
        _say({"addresses": [node.address]})
        sys.stdin.read()
        _say({"sent": node.sent, "missed": node.missed, "numbers": node.numbers})


async def _bluez(devices: int, rate: int) -> None:
    from firmware_bridge.codecs.node import COMMANDS, NOTIFICATIONS, SERVICE
    from firmware_bridge.testing.bluez import FakeBluez, FakePeripheral

    peripherals = [FakePeripheral(f"AA:BB:CC:00:00:{n:02X}", f"edge-node-{n}", SERVICE, (NOTIFICATIONS,), (COMMANDS,),
                                  node_packets(rate), rate) for n in range(devices)]
    bluez = FakeBluez(peripherals)
    await bluez.start()
    _say({"addresses": [f"ble:{peripheral.address}?protocol=node" for peripheral in peripherals]})
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    _say({"made": sum(peripheral.made for peripheral in peripherals)})
    await bluez.kill()


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m firmware_bridge.testing.processes", description=__doc__)
    parser.add_argument("kind", choices=("serial", "bluez"))
    parser.add_argument("--devices", type=int, default=17)
    parser.add_argument("--rate", type=int, default=100)
    options = parser.parse_args()
    if options.kind == "serial":
        _serial(options.devices, options.rate)
    else:
        asyncio.run(_bluez(options.devices, options.rate))


if __name__ == "__main__":
    _main()
