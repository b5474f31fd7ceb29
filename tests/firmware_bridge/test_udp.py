"""Datagrams: who is listened to, what a flood costs the others, and what the network does to packets."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from edgeskel.errors import DeviceError, UnknownChoice, UsageError
from firmware_bridge.codecs import Write
from firmware_bridge.device_allowlist import DeviceAllowlist
from firmware_bridge.link import DeviceRefused, Gap, Ignored, Link, Lost, Sample, Stalled
from firmware_bridge.samples import Chunk, DeviceStatus, Reading
from firmware_bridge.testing.udp_peer import NetworkModel, UdpPeer
from firmware_bridge.transports import open_transport
from firmware_bridge.transports.udp import Sender, UdpTransport
from tests.firmware_bridge.counting import Counting


class Greeted(Counting):
    """A u32 that counts; answers "hello" with "welcome"."""

    sequence_bits: ClassVar[int | None] = 32

    def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        return [Reading(sequence=struct.unpack(">I", chunk.data)[0])] if len(chunk.data) == 4 else []

    def reply(self, chunk: Chunk) -> list[Write]:
        return [Write(b"welcome")] if chunk.data == b"hello" else []


def number(n: int) -> bytes:
    return struct.pack(">I", n)


async def until(condition: Callable[[], bool], limit_s: float = 60.0) -> None:  # for a loaded machine; it comes at once otherwise
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.005)


Peers = Callable[..., UdpPeer]


@pytest.fixture
def peer_at() -> Iterator[Peers]:
    """Makes senders and closes them at the end."""
    made: list[UdpPeer] = []

    def make(port: int, **options: object) -> UdpPeer:
        made.append(UdpPeer(port, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for peer in made:
        peer.close()


async def opened(address: str) -> tuple[UdpTransport, list[Chunk]]:
    transport = open_transport(address)
    assert isinstance(transport, UdpTransport)
    chunks: list[Chunk] = []
    await transport.open(chunks.append, lambda reason: None)
    return transport, chunks


@pytest.mark.parametrize(("address", "error", "words"), [
    ("udp:0.0.0.0:6969", UsageError, "names no senders"),
    ("udp:[::]:6969", UsageError, "names no senders"),
    ("udp:localhost", UsageError, "no port"),
    ("udp:tracker.local:6969", UsageError, "not an IP address"),
    ("udp:70000", UsageError, "no port that there is"),
    ("udp:6969?from=tracker.local", UsageError, "not an IP address"),
    ("udp:6969?form=10.0.0.7", UnknownChoice, "did you mean 'from'"),
    ("udp:6969?rate=0", UsageError, "rate=0"),
    ("udp:6969?rate=fast", UsageError, "rate=fast"),
])
def test_wrong_addresses_say_what_is_expected(address: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        open_transport(address)


def test_it_listens_on_loopback_unless_told_otherwise() -> None:
    assert open_transport("udp:6969").address == "udp:127.0.0.1:6969"
    assert open_transport("udp:0.0.0.0:6969?from=10.0.0.7").address == "udp:0.0.0.0:6969"


def test_only_listed_senders_are_heard_and_the_others_are_named(peer_at: Peers) -> None:
    async def scenario() -> None:
        transport, chunks = await opened("udp:0?from=127.0.0.2,127.0.0.3")
        peers = [peer_at(transport.port, host=f"127.0.0.{n}") for n in (2, 3, 4)]
        for n in range(50):
            for peer in peers:
                peer.send(number(n))
            await asyncio.sleep(0)
        await until(lambda: len(chunks) == 100 and transport.refused.get("127.0.0.4") == 50)
        for peer in peers[:2]:  # told apart, each in order
            assert [c.data for c in chunks if c.channel == peer.channel] == [number(n) for n in range(50)]
        assert all(c.channel in (peers[0].channel, peers[1].channel) for c in chunks)
        await transport.close()
        await transport.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("listed", [True, False])
def test_a_flood_costs_the_other_senders_nothing(listed: bool, peer_at: Peers) -> None:
    async def scenario() -> None:
        senders = "127.0.0.2" + (",127.0.0.9" if listed else "")
        transport, chunks = await opened(f"udp:0?from={senders}&rate=400")
        good, flooder = peer_at(transport.port, host="127.0.0.2"), peer_at(transport.port, host="127.0.0.9")
        good.send(number(0))
        await until(lambda: bool(chunks))
        begin = time.monotonic()
        sending = asyncio.create_task(good.run(lambda n: number(n + 1), 200.0, 200))
        flooded = 0
        while not sending.done() or flooded < 5000:
            flooded += flooder.flood(bytes(1000), 200)
            await asyncio.sleep(0.001)
        await until(lambda: sum(c.channel == good.channel for c in chunks) == 201)
        heard = [c for c in chunks if c.channel == flooder.channel]
        if listed:  # what its rate allows, and what it may be ahead
            assert 0 < len(heard) <= 400 * (time.monotonic() - begin) + 100 and transport.throttled
        else:
            assert not heard and transport.refused
        assert [c.data for c in chunks if c.channel == good.channel] == [number(n) for n in range(201)]
        await transport.close()

    asyncio.run(scenario())


def test_two_devices_share_a_port_and_each_has_its_own_link(peer_at: Peers) -> None:
    async def scenario() -> None:
        first, _ = await opened("udp:0?from=127.0.0.2")
        second, heard = await opened(f"udp:{first.port}?from=127.0.0.3")
        peer = peer_at(first.port, host="127.0.0.3")
        peer.send(b"x")
        await until(lambda: bool(heard))
        await first.close()
        peer.send(b"y")  # the port stays open for the other
        await until(lambda: len(heard) == 2)
        await second.close()
        with pytest.raises(DeviceError, match="is not open"):
            await second.write(b"z", peer.channel)

    asyncio.run(scenario())


@pytest.mark.parametrize(("first", "second", "apart"), [
    ("", "", False), ("?from=127.0.0.2", "?from=127.0.0.3,127.0.0.2", False),
    ("?from=127.0.0.2:5000", "?from=127.0.0.2:5000", False),
    ("?from=127.0.0.2", "?from=127.0.0.2:5000", True), ("?from=127.0.0.2", "?from=127.0.0.3", True),
])
def test_two_devices_that_take_the_same_senders_datagrams_are_refused(first: str, second: str, apart: bool) -> None:
    async def scenario() -> None:
        one, _ = await opened(f"udp:0{first}")
        other = open_transport(f"udp:{one.port}{second}")
        try:
            if apart:
                await other.open(print, print)
            else:
                with pytest.raises(UsageError, match="two devices at udp.*both take what 127.0.0.*from=HOST:PORT"):
                    await other.open(print, print)
        finally:
            await other.close()
            await one.close()

    asyncio.run(scenario())


def test_a_port_that_another_program_has_is_named() -> None:
    async def scenario() -> None:
        import socket

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            port = other.getsockname()[1]
            with pytest.raises(DeviceError, match=f"ss -ulpn sport = :{port}"):
                await opened(f"udp:{port}")

    asyncio.run(scenario())


def test_nobody_else_can_join_our_port(peer_at: Peers) -> None:
    async def scenario() -> None:
        import socket

        transport, chunks = await opened("udp:0?from=127.0.0.1")
        peer = peer_at(transport.port)
        peer.send(b"x")
        await until(lambda: bool(chunks))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", transport.port))
        await transport.close()

    asyncio.run(scenario())


def test_a_link_answers_each_sender_and_counts_what_the_network_lost(peer_at: Peers) -> None:
    async def scenario() -> None:
        transport = UdpTransport("127.0.0.1", 0, (Sender("127.0.0.1"),))
        link = Link("trackers", Greeted, lambda: transport)
        async with link:
            await until(lambda: transport.port != 0)
            network = NetworkModel(loss=0.05, repeat=0.05, reorder=0.1, seed=4)
            peers = [peer_at(transport.port, network=network), peer_at(transport.port)]
            peers[1].send(b"hello")
            assert await peers[1].answer() == b"welcome"
            for n in range(400):
                for peer in peers:
                    peer.send(number(n))
                await asyncio.sleep(0)
            for n in range(400, 402):  # what was held back is out
                peers[0].network = NetworkModel()
                peers[0].send(number(n))
            lost = peers[0].lost
            delivered = peers[0].delivered + peers[1].delivered - 1  # the hello is no reading
            await until(lambda: link.health.received + link.health.late == delivered)
            items = link.drain()
            mine = [item for item in items if isinstance(item, Sample) and item.channel == peers[0].channel]
            numbers = [item.reading.sequence for item in mine]
            assert numbers == sorted(set(numbers))  # in order, nothing twice
            assert link.health.lost == len([n for n in lost if n > numbers[0]])
            assert all(item.channel == peers[0].channel for item in items if isinstance(item, Gap))

    asyncio.run(scenario())


def test_a_sender_that_is_not_enrolled_is_refused_by_name(peer_at: Peers) -> None:
    async def scenario() -> None:
        transport = UdpTransport("127.0.0.1", 0, (Sender("127.0.0.2"), Sender("127.0.0.3")))
        allowlist = DeviceAllowlist()
        allowlist.add("udp:127.0.0.2")
        async with Link("trackers", Greeted, lambda: transport, allowlist=allowlist) as link:
            await until(lambda: transport.port != 0)
            peers = [peer_at(transport.port, host=f"127.0.0.{n}") for n in (2, 3)]
            for n in range(10):
                for peer in peers:
                    peer.send(number(n))
            await until(lambda: link.health.received == 10)
            items = link.drain()
            assert {item.channel for item in items if isinstance(item, Sample)} == {peers[0].channel}
            assert [item.identity for item in items if isinstance(item, DeviceRefused)] == [f"udp:{peers[1].channel}"]

    asyncio.run(scenario())


def test_a_sender_that_the_address_does_not_list_is_named_once(peer_at: Peers) -> None:
    async def scenario() -> None:
        transport = UdpTransport("127.0.0.1", 0, (Sender("127.0.0.2"),))
        async with Link("trackers", Greeted, lambda: transport) as link:
            await until(lambda: transport.port != 0)
            stranger, items = peer_at(transport.port, host="127.0.0.3"), []
            for n in range(3):
                stranger.send(number(n))
                while transport.refused.get("127.0.0.3", 0) <= n:
                    await asyncio.sleep(0.005)
                while n == 0 and not items:
                    items += link.drain()
                    await asyncio.sleep(0.005)

            def looked() -> bool:
                """Whether the watchdog has looked, which would name the stranger again."""
                items.extend(link.drain())
                return any(isinstance(item, Stalled) for item in items)

            await until(looked)
            items = [item for item in items if not isinstance(item, Stalled)]
            assert [item.sender for item in items if isinstance(item, Ignored)] == ["127.0.0.3"] and len(items) == 1
            assert link.health.received == 0

    asyncio.run(scenario())


def test_a_rate_that_there_is_not_is_said_at_once_and_is_no_fault_of_a_sender(peer_at: Peers) -> None:
    class Slow(Greeted):
        def start(self, rate_hz: float | None = None) -> list[Write]:
            if rate_hz is not None:
                raise UsageError(f"{rate_hz:g} Hz", expected="no rate")
            return []

    async def scenario() -> None:
        transport = UdpTransport("127.0.0.1", 0, (Sender("127.0.0.1"),))
        async with Link("trackers", Slow, lambda: transport, rate_hz=7) as link:
            await until(lambda: link.ended)
            (lost,) = link.drain()
            assert isinstance(lost, Lost) and lost.final and "7 Hz" in lost.reason
            assert link.health.faults == 0 and transport.port == 0  # nothing was opened

    asyncio.run(scenario())


def test_silence_is_reported_and_the_port_stays_open(peer_at: Peers) -> None:
    async def scenario() -> None:
        transport = UdpTransport("127.0.0.1", 0, (Sender("127.0.0.1"),))
        async with Link("tracker", Greeted, lambda: transport) as link:
            await until(lambda: transport.port != 0)
            peer = peer_at(transport.port)
            await peer.run(number, 200.0, 60)
            items: list[Any] = []
            while not any(isinstance(item, Stalled) for item in items):
                items += link.drain()
                await asyncio.sleep(0.005)
            peer.send(number(60))
            await until(lambda: link.health.state == "streaming")
            assert link.health.lost == 0 and link.health.reopened == 0

    asyncio.run(scenario())
