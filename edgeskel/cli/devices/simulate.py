"""``edgeskel devices simulate``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeskel.cli.devices.reading import check_seconds
from edgeskel.cli.report import Report, console
from edgeskel.errors import UnknownChoice, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from firmware_bridge.session_file import WornDevice
    from firmware_bridge.testing.wearer import Wearer

__all__ = ["SimulateDevices", "simulate"]

KINDS = ("node", "slimevr", "lines", "mocopi", "camera")
NODE_PLACES = ("pelvis", "chest", "left_forearm", "right_forearm", "left_shank", "right_shank")
SLIMEVR_PLACE, LINES_PLACES = "left_upper_arm", ("right_upper_arm",)
STANDS = (0.0, -1.0, 3.0)
"""Metres from the camera: its height is a metre, the person three metres away."""


@dataclass(frozen=True)
class SimulateDevices:
    """Start simulated devices, worn by one simulated person, and print their addresses.

    The person stands in the N-pose until the node is opened, then does the movements of a calibration, and then moves on for ever.
    Goes on until it is interrupted or --seconds have passed.
    """

    kinds: tuple[str, ...] = KINDS
    """node (on a pseudo-terminal), slimevr, lines, mocopi (over UDP), camera (joints over UDP)."""
    places: tuple[str, ...] = NODE_PLACES
    """Where the node's sensors sit, in order."""
    rate: int = 100
    """Instants per second of the node."""
    slimevr_port: int = 6969
    """Where the tracker sends to."""
    lines_port: int = 9000
    """Where the JSON lines go."""
    mocopi_port: int = 12351
    """Where the app sends to."""
    camera_port: int = 7000
    """Where the camera sends to."""
    bit_errors: float = 0.0
    """Chance of each bit of the node's line to be flipped."""
    drops: float = 0.0
    """Chance of each of the node's frames to be swallowed."""
    write: Path | None = None
    """Write a session file for these devices (all but mocopi, which is a suit of its own), and beside it the list of enrolled
    devices and how the sensors really sit, to begin with: edgeskel run wearable:FILE."""
    seconds: float | None = None
    """How long. By default until interrupted."""

    def __post_init__(self) -> None:
        check_seconds(self.seconds)
        for kind in self.kinds:
            if kind not in KINDS:
                raise UnknownChoice("simulated device", kind, KINDS)
        if not self.kinds:
            raise UsageError("no kind of device", expected="some of " + ", ".join(KINDS))


def simulate(config: SimulateDevices) -> Report:
    """Start everything; it runs on behind the printed addresses."""
    from firmware_bridge.body.segments import segment_of
    from firmware_bridge.orientation import Settings
    from firmware_bridge.session_file import WornDevice, WornSensor
    from firmware_bridge.testing.peers import FilmPeer, LinesPeer, MocopiPeer, Peer, Playing, SlimeVRPeer
    from firmware_bridge.testing.pty_node import PtyNode
    from firmware_bridge.testing.wearer import Wearer

    person = Wearer(facing=3.141592653589793, place=STANDS)  # towards the camera
    taken = {segment_of(place) for place in config.places} if "node" in config.kinds else set()
    began: list[float] = []
    stack = ExitStack()
    worn: list[WornDevice] = []
    identities: dict[str, str] = {}
    addresses: list[dict[str, Any]] = []

    def seconds() -> float:
        return time.monotonic() - began[0] if began else 0.0

    try:
        if "node" in config.kinds:
            motion = person.worn(config.places)
            node = stack.enter_context(PtyNode(
                sensors=len(config.places), rate_hz=config.rate, bit_errors=config.bit_errors, drops=config.drops,
                motion=lambda count, _: motion(count, round(seconds() * 1e6))))
            stack.callback(_when_opened(node, began))
            names = [str(n) for n in range(len(config.places))] if len(config.places) > 1 else [""]
            worn.append(WornDevice(node.address, tuple(WornSensor(n, p) for n, p in zip(names, config.places, strict=True))))
            identities["serial:simulated"] = "simulated node"
            addresses.append({"kind": "node", "address": node.address, "places": config.places})
        else:
            began.append(time.monotonic())
        peers: list[Peer] = []
        if "slimevr" in config.kinds:
            peers.append(SlimeVRPeer(config.slimevr_port, person, SLIMEVR_PLACE))
            address = f"udp:{config.slimevr_port}?protocol=slimevr"
            addresses.append({"kind": "slimevr", "address": address, "places": (SLIMEVR_PLACE,)})
            if SLIMEVR_PLACE not in taken:
                worn.append(WornDevice(address, (WornSensor("0", SLIMEVR_PLACE, Settings(up="+z")),)))
        if "lines" in config.kinds:
            peers.append(LinesPeer(config.lines_port, person, LINES_PLACES))
            address = f"udp:{config.lines_port}?protocol=lines"
            addresses.append({"kind": "lines", "address": address, "places": LINES_PLACES})
            free = tuple(place for place in LINES_PLACES if place not in taken)
            if free:
                worn.append(WornDevice(address, tuple(WornSensor(place, place) for place in free)))
        if "mocopi" in config.kinds:
            peers.append(MocopiPeer(config.mocopi_port, person))
            addresses.append({"kind": "mocopi", "address": f"udp:{config.mocopi_port}?protocol=mocopi", "places": ()})
        camera = ""
        if "camera" in config.kinds:
            peers.append(FilmPeer(config.camera_port, person))
            camera = f"camera:udp?port={config.camera_port}&layout=azure-kinect"
            addresses.append({"kind": "camera", "address": camera, "places": ()})
        if any(device.address.startswith("udp:") for device in worn):
            identities["udp:127.0.0.1"] = "simulated senders on this machine"
        if config.write is not None:
            _write(config.write, worn, camera, identities, person)
        stack.enter_context(Playing(peers, seconds))
    except BaseException:
        stack.close()
        raise
    data = {"devices": addresses, "session": config.write, "seconds": config.seconds}

    def text(out: Console) -> None:
        for device in addresses:
            out.print(device["address"] + (f"   {', '.join(device['places'])}" if device["places"] else ""), highlight=False,
                      markup=False, soft_wrap=True)
        if config.write is not None:
            out.print(f"wearable:{config.write}", highlight=False, markup=False, soft_wrap=True)

    return Report(data, text, stay=lambda: _stay(stack, config.seconds))


def _when_opened(node: Any, began: list[float]) -> Callable[[], None]:
    """Start the person's time when somebody has read from the node; returns what ends the watching."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            if node.sent:
                began.append(time.monotonic())
                return

    thread = threading.Thread(target=watch, name="simulated person", daemon=True)
    thread.start()

    def end() -> None:
        stop.set()
        thread.join()

    return end


def _write(path: Path, worn: list[WornDevice], camera: str, identities: dict[str, str], person: Wearer) -> None:
    from edgeskel.files import atomic_write
    from firmware_bridge.body import Calibration
    from firmware_bridge.enrolment import Enrolment
    from firmware_bridge.session_file import toml_of

    listed = path.with_suffix(".devices.json")
    listed.unlink(missing_ok=True)
    enrolment = Enrolment(listed)
    for identity, name in identities.items():
        enrolment.add(identity, name)
    with atomic_write(path) as file:
        file.write(toml_of(worn, camera, stature=person.body.stature, enrolled=listed.name).encode())
    seats = [person.calibration([sensor.place for sensor in device.sensors]) for device in worn]
    Calibration({segment: at for each in seats for segment, at in each.mounting.items()},
                {segment: turn for each in seats for segment, turn in each.heading.items()},
                {segment: by for each in seats for segment, by in each.by.items()}).save(path.with_suffix(".calibration.json"))


def _stay(stack: ExitStack, seconds: float | None) -> None:
    console.print("running; " + ("interrupt to stop" if seconds is None else f"stops after {seconds:g} s"), style="dim")
    try:
        with suppress(KeyboardInterrupt):  # this is how it is meant to end
            threading.Event().wait(seconds)
    finally:
        stack.close()
