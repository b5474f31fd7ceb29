"""Our own node on a pseudo-terminal: a serial port that behaves like one with a wearable at its end.

    with PtyNode(sensors=17, rate_hz=100, bit_errors=1e-5) as node:
        link = open_link(node.address)     # serial:/tmp/.../node?protocol=node
        ...
        node.reboot()                      # as if the node's power was cut: the port stays
        node.unplug()                      # as if the cable was pulled: the port is gone
        node.plug_in()                     # and comes back under the same address

What it leaves out: baud rates, and everything that an electrical line adds but flipped bits. Like a node on USB it waits where
the host does not read, for as long as its sensors keep their readings, and sends nothing while nobody has the port open.
"""

from __future__ import annotations

import os
import random
import select
import selectors
import threading
import time
import tty
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from firmware_bridge.codecs.node_frame import LONGEST_STUFFED, body_of, frame_of
from firmware_bridge.testing.node import SimulatedNode

__all__ = ["PtyNode"]

STATUS_PERIOD_S = 10.0
KEPT_S = 1.0
"""Instants that were held up for longer are missed, as the firmware has it."""
LOOK_S = 0.02
"""How often it looks whether somebody has opened the port."""


class PtyNode:
    """A simulated node behind a port of this machine; a thread of its own sends.

    Args:
        sensors, rate_hz: how many sensors, and instants per second after a start.
        bit_errors: chance of each bit that the node sends to arrive flipped.
        drops: chance of each frame to be swallowed whole.
        drift_ppm: how much faster than the host's its clock runs, in parts per million.
        kept_s: how long it keeps instants that the host does not take, in seconds. A long time makes a test independent
            of what else the machine does: a node that is not read in time sends later instead of missing instants.
        seed: of the errors and drops; the same seed gives the same ones.
        node_options: further arguments of :class:`~firmware_bridge.testing.node.SimulatedNode`.

    Attributes:
        sent: instants that somebody who had the port open could read.
        missed: instants that he could not: dropped by ``drops``, or he did not read for too long.
    """

    bit_errors: float
    drops: float
    drift_ppm: float
    sent: int
    missed: int

    def __init__(
        self, sensors: int = 1, rate_hz: int = 100, *, bit_errors: float = 0.0, drops: float = 0.0,
        drift_ppm: float = 0.0, kept_s: float = KEPT_S, seed: int = 0, **node_options: Any,
    ) -> None:  # fmt: skip
        self._folder = TemporaryDirectory(prefix="edgeskel-node-")
        self.path: Path = Path(self._folder.name) / "node"
        """The port; a link that leads nowhere while the node is unplugged."""
        self.bit_errors, self.drops, self.drift_ppm, self.kept_s = bit_errors, drops, drift_ppm, kept_s
        self.sent = self.missed = 0
        self._chance = random.Random(seed)
        self._started_ns = time.monotonic_ns()
        self.node: SimulatedNode = SimulatedNode(sensors, rate_hz=rate_hz, micros=self.micros, **node_options)
        self._lock = threading.RLock()
        self._master = -1
        self._stop = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._thread: threading.Thread | None = None
        self._received = b""

    @property
    def address(self) -> str:
        """What to open."""
        return f"serial:{self.path}?protocol=node"

    def micros(self) -> int:
        """Device time in microseconds since the node's start, not wrapped."""
        return round((time.monotonic_ns() - self._started_ns) * (1 + self.drift_ppm * 1e-6) / 1000)

    def __enter__(self) -> PtyNode:
        self.plug_in()
        self._thread = threading.Thread(target=self._run, name=f"node {self.path}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._wake()
        if self._thread is not None:
            self._thread.join()
        self.unplug()
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._folder.cleanup()

    def unplug(self) -> None:
        """Pull the cable: whoever has the port open loses it. The node goes on without power from it."""
        with self._lock:
            if self._master < 0:
                return
            self.path.unlink(missing_ok=True)
            os.close(self._master)
            self._master = -1
        self._wake()

    def plug_in(self) -> None:
        """Plug the cable in: the port has another number, and :attr:`path` leads there."""
        with self._lock:
            if self._master >= 0:
                return
            self._master, port = os.openpty()
            tty.setraw(port)
            os.set_blocking(self._master, False)
            self._received = b""
            link = self.path.with_name("link")
            link.symlink_to(os.ttyname(port))
            os.close(port)  # as long as nobody else opens it, the system says so
            link.replace(self.path)
        self._wake()

    def reboot(self) -> None:
        """Cut the node's power for a moment: clock and counter begin anew, what was commanded is forgotten."""
        with self._lock:
            self._started_ns = time.monotonic_ns()
            self.node.restart()
            self._send([self.node.status(started=True)])
        self._wake()

    def inject(self, data: bytes) -> None:
        """Put any bytes on the line, between two frames."""
        with self._lock:
            self._write(data)

    def _wake(self) -> None:
        os.write(self._wake_write, b"w")

    def _run(self) -> None:
        with self._lock:
            self._send([self.node.status(started=True)])
        plan = _Plan(self.node, self.micros(), self.kept_s)
        status_at = time.monotonic() + STATUS_PERIOD_S
        while not self._stop.is_set():
            with self._lock:
                master = self._master if self._heard() else -1
                plan.follow(self.micros())
                wait_s = plan.due_in_s(self.micros())
            with selectors.DefaultSelector() as selector:
                selector.register(self._wake_read, selectors.EVENT_READ)
                with suppress(ValueError, OSError):  # it may have been unplugged since
                    selector.register(master, selectors.EVENT_READ)
                ready = [key.fd for key, _ in selector.select(max(0.0, min(wait_s, LOOK_S)))]
            if self._wake_read in ready:
                os.read(self._wake_read, 4096)
            with self._lock:
                if master in ready and master == self._master:
                    self._take_commands()
                plan.follow(self.micros())
                for device_us in plan.take(self.micros()):
                    self._send_instant(device_us)
                self.missed += plan.too_old if self._heard() else 0
                plan.too_old = 0
                if time.monotonic() >= status_at:
                    status_at += STATUS_PERIOD_S
                    self._send([self.node.status()])

    def _send_instant(self, device_us: int) -> None:
        bodies = self.node.samples(device_us)
        if not self._heard():
            return
        if self._chance.random() >= self.drops and self._send(bodies):
            self.sent += 1
        else:
            self.missed += 1

    def _send(self, bodies: list[bytes]) -> bool:
        return self._write(b"".join(frame_of(body) for body in bodies))

    def _heard(self, wait_s: float = 0.0) -> bool:
        """Whether somebody has the port open; waits until he has taken something, at most ``wait_s``."""
        if self._master < 0:
            return False
        poll = select.poll()
        poll.register(self._master, select.POLLOUT if wait_s else 0)
        return not any(event & select.POLLHUP for _, event in poll.poll(1000 * wait_s))

    def _write(self, data: bytes) -> bool:
        if self.bit_errors:
            data = _flip(data, self.bit_errors, self._chance)
        rest = memoryview(data)
        deadline = time.monotonic() + self.kept_s
        while rest and self._heard():
            try:
                rest = rest[os.write(self._master, rest) :]
            except BlockingIOError:
                if time.monotonic() > deadline or not self._heard(LOOK_S):
                    break  # the frame is cut
            except OSError:
                break
        return not rest

    def _take_commands(self) -> None:
        try:
            self._received += os.read(self._master, 4096)
        except OSError:
            return
        *pieces, rest = self._received.split(b"\0")
        self._received = rest[-LONGEST_STUFFED:]
        for piece in pieces:
            body = body_of(piece) if piece else None
            if body is not None:
                self._send(self.node.command(body))


class _Plan:
    """When instants are due, in device time; anew whenever the node's rate, running or start changes."""

    def __init__(self, node: SimulatedNode, now_us: int, kept_s: float) -> None:
        self._node, self._kept_us = node, 1e6 * kept_s
        self._known: tuple[int, int, bool] | None = None
        self._from_us = now_us
        self._instants = 0
        self.too_old = 0

    def follow(self, now_us: int) -> None:
        known = (self._node.boot, self._node.rate_hz, self._node.running)
        if known != self._known:
            self._known, self._from_us, self._instants = known, now_us, 0

    @property
    def _next_us(self) -> int:
        return self._from_us + self._instants * 1_000_000 // self._node.rate_hz

    def due_in_s(self, now_us: int) -> float:
        return (self._next_us - now_us) / 1e6 if self._node.running else STATUS_PERIOD_S

    def take(self, now_us: int) -> list[int]:
        """Device times of the instants that are due now; those that are too old are skipped."""
        due: list[int] = []
        while self._node.running and self._next_us <= now_us:
            if now_us - self._next_us > self._kept_us:
                self._node.skip()
                self.too_old += 1
            else:
                due.append(self._next_us)
            self._instants += 1
        return due


def _flip(data: bytes, chance: float, random_numbers: random.Random) -> bytes:
    """``data`` with each bit flipped at ``chance``: distances between flips are drawn, not every bit."""
    import math

    bits = bytearray(data)
    at = -1
    while True:
        at += 1 + int(math.log(1.0 - random_numbers.random()) / math.log1p(-chance))
        if at >= 8 * len(bits):
            return bytes(bits)
        bits[at // 8] ^= 1 << at % 8
