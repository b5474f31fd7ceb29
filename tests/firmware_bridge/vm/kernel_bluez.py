"""The real bluetoothd over the kernel's Bluetooth and a virtual controller, with the interface of ``FakeBluez``.

Needs root, ``/dev/vhci``, bluetoothd, and a bus of its own (``PrivateBus``). The devices behind the controller are bumble's,
in this process. What only a fake can do on demand (refuse a scan, break a connection off) is not here.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from bumble import hci, ll
from bumble.controller import Controller
from bumble.core import UUID, AdvertisingData, BaseBumbleError
from bumble.device import Device
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.host import Host
from bumble.link import LocalLink
from bumble.transport.common import AsyncPipeSink
from bumble.transport.vhci import open_vhci_transport

from firmware_bridge.testing.bluez import FakePeripheral

__all__ = ["KernelBluez"]

ADAPTER, PROPERTIES = "/org/bluez/hci0", "org.freedesktop.DBus.Properties"
LOOK_S = 0.05
ADVERTISE_MS = 50
LONGEST_ADVERTISEMENT = 31
COMES_UP_S = 60.0
ANSWER_S = 20.0
DAEMON_PLACES = "/usr/libexec/bluetooth:/usr/lib/bluetooth:/usr/sbin"


class KernelBluez:
    """bluetoothd, started and killed; peripherals appear, vanish and send as their fields say."""

    def __init__(self, peripherals: Sequence[FakePeripheral] = ()) -> None:
        self.peripherals = list(peripherals)
        self.busy = self.aborts = 0
        self.acquire_refused = False
        self.most_at_once: int | None = None
        """Not watched: how the kernel orders connections is its own business."""
        self._daemon: asyncio.subprocess.Process | None = None
        self._settings: Path | None = None
        self._air: _Air | None = None
        self._transport: Any = None
        self._there: dict[FakePeripheral, _Peripheral] = {}
        self._stale: set[FakePeripheral] = set()
        """Those whose table of characteristics is not what it should be: it is made with the device, so that is made anew."""
        self._keeper: asyncio.Task[None] | None = None
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start the daemon, the controller under it at the first time, and wait until the adapter is on."""
        if self._air is None:
            self._air = _Air()
            self._transport = await open_vhci_transport(None)
            self._air.central = Controller("kernel", host_source=self._transport.source, host_sink=self._transport.sink,
                                           link=self._air)
            for features in (hci.LeFeatureMask.LL_PRIVACY, hci.LeFeatureMask.LE_EXTENDED_ADVERTISING):
                self._air.central.le_features &= ~features  # bumble does half of either
            self._keeper = asyncio.create_task(self._keep())
        program = shutil.which("bluetoothd", path=DAEMON_PLACES)
        assert program is not None, "bluetoothd is not installed: apt-get install bluez"
        if self._settings is None:
            # A table of characteristics that bluetoothd remembers of an earlier device at the same address would be shown instead.
            self._settings = Path(tempfile.mkdtemp(), "main.conf")
            self._settings.write_text("[GATT]\nCache = no\n", encoding="ascii")
        self._daemon = await asyncio.create_subprocess_exec(program, "--nodetach", "--configfile", str(self._settings),
                                                            stderr=asyncio.subprocess.DEVNULL)
        end = time.monotonic() + COMES_UP_S
        while not await self._powered():
            assert self._daemon.returncode is None, f"bluetoothd ended with {self._daemon.returncode}"
            assert time.monotonic() < end, "bluetoothd has no adapter that is on"
            await asyncio.sleep(LOOK_S)

    async def kill(self) -> None:
        """SIGKILL the daemon; the kernel ends what was its. :meth:`close` takes the controller away, too."""
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            with suppress(ProcessLookupError):
                daemon.kill()
            await daemon.wait()

    async def close(self) -> None:
        """Kill it, and take the adapter and the devices away."""
        await self.kill()
        self._closing = True
        # Not cancelled: asyncio.wait_for, in which bumble waits for its controller, may swallow that (before Python 3.12).
        await asyncio.wait({*self._tasks, *([self._keeper] if self._keeper else [])}, timeout=ANSWER_S)
        for there in self._there.values():
            await there.stop()
        if self._transport is not None:
            await self._transport.close()

    def freeze(self) -> None:
        """It hangs (SIGSTOP)."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGSTOP)

    def power(self, on: bool) -> asyncio.Task[None]:
        """Switch the adapter; done when the task is."""
        return self._spawn(self._set_power(on))

    def connected(self, peripheral: FakePeripheral) -> bool:
        """Whether there is a link to it."""
        there = self._there.get(peripheral)
        return there is not None and there.connection is not None

    def drop(self, peripheral: FakePeripheral, *, present: bool | None = None) -> None:
        """It ends the connection (and is gone if ``present`` is False)."""
        if present is not None:
            peripheral.present = present
        self._spawn(self._there[peripheral].cut())

    def offer(self, peripheral: FakePeripheral, notify: Sequence[str]) -> asyncio.Task[None]:
        """It has these characteristics that notify; done when the task is."""
        peripheral.notify = tuple(notify)
        self._stale.add(peripheral)
        return self._spawn(self._renewed(peripheral))

    async def _renewed(self, peripheral: FakePeripheral) -> None:
        while peripheral in self._stale and not self._closing:
            await asyncio.sleep(LOOK_S)

    def remove(self, peripheral: FakePeripheral) -> None:
        """The daemon is told to forget it."""
        self._spawn(self._forget(peripheral))

    async def _forget(self, peripheral: FakePeripheral) -> None:
        await _call(ADAPTER, "org.bluez.Adapter1", "RemoveDevice", "o", [peripheral.path])

    async def _powered(self) -> bool:
        """Whether the adapter is on; asks for it where it is not."""
        try:
            reply = await _call(ADAPTER, PROPERTIES, "Get", "ss", ["org.bluez.Adapter1", "Powered"])
            if not reply[0].value:
                await self._set_power(True)
        except (OSError, asyncio.TimeoutError):
            return False
        return bool(reply[0].value)

    async def _set_power(self, on: bool) -> None:
        from dbus_fast import Variant

        await _call(ADAPTER, PROPERTIES, "Set", "ssv", ["org.bluez.Adapter1", "Powered", Variant("b", on)])

    async def _keep(self) -> None:
        """Devices advertise while they are present and not connected."""
        assert self._air is not None
        while not self._closing:
            for peripheral in list(self.peripherals):
                there = self._there.get(peripheral)
                if there is not None and peripheral in self._stale:
                    await there.cut()
                    await there.stop()
                    there.leave()
                    there = None
                if there is None:
                    self._stale.discard(peripheral)
                    there = self._there[peripheral] = _Peripheral(self._air, peripheral)
                    await there.start()
                await there.show()
            await asyncio.sleep(LOOK_S)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Air(LocalLink):
    """bumble's link; advertisements go to the kernel's controller only."""

    central: Controller | None = None

    def send_advertising_pdu(self, sender_controller: Controller, packet: Any) -> None:
        """To whom it is for."""
        receiver = self.find_le_controller(packet.advertiser_address) if isinstance(packet, ll.ConnectInd) else self.central
        if receiver is not None and receiver is not sender_controller:
            asyncio.get_running_loop().call_soon(receiver.on_ll_advertising_pdu, packet)

    def send_acl_data(self, sender_controller: Controller, destination_address: hci.Address, transport: Any, data: bytes) -> None:
        """From the address that the connection was made with: the kernel takes a new random one for the next connection, and
        bumble (0.0.236) would send what belongs to the earlier ones from that."""
        connection = sender_controller.le_connections.get(destination_address)
        receiver = self.find_le_controller(destination_address)
        if connection is not None and receiver is not None:
            asyncio.get_running_loop().call_soon(receiver.on_link_acl_data, connection.self_address, transport, data)


class _Peripheral:
    """One device on the air, as the fields of its :class:`FakePeripheral` say."""

    def __init__(self, air: _Air, wanted: FakePeripheral) -> None:
        self.connection: Any = None
        self._wanted = wanted
        controller = Controller(wanted.name, link=air)
        self._leave = partial(air.remove_controller, controller)
        self._device = Device(name=wanted.name, address=hci.Address(wanted.address),
                              host=Host(controller, AsyncPipeSink(controller)))
        notify = [Characteristic(UUID(uuid), Characteristic.Properties.NOTIFY, Characteristic.Permissions.READABLE, b"")
                  for uuid in wanted.notify]
        write = [Characteristic(UUID(uuid), Characteristic.Properties.WRITE, Characteristic.Permissions.WRITEABLE,
                                CharacteristicValue(write=partial(self._written, uuid))) for uuid in wanted.write]
        self._sending = notify[0]
        self._device.add_service(Service(UUID(wanted.service), [*notify, *write]))
        self._device.on("connection", self._connected)
        self._advertising = False
        self._pump: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._device.power_on()

    async def show(self) -> None:
        """Advertise, or not."""
        wanted = self._wanted.present and self.connection is None
        if wanted and not self._advertising:
            await self._device.start_advertising(auto_restart=False, advertising_data=self._advertisement(),
                                                 advertising_interval_min=ADVERTISE_MS, advertising_interval_max=ADVERTISE_MS)
        elif self._advertising and not self._wanted.present:
            await self._device.stop_advertising()
        self._advertising = wanted

    async def cut(self) -> None:
        if self.connection is not None:
            with suppress(BaseBumbleError):
                await self.connection.disconnect()

    async def stop(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
        with suppress(BaseBumbleError):
            await self._device.power_off()

    def leave(self) -> None:
        """Off the air, so that another one can have its address."""
        self._leave()

    def _advertisement(self) -> bytes:
        """Flags, and service and name as far as 31 bytes go: bumble's controller sends no scan response."""
        flags, name = (AdvertisingData.FLAGS, b"\x06"), (AdvertisingData.COMPLETE_LOCAL_NAME, self._wanted.name.encode())
        service = (AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS, bytes(UUID(self._wanted.service)))
        both = bytes(AdvertisingData([flags, service, name]))
        return both if len(both) <= LONGEST_ADVERTISEMENT else bytes(AdvertisingData([flags, name]))

    def _written(self, uuid: str, _: Any, value: bytes) -> None:
        self._wanted.written.append((uuid, bytes(value)))

    def _connected(self, connection: Any) -> None:
        self.connection, self._advertising = connection, False
        self._wanted.connects += 1
        connection.on("disconnection", self._disconnected)
        if self._wanted.packet is not None:
            self._pump = asyncio.get_running_loop().create_task(self._send(connection))

    def _disconnected(self, _: int) -> None:
        self.connection = None
        if self._pump is not None:
            self._pump.cancel()

    async def _send(self, connection: Any) -> None:
        wanted, loop = self._wanted, asyncio.get_running_loop()
        assert wanted.packet is not None
        while not self._device.gatt_server.subscribers.get(connection):
            await asyncio.sleep(0.005)
        if wanted.began is None:
            wanted.began = loop.time()
        else:
            wanted.made = int((loop.time() - wanted.began) * wanted.rate_hz)
        while True:
            while wanted.made <= int((loop.time() - wanted.began) * wanted.rate_hz):
                if not wanted.silent:
                    await self._device.notify_subscriber(connection, self._sending, wanted.packet(wanted.made))
                wanted.made += 1
            await asyncio.sleep(max(0.0, wanted.began + wanted.made / wanted.rate_hz - loop.time()))


async def _call(path: str, interface: str, member: str, signature: str, body: list[Any]) -> list[Any]:
    """Ask the daemon; raises OSError with its answer if it refuses or is not there, TimeoutError if it does not answer."""
    from dbus_fast import BusType, Message, MessageType
    from dbus_fast.aio import MessageBus

    bus = await MessageBus(bus_type=BusType.SYSTEM, bus_address=os.environ["DBUS_SYSTEM_BUS_ADDRESS"]).connect()
    try:
        question = Message(destination="org.bluez", path=path, interface=interface, member=member, signature=signature, body=body)
        reply = await asyncio.wait_for(bus.call(question), ANSWER_S)
        if reply is None or reply.message_type == MessageType.ERROR:
            raise OSError(f"{member}: {reply.error_name if reply else 'no reply'} {reply.body if reply else ''}")
        return list(reply.body)
    finally:
        bus.disconnect()
