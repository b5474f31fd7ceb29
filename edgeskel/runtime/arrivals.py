"""Which of the frames that arrive are taken, by their time stamps: late, repeated and stray ones are refused, and a jump of
the clock is believed once a second frame confirms it."""

from __future__ import annotations

import math
from collections import Counter

from edgeskel.runtime.snapshot import FieldType, frame, optional, real, table, text, whole
from edgeskel.runtime.tracking import MOST_PERSONS
from edgeskel.skeleton import LATEST_S, Frame, unit_of, unit_of_step

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
    * A time that no clock in seconds shows (milliseconds since 1970, nanoseconds since the start) is refused, and the count
      says which unit it looks like.

    So one wild time stamp costs one frame, and neither an hour's pause nor a restarted source stops the recognition.

    Args:
        joints: V.
    """

    def __init__(self, joints: int) -> None:
        self._joints = joints
        self.last: float | None = None
        self.aside: Frame | None = None
        self.step: float = 0.0
        """Between the two latest frames that were put aside; one after the other in equal steps, they tell their unit."""
        self.refused: Counter[str] = Counter()

    def state_fields(self) -> dict[str, FieldType | None]:
        """See :mod:`edgeskel.runtime.snapshot`."""
        return {"last": optional(real()), "aside": optional(frame(None, self._joints, most=MOST_PERSONS)),
                "step": real(-2 * LATEST_S, 2 * LATEST_S), "refused": table(text(), whole(0), most=64)}

    def contradiction(self) -> str | None:
        """What the fields cannot be together, if they are that."""
        return "a frame was put aside before any was taken" if self.last is None and self.aside is not None else None

    def push(self, frame: Frame) -> list[tuple[Frame, bool]]:
        """Take a frame.

        Returns:
            the frames to go on with, each with whether the clock jumped before it.
        """
        if not math.isfinite(frame.time):
            self.refused["time is not a number"] += 1
            return []
        if abs(frame.time) > LATEST_S:
            self.refused[f"time looks like {unit_of(frame.time)}, not seconds"] += 1
            return []
        if self.last is None or self._follows(frame, self.last):
            if self.aside is not None:
                self.refused[_FAR] += 1
            self.last, self.aside, self.step = frame.time, None, 0.0
            return [(frame, False)]
        if self.aside is not None and self._follows(frame, self.aside.time):
            first, self.aside, self.step = self.aside, None, 0.0
            self.last = frame.time
            return [(first, True), (frame, False)]
        if abs(frame.time - self.last) <= GAP_S:
            self.refused["late or repeated"] += 1
            return []
        if self.aside is not None:
            step, before = frame.time - self.aside.time, self.step
            self.step = step
            steady = 0 < before / 3 < step < 3 * before
            self.refused[f"{_FAR} (as of frames in {unit_of_step(step)})" if steady else _FAR] += 1
        self.aside = frame
        return []

    @staticmethod
    def _follows(frame: Frame, time: float) -> bool:
        return time < frame.time <= time + GAP_S


_FAR = "time far from the others"
