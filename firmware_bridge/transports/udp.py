"""Datagrams: ``udp:127.0.0.1:6969?from=10.0.0.7,10.0.0.8:4210&rate=2000``.

Anybody may send a datagram, so the address says who is listened to. Without ``from`` only this machine is; a place that
other machines reach has to be named (``udp:0.0.0.0:6969``) together with its senders.

A flood from one sender costs the others nothing: each sender has a socket of its own, connected to it, so the kernel
sorts the datagrams into buffers apart (Linux prefers the socket that is connected to the sender; udp(7), connect(2)). A
sender beyond its rate, and everybody who is not listed, is not even read for a moment: what the kernel then drops costs
no time here.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from edgeskel.errors import DeviceError, UsageError
from firmware_bridge.samples import Chunk
from firmware_bridge.transports import Lost, Received, Traits, Transport
from firmware_bridge.transports.token_bucket import TokenBucket

__all__ = ["Sender", "UdpTransport", "open_transport"]

LONGEST = 65535
BUFFER = 1 << 20
"""Bytes that the kernel holds for one sender while we are busy: 4 s of 17 sensors at 100 Hz."""
READS = 64
"""Datagrams that one sender may have read before the others have their turn."""
PAUSE_S = 0.05
DEFAULT_RATE = 5000.0
"""Datagrams a second from one sender."""
MOST_SENDERS = 64
OPTIONS = ("from", "protocol", "rate")


@dataclass(frozen=True)
class Sender:
    """A host that may send, from any port or from one."""

    host: str
    port: int | None = None

    def admits(self, address: tuple[str, int]) -> bool:
        """Whether ``address`` is it."""
        return self.host == address[0] and self.port in (None, address[1])


class UdpTransport(Transport):
    """Listens to the listed senders. ``Chunk.channel`` is the sender, ``"host:port"``.

    Several transports of one program may listen on one port for different senders: one device each.

    Args:
        host, port: where to listen; port 0 takes a free one (see ``port`` after opening).
        senders: who is listened to.
        rate: datagrams a second that one sender may send; it may be ahead by a tenth of a second.
    """

    traits = Traits(ordered=False, senders_apart=True, on_silence="report")

    senders: tuple[Sender, ...]
    rate: float

    def __init__(self, host: str, port: int, senders: tuple[Sender, ...], *, rate: float = DEFAULT_RATE) -> None:
        self.address: str = f"udp:{_channel((host, port))}"
        self.port: int = port
        self.senders, self.rate = senders, rate
        self.received: Received | None = None
        self.throttled: dict[str, int] = {}
        """How often a sender was not read for a moment because it sent too much."""
        self._host = host
        self._listener: _PacketListener | None = None

    @property
    def refused(self) -> dict[str, int]:
        """Datagrams that were read and dropped because nobody listens to their host; at most 64 hosts by name."""
        return self._listener.refused if self._listener is not None else {}

    async def open(self, received: Received, lost: Lost) -> None:
        """Listen.

        Raises:
            DeviceError: the port is taken, or the address is not one of this machine.
            UsageError: another device of this program takes what the same sender sends to this port.
        """
        self.received = received
        try:
            self._listener = _PacketListener.at(self._host, self.port)
        except OSError as error:
            raise DeviceError(f"{self.address}: {error.strerror or error}",
                              expected="a free port on an address of this machine",
                              remedy=f"see who has it: ss -ulpn sport = :{self.port}") from error
        self.port = self._listener.port
        try:
            self._listener.join(self)
        except UsageError:
            self._listener = None
            raise

    async def write(self, data: bytes, channel: str = "") -> None:
        """Send a datagram to ``channel``; "" is the only listed sender that has a port.

        Raises:
            DeviceError: not open, no such receiver, or the network refuses.
        """
        if self._listener is None:
            raise DeviceError(f"{self.address} is not open")
        if channel:
            host, _, port = channel.rpartition(":")
            receiver = (host.strip("[]"), int(port))
        else:
            known = [(sender.host, sender.port) for sender in self.senders if sender.port is not None]
            if len(known) != 1:
                raise DeviceError(f"{self.address} does not know whom to write to", expected="a receiver HOST:PORT",
                                  remedy="name one sender with its port: from=HOST:PORT")
            receiver = known[0]
        try:
            self._listener.send(data, receiver)
        except OSError as error:
            raise DeviceError(f"{self.address}: to {_channel(receiver)}: {error.strerror or error}") from error

    async def close(self) -> None:
        """Stop listening."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.leave(self)


class _PacketListener:
    """One port of this program: an unconnected socket for everybody, and one connected to each sender that is listed."""

    _open: ClassVar[dict[tuple[asyncio.AbstractEventLoop, str, int], _PacketListener]] = {}

    @classmethod
    def at(cls, host: str, port: int) -> _PacketListener:
        """The listener of the running loop at a port, opened if there is none yet."""
        loop = asyncio.get_running_loop()
        listener = cls._open.get((loop, host, port)) if port else None
        if listener is None:
            listener = cls(loop, host, port)
            cls._open[(loop, host, listener.port)] = listener
        return listener

    def __init__(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> None:
        self.refused: dict[str, int] = {}
        self._loop, self._host = loop, host
        self._members: list[UdpTransport] = []
        self._senders: dict[tuple[str, int], _SenderSocket] = {}
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}
        self._unlisted = TokenBucket(200.0, READS)
        self._unconnected = self._bound(port, [])
        self.port = int(self._unconnected.getsockname()[1])
        loop.add_reader(self._unconnected, self._read_unconnected)

    def join(self, member: UdpTransport) -> None:
        """Listen for one more transport.

        Raises:
            UsageError: another one takes what the same sender sends.
        """
        for other in self._members:
            both = [sender for sender in member.senders if sender in other.senders]
            if both:
                said = both[0].host if both[0].port is None else _channel((both[0].host, both[0].port))
                raise UsageError(f"two devices at {member.address}: both take what {said} sends",
                                 expected="one device for each sender of a port",
                                 remedy="tell them apart with from=HOST or from=HOST:PORT, or give each a port of its own")
        self._members.append(member)
        for sender in member.senders:
            if sender.port is not None:
                self._connect((sender.host, sender.port), member)

    def leave(self, member: UdpTransport) -> None:
        """Close the sockets of its senders, and the unconnected one after the last member."""
        self._members.remove(member)
        for sender in [sender for sender, connected in self._senders.items() if connected.member is member]:
            self._disconnect(sender)
        if not self._members:
            self._close(self._unconnected)
            self._open.pop((self._loop, self._host, self.port), None)

    def send(self, data: bytes, receiver: tuple[str, int]) -> None:
        """Send from our port."""
        connected = self._senders.get(receiver)
        if connected is not None:
            connected.socket.send(data)
        else:
            self._unconnected.sendto(data, receiver)

    def _bound(self, port: int, others: list[socket.socket]) -> socket.socket:
        """A socket at a port that ``others`` of ours share."""
        made = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET, socket.SOCK_DGRAM)
        ours = [made, *others] if others else []
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            made.setblocking(False)
            for each in ours:  # only while we bind: at any other time another program could join us on our port
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((self._host, port))
        except BaseException:
            made.close()
            raise
        finally:
            for each in ours:
                if each.fileno() >= 0:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        return made

    def _connect(self, sender: tuple[str, int], member: UdpTransport) -> None:
        """Give a listed sender its own socket. The one silent longest goes when there are too many."""
        if len(self._senders) >= MOST_SENDERS:
            self._disconnect(min(self._senders, key=lambda key: self._senders[key].heard_ns))
        made = self._bound(self.port, [self._unconnected, *(connected.socket for connected in self._senders.values())])
        try:
            made.connect(sender)
        except OSError:
            made.close()  # no route to it now; it is connected at its first datagram
            return
        connected = self._senders[sender] = _SenderSocket(made, _channel(sender), member, TokenBucket(member.rate, READS),
                                                          time.monotonic_ns())
        self._loop.add_reader(made, self._read_sender, connected)

    def _disconnect(self, sender: tuple[str, int]) -> None:
        self._close(self._senders.pop(sender).socket)

    def _close(self, which: socket.socket) -> None:
        pause = self._pauses.pop(which, None)
        if pause is not None:
            pause.cancel()
        self._loop.remove_reader(which)
        which.close()

    def _read_sender(self, connected: _SenderSocket) -> None:
        for _ in range(READS):
            if connected.socket.fileno() < 0:
                return  # what it sent made its transport close
            if not connected.budget.take():
                throttled = connected.member.throttled
                throttled[connected.channel] = throttled.get(connected.channel, 0) + 1
                self._pause(connected.socket, lambda: self._read_sender(connected))
                return
            try:
                data = connected.socket.recv(LONGEST)
            except (BlockingIOError, InterruptedError):
                connected.budget.put_back()
                return
            except OSError:
                continue  # "connection refused": our answer found nobody; the sender may come back
            connected.heard_ns = time.monotonic_ns()
            self._hand_over(connected.member, data, connected.heard_ns, connected.channel)

    def _read_unconnected(self) -> None:
        """A datagram of somebody without a socket: connect one if he is listed, else name him."""
        for _ in range(READS):
            if self._unconnected.fileno() < 0:
                return
            if not self._unlisted.take():
                self._pause(self._unconnected, self._read_unconnected)
                return
            try:
                data, where = self._unconnected.recvfrom(LONGEST)
            except (BlockingIOError, InterruptedError):
                self._unlisted.put_back()
                return
            except OSError:
                continue
            now_ns = time.monotonic_ns()
            sender = (str(where[0]), int(where[1]))
            member = next((m for m in self._members if any(listed.admits(sender) for listed in m.senders)), None)
            if member is not None:
                self._unlisted.put_back()
                if sender not in self._senders:
                    self._connect(sender, member)
                connected = self._senders.get(sender)
                if connected is None or connected.budget.take():  # what came before the socket was there counts, too
                    self._hand_over(member, data, now_ns, _channel(sender))
            elif sender[0] in self.refused or len(self.refused) < MOST_SENDERS:
                self.refused[sender[0]] = self.refused.get(sender[0], 0) + 1

    def _hand_over(self, member: UdpTransport, data: bytes, host_ns: int, channel: str) -> None:
        if member.received is not None:
            member.received(Chunk(data, host_ns, channel))

    def _pause(self, which: socket.socket, read: Callable[[], None]) -> None:
        self._loop.remove_reader(which)

        def resume() -> None:
            self._pauses.pop(which, None)
            self._loop.add_reader(which, read)

        self._pauses[which] = self._loop.call_later(PAUSE_S, resume)


@dataclass
class _SenderSocket:
    """A sender's own socket; ``heard_ns`` is when it last sent."""

    socket: socket.socket
    channel: str
    member: UdpTransport
    budget: TokenBucket
    heard_ns: int


def open_transport(place: str, options: Mapping[str, str]) -> UdpTransport:
    """The transport of ``udp:PLACE``: ``PORT``, ``HOST:PORT`` or ``[V6]:PORT``.

    Options: ``from`` lists senders by address, with or without their port, separated by commas; ``rate`` is the number of
    datagrams a second that one of them may send.

    Raises:
        UsageError: no port, a name instead of an address, or a place that others reach without a list of senders.
    """
    host, port = _split(place, "udp")
    host = host or "127.0.0.1"
    if port is None:
        raise UsageError(f"udp:{place} has no port", expected="udp:PORT or udp:HOST:PORT, for example udp:6969")
    address = _address(host, f"udp:{place}")
    senders = tuple(_sender(text) for text in options.get("from", "").split(",") if text.strip())
    if not senders:
        if not address.is_loopback:
            raise UsageError(f"udp:{place} is open to other machines and names no senders",
                             expected="from= with the addresses that may send",
                             remedy=f"udp:{place}?from=192.168.1.20, or udp:{port} for this machine only")
        senders = (Sender("::1" if address.version == 6 else "127.0.0.1"),)
    try:
        rate = float(options.get("rate", DEFAULT_RATE))
    except ValueError:
        rate = 0.0
    if not 1 <= rate <= 1e6:
        raise UsageError(f"udp: rate={options['rate']}", expected="datagrams a second from one sender, 1 to 1000000")
    return UdpTransport(str(address), port, senders, rate=rate)


def _sender(text: str) -> Sender:
    host, port = _split(text.strip(), "from")
    if not host:
        raise UsageError(f"udp: from={text} is no sender", expected="HOST or HOST:PORT")
    return Sender(str(_address(host, f"from={text}")), port)


def _split(text: str, what: str) -> tuple[str, int | None]:
    """``HOST:PORT``, ``[V6]:PORT``, ``HOST`` or ``PORT`` -> (host, port)."""
    try:
        if text.startswith("["):
            host, _, rest = text[1:].partition("]")
            port = _port(rest[1:]) if rest else None
        elif text.isdecimal():
            host, port = "", _port(text)
        elif text.count(":") == 1:
            host, _, rest = text.partition(":")
            port = _port(rest)
        else:
            host, port = text, None
    except ValueError as error:
        raise UsageError(f"{what}: {text!r} has no port that there is", expected="a number from 0 to 65535") from error
    return host, port


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise ValueError(text)
    return port


def _address(host: str, where: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise UsageError(f"{where}: {host!r} is not an IP address", expected="an address such as 192.168.1.20",
                         remedy="names are not looked up: who may send must not depend on a name server") from error


def _channel(sender: tuple[str, int]) -> str:
    return f"[{sender[0]}]:{sender[1]}" if ":" in sender[0] else f"{sender[0]}:{sender[1]}"
