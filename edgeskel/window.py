"""The fixed-size input of every graph, in numpy: what a phone, a Jetson and the training loader all feed.

Axes: M persons, T frames of the recording, S frames of the window, V joints.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import InvalidClip
from edgeskel.skeleton import Topology

__all__ = ["activity", "blank_missing", "check_axes", "fit_window", "presence", "who_acts"]

Float32 = NDArray[np.float32]

MOST_PERSONS = 4  # in a clip of fewer frames than persons, more than so many are frames on the persons' axis
_SMOOTH = 5  # frames: what a sensor's noise is averaged over before motion is measured
_STANDING_M = 0.005  # what somebody who stands still sways: among still bodies the best seen one counts


def blank_missing(joints: Float32, confidence: Float32) -> Float32:
    """``joints`` (..., V, 3) with 0 wherever ``confidence`` (..., V) is 0, so that a NaN in a missing joint cannot spread.

    The graph itself cannot do it: no delegate of ExecuTorch's has a selection, and NaN times 0 is NaN.
    """
    return np.where((confidence > 0)[..., None], joints, np.float32(0))


def presence(confidence: Float32) -> NDArray[np.float64]:
    """(M,) mean confidence of each body over all frames and joints of (M, T, V): how much of it is seen, and how long."""
    return np.asarray(confidence.mean(axis=(1, 2), dtype=np.float64))


def activity(joints: Float32, confidence: Float32) -> NDArray[np.float64]:
    """How much each body moves: metres that its liveliest joints (a fifth of them) depart from their mean place.

    The root mean square over time of positions smoothed over five frames, so that a sensor's noise is no motion.

    Args:
        joints: (M, T, V, 3) metres.
        confidence: (M, T, V); joints at 0 do not count.

    Returns:
        (M,), 0 for a body that is hardly ever seen.
    """
    seen = confidence > 0
    span = _SMOOTH if joints.shape[1] >= 2 * _SMOOTH else 1
    counts, placed = _sums(seen.astype(np.float64), span), _sums(blank_missing(joints, confidence).astype(np.float64), span)
    usable = counts * 2 > span
    smooth = np.where(usable[..., None], placed / np.maximum(counts, 1)[..., None], 0.0)
    frames = np.maximum(usable.sum(axis=1), 1)  # M, V
    mean = smooth.sum(axis=1) / frames[..., None]
    apart = np.where(usable, ((smooth - mean[:, None]) ** 2).sum(axis=-1), 0.0)
    departure = np.sqrt(apart.sum(axis=1) / frames)
    liveliest = np.sort(departure, axis=1)[:, -max(1, departure.shape[1] // 5):]
    return np.asarray(liveliest.mean(axis=1))


def who_acts(joints: Float32, confidence: Float32, persons: int) -> NDArray[np.int64]:
    """The bodies that count where there are too many: who moves most, weighed with how much and how long each is seen.

    A phantom that a tracker sees all the time does not move; among bodies that all stand still, the best seen one counts.

    Args:
        joints: (M, T, V, 3) metres.
        confidence: (M, T, V).
        persons: how many to choose.

    Returns:
        their indices, in order.
    """
    weight = presence(confidence) * (activity(joints, confidence) + _STANDING_M)
    return np.sort(np.argsort(-weight, kind="stable")[:persons])


def _sums(values: NDArray[np.float64], span: int) -> NDArray[np.float64]:
    """Sums of ``span`` neighbours along the second axis."""
    total = np.cumsum(values, axis=1)
    return np.concatenate([total[:, span - 1 : span], total[:, span:] - total[:, :-span]], axis=1)


def check_axes(shape: Sequence[int], topology: Topology) -> None:
    """Refuse a clip whose axes stand in another order than persons, frames, joints, x y z.

    Args:
        shape: of the joints.
        topology: whose joints they should be.

    Raises:
        InvalidClip: the message says which axis is which.
    """
    size = len(topology.joints)
    expected = f"joints (persons, frames, {size}, 3): one axis for persons, even if there is one"
    if len(shape) == 3 and shape[1:] == (size, 3):
        raise InvalidClip(f"clip: joints of shape {tuple(shape)} are those of one person", expected=expected,
                          remedy="pass joints[None]")
    if len(shape) == 4 and sorted(shape[2:]) == sorted((3, size)) and shape[3] != 3:
        raise InvalidClip(f"clip: joints of shape {tuple(shape)} have x y z before the joints", expected=expected,
                          remedy="pass joints.swapaxes(2, 3)")
    if len(shape) == 4 and shape[2:] == (size, 3) and shape[0] > max(MOST_PERSONS, shape[1]):
        raise InvalidClip(f"clip: joints of shape {tuple(shape)} would be {shape[0]} persons in {shape[1]} frames",
                          expected=expected, remedy="pass joints.swapaxes(0, 1), if frames come first")


def fit_window(joints: Float32, confidence: Float32, persons: int, frames: int) -> tuple[Float32, Float32]:
    """Fit a recording of any length and any number of persons into one window.

    A shorter recording keeps its frames; the rest of the window has confidence 0, and the graph stretches what was
    seen over its own frames. A longer one is resampled linearly. With too many persons, those who act stay, in their
    order (:func:`who_acts`); absent ones have confidence 0. Values of missing joints become 0, so that a NaN in them
    cannot spread.

    Args:
        joints: (M, T, V, 3) metres.
        confidence: (M, T, V) in 0..1.
        persons: persons of the window.
        frames: S.

    Returns:
        joints (persons, S, V, 3) and confidence (persons, S, V), float32, newly allocated.
    """
    if joints.shape[0] > persons:
        acting = who_acts(joints, confidence, persons)
        joints, confidence = joints[acting], confidence[acting]
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
