"""What all BLE devices of a program share: one scanner, one connection attempt at a time, one watch over the daemon."""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from edgeskel.errors import DeviceError
from firmware_bridge.timeouts import within
from firmware_bridge.transports.ble.daemon import DaemonWatch
from firmware_bridge.transports.ble.errors import explain
from firmware_bridge.transports.ble.held import HeldLink

if TYPE_CHECKING:  # an extra, imported where it is used
    from bleak import BleakClient, BleakScanner
    from bleak.backends.client import BaseBleakClient
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData, BaseBleakScanner

__all__ = ["Found", "Radio"]

log: logging.Logger = logging.getLogger(__name__)

START_S = 3.0
"""Starting a scan takes milliseconds; a daemon that hangs takes forever."""
STOP_S = 2.0
LISTEN_S = 0.25
BUSY_ATTEMPTS = 5
BUSY_WAIT_S = 0.2
IDLE_S = 1.0
"""How long a link of the system's must have been without a listener before it counts as left behind."""
LOOK_S = 0.25
RETURN_S = 10.0
"""How long a search waits for a daemon that was there before: it is mostly being restarted."""


@dataclass(frozen=True)
class Found:
    """A device that advertises: bleak's ``BLEDevice``, and what it said.

    Args:
        device: bleak's own object; connecting by it needs no second search.
        name: as advertised, "" if it has none.
        services: UUIDs that it advertises.
        signal_dbm: strength of the advertisement.
    """

    device: BLEDevice
    name: str
    services: tuple[str, ...]
    signal_dbm: int | None

    @property
    def address(self) -> str:
        """Bluetooth address (a UUID of the system's on macOS)."""
        return str(self.device.address)


@dataclass(eq=False)
class _Search:
    match: Callable[[Found], bool]
    found: dict[str, Found] = field(default_factory=dict)
    first: asyncio.Event = field(default_factory=asyncio.Event)
    failure: DeviceError | None = None

    def hear(self, found: Found) -> None:
        if self.match(found):
            self.found[found.address] = found
            self.first.set()

    def fail(self, error: DeviceError) -> None:
        self.failure = error
        self.first.set()


class Radio:
    """Finds and connects, for every device of one adapter in one event loop.

    Args:
        adapter: as Linux calls it (``hci0``); "" for the first that is on.
        scanner, client: bleak backend classes; None for the platform's own. Tests put a simulated radio here.
        clock: nanoseconds, for the arrival of notifications.
    """

    _default: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Radio]]] = (
        weakref.WeakKeyDictionary())

    def __init__(self, adapter: str = "", *, scanner: type[BaseBleakScanner] | None = None,
                 client: type[BaseBleakClient] | None = None, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.clock = clock
        self.known: dict[str, str] = {}
        """Name -> address of what has been connected before; it is taken without waiting for a namesake."""
        self._adapter = adapter
        self._scanner_backend, self._client_backend = scanner, client
        self._scanner: BleakScanner | None = None
        self._switch = asyncio.Lock()
        self._connecting = asyncio.Lock()
        self._searches: set[_Search] = set()
        self._users: dict[object, Callable[[DeviceError], None]] = {}
        self._daemon = DaemonWatch(self._daemon_gone) if client is None else None
        self._seen_daemon = False
        self._retiring: asyncio.Future[None] | None = None

    @classmethod
    def of(cls, adapter: str = "") -> Radio:
        """The running loop's radio for an adapter; the same for everybody."""
        radios = cls._default.setdefault(asyncio.get_running_loop(), {})
        if adapter not in radios:
            radios[adapter] = cls(adapter)
        return radios[adapter]

    def install(self, adapter: str = "") -> None:
        """Be what :meth:`of` gives in the running loop: addresses then reach this radio."""
        self._default.setdefault(asyncio.get_running_loop(), {})[adapter] = self

    # -- users ----------------------------------------------------------------------------------------------------

    async def enter(self, user: object, gone: Callable[[DeviceError], None]) -> None:
        """A transport begins to use the radio; ``gone`` is called when the daemon goes."""
        self._users[user] = gone
        if self._daemon is not None:
            await self._daemon.start()
            self._seen_daemon = self._seen_daemon or bool(self._daemon.present)

    async def leave(self, user: object) -> None:
        """A transport is done; after the last one nothing of ours is left on the bus, also where the caller is cancelled."""
        self._users.pop(user, None)
        if not self._users:
            self._retiring = asyncio.ensure_future(self._retire())
            await asyncio.shield(self._retiring)

    async def _retire(self) -> None:
        await self._rest()
        if not self._users and self._daemon is not None:
            await self._daemon.stop()

    def _daemon_gone(self, reason: str) -> None:
        error = DeviceError(reason, expected="the Bluetooth daemon, which every connection needs",
                            remedy="run: sudo systemctl start bluetooth; it is waited for")
        self._scanner = None  # it scans no more, and asking it to stop would ask nobody
        for search in list(self._searches):
            search.fail(error)
        for gone in list(self._users.values()):
            gone(error)

    # -- finding --------------------------------------------------------------------------------------------------

    async def find(self, match: Callable[[Found], bool], *, limit_s: float, settle_s: Callable[[Found], float],
                   what: str) -> list[Found]:
        """Devices that match: the first, and those that are heard within ``settle_s(first)`` seconds after it.

        Returns:
            One for each address; empty if none was heard in ``limit_s`` of listening. While others connect nobody listens,
            and a device is not blamed for that.

        Raises:
            DeviceError: no adapter, switched off, no permission, no daemon; the message says what to do.
        """
        await self._await_daemon()
        search = _Search(match)
        self._searches.add(search)
        try:
            await self._listen(search, limit_s, what)
            if search.failure is not None:
                raise search.failure
            if search.found:
                settle = settle_s(next(iter(search.found.values())))
                if settle:
                    await asyncio.sleep(settle)
            return list(search.found.values())
        finally:
            self._searches.discard(search)
            if not self._searches:
                await self._rest()

    async def _listen(self, search: _Search, limit_s: float, what: str) -> None:
        listened_s = 0.0
        while not search.first.is_set() and listened_s < limit_s:
            if not self._connecting.locked():
                await self._scan(what)
            before, step_s = self._scanner, min(LISTEN_S, limit_s - listened_s)
            with suppress(TimeoutError):
                await within(step_s, search.first.wait(), asyncio.sleep)
            if before is not None and self._scanner is before:
                listened_s += step_s

    async def _await_daemon(self) -> None:
        if self._daemon is None:
            return
        await self._daemon.start()
        if self._daemon.present is False and self._seen_daemon:
            with suppress(TimeoutError):
                await within(RETURN_S, self._daemon.appeared(), asyncio.sleep)
        self._seen_daemon = self._seen_daemon or bool(self._daemon.present)

    async def _scan(self, what: str) -> None:
        """Let the scanner run, unless somebody connects just now: then it begins right after."""
        async with self._switch:
            if self._scanner is not None or self._connecting.locked():
                return
            from bleak import BleakScanner

            for attempt in range(1, BUSY_ATTEMPTS + 1):
                scanner = BleakScanner(self._heard, bluez={"adapter": self._adapter} if self._adapter else {},
                                       backend=self._scanner_backend)
                try:
                    await within(START_S, scanner.start(), asyncio.sleep)
                    self._scanner = scanner
                    return
                except Exception as error:
                    if "InProgress" in f"{error}" and attempt < BUSY_ATTEMPTS:
                        await asyncio.sleep(BUSY_WAIT_S * attempt)
                        continue
                    if isinstance(error, TimeoutError):
                        raise DeviceError(f"{what}: the Bluetooth daemon does not answer", expected="bluetoothd",
                                          remedy="run: sudo systemctl restart bluetooth") from error
                    raise explain(error, what) from error

    async def _rest(self) -> None:
        async with self._switch:
            scanner, self._scanner = self._scanner, None
            if scanner is not None:
                with suppress(Exception):  # it is no longer wanted; a daemon that has gone cannot stop it either
                    await within(STOP_S, scanner.stop(), asyncio.sleep)

    def _heard(self, device: BLEDevice, advertisement: AdvertisementData) -> None:
        found = Found(device, advertisement.local_name or device.name or "",
                      tuple(uuid.lower() for uuid in advertisement.service_uuids), advertisement.rssi)
        for search in list(self._searches):
            search.hear(found)

    # -- links that the system holds ------------------------------------------------------------------------------

    async def held(self) -> list[HeldLink]:
        """Devices that are connected to this machine, whoever connected them. Only BlueZ tells; empty elsewhere."""
        if self._daemon is None:
            return []
        if not self._users:  # else it is watched already, or there is no bus
            await self._daemon.start()
        try:
            return await self._daemon.held(self._adapter)
        finally:
            if not self._users:
                await self._daemon.stop()

    async def free(self, match: Callable[[HeldLink], bool]) -> None:
        """End links that match and that no program listens to, for as long as this runs; a device advertises again then.

        A link that another program is just making has no listener yet either, so one look is not enough.
        """
        idle: dict[str, float] = {}
        while self._daemon is not None:
            links = {link.path: link for link in await self.held() if match(link) and not link.listened}
            now = time.monotonic()
            idle = {path: idle.get(path, now) for path in links}
            for path, since in idle.items():
                if now - since >= IDLE_S and not self._connecting.locked() and await self._daemon.disconnect(links[path]):
                    log.warning("ble:%s was still connected to this machine and no program listened to it, as after one that was "
                                "killed: disconnected", links[path].address)
            await asyncio.sleep(LOOK_S)

    # -- connecting -----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def connecting(self, what: str) -> AsyncIterator[None]:
        """One at a time, and the scanner rests: an adapter that scans and connects at once does neither well."""
        async with self._connecting:
            await self._rest()
            try:
                yield
            finally:
                waiting = list(self._searches)
        if waiting:
            try:
                await self._scan(what)
            except DeviceError as error:
                for search in waiting:
                    search.fail(error)

    def client(self, device: BLEDevice, disconnected: Callable[[BleakClient], None], *, pair: bool,
               timeout_s: float) -> BleakClient:
        """bleak's client for a device that was found."""
        from bleak import BleakClient

        return BleakClient(device, disconnected, pair=pair, timeout=timeout_s,
                           bluez={"adapter": self._adapter} if self._adapter else {}, backend=self._client_backend)
