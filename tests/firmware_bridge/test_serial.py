"""Serial ports, with our node simulated at the other end of a pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
import time
import tty
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from edgeskel.errors import DeviceError, UnknownChoice, UsageError
from firmware_bridge.codecs.node import NodeCodec
from firmware_bridge.codecs.node_frame import Fields, Order, Result
from firmware_bridge.link import Lost, Sample, open_link
from firmware_bridge.samples import Chunk, DeviceStatus, Flags, Reading
from firmware_bridge.testing.pty_node import PtyNode
from firmware_bridge.transports import open_transport, serial
from firmware_bridge.transports.serial import SerialTransport

WAIT_S = 120.0  # for a loaded machine; what is waited for comes within milliseconds otherwise


class Host:
    """A transport and a codec, and what they gave."""

    def __init__(self, address: str, codec: NodeCodec | None = None) -> None:
        self.transport = open_transport(address)
        self.codec = codec or NodeCodec()
        self.items: list[Reading | DeviceStatus] = []
        self.chunks: list[Chunk] = []
        self.lost: list[BaseException | None] = []
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Host:
        await self.transport.open(self._receive, self._end)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.close()

    def _receive(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        self.items += self.codec.decode(chunk)
        self._changed.set()

    def _end(self, reason: BaseException | None) -> None:
        self.lost.append(reason)
        self._changed.set()

    @property
    def readings(self) -> list[Reading]:
        return [item for item in self.items if isinstance(item, Reading)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async def wait() -> None:
            while not condition():
                self._changed.clear()
                await self._changed.wait()

        await asyncio.wait_for(wait(), WAIT_S)

    async def send(self, *writes: Any) -> None:
        for write in writes:
            await self.transport.write(write.data, write.channel)


def missing_instants(readings: list[Reading]) -> set[int]:
    """How many instants each sensor misses between its first and its last reading."""
    sequences = defaultdict(list)
    for reading in readings:
        sequences[reading.sensor].append(reading.sequence)
    return {sum((b - a - 1) % 2**16 for a, b in zip(s, s[1:], strict=False)) for s in sequences.values()}


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def test_seventeen_sensors_at_400_hz_lose_nothing() -> None:
    async def test() -> None:
        with PtyNode(17, 400, kept_s=WAIT_S) as node:
            async with Host(node.address) as host:
                await host.send(*host.codec.start(400))
                await host.until(lambda: len(host.readings) > 17 * 800)
        assert missing_instants(host.readings) == {0} and node.missed == 0
        assert host.codec.counts.bad == host.codec.counts.discarded == 0
        times = [chunk.host_ns for chunk in host.chunks]
        assert times == sorted(times)

    run(test())


def test_every_dropped_instant_is_missing_and_no_other() -> None:
    async def test() -> None:
        with PtyNode(3, 1000, drops=0.1, seed=4, kept_s=WAIT_S) as node:
            async with Host(node.address) as host:
                await host.until(lambda: len(host.readings) > 3 * 500)
                await host.send(*host.codec.stop())
                await host.until(lambda: bool(host.codec.answers))
        assert host.codec.counts.bad == 0
        counts = Counter(reading.sensor for reading in host.readings)
        assert len(set(counts.values())) == 1
        (missing,) = missing_instants(host.readings)
        # Instants that were dropped before the first that came, or after the last, are not between two readings.
        assert 0 < missing <= node.missed
        assert missing == pytest.approx(0.1 * (counts["0"] + missing), rel=0.6)

    run(test())


def test_flipped_bits_cost_the_frames_they_are_in_and_nothing_else() -> None:
    async def test() -> None:
        with PtyNode(17, 400, bit_errors=2e-5, seed=5, kept_s=WAIT_S) as node:
            async with Host(node.address) as host:
                await host.until(lambda: host.codec.counts.bad >= 10)
        (missing,) = missing_instants(host.readings)
        assert missing <= host.codec.counts.bad
        for reading in host.readings:
            assert reading.orientation is not None and abs(sum(c * c for c in reading.orientation) - 1) < 1e-9

    run(test())


def test_commands_change_what_the_node_sends() -> None:
    async def test() -> None:
        with PtyNode(2, 100, identity="left-arm", battery=0.5) as node:
            async with Host(node.address, NodeCodec(Fields.ALL)) as host:
                await host.send(*host.codec.start(200))
                await host.until(lambda: len(host.codec.answers) == 4)
                about = [item for item in host.items if isinstance(item, DeviceStatus) and item.identity]
                assert about[-1].identity == "left-arm" and about[-1].battery == 0.5
                before = len(host.readings)
                await host.until(lambda: len(host.readings) > before + 20)
                pair = host.readings[-3], host.readings[-1]
                assert pair[1].device_us - pair[0].device_us == 5_000  # type: ignore[operator]
                assert pair[1].magnetic_field is not None
                await host.send(*host.codec.stop(), host.codec.command(Order.TIME_SYNC, bytes(8)),
                                host.codec.command(Order.RATE, b"\0\0"))
                await host.until(lambda: len(host.codec.answers) == 7)
                stopped = len(host.readings)
                assert host.codec.answers[-2].order == Order.TIME_SYNC and host.codec.answers[-2].result == Result.DONE
                assert "refused rate" in str(host.items[-1])
                await host.send(host.codec.identify())
                await host.until(lambda: len(host.codec.answers) == 8)
                assert len(host.readings) == stopped

    run(test())


def test_a_reboot_on_an_open_port_is_flagged_and_configured_anew() -> None:
    async def test() -> None:
        with PtyNode(2, 100) as node:
            async with Host(node.address) as host:
                asked = host.codec.start(500)
                await host.send(*asked)
                await host.until(lambda: len(host.readings) > 10)
                node.reboot()
                await host.until(lambda: any(r.flags & Flags.REBOOTED for r in host.readings))
                assert host.codec.reply(host.chunks[-1]) == asked
                await host.send(*asked)
                await host.until(lambda: node.node.rate_hz == 500)
                flagged = [r for r in host.readings if r.flags & Flags.REBOOTED]
                assert [r.sensor for r in flagged] == ["0", "1"]
                assert flagged[0].device_us is not None and flagged[0].device_us < 2_000_000

    run(test())


def test_unplugging_is_noticed_and_plugging_in_opens_again_under_the_same_address() -> None:
    async def test() -> None:
        codec = NodeCodec()
        with PtyNode(1, 200) as node:
            async with Host(node.address, codec) as host:
                await host.until(lambda: len(host.readings) > 5)
                node.unplug()
                await host.until(lambda: bool(host.lost))
                (reason,) = host.lost
                assert isinstance(reason, DeviceError) and "plug the device in again" in str(reason)
                with pytest.raises(DeviceError, match="went away"):
                    await host.send(codec.identify())
            with pytest.raises(DeviceError, match="not there"):
                await open_transport(node.address).open(print, print)
            node.plug_in()
            codec.reset()
            async with Host(node.address, codec) as again:
                await again.until(lambda: len(again.readings) > 5)
            assert not any(r.flags & Flags.REBOOTED for r in again.readings)  # it ran on, on its battery

    run(test())


def test_a_link_looks_for_an_unplugged_port_without_growing_pauses() -> None:
    """After a second away, an ordinary backoff would have it wait for up to another."""

    async def test() -> None:
        with PtyNode(1, 200) as node:
            async with open_link(node.address) as link:
                items: list[Any] = []

                async def until(condition: Callable[[], bool]) -> None:
                    async def wait() -> None:
                        async for item in link:
                            items.append(item)
                            if condition():
                                return

                    await asyncio.wait_for(wait(), WAIT_S)

                await until(lambda: isinstance(items[-1], Sample))
                node.unplug()
                await until(lambda: isinstance(items[-1], Lost))
                before = link.health.reopened
                begin = time.monotonic()
                while link.health.reopened < before + 8:
                    await asyncio.sleep(0.01)
                # Eight attempts; backoff alone would take 0.1 + 0.2 + 0.4 + ... and more than ten seconds for them.
                assert time.monotonic() - begin < 5.0
                node.plug_in()
                await until(lambda: isinstance(items[-1], Sample))

    run(test())


def test_a_port_that_refuses_for_good_is_not_tried_so_often(tmp_path: Path) -> None:
    file = tmp_path / "old"
    file.write_text("")
    transport = SerialTransport(str(file))
    assert transport.most_wait_s == float("inf")
    for path, soon in ((file, True), (tmp_path / "absent", True), (Path("/dev/null"), False)):
        transport = SerialTransport(str(path))
        with pytest.raises(DeviceError):
            asyncio.run(transport.open(lambda chunk: None, lambda reason: None))
        just_made = path.exists() and time.time() - path.stat().st_ctime < serial.COMING_S
        assert (transport.most_wait_s < 1.0) == (soon or just_made)


def test_any_bytes_between_frames_cost_nothing() -> None:
    async def test() -> None:
        with PtyNode(1, 200) as node:
            async with Host(node.address) as host:
                for noise in (b"\0\0\0", b"boot: hello\r\n", bytes(range(1, 256)) * 5):
                    enough = len(host.readings) + 3
                    node.inject(noise)
                    await host.until(lambda enough=enough: len(host.readings) > enough)  # type: ignore[misc]
        assert missing_instants(host.readings) == {0}

    run(test())


# -- ports that cannot be opened ----------------------------------------------------------------------------------


def refusal(path: str | Path) -> str:
    async def attempt() -> None:
        transport = SerialTransport(str(path))
        try:
            await transport.open(lambda chunk: None, lambda reason: None)
        finally:
            await transport.close()

    with pytest.raises(DeviceError) as caught:
        asyncio.run(attempt())
    return str(caught.value)


def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    said = refusal(tmp_path / "ttyUSB7")
    assert "is not there" in said and "plug the device in" in said


def test_what_is_no_serial_port(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello")
    for path in (file, tmp_path, "/dev/null"):
        assert f"{path} is no serial port" in refusal(path)
    assert file.read_text() == "hello"


def test_a_port_in_use_names_the_remedy() -> None:
    async def test() -> None:
        with PtyNode() as node:
            async with Host(node.address):
                with pytest.raises(DeviceError, match="in use.*close that program"):
                    await open_transport(node.address).open(lambda chunk: None, lambda reason: None)
            async with Host(node.address) as host:  # free again
                await host.until(lambda: bool(host.readings))

    run(test())


def test_who_has_the_port_open_is_found() -> None:
    import subprocess
    import sys

    with PtyNode() as node:
        code = f"import sys; port = open({os.path.realpath(node.path)!r}, 'rb', 0); print('open', flush=True); sys.stdin.read()"
        other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert other.stdout is not None and other.stdin is not None
        other.stdout.readline()
        try:
            assert str(other.pid) in serial._user_of(str(node.path))
        finally:
            other.communicate()


@contextmanager
def ordinary_user() -> Iterator[None]:
    """As root every port can be opened; as nobody none of ours."""
    if os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(os.getgid())
        os.setgroups(groups)


@pytest.mark.parametrize(
    ("group", "mode", "remedy"),
    [("dialout", 0o060, "usermod -aG dialout"), ("root", 0o060, "/etc/udev/rules.d"), (None, 0o000, "udev")],
)
def test_no_permission_says_which_group_or_which_rule(group: str | None, mode: int, remedy: str) -> None:
    import grp
    import stat

    master, slave = os.openpty()
    path = os.ttyname(slave)
    try:
        if group is not None and os.geteuid() == 0:
            with suppress(KeyError):
                os.chown(path, -1, grp.getgrnam(group).gr_gid)
        os.chmod(path, mode)
        owner = grp.getgrgid(os.stat(path).st_gid).gr_name
        if group == "dialout" and owner != "dialout":
            assert stat.S_IMODE(os.stat(path).st_mode) == mode
            remedy = "usermod -aG" if owner != "root" else "udev"
        import serial as pyserial  # noqa: F401 (not readable by nobody everywhere)
        import serial.tools.list_ports  # noqa: F401

        with ordinary_user():
            said = refusal(path)
        assert f"no permission to open {path}" in said and remedy in said
    finally:
        os.close(master)
        os.close(slave)


def test_a_device_that_takes_no_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial, "WRITE_S", 0.1)

    async def test() -> None:
        master, slave = os.openpty()
        tty.setraw(slave)
        transport = SerialTransport(os.ttyname(slave))
        await transport.open(lambda chunk: None, lambda reason: None)
        with pytest.raises(DeviceError, match="took no bytes"):
            await transport.write(bytes(1_000_000))
        await asyncio.wait_for(transport.close(), 2.0)
        await transport.close()
        with pytest.raises(DeviceError, match="not open"):
            await transport.write(b"x")
        os.close(master)
        os.close(slave)

    run(test())


def test_a_long_command_is_written_whole() -> None:
    async def test() -> None:
        master, slave = os.openpty()
        tty.setraw(slave)
        transport = SerialTransport(os.ttyname(slave))
        await transport.open(lambda chunk: None, lambda reason: None)
        data = os.urandom(300_000)
        got = bytearray()
        loop = asyncio.get_running_loop()
        loop.add_reader(master, lambda: got.extend(os.read(master, 65536)))
        await transport.write(data)
        while len(got) < len(data):
            await asyncio.sleep(0)
        loop.remove_reader(master)
        assert bytes(got) == data
        await transport.close()
        os.close(master)
        os.close(slave)

    run(test())


def test_no_descriptor_is_left_behind() -> None:
    def open_now() -> int:
        links = []
        for entry in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):
                links.append(os.readlink(entry))
        return sum("eventpoll" not in link for link in links)  # the node's thread opens and closes its own

    async def test() -> None:
        with PtyNode(1, 500) as node:
            async with Host(node.address) as host:  # asyncio and pyserial open what they keep
                await host.until(lambda: bool(host.readings))
            before = open_now()
            for _ in range(20):
                async with Host(node.address) as host:
                    await host.until(lambda: bool(host.readings))
            assert open_now() == before

    run(test())


def test_a_byte_at_a_time_does_not_cost_a_read_each() -> None:
    """A UART hands over few bytes at a time: reads are gathered, and a frame is late by a millisecond at most."""

    async def test() -> None:
        master, slave = os.openpty()
        tty.setraw(slave)
        chunks: list[Chunk] = []
        transport = SerialTransport(os.ttyname(slave))
        await transport.open(chunks.append, lambda reason: None)
        data = os.urandom(2000)
        for byte in data:
            os.write(master, bytes([byte]))
            await asyncio.sleep(0)
        while sum(len(chunk.data) for chunk in chunks) < len(data):
            await asyncio.sleep(0.001)
        assert b"".join(chunk.data for chunk in chunks) == data
        assert len(chunks) < 1000
        await transport.close()
        os.close(master)
        os.close(slave)

    run(test())


# -- addresses ----------------------------------------------------------------------------------------------------


def test_baud_comes_from_the_address_or_the_protocol() -> None:
    def baud(address: str) -> int:
        transport = open_transport(address)
        assert isinstance(transport, SerialTransport)
        return transport.baud

    assert baud("serial:/dev/ttyUSB0") == 921600
    assert baud("serial:/dev/ttyUSB0?protocol=bno08x") == 115200
    assert baud("serial:/dev/ttyUSB0?protocol=node&baud=2000000") == 2_000_000
    for wrong in ("fast", "0", "-9600", ""):
        with pytest.raises(UsageError, match="positive whole number"):
            open_transport(f"serial:/dev/ttyUSB0?baud={wrong}")
    with pytest.raises(UnknownChoice, match="baud"):
        open_transport("serial:/dev/ttyUSB0?bauds=9600")
