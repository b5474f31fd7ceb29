"""Live frames in, events out: the clock, who is who, and for each person what they do.

Axes: P persons in a frame, M persons of the recogniser, V joints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgeskel.errors import CorruptFile
from edgeskel.runtime.arrivals import Arrivals
from edgeskel.runtime.bundle import Window
from edgeskel.runtime.events import UNKNOWN, Event, EventConfig, Naming, calibrated
from edgeskel.runtime.live_modes import Answer, LiveMode
from edgeskel.runtime.motion import Segmenter, Stretch
from edgeskel.runtime.snapshot import FieldType, array, load_state_dict, optional, real, state_dict
from edgeskel.runtime.timeline import Resampler
from edgeskel.runtime.tracking import MOST_PERSONS, PATIENCE_S, Slots, Tracks
from edgeskel.skeleton import FARTHEST_M, Float32, Frame, Topology

__all__ = ["PersonState", "Live"]


class PersonState:
    """What one person does; for a recogniser of several persons, what they do together.

    Args:
        number: of the person.
        topology, rate_hz: of the recogniser's frames.
        labels: K class names.
        recognising: the way to recognise.
        config: when scores become events.
        persons: M.
    """

    number: int
    config: EventConfig

    def __init__(self, number: int, topology: Topology, rate_hz: float, labels: tuple[str, ...], recognising: LiveMode,
                 config: EventConfig, persons: int = 1) -> None:
        self.number, self.config = number, config
        self.resampler: Resampler = Resampler(rate_hz, (persons, len(topology.joints)))
        self.segmenter: Segmenter = Segmenter(topology, rate_hz, config.segmenter, persons)
        self.recognising = recognising
        self.naming: Naming = Naming(labels, config)
        self.began: float | None = None
        """When the action began that goes on and was named."""
        self.embedding: Float32 | None = None
        """(D,) of the latest answer."""

    def state_fields(self) -> dict[str, FieldType | None]:
        """See :mod:`edgeskel.runtime.snapshot`."""
        return {"resampler": None, "segmenter": None, "recognising": None, "naming": None,
                "began": optional(real()), "embedding": optional(array(None))}

    def contradiction(self) -> str | None:
        """What the fields cannot be together, if they are that."""
        pushed, settled = self.resampler.latest, self.segmenter.latest
        if settled is None:
            return None
        if pushed is None or not -2 * PATIENCE_S <= settled - pushed <= self.resampler.period:
            return f"frames up to {settled:g} s, of a source that has come to {pushed} s"
        if self.resampler.due is None or self.resampler.due <= settled:
            return f"frames up to {settled:g} s, and the next one of {self.resampler.due} s"
        return None

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

    topology: Topology
    labels: tuple[str, ...]
    window: Window
    config: EventConfig

    def __init__(self, topology: Topology, labels: tuple[str, ...], window: Window, recognising: Callable[[], LiveMode],
                 config: EventConfig, most: int) -> None:
        self.topology, self.labels, self.window, self.config = topology, labels, window, config
        self._recognising = recognising
        self.most = most
        self.arrivals: Arrivals = Arrivals(len(topology.joints))
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
        self.persons: dict[int, PersonState] = {}

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
            if jumped or taken.time - self.now > PATIENCE_S:  # nobody is known who was there before
                events += self._finish(self.now if jumped else taken.time)
                self.start_afresh()
            self.now = taken.time
            events += self._together(taken) if self.window.persons > 1 else self._each(taken)
        return events

    def finish(self) -> list[Event]:
        """The source has ended: the actions that were going on."""
        return self._finish(self.now)

    def _finish(self, time: float) -> list[Event]:
        return [event for person in self.persons.values() for event in person.finish(time)]

    def state_fields(self) -> dict[str, FieldType | None]:
        """See :mod:`edgeskel.runtime.snapshot`."""
        return {"arrivals": None, "tracks": None, "slots": None, "now": real()}

    def state_dict(self) -> dict[str, Any]:
        """Everything that is remembered, as plain values."""
        return {"all": state_dict(self), "persons": {who: state_dict(person) for who, person in self.persons.items()}}

    def load_state_dict(self, fields: Any) -> None:
        """Inverse of :meth:`state_dict`, after :meth:`start_afresh`.

        Raises:
            CorruptFile: something else than :meth:`state_dict` gives.
        """
        if not isinstance(fields, Mapping) or fields.keys() != {"all", "persons"}:
            raise CorruptFile("session state", "not what is remembered live", expected="what Session.save gave")
        load_state_dict(self, fields["all"])
        known = {0} if self.window.persons > 1 else self.tracks.trails.keys()
        if not isinstance(fields["persons"], Mapping) or not fields["persons"].keys() <= known:
            raise CorruptFile("session state", "persons whom nobody follows", expected=f"among {sorted(known)}")
        self.persons = {number: self._person(number) for number in fields["persons"]}
        for number, person in self.persons.items():
            load_state_dict(person, fields["persons"][number], f"state.person {number}")
        strange = self._contradiction()
        if strange is not None:
            raise CorruptFile("session state", strange, expected="fields that belong together")

    def _contradiction(self) -> str | None:
        """What the clock and the persons cannot be together, if they are that."""
        if self.arrivals.last is None:
            return "persons before the first frame" if self.persons or self.now else None
        if self.arrivals.last != self.now:
            return f"a frame of {self.arrivals.last:g} s, and the clock at {self.now:g} s"
        trails = [*self.tracks.trails.values(), *self.slots.trails.values()]
        times = [trail[-1][0] for trail in trails] + [person.resampler.latest for person in self.persons.values()]
        oldest = self.now - 2 * PATIENCE_S
        if any(time is not None and not oldest <= time <= self.now for time in times):
            return f"persons seen at other times than the {2 * PATIENCE_S:g} s before {self.now:g} s"
        return None

    def _each(self, frame: Frame) -> list[Event]:
        """Every person for himself."""
        events: list[Event] = []
        for number in self.tracks.gone(frame.time):
            events += self.persons.pop(number).finish(frame.time)
        for number, index in sorted(self.tracks.assign(frame).items()):
            if number not in self.persons:
                self.persons[number] = self._person(number)
            alone = Frame(frame.time, frame.joints[index : index + 1], frame.confidence[index : index + 1])
            events += self.persons[number].push(alone)
        return events

    def _together(self, frame: Frame) -> list[Event]:
        """The whole scene as one, for a recogniser that sees several persons at once."""
        placed, fresh = self.slots.assign(frame)
        if not self.persons:
            self.persons[0] = self._person(0)
        return self.persons[0].push(placed, fresh)

    def _person(self, number: int) -> PersonState:
        return PersonState(number, self.topology, self.window.rate_hz, self.labels, self._recognising(), self.config,
                     self.window.persons)

    def _checked(self, frame: Frame) -> Frame | None:
        """The frame with the values that claim to be seen and are none taken out; None where it is no frame at all."""
        joints, confidence = np.asarray(frame.joints), np.asarray(frame.confidence)
        size = len(self.topology.joints)
        if joints.ndim and len(joints) > MOST_PERSONS:
            self.refused[f"more than {MOST_PERSONS} persons"] += 1
            return None
        if joints.shape != (*confidence.shape, 3) or confidence.ndim != 2:
            self.refused["joints and confidence do not fit"] += 1
            return None
        if len(joints) and confidence.shape[1] != size:
            self.refused["another number of joints"] += 1
            return None
        near = (np.abs(joints) <= FARTHEST_M).all(axis=-1)  # false for NaN
        broken = ~(near & (confidence >= 0) & (confidence <= 1)) & (confidence != 0)
        if not broken.any():
            return frame
        far = broken & ~near & np.isfinite(joints).all(axis=-1)
        for reason, found in (("joint that is not finite", broken & ~far), ("joint more than 1000 km away", far)):
            if found.any():
                self.refused[reason] += int(found.sum())
        return replace(frame, joints=np.where(broken[..., None], np.float32(0), joints).astype(np.float32),
                       confidence=np.where(broken, np.float32(0), confidence).astype(np.float32))
