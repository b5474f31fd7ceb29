"""One BLE device as a transport."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from edgeskel.errors import DeviceError, UnknownChoice, UsageError
from firmware_bridge.codecs import Gatt, check_way, create
from firmware_bridge.samples import Chunk, maker
from firmware_bridge.timeouts import within
from firmware_bridge.transports import Lost, Received, Traits, Transport
from firmware_bridge.transports.ble.errors import explain
from firmware_bridge.transports.ble.radio import Found, Radio

if TYPE_CHECKING:  # an extra, imported where it is used
    from bleak import BleakClient
    from bleak.backends.characteristic import BleakGATTCharacteristic

__all__ = ["BleTransport", "open_transport"]

log: logging.Logger = logging.getLogger(__name__)
_chunk = maker(Chunk)

SEARCH_S = 10.0
CONNECT_S = 10.0
CLOSE_S = 1.5
SETTLE_S = 0.5
"""How long a namesake is waited for before a device that was never connected is taken by its name."""
NOTIFY = ("start", "acquire")
OPTIONS = ("adapter", "notify", "pair", "protocol", "seconds")
_ADDRESS = re.compile(r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}|[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}", re.IGNORECASE)


class BleTransport(Transport):
    """A device that is found by name or address and listened to as its protocol says.

    Args:
        place: its advertised name, or its address.
        gatt: the protocol's characteristics.
        protocol: for messages.
        acquire: take notifications through a socket of their own (BlueZ's AcquireNotify): less work, but no other program
            can then subscribe, and some devices refuse it. None does so where ``gatt`` says that it may be done, and
            otherwise, or where it is refused, as False.
        pair: bond with the device first.
        search_s: how long to look for it.
        adapter: see :class:`Radio`.
        radio: a radio of one's own; None for the loop's.
    """

    traits = Traits(together=True, bounds_opening=True)  # how many others connect before it is not its fault
    identity: str | None = None

    def __init__(self, place: str, gatt: Gatt, *, protocol: str = "", acquire: bool | None = None, pair: bool = False,
                 search_s: float = SEARCH_S, adapter: str = "", radio: Radio | None = None) -> None:
        self.address: str = f"ble:{place}"
        self._place, self._gatt, self._protocol = place, gatt, protocol
        self._acquire, self._pair, self._search_s, self._adapter = acquire, pair, search_s, adapter
        self._by_address = _ADDRESS.fullmatch(place) is not None
        self._radio = radio
        self._client: BleakClient | None = None
        self._lost: Lost | None = None

    async def open(self, received: Received, lost: Lost) -> None:
        """Find it, connect, and subscribe.

        Raises:
            DeviceError: not found, two of one name, adapter off, no permission, or another kind of device.
        """
        radio = self._radio = self._radio or Radio.of(self._adapter)
        gone = asyncio.Event()
        reason: list[DeviceError] = []

        def end(error: DeviceError) -> None:
            reason.append(error)
            gone.set()
            if self._lost is not None:
                told, self._lost = self._lost, None
                told(error)

        await radio.enter(self, end)
        try:
            found = await self._find(radio)
            self.identity = f"ble:{found.address.upper()}"
            await self._connect(radio, found, received, end)
            if gone.is_set():
                raise reason[0]
            radio.known[self._place] = found.address
            self._lost = lost
        except BaseException:
            await self.close()
            raise

    async def write(self, data: bytes, channel: str = "") -> None:
        """Write to the characteristic ``channel``.

        Raises:
            DeviceError: not connected, no such characteristic, or the device refuses.
        """
        client = self._client
        if client is None:
            raise DeviceError(f"{self.address} is not connected")
        characteristic = _characteristic(client, channel)
        if characteristic is None:
            raise DeviceError(f"{self.address} has no characteristic {channel!r} to write to")
        try:
            await client.write_gatt_char(characteristic, data, response="write" in characteristic.properties)
        except Exception as error:
            raise explain(error, f"writing to {self.address}") from error

    async def close(self) -> None:
        """Disconnect, within a second and a half or not at all: with a dead daemon bleak would wait forever."""
        self._lost = None
        client, self._client = self._client, None
        try:
            if client is not None:
                with suppress(Exception):
                    await within(CLOSE_S, client.disconnect(), asyncio.sleep)
        finally:
            if self._radio is not None:
                await self._radio.leave(self)

    async def _find(self, radio: Radio) -> Found:
        known = radio.known.get(self._place)

        def settle_s(first: Found) -> float:
            return 0.0 if self._by_address or first.address == known else SETTLE_S

        what = f"looking for {self.address}"
        freeing = asyncio.create_task(radio.free(lambda link: self._is_meant(link.address, link.names)), name="watch of held links")
        try:
            found = await radio.find(lambda found: self._is_meant(found.address, (found.name, found.device.name)),
                                     limit_s=self._search_s, settle_s=settle_s, what=what)
        finally:
            freeing.cancel()
            with suppress(asyncio.CancelledError):
                await freeing
        if known is not None and len(found) > 1:
            found = [each for each in found if each.address == known] or found
        if len(found) > 1:
            addresses = ", ".join(sorted(each.address for each in found))
            raise DeviceError(f"{len(found)} devices are called {self._place!r}: {addresses}", expected="one",
                              remedy=f"use the address of the one you mean: ble:{min(each.address for each in found)}")
        if not found:
            raise await self._not_found(radio)
        return found[0]

    async def _not_found(self, radio: Radio) -> DeviceError:
        """Why nothing was heard: a device that is connected to this machine does not advertise."""
        for link in await radio.held():
            if self._is_meant(link.address, link.names):
                holder = "another program listens to it" if link.listened else "no program listens to it"
                remedy = f"run: bluetoothctl disconnect {link.address}"
                return DeviceError(f"{self.address} is connected to this machine already, and {holder}",
                                   expected="a device that is not connected",
                                   remedy=f"end that program, or {remedy}" if link.listened else remedy)
        return DeviceError(f"{self.address} was not found within {self._search_s:g} s",
                           expected="a device that is on, near, and not connected elsewhere",
                           remedy="switch it on or wake it up, and end its connection to a phone or another computer")

    def _is_meant(self, address: str, names: Collection[str | None]) -> bool:
        return address.upper() == self._place.upper() if self._by_address else self._place in names

    async def _connect(self, radio: Radio, found: Found, received: Received, end: Callable[[DeviceError], None]) -> None:
        what = f"connecting to {self.address}"

        def disconnected(client: BleakClient) -> None:
            if self._client is client:
                end(DeviceError(f"{self.address} has disconnected", expected="a device that stays in reach",
                                remedy="it is connected again when it is back"))

        client = radio.client(found.device, disconnected, pair=self._pair, timeout_s=CONNECT_S)
        self._client = client
        try:
            async with radio.connecting(what):
                await within(CONNECT_S + 2.0, client.connect(), asyncio.sleep)
        except Exception as error:
            raise explain(error, what) from error
        missing = [uuid for uuid in self._gatt.notify if _characteristic(client, uuid) is None]
        if missing:
            has = ", ".join(sorted(service.uuid for service in client.services or ())) or "none"
            raise DeviceError(f"{self.address} ({found.address}) has no characteristic {missing[0]}; its services: {has}",
                              expected=f"a device that speaks {self._protocol or 'this protocol'}",
                              remedy="name its protocol: protocol=..., or another device")
        clock = radio.clock
        for uuid in self._gatt.notify:
            def hear(_: BleakGATTCharacteristic, data: bytearray, channel: str = uuid) -> None:
                if self._client is client:  # bleak reads a socket on when it could not disconnect
                    received(_chunk((bytes(data), clock(), channel)))

            try:
                await self._subscribe(client, uuid, hear)
            except Exception as error:
                raise explain(error, f"subscribing to {self.address}") from error

    async def _subscribe(self, client: BleakClient, uuid: str,
                         hear: Callable[[BleakGATTCharacteristic, bytearray], None]) -> None:
        characteristic = _characteristic(client, uuid)
        assert characteristic is not None, "it was looked for"

        async def subscribe(acquire: bool) -> None:
            await within(CONNECT_S, client.start_notify(characteristic, hear, bluez={"use_start_notify": not acquire}),
                         asyncio.sleep)

        if self._acquire is not None or not self._gatt.acquire:
            await subscribe(bool(self._acquire))
            return
        try:
            await subscribe(True)
        except TimeoutError:
            raise
        except Exception as error:  # another program listens to the device, too, or BlueZ is too old for it
            log.debug("%s: no socket for notifications (%s); they come over D-Bus", self.address, error)
            await subscribe(False)


def _characteristic(client: BleakClient, uuid: str) -> BleakGATTCharacteristic | None:
    """The characteristic of a connected client; the first of several, as a device with two services may have."""
    for service in client.services or ():
        for characteristic in service.characteristics:
            if characteristic.uuid == uuid:
                return characteristic
    return None


def open_transport(place: str, options: Mapping[str, str]) -> BleTransport:
    """The transport of ``ble:PLACE``, a name or an address.

    Options: ``protocol`` (``node`` unless told otherwise); ``notify=start`` or ``acquire``, where it should not be as
    :class:`BleTransport` finds; ``pair=1`` to bond;
    ``adapter=hci1``; ``seconds`` to look for it.

    Raises:
        UnknownChoice: no such protocol or way to be notified.
        UsageError: a protocol that is not spoken over BLE, or a value that makes no sense.
    """
    protocol = options.get("protocol", "node")
    check_way(protocol, "ble")
    gatt = create(protocol).gatt
    if gatt is None:
        raise UsageError(f"protocol={protocol} is not spoken over ble", expected="a protocol of a BLE device")
    notify, pair = options.get("notify"), options.get("pair", "0")
    if notify is not None and notify not in NOTIFY:
        raise UnknownChoice("way to be notified", notify, NOTIFY)
    if pair not in ("0", "1"):
        raise UsageError(f"ble: pair={pair}", expected="0 or 1")
    try:
        search_s = float(options.get("seconds", SEARCH_S))
    except ValueError:
        search_s = 0.0
    if not 0 < search_s < 1e6:
        raise UsageError(f"ble: seconds={options['seconds']}", expected="a number above 0")
    return BleTransport(place, gatt, protocol=protocol, acquire=None if notify is None else notify == "acquire",
                        pair=pair == "1", search_s=search_s, adapter=options.get("adapter", ""))
