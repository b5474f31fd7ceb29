"""``edgeskel devices scan``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeskel.cli.report import Report, console
from edgeskel.errors import UnknownChoice, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from firmware_bridge.scanning import Scan

__all__ = ["ScanDevices", "scan"]

KINDS = ("serial", "ble", "udp")


@dataclass(frozen=True)
class ScanDevices:
    """Look for wearables: serial ports, BLE devices that advertise, senders of datagrams.

    Which protocol a device speaks is a guess, by its name, its services, or what it sends.
    """

    kinds: tuple[str, ...] = KINDS
    """serial, ble, udp."""
    seconds: float = 5.0
    """How long to listen for advertisements and datagrams."""
    probe: bool = False
    """Open every serial port and listen what it speaks; nothing is written unless it speaks as one of our nodes.
    A board that resets when its port is opened will reset."""
    port: tuple[Path, ...] = ()
    """Serial ports that the system does not list, such as pseudo-terminals, and those where --probe may ask a silent node
    who it is."""
    listen: tuple[str, ...] = ("6969", "12351", "9000")
    """Ports for datagrams (SlimeVR, mocopi, lines), on this machine only; 0.0.0.0:6969 hears other machines."""
    adapter: str = ""
    """Bluetooth adapter, e.g. hci1. By default the first that is on."""
    enrolled: Path | None = None
    """List of enrolled devices. By default your own."""

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 3600:
            raise UsageError(f"--seconds {self.seconds:g}", expected="a number above 0")
        for kind in self.kinds:
            if kind not in KINDS:
                raise UnknownChoice("kind of device", kind, KINDS)


def scan(config: ScanDevices) -> Report:
    """Listen, and say what was heard and what could not be looked at."""
    import asyncio

    from firmware_bridge.device_allowlist import DeviceAllowlist, default_path
    from firmware_bridge.scanning import scan as look

    allowlist = DeviceAllowlist(config.enrolled or default_path())
    console.print(f"listening for {config.seconds:g} s", style="dim")
    found = asyncio.run(look(config.seconds, allowlist=allowlist, kinds=config.kinds, ports=[str(path) for path in config.port],
                             probe=config.probe, listen=[_place(text) for text in config.listen], adapter=config.adapter))
    data = {"serial": found.serial, "ble": found.ble, "udp": found.udp, "problems": found.problems}
    return Report(data, lambda out: _draw(out, found))


def _place(text: str) -> tuple[str, int]:
    """``PORT`` or ``HOST:PORT``."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"--listen {text}", expected="PORT or HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def _draw(out: Console, found: Scan) -> None:
    def show(address: str, identity: str | None, enrolled: bool, *facts: str, problem: str = "") -> None:
        """An address alone on its line, so that it can be copied whole, and what is known of it below."""
        out.print(address, style="bold", soft_wrap=True)
        known = [identity or "no identity", *facts, "enrolled" if enrolled else "not enrolled"]
        out.print("  " + ", ".join(fact for fact in known if fact), soft_wrap=True)
        if problem:
            out.print(f"  {problem}", style="yellow", soft_wrap=True)

    for wire in found.serial:
        show(wire.address, wire.identity, wire.enrolled, wire.name, wire.protocol, problem=wire.problem)
    for air in found.ble:
        signal = "" if air.signal_dbm is None else f"{air.signal_dbm} dBm"
        held = "connected to this machine" if air.connected else ""
        show(air.address, air.identity, air.enrolled, air.name, air.protocol, signal, held)
    for port in found.udp:
        show(port.address or f"from {port.sender} to port {port.port}", port.identity, port.enrolled, port.protocol,
             f"{port.datagrams} datagrams")
    if not (found.serial or found.ble or found.udp):
        out.print("no device was found")
    for problem in found.problems.values():
        out.print(problem, style="yellow", soft_wrap=True)
