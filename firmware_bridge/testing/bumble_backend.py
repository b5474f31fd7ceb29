"""BLE devices and the radio between, in one process: bumble's controllers under a small bleak backend of our own.

    world = World()
    await world.start()
    peripheral = await world.add("F0:00:00:00:00:01", "left", gatt, device)   # a SimulatedDevice
    world.radio().install()                            # "ble:left" now reaches it
    ...
    peripheral.cut(); peripheral.advertise(False); device.silent = True; device.reboot()

Real are: bleak's public interface, ATT, GATT, L2CAP and the link layer's procedures (github.com/google/bumble), so MTU,
truncation, discovery, connecting and disconnecting behave as the standard says, on any system. What the air does to
packets is the model of :mod:`.radio`; bumble's own link is instantaneous. It runs in virtual time, too
(:mod:`.virtual_time`), for nothing in it waits for the outside. BlueZ is not involved: see :mod:`.bluez` for that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError
from bumble import hci, ll
from bumble.controller import Controller
from bumble.core import UUID, AdvertisingData, BaseBumbleError
from bumble.device import Device, Peer
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.host import Host
from bumble.link import LocalLink
from bumble.transport.common import AsyncPipeSink

from firmware_bridge.codecs import Gatt
from firmware_bridge.testing.radio import RadioChannel, SimulatedDevice
from firmware_bridge.transports.ble import Radio

__all__ = ["Peripheral", "World"]

CENTRAL = "F0:F0:F0:F0:F0:F0"
ADVERTISE_MS = 50  # bumble's own default of 1000 makes every reconnection last a second
LONGEST_ADVERTISEMENT = 31
PROPERTIES = {"read": 0x02, "write-without-response": 0x04, "write": 0x08, "notify": 0x10, "indicate": 0x20}


class World:
    """The air: one adapter, which is ours, and devices around it.

    Args:
        mtu: what our side asks for; 23 makes longer packets arrive cut, as many stacks do without a word.
        clock: nanoseconds.
    """

    mtu: int
    clock: Callable[[], int]

    def __init__(self, *, mtu: int = 247, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.mtu, self.clock = mtu, clock
        self.link: _Air = _Air()  # type: ignore[no-untyped-call]
        self.central: Any = self._device("central", CENTRAL)
        self.peripherals: list[Peripheral] = []
        self.on = True
        self.scanner: type[BaseBleakScanner] = type("BumbleScanner", (_Scanner,), {"world": self})
        self.client: type[BaseBleakClient] = type("BumbleClient", (_Client,), {"world": self})

    async def start(self) -> None:
        """Switch our adapter on."""
        await self.central.power_on()

    async def stop(self) -> None:
        """End all connections and every device."""
        for peripheral in self.peripherals:
            await peripheral.stop()
        await self.central.power_off()

    async def add(self, address: str, name: str, gatt: Gatt, device: SimulatedDevice, *,
                  write: tuple[str, ...] = ()) -> Peripheral:
        """Put a device into reach that advertises and sends its packets by ``gatt.notify[0]``."""
        peripheral = Peripheral(self, self._device(name, address), gatt, device, write)
        self.peripherals.append(peripheral)
        await peripheral.start()
        return peripheral

    def radio(self) -> Radio:
        """A :class:`Radio` over this adapter."""
        return Radio(scanner=self.scanner, client=self.client, clock=self.clock)

    def _device(self, name: str, address: str) -> Device:
        controller = Controller(name, link=self.link)
        return Device(name=name, address=hci.Address(address), host=Host(controller, AsyncPipeSink(controller)))


class _Air(LocalLink):
    """bumble's link, with packets to whom they are for: devices do not listen to each other's advertisements."""

    def find_le_controller(self, address: hci.Address) -> Controller | None:
        """The controller at an address; addresses do not change here."""
        return next((c for c in self.controllers if c.random_address == address), None)

    def send_advertising_pdu(self, sender_controller: Controller, packet: Any) -> None:
        """Advertisements go to our adapter, and its requests to connect to the device that is meant."""
        to = packet.advertiser_address if isinstance(packet, ll.ConnectInd) else hci.Address(CENTRAL)
        receiver = self.find_le_controller(to)
        if receiver is not None and receiver is not sender_controller:
            asyncio.get_running_loop().call_soon(receiver.on_ll_advertising_pdu, packet)

    def forget(self, address: hci.Address) -> None:
        """Its controller is gone: else each new one makes the link slower."""
        controller = self.find_le_controller(address)
        if controller is not None:
            self.remove_controller(controller)


class Peripheral:
    """A wearable on the simulated air; made by :meth:`World.add`."""

    connects: int

    def __init__(self, world: World, device: Device, gatt: Gatt, sensor: SimulatedDevice,
                 write: tuple[str, ...]) -> None:
        self.sensor = sensor
        self.connects = 0
        self.channel: RadioChannel | None = None
        """The radio of the present connection, where the sensor has a model."""
        self._world, self._device, self._gatt = world, device, gatt
        self._notifying = [Characteristic(UUID(uuid), Characteristic.Properties.NOTIFY,
                                          Characteristic.Permissions.READABLE, b"") for uuid in gatt.notify]
        written = [Characteristic(UUID(uuid), Characteristic.Properties.WRITE, Characteristic.Permissions.WRITEABLE,
                                  CharacteristicValue(write=partial(self._write, uuid))) for uuid in write]
        device.add_service(Service(UUID(gatt.service), [*self._notifying, *written]))
        self._connection: Any = None
        self._pump: asyncio.Task[None] | None = None
        self._advertised = True
        device.on("connection", self._connected)

    async def start(self) -> None:
        """Switch it on; it advertises whenever it is not connected."""
        await self._device.power_on()
        await self.advertise(True)

    async def stop(self) -> None:
        """Switch it off without a word."""
        self._advertised = False
        if self._pump is not None:
            self._pump.cancel()
        with suppress(BaseBumbleError):
            await self._device.power_off()
        self._world.link.forget(self._device.random_address)

    async def advertise(self, on: bool) -> None:
        """Be found, or not."""
        self._advertised = on
        if on and self._connection is None:
            await self._device.start_advertising(auto_restart=False, advertising_data=self._advertisement(),
                                                 advertising_interval_min=ADVERTISE_MS,
                                                 advertising_interval_max=ADVERTISE_MS)
        elif not on:
            await self._device.stop_advertising()

    async def cut(self, reason: int = hci.HCI_CONNECTION_TIMEOUT_ERROR) -> None:
        """End the connection, by default as the supervision timeout does."""
        if self._connection is not None:
            with suppress(BaseBumbleError):
                await self._connection.disconnect(reason)

    def _advertisement(self) -> bytes:
        """Flags, service and name as far as 31 bytes go: bumble's controller sends no scan response."""
        flags = (AdvertisingData.FLAGS, b"\x06")
        service = (AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS, bytes(UUID(self._gatt.service)))
        name = (AdvertisingData.COMPLETE_LOCAL_NAME, self._device.name.encode())
        both = bytes(AdvertisingData([flags, service, name]))
        return both if len(both) <= LONGEST_ADVERTISEMENT else bytes(AdvertisingData([flags, name]))

    def _write(self, uuid: str, _: Any, value: bytes) -> None:
        self.sensor.written.append((bytes(value), uuid))

    def _connected(self, connection: Any) -> None:
        self._connection = connection
        self.connects += 1
        connection.on("disconnection", self._disconnected)
        self._pump = asyncio.get_running_loop().create_task(self._send(connection))

    def _disconnected(self, _: int) -> None:
        self._connection = None
        if self._pump is not None:
            self._pump.cancel()
        if self._advertised:
            task = asyncio.get_running_loop().create_task(self.advertise(True))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _send(self, connection: Any) -> None:
        sensor, model = self.sensor, self.sensor.model
        step_ns = round((model.interval_s if model is not None else 1 / sensor.rate_hz) * 1e9)
        while not self._device.gatt_server.subscribers.get(connection):
            await asyncio.sleep(0.002)
        channel = self.channel = RadioChannel(model, sensor.clock() / 1e9) if model is not None else None
        made, boots = sensor.now()[0], sensor.boots
        next_ns = sensor.clock()
        while True:
            next_ns += step_ns
            await asyncio.sleep(max(0.0, (next_ns - sensor.clock()) / 1e9))
            if sensor.boots != boots:
                boots, made = sensor.boots, 0
            count = sensor.now()[0]
            packets = [sensor.bytes_of(number) for number in range(made, count)] if not sensor.silent else []
            sensor.sent += len(packets)
            made = max(made, count)
            if channel is not None:
                for packet in packets:
                    channel.offer(packet)
                packets = channel.event(sensor.clock() / 1e9)
                if channel.lost(sensor.clock() / 1e9):
                    asyncio.get_running_loop().create_task(self.cut()).add_done_callback(
                        lambda done: done.cancelled() or done.exception())
                    return
            for packet in packets:
                await self._device.notify_subscriber(connection, self._notifying[0], packet)


class _Scanner(BaseBleakScanner):
    """bleak's scanner over the world's adapter."""

    world: World

    def __init__(self, detection_callback: Any, service_uuids: Any, scanning_mode: str, **_: Any) -> None:
        super().__init__(detection_callback, service_uuids)

    async def start(self) -> None:
        """Scan."""
        if not self.world.on:
            raise BleakError("No powered Bluetooth adapters found. Turn on Bluetooth and try again.")
        self.seen_devices: dict[str, Any] = {}
        self.world.central.on("advertisement", self._advertised)
        await self.world.central.start_scanning(filter_duplicates=False)

    async def stop(self) -> None:
        """Scan no more."""
        self.world.central.remove_listener("advertisement", self._advertised)
        await self.world.central.stop_scanning()

    def _advertised(self, advertisement: Any) -> None:
        data = advertisement.data
        name = data.get(AdvertisingData.COMPLETE_LOCAL_NAME)
        services = [_uuid_text(uuid) for uuid in
                    data.get(AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS) or []]
        address = advertisement.address.to_string(False)
        said = AdvertisementData(local_name=name, manufacturer_data={}, service_data={}, service_uuids=services,
                                 tx_power=None, rssi=advertisement.rssi, platform_data=())
        device = self.create_or_update_device(address, address, name, advertisement.address, said)
        self.call_detection_callbacks(device, said)


class _Client(BaseBleakClient):
    """bleak's client over the world's adapter."""

    world: World

    def __init__(self, address_or_ble_device: BLEDevice | str, services: Any = None, **options: Any) -> None:
        super().__init__(address_or_ble_device, disconnected_callback=options.get("disconnected_callback"),
                         timeout=options.get("timeout", 10.0))
        self._where = (address_or_ble_device.details if isinstance(address_or_ble_device, BLEDevice)
                       else hci.Address(address_or_ble_device))
        self._connection: Any = None
        self._peer: Any = None

    @property
    def name(self) -> str:
        """The address; bumble keeps no names."""
        return str(self.address)

    @property
    def mtu_size(self) -> int:
        """As negotiated."""
        return int(self._connection.att_mtu) if self._connection is not None else 23

    @property
    def is_connected(self) -> bool:
        """Whether the link is up."""
        return self._connection is not None

    async def connect(self, pair: bool, **_: Any) -> None:
        """Connect, agree on an MTU, discover."""
        try:
            self._connection = await self.world.central.connect(self._where, timeout=self._timeout)
        except (BaseBumbleError, asyncio.TimeoutError) as error:
            raise BleakDeviceNotFoundError(self.address, f"{self.address} was not found ({error})") from error
        self._connection.on("disconnection", self._ended)
        self._peer = Peer(self._connection)
        try:
            if self.world.mtu > 23:
                await self._peer.request_mtu(self.world.mtu)
            await self._discover()
        except (BaseBumbleError, asyncio.TimeoutError) as error:
            raise BleakError(f"failed to discover services: {error}") from error

    async def disconnect(self) -> None:
        """End the connection."""
        if self._connection is not None:
            with suppress(BaseBumbleError):
                await self._connection.disconnect()

    async def pair(self, *_: Any, **__: Any) -> None:
        """Pair."""
        await self._connection.pair()

    async def unpair(self) -> None:
        """Nothing is kept."""

    async def read_gatt_char(self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False,
                             **_: Any) -> bytearray:
        """Read."""
        return bytearray(await self._peer.read_value(characteristic.obj))

    async def read_gatt_descriptor(self, descriptor: Any, *, use_cached: bool = False, **_: Any) -> bytearray:
        """Read."""
        return bytearray(await self._peer.read_value(descriptor.obj))

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: Any, response: bool) -> None:
        """Write."""
        await self._peer.write_value(characteristic.obj, bytes(data), with_response=response)

    async def write_gatt_descriptor(self, descriptor: Any, data: Any) -> None:
        """Write."""
        await self._peer.write_value(descriptor.obj, bytes(data), with_response=True)

    async def start_notify(self, characteristic: BleakGATTCharacteristic, callback: Callable[[bytearray], None],
                           **_: Any) -> None:
        """Subscribe."""
        await self._peer.subscribe(characteristic.obj, lambda value: callback(bytearray(value)))

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """Unsubscribe."""
        await self._peer.unsubscribe(characteristic.obj)

    async def _discover(self) -> None:
        collection = BleakGATTServiceCollection()
        for found in await self._peer.discover_services():
            service = BleakGATTService(found, found.handle, _uuid_text(found.uuid))
            collection.add_service(service)
            for each in await found.discover_characteristics():
                properties: Any = [name for name, bit in PROPERTIES.items() if int(each.properties) & bit]
                collection.add_characteristic(BleakGATTCharacteristic(
                    each, each.handle, _uuid_text(each.uuid), properties, lambda: self.mtu_size - 3, service))
        self.services = collection

    def _ended(self, _: int) -> None:
        self._connection = None
        if self._disconnected_callback is not None:
            self._disconnected_callback()


def _uuid_text(uuid: Any) -> str:
    text: str = uuid.to_hex_str("-")
    return text.lower() if len(text) == 36 else f"0000{text.lower()}-0000-1000-8000-00805f9b34fb"
