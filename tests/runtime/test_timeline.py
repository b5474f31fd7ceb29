"""Live frames of any rate become the window that the recogniser was trained on."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel.runtime.timeline import Resampler
from edgeskel.skeleton import Frame

JOINTS = 5


def motion(times: np.ndarray) -> list[Frame]:
    """The same smooth motion, seen at ``times``."""
    phase = np.arange(JOINTS * 3).reshape(JOINTS, 3)
    return [
        Frame(float(t), np.sin(2 * np.pi * 0.5 * t + phase).astype(np.float32)[None], np.ones((1, JOINTS), np.float32))
        for t in times
    ]


def grid(frames: list[Frame], rate: float = 30.0) -> list[Frame]:
    resampler = Resampler(rate)
    return [settled for frame in frames for settled in resampler.push(frame)]


@given(
    rate=st.sampled_from([12.0, 15.0, 24.0, 25.0, 29.97, 30.0, 50.0, 60.0, 120.0]),
    jitter=st.floats(0, 0.3),
    start=st.floats(0, 1e6),
    seed=st.integers(0, 999),
)
@settings(max_examples=60)
def test_the_window_does_not_depend_on_the_rate(rate: float, jitter: float, start: float, seed: int) -> None:
    noise = np.random.default_rng(seed).uniform(-jitter / 2, jitter / 2, round(3 * rate))
    times = (np.arange(len(noise)) + noise) / rate
    times[0] = 0
    frames = motion(times)
    settled = grid([Frame(f.time + start, f.joints, f.confidence) for f in frames])
    assert abs(len(settled) - times[-1] * 30) <= 2
    truth = motion(np.arange(len(settled)) / 30)
    assert all(frame.confidence.min() > 0.999 for frame in settled)
    # Linear interpolation of a sine of 0.5 Hz at 12 frames per second with jitter errs by (period * omega)² / 8.
    worst = max(float(np.abs(a.joints - b.joints).max()) for a, b in zip(settled, truth, strict=True))
    assert worst < (np.pi * (1 + jitter) / rate) ** 2 / 8 + 2e-3


def test_a_lost_frame_is_interpolated_and_a_pause_is_missing() -> None:
    times = np.arange(60) / 30
    one_lost = grid(motion(np.delete(times, 20)))
    assert min(frame.confidence.min() for frame in one_lost) > 0.999
    paused = grid(motion(np.delete(times, slice(20, 30))))
    missing = [index for index, frame in enumerate(paused) if not frame.confidence.any()]
    assert missing == list(range(20, 30))


def test_a_missing_joint_keeps_its_neighbours_clean() -> None:
    frames = motion(np.arange(10) / 15)
    frames[4].confidence[0, 2] = 0
    frames[4].joints[0, 2] = np.nan
    settled = grid(frames)
    truth = motion(np.arange(len(settled)) / 30)
    for got, expected in zip(settled, truth, strict=True):
        seen = got.confidence > 0
        assert np.isfinite(got.joints).all()
        assert np.abs(got.joints - expected.joints)[seen].max() < 0.12  # the neighbour's value, held for half a step
    assert not settled[8].confidence[0, 2]
    assert 0 < settled[7].confidence[0, 2] < 1
