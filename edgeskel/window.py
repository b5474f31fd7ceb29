"""The fixed-size input of every graph, in numpy: what a phone, a Jetson and the training loader all feed.

Axes: M persons, T frames of the recording, S frames of the window, V joints.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["blank_missing", "fit_window"]

Float32 = NDArray[np.float32]


def blank_missing(joints: Float32, confidence: Float32) -> Float32:
    """``joints`` (..., V, 3) with 0 wherever ``confidence`` (..., V) is 0, so that a NaN in a missing joint cannot spread.

    The graph itself cannot do it: no delegate of ExecuTorch's has a selection, and NaN times 0 is NaN.
    """
    return np.where((confidence > 0)[..., None], joints, np.float32(0))


def fit_window(joints: Float32, confidence: Float32, persons: int, frames: int) -> tuple[Float32, Float32]:
    """Fit a recording of any length and any number of persons into one window.

    A shorter recording keeps its frames; the rest of the window has confidence 0, and the graph stretches what was
    seen over its own frames. A longer one is resampled linearly. With too many persons, those seen with the most
    confidence stay, in their order; absent ones have confidence 0. Values of missing joints become 0, so that a NaN
    in them cannot spread.

    Args:
        joints: (M, T, V, 3) metres.
        confidence: (M, T, V) in 0..1.
        persons: persons of the window.
        frames: S.

    Returns:
        joints (persons, S, V, 3) and confidence (persons, S, V), float32, newly allocated.
    """
    if joints.shape[0] > persons:
        most_seen = np.argsort(-confidence.sum(axis=(1, 2)), kind="stable")[:persons]
        joints, confidence = joints[np.sort(most_seen)], confidence[np.sort(most_seen)]
    if joints.shape[1] > frames:
        joints, confidence = _resample(joints, confidence, frames)
    fitted = np.zeros((persons, frames, *joints.shape[2:]), np.float32)
    fitted_confidence = np.zeros(fitted.shape[:3], np.float32)
    fitted[: joints.shape[0], : joints.shape[1]] = blank_missing(joints, confidence)
    fitted_confidence[: joints.shape[0], : joints.shape[1]] = confidence
    return fitted, fitted_confidence


def _resample(joints: Float32, confidence: Float32, frames: int) -> tuple[Float32, Float32]:
    """Linear resampling that never mixes a missing joint's value in: weights are scaled by confidence."""
    position = np.linspace(0, joints.shape[1] - 1, frames)
    before = np.minimum(position.astype(np.int64), joints.shape[1] - 2)
    share = (position - before).astype(np.float32)[None, :, None]
    weight_before, weight_after = (1 - share) * confidence[:, before], share * confidence[:, before + 1]
    total = weight_before + weight_after
    finite = blank_missing(joints, confidence)
    mixed = weight_before[..., None] * finite[:, before] + weight_after[..., None] * finite[:, before + 1]
    return (mixed / np.maximum(total, 1e-9)[..., None]).astype(np.float32), total.astype(np.float32)
