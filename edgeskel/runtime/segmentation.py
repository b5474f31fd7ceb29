"""How live frames are cut into actions, learned from a recogniser's own training clips: how fast they move, how long they last and
how long they pause. Where nothing was learned, or the clips are as brisk as most, the defaults of
:class:`~edgeskel.runtime.motion.SegmenterConfig` hold.

``segmenter.json`` beside the weights, and ``segmenter`` in the manifest, hold ``start``, ``stop``, ``still_s``, ``longest_s``,
``shortest_s`` and ``margin_s``.

Axes: M persons, T frames, V joints.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import CorruptFile
from edgeskel.runtime.motion import MotionEnergy, SegmenterConfig
from edgeskel.runtime.timeline import paced
from edgeskel.skeleton import Clip, Topology

__all__ = ["SEGMENTER", "energies", "learned", "read_segmenter", "segmenter_entry", "segmenter_of"]

SEGMENTER = "segmenter.json"
"""File of a checkpoint folder."""
RANGES = {"start": (0.05, 10.0), "stop": (0.02, 5.0), "still_s": (0.1, 3.0), "longest_s": (1.0, 60.0),
          "shortest_s": (0.1, 3.0), "margin_s": (0.0, 3.0)}
"""What may be learned, and between which values it makes sense."""
_LONGEST_CLIP_S = 600.0
_SLOWEST, _OF_PEAK = 0.3, 0.4
"""An action begins at 0.4 of the peak that nine of ten training clips reach, and never under 0.3 torso lengths per second."""
_MOST_STILL_S, _MARGIN_S = 2.0, 0.1
_MOST_LONG_S, _LONGER = 30.0, 1.25
_LEAST_SHORT_S, _SHORTER = 0.25, 0.8
_SHARE = 0.95
"""Of the training clips, that are not to be cut: the pauses and lengths of the others are taken for mistakes of cutting them."""
_REST_S = 1.0
"""Seconds of standing still put before and after a clip, as a stream has them: motion is only seen against what was before."""


def energies(clip: Clip, topology: Topology, rate_hz: float) -> NDArray[np.float64]:
    """Motion of a clip at its own pace, frame by frame at ``rate_hz``, as a session judges it, with :data:`_REST_S` of standing
    still before and after; empty for a clip whose time is no recording's."""
    if clip.time[-1] - clip.time[0] > _LONGEST_CLIP_S:
        return np.zeros(0)
    motion, frames = MotionEnergy(topology, rate_hz), list(paced(clip, rate_hz))
    rest = round(_REST_S * rate_hz)
    return np.array([motion.push(frame) for frame in (*rest * frames[:1], *frames, *rest * frames[-1:])])


def learned(clips: Iterable[NDArray[np.float64]], rate_hz: float) -> SegmenterConfig:
    """What cuts few of these clips in two.

    * ``start`` falls where the clips are slow, down to 0.3, and ``stop`` with it.
    * ``still_s`` outlasts the pauses inside 95 % of the clips, up to 2 s. It is what two actions must be apart.
    * ``longest_s`` outlasts 95 % of the clips, up to 30 s.
    * ``shortest_s`` lets 95 % of the clips pass, down to 0.25 s.
    * ``margin_s`` is what clips have on either side of their motion: one that was cut closely is recognised as closely cut.

    Otherwise none becomes more eager to cut than the defaults.

    Args:
        clips: of each its :func:`energies`.
        rate_hz: of the energies.
    """
    default, rest = SegmenterConfig(), 2 * round(_REST_S * rate_hz)
    moving = [clip for clip in clips if len(clip) and clip.max() > 0]
    if not moving:
        return default
    peak = float(np.quantile([clip.max() for clip in moving], 0.1))
    start = min(default.start, max(_SLOWEST, _OF_PEAK * peak))
    stop = default.stop * start / default.start
    lengths, pauses, margins = [], [], []
    for clip in moving:
        times = np.flatnonzero(clip > stop) / rate_hz
        times = times[times >= np.argmax(clip > start) / rate_hz] if (clip > start).any() else times[:0]
        if len(times):
            lengths.append(times[-1] - times[0])
            margins.append(((len(clip) - 1 - rest) / rate_hz - lengths[-1]) / 2)
            pauses.append(float(np.diff(times).max(initial=0.0)))
    if not lengths:
        return default
    still = min(_MOST_STILL_S, float(np.quantile(pauses, _SHARE)) + _MARGIN_S)
    longest = min(_MOST_LONG_S, _LONGER * float(np.quantile(lengths, _SHARE)))
    shortest = max(_LEAST_SHORT_S, _SHORTER * float(np.quantile(lengths, 1 - _SHARE)))
    margin = max(0.0, float(np.median(margins)))
    return replace(default, start=round(start, 3), stop=round(stop, 3), still_s=round(max(default.still_s, still), 2),
                   longest_s=round(max(default.longest_s, longest), 1), shortest_s=round(min(default.shortest_s, shortest), 2),
                   margin_s=round(min(default.margin_s, margin), 2))


def segmenter_entry(config: SegmenterConfig) -> dict[str, float]:
    """What is written of it."""
    return {name: getattr(config, name) for name in RANGES}


def segmenter_of(entry: Mapping[str, Any]) -> SegmenterConfig:
    """The manifest's entry ``segmenter``; what it leaves out is as by default. Raises ``TypeError`` or ``ValueError`` where it is
    none."""
    for name, value in entry.items():
        if name not in {field.name for field in fields(SegmenterConfig)} & RANGES.keys():
            continue  # of a later version
        low, high = RANGES[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"segmenter: {name} is {value!r}")
        if not low <= value <= high:
            raise ValueError(f"segmenter: {name} is {value:g}, expected {low:g} to {high:g}")
    found = SegmenterConfig(**{name: float(entry[name]) for name in RANGES if name in entry})
    if found.stop > found.start:
        raise ValueError(f"segmenter: it stops at {found.stop:g} and starts at {found.start:g}")
    return found


def read_segmenter(folder: str | Path) -> SegmenterConfig:
    """``segmenter.json`` of a checkpoint folder, the defaults where there is none.

    Raises:
        CorruptFile: it is not what it should be.
    """
    path = Path(folder) / SEGMENTER
    if not path.is_file():
        return SegmenterConfig()
    try:
        return segmenter_of(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CorruptFile(path, f"unreadable ({error})", expected=", ".join(RANGES), remedy="delete it to go without") from error
