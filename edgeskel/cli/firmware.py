"""``edgeskel firmware build | simulate``: the reference firmware of a wearable node."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeskel.cli.report import Command, Report, console
from edgeskel.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from firmware_bridge.testing.qemu import QemuNode

__all__ = ["COMMANDS"]


@dataclass(frozen=True)
class Build:
    """Build the firmware for a board.

    Needs the Debian packages gcc-arm-none-eabi, libnewlib-arm-none-eabi and make.
    """

    board: str = "lm3s6965evb"
    """lm3s6965evb or mps2-an385; both are Cortex-M3 boards that QEMU emulates."""
    out: Path = Path("build/firmware")
    """Folder for node-BOARD.elf."""
    sensors: int = 1
    """Sensors of the node, 1 to 64."""
    rate: int = 100
    """Instants per second until the host says otherwise, 1 to 1000."""


@dataclass(frozen=True)
class Simulate:
    """Run the firmware on an emulated board and print the address to open.

    Goes on until it is interrupted or --seconds have passed. Needs the Debian package qemu-system-arm beside what
    build needs.
    """

    board: str = "lm3s6965evb"
    """lm3s6965evb or mps2-an385."""
    sensors: int = 1
    """Sensors of the node, 1 to 64."""
    rate: int = 100
    """Instants per second until the host says otherwise, 1 to 1000."""
    seconds: float | None = None
    """How long. By default until it is interrupted."""

    def __post_init__(self) -> None:
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise UsageError(f"--seconds {self.seconds:g}", expected="a positive number")


def build(config: Build) -> Report:
    """Compile and link; say where the program is and what it takes."""
    from firmware_bridge.firmware_build import build

    made = build(config.board, config.out, sensors=config.sensors, rate_hz=config.rate)
    data = {"board": config.board, "path": made.path, "flash": made.flash, "ram": made.ram,
            "sensors": config.sensors, "rate_hz": config.rate}

    def text(out: Console) -> None:
        out.print(f"{made.path}: {made.flash} bytes of flash, {made.ram} of RAM and the stack")

    return Report(data, text)


def simulate(config: Simulate) -> Report:
    """Start QEMU; the address is printed at once, and the node runs on behind it."""
    from firmware_bridge.testing.qemu import QemuNode

    node = QemuNode(board=config.board, sensors=config.sensors, rate_hz=config.rate)
    try:
        node.power_on()
    except BaseException:
        node.close()
        raise
    data: dict[str, Any] = {
        "address": node.address, "port": node.path, "protocol": "node", "board": config.board,
        "sensors": config.sensors, "rate_hz": config.rate, "seconds": config.seconds, "pid": node.pid,
    }  # fmt: skip

    def text(out: Console) -> None:
        out.print(node.address, soft_wrap=True)

    return Report(data, text, stay=lambda: _stay(node, config.seconds))


def _stay(node: QemuNode, seconds: float | None) -> None:
    console.print("running; " + ("interrupt to stop" if seconds is None else f"stops after {seconds:g} s"), style="dim")
    begin = time.monotonic()
    try:
        with suppress(KeyboardInterrupt):  # this is how it is meant to end
            node.wait(seconds)
    finally:
        node.close()
    console.print(f"stopped after {time.monotonic() - begin:.1f} s", style="dim")


COMMANDS = {"build": Command(Build, build), "simulate": Command(Simulate, simulate)}
