"""Wearables that speak over UDP and are none, all on one simulated person: a SlimeVR tracker, a mocopi app, a sender of JSON.

    person = Wearer()
    with Playing([SlimeVRPeer(6969, person, "left_upper_arm"), LinesPeer(9000, person, ("right_hand",))]):
        ...

They send what their protocols say and no more: no radio, no app, no pairing. Directions of their worlds as in ``docs/devices/``.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeskel.geometry import conjugate, multiply
from edgeskel.skeleton import Frame
from firmware_bridge.body import POSES
from firmware_bridge.body.segments import INDEX
from firmware_bridge.codecs import mocopi
from firmware_bridge.codecs.lines import encode_json
from firmware_bridge.codecs.slimevr_packets import (
    encode_battery,
    encode_bundle,
    encode_handshake,
    encode_motion,
    encode_packet,
)
from firmware_bridge.samples import STANDARD_GRAVITY, Quaternion, Reading, Vector
from firmware_bridge.testing.camera_peer import CameraPeer
from firmware_bridge.testing.wearer import Wearer

__all__ = ["FilmPeer", "LinesPeer", "MocopiPeer", "Peer", "Playing", "SlimeVRPeer"]

HANDSHAKE_S = 1.0
STATUS_S = 10.0

# mocopi bone -> piece; the others go with their parents.
_MOCOPI = {"root": "pelvis", "torso_3": "abdomen", "torso_7": "chest", "neck_1": "neck", "head": "head"} | {
    f"{letter}_{bone}": f"{side}_{piece}" for letter, side in (("l", "left"), ("r", "right"))
    for bone, piece in (("shoulder", "collar"), ("up_arm", "upper_arm"), ("low_arm", "forearm"), ("hand", "hand"),
                        ("up_leg", "thigh"), ("low_leg", "shank"), ("foot", "foot"))}


class Peer(Protocol):
    """A device that sends by itself."""

    rate_hz: float
    """How often :meth:`send` is due."""

    def send(self, seconds: float) -> None:
        """Send what the person does at ``seconds``."""

    def close(self) -> None:
        """Send no more."""


class Playing:
    """Lets peers send in a thread of its own, each at its rate; a context manager.

    Args:
        peers: the devices.
        seconds: the person's time; by default it begins when this begins.
    """

    def __init__(self, peers: Sequence[Peer], seconds: Callable[[], float] | None = None) -> None:
        self.peers: tuple[Peer, ...] = tuple(peers)
        began = time.monotonic()
        self._seconds = seconds or (lambda: time.monotonic() - began)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulated devices", daemon=True)

    def __enter__(self) -> Playing:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        for peer in self.peers:
            peer.close()

    def _run(self) -> None:
        due = [time.monotonic()] * len(self.peers)
        while self.peers and not self._stop.wait(max(0.0, min(due) - time.monotonic())):
            for number, peer in enumerate(self.peers):
                if due[number] <= time.monotonic():
                    peer.send(self._seconds())
                    due[number] = max(due[number] + 1 / peer.rate_hz, time.monotonic() - 1.0)


class _Sender:
    """A socket of this machine that sends to one of its ports."""

    def __init__(self, port: int, host: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.setblocking(False)
        self._receiver = ("127.0.0.1", port)

    @property
    def channel(self) -> str:
        """``"host:port"``, as the receiver sees it."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _put(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, self._receiver)
        except OSError:
            return  # nobody listens just now, or the buffer is full: a datagram is lost

    def _answered(self) -> bool:
        try:
            return bool(self._socket.recv(2048))
        except OSError:
            return False


class SlimeVRPeer(_Sender):
    """One tracker: it greets until it is answered, then sends rotation and acceleration without gravity, and its battery.

    Args:
        port: the server's, 6969.
        person: who wears it.
        place: where.
        host: the address to send from, in 127.0.0.0/8.
        battery: share of full.
    """

    rate_hz: float = 100.0

    def __init__(self, port: int, person: Wearer, place: str, *, host: str = "127.0.0.1", battery: float = 0.7) -> None:
        super().__init__(port, host)
        self._motion = person.worn((place,))
        self._battery = battery
        self._number = 0
        self._greeted_at = self._status_at = -math.inf
        self._met = False

    def send(self, seconds: float) -> None:
        """See :class:`Peer`."""
        now = time.monotonic()
        if not self._met:
            self._met = self._answered()
            if not self._met and now - self._greeted_at >= HANDSHAKE_S:
                self._greeted_at = now
                self._put(encode_packet(0, encode_handshake(b"\x02edges", "edgeskel simulated")))
            return
        w, x, y, z, *rest = self._motion(1, round(seconds * 1e6))[0].tolist()
        up = (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y))  # of its world (z), in sensor axes
        linear: Vector = tuple(a - STANDARD_GRAVITY * u for a, u in zip(rest[:3], up, strict=True))
        parts = [encode_motion(0, (w, x, y, z), linear)]
        if now - self._status_at >= STATUS_S:
            self._status_at = now
            parts.append(encode_battery(3.9, self._battery))
        self._number += 1
        self._put(encode_bundle(self._number, parts))


class MocopiPeer(_Sender):
    """The app's stream of 27 bones: rotations against the T-pose, relative to the parent bone.

    Args:
        port: as set in the app, 12351.
        person: who wears it.
        host: the address to send from, in 127.0.0.0/8.
    """

    rate_hz: float = 50.0

    def __init__(self, port: int, person: Wearer, *, host: str = "127.0.0.1") -> None:
        super().__init__(port, host)
        self._turns, self._port = person.turned(), port
        self._number = 0
        self._status_at = -math.inf
        self._still = [mocopi.Transform((1.0, 0.0, 0.0, 0.0), (0.0, 0.05, 0.0))] * len(mocopi.BONES)

    def send(self, seconds: float) -> None:
        """See :class:`Peer`."""
        if time.monotonic() - self._status_at >= STATUS_S:
            self._status_at = time.monotonic()
            self._put(mocopi.encode_skeleton(self._still, port=self._port))
        self._number += 1
        self._put(mocopi.encode_frame(self._number, self._bones(seconds), time.time(), port=self._port))

    def _bones(self, seconds: float) -> list[mocopi.Transform]:
        turns = self._turns(seconds)
        world: list[NDArray[np.float64]] = []
        bones = []
        for name, parent in zip(mocopi.BONES, mocopi.PARENTS, strict=True):
            above = world[parent] if parent >= 0 else np.array([1.0, 0.0, 0.0, 0.0])
            piece = _MOCOPI.get(name)
            if piece is None:
                world.append(above)
            else:
                stands = POSES["t-pose"].get(piece, np.array([1.0, 0.0, 0.0, 0.0]))
                world.append(multiply(turns[INDEX[piece]], conjugate(stands)))
            w, x, y, z = multiply(conjugate(above), world[-1]).tolist()
            bones.append(mocopi.Transform((w, x, y, z), self._still[0].position))
        return bones


class LinesPeer(_Sender):
    """Sends JSON lines with everything that the format knows of an inertial sensor, one datagram for each sensor.

    Args:
        port: the receiver's.
        person: who wears them.
        places: where the sensors sit; they are named by that.
        rate_hz: readings per second of each.
        host: the address to send from, in 127.0.0.0/8.
    """

    def __init__(self, port: int, person: Wearer, places: Sequence[str], *, rate_hz: float = 50.0, host: str = "127.0.0.1") -> None:
        super().__init__(port, host)
        self.rate_hz = rate_hz
        self._places = tuple(places)
        self._motion = person.worn(self._places)
        self._number = 0

    def send(self, seconds: float) -> None:
        """See :class:`Peer`."""
        measured = self._motion(len(self._places), round(seconds * 1e6)).tolist()
        for place, row in zip(self._places, measured, strict=True):
            orientation: Quaternion = tuple(row[:4])
            self._put(encode_json(Reading(
                sensor=place, sequence=self._number, device_us=round(time.monotonic() * 1e6), orientation=orientation,
                acceleration=tuple(row[4:7]), angular_velocity=tuple(row[7:10]), magnetic_field=tuple(row[10:13]))))
        self._number = (self._number + 1) % 2**32


class FilmPeer:
    """A camera that sees the person, without faults, as JSON datagrams in a maker's layout.

    Args:
        port: the receiver's.
        person: who is seen.
        layout: a name of :data:`firmware_bridge.cameras.ADAPTERS`.
    """

    rate_hz: float = 30.0

    def __init__(self, port: int, person: Wearer, *, layout: str = "azure-kinect") -> None:
        self._camera = CameraPeer(port, layout=layout, clock=time.monotonic)
        self._joints = person.filmed(self._camera.converter.topology)

    def send(self, seconds: float) -> None:
        """See :class:`Peer`."""
        joints = self._joints(seconds)[None].astype(np.float32)
        try:
            self._camera.send(Frame(time.monotonic(), joints, np.ones(joints.shape[:2], np.float32)))
        except OSError:
            return  # nobody listens just now

    def close(self) -> None:
        """See :class:`Peer`."""
        self._camera.close()
