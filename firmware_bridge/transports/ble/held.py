"""Links that bluetoothd holds. A program that was killed leaves its link behind: the device stays connected, advertises no
more, and a scan never finds it again.

Which devices are connected, and whether a program listens to one, stands in the objects of BlueZ (its documents
``org.bluez.Device.rst`` and ``org.bluez.GattCharacteristic.rst``: ``Connected``, ``Notifying``, ``NotifyAcquired``). A
subscription ends with the D-Bus connection of the program that made it; the link does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["HeldLink", "links_in"]

DEVICE, CHARACTERISTIC = "org.bluez.Device1", "org.bluez.GattCharacteristic1"


@dataclass(frozen=True)
class HeldLink:
    """A device that is connected to this machine.

    Args:
        path: its object on the bus.
        address: its Bluetooth address.
        names: what it is called: its own name and the system's alias for it.
        services: UUIDs of its services.
        listened: whether a program is subscribed to any of its characteristics.
    """

    path: str
    address: str
    names: tuple[str, ...]
    services: tuple[str, ...]
    listened: bool

    @property
    def name(self) -> str:
        """Its own name, "" if it has none."""
        return self.names[0] if self.names else ""


def links_in(objects: Mapping[str, Mapping[str, Mapping[str, Any]]], adapter: str = "") -> list[HeldLink]:
    """The connected devices among all objects of BlueZ.

    Args:
        objects: what ``GetManagedObjects`` gives: path -> interface -> property -> a value with ``.value``.
        adapter: ``hci0``; "" for every adapter.
    """
    found = []
    for path, interfaces in objects.items():
        device = {name: variant.value for name, variant in interfaces.get(DEVICE, {}).items()}
        if not device.get("Connected") or (adapter and not path.startswith(f"/org/bluez/{adapter}/")):
            continue
        below = [item[CHARACTERISTIC] for place, item in objects.items()
                 if place.startswith(f"{path}/") and CHARACTERISTIC in item]
        listened = any(properties[name].value for properties in below for name in ("Notifying", "NotifyAcquired")
                       if name in properties)
        names = tuple(dict.fromkeys(str(device[key]) for key in ("Name", "Alias") if device.get(key)))
        services = tuple(str(uuid).lower() for uuid in device.get("UUIDs", ()))
        found.append(HeldLink(path, str(device["Address"]), names, services, listened))
    return found
