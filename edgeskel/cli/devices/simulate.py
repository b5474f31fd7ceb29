"""``edgeskel devices simulate``."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edgeskel.cli.devices.reading import check_seconds
from edgeskel.cli.report import Report, console
from edgeskel.errors import UnknownChoice, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from firmware_bridge.testing.peers import Peer
    from firmware_bridge.testing.wearer import Wearer
    from firmware_bridge.wearable_config import SensorConfig

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
    from firmware_bridge.testing.peers import Playing
    from firmware_bridge.testing.wearer import Wearer

    person = Wearer(facing=math.pi, place=STANDS)  # towards the camera
    began: list[float] = [] if "node" in config.kinds else [time.monotonic()]
    stack = ExitStack()

    def seconds() -> float:
        return time.monotonic() - began[0] if began else 0.0

    try:
        started: list[_Started] = []
        if "node" in config.kinds:
            started.append(_node(config, person, seconds, began, stack))
        started += _senders(config, person)
        if config.write is not None:
            _write(config.write, started, person)
        stack.enter_context(Playing([one.peer for one in started if one.peer is not None], seconds))
    except BaseException:
        stack.close()
        raise
    devices = [{"kind": one.kind, "address": one.address, "places": [worn.place for worn in one.sensors]} for one in started]
    data = {"devices": devices, "session": config.write, "seconds": config.seconds}

    def text(out: Console) -> None:
        for one in started:
            places = ", ".join(worn.place for worn in one.sensors)
            out.print(one.address + (f"   {places}" if places else ""), soft_wrap=True)
        if config.write is not None:
            out.print(f"wearable:{config.write}", soft_wrap=True)

    return Report(data, text, stay=lambda: _stay(stack, config.seconds))


class _Started(NamedTuple):
    """A simulated device: its address, what of it is worn, who it is, and what sends (a node sends by itself)."""

    kind: str
    address: str
    sensors: tuple[SensorConfig, ...] = ()
    identity: str = ""
    peer: Peer | None = None


def _node(config: SimulateDevices, person: Wearer, seconds: Callable[[], float], began: list[float], stack: ExitStack) -> _Started:
    from firmware_bridge.testing.pty_node import PtyNode
    from firmware_bridge.wearable_config import SensorConfig

    motion = person.worn(config.places)
    node = stack.enter_context(PtyNode(
        sensors=len(config.places), rate_hz=config.rate, bit_errors=config.bit_errors, drops=config.drops,
        motion=lambda count, _: motion(count, round(seconds() * 1e6))))
    stack.callback(_when_opened(node, began))
    names = [str(number) for number in range(len(config.places))] if len(config.places) > 1 else [""]
    sensors = tuple(SensorConfig(name, place) for name, place in zip(names, config.places, strict=True))
    return _Started("node", node.address, sensors, "serial:simulated")


def _senders(config: SimulateDevices, person: Wearer) -> list[_Started]:
    from firmware_bridge.orientation import OrientationSettings
    from firmware_bridge.testing.peers import FilmPeer, LinesPeer, MocopiPeer, SlimeVRPeer
    from firmware_bridge.wearable_config import SensorConfig

    here, made = "udp:127.0.0.1", []
    if "slimevr" in config.kinds:
        made.append(_Started("slimevr", f"udp:{config.slimevr_port}?protocol=slimevr",
                             (SensorConfig("0", SLIMEVR_PLACE, OrientationSettings(up="+z")),), here,
                             SlimeVRPeer(config.slimevr_port, person, SLIMEVR_PLACE)))
    if "lines" in config.kinds:
        made.append(_Started("lines", f"udp:{config.lines_port}?protocol=lines",
                             tuple(SensorConfig(place, place) for place in LINES_PLACES), here,
                             LinesPeer(config.lines_port, person, LINES_PLACES)))
    if "mocopi" in config.kinds:
        made.append(_Started("mocopi", f"udp:{config.mocopi_port}?protocol=mocopi", (), here,
                             MocopiPeer(config.mocopi_port, person)))
    if "camera" in config.kinds:
        made.append(_Started("camera", f"camera:udp?port={config.camera_port}&layout=azure-kinect", (), "",
                             FilmPeer(config.camera_port, person)))
    return made


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


def _write(path: Path, started: list[_Started], person: Wearer) -> None:
    """The session file, the list of enrolled devices, and the calibration that is true."""
    from edgeskel.files import atomic_write
    from firmware_bridge.body import Calibration
    from firmware_bridge.body.segments import segment_of
    from firmware_bridge.device_allowlist import DeviceAllowlist
    from firmware_bridge.wearable_config import DeviceConfig, toml_of

    listed = path.with_suffix(".devices.json")
    listed.unlink(missing_ok=True)
    allowlist = DeviceAllowlist(listed)
    taken: set[str] = set()
    devices, seats = [], []
    for one in started:
        free = tuple(worn for worn in one.sensors if segment_of(worn.place) not in taken)
        if not free:
            continue
        taken |= {segment_of(worn.place) for worn in free}
        devices.append(DeviceConfig(one.address, free))
        seats.append(person.calibration([worn.place for worn in one.sensors]))
        allowlist.add(one.identity, f"simulated {one.kind}")
    camera = next((one.address for one in started if one.kind == "camera"), "")
    with atomic_write(path) as file:
        file.write(toml_of(devices, camera, stature=person.body.stature, enrolled=listed.name).encode())
    Calibration({segment: at for each in reversed(seats) for segment, at in each.mounting.items()},
                {segment: turn for each in reversed(seats) for segment, turn in each.heading.items()},
                {segment: by for each in reversed(seats) for segment, by in each.by.items()},
                ).save(path.with_suffix(".calibration.json"))


def _stay(stack: ExitStack, seconds: float | None) -> None:
    console.print("running; " + ("interrupt to stop" if seconds is None else f"stops after {seconds:g} s"), style="dim")
    try:
        with suppress(KeyboardInterrupt):  # this is how it is meant to end
            threading.Event().wait(seconds)
    finally:
        stack.close()
