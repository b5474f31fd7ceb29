"""Cuts demonstrations out of live frames: one stretch of motion between two of stillness is one performance.

Axes: M persons, T frames, V joints.
"""

from __future__ import annotations

import numpy as np

from edgeskel.runtime.motion import Segmenter, Stretch
from edgeskel.runtime.session import Session
from edgeskel.skeleton import Clip, Frame

__all__ = ["Enrolment"]


class Enrolment:
    """Live frames in, clips of performances out.

    Args:
        session: settles the frames; its live state is used.
        source: what the clips are said to come from.
    """

    session: Session
    source: str

    def __init__(self, session: Session, source: str) -> None:
        self.session, self.source = session, source
        session.reset()
        self._segmenter = Segmenter(session.topology, session.window.rate_hz)

    @property
    def moving(self) -> bool:
        """Whether a performance is under way."""
        return self._segmenter.moving

    def push(self, frame: Frame) -> Clip | None:
        """Take a frame; the performance that it ends, if it ends one. Errors as :meth:`Session.push`."""
        ended = None
        for settled in self.session.settle(frame):
            ended = self._segmenter.push(settled) or ended
        return None if ended is None else self._clip(ended)

    def finish(self) -> Clip | None:
        """The source has ended: the performance that was under way, if it was long enough."""
        ended = self._segmenter.finish()
        return None if ended is None else self._clip(ended)

    def _clip(self, stretch: Stretch) -> Clip:
        joints = np.stack([frame.joints for frame in stretch.frames], axis=1)
        confidence = np.stack([frame.confidence for frame in stretch.frames], axis=1)
        time = np.array([frame.time for frame in stretch.frames])
        return Clip(joints, confidence, time, source=f"{self.source} at {stretch.start:.1f} s")
