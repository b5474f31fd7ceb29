"""What ``show`` and ``record`` share: addresses to a feed, and what was heard of each device."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeskel.cli.report import console
from edgeskel.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Group

    from edgeskel.skeleton import Frame
    from firmware_bridge.feed import CameraFrame, LiveFeed, Notice
    from firmware_bridge.fusion import FusedFrame
    from firmware_bridge.link import Item
    from firmware_bridge.wearable import Wearable
    from firmware_bridge.wearable_config import WearableConfig

__all__ = ["Listener", "check_seconds"]

FIRST_S = 10.0
"""When nothing has come after so long, nothing will without somebody doing something."""


def check_seconds(seconds: float | None) -> None:
    """Refuse a duration that is none."""
    if seconds is not None and not 0 < seconds < float("inf"):
        raise UsageError(f"--seconds {seconds:g}", expected="a number above 0")


@dataclass
class Listener:
    """Opens addresses and keeps account of what they send.

    Args:
        addresses: of devices, of one camera, or ``wearable:FILE`` alone.
        enrolled: the list of enrolled devices.
        record: an MCAP file to write.
        rate_hz: what to ask of every device.
    """

    addresses: Sequence[str]
    enrolled: Path | None = None
    record: Path | None = None
    rate_hz: float | None = None
    notices: list[str] = field(default_factory=list)
    frames: int = 0
    """Frames of joints: fused where the sensors are worn, else the camera's."""
    seconds: float = 0.0
    """From the first reading or frame to the end."""
    silent: bool = False
    """Nothing at all has come."""

    def __post_init__(self) -> None:
        from firmware_bridge.device_allowlist import DeviceAllowlist, default_path
        from firmware_bridge.diagnostics import Diagnostics
        from firmware_bridge.link_messages import LinkMessages

        self.session: WearableConfig | None = None
        self.wearable: Wearable | None = None
        self.fused: FusedFrame | None = None
        self.camera_frame: Frame | None = None
        self.feed: LiveFeed = self._open()
        enrolled = self.session.enrolled if self.session else default_path()
        self.allowlist: DeviceAllowlist = DeviceAllowlist(self.enrolled or enrolled)
        self.diagnostics: dict[str, Diagnostics] = {link.address: Diagnostics(link.address) for link in self.feed.links}
        self._notices = LinkMessages()
        self._strangers: set[str] = set()

    def listen(self, seconds: float | None, each: Callable[[Listener], None] | None = None) -> None:
        """Read until ``seconds`` after the first reading or frame, or until interrupted; ``each`` is called ten times a second.

        Raises:
            DeviceError: the camera is not there.
            OSError: the recording cannot be written any more.
        """
        begin, opened, due = None, time.monotonic(), 0.0
        try:
            with self.feed:
                for now_ns, items in self.feed:
                    now = time.monotonic()
                    for item in items:
                        self._take(item)
                    if self.wearable is not None:
                        self._fuse(now_ns, items)
                    self._say(*self._notices.health(self.feed.health))
                    if begin is None and (any(health.received for health in self.feed.health) or self.frames):
                        begin = now
                    self.seconds = 0.0 if begin is None else now - begin
                    if now >= due:  # a device that is opened again has no identity at first, so whose it was is asked before
                        due = now + 0.1
                        self._strangers_named()
                        if each is not None:
                            each(self)
                    if seconds is not None and (self.seconds >= seconds or begin is None and now - opened > max(seconds, FIRST_S)):
                        break
        except KeyboardInterrupt:  # this is how it is meant to end
            pass
        self._strangers_named()
        self.silent = begin is None

    def devices(self) -> list[dict[str, Any]]:
        """What is known of each device."""
        return [
            {
                "address": health.device, "protocol": self.diagnostics[health.device].protocol, "state": health.state,
                "identities": (identities := self.diagnostics[health.device].identities(health)),
                "enrolled": bool(identities) and all(self.allowlist.admits(identity) for identity in identities),
                "frames": health.frames, "readings": health.received, "lost": health.lost, "loss": health.loss, "bad": health.bad,
                "late": health.late, "dropped": health.dropped, "reboots": health.reboots, "reopened": health.reopened,
                "battery": health.battery, "signal_dbm": health.signal_dbm, "problem": health.problem,
                "sensors": self.diagnostics[health.device].sensors(),
            }
            for health in self.feed.health
        ]  # fmt: skip

    def picture(self) -> Group:
        """The same for a person: a line about each device, and a table of its sensors; fits 80 columns."""
        from rich.console import Group
        from rich.text import Text

        from edgeskel.console import new_table

        parts: list[Any] = []
        for device in self.devices():
            parts.append(Text(device["address"], style="bold", overflow="fold"))
            facts = [device["state"], f"{device['readings']} readings", f"{device['lost']} lost", f"{device['bad']} bad frames"]
            facts += [] if device["battery"] is None else [f"battery {device['battery']:.0%}"]
            facts += [] if device["signal_dbm"] is None else [f"{device['signal_dbm']:.0f} dBm"]
            parts.append(Text("  " + ", ".join([*facts, "enrolled" if device["enrolled"] else "not enrolled"])))
            if device["problem"]:
                parts.append(Text(f"  {device['problem']}", style="yellow"))
            table = new_table("  sensor", "Hz", "drift", "|a| at rest", "gyroscope", right=("Hz", "drift", "|a| at rest"))
            for vital in device["sensors"]:
                table.add_row(f"  {vital.sensor or '-'}", _figure(vital.rate_hz, ".1f"), _figure(vital.drift_ppm, "+.0f", " ppm"),
                              _figure(vital.rest_m_s2, ".2f", " m/s²"), vital.judgement)
            parts += [table] if device["sensors"] else []
        return Group(*parts)

    def _open(self) -> LiveFeed:
        from firmware_bridge import open_source
        from firmware_bridge.feed import LiveFeed
        from firmware_bridge.wearable import Wearable, feed_of
        from firmware_bridge.wearable_config import WearableConfig

        whole = [address for address in self.addresses if address.startswith("wearable:")]
        if whole:
            if len(self.addresses) > 1:
                raise UsageError(f"{whole[0]} beside other addresses", expected="it alone: it names its devices and camera")
            self.session = WearableConfig.load(whole[0].removeprefix("wearable:"))
            feed = feed_of(self.session, record=self.record, enrolled_only=False)
            if self.session.calibration.exists() or feed.camera is not None:
                self.wearable = Wearable(self.session, feed)
            else:
                self._say(f"{self.session.calibration} is not there: readings only, no skeleton")
            return feed
        cameras = [address for address in self.addresses if address.startswith("camera:")]
        if len(cameras) > 1:
            raise UsageError(f"{len(cameras)} cameras", expected="one")
        devices = [each for address in self.addresses if address not in cameras for each in _expanded(address)]
        if not devices and not cameras:
            raise UsageError("no address", expected="such as serial:/dev/ttyUSB0, ble:NAME?protocol=dot or wearable:body.toml",
                             remedy="run: edgeskel devices scan")
        return LiveFeed({address: self.rate_hz for address in devices}, open_source(cameras[0]) if cameras else None,
                        record=self.record)

    def _take(self, item: Item | CameraFrame | Notice) -> None:
        from firmware_bridge.feed import CameraFrame, Notice
        from firmware_bridge.link import Sample

        if isinstance(item, Notice):
            self._say(item.text)
        elif isinstance(item, CameraFrame):
            self.camera_frame = item.frame
            self.frames += self.wearable is None
        else:
            doubt = self.diagnostics[item.device].take(item) if isinstance(item, Sample) else None
            if self.wearable is None:  # else the fusion says so
                self._say(doubt, self._notices.of(item))

    def _fuse(self, now_ns: int, items: Sequence[Item | CameraFrame | Notice]) -> None:
        assert self.wearable is not None
        pipeline = self.wearable.pipeline
        for item in items:
            pipeline.take(item)
        while pipeline.pending_notices:
            self._say(pipeline.pending_notices.popleft())
        for fused in pipeline.frames(now_ns):
            self.fused = fused
            self.frames += 1
            self.feed.record_frame(fused.frame, self.wearable.topology, "fused")

    def _strangers_named(self) -> None:
        for health in self.feed.health:
            for identity in self.diagnostics[health.device].identities(health):
                if identity not in self._strangers and not self.allowlist.admits(identity):
                    self._strangers.add(identity)
                    self._say(f"{identity} is not enrolled: it is heard here, but would not reach a recogniser; if it is yours, "
                              f"run: edgeskel devices enrol {identity}")

    def _say(self, *sentences: str | None) -> None:
        for sentence in sentences:
            if sentence and (not self.notices or self.notices[-1] != sentence):
                self.notices.append(sentence)
                console.print(sentence, style="yellow", soft_wrap=True)


def _expanded(address: str) -> list[str]:
    """A recording of several devices as one address for each of them."""
    from firmware_bridge.address import split_address, with_options
    from firmware_bridge.mcap import McapRecording

    scheme, place, options = split_address(address)
    if scheme != "replay" or "device" in options:
        return [address]
    devices = list(dict.fromkeys(source.device for source in McapRecording(place).sources()))
    if len(devices) < 2:
        return [address]
    return [with_options(address, device=device) for device in devices]


def _figure(value: float | None, form: str, unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"
