"""``edgeskel devices enrol``."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from edgeskel.cli.report import Report, console
from edgeskel.errors import DeviceError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Enrol", "enrol"]

ASK_S = 15.0
_MAC = re.compile(r"ble:(?:[0-9A-F]{2}:){5}[0-9A-F]{2}|ble:[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class Enrol:
    """Enrol devices, so that what they send may reach a recogniser; without an address, list who is enrolled.

    An identity (ble:AA:BB:CC:DD:EE:FF, serial:NUMBER, udp:HOST) is taken as it is; an address (serial:/dev/ttyUSB0, ble:NAME,
    udp:6969?protocol=slimevr) is opened to find out who is there.
    """

    device: tyro.conf.Positional[tuple[str, ...]] = ()
    """Identities or addresses."""
    name: str = ""
    """What to call the device."""
    remove: bool = False
    """Forget the devices instead."""
    enrolled: Path | None = None
    """The list. By default your own."""


def enrol(config: Enrol) -> Report:
    """Change the list, or say what is in it."""
    from firmware_bridge.device_allowlist import DeviceAllowlist, default_path

    path = config.enrolled or default_path()
    allowlist = DeviceAllowlist(path)
    if not config.device and (config.remove or config.name):
        raise UsageError("no device is named", expected="an identity such as ble:AA:BB:CC:DD:EE:FF, or an address")
    for device in config.device:
        identity = _identity(device)
        if config.remove:
            allowlist.remove(identity)
        else:
            allowlist.add(identity, config.name)
        console.print(f"{identity} {'is forgotten' if config.remove else 'is enrolled'}")
    names = dict(allowlist.names)

    def text(out: Console) -> None:
        for identity, name in names.items():
            out.print(f"{identity}  {name}".rstrip())
        if not names:
            out.print(f"nobody is enrolled in {path}", soft_wrap=True)

    return Report({"list": path, "enrolled": [{"identity": identity, "name": name} for identity, name in names.items()]}, text)


def _identity(device: str) -> str:
    """The identity that ``device`` is, or that is found at that address."""
    from firmware_bridge.device_allowlist import identity_of

    kind, _, place = device.partition(":")
    port = kind == "serial" and (place.startswith(("/", ".")) or re.fullmatch(r"COM\d+", place) is not None)
    name = kind == "ble" and _MAC.fullmatch(device) is None
    if "?" not in device and not port and not name and not (kind == "udp" and place.isdecimal()):
        return identity_of(device)
    return _ask(device)


def _ask(address: str) -> str:
    """Open an address and wait until it is known who is there."""
    from firmware_bridge.diagnostics import Diagnostics
    from firmware_bridge.feed import LiveFeed
    from firmware_bridge.link import LinkEvent, Sample
    from firmware_bridge.link_messages import LinkMessages

    console.print(f"asking {address} who it is", style="dim")
    diagnostics, notices, problem = Diagnostics(address), LinkMessages(), ""
    begin = time.monotonic()
    with LiveFeed({address: None}) as feed:
        for _, items in feed:
            for item in items:
                if isinstance(item, Sample):
                    diagnostics.take(item)
                elif isinstance(item, LinkEvent):
                    problem = notices.of(item) or problem
            found = sorted({identity if not identity.startswith("udp:") else identity.rpartition(":")[0]
                            for identity in diagnostics.identities(feed.health[0])})
            if len(found) > 1:
                raise UsageError(f"{len(found)} devices send to {address}: {', '.join(found)}", expected="one",
                                 remedy=f"name the one you mean: edgeskel devices enrol {found[0]}")
            # Datagrams of a second sender are given a moment; anything else has one identity.
            if found and (not address.startswith("udp:") or time.monotonic() - begin > 2.0):
                return found[0]
            if time.monotonic() - begin > ASK_S:
                break
    raise DeviceError(f"{address} has not said who it is within {ASK_S:g} s" + (f" ({problem})" if problem else ""),
                      expected="a BLE device, a USB port with a serial number, a device that reports its own, or a sender",
                      remedy="see with edgeskel devices show whether it sends; a port without any number cannot be enrolled")
