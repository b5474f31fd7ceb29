"""``edgeskel devices record``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from edgeskel.cli.devices.reading import Listener, check_seconds
from edgeskel.cli.report import Report, console

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Record", "record"]


@dataclass(frozen=True)
class Record:
    """Record what devices send into an MCAP file: the bytes as they came, and the readings in them.

    Of a camera its joints are recorded, of wearable:FILE.toml the fused skeleton, too. What was received before a crash is in
    the file.
    """

    address: tyro.conf.Positional[tuple[str, ...]]
    """Devices such as serial:/dev/ttyUSB0 or ble:NAME?protocol=dot, a camera:, or wearable:body.toml alone."""
    out: Path | None = None
    """File, which must not exist. By default recording-DATE-TIME.mcap here."""
    seconds: float | None = None
    """How long, from the first reading. By default until interrupted."""
    rate: float | None = None
    """Readings per second to ask of every device. By default each device's own."""
    enrolled: Path | None = None
    """List of enrolled devices. By default your own."""

    def __post_init__(self) -> None:
        check_seconds(self.seconds)


def record(config: Record) -> Report:
    """Record; a device that does not send is named, and the others are recorded."""
    import time

    out = config.out or Path(time.strftime("recording-%Y%m%d-%H%M%S.mcap"))
    listener = Listener(config.address, config.enrolled, record=out, rate_hz=config.rate)
    console.print(f"recording into {out}; " + ("interrupt to stop" if config.seconds is None else f"{config.seconds:g} s"),
                  style="dim")
    listener.listen(config.seconds)
    devices, camera = listener.devices(), listener.feed.camera
    frames = sum(device["frames"] for device in devices)
    data = {
        "out": out, "seconds": listener.seconds, "frames": frames, "readings": sum(d["readings"] for d in devices),
        "lost": sum(d["lost"] for d in devices), "bad": sum(d["bad"] for d in devices), "late": sum(d["late"] for d in devices),
        "dropped": sum(d["dropped"] for d in devices), "skeletons": listener.frames, "bytes": out.stat().st_size,
        "camera_faults": dict(camera.faults) if camera is not None else {}, "devices": devices, "notices": listener.notices,
    }  # fmt: skip
    silent = [device["address"] for device in devices if not device["readings"]]

    def text(out_: Console) -> None:
        out_.print(listener.picture())
        out_.print(f"{out}: {data['readings']} readings in {data['seconds']:.1f} s, {data['lost']} lost, {data['bad']} bad frames, "
                   f"{data['skeletons']} skeletons, {data['bytes']} bytes", soft_wrap=True)
        for address in silent:
            out_.print(f"{address} sent nothing", style="red")

    return Report(data, text, ok=not silent and not listener.silent)
