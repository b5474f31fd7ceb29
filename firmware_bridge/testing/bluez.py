"""BlueZ without Bluetooth: a fake ``org.bluez`` on a D-Bus daemon of its own, for bleak's real Linux backend.

    async with PrivateBus() as bus:              # of .private_bus; bleak finds it by DBUS_SYSTEM_BUS_ADDRESS
        bluez = FakeBluez([FakePeripheral("AA:BB:CC:00:00:01", "left-wrist", ...)])
        await bluez.start()
        link = open_link("ble:left-wrist?protocol=node")
        ...
        await bluez.kill()                       # as SIGKILL: bleak notices nothing
        await bluez.start()

Real are: bleak and its BlueZ backend, dbus-fast, the bus, the passing of descriptors (AcquireNotify). The fake knows the
objects, methods, properties and signals that a central uses (BlueZ's own doc/org.bluez.Adapter.rst, .Device.rst and
.GattCharacteristic.rst), and faults on demand. It has no radio (see :mod:`.radio` and :mod:`.bumble_backend`), no
pairing and no security. :mod:`.processes` runs it in a process of its own.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from edgeskel.errors import DeviceError
from firmware_bridge.testing.bluez_peripheral import ADAPTER_PATH, FakePeripheral
from firmware_bridge.testing.bus_objects import BusObjects, answer, refusal

__all__ = ["FakeBluez", "FakePeripheral"]

ADAPTER, DEVICE = "org.bluez.Adapter1", "org.bluez.Device1"
SERVICE, CHARACTERISTIC = "org.bluez.GattService1", "org.bluez.GattCharacteristic1"
ADVERTISE_S = 0.05
CONNECT_S = 0.02


class FakeBluez:
    """The daemon. Runs in the loop that starts it.

    Attributes to set at any time: ``busy`` scans to refuse with InProgress; ``aborts`` connections to break off with
    le-connection-abort-by-local; ``denied`` to refuse everything; ``acquire_refused`` as where another
    program has acquired the notifications.
    """

    busy: int
    aborts: int

    def __init__(self, peripherals: Sequence[FakePeripheral] = (), *, mtu: int = 247) -> None:
        self.peripherals: list[FakePeripheral] = list(peripherals)
        self.busy = self.aborts = 0
        self.denied = self.acquire_refused = False
        self.most_at_once: int = 0
        """The most connections that were being made at the same moment."""
        self._mtu = mtu
        self._powered = True
        self._shown = BusObjects()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pumps: dict[str, asyncio.Task[None]] = {}
        self._pipes: dict[str, socket.socket] = {}
        self._lent: dict[str, socket.socket] = {}
        self._subscribers: dict[str, str] = {}
        self._scanner = ""
        self._scanning = False
        self._connecting = 0

    @property
    def lends_socket(self) -> bool:
        """Whether notifications of some device go out through a socket (AcquireNotify) just now."""
        return bool(self._pipes)

    def end_sockets(self) -> None:
        """Close every socket that notifications go out through; the devices stay connected."""
        for path in list(self._pipes):
            self._stop_notify(path)

    # -- the daemon -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Come up on the bus, knowing nothing of what was before, and announce the adapter."""
        from dbus_fast import BusType, Message, RequestNameReply
        from dbus_fast.aio import MessageBus

        self._shown.mute = self._scanning = False
        bus = MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True)
        self._shown.bus = await bus.connect()
        self._shown.bus.add_message_handler(self._serve)
        self._shown.bus.add_message_handler(self._client_gone)
        await self._shown.bus.call(Message(
            destination="org.freedesktop.DBus", path="/org/freedesktop/DBus", interface="org.freedesktop.DBus", member="AddMatch",
            signature="s", body=["type='signal',interface='org.freedesktop.DBus',member='NameOwnerChanged'"]))
        if await self._shown.bus.request_name("org.bluez") != RequestNameReply.PRIMARY_OWNER:
            raise DeviceError("org.bluez is taken on this bus", expected="a private bus")
        self._shown.objects = {"/org/bluez": {}}
        self._shown.add(ADAPTER_PATH, {ADAPTER: {
            "Address": ("s", "00:00:00:00:00:01"), "Name": ("s", "fake"), "Alias": ("s", "fake"),
            "Powered": ("b", self._powered), "Discovering": ("b", False), "UUIDs": ("as", []),
            "Roles": ("as", ["central", "peripheral"])}})

    async def kill(self) -> None:
        """Vanish as after SIGKILL: no goodbye, every connection and subscription is gone."""
        bus, self._shown.bus = self._shown.bus, None
        for task in [*self._tasks, *self._pumps.values()]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._pumps.values(), return_exceptions=True)
        self._tasks.clear()
        self._pumps.clear()
        for pipe in [*self._pipes.values(), *self._lent.values()]:
            pipe.close()
        self._pipes.clear()
        self._lent.clear()
        self._subscribers.clear()
        self._shown.clear()
        if bus is not None:
            bus.disconnect()
            with suppress(Exception):
                await bus.wait_for_disconnect()

    def freeze(self) -> None:
        """Keep the name and do nothing any more, as a daemon that hangs or is stopped."""
        self._shown.mute = True

    def power(self, on: bool) -> None:
        """Switch the adapter; off ends every connection."""
        self._powered = on
        if not on:
            for peripheral in self.peripherals:
                self.drop(peripheral)
            self._shown.change(ADAPTER_PATH, ADAPTER, {"Discovering": ("b", False)})
            self._scanning = False
        self._shown.change(ADAPTER_PATH, ADAPTER, {"Powered": ("b", on)})

    # -- the devices ----------------------------------------------------------------------------------------------

    def connected(self, peripheral: FakePeripheral) -> bool:
        """Whether the daemon holds a connection to it."""
        return bool(self._shown.objects.get(peripheral.path, {}).get(DEVICE, {}).get("Connected", ("b", False))[1])

    def drop(self, peripheral: FakePeripheral, *, present: bool | None = None) -> None:
        """It ends the connection (and is gone if ``present`` is False)."""
        if present is not None:
            peripheral.present = present
        for path in peripheral.objects().values():
            self._stop_notify(path)
        if self.connected(peripheral):
            self._shown.change(peripheral.path, DEVICE, {"ServicesResolved": ("b", False), "Connected": ("b", False)})

    def offer(self, peripheral: FakePeripheral, notify: Sequence[str]) -> None:
        """From its next connection on it has these characteristics that notify."""
        peripheral.notify = tuple(notify)

    def remove(self, peripheral: FakePeripheral) -> None:
        """The daemon forgets it, without a word about its connection."""
        for path in peripheral.objects().values():
            self._stop_notify(path)
        for path in [p for p in self._shown.objects if p == peripheral.path or p.startswith(peripheral.path + "/")]:
            interfaces = list(self._shown.objects.pop(path))
            self._shown.signal("/", "org.freedesktop.DBus.ObjectManager", "InterfacesRemoved", "oas", [path, interfaces])

    def _client_gone(self, message: Any) -> None:
        """As BlueZ: the scan and the subscriptions of a program end with it; the connections that it made stay."""
        if message.member != "NameOwnerChanged" or message.body[2]:
            return
        if message.body[0] == self._scanner:
            self._stop_scan()
        for path in [path for path, client in self._subscribers.items() if client == message.body[0]]:
            self._stop_notify(path)

    # -- requests -------------------------------------------------------------------------------------------------

    def _serve(self, message: Any) -> Any:
        from dbus_fast import Message, MessageType

        if message.message_type != MessageType.METHOD_CALL or message.path is None:
            return None
        if message.destination not in ("org.bluez", self._shown.bus.unique_name):
            return None
        if self._shown.mute:
            return True  # taken, never answered
        if self.denied:
            return Message.new_error(message, "org.freedesktop.DBus.Error.AccessDenied", "rejected send message")
        handler = getattr(self, f"_do_{message.member}", None)
        if handler is None:
            return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", message.member)
        if message.path not in self._shown.objects and message.path != "/":
            return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownObject", message.path)
        reply = handler(message)
        if reply is not True:
            self._shown.send(reply)
        return True

    def _do_GetManagedObjects(self, message: Any) -> Any:
        return answer(message, "a{oa{sa{sv}}}", [self._shown.managed()])

    def _do_SetDiscoveryFilter(self, message: Any) -> Any:
        return answer(message)

    def _do_StartDiscovery(self, message: Any) -> Any:
        if not self._powered:
            return refusal(message, "NotReady", "Resource Not Ready")
        if self.busy:
            self.busy -= 1
            return refusal(message, "InProgress", "Operation already in progress")
        self._scanner = message.sender
        if not self._scanning:
            self._scanning = True
            self._spawn(self._advertise())
        self._shown.change(ADAPTER_PATH, ADAPTER, {"Discovering": ("b", True)})
        return answer(message)

    def _do_StopDiscovery(self, message: Any) -> Any:
        self._stop_scan()
        return answer(message)

    def _stop_scan(self) -> None:
        self._scanning = False
        self._shown.change(ADAPTER_PATH, ADAPTER, {"Discovering": ("b", False)})

    def _do_Connect(self, message: Any) -> Any:
        peripheral = self._peripheral(message.path)
        self._spawn(self._connect(message, peripheral))
        return True

    def _do_Disconnect(self, message: Any) -> Any:
        self.drop(self._peripheral(message.path))
        return answer(message)

    def _do_StartNotify(self, message: Any) -> Any:
        peripheral = self._peripheral(message.path)
        if not self.connected(peripheral):
            return refusal(message, "Failed", "Not connected")
        self._subscribers[message.path] = message.sender
        self._shown.change(message.path, CHARACTERISTIC, {"Notifying": ("b", True)})
        self._pump(peripheral, message.path, lambda data: self._shown.change(
            message.path, CHARACTERISTIC, {"Value": ("ay", data)}, keep=False))
        return answer(message)

    def _do_StopNotify(self, message: Any) -> Any:
        self._stop_notify(message.path)
        return answer(message)

    def _do_AcquireNotify(self, message: Any) -> Any:
        peripheral = self._peripheral(message.path)
        if self.acquire_refused:
            return refusal(message, "NotPermitted", "Operation not permitted")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._pipes[message.path] = ours
        self._subscribers[message.path] = message.sender
        self._shown.change(message.path, CHARACTERISTIC, {"NotifyAcquired": ("b", True)})

        def send(data: bytes) -> None:
            with suppress(BlockingIOError):  # as BlueZ: what does not fit into the socket is gone
                try:
                    ours.send(data)
                except (BrokenPipeError, ConnectionResetError):
                    self._stop_notify(message.path)

        self._pump(peripheral, message.path, send)
        from dbus_fast import Message

        self._shown.send(Message.new_method_return(message, "hq", [0, self._mtu], [theirs.fileno()]))
        self._lent[message.path] = theirs  # closed with ours: the bus has its own copy once the reply is written
        return True

    def _do_WriteValue(self, message: Any) -> Any:
        peripheral = self._peripheral(message.path)
        uuid = next(uuid for uuid, path in peripheral.objects().items() if path == message.path)
        peripheral.written.append((uuid, bytes(message.body[0])))
        return answer(message)

    async def _connect(self, message: Any, peripheral: FakePeripheral) -> None:
        self._connecting += 1
        self.most_at_once = max(self.most_at_once, self._connecting)
        try:
            await asyncio.sleep(CONNECT_S)
            if not peripheral.present:
                self._shown.send(refusal(message, "Failed", "le-connection-abort-by-peer"))
                return
            self._shown.change(peripheral.path, DEVICE, {"Connected": ("b", True)})
            if self.aborts:
                self.aborts -= 1
                self._shown.send(refusal(message, "Failed", "le-connection-abort-by-local"))
                await asyncio.sleep(CONNECT_S)
                self._shown.change(peripheral.path, DEVICE, {"Connected": ("b", False)})
                return
            self._add_services(peripheral)
            self._shown.change(peripheral.path, DEVICE, {"ServicesResolved": ("b", True)})
            peripheral.connects += 1
            self._shown.send(answer(message))
        finally:
            self._connecting -= 1

    # -- what goes on by itself -----------------------------------------------------------------------------------

    async def _advertise(self) -> None:
        strength = 0
        while self._scanning:
            for peripheral in self.peripherals:
                if not peripheral.present or self.connected(peripheral) or self._shown.mute:
                    continue
                if peripheral.path not in self._shown.objects:
                    self._shown.add(peripheral.path, {DEVICE: {
                        "Address": ("s", peripheral.address), "AddressType": ("s", "random"),
                        "Name": ("s", peripheral.name), "Alias": ("s", peripheral.name), "Paired": ("b", False),
                        "Trusted": ("b", False), "Connected": ("b", False), "ServicesResolved": ("b", False),
                        "UUIDs": ("as", [peripheral.service]), "Adapter": ("o", ADAPTER_PATH), "RSSI": ("n", -60)}})
                else:
                    strength = (strength + 1) % 10
                    self._shown.change(peripheral.path, DEVICE, {"RSSI": ("n", -60 - strength)})
            await asyncio.sleep(ADVERTISE_S)

    def _pump(self, peripheral: FakePeripheral, path: str, send: Callable[[bytes], None]) -> None:
        if path in self._pumps:
            self._pumps[path].cancel()
        if peripheral.packet is not None and path == peripheral.objects()[peripheral.notify[0]]:
            self._pumps[path] = asyncio.create_task(self._notify(peripheral, peripheral.packet, send))

    async def _notify(self, peripheral: FakePeripheral, packet: Callable[[int], bytes],
                      send: Callable[[bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        if peripheral.began is None:
            peripheral.began = loop.time()
        else:
            peripheral.made = int((loop.time() - peripheral.began) * peripheral.rate_hz)
        while True:
            due = int((loop.time() - peripheral.began) * peripheral.rate_hz)
            while peripheral.made <= due:
                if not (peripheral.silent or self._shown.mute):
                    send(packet(peripheral.made))
                peripheral.made += 1
            await asyncio.sleep(max(0.0, peripheral.began + peripheral.made / peripheral.rate_hz - loop.time()))

    def _stop_notify(self, path: str) -> None:
        pump = self._pumps.pop(path, None)
        if pump is not None:
            pump.cancel()
        for pipes in (self._pipes, self._lent):
            if path in pipes:
                pipes.pop(path).close()
        if self._subscribers.pop(path, None) is not None:
            self._shown.change(path, CHARACTERISTIC, {"Notifying": ("b", False), "NotifyAcquired": ("b", False)})

    # -- its objects ----------------------------------------------------------------------------------------------

    def _peripheral(self, path: str) -> FakePeripheral:
        return next(each for each in self.peripherals if path == each.path or path.startswith(each.path + "/"))

    def _add_services(self, peripheral: FakePeripheral) -> None:
        service = f"{peripheral.path}/service0001"
        if service in self._shown.objects:
            return
        self._shown.add(service, {SERVICE: {"UUID": ("s", peripheral.service), "Device": ("o", peripheral.path),
                                            "Primary": ("b", True)}})
        for uuid, path in peripheral.objects().items():
            flags = ["notify"] if uuid in peripheral.notify else ["write", "write-without-response"]
            values: dict[str, Any] = {"UUID": ("s", uuid), "Service": ("o", service), "Flags": ("as", flags),
                                      "MTU": ("q", self._mtu)}
            if uuid in peripheral.notify:
                values |= {"Notifying": ("b", False), "NotifyAcquired": ("b", False)}
            self._shown.add(path, {CHARACTERISTIC: values})

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
