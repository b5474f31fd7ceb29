"""Live frames in, events out: the clock, who is who, and for each person what they do.

Axes: P persons in a frame, M persons of the recogniser, V joints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgeskel.runtime.arrivals import Arrivals
from edgeskel.runtime.bundle import Window
from edgeskel.runtime.events import UNKNOWN, Event, EventConfig, Naming, calibrated
from edgeskel.runtime.motion import Segmenter, Stretch
from edgeskel.runtime.recognising import Answer, Recognising
from edgeskel.runtime.snapshot import recall, remember
from edgeskel.runtime.timeline import Resampler
from edgeskel.runtime.tracking import Slots, Tracks
from edgeskel.skeleton import Float32, Frame, Topology

__all__ = ["Doing", "Live"]


class Doing:
    """What one person does; for a recogniser of several persons, what they do together.

    Args:
        number: of the person.
        topology, rate_hz: of the recogniser's frames.
        labels: K class names.
        recognising: the way to recognise.
        config: when scores become events.
    """

    REMEMBERS = ("resampler", "segmenter", "recognising", "naming", "began", "embedding")

    number: int
    config: EventConfig

    def __init__(self, number: int, topology: Topology, rate_hz: float, labels: tuple[str, ...], recognising: Recognising,
                 config: EventConfig) -> None:
        self.number, self.config = number, config
        self.resampler: Resampler = Resampler(rate_hz)
        self.segmenter: Segmenter = Segmenter(topology, rate_hz, config.segmenter)
        self.recognising = recognising
        self.naming: Naming = Naming(labels, config)
        self.began: float | None = None
        """When the action began that goes on and was named."""
        self.embedding: Float32 | None = None
        """(D,) of the latest answer."""

    def push(self, frame: Frame, replaced: np.ndarray[tuple[int], np.dtype[np.bool_]] | None = None) -> list[Event]:
        """Take a frame, (M, V, 3)."""
        events: list[Event] = []
        for settled in self.resampler.push(frame, replaced):
            stretch = self.segmenter.push(settled)
            answer = self.recognising.push(settled, self.segmenter)
            if stretch is not None:
                events += self._end(stretch, frame.time)
            elif not self.segmenter.moving:
                events += self._nothing(frame.time)
            elif answer is not None:
                events += self._go_on(answer, frame.time)
        return events

    def finish(self, time: float) -> list[Event]:
        """The person has gone, or the source has ended, at ``time``."""
        stretch = self.segmenter.finish()
        return self._nothing(time) if stretch is None else self._end(stretch, time)

    def _go_on(self, answer: Answer, time: float) -> list[Event]:
        probabilities, self.embedding = answer
        named = self.naming.push(calibrated(probabilities, self.config.temperature))
        stretch = self.segmenter.open_stretch()
        if named is None or stretch is None:
            return []
        kind = "began" if self.began is None else "changed"
        self.began = stretch.start
        return [Event(kind, self.number, *named, stretch.start, None, time)]

    def _end(self, stretch: Stretch, time: float) -> list[Event]:
        answer = self.recognising.final(stretch)
        self.naming.clear()
        self.began = None
        if answer is None:
            return []
        probabilities, self.embedding = answer
        label, sure = self.naming.final(calibrated(probabilities, self.config.temperature))
        return [Event("ended", self.number, label, sure, stretch.start, stretch.end, time)]

    def _nothing(self, time: float) -> list[Event]:
        """The motion was a twitch; what was said of it is taken back."""
        began, self.began = self.began, None
        self.naming.clear()
        return [] if began is None else [Event("ended", self.number, UNKNOWN, 0.0, began, time, time)]


class Live:
    """Everything that is remembered between two frames.

    Args:
        topology: of the frames.
        labels: K class names.
        window: M, rate.
        recognising: makes what one person is recognised with.
        config: when scores become events.
        most: persons that are followed at a time.
    """

    REMEMBERS = ("arrivals", "tracks", "slots", "now")

    topology: Topology
    labels: tuple[str, ...]
    window: Window
    config: EventConfig

    def __init__(self, topology: Topology, labels: tuple[str, ...], window: Window, recognising: Callable[[], Recognising],
                 config: EventConfig, most: int) -> None:
        self.topology, self.labels, self.window, self.config = topology, labels, window, config
        self._recognising = recognising
        self.most = most
        self.arrivals: Arrivals = Arrivals()
        self.now: float = 0.0
        """Time of the latest frame that was taken, in seconds."""
        self.tap: Callable[[Frame], None] | None = None
        self.tracks: Tracks = Tracks(most, topology)
        self.start_afresh()

    def start_afresh(self) -> None:
        """Nobody is known; numbers that were given are not given again."""
        used = self.tracks.next
        self.tracks = Tracks(self.most, self.topology)
        self.tracks.next = used
        self.slots: Slots = Slots(self.window.persons, self.topology)
        self.persons: dict[int, Doing] = {}

    @property
    def refused(self) -> Counter[str]:
        """Frames and joints that were not taken, counted by the reason."""
        return self.arrivals.refused

    def step(self, frame: Frame) -> list[Event]:
        """Take a frame; what it brings to light."""
        checked = self._checked(frame)
        if checked is None:
            return []
        events: list[Event] = []
        for taken, jumped in self.arrivals.push(checked):
            if self.tap is not None:
                self.tap(taken)
            if jumped:
                events += self.finish()
                self.start_afresh()
            self.now = taken.time
            events += self._together(taken) if self.window.persons > 1 else self._each(taken)
        return events

    def finish(self) -> list[Event]:
        """The source has ended: the actions that were going on."""
        return [event for doing in self.persons.values() for event in doing.finish(self.now)]

    def remember(self) -> dict[str, Any]:
        """Everything that is remembered, as plain values."""
        return {"all": remember(self), "persons": {number: remember(doing) for number, doing in self.persons.items()}}

    def recall(self, fields: Mapping[str, Any]) -> None:
        """Inverse of :meth:`remember`, after :meth:`start_afresh`."""
        recall(self, fields["all"])
        self.persons = {number: self._doing(number) for number in fields["persons"]}
        for number, doing in self.persons.items():
            recall(doing, fields["persons"][number])

    def _each(self, frame: Frame) -> list[Event]:
        """Every person for himself."""
        events: list[Event] = []
        found = self.tracks.assign(frame)
        for number in self.tracks.gone(frame.time):
            events += self.persons.pop(number).finish(frame.time)
        for number, index in sorted(found.items()):
            if number not in self.persons:
                self.persons[number] = self._doing(number)
            alone = Frame(frame.time, frame.joints[index : index + 1], frame.confidence[index : index + 1])
            events += self.persons[number].push(alone)
        return events

    def _together(self, frame: Frame) -> list[Event]:
        """The whole scene as one, for a recogniser that sees several persons at once."""
        placed, fresh = self.slots.assign(frame)
        if not self.persons:
            self.persons[0] = self._doing(0)
        return self.persons[0].push(placed, fresh)

    def _doing(self, number: int) -> Doing:
        return Doing(number, self.topology, self.window.rate_hz, self.labels, self._recognising(), self.config)

    def _checked(self, frame: Frame) -> Frame | None:
        """The frame with the values that claim to be seen and are none taken out; None where it is no frame at all."""
        joints, confidence = np.asarray(frame.joints), np.asarray(frame.confidence)
        size = len(self.topology.joints)
        if joints.shape != (*confidence.shape, 3) or confidence.ndim != 2:
            self.refused["joints and confidence do not fit"] += 1
            return None
        if len(joints) and confidence.shape[1] != size:
            self.refused["another number of joints"] += 1
            return None
        sound = np.isfinite(joints).all(axis=-1) & (confidence >= 0) & (confidence <= 1)  # false for NaN
        broken = ~sound & (confidence != 0)
        if not broken.any():
            return frame
        self.refused["joint that is not finite"] += int(broken.sum())
        return replace(frame, joints=np.where(broken[..., None], np.float32(0), joints).astype(np.float32),
                       confidence=np.where(broken, np.float32(0), confidence).astype(np.float32))
