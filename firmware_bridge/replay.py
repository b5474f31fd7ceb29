"""``replay:FILE?speed=1&loop=0``: a recording as a live source, paced by its own time stamps.

``speed=2`` plays twice as fast, ``speed=0`` as fast as it is read. ``loop=N`` plays it N more times, ``loop=forever``
until it is closed; time goes on from round to round. A slow reader gets late frames, never fewer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import numpy as np

from edgeskel.errors import UnknownChoice
from edgeskel.skeleton import Frame, Topology
from firmware_bridge.jsonl import load_jsonl
from firmware_bridge.mcap.frames import load_mcap
from firmware_bridge.recording import Recording, Span, load_recording
from firmware_bridge.source import options_of

__all__ = ["Replay", "open_source", "read_recording", "speed_of"]

READERS: dict[str, Callable[[Path], Recording]] = {
    ".npz": load_recording, ".jsonl": load_jsonl, ".mcap": load_mcap,
}


def read_recording(path: str | Path) -> Recording:
    """Read a recording by its suffix.

    Raises:
        UnknownChoice: another suffix.
        CorruptFile: absent, truncated or altered.
    """
    path = Path(path)
    if path.suffix not in READERS:
        raise UnknownChoice("kind of recording", path.suffix or path.name, READERS)
    return READERS[path.suffix](path)


class Replay:
    """Plays a recording; see the module's docstring. Public, so that users test their own code without a camera.

    Args:
        recording: what is played.
        speed: times as fast as it was recorded; 0 does not wait at all.
        loop: further rounds; infinity never ends.
        clock: gives seconds.
        sleep: waits for seconds. Both can be replaced, so that a test needs no real time.
    """

    speed: float
    loop: float
    faults: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self,
        recording: Recording,
        *,
        speed: float = 1.0,
        loop: float = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.recording = recording
        self.topology: Topology = recording.topology
        self.spans: tuple[Span, ...] = recording.spans
        pauses = np.diff(recording.time)
        self._pause = float(np.median(pauses)) if len(pauses) else 1 / 30
        self.rate_hz: float = 1 / self._pause
        self.speed, self.loop = speed, loop
        self._clock, self._sleep = clock, sleep
        self._closed = False

    def __enter__(self) -> Replay:
        """Nothing to open: the recording is in memory."""
        self._closed = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the iteration at its next frame."""
        self._closed = True

    def __iter__(self) -> Iterator[Frame]:
        recording = self.recording
        length = float(recording.time[-1] - recording.time[0]) + self._pause
        begin = self._clock()
        for round_ in count():
            if round_ > self.loop:
                return
            for index, recorded in enumerate(recording.time):
                moment = float(recorded) + round_ * length
                if self.speed > 0:
                    wait = begin + (moment - float(recording.time[0])) / self.speed - self._clock()
                    if wait > 0:
                        self._sleep(wait)
                if self._closed:
                    return
                yield Frame(moment, recording.joints[:, index], recording.confidence[:, index])


def open_source(place: str, options: Mapping[str, str]) -> Replay:
    """Open ``place``, a recording's path; options as in the module's docstring."""
    settings: dict[str, Any] = options_of(options, {"speed": speed_of, "loop": _loop}, "replay")
    return Replay(read_recording(place), **settings)


def speed_of(text: str) -> float:
    """The option ``speed`` of whatever plays a recording.

    Raises:
        ValueError: no factor; the message says what is one.
    """
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 <= speed < math.inf:
        raise ValueError("a factor of at least 0, where 0 does not wait")
    return speed


def _loop(text: str) -> float:
    if text == "forever":
        return math.inf
    if not text.isdecimal():
        raise ValueError("how many more rounds, or forever")
    return int(text)
