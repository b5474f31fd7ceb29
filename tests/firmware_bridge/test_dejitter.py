"""Readings counted at the fitted period: jitter, losses, other rates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.dejitter import Dejitter


def _counted(stamps: np.ndarray, **more: float) -> tuple[Dejitter, int, list[float]]:
    """The follower after all stamps, the periods that it found between the first and the last, and its times."""
    first = int(np.searchsorted(stamps, stamps[0] + 1)) + 1
    pace = Dejitter.learn(stamps[:first].tolist(), **more)
    periods, times = -1, []
    for stamp in stamps.tolist():
        periods += pace.push(stamp)
        if pace.found is not None:
            periods += round(pace.found.seconds / pace.period)
        times.append(pace.time)
    return pace, periods, times


@pytest.mark.parametrize("rate", [50.0, 100.0, 200.0])
@pytest.mark.parametrize("jitter", [0.002, 0.005, 0.01])
@pytest.mark.parametrize("kind", ["normal", "uniform", "sorted", "late"])
def test_jitter_is_no_loss_and_comes_off_the_times(rate: float, jitter: float, kind: str) -> None:
    rng = np.random.default_rng([1, int(rate), int(1e4 * jitter)])
    true = np.arange(int(40 * rate)) / rate
    noise = (rng.normal(0, jitter, len(true)) if kind in ("normal", "sorted") else
             rng.uniform(0 if kind == "late" else -jitter, jitter, len(true)))
    stamps = true + noise
    if kind in ("sorted", "late"):
        stamps = np.sort(stamps) if kind == "sorted" else np.maximum.accumulate(stamps)
    pace, periods, times = _counted(stamps)
    assert periods == len(true) - 1
    assert pace.period == pytest.approx(1 / rate, rel=5e-4)
    off = (np.array(times) - true)[len(true) // 2:]
    assert off.std() < 0.25 * np.std(stamps - true)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(20, 400), st.floats(0, 0.1), st.floats(0, 0.2))
def test_losses_are_exact_where_jitter_is_a_fraction_of_the_period(seed: int, rate: float, jitter: float, loss: float) -> None:
    rng = np.random.default_rng(seed)
    kept = np.flatnonzero((rng.random(int(30 * rate)) >= loss) | (np.arange(int(30 * rate)) < 1.5 * rate))
    stamps = kept / rate + rng.uniform(-jitter, jitter, len(kept)) / rate
    _, periods, _ = _counted(stamps)
    assert periods == kept[-1] - kept[0]


@pytest.mark.parametrize("jitter", [0.005, 0.01])
@pytest.mark.parametrize("loss", [0.005, 0.02])
def test_losses_that_jitter_hides_are_found_later_or_make_periods_longer(jitter: float, loss: float) -> None:
    rng = np.random.default_rng(3)
    kept = np.flatnonzero((rng.random(12_000) >= loss) | (np.arange(12_000) < 150))
    stamps = kept / 100 + rng.normal(0, jitter, len(kept))
    pace = Dejitter.learn(stamps[:101].tolist())
    passed, found = 0.0, 0
    for stamp in stamps.tolist():
        count = pace.push(stamp)
        passed += count * pace.step + (pace.found.seconds if pace.found else 0.0)
        found += count - 1 + (round(pace.found.seconds / pace.period) if pace.found else 0)
    assert passed == pytest.approx(119.99, rel=1e-3)  # none is lost to what was turned
    if jitter < 0.01:
        assert found == pytest.approx(12_000 - len(kept), rel=0.02)


@pytest.mark.parametrize("rate", [99.7, 101.0, 104.0, 112.5])
def test_what_the_first_second_has_taught_is_believed_no_more_than_a_line_through_all_stamps(rate: float) -> None:
    for seed in range(12):
        stamps = np.arange(round(6 * rate)) / rate + np.random.default_rng([3, seed]).normal(0, 0.01, round(6 * rate))
        pace = Dejitter.learn(stamps[:round(rate) + 1].tolist())
        for stamp in stamps.tolist():
            pace.push(stamp)
        assert pace.period == pytest.approx(np.polyfit(np.arange(len(stamps)), stamps, 1)[0], rel=3e-4)


@pytest.mark.parametrize("rate", [49.5, 60.0, 99.7, 100.0, 101.0, 104.0])
def test_a_device_beside_its_likely_rate_is_believed_as_soon_as_its_stamps_tell(rate: float) -> None:
    for seed in range(5):
        stamps = np.arange(round(5 * rate)) / rate + np.random.default_rng([2, seed]).normal(0, 0.01, round(5 * rate))
        pace = Dejitter.learn(stamps[:round(rate)].tolist())
        counted = [pace.push(stamp) * pace.step for stamp in stamps.tolist()]
        assert sum(counted[1:]) == pytest.approx(stamps[-1] - stamps[0], abs=0.05)
        assert pace.step == pytest.approx(1 / rate, rel=2e-3)


@pytest.mark.parametrize("missing", [5, 10, 20])
def test_a_gap_is_seen_at_once_and_to_the_reading(missing: int) -> None:
    pace = Dejitter.learn([k / 100 for k in range(101)])
    for k in range(300):
        pace.push(k / 100)
    assert pace.push((299 + missing + 1) / 100) == missing + 1


def test_a_counter_tells_what_jitter_hides() -> None:
    rng = np.random.default_rng(4)
    stamps = np.arange(3000) / 100 + rng.normal(0, 0.01, 3000)
    pace = Dejitter.learn(stamps[:101].tolist())
    found = []
    for k in range(3000):
        if k < 200 or k % 40:
            found.append(pace.push(float(stamps[k]), sequence=k % 256))
    assert found.count(2) >= 0.9 * 70 and sum(found) - 1 == pytest.approx(2999, abs=2)


@pytest.mark.parametrize(("first", "then"), [(100, 50), (50, 100), (100, 125), (200, 60)])
def test_a_rate_that_changes_is_followed_within_a_block(first: float, then: float) -> None:
    stamps = np.concatenate([np.arange(300) / first, 300 / first + np.arange(1, 600) / then])
    pace, _, times = _counted(stamps)
    assert pace.period == pytest.approx(1 / then, rel=1e-3)
    assert np.abs(np.array(times) - stamps)[350:].max() < 0.1 / then


def test_a_rate_that_drifts_is_followed() -> None:
    rng = np.random.default_rng(5)
    periods = 0.01 * (1 + 0.01 * np.sin(np.arange(18_000) / 18_000 * 2 * np.pi))
    true = np.cumsum(periods)
    _, counted, _ = _counted(true + rng.normal(0, 0.002, len(true)))
    assert counted == len(true) - 1


def test_a_nominal_rate_tells_of_losses_from_the_beginning() -> None:
    rng = np.random.default_rng(6)
    kept = np.flatnonzero(rng.random(3000) >= 0.3)
    pace, periods, _ = _counted(kept / 99.5, nominal_s=0.01)
    assert periods == kept[-1] - kept[0] and pace.period == pytest.approx(1 / 99.5, rel=1e-3)


def test_stamps_to_the_millisecond_are_jitter_like_any_other() -> None:
    true = np.arange(6000) / 285.71
    pace, periods, _ = _counted(np.round(true, 3))
    assert periods == len(true) - 1 and pace.period == pytest.approx(1 / 285.71, rel=2e-4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60))
def test_no_stamps_upset_it(stamps: list[float]) -> None:
    pace = Dejitter.learn(stamps)
    for stamp in stamps:
        assert pace.push(stamp) >= 0
        assert np.isfinite(pace.time)
