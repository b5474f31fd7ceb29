"""Time stamps, losses and gaps as they are in the field, made in BROAD's recordings: what they cost the orientation.

Every case is put through :class:`~firmware_bridge.orientation.Orientation` (with :class:`~firmware_bridge.clock.Clock` where
there is no clock) and compared with VQF on the same readings, all there and at their true times. Axes: N readings.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeskel.geometry import conjugate, multiply
from firmware_bridge.clock import Clock
from firmware_bridge.orientation import UPS, Orientation, OrientationSettings
from firmware_bridge.samples import Reading
from tests.datasets import datasets
from tests.firmware_bridge.broad import read_trial

Float64 = NDArray[np.float64]

FAST = ("06_undisturbed_fast_rotation_A", "21_undisturbed_fast_combined")
ALL = (*FAST, "16_undisturbed_fast_translation_B", "25_disturbed_tapping_B", "28_disturbed_stationary_magnet_A",
       "33_disturbed_attached_magnet_2cm")
QUICK = (*FAST, "33_disturbed_attached_magnet_2cm")
GAPS_S = (0.05, 0.1, 0.15, 0.2, 0.25)


class Motion:
    """A recording at a given rate.

    Args:
        gyroscope, acceleration: (N, 3) rad/s and m/s², sensor axes.
        rate_hz: of the readings.
    """

    def __init__(self, gyroscope: Float64, acceleration: Float64, rate_hz: float) -> None:
        from importlib import import_module

        self.rate_hz = rate_hz
        self.gyroscope, self.acceleration = np.ascontiguousarray(gyroscope), np.ascontiguousarray(acceleration)
        self.readings = [Reading(angular_velocity=(a, b, c), acceleration=(d, e, f))
                         for (a, b, c), (d, e, f) in zip(self.gyroscope.tolist(), self.acceleration.tolist(), strict=True)]
        self.time = np.arange(len(gyroscope)) / rate_hz
        """(N,) seconds."""
        whole: Float64 = import_module("vqf").VQF(1 / rate_hz).updateBatch(self.gyroscope, self.acceleration)["quat6D"]
        self.reference = multiply(np.array(UPS["+z"]), whole)
        """(N, 4) VQF on all readings at the nominal rate."""


def motion(trial: str, rate_hz: float, seconds: float, *, folder: Path | None = None) -> Motion:
    """A part of a trial of BROAD, from the first movement on, brought to a rate by interpolation."""
    data = read_trial((folder or datasets() / "broad" / "data_mat") / f"{trial}.mat")
    own = np.arange(len(data["imu_gyr"])) / float(data["sampling_rate"])
    begin_s = own[int(np.argmax(data["movement"]))]
    at = np.arange(begin_s, min(begin_s + seconds, own[-1]), 1 / rate_hz)
    gyroscope, acceleration = (np.stack([np.interp(at, own, data[name][:, axis]) for axis in range(3)], axis=-1)
                               for name in ("imu_gyr", "imu_acc"))
    return Motion(gyroscope, acceleration, rate_hz)


def tilt_deg(estimated: Float64, reference: Float64) -> Float64:
    """(N,) degrees between the verticals of two orientations, (N, 4) each."""
    error = multiply(estimated, conjugate(reference))
    return np.asarray(np.degrees(2 * np.arcsin(np.clip(np.hypot(error[:, 1], error[:, 3]), 0, 1))), dtype=np.float64)


def estimate(recorded: Motion, stamps: Float64, kept: Sequence[int], *, arrival: bool = False,
             rate_hz: float | None = None) -> tuple[Float64, NDArray[np.int64], NDArray[np.int64]]:
    """Push some readings one by one.

    Args:
        recorded: where they are from.
        stamps: (N,) seconds, of all readings.
        kept: which are pushed, in order.
        arrival: the stamps are of arrival at the host, of a device without a clock.
        rate_hz: nominal rate, if it is said.

    Returns:
        (K, 4) orientations, (K,) the reading that each belongs to (the last pushed, as all that come are given here), (K,) epochs.
    """
    orientation = Orientation(OrientationSettings("6-axis", rate_hz=rate_hz), name="broad")
    clock = Clock(rate_hz=rate_hz) if arrival else None
    found: list[tuple[float, float, float, float]] = []
    whose: list[int] = []
    epochs: list[int] = []
    waiting: list[int] = []
    for number in kept:
        reading, time = recorded.readings[number], float(stamps[number])
        if clock is not None:
            time = clock.push(reading, round((time + 100) * 1e9)).time
        waiting.append(number)
        oriented = orientation.push(reading, time)
        if oriented:
            found += [one.quaternion for one in oriented]
            epochs += [one.epoch for one in oriented]
            whose += waiting[-len(oriented):]
            waiting = []
    return np.array(found), np.array(whose), np.array(epochs)


def jitter_errors_deg(recorded: Motion, jitter_s: float, seed: int, *, arrival: bool = False, loss: float = 0.0,
                      rate_hz: float | None = None) -> Float64:
    """(K,) degrees of tilt beyond VQF at the nominal rate, after the first two seconds.

    Args:
        recorded: the motion.
        jitter_s: standard deviation of the stamps (normal); of arrivals the greatest delay (uniform, in order).
        seed: of jitter and losses.
        arrival: the device has no clock, and the jitter is of arrival.
        loss: share of the readings that do not arrive.
        rate_hz: nominal rate, if it is said.
    """
    rng = np.random.default_rng([3, seed])
    count = len(recorded.time)
    if arrival:
        stamps = np.maximum.accumulate(recorded.time + rng.uniform(0, jitter_s, count))
    else:
        stamps = recorded.time + rng.normal(0, jitter_s, count)
    kept = np.flatnonzero((rng.random(count) >= loss) | (recorded.time < 1.5))
    found, whose, _ = estimate(recorded, stamps, kept.tolist(), arrival=arrival, rate_hz=rate_hz)
    settled = recorded.time[whose] >= 2
    return tilt_deg(found[settled], recorded.reference[whose[settled]])


def gap_errors_deg(recorded: Motion, gap_s: float, every_s: float, seed: int) -> tuple[Float64, Float64, float]:
    """Gaps of one length in a recording with exact stamps.

    Returns:
        (G,) degrees: the greatest tilt error beyond VQF within half a second after each gap that was bridged without a word
        (the epoch goes on); (H,) the error half a second to a second after those that were marked; and the share of the marked.
    """
    rng = np.random.default_rng([5, seed])
    begins = np.arange(3.0, recorded.time[-1] - 2, every_s) + rng.uniform(0, 0.3 * every_s)
    lost = np.zeros(len(recorded.time), dtype=bool)
    for begin in begins:
        lost |= (recorded.time >= begin) & (recorded.time < begin + gap_s - 0.5 / recorded.rate_hz)
    found, whose, epochs = estimate(recorded, recorded.time, np.flatnonzero(~lost).tolist())
    error = tilt_deg(found, recorded.reference[whose])
    time = recorded.time[whose]
    bridged: list[float] = []
    marked: list[float] = []
    for begin in begins:
        before = int(np.searchsorted(time, begin)) - 1
        if epochs[before + 1] == epochs[before]:
            after = (time > begin) & (time < begin + gap_s + 0.5)
            bridged.append(max(0.0, float(error[after].max()) - float(error[before])))
        else:
            marked.append(float(error[(time > begin + gap_s + 0.5) & (time < begin + gap_s + 1)].mean()))
    return np.array(bridged), np.array(marked), len(marked) / len(begins)


def rms(errors: Float64) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def greatest(errors: Sequence[Float64]) -> float:
    return max(float(one.max()) for one in errors)
