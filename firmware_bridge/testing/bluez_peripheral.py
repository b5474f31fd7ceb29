"""A device as :mod:`.bluez` shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["ADAPTER_PATH", "FakePeripheral"]

ADAPTER_PATH = "/org/bluez/hci0"


@dataclass(eq=False)
class FakePeripheral:
    """A device as BlueZ sees it.

    Args:
        address, name: as it advertises.
        service: UUID of its service.
        notify: UUIDs of characteristics that notify; the first one sends ``packet``.
        write: UUIDs of characteristics that are written to.
        packet: its ``n``-th packet; None for a device that sends nothing by itself.
        rate_hz: packets a second while somebody is subscribed.
        present: whether it advertises and can be connected.
    """

    address: str
    name: str
    service: str
    notify: tuple[str, ...]
    write: tuple[str, ...] = ()
    packet: Callable[[int], bytes] | None = None
    rate_hz: float = 100.0
    present: bool = True
    made: int = 0
    """The next packet's number. It counts on while nobody is subscribed, as the clock of a device does."""
    began: float | None = None
    """When it was subscribed to first, on the loop's clock: the time of packet 0."""
    silent: bool = False
    """Stays connected and sends nothing; it makes packets all the same."""
    written: list[tuple[str, bytes]] = field(default_factory=list)
    connects: int = 0

    @property
    def path(self) -> str:
        """Its object on the bus."""
        return f"{ADAPTER_PATH}/dev_{self.address.replace(':', '_')}"

    def objects(self) -> dict[str, str]:
        """Characteristic UUID -> object path."""
        return {uuid: f"{self.path}/service0001/char{index + 2:04x}"
                for index, uuid in enumerate((*self.notify, *self.write))}
