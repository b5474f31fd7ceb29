"""A session file put together: which reading belongs to which segment, and the fusion behind it.

No input or output: items and camera frames are given in, frames come out, and what the user should know is in
:attr:`WearablePipeline.pending_notices`.
"""

from __future__ import annotations

import math
from collections import deque

from edgeskel.errors import DeviceError, EdgeskelError, UsageError
from edgeskel.skeleton import Topology
from firmware_bridge.body import BodyDimensions, Calibration
from firmware_bridge.codecs import create
from firmware_bridge.feed import CameraFrame, Notice
from firmware_bridge.fusion import FusedFrame, Fusion
from firmware_bridge.link import Item, Sample
from firmware_bridge.link_messages import LinkMessages
from firmware_bridge.samples import Flags
from firmware_bridge.wearable_config import WearableConfig
from firmware_bridge.worn_sensor import SensorSetup

__all__ = ["WearablePipeline"]

UNJUDGED_NS = 60_000_000_000
"""After a minute it is said once whose sensors are not judged yet."""
PLAIN = Flags.NONE  # found at once; an enum's members are looked up by its metaclass
MANY_DROPPED = 100
"""Readings of a sensor that were left out, of which the user is told."""


class WearablePipeline:
    """Items of the devices in a session file -> fused frames.

    Args:
        session: what is worn.
        topology: layout of the camera's frames; None without a camera, and the file's layout counts.
        calibration: how the sensors sit; None before it is known, and then only a camera tells about the body.

    Raises:
        UnknownChoice, UsageError: see :class:`~firmware_bridge.wearable_config.WearableConfig`.
        TopologyMismatch: the camera's layout has too little in common with the body.
    """

    def __init__(self, session: WearableConfig, topology: Topology | None = None, calibration: Calibration | None = None) -> None:
        self.session = session
        self.notices: LinkMessages = LinkMessages()
        self.pending_notices: deque[str] = deque(maxlen=256)
        """Sentences for the user, oldest first; whoever shows them takes them out."""
        self._names: dict[tuple[str, str], str] = {}
        worn: dict[str, SensorSetup] = {}
        for device in session.devices:
            codec = create(device.protocol)
            for sensor in device.sensors:
                self._names[device.address, sensor.sensor] = sensor.place
                worn[sensor.place] = SensorSetup.of(codec, sensor.place, rate_hz=device.nominal_hz or device.rate_hz,
                                            settings=sensor.settings)
        self.fusion: Fusion = Fusion(topology or session.topology, worn, body=BodyDimensions(session.stature),
                                     rate_hz=session.rate_hz,
                             delay_s=session.delay_s, calibration=calibration)
        self._addresses = {device.address: device for device in session.devices}
        self._senders: dict[tuple[str, str], str] = {}
        self._strange: set[tuple[str, str]] = set()
        self.heard: set[str] = set()
        """Places whose sensors have sent something."""
        self._since_ns: float | None = None

    def take(self, item: Item | CameraFrame | Notice) -> None:
        """Give in what a feed brought; never raises for what a device or camera sent."""
        if isinstance(item, Sample):
            if item.reading.flags is not PLAIN:
                self._tell(item)
            self._feel(item)
        elif isinstance(item, Notice):
            self.pending_notices.append(item.text)
        elif isinstance(item, CameraFrame):
            self._film(item)
        else:
            self._tell(item)

    def frames(self, now_ns: int) -> list[FusedFrame]:
        """Frames that are due at ``now_ns``, oldest first."""
        if self._since_ns is None:
            self._since_ns = now_ns
        elif now_ns - self._since_ns > UNJUDGED_NS:
            self._since_ns = math.inf
            judged = self.fusion.judgements
            unjudged = [place for place in judged if judged[place] == "not judged yet" and place in self.heard]
            if unjudged:
                self.pending_notices.append(f"not judged yet whether gyroscope and accelerometer fit: {', '.join(unjudged)}; "
                                            "they have hardly turned so far")
        made = self.fusion.frames(now_ns)
        if made:
            for place, sensor in self.fusion.sensors.items():
                if sensor.orientation.dropped >= MANY_DROPPED:
                    self._say_once(place, "dropped", f"{place}: {sensor.orientation.dropped} readings were left out by now: they "
                                   "repeat others, are older than others, or have no acceleration near them")
        return made

    def _tell(self, item: Item) -> None:
        text = self.notices.of(item)
        if text:
            self.pending_notices.append(text)

    def _film(self, item: CameraFrame) -> None:
        try:
            self.fusion.push_camera(item.frame)
        except EdgeskelError as error:
            self._say_once("camera", "frame", f"the camera: {error}")

    def _feel(self, sample: Sample) -> None:
        place = self._names.get((sample.device, sample.reading.sensor))
        if place is None:
            self._unknown(sample)
            return
        if sample.device.startswith("udp:"):  # two senders must not share a segment; one that began anew has another port
            host = sample.channel.rpartition(":")[0]
            if self._senders.setdefault((sample.device, sample.reading.sensor), host) != host:
                self._say_once(sample.device, host, f"{sample.device}: {host} sends as well; give each sender a [[device]] of its "
                               f"own, with from={host} in its address")
                return
        self.heard.add(place)
        try:
            self.fusion.push_reading(place, sample.reading, sample.host_ns)
        except (DeviceError, UsageError) as error:  # said once: the fusion drops its readings from now on
            self._say_once(place, "refused", f"{error}; this sensor is left out, the others go on")

    def _unknown(self, sample: Sample) -> None:
        device = self._addresses.get(sample.device)
        if device is None:
            return
        sensor = sample.reading.sensor
        known = ", ".join(repr(worn.sensor) for worn in device.sensors)
        self._say_once(sample.device, sensor, f"{sample.device} has a sensor {sensor!r} that {self.session.path} does not place "
                       f"(it places {known}); it is left out")

    def _say_once(self, who: str, what: str, sentence: str) -> None:
        if (who, what) not in self._strange and len(self._strange) < 1024:
            self._strange.add((who, what))
            self.pending_notices.append(sentence)

