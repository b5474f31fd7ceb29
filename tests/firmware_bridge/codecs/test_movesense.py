"""The maker publishes the protocol as source, not as sample packets: these are packed by hand after it."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel.errors import UnknownChoice, UsageError
from firmware_bridge.codecs.movesense import (
    RATES,
    RESOURCES,
    MovesenseCodec,
    encode_batch,
    encode_result,
    reference_of,
)
from firmware_bridge.samples import Chunk, DeviceStatus, Flags, Reading

COMMAND = "34800001-7185-4d5d-b431-630e7050e8f0"
DATA = "34800002-7185-4d5d-b431-630e7050e8f0"


def readings_of(found: list[Reading | DeviceStatus]) -> list[Reading]:
    assert all(isinstance(reading, Reading) for reading in found)
    return [reading for reading in found if isinstance(reading, Reading)]


def test_a_batch_holds_all_accelerations_then_all_angular_velocities() -> None:
    reference = reference_of("IMU6", 52)
    acceleration = [(n, n + 0.25, 9.75) for n in range(4)]
    degrees = [(90.0 * n, 0.0, -180.0) for n in range(4)]
    flat = [value for vector in (*acceleration, *degrees) for value in vector]
    packet = struct.pack("<BBI24f", 2, reference, 5000, *flat)
    found = readings_of(MovesenseCodec().decode(Chunk(packet, 0, DATA)))
    assert [reading.acceleration for reading in found] == acceleration
    assert [reading.angular_velocity for reading in found] == [
        pytest.approx([math.radians(value) for value in vector]) for vector in degrees
    ]
    assert all(reading.magnetic_field is None for reading in found)


def test_the_first_measurement_has_the_batchs_time_and_the_others_say_that_theirs_is_spread() -> None:
    (chunk,) = encode_batch("IMU6", 52, 5000, [Reading()] * 4)
    found = readings_of(MovesenseCodec().decode(chunk))
    assert [reading.device_us for reading in found] == [5_000_000 + round(n * 1e6 / 52) for n in range(4)]
    assert [reading.flags for reading in found] == [Flags.NONE] + [Flags.TIME_INTERPOLATED] * 3


def test_time_wraps_within_a_batch_as_the_clock_does() -> None:
    (chunk,) = encode_batch("IMU6", 52, 2**32 - 1, [Reading()] * 4)
    found = readings_of(MovesenseCodec().decode(chunk))
    wrap = round(2 ** MovesenseCodec.clock_bits * MovesenseCodec.clock_tick_us)  # type: ignore[operator]
    assert found[0].device_us == wrap - 1000
    assert [reading.device_us for reading in found[1:]] == [round(n * 1e6 / 52) - 1000 for n in (1, 2, 3)]


def test_a_batch_that_was_split_comes_together() -> None:
    sent = [Reading(acceleration=(n, 0, 9.5), angular_velocity=(0, n, 0), magnetic_field=(n, n, n)) for n in range(8)]
    chunks = encode_batch("IMU9", 104, 1000, sent)
    assert [(len(chunk.data), chunk.data[0]) for chunk in chunks] == [(158, 2), (138, 3)]
    codec = MovesenseCodec()
    assert codec.decode(chunks[0]) == []
    found = readings_of(codec.decode(chunks[1]))
    assert [reading.acceleration for reading in found] == [reading.acceleration for reading in sent]
    assert [reading.magnetic_field for reading in found] == [reading.magnetic_field for reading in sent]
    assert (codec.counts.frames, codec.counts.bad, codec.counts.discarded) == (1, 0, 0)


@settings(max_examples=40)
@given(st.integers(20, 400))
def test_a_split_anywhere_gives_the_same_measurements(longest: int) -> None:
    sent = [Reading(acceleration=(n, 0, 9.5), angular_velocity=(0, 0, 0)) for n in range(8)]
    whole = MovesenseCodec().decode(encode_batch("IMU6", 104, 77, sent, longest=500)[0])
    codec = MovesenseCodec()
    found = [reading for chunk in encode_batch("IMU6", 104, 77, sent, longest=longest) for reading in codec.decode(chunk)]
    assert found == whole


def test_a_lost_rest_costs_its_own_batch_only() -> None:
    codec = MovesenseCodec()
    first = encode_batch("IMU9", 104, 1000, [Reading()] * 8)
    second = encode_batch("IMU9", 104, 1077, [Reading()] * 8)
    found = [reading for chunk in (first[0], *second) for reading in codec.decode(chunk)]
    assert readings_of(found)[0].device_us == 1_077_000 and len(found) == 8
    assert (codec.counts.frames, codec.counts.bad, codec.counts.discarded) == (1, 1, 158)


def test_a_rest_without_its_beginning_is_refused() -> None:
    codec = MovesenseCodec()
    assert codec.decode(encode_batch("IMU9", 104, 1000, [Reading()] * 8)[1]) == []
    assert (codec.counts.bad, codec.counts.discarded) == (1, 138)


def test_a_batch_cut_by_the_mtu_is_counted_when_the_next_one_comes() -> None:
    codec = MovesenseCodec()
    (chunk,) = encode_batch("IMU6", 52, 1000, [Reading()] * 4)
    cut = Chunk(chunk.data[:20], 0, DATA)
    assert codec.decode(cut) == []
    assert codec.decode(cut) == []
    codec.reset()
    assert (codec.counts.frames, codec.counts.bad, codec.counts.discarded) == (0, 2, 40)


def test_reset_forgets_a_begun_batch() -> None:
    codec = MovesenseCodec()
    begin, rest = encode_batch("IMU9", 104, 1000, [Reading()] * 8)
    codec.decode(begin)
    codec.reset()
    assert codec.decode(rest) == []


@pytest.mark.parametrize("wrong", [math.nan, math.inf, 5e5])
def test_impossible_values_are_refused_with_their_whole_batch(wrong: float) -> None:
    codec = MovesenseCodec()
    (chunk,) = encode_batch("IMU6", 52, 1000, [Reading()] * 4)
    data = bytearray(chunk.data)
    struct.pack_into("<f", data, 6 + 4 * 17, wrong)
    assert codec.decode(Chunk(bytes(data), 0, DATA)) == []
    assert (codec.counts.frames, codec.counts.bad, codec.counts.discarded) == (0, 1, len(data))


def test_the_end_of_the_range_is_saturated() -> None:
    sent = [Reading(acceleration=(0, 0, 8 * 9.80665)), Reading(acceleration=(0, 0, 9.8))]
    (chunk,) = encode_batch("IMU6", 26, 1000, sent)
    small, large = MovesenseCodec(acceleration_range_g=8), MovesenseCodec(acceleration_range_g=16)
    assert [Flags.SATURATED in reading.flags for reading in readings_of(small.decode(chunk))] == [True, False]
    assert [Flags.SATURATED in reading.flags for reading in readings_of(large.decode(chunk))] == [False, False]


def test_a_recording_is_read_without_knowing_how_the_sensor_was_started() -> None:
    codec = MovesenseCodec("IMU6")
    chunks = encode_batch("IMU9", 104, 0, [Reading(magnetic_field=(1, 2, 3))] * 8)
    found = [reading for chunk in chunks for reading in codec.decode(chunk)]
    assert readings_of(found)[0].magnetic_field == (1, 2, 3)


@pytest.mark.parametrize(("resource", "rate"), [("IMU6", 52), ("IMU9", 104), ("Acc", 13)])
def test_start_and_stop_are_the_makers_commands(resource: str, rate: int) -> None:
    codec = MovesenseCodec(resource)
    (start,) = codec.start(rate)
    assert start.channel == COMMAND
    assert start.data[0] == 1 and start.data[2:] == f"/Meas/{resource}/{rate}".encode()
    (stop,) = codec.stop()
    assert stop.data == bytes((2, start.data[1]))


def test_references_are_distinct_and_never_zero() -> None:
    references = {reference_of(resource, rate) for resource in RESOURCES for rate in RATES}
    assert len(references) == len(RESOURCES) * len(RATES)
    assert min(references) > 0 and max(references) < 256


def test_a_refused_subscription_is_told_whichever_way_its_status_is_sent() -> None:
    reference = reference_of("IMU9", 1666)
    told = [DeviceStatus(text="refused IMU9: status 501 (no such rate)")]
    assert MovesenseCodec().decode(encode_result(reference, 501)) == told
    assert MovesenseCodec().decode(Chunk(bytes((1, reference, 0x01, 0xF5)), 0, DATA)) == told
    assert MovesenseCodec().decode(encode_result(reference, 200)) == []


@pytest.mark.parametrize("rate", [50, 0, math.nan])
def test_a_rate_that_is_not_there_is_refused_with_those_that_are(rate: float) -> None:
    with pytest.raises(UsageError, match=", ".join(map(str, RATES))):
        MovesenseCodec().start(rate)


def test_a_resource_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnknownChoice, match="IMU9"):
        MovesenseCodec("IMU12")


def test_a_lost_batch_is_flagged_and_a_slow_clock_is_not() -> None:
    codec = MovesenseCodec()
    times = [round(n * 4 * 1000 / 51.5) for n in (0, 1, 2, 4, 5)]  # 1 % slow, and the fourth batch is lost
    found = [codec.decode(encode_batch("IMU6", 52, time, [Reading()] * 4)[0]) for time in times]
    gaps = [[Flags.GAP in reading.flags for reading in readings_of(batch)] for batch in found]
    assert gaps == [[False] * 4] * 3 + [[True, False, False, False]] + [[False] * 4]
