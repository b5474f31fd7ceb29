"""Changes of a clip that leave the action what it is: cut at the ends, with rest around it, slower or faster in parts, smaller or
larger. How far they move an embedding says which of its directions tell no actions apart.

Axes: M persons, T frames, V joints.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.skeleton import Clip, Float32

__all__ = ["changed"]

CUTS = ((0.12, 0.88), (0.0, 0.82), (0.18, 1.0))
"""Shares of the clip at which it begins and ends."""
REST_S = 0.3
"""Seconds of standing still before and after, as live recognition keeps them."""
UNEVEN = (0.1, -0.1)
"""Share of the clip by which its middle comes sooner or later."""
SIZES = (0.85, 1.2)
"""Of the motion about each joint's mean place."""


def changed(clip: Clip) -> list[Clip]:
    """Eight changes of a clip of at least two frames, always the same ones."""
    progress = np.linspace(0, 1, clip.frames)
    bump = np.sin(np.pi * progress) ** 2
    cuts = [_at(clip, np.linspace(start, end, max(2, round(clip.frames * (end - start))))) for start, end in CUTS]
    uneven = [_at(clip, progress + share * bump) for share in UNEVEN]
    seen = (clip.confidence > 0)[..., None]  # (M, T, V, 1)
    middle = (clip.joints * seen).sum(1, keepdims=True) / np.maximum(seen.sum(1, keepdims=True), 1)
    sizes = [_made(clip, np.where(seen, middle + size * (clip.joints - middle), 0), clip.confidence) for size in SIZES]
    return [*cuts, _rested(clip), *uneven, *sizes]


def _rested(clip: Clip) -> Clip:
    frames = max(1, round(REST_S / _interval(clip)))

    def padded(values: Float32) -> Float32:
        return np.concatenate([np.repeat(values[:, :1], frames, 1), values, np.repeat(values[:, -1:], frames, 1)], 1)

    return _made(clip, padded(clip.joints), padded(clip.confidence))


def _at(clip: Clip, progress: NDArray[np.float64]) -> Clip:
    """The clip at some shares of its course; a joint that is missing on either side of one is missing there."""
    place = np.clip(progress, 0, 1) * (clip.frames - 1)
    before = np.minimum(place.astype(np.int64), clip.frames - 2)
    share = (place - before).astype(np.float32)[None, :, None]
    joints = (1 - share)[..., None] * clip.joints[:, before] + share[..., None] * clip.joints[:, before + 1]
    confidence = np.minimum(clip.confidence[:, before], clip.confidence[:, before + 1])
    return _made(clip, np.where((confidence > 0)[..., None], joints, 0), confidence)


def _made(clip: Clip, joints: NDArray[Any], confidence: Float32) -> Clip:
    time = np.arange(joints.shape[1], dtype=np.float64) * _interval(clip)
    return Clip(joints.astype(np.float32), confidence.astype(np.float32), time, label=clip.label)


def _interval(clip: Clip) -> float:
    return float(np.median(np.diff(clip.time)))
