"""Live frames onto the recogniser's own clock.

A camera delivers 15, 30 or 60 frames per second, with jitter and pauses; a recogniser was trained at one rate. Each
frame that arrives settles the instants of a regular grid up to its time stamp: they are interpolated between it and
the frame before, or missing when the pause between the two was longer than the source's habit.

Axes: M persons, V joints.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from statistics import median

import numpy as np

from edgeskel.runtime.snapshot import FieldType, optional, real, several, whole
from edgeskel.runtime.snapshot import frame as frame_of
from edgeskel.skeleton import Clip, Float32, Frame
from edgeskel.window import who_acts

__all__ = ["Resampler", "paced"]

_LONGEST = 0.5
"""Seconds: a longer pause is a gap however slow the source is."""
_HABIT = 2.5
"""A pause of more than this many usual periods is a gap (one lost frame is interpolated, two are not)."""
_ROUNDING = 1e-4
"""Share of a period by which a time stamp may fall short of the grid and still count as on it."""


class Resampler:
    """Turns frames with time stamps into frames at ``rate_hz``.

    Args:
        rate_hz: of the grid; it starts at the first frame's time.
        size: (M, V), where they are known beforehand.
    """

    def __init__(self, rate_hz: float, size: tuple[int | None, int | None] = (None, None)) -> None:
        self._size = size
        self.period: float = 1 / rate_hz
        self._start: float | None = None
        self._count = 0  # grid instants given so far
        self._before: Frame | None = None
        self._pauses: deque[float] = deque(maxlen=15)

    def state_fields(self) -> dict[str, FieldType | None]:
        """See :mod:`edgeskel.runtime.snapshot`."""
        return {"_start": optional(real()), "_count": whole(0), "_before": optional(frame_of(*self._size)),
                "_pauses": several(real(0), 15)}

    def contradiction(self) -> str | None:
        """What the fields cannot be together, if they are that."""
        if self._start is None or self._before is None:
            nothing = self._start is None and self._before is None and not self._count
            return None if nothing else "a grid without a frame"
        assert self.due is not None
        ahead = self.due - self._before.time
        if not -2 * _LONGEST - self.period <= ahead <= 2 * self.period:  # behind only where an engine failed in a pause
            return f"the next instant of the grid {ahead:g} s after the latest frame"
        return None

    @property
    def due(self) -> float | None:
        """The next instant of the grid, in seconds; None before the first frame."""
        return None if self._start is None else self._start + self._count * self.period

    @property
    def latest(self) -> float | None:
        """Time of the latest frame that was pushed, in seconds."""
        return None if self._before is None else self._before.time

    def push(self, frame: Frame, replaced: np.ndarray[tuple[int], np.dtype[np.bool_]] | None = None) -> Iterator[Frame]:
        """Yield the grid's frames up to and including ``frame.time``.

        Args:
            frame: later than the one before; (M, V, 3) with a fixed M.
            replaced: (M,) True where the slot holds another person than before: the two are not interpolated.
        """
        before, self._before = self._before, frame
        if before is None or self._start is None:
            self._start = frame.time
            before = frame
        pause = frame.time - before.time
        if pause > 0:
            self._pauses.append(pause)
        usual = median(self._pauses) if self._pauses else self.period
        gap = pause > max(_HABIT * self.period, min(_HABIT * usual, _LONGEST))
        confidence_before = before.confidence
        if replaced is not None and replaced.any():
            confidence_before = np.where(replaced[:, None], np.float32(0), confidence_before)
        while (time := self._start + self._count * self.period) <= frame.time + _ROUNDING * self.period:
            self._count += 1
            share = 1.0 if pause <= 0 else min(max((time - before.time) / pause, 0.0), 1.0)
            if gap:
                nearest_before = time - before.time <= self.period / 2
                nearest_after = frame.time - time <= self.period / 2
                weights = (float(nearest_before), float(nearest_after and not nearest_before))
            else:
                weights = (1 - share, share)
            yield _mix(time, before.joints, confidence_before, frame, weights)


def paced(clip: Clip, rate_hz: float) -> Iterator[Frame]:
    """A clip at its own pace: the frames (1, V, 3), on the grid from its first one on, of the person who acts
    (:func:`edgeskel.window.who_acts`).

    Args:
        clip: (P, T, V, 3), any T and P.
        rate_hz: of the grid.
    """
    most = int(who_acts(clip.joints, clip.confidence, 1)[0])
    person = slice(most, most + 1)
    resampler = Resampler(rate_hz)
    for index, time in enumerate(clip.time.tolist()):
        yield from resampler.push(Frame(time, clip.joints[person, index], clip.confidence[person, index]))


def _mix(
    time: float, joints_before: Float32, confidence_before: Float32, after: Frame, weights: tuple[float, float]
) -> Frame:
    """A frame between two; a missing joint's value is never mixed in, and its absence lowers the confidence."""
    weight_before = np.float32(weights[0]) * confidence_before
    weight_after = np.float32(weights[1]) * after.confidence
    confidence = weight_before + weight_after
    scale = 1 / np.maximum(confidence, np.float32(1e-9))
    # A missing joint may hold anything, NaN included, so it is replaced before it is multiplied by 0.
    mixed = (
        np.where((weight_before > 0)[..., None], joints_before, 0) * (weight_before * scale)[..., None]
        + np.where((weight_after > 0)[..., None], after.joints, 0) * (weight_after * scale)[..., None]
    )
    return Frame(time, mixed.astype(np.float32), np.minimum(confidence, 1).astype(np.float32))
