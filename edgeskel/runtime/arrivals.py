"""Which of the frames that arrive are taken, by their time stamps: late, repeated and stray ones are refused, and a jump of
the clock is believed once a second frame confirms it."""

from __future__ import annotations

import math
from collections import Counter

from edgeskel.skeleton import Frame

__all__ = ["GAP_S", "Arrivals"]

GAP_S = 5.0
"""Seconds between two frames after which nothing before counts any more: longer than a window."""


class Arrivals:
    """Sorts frames by their time.

    * A frame up to :data:`GAP_S` after the last one is taken.
    * One that is not later than the last one, by less than :data:`GAP_S`, is late or repeated: refused.
    * One further away, in the future or in the past, is put aside. If the next frame follows it, the source has paused or has
      started its clock anew: both are taken, and everything starts afresh. If the next one follows the last one taken, it was
      a stray: refused.

    So one wild time stamp costs one frame, and neither an hour's pause nor a restarted source stops the recognition.
    """

    REMEMBERS = ("last", "aside", "refused")

    def __init__(self) -> None:
        self.last: float | None = None
        self.aside: Frame | None = None
        self.refused: Counter[str] = Counter()

    def push(self, frame: Frame) -> list[tuple[Frame, bool]]:
        """Take a frame.

        Returns:
            the frames to go on with, each with whether the clock jumped before it.
        """
        if not math.isfinite(frame.time):
            self.refused["time is not a number"] += 1
            return []
        if self.last is None or self._follows(frame, self.last):
            if self.aside is not None:
                self.refused["time far from the others"] += 1
            self.last, self.aside = frame.time, None
            return [(frame, False)]
        if self.aside is not None and self._follows(frame, self.aside.time):
            first, self.aside = self.aside, None
            self.last = frame.time
            return [(first, True), (frame, False)]
        if abs(frame.time - self.last) <= GAP_S:
            self.refused["late or repeated"] += 1
            return []
        if self.aside is not None:
            self.refused["time far from the others"] += 1
        self.aside = frame
        return []

    @staticmethod
    def _follows(frame: Frame, time: float) -> bool:
        return time < frame.time <= time + GAP_S
