"""What a scan does to serial ports: to be listened to does a device no harm, and nothing is written to what may be no wearable."""

from __future__ import annotations

import asyncio
import os
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("serial", reason="needs pyserial: pip install 'edgeskel[sensors]'")

from serial.tools import list_ports  # noqa: E402 (after the check that pyserial is there)
from serial.tools.list_ports_common import ListPortInfo  # noqa: E402

from firmware_bridge import scanning  # noqa: E402
from firmware_bridge.codecs import witmotion  # noqa: E402
from firmware_bridge.codecs.node_frame import Order, body_of  # noqa: E402
from firmware_bridge.testing.pty_node import PtyNode  # noqa: E402


class Machine:
    """Something on a port that is no wearable: it sends what it is told to, and keeps what it is sent."""

    def __init__(self, says: bytes) -> None:
        self.heard = bytearray()
        self._says, self._ended = says, threading.Event()
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self._slave = slave
        os.set_blocking(self._master, False)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        os.close(self._slave)
        os.close(self._master)

    def _run(self) -> None:
        while not self._ended.wait(0.01):
            try:
                self.heard += os.read(self._master, 4096)
            except BlockingIOError:
                pass
            if self._says:
                try:
                    os.write(self._master, self._says)
                except BlockingIOError:
                    pass


@contextmanager
def machine(says: bytes = b"") -> Iterator[Machine]:
    made = Machine(says)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[ListPortInfo]:
    """What the system lists."""
    ports: list[ListPortInfo] = []
    monkeypatch.setattr(list_ports, "comports", lambda: ports)
    return ports


@pytest.mark.parametrize("says", [b"", b"M105 ok T:21.0\r\n", witmotion.encode_acceleration((0.0, 0.0, 9.8))],
                         ids=["silent", "a printer", "another wearable"])
def test_what_is_no_node_is_written_nothing(listed: list[ListPortInfo], says: bytes) -> None:
    with machine(says) as there:
        listed.append(ListPortInfo(there.path))
        (found,) = asyncio.run(scanning.serial(probe=True))
        assert there.heard == b"" and not found.problem
        assert found.identity is None


def test_a_node_that_was_heard_is_asked_who_it_is(listed: list[ListPortInfo]) -> None:
    with PtyNode(sensors=1, rate_hz=100) as node:
        listed.append(ListPortInfo(str(node.path)))
        (found,) = asyncio.run(scanning.serial(probe=True))
    assert found.protocol == "node" and found.identity == "serial:simulated"


@pytest.mark.parametrize("also_listed", [False, True])
def test_a_silent_port_is_asked_where_the_user_names_it(listed: list[ListPortInfo], also_listed: bool) -> None:
    with machine() as there:
        if also_listed:
            listed.append(ListPortInfo(there.path))
        (found,) = asyncio.run(scanning.serial([there.path], probe=True))
        assert found.protocol == "" and not found.problem
        asked = [body_of(piece) for piece in bytes(there.heard).split(b"\0") if piece]
    assert [body is not None and body[2] for body in asked] == [Order.IDENTIFY]


def test_without_a_probe_no_port_is_opened(listed: list[ListPortInfo], tmp_path: Path) -> None:
    listed.append(ListPortInfo(str(tmp_path / "absent")))
    (found,) = asyncio.run(scanning.serial())
    assert found.problem == "" and found.address.endswith("absent")
