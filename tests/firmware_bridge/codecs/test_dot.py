"""The DOT's specification gives layouts, no sample packets: these are packed by hand, field by field, from its tables."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel.errors import UnknownChoice, UsageError
from firmware_bridge.codecs.dot import MODES, RATES, DotCodec, encode_battery, encode_packet
from firmware_bridge.samples import Chunk, DeviceStatus, Flags, Reading

LONG, MEDIUM, SHORT = (f"1517200{n}-4947-11e9-8646-d663bd873d93" for n in (2, 3, 4))
CONTROL = "15172001-4947-11e9-8646-d663bd873d93"
SETTINGS, REPORT = (f"1517100{n}-4947-11e9-8646-d663bd873d93" for n in (2, 4))
HALF = math.sqrt(0.5)


def only(codec: DotCodec, data: bytes, channel: str) -> Reading:
    (reading,) = codec.decode(Chunk(data, 0, channel))
    assert isinstance(reading, Reading)
    return reading


def test_custom_mode_5_carries_clock_quaternion_acceleration_and_rate() -> None:
    packet = struct.pack("<I10f", 4_000_000_000, HALF, 0, HALF, 0, 0.5, -1.0, 9.75, 180.0, -90.0, 0.0)
    assert len(packet) == 44
    reading = only(DotCodec(), packet, LONG)
    assert reading.device_us == 4_000_000_000
    assert reading.orientation == pytest.approx((HALF, 0, HALF, 0))
    assert reading.acceleration == (0.5, -1.0, 9.75)
    assert reading.angular_velocity == pytest.approx((math.pi, -math.pi / 2, 0))
    assert reading.linear_acceleration is None
    assert reading.flags == Flags.NONE


@pytest.mark.parametrize(
    ("mode", "channel", "size"),
    [("custom-5", LONG, 44), ("custom-3", MEDIUM, 32), ("custom-1", MEDIUM, 40), ("rate", MEDIUM, 28),
     ("complete-quaternion", MEDIUM, 32), ("extended-quaternion", MEDIUM, 36), ("quaternion", SHORT, 20),
     ("free-acceleration", SHORT, 16)],
)  # fmt: skip
def test_each_mode_has_the_length_and_characteristic_of_the_specification(mode: str, channel: str, size: int) -> None:
    packet = encode_packet(mode, Reading(device_us=7))
    assert (packet.channel, len(packet.data)) == (channel, size)
    assert only(DotCodec(mode), packet.data, channel).device_us == 7


def test_free_acceleration_is_not_mixed_up_with_acceleration() -> None:
    packet = struct.pack("<I7f", 1, 1, 0, 0, 0, 0.25, 0.5, -0.25)
    reading = only(DotCodec("complete-quaternion"), packet, MEDIUM)
    assert reading.linear_acceleration == (0.25, 0.5, -0.25)
    assert reading.acceleration is None


def test_euler_angles_of_unknown_order_give_no_orientation() -> None:
    packet = struct.pack("<I9f", 1, 10, 20, 30, 1, 2, 3, 0, 0, 180)
    reading = only(DotCodec("custom-1"), packet, MEDIUM)
    assert reading.orientation is None
    assert reading.linear_acceleration == (1, 2, 3)
    assert reading.angular_velocity == pytest.approx((0, 0, math.pi))


@pytest.mark.parametrize(
    ("status", "accelerometer", "gyroscope", "saturated"),
    [(0x0012, 0, 0, True), (0, 3, 0, True), (0, 0, 1, True), (0x0200, 0, 0, False), (0x01C0, 0, 0, False)],
)
def test_the_sensors_own_word_on_clipping(status: int, accelerometer: int, gyroscope: int, saturated: bool) -> None:
    packet = struct.pack("<I7fHBB", 1, 1, 0, 0, 0, 0, 0, 0, status, accelerometer, gyroscope)
    flags = only(DotCodec("extended-quaternion"), packet, MEDIUM).flags
    assert (Flags.SATURATED in flags) == saturated


def test_a_value_at_the_end_of_the_range_is_saturated() -> None:
    codec = DotCodec("rate")
    still = only(codec, struct.pack("<I6f", 1, 0, 0, 9.8, 0, 0, 0), MEDIUM)
    fast = only(codec, struct.pack("<I6f", 1, 0, 0, 9.8, 0, -2000, 0), MEDIUM)
    assert (still.flags, fast.flags) == (Flags.NONE, Flags.SATURATED)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, 1e6])
@pytest.mark.parametrize("field", range(10))
def test_impossible_values_are_refused_and_counted(wrong: float, field: int) -> None:
    values = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.8, 0.0, 0.0, 0.0]
    values[field] = wrong
    codec = DotCodec()
    assert codec.decode(Chunk(struct.pack("<I10f", 1, *values), 0, LONG)) == []
    assert (codec.counts.frames, codec.counts.bad, codec.counts.discarded) == (0, 1, 44)


@settings(max_examples=44)
@given(st.integers(0, 43))
def test_a_packet_cut_by_the_mtu_is_refused_at_any_length(length: int) -> None:
    codec = DotCodec()
    packet = encode_packet("custom-5", Reading(orientation=(1, 0, 0, 0)))
    assert codec.decode(Chunk(packet.data[:length], 0, LONG)) == []
    assert (codec.counts.bad, codec.counts.discarded) == (1, length)


def test_the_characteristic_may_be_filled_up_with_zeros_and_with_nothing_else() -> None:
    codec = DotCodec()
    whole = encode_packet("custom-5", Reading(orientation=(1, 0, 0, 0)), padded=True)
    assert len(whole.data) == 63
    assert len(codec.decode(whole)) == 1
    assert codec.decode(Chunk(whole.data[:-1] + b"\1", 0, LONG)) == []
    assert codec.counts.bad == 1


def test_packets_of_another_mode_are_refused() -> None:
    codec = DotCodec("custom-5")
    assert codec.decode(encode_packet("quaternion", Reading())) == []
    assert codec.counts.bad == 1


vector = st.tuples(*[st.floats(-30, 30, width=32)] * 3)


@settings(max_examples=60)
@given(st.sampled_from(sorted(MODES)), vector, vector, vector, st.integers(0, 2**32 - 1), st.booleans())
def test_what_is_encoded_comes_back(mode: str, a: tuple[float, float, float], f: tuple[float, float, float],
                                    g: tuple[float, float, float], clock: int, padded: bool) -> None:  # fmt: skip
    sent = Reading(device_us=clock, orientation=(0.5, -0.5, 0.5, -0.5), acceleration=a, linear_acceleration=f,
                   angular_velocity=g)  # fmt: skip
    chunk = encode_packet(mode, sent, padded=padded)
    got = only(DotCodec(mode), chunk.data, chunk.channel)
    fields = MODES[mode].fields
    assert got.device_us == clock
    assert got.orientation == (sent.orientation if "q" in fields else None)
    assert got.acceleration == (a if "a" in fields else None)
    assert got.linear_acceleration == (f if "f" in fields else None)
    assert got.angular_velocity == (pytest.approx(g, rel=1e-6, abs=1e-6) if "g" in fields else None)


def test_battery_and_reports() -> None:
    codec = DotCodec()
    assert codec.decode(encode_battery(0.42, charging=True)) == [DeviceStatus(battery=0.42, text="charging")]
    assert codec.decode(Chunk(bytes((1, *bytes(35))), 0, REPORT)) == [DeviceStatus(text="powered off")]
    assert codec.decode(Chunk(bytes((101, 0)), 0, "15173001-4947-11e9-8646-d663bd873d93")) == []
    assert codec.counts.bad == 1


def test_start_sets_the_rate_before_it_starts() -> None:
    stop, settings, start = DotCodec("quaternion").start(30)
    assert (stop.data, stop.channel) == (bytes((1, 0, 5)), CONTROL)
    assert (start.data, start.channel) == (bytes((1, 1, 5)), CONTROL)
    assert settings.channel == SETTINGS
    assert settings.data[0] == 0x10 and settings.data[24:26] == (30).to_bytes(2, "little") and len(settings.data) == 32
    assert DotCodec().start()[-1].data == bytes((1, 1, 26))
    assert DotCodec().stop()[0].data == bytes((1, 0, 26))


@pytest.mark.parametrize("rate", [120, 0, 59.5, math.nan])
def test_a_rate_that_is_not_there_is_refused_with_those_that_are(rate: float) -> None:
    with pytest.raises(UsageError, match=", ".join(map(str, RATES))):
        DotCodec().start(rate)


def test_a_mode_only_the_maker_reads_is_refused() -> None:
    with pytest.raises(UnknownChoice, match="custom-5"):
        DotCodec("high-fidelity")


def test_a_lost_packet_is_flagged_once_the_rate_is_known() -> None:
    codec = DotCodec()
    codec.start(60)
    clocks = [2**32 - 20_000, 2**32 - 3_333, 13_334, 46_667, 63_334]  # one packet is missing, behind the wrap
    found = [only(codec, encode_packet("custom-5", Reading(device_us=us)).data, LONG) for us in clocks]
    assert [Flags.GAP in reading.flags for reading in found] == [False, False, False, True, False]
    unknown = DotCodec()
    found = [only(unknown, encode_packet("custom-5", Reading(device_us=us)).data, LONG) for us in clocks]
    assert not any(Flags.GAP in reading.flags for reading in found)
