"""Cuts demonstrations out of live frames: one stretch of motion between two of stillness is one performance.

Axes: M persons, T frames, V joints.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from edgeskel.runtime.live import Live
from edgeskel.runtime.motion import Segmenter, Stretch
from edgeskel.runtime.session import Session
from edgeskel.runtime.snapshot import FieldType
from edgeskel.skeleton import Clip, Frame

__all__ = ["DemonstrationSegmenter"]


class DemonstrationSegmenter:
    """Live frames in, clips of performances out.

    Frames are taken, and performances cut, as :meth:`edgeskel.runtime.Session.step` does with actions: what is learned begins and
    ends where it will be recognised to. One person is followed; a recogniser of several persons sees the scene.

    Args:
        session: whose clock, layout and way to cut are used. Its live frames are left alone.
        source: what the clips are said to come from.
    """

    source: str

    def __init__(self, session: Session, source: str) -> None:
        self.source = source
        self._ended: list[Stretch] = []
        self._live = Live(session.topology, session.labels, session.window, lambda: _Kept(self._ended), session.config, most=1)

    @property
    def moving(self) -> bool:
        """Whether a performance is under way."""
        return any(person.segmenter.moving for person in self._live.persons.values())

    @property
    def refused(self) -> Counter[str]:
        """What was not taken, counted by the reason, as in a session."""
        return self._live.refused

    def step(self, frame: Frame) -> list[Clip]:
        """Take a frame of any number of persons; the performance that it ends, mostly none."""
        self._live.step(frame)
        return self._clips()

    def finish(self) -> list[Clip]:
        """The source has ended: the performance that was under way, if it was long enough."""
        self._live.finish()
        return self._clips()

    def _clips(self) -> list[Clip]:
        ended = [self._clip(stretch) for stretch in self._ended]
        self._ended.clear()
        return ended

    def _clip(self, stretch: Stretch) -> Clip:
        joints = np.stack([frame.joints for frame in stretch.frames], axis=1)
        confidence = np.stack([frame.confidence for frame in stretch.frames], axis=1)
        time = np.array([frame.time for frame in stretch.frames])
        return Clip(joints, confidence, time, source=f"{self.source} at {stretch.start:.1f} s")


class _Kept:
    """Keeps the stretches in place of recognising them; see :class:`edgeskel.runtime.live_modes.LiveMode`."""

    def __init__(self, ended: list[Stretch]) -> None:
        self._ended = ended

    def state_fields(self) -> dict[str, FieldType | None]:
        return {}

    def push(self, frame: Frame, segmenter: Segmenter) -> None:
        return None

    def final(self, stretch: Stretch) -> None:
        self._ended.append(stretch)
