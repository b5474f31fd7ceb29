"""A reading's time on the host's clock: over a modelled radio, across wraps, reboots, losses and stalls."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.clock import WINDOW_S, Clock, LowerHull
from firmware_bridge.samples import Flags, Reading
from tests.firmware_bridge.clock_errors import errors_ms, wander


@pytest.mark.parametrize("ppm", [-100, 0, 100])
def test_the_error_over_a_modelled_radio_is_small_whatever_the_drift(ppm: float) -> None:
    true, error = errors_ms(lambda t: t * (1 + ppm * 1e-6), interval=0.015, error_rate=0.1, seconds=150, seed=50)
    settled = error[true > 30]
    assert settled.std() < 2
    assert np.percentile(np.abs(settled), 99) < 4


def test_a_crystal_that_warms_up_is_followed() -> None:
    true, error = errors_ms(wander, interval=0.015, error_rate=0.1, seconds=300, seed=51)
    assert np.percentile(np.abs(error[true > 30]), 99) < 4


def test_a_reboot_begins_a_new_epoch_and_is_locked_within_five_seconds() -> None:
    true, error = errors_ms(lambda t: t, interval=0.015, error_rate=0.1, seconds=60, seed=52, reboot_at=40)
    assert np.abs(error[true > 46]).max() < 4


def _pushed(clock: Clock, device: list[float], host: list[float], **more: object) -> list[tuple[float, int]]:
    return [clock.push(Reading(device_us=round(d * 1e6)), round(h * 1e9)) for d, h in zip(device, host, strict=True)]


@pytest.mark.parametrize(("bits", "tick_us"), [(16, 1000.0), (32, 1.0), (24, 39.0625)])
def test_times_run_on_across_a_wrap(bits: int, tick_us: float) -> None:
    wrap = 2**bits * tick_us * 1e-6
    true = np.arange(0, 3.0, 0.01)
    device = (true + wrap - 1.5) % wrap
    stamps = _pushed(Clock(clock_bits=bits, clock_tick_us=tick_us), list(device), list(true + 100))
    assert {epoch for _, epoch in stamps} == {0}
    assert np.allclose([time for time, _ in stamps], true + 100, atol=1e-4)


def test_a_pause_longer_than_the_wrap_is_bridged_by_the_hosts_clock() -> None:
    true = np.concatenate([np.arange(0, 2, 0.01), np.arange(200, 202, 0.01)])
    device = true % 65.536
    stamps = _pushed(Clock(clock_bits=16, clock_tick_us=1000.0), list(device), list(true + 100))
    assert np.allclose([time for time, _ in stamps], true + 100, atol=1e-3)


def test_a_clock_that_jumps_back_is_a_reboot_without_being_told() -> None:
    clock = Clock(clock_bits=32)
    first = _pushed(clock, list(np.arange(50, 55, 0.01)), list(np.arange(0, 5, 0.01)))
    second = _pushed(clock, list(np.arange(0.2, 1, 0.01)), list(np.arange(6.2, 7, 0.01)))
    assert first[-1][1] == 0 and second[0][1] == 1
    assert second[0][0] == pytest.approx(6.2, abs=1e-3)


def test_a_flagged_reboot_is_one_even_where_the_clock_would_fit() -> None:
    clock = Clock(clock_bits=32)
    _pushed(clock, [0.0, 0.01], [1.0, 1.01])
    assert clock.push(Reading(device_us=20_000, flags=Flags.REBOOTED), 1_020_000_000).epoch == 1


def test_a_stalled_link_delivers_late_and_begins_nothing() -> None:
    true = np.arange(0, 60, 0.01)
    arrived = true + 0.002
    stalled = (true > 30) & (true < 33)
    arrived[stalled] = 33.002  # all at once
    stamps = _pushed(Clock(clock_bits=32), list(true), list(arrived))
    assert {epoch for _, epoch in stamps} == {0}
    assert np.abs(np.array([time for time, _ in stamps]) - true - 0.002).max() < 1e-3


def test_a_datagram_that_overtook_another_keeps_its_place() -> None:
    clock = Clock(clock_bits=32)
    _pushed(clock, [0.0, 0.01, 0.03], [1.0, 1.01, 1.03])
    late = clock.push(Reading(device_us=20_000), 1_035_000_000)
    assert late.epoch == 0 and late.time == pytest.approx(1.02, abs=1e-3)


def test_without_a_clock_the_counter_tells_of_lost_readings() -> None:
    clock = Clock(sequence_bits=8, rate_hz=50.0)
    kept = [k for k in range(1000) if k % 17 and not 400 <= k < 450]
    times = [clock.push(Reading(sequence=k % 256), round((k * 0.02 + 5) * 1e9)).time for k in kept]
    assert np.abs(np.array(times) - (np.array(kept) * 0.02 + 5)).max() < 2e-3


def test_without_clock_and_counter_a_lasting_delay_is_taken_for_lost_readings() -> None:
    rng = np.random.default_rng(0)
    clock = Clock(rate_hz=50.0)
    kept = [k for k in range(3000) if not 1000 <= k < 1005]
    error = []
    for k in kept:
        time = clock.push(Reading(), round((k * 0.02 + 5 + rng.uniform(0, 0.015)) * 1e9)).time
        error.append(time - (k * 0.02 + 5))
    settled = np.array(error)[[kept.index(k) for k in range(1200, 3000)]]
    assert np.abs(settled).max() < 0.015


@pytest.mark.parametrize("rate", [50.0, 99.7, 112.5, 200.0])
def test_readings_that_wait_for_each_other_are_not_taken_for_lost(rate: float) -> None:
    """One that is moves all that follow by a period, on top of what is not known of the rate in the first seconds."""
    for seed in range(8):
        true = np.arange(round(12 * rate)) / rate
        arrives = np.maximum.accumulate(true + np.random.default_rng([3, seed]).uniform(0, 0.01, len(true)))
        clock = Clock()
        times = [clock.push(Reading(angular_velocity=(at, 0.0, 0.0)), round((at + 5) * 1e9)).time for at in arrives.tolist()]
        assert np.abs(np.array(times) - 5 - true)[true > 2].max() < 1.3 / rate


def test_a_nominal_rate_that_is_off_is_learned() -> None:
    clock = Clock(rate_hz=100.0)  # really 97
    times = [clock.push(Reading(), round((k / 97 + 5) * 1e9)).time for k in range(6000)]
    assert abs(times[-1] - (5999 / 97 + 5)) < 2e-3
    assert clock.drift_ppm == pytest.approx((100 / 97 - 1) * 1e6, rel=0.02)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(-200, 200), st.floats(0.0, 0.03))
def test_times_do_not_go_backwards_and_never_lie_after_arrival_for_long(seed: int, ppm: float, jitter: float) -> None:
    rng = np.random.default_rng(seed)
    true = np.cumsum(rng.uniform(0.005, 0.02, 2500))
    arrived = np.maximum.accumulate(true + rng.uniform(0, jitter, len(true)))
    stamps = np.array([time for time, _ in _pushed(Clock(clock_bits=32), list(true * (1 + ppm * 1e-6)), list(arrived))])
    settled = true > 3
    assert np.all(np.diff(stamps[settled]) > 0)
    assert np.all((stamps - arrived)[settled] < 2e-3)


def test_what_is_kept_does_not_grow() -> None:
    hull = LowerHull()
    for k in range(50_000):
        hull.push(k * 0.02, k * 0.02 + 0.001 * (k % 7))
    assert len(hull._minima) <= WINDOW_S + 2
