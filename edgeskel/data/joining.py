"""Several clips as one recording, one after the other.

Axes: M persons, T frames, V joints.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeskel.errors import InvalidClip, UsageError
from edgeskel.skeleton import Clip, Float32, Float64

__all__ = ["join"]


def join(clips: Sequence[Clip], rate_hz: float, *, gap_s: float = 0.0,
         still: bool = False) -> tuple[Float32, Float32, Float64, tuple[tuple[float, float, str], ...]]:
    """Put clips of one layout on one clock that starts at 0.

    Args:
        clips: at least one; the recording has as many persons as the clip with most, absent ones are missing.
        rate_hz: frames per second of the step from one clip to the next, and of a gap's frames.
        gap_s: seconds between two clips.
        still: whether the persons are seen in a gap, standing as they did last; else nobody is.

    Returns:
        joints (M, T, V, 3) metres, confidence (M, T, V), time (T,) seconds, and (start, end, label) of each clip.

    Raises:
        UsageError: no clip, or a negative gap.
        InvalidClip: clips with different numbers of joints.
    """
    if not clips or not gap_s >= 0:
        raise UsageError(f"{len(clips)} clips, {gap_s} s between them", expected="one or more, 0 s or more")
    if len({clip.joints.shape[2] for clip in clips}) > 1:
        raise InvalidClip("clips with different numbers of joints", expected="clips of one store")
    step = 1 / rate_hz
    persons = max(clip.joints.shape[0] for clip in clips)
    blank = round(gap_s * rate_hz)
    positions: list[Float32] = []
    trust: list[Float32] = []
    time, spans = [], []
    now = 0.0
    for number, clip in enumerate(clips):
        if number:
            positions.append(np.repeat(positions[-1][:, -1:], blank, axis=1))
            trust.append(np.repeat(trust[-1][:, -1:] * np.float32(still), blank, axis=1))
            time.append(now + step * np.arange(blank))
            now += step * blank
        absent = persons - clip.joints.shape[0]
        positions.append(np.pad(clip.joints, ((0, absent), (0, 0), (0, 0), (0, 0))))
        trust.append(np.pad(clip.confidence, ((0, absent), (0, 0), (0, 0))))
        time.append(now + clip.time - clip.time[0])
        spans.append((float(now), float(time[-1][-1]), clip.label))
        now = float(time[-1][-1]) + step
    return np.concatenate(positions, 1), np.concatenate(trust, 1), np.concatenate(time), tuple(spans)
