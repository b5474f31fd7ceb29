"""``edgeskel devices show``."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from edgeskel.cli.devices.reading import Listener, check_seconds
from edgeskel.cli.report import Report, console

__all__ = ["DevicesShow", "show"]


@dataclass(frozen=True)
class DevicesShow:
    """Show how devices are doing: rate, loss, battery, clock drift, gravity at rest.

    Nothing that is heard goes further, so a device need not be enrolled.
    """

    address: tyro.conf.Positional[tuple[str, ...]]
    """Devices such as serial:/dev/ttyUSB0 or ble:NAME?protocol=dot, recordings (replay:walk.mcap), a camera:, or
    wearable:body.toml alone."""
    seconds: float | None = None
    """How long, from the first reading. By default until interrupted."""
    rate: float | None = None
    """Readings per second to ask of every device. By default each device's own."""
    view: bool = False
    """Open a live picture of sensors, segments, camera joints and the fused skeleton (needs rerun)."""
    rrd: Path | None = None
    """Write the picture into this file instead of opening it; rerun FILE.rrd shows it."""
    enrolled: Path | None = None
    """List of enrolled devices. By default your own."""

    def __post_init__(self) -> None:
        check_seconds(self.seconds)


def show(config: DevicesShow) -> Report:
    """Listen and draw; the last state is the result."""
    from rich.live import Live

    from edgeskel.console import open_console

    listener = Listener(config.address, config.enrolled, rate_hz=config.rate)
    picture = _picture(config, listener)
    out = open_console()
    live: Any = nullcontext()
    if out.is_terminal and not console.quiet:
        live = Live(console=out, auto_refresh=False, transient=True)

    def each(listener: Listener) -> None:
        if isinstance(live, Live):
            live.update(listener.picture(), refresh=True)
        if picture is not None:
            picture.draw(fused=listener.fused, camera=listener.camera_frame)

    with live:
        listener.listen(config.seconds, each)
    if picture is not None:
        picture.close()
    data = {"seconds": listener.seconds, "frames": listener.frames, "devices": listener.devices(), "notices": listener.notices}
    return Report(data, lambda final: final.print(listener.picture()), ok=not listener.silent)


def _picture(config: DevicesShow, listener: Listener) -> Any:
    if not config.view and config.rrd is None:
        return None
    from firmware_bridge.viewer import Viewer

    topology = None
    if listener.wearable is not None:
        topology = listener.wearable.topology
    elif listener.feed.camera is not None:
        topology = listener.feed.camera.topology
    worn = {} if listener.wearable is None else {name: s.segment for name, s in listener.wearable.pipeline.fusion.sensors.items()}
    return Viewer(topology, worn, file=config.rrd)
