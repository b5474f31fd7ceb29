"""What sensors send in the field: jitter, losses, gaps, several readings in a packet, values that come apart. On real motion."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel.errors import DeviceError
from edgeskel.geometry import conjugate, multiply
from firmware_bridge.clock import Clock
from firmware_bridge.codecs.lines import LinesCodec, encode_json
from firmware_bridge.codecs.witmotion_ble import WitMotionBleCodec
from firmware_bridge.orientation import Orientation, OrientationSettings, OrientedSample
from firmware_bridge.samples import Chunk, Reading
from firmware_bridge.signal_merger import SignalMerger
from firmware_bridge.worn_sensor import SensorSetup, WornSensor
from tests.firmware_bridge.signal_errors import Motion, estimate, gap_errors_deg, jitter_errors_deg, motion, tilt_deg

ROTATION, TRANSLATION, COMBINED = ("06_undisturbed_fast_rotation_A", "16_undisturbed_fast_translation_B",
                                   "21_undisturbed_fast_combined")


@cache
def _motion(folder: Path, trial: str, rate_hz: float = 100.0, seconds: float = 40.0) -> Motion:
    return motion(trial, rate_hz, seconds, folder=folder / "broad" / "data_mat")


def _turn_deg(estimated: np.ndarray, reference: np.ndarray) -> np.ndarray:
    error = multiply(estimated, conjugate(reference))
    return np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(error[:, 1:], axis=-1), 0, 1)))


def _pushed(orientation: Orientation, events: Iterable[tuple[float, Reading]]) -> list[OrientedSample]:
    return [oriented for time, reading in events for oriented in orientation.push(reading, time)]


# -- time stamps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trial", [ROTATION, COMBINED])
@pytest.mark.parametrize("rate", [50.0, 100.0, 200.0])
def test_even_stamps_give_what_the_filter_gives(datasets: Path, trial: str, rate: float) -> None:
    recorded = _motion(datasets, trial, rate)
    found, whose, epochs = estimate(recorded, recorded.time, range(len(recorded.time)))
    settled = recorded.time[whose] > 12  # the first second knows more than the filter did
    first = multiply(found, conjugate(recorded.reference[whose]))[settled]
    assert len(found) == len(recorded.time) and not epochs.any()
    assert np.degrees(2 * np.arcsin(np.hypot(first[:, 1], first[:, 3]))).max() < 1e-9


@pytest.mark.parametrize("trial", [ROTATION, TRANSLATION, COMBINED])
@pytest.mark.parametrize(("rate", "jitter"), [(50.0, 0.01), (100.0, 0.002), (100.0, 0.005), (100.0, 0.01), (200.0, 0.01)])
def test_jitter_of_the_stamps_is_not_multiplied_into_the_rotation(datasets: Path, trial: str, rate: float, jitter: float) -> None:
    recorded = _motion(datasets, trial, rate)
    for seed in range(4):
        assert jitter_errors_deg(recorded, jitter, seed).max() < 0.1


@pytest.mark.parametrize(("rate", "arrival"), [(49.5, False), (99.7, False), (101.0, False), (104.0, False), (112.5, False),
                                               (99.7, True), (104.0, True), (112.5, True)])
def test_a_rate_that_is_no_round_one_is_followed_through_the_jitter(datasets: Path, rate: float, arrival: bool) -> None:
    recorded = _motion(datasets, COMBINED, rate)
    for seed in range(3):
        assert math.sqrt(float(np.mean(jitter_errors_deg(recorded, 0.01, seed, arrival=arrival) ** 2))) < 0.2


def test_arrivals_of_a_device_without_a_clock_are_counted(datasets: Path) -> None:
    for nominal in (None, 100.0):
        error = jitter_errors_deg(_motion(datasets, ROTATION), 0.01, 4, arrival=True, rate_hz=nominal)
        assert math.sqrt(float(np.mean(error**2))) < 0.1 and error.max() < 0.3


def test_losses_count_for_what_they_are_however_the_stamps_jitter(datasets: Path) -> None:
    """A counter tells them exactly; a fifth of the period hides none."""
    recorded = _motion(datasets, ROTATION)
    assert float(np.sqrt(np.mean(jitter_errors_deg(recorded, 0.001, 5, loss=0.03) ** 2))) < 0.5
    rng = np.random.default_rng(6)
    orientation = Orientation(OrientationSettings("6-axis"))
    events = [(at + rng.normal(0, 0.008), reading._replace(sequence=k % 65536))
              for k, (at, reading) in enumerate(zip(recorded.time.tolist(), recorded.readings, strict=True))
              if k < 150 or rng.random() > 0.03]
    out = _pushed(orientation, events)
    whose = [reading.sequence or 0 for _, reading in events]
    error = tilt_deg(np.array([one.quaternion for one in out]), recorded.reference[whose])
    assert float(np.sqrt(np.mean(error**2))) < 0.5


def test_a_device_that_begins_at_half_or_double_its_rate_is_not_believed_for_long(datasets: Path) -> None:
    recorded = _motion(datasets, ROTATION)
    for begin in (2.0, 0.5):
        stamps = np.where(recorded.time < 1.5, recorded.time * begin, recorded.time + 1.5 * (begin - 1))
        for arrival in (False, True):
            found, whose, epochs = estimate(recorded, stamps, range(len(stamps)), arrival=arrival)
            error = tilt_deg(found, recorded.reference[whose])
            # What the first second and a half says wrongly about the turn is the accelerometer's to correct, in some seconds.
            settled = recorded.time[whose]
            assert error[settled > 5].max() < 1.2 and error[settled > 7].max() < 0.8 and epochs[-1] <= 1


# -- packets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("many", [2, 8, 10])
@pytest.mark.parametrize("nominal", [None, 100.0])
def test_all_readings_of_a_packet_without_a_clock_are_used(datasets: Path, many: int, nominal: float | None) -> None:
    recorded = _motion(datasets, ROTATION)
    numbers = np.arange(len(recorded.time))
    rng = np.random.default_rng(many)
    arrived = (numbers // many + 1) * many / 100 + rng.uniform(0, 0.01, len(numbers) // many + 1)[numbers // many]
    found, whose, _ = estimate(recorded, arrived, numbers.tolist(), arrival=True, rate_hz=nominal)
    assert len(found) == len(numbers)
    error = tilt_deg(found, recorded.reference[whose])[200:]
    assert math.sqrt(float(np.mean(error**2))) < 0.1 and error.max() < 0.5


def test_ten_lines_of_a_datagram_are_ten_readings(datasets: Path) -> None:
    recorded = _motion(datasets, ROTATION)
    codec = LinesCodec()
    worn = WornSensor("wrist", SensorSetup.of(codec, "left_wrist"))
    out: list[OrientedSample] = []
    for begin in range(0, 3000, 10):
        data = b"".join(encode_json(reading) for reading in recorded.readings[begin:begin + 10])
        host_ns = round((begin + 10) / 100 * 1e9) + 10**9
        for reading in codec.decode(Chunk(data, host_ns, "10.0.0.7:5000")):
            assert isinstance(reading, Reading) and worn.clock is not None
            out += worn.orientation.push(reading, worn.clock.push(reading, host_ns).time)
    times = np.array([one.time for one in out])
    assert len(out) == 3000 and np.all(np.diff(times) > 0)
    assert np.median(np.diff(times)) == pytest.approx(0.01, rel=0.02)
    assert tilt_deg(np.array([one.quaternion for one in out]), recorded.reference[:3000])[200:].max() < 0.01


def test_a_stall_of_the_link_is_no_gap(datasets: Path) -> None:
    """Everything that waited comes at once: nothing was lost, nothing is doubtful."""
    recorded = _motion(datasets, COMBINED)
    arrived = recorded.time.copy()
    for begin in (6.0, 11.0, 17.3, 25.0):
        arrived[(arrived > begin) & (arrived < begin + 0.4)] = begin + 0.4
    arrived = np.maximum.accumulate(arrived + np.arange(len(arrived)) % 3 * 1e-4)
    found, whose, epochs = estimate(recorded, arrived, range(len(arrived)), arrival=True)
    assert not epochs.any() and tilt_deg(found, recorded.reference[whose])[200:].max() < 0.1


def test_a_packet_that_comes_twice_is_one(datasets: Path) -> None:
    recorded = _motion(datasets, ROTATION)
    for codec in (WitMotionBleCodec(), LinesCodec()):
        worn = WornSensor("wrist", SensorSetup.of(codec, "left_wrist"))
        assert worn.clock is not None
        out: list[OrientedSample] = []
        for k, reading in enumerate(recorded.readings):
            for again_ns in (0, 200_000) if k > 800 else (0,):  # after a reconnect each comes twice
                host_ns = round(recorded.time[k] * 1e9) + again_ns
                out += worn.orientation.push(reading, worn.clock.push(reading, host_ns).time)
        assert len(out) == len(recorded.readings)
        assert worn.orientation.dropped >= len(recorded.readings) - 801 - 5
        assert tilt_deg(np.array([one.quaternion for one in out]), recorded.reference)[200:].max() < 0.2


# -- gaps --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trial", [ROTATION, TRANSLATION, COMBINED, "25_disturbed_tapping_B", "28_disturbed_stationary_magnet_A"])
def test_a_gap_is_bridged_only_where_the_sensor_can_hardly_have_turned_otherwise(datasets: Path, trial: str) -> None:
    recorded = _motion(datasets, trial)
    for gap_s in (0.05, 0.1, 0.15, 0.2, 0.25):
        bridged, after, _ = gap_errors_deg(recorded, gap_s, 3.0, 7)
        assert not len(bridged) or bridged.max() < 4
        assert not len(after) or after.mean() < 20


@pytest.mark.parametrize("gap_s", [0.05, 0.1, 0.2])
def test_a_gap_at_rest_or_in_slow_motion_costs_nothing_and_is_not_made_much_of(gap_s: float) -> None:
    time = np.arange(0, 30, 0.01)
    angle = 0.3 * np.sin(0.5 * time)  # at most 9 degrees/s
    gyroscope = np.stack([np.gradient(angle, time), 0 * time, 0 * time], axis=-1)
    acceleration = 9.80665 * np.stack([0 * time, np.sin(angle), np.cos(angle)], axis=-1)
    bridged, _, share = gap_errors_deg(Motion(gyroscope, acceleration, 100.0), gap_s, 3.0, 8)
    assert share == 0 and bridged.max() < 0.1


@settings(max_examples=25, deadline=None)
@given(st.floats(0.05, 0.25), st.floats(0, 600), st.floats(0.3, 3), st.floats(0, 6.28))
def test_after_any_gap_the_tilt_is_right_or_the_heading_is_said_to_be_lost(gap_s: float, rate_deg_s: float, swing_hz: float,
                                                                          phase: float) -> None:
    time = np.arange(0, 8, 0.01)
    omega = 2 * math.pi * swing_hz
    angle = math.radians(rate_deg_s) / omega * np.sin(omega * time + phase)
    gyroscope = np.stack([math.radians(rate_deg_s) * np.cos(omega * time + phase), 0 * time, 0 * time], axis=-1)
    acceleration = 9.80665 * np.stack([0 * time, np.sin(angle), np.cos(angle)], axis=-1)
    recorded = Motion(gyroscope, acceleration, 100.0)
    lost = (time >= 5) & (time < 5 + gap_s)
    found, whose, epochs = estimate(recorded, time, np.flatnonzero(~lost).tolist())
    error = tilt_deg(found, recorded.reference[whose])
    assert epochs[-1] == 1 or error.max() < 4


def test_after_a_doubtful_gap_the_tilt_returns_and_the_heading_goes_on_from_the_best_guess(datasets: Path) -> None:
    recorded = _motion(datasets, COMBINED)
    lost = (recorded.time > 20) & (recorded.time < 20.2)
    found, whose, epochs = estimate(recorded, recorded.time, np.flatnonzero(~lost).tolist())
    assert epochs[-1] == 1 and epochs[np.searchsorted(recorded.time[whose], 19.9)] == 0
    error = tilt_deg(found, recorded.reference[whose])
    assert error[recorded.time[whose] > 24].max() < 5
    rest = np.zeros((2000, 3))
    still = Motion(rest, np.tile([0.0, 3.0, 9.3], (2000, 1)), 100.0)
    found, whose, epochs = estimate(still, still.time, [k for k in range(2000) if not 1000 < k < 1100])
    assert epochs[-1] == 1  # longer than any gap that is bridged
    assert _turn_deg(found[-1:], found[:1])[0] < 0.01


# -- values that come apart --------------------------------------------------------------------------------------------


def _apart(recorded: Motion, every: int = 1, phase_s: float = 0.0, batch: int = 1) -> list[tuple[float, Reading]]:
    """Events as a phone sends them: each kind in batches of its own."""
    gyroscope = [(at, Reading(angular_velocity=one.angular_velocity))
                 for at, one in zip(recorded.time.tolist(), recorded.readings, strict=True)]
    own = recorded.time[::every] + phase_s
    values = np.stack([np.interp(own, recorded.time, recorded.acceleration[:, axis]) for axis in range(3)], axis=-1)
    if not phase_s:
        values = recorded.acceleration[::every]
    acceleration = [(float(at), Reading(acceleration=(a, b, c))) for at, (a, b, c) in zip(own, values.tolist(), strict=True)]
    events: list[tuple[float, Reading]] = []
    while gyroscope or acceleration:
        end = (gyroscope or acceleration)[0][0] + batch / recorded.rate_hz
        for kind in (acceleration, gyroscope):
            while kind and kind[0][0] < end - 1e-9:
                events.append(kind.pop(0))
    return events


@pytest.mark.parametrize("batch", [1, 7])
def test_acceleration_and_gyroscope_as_separate_events_are_what_they_are_together(datasets: Path, batch: int) -> None:
    recorded = _motion(datasets, ROTATION)
    together = _pushed(Orientation(OrientationSettings("6-axis")), zip(recorded.time.tolist(), recorded.readings, strict=True))
    apart = _pushed(Orientation(OrientationSettings("6-axis")), _apart(recorded, batch=batch))
    assert len(apart) >= len(together) - batch
    pairs = zip(apart[200:], together[200:len(apart)], strict=True)
    assert max(_turn_deg(np.array([a.quaternion]), np.array([b.quaternion]))[0] for a, b in list(pairs)[::50]) < 0.01


@pytest.mark.parametrize(("every", "phase_s", "batch"), [(1, 0.004, 1), (2, 0.0, 1), (4, 0.003, 10)])
def test_rates_of_their_own_and_batches_out_of_order_are_understood(datasets: Path, every: int, phase_s: float, batch: int) -> None:
    recorded = _motion(datasets, ROTATION)
    out = _pushed(Orientation(OrientationSettings("6-axis")), _apart(recorded, every, phase_s, batch))
    assert len(out) > 0.99 * len(recorded.time)
    error = tilt_deg(np.array([one.quaternion for one in out]), recorded.reference[:len(out)])
    assert float(np.sqrt(np.mean(error[200:] ** 2))) < 0.5


def test_separate_events_without_a_clock_are_counted_apart(datasets: Path) -> None:
    recorded = _motion(datasets, ROTATION)
    clock, orientation = Clock(), Orientation(OrientationSettings("6-axis"))
    out: list[OrientedSample] = []
    rng = np.random.default_rng(9)
    for at, reading in _apart(recorded, every=2):
        out += orientation.push(reading, clock.push(reading, round((at + rng.uniform(0, 0.002)) * 1e9)).time)
    assert len(out) > 0.99 * len(recorded.time)
    assert tilt_deg(np.array([one.quaternion for one in out]), recorded.reference[:len(out)])[300:].max() < 1


def test_a_compass_that_comes_apart_is_used_and_one_that_stops_holds_nothing_up(datasets: Path) -> None:
    recorded = _motion(datasets, ROTATION)
    field = Reading(magnetic_field=(20.0, 0.0, -40.0))
    events = [event for k, (at, one) in enumerate(zip(recorded.time.tolist(), recorded.readings, strict=True))
              for event in ([(at, one), (at, field)] if k % 4 == 0 and k < 2000 else [(at, one)])]
    out = _pushed(Orientation(OrientationSettings("9-axis")), events)
    assert len(out) == len(recorded.time)


def test_a_gyroscope_whose_accelerometer_falls_silent_is_not_silently_dropped(datasets: Path) -> None:
    recorded = _motion(datasets, ROTATION)
    orientation = Orientation(OrientationSettings("6-axis"))
    events = [(at, one if k < 1000 else Reading(angular_velocity=one.angular_velocity))
              for k, (at, one) in enumerate(zip(recorded.time.tolist(), recorded.readings, strict=True))]
    out = _pushed(orientation, events)
    assert len(out) + orientation.dropped >= len(events) - 30
    with pytest.raises(DeviceError, match="no acceleration"):
        _pushed(Orientation(OrientationSettings("6-axis"), name="phone"), events[1000:])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-10, 10), st.booleans(), st.booleans()), max_size=200))
def test_no_order_of_events_makes_the_pairing_grow_or_give_less_than_whole_readings(events: list[tuple[float, bool, bool]]) -> None:
    pairing = SignalMerger("angular_velocity", "acceleration")
    given_ = sum(turns for _, turns, _ in events)
    out = [one for time, turns, pushes in events
           for one in pairing.push([(time, Reading(angular_velocity=(1, 2, 3) if turns else None,
                                                   acceleration=(time, 0, 9.8) if pushes else None))])]
    assert all(reading.acceleration is not None and reading.angular_velocity is not None for _, reading in out)
    assert len(out) + pairing.dropped <= given_
