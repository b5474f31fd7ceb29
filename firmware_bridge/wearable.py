"""``wearable:body.toml``: what a person wears, and a camera if there is one, as a live source of one skeleton.

The file says which devices, where they sit, which camera and which calibration (:mod:`firmware_bridge.wearable_config`). Only
enrolled devices are heard. A device that is absent, silent, refused or wrong is named in the log and in :attr:`Wearable.notices`;
the others go on, and the frames say what is measured and what is inferred.

==================  =================================================================================================
``replay=FILE``     an MCAP recording of these devices instead of the devices
``speed=1``         of the recording: 2 is twice as fast, 0 does not wait
``calibration=FILE``  instead of the one that the session file names
==================  =================================================================================================
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from edgeskel.errors import UsageError
from edgeskel.skeleton import Frame, Topology
from firmware_bridge.body import Calibration
from firmware_bridge.device_allowlist import DeviceAllowlist
from firmware_bridge.feed import CameraFrame, Feed, LiveFeed
from firmware_bridge.fusion import FusedFrame
from firmware_bridge.gyroscope_fit import Judgement
from firmware_bridge.link import LinkHealth
from firmware_bridge.recorded_feed import RecordedFeed
from firmware_bridge.recording import Span
from firmware_bridge.replay import speed_of
from firmware_bridge.source import open_source as open_any_source
from firmware_bridge.source import options_of
from firmware_bridge.wearable_config import WearableConfig
from firmware_bridge.wearable_pipeline import WearablePipeline

__all__ = ["Wearable", "feed_of", "open_source"]

log: logging.Logger = logging.getLogger(__name__)

KEPT = 256
QUIET_NS = 5_000_000
"""So long before the next frame there is time for what nobody waits for."""


class Wearable:
    """One skeleton from a session file; a :class:`firmware_bridge.source.Source`.

    Iterating gives frames; :meth:`fused` gives them with what is behind them (origin and age of every joint).

    Args:
        session: what is worn.
        feed: where readings and camera frames come from; None opens the devices of the file.
        calibration: None reads the file that the session names.

    Raises:
        UsageError: there is no calibration, and no camera to do without.
        CorruptFile: the calibration or the list of enrolled devices is damaged.
        UnknownChoice, UsageError: the camera's address makes no sense.
    """

    spans: tuple[Span, ...] = ()

    def __init__(self, session: WearableConfig, feed: Feed | None = None, *, calibration: Calibration | None = None) -> None:
        self.feed: Feed | LiveFeed = feed or feed_of(session)
        topology = self.feed.camera_topology if isinstance(self.feed, RecordedFeed) else (
            self.feed.camera.topology if isinstance(self.feed, LiveFeed) and self.feed.camera is not None else None)
        if calibration is None and session.devices:
            calibration = _calibration(session, has_camera=topology is not None)
        self.pipeline: WearablePipeline = WearablePipeline(session, topology, calibration)
        self._addresses = {worn.place: address for (address, _), worn in session.places.items()}
        self.topology: Topology = self.pipeline.fusion.topology
        self.rate_hz: float = session.rate_hz
        self.notices: deque[str] = deque(maxlen=KEPT)
        """What the user should know, oldest first; it is in the log, too."""
        self.camera_frame: Frame | None = None
        """The camera's newest frame, for a picture."""

    @property
    def faults(self) -> Mapping[str, int]:
        """Of the live camera, as it says; empty without one."""
        camera = self.feed.camera if isinstance(self.feed, LiveFeed) else None
        return camera.faults if camera is not None else {}

    @property
    def health(self) -> list[LinkHealth]:
        """How each device's link is doing; empty for a recording."""
        return self.feed.health

    def __enter__(self) -> Wearable:
        """Begin to connect; devices that are not there are waited for.

        Raises:
            DeviceError: the camera is not there.
        """
        self.feed.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Let all devices go; iterating ends."""
        self.feed.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[Frame]:
        """Frames as they are due, from the first reading on."""
        for fused in self.fused():
            yield fused.frame

    def fused(self) -> Iterator[FusedFrame]:
        """Frames, and of each joint where it comes from and how old it is."""
        for now_ns, items in self.feed:
            for item in items:
                self.pipeline.take(item)
                if isinstance(item, CameraFrame):
                    self.camera_frame = item.frame
            self._speak()
            yield from self.pipeline.frames(now_ns)
            fusion = self.pipeline.fusion
            until_s, places = fusion.waits_for(now_ns)
            self.feed.expect(until_s, None if places is None else {self._addresses[place] for place in places})
            if places is None or places:
                fusion.catch_up()  # while they are waited for, instead of when they are there
            elif until_s * 1e9 - now_ns > QUIET_NS:
                fusion.judge()

    @property
    def judgements(self) -> dict[str, Judgement]:
        """Place -> whether its sensor's gyroscope and accelerometer fit, as far as its motion has told."""
        return self.pipeline.fusion.judgements

    def _speak(self) -> None:
        said, self.pipeline.pending_notices = self.pipeline.pending_notices, deque(maxlen=KEPT)
        for text in (*said, *self.pipeline.notices.health(self.feed.health)):
            self.notices.append(text)
            log.warning("%s", text)


def feed_of(session: WearableConfig, *, record: Path | None = None, enrolled_only: bool = True, camera: bool = True) -> LiveFeed:
    """The devices and, unless told otherwise, the camera of a session file, live.

    Raises:
        UsageError, UnknownChoice: an address that makes no sense.
        CorruptFile: the list of enrolled devices is damaged.
    """
    film = open_any_source(session.camera) if session.camera and camera else None
    allowlist = DeviceAllowlist(session.enrolled) if enrolled_only else None
    return LiveFeed({device.address: device.rate_hz for device in session.devices}, film, allowlist=allowlist, record=record)


def _calibration(session: WearableConfig, *, has_camera: bool) -> Calibration | None:
    if session.calibration.exists():
        return Calibration.load(session.calibration)
    how = f"run: edgeskel devices calibrate {session.path}"
    if not has_camera:
        raise UsageError(f"{session.calibration} is not there, so nothing tells how the sensors sit",
                         expected="a calibration, or a camera", remedy=how)
    log.warning("%s is not there: the camera alone is followed; %s", session.calibration, how)
    return None


def open_source(place: str, options: Mapping[str, str]) -> Wearable:
    """Open ``place``, a session file; options as in the module's docstring. Devices are opened when the source is entered.

    Raises:
        UsageError, UnknownChoice: the file, an option or an address makes no sense.
        CorruptFile: a file that is damaged.
    """
    settings: dict[str, Any] = options_of(options, {"replay": str, "speed": speed_of, "calibration": str}, "wearable")
    session = WearableConfig.load(place)
    calibration = Calibration.load(settings["calibration"]) if "calibration" in settings else None
    if "replay" not in settings:
        if "speed" in settings:
            raise UsageError("wearable: speed without replay", expected="replay=FILE.mcap; live devices have their own speed")
        return Wearable(session, calibration=calibration)
    feed = RecordedFeed(settings["replay"], {device.address: device for device in session.devices},
                        speed=settings.get("speed", 1.0))
    return Wearable(session, feed, calibration=calibration)

