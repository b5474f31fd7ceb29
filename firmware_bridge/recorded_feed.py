"""A recording of several devices and a camera, as a feed: in the order and at the pace in which it came."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from edgeskel.errors import DataError, UsageError
from edgeskel.skeleton import Topology
from firmware_bridge.feed import WAIT_S, Batch, CameraFrame, Feed, Notice
from firmware_bridge.link import Item, LinkHealth, Sample
from firmware_bridge.mcap import McapReader, McapRecording

__all__ = ["RecordedFeed"]


class RecordedFeed(Feed):
    """What :class:`~firmware_bridge.feed.LiveFeed` recorded, in the order and, unless told otherwise, at the pace in which it came.

    Args:
        path: an MCAP recording with readings.
        devices: addresses whose readings are wanted; None for all.
        camera: play the camera's frames, too.
        speed: 1 as it was, 2 twice as fast, 0 without waiting.
        sleep: waits for seconds.

    Raises:
        CorruptFile, DataError: it is no recording.
        UsageError: it holds no readings of these devices.
    """

    def __init__(self, path: str | os.PathLike[str], devices: Mapping[str, object] | None = None, *, camera: bool = True,
                 speed: float = 1.0, sleep: Callable[[float], None] = time.sleep) -> None:
        self.path: Path = Path(path)
        self.health: list[LinkHealth] = []
        self._speed, self._sleep = speed, sleep
        self._devices = None if devices is None else set(devices)
        channels = McapReader(path).channels()
        found = {channel.metadata["device"] for channel in channels if channel.topic.startswith("/readings/")}
        filmed = camera and any(channel.topic == "/frames/camera" for channel in channels)
        films = next(McapRecording(path).frames("camera"), None) if filmed else None
        self.camera_topology: Topology | None = None if films is None else films[0]
        """Layout of the recorded camera frames; None where there are none."""
        self.devices: set[str] = found if self._devices is None else found & self._devices
        """Whose readings are played."""
        if not self.devices and films is None:
            raise UsageError(f"{path} holds readings of " + (", ".join(sorted(found)) or "nobody"),
                             expected="one of " + ", ".join(sorted(self._devices)) if self._devices else
                             "a recording that edgeskel devices record wrote")

    def __iter__(self) -> Iterator[Batch]:
        """Batches; the last is followed by what is wrong with a file that was cut off."""
        recording, film = McapRecording(self.path), McapRecording(self.path)
        samples = (s for s in recording.samples() if s.device in self.devices)
        frames = iter(()) if self.camera_topology is None else (CameraFrame(frame) for _, frame in film.frames("camera"))
        begin = first = None
        items: list[Item | CameraFrame | Notice] = []
        now_ns = batch_ns = 0
        try:
            for at_ns, item in _merged(samples, frames):
                if begin is None or first is None:
                    begin, first = time.monotonic(), at_ns
                wait = begin + (at_ns - first) / 1e9 / self._speed - time.monotonic() if self._speed else 0.0
                if items and (wait > 0 or at_ns - batch_ns > WAIT_S * 1e9):
                    yield now_ns, items
                    items = []
                if not items:
                    batch_ns = at_ns
                if wait > 0:
                    self._sleep(wait)
                items.append(item)
                now_ns = max(now_ns, at_ns)
        except DataError as error:
            items.append(Notice(str(error)))
        if recording.damage:
            items.append(Notice(f"{self.path}: {recording.damage}; everything before that was played"))
        yield now_ns, items


def _merged(samples: Iterator[Sample], frames: Iterator[CameraFrame]) -> Iterator[tuple[int, Item | CameraFrame]]:
    """Both in the order of their times, each as it was written: within a batch links were read one after the other."""
    sample, film = next(samples, None), next(frames, None)
    while sample is not None or film is not None:
        film_ns = None if film is None else round(film.frame.time * 1e9)
        if sample is not None and (film_ns is None or sample.host_ns <= film_ns):
            yield sample.host_ns, sample
            sample = next(samples, None)
        elif film is not None and film_ns is not None:
            yield film_ns, film
            film = next(frames, None)
