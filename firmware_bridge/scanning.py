"""What is there: serial ports, BLE devices that advertise, senders of datagrams; and which protocol each seems to speak.

Nothing that is heard here goes anywhere. A guess is a guess: by name and services over BLE, by what a codec accepts elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgeskel.errors import DeviceError, EdgeskelError, MissingExtra
from firmware_bridge.codecs import Codec, create, names
from firmware_bridge.device_allowlist import DeviceAllowlist
from firmware_bridge.samples import Chunk, DeviceStatus
from firmware_bridge.transports.serial import BAUDS, DEFAULT_BAUD, SerialTransport

__all__ = ["OnAir", "OnPort", "OnWire", "Scan", "ble", "guess_gatt", "scan", "serial", "udp"]

STREAMS = ("node", "witmotion", "bno08x")
"""Protocols of serial lines."""
DATAGRAMS = ("slimevr", "mocopi", "lines")
LISTEN_S = 0.6
"""How long a serial port is listened to at one baud rate."""
ENOUGH = 3
"""Frames by which a protocol is recognised."""
HEARD = 256
"""Datagrams of one sender that are looked at."""


@dataclass
class OnWire:
    """A serial port.

    Args:
        address: to open it with.
        name: what USB says of it.
        identity: ``serial:NUMBER`` of the port or, if it was listened to and says one, of the device.
        protocol: what was recognised; "" if it was not listened to, or nothing was.
        enrolled: whether that identity is.
        problem: why it could not be listened to.
    """

    address: str
    name: str
    identity: str | None
    protocol: str = ""
    enrolled: bool = False
    problem: str = ""


@dataclass
class OnAir:
    """A BLE device that advertises, or is ``connected`` to this machine; ``protocol`` by its name and services, "" unknown."""

    address: str
    name: str
    identity: str
    protocol: str
    signal_dbm: int | None
    enrolled: bool = False
    connected: bool = False


@dataclass
class OnPort:
    """A sender of datagrams; ``address`` listens to it where a protocol was recognised."""

    sender: str
    port: int
    identity: str
    protocol: str
    datagrams: int
    address: str = ""
    enrolled: bool = False


@dataclass
class Scan:
    """Everything that was found, and why the rest could not be looked at: kind -> sentence."""

    serial: list[OnWire] = field(default_factory=list)
    ble: list[OnAir] = field(default_factory=list)
    udp: list[OnPort] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


async def scan(seconds: float, *, allowlist: DeviceAllowlist, kinds: Sequence[str] = ("serial", "ble", "udp"),
               ports: Sequence[str] = (), probe: bool = False, listen: Sequence[tuple[str, int]] = (),
               adapter: str = "") -> Scan:
    """Look at all kinds at once; one that cannot be looked at is named and harms no other.

    Args:
        seconds: how long to listen for advertisements and datagrams.
        enrolment: to say who is enrolled.
        kinds: which.
        ports: serial ports beside those that the system lists.
        probe: open serial ports and listen; nothing is written to a port that has not spoken as a node, unless it is of ``ports``.
        listen: (host, port) for datagrams.
        adapter: of Bluetooth, ``hci0``; "" for the first.
    """
    found = Scan()

    async def one(kind: str, work: Any, into: list[Any]) -> None:
        try:
            into += await work
        except EdgeskelError as error:
            found.problems[kind] = str(error)
        except ModuleNotFoundError as error:
            found.problems[kind] = str(MissingExtra(error.name or kind, "sensors", f"looking for {kind} devices"))

    jobs = []
    if "serial" in kinds:
        jobs.append(one("serial", serial(ports, probe=probe), found.serial))
    if "ble" in kinds:
        jobs.append(one("ble", ble(seconds, adapter), found.ble))
    if "udp" in kinds:
        jobs += [one(f"udp:{host}:{port}", udp(host, port, seconds), found.udp) for host, port in listen]
    await asyncio.gather(*jobs)
    devices: list[OnWire | OnAir | OnPort] = [*found.serial, *found.ble, *found.udp]
    for each in devices:
        each.enrolled = each.identity is not None and allowlist.admits(each.identity)
    return found


async def serial(more: Iterable[str] = (), *, probe: bool = False) -> list[OnWire]:
    """Serial ports of this machine.

    Args:
        more: ports that the system does not list, such as pseudo-terminals, or that may be written to.
        probe: open each and listen at the baud rates of the known protocols. A board that resets when its port is opened resets.
            A node is asked who it is when it was recognised by what it sent; what else may hang on a port (a modem, a machine
            tool) is written nothing. The ports of ``more`` are asked although they are silent.

    Raises:
        ModuleNotFoundError: pyserial is not installed.
    """
    from serial.tools.list_ports import comports

    ports = [OnWire(f"serial:{port.device}", port.description if port.hwid != "n/a" else "",
                    f"serial:{port.serial_number}" if port.serial_number else None)
             for port in sorted(comports(), key=lambda port: str(port.device))]
    named = {os.path.realpath(path): path for path in more}
    known = {os.path.realpath(port.address.removeprefix("serial:")) for port in ports}
    ports += [OnWire(f"serial:{path}", "", None) for place, path in named.items() if place not in known]
    if probe:
        await asyncio.gather(*(_listen(port, os.path.realpath(port.address.removeprefix("serial:")) in named) for port in ports))
    return ports


async def _listen(port: OnWire, named: bool) -> None:
    """Find out what a port speaks; ``named`` ports may be written to before they have spoken."""
    path = port.address.removeprefix("serial:")
    bauds: dict[int, list[str]] = {}
    for protocol in STREAMS:
        bauds.setdefault(BAUDS.get(protocol, DEFAULT_BAUD), []).append(protocol)
    try:
        for baud, protocols in bauds.items():
            codecs = {protocol: create(protocol) for protocol in protocols}
            identity = await _hear(path, baud, codecs)
            best = _best(codecs)
            if "node" in codecs and identity is None and (best == "node" or named):
                identity = await _hear(path, baud, codecs, ask=True)
                best = _best(codecs)
            if best:
                port.protocol, port.address = best, f"{port.address}?protocol={best}"
                port.identity = identity or port.identity
                return
    except DeviceError as error:
        port.problem = str(error)


async def _hear(path: str, baud: int, codecs: dict[str, Codec], *, ask: bool = False) -> str | None:
    """Feed what comes at a baud rate to the codecs, to ``ask`` a node after asking it; the identity that one of them found out."""
    transport = SerialTransport(path, baud)
    identities: list[str] = []
    done = asyncio.Event()

    def received(chunk: Chunk) -> None:
        for codec in codecs.values():
            identities.extend(f"serial:{item.identity}" for item in codec.decode(chunk)
                              if isinstance(item, DeviceStatus) and item.identity)

    def lost(_: BaseException | None) -> None:
        done.set()

    try:
        await transport.open(received, lost)
        if ask:
            await transport.write(codecs["node"].start()[0].data)  # "identify", which changes nothing
        try:
            await asyncio.wait_for(done.wait(), LISTEN_S)
        except (asyncio.TimeoutError, TimeoutError):
            pass
    finally:
        await transport.close()
    return identities[0] if identities else None


async def ble(seconds: float, adapter: str = "") -> list[OnAir]:
    """Devices that advertise within some seconds, the strongest first, and those that are connected to this machine.

    Raises:
        DeviceError: no adapter, switched off, no permission, no daemon; the message says what to do.
        ModuleNotFoundError: bleak is not installed.
    """
    import bleak  # noqa: F401 (a missing package is found here, not in the middle of a scan)

    from firmware_bridge.transports.ble import Radio

    radio = Radio.of(adapter)
    found = await radio.find(lambda _: True, limit_s=seconds, settle_s=lambda _: seconds, what="looking for BLE devices")
    devices = [_on_air(each.address, each.name, each.services, each.signal_dbm)
               for each in sorted(found, key=lambda each: -(each.signal_dbm or -999))]
    heard = {device.identity for device in devices}
    held = [_on_air(link.address, link.name, link.services, None, connected=True) for link in await radio.held()]
    return devices + [device for device in held if device.identity not in heard]


def _on_air(address: str, name: str, services: Sequence[str], signal_dbm: int | None, *, connected: bool = False) -> OnAir:
    protocol = guess_gatt(name, services)
    return OnAir(f"ble:{address}?protocol={protocol}" if protocol else f"ble:{address}", name, f"ble:{address.upper()}", protocol,
                 signal_dbm, connected=connected)


def guess_gatt(name: str, services: Sequence[str]) -> str:
    """The protocol of a BLE device by the service that it advertises or, failing that, by how its name begins; "" if none."""
    gatts = {protocol: gatt for protocol in names() if (gatt := create(protocol).gatt) is not None}
    heard = {service.lower() for service in services}
    by_service = next((protocol for protocol, gatt in gatts.items() if gatt.service.lower() in heard), "")
    return by_service or next((protocol for protocol, gatt in gatts.items() if name and name.startswith(gatt.names or "\0")), "")


async def udp(host: str, port: int, seconds: float) -> list[OnPort]:
    """Who sends datagrams to a port of this machine within some seconds.

    Raises:
        DeviceError: the port is taken, or the address is not one of this machine.
    """
    loop = asyncio.get_running_loop()
    heard: dict[tuple[str, int], tuple[int, dict[str, Codec]]] = {}
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listener.setblocking(False)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise DeviceError(f"udp:{host}:{port}: {error.strerror or error}", expected="a free port of this machine",
                              remedy=f"see who has it: ss -ulpn sport = :{port}") from error
        end = loop.time() + seconds

        def read() -> None:
            try:
                data, where = listener.recvfrom(65535)
            except OSError:
                return
            sender = (str(where[0]), int(where[1]))
            if sender not in heard and len(heard) >= HEARD:
                return
            count, codecs = heard.get(sender) or (0, {protocol: create(protocol) for protocol in DATAGRAMS})
            heard[sender] = (count + 1, codecs)
            if count < HEARD:
                for codec in codecs.values():
                    codec.decode(Chunk(data, time.monotonic_ns(), f"{sender[0]}:{sender[1]}"))

        loop.add_reader(listener, read)
        await asyncio.sleep(max(0.0, end - loop.time()))
        loop.remove_reader(listener)
    finally:
        listener.close()
    found = []
    for (sender, from_port), (count, codecs) in heard.items():
        protocol = _best(codecs, least=1)
        address = f"udp:{host}:{port}?protocol={protocol}&from={sender}" if protocol else ""
        found.append(OnPort(f"{sender}:{from_port}", port, f"udp:{sender}", protocol, count, address))
    return found


def _best(codecs: dict[str, Codec], least: int = ENOUGH) -> str:
    """The codec that accepted most, if it refused less than it accepted; "" if none did."""
    best = max(codecs, key=lambda name: codecs[name].counts.frames)
    counts = codecs[best].counts
    return best if counts.frames >= least and counts.bad <= counts.frames else ""
