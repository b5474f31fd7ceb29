"""Clocks of 16 and 32 bits over ``lines``: across wraps, with losses there, and beside devices that really began anew."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.clock import Clock
from firmware_bridge.codecs.lines import LinesCodec
from firmware_bridge.link.sequence_tracker import SequenceTracker
from firmware_bridge.samples import Chunk, Reading

UNITS = {"time_us": 1e6, "time_ms": 1e3, "time_s": 1e6}


def _sent(codec: LinesCodec, ticks: int, name: str, host: float, **more: object) -> Reading:
    row = {name: ticks / 1e6 if name == "time_s" else ticks, "acceleration_g": [0, 0, 1], **more}
    (reading,) = codec.decode(Chunk(json.dumps(row).encode(), round(host * 1e9), "10.0.0.7:4000"))
    assert isinstance(reading, Reading)
    return reading


def _through(true: np.ndarray, ticks: np.ndarray, name: str, delay: np.ndarray) -> tuple[np.ndarray, set[int], int]:
    """Host times of readings, the clock's epochs, and the reboots that the sequence tracker saw."""
    codec, clock, tracker = LinesCodec(), Clock(clock_bits=64), SequenceTracker(32, 64, ordered=False)
    stamps, epochs = [], set()
    for at, tick, late in zip(true, ticks, delay, strict=True):
        reading = _sent(codec, int(tick), name, float(at + late))
        tracker.update(reading, round((at + late) * 1e9))
        stamp = clock.push(reading, round((at + late) * 1e9))
        stamps.append(stamp.time)
        epochs.add(stamp.epoch)
    return np.array(stamps), epochs, tracker.reboots


@pytest.mark.parametrize(("bits", "name"), [(32, "time_us"), (32, "time_s"), (16, "time_ms"), (32, "time_ms"), (16, "time_us")])
@pytest.mark.parametrize("lost_s", [0.0, 0.3, 2.5])
def test_a_wrap_is_no_reboot(bits: int, name: str, lost_s: float) -> None:
    wrap = 2**bits
    rng = np.random.default_rng(bits)
    true = np.arange(0, 20, 0.01)
    true = true[(true < 10 - lost_s / 2) | (true >= 10 + lost_s / 2)]
    ticks = (np.floor(true * UNITS[name]) + wrap - 10 * UNITS[name]) % wrap
    spread = 0.01 if wrap / UNITS[name] < 1 else 0.03
    delay = 0.002 + rng.uniform(0, spread, len(true))
    stamps, epochs, reboots = _through(true + 100, ticks, name, delay)
    assert epochs == {0} and reboots == 0
    if wrap / UNITS[name] > 1:
        assert np.abs(stamps - true - 100)[200:].max() < 0.005


def test_one_wrap_after_the_other_is_followed_and_so_is_a_pause_over_several() -> None:
    true = np.concatenate([np.arange(0, 150, 0.02), np.arange(400, 420, 0.02)])
    stamps, epochs, reboots = _through(true + 7, np.floor(true * 1e3) % 2**16, "time_ms", np.full(len(true), 0.003))
    assert epochs == {0} and reboots == 0
    assert np.abs(stamps - true - 7).max() < 0.01


@settings(max_examples=60, deadline=None)
@given(st.floats(3, 4200), st.floats(0.4, 30), st.sampled_from(["time_us", "time_ms"]), st.booleans())
def test_a_device_that_begins_anew_is_noticed(uptime: float, down_s: float, name: str, wrapped: bool) -> None:
    """Whatever its clock stood at, and also when it has wrapped before."""
    bits = 16 if name == "time_ms" else 32
    turn = 2**bits / UNITS[name]
    before = np.arange(0, 5, 0.02) + (turn - 2 if wrapped else uptime % (turn - 6))
    after = np.arange(0.1, 3, 0.02)
    true = np.concatenate([before - before[0], 5 + down_s + after])
    ticks = np.floor(np.concatenate([before, after]) * UNITS[name]) % 2**bits
    ahead = (before[-1] % turn) + down_s  # where its clock would stand if it had gone on
    if abs(ahead - turn) < 0.5 or before[-1] % turn < 2.2:  # by chance the same, or too young to tell from late packets
        return
    _, epochs, reboots = _through(true + 50, ticks, name, np.full(len(true), 0.004))
    assert len(epochs) == 2 and reboots == 1


def test_a_counter_that_begins_anew_decides_where_the_clock_could_be_a_wrap() -> None:
    codec = LinesCodec()
    for k in range(100):
        last = _sent(codec, 2**32 - 1_000_000 + 10_000 * k, "time_us", k / 100, sequence=5000 + k).device_us or 0
    assert (_sent(codec, 5_000, "time_us", 1.005, sequence=5100).device_us or 0) > last
    codec = LinesCodec()
    for k in range(100):
        last = _sent(codec, 2**32 - 1_000_000 + 10_000 * k, "time_us", k / 100, sequence=5000 + k).device_us or 0
    assert (_sent(codec, 5_000, "time_us", 1.005, sequence=0).device_us or 0) < last


def test_a_datagram_from_before_the_wrap_that_comes_late_keeps_its_place() -> None:
    codec = LinesCodec()
    times = [_sent(codec, (2**32 - 500_000 + 10_000 * k) % 2**32, "time_us", 3 + k / 100).device_us or 0 for k in range(60)]
    late = _sent(codec, 2**32 - 15_000, "time_us", 3.605).device_us or 0
    on = _sent(codec, 100_000, "time_us", 3.61).device_us or 0
    assert late < times[-1] < on and on - late == 115_000


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 10**12), st.one_of(st.none(), st.integers(0, 2**32 - 1))),
                max_size=40))
def test_no_times_upset_it(rows: list[tuple[int, int, int | None]]) -> None:
    codec = LinesCodec()
    for ticks, host_us, sequence in rows:
        assert (_sent(codec, ticks, "time_us", host_us / 1e6, sequence=sequence).device_us or 0) >= 0
