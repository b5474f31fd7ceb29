"""Bytes and values of Polar's own tests (polar-ble-sdk, Android ``gatt/client/pmd``: ``AccDataTest``, ``GyrDataTest``,
``MagDataTest``, ``PmdSettingTest``, ``BlePmdClientControlPointResponseTest``)."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel.errors import UsageError
from firmware_bridge.codecs.polar import (
    ACCELERATION,
    ANGULAR_VELOCITY,
    MAGNETIC_FIELD,
    RATES,
    PolarCodec,
    encode_frame,
)
from firmware_bridge.codecs.polar_control import encode_response, encode_settings
from firmware_bridge.codecs.polar_frame import compress, decompress, pack, unpack
from firmware_bridge.samples import STANDARD_GRAVITY, Chunk, DeviceStatus, Flags, Reading, Vector

CONTROL = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
DATA = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"
MILLI_G = STANDARD_GRAVITY / 1000
AT_TWO_SECONDS = "0094357700000000"

RAW_ACCELERATION = """
F7FFFFFFE703F8FFFEFFE503F9FFFFFFE503FAFFFFFFE603FAFFFEFFE603F9FFFFFFE503F8FFFFFFE603F8FFFEFFE603FAFFFFFFE503FAFFFFFFE703
FAFFFFFFE503F8FFFFFFE603F7FFFFFFE603F8FFFEFFE603F9FFFEFFE703F9FF0000E603F9FFFFFFE603F7FFFEFFE503F9FFFFFFE503F9FFFFFFE503
FAFF0000E603F9FFFEFFE603F8FFFFFFE603F8FFFFFFE503F9FFFFFFE603F9FFFFFFE503FAFFFFFFE603F9FFFFFFE503F9FFFFFFE503F8FFFEFFE603
F9FFFFFFE603F9FFFFFFE603F9FF0000E503F9FFFEFFE603F8FFFEFFE603F7FFFEFFE603
"""
COMPRESSED_ACCELERATION = """
7107F06A9E8D0A38
BE5CBEBA2F96B3EE4BE5ADFB42B9EBBE4CFEBA2F92BFEE4BE4B1FB12B9ECBD3C3EBB2F8FD3DE4BE3B5F7D2B8EDBD307E7B2F8BE3CE8BE2BAF7A2B8EE
BC20BE7B2F88F3CECBE1BDEF52F8EFBC18FE3B2F8403BFCBE0C2EF32B8F0BB044EBC2E8113AF0BE0C6EFF2F7F1B9FC7DBC2E7D279F4BDFCAEBC2F7F2
B8ECCD7C2E7B378F4BDECEE392F7F3B8E00DFD2D774B7FCBDDD2DF6237F5B7D44DBD2D745B6FCBDCD7D73237F6B5C88D7D2D716B4F4BDCDCD3F236F7
B4BCDDFD2C6F7B3F4BDBE0CFD236F8B2B02DBE2C6C8F1FCBDAE3C7A276F9
"""


def frame(text: str) -> Chunk:
    return Chunk(bytes.fromhex("".join(text.split())), 0, DATA)


def vectors(found: list[Reading | DeviceStatus], field: str) -> list[Vector]:
    return [getattr(reading, field) for reading in found]


def with_factor(kind: int, factor: float) -> PolarCodec:
    codec = PolarCodec()
    (bits,) = struct.unpack("<I", struct.pack("<f", factor))
    assert codec.decode(encode_response(2, kind, {5: (bits,)})) == []
    return codec


def test_makers_raw_acceleration() -> None:
    chunk = frame("02" + AT_TWO_SECONDS + "01" + RAW_ACCELERATION)
    found = PolarCodec().decode(chunk)
    assert len(found) == 36
    values = vectors(found, "acceleration")
    assert values[0] == pytest.approx([value * MILLI_G for value in (-9, -1, 999)])
    assert values[1] == pytest.approx([value * MILLI_G for value in (-8, -2, 997)])
    last = found[-1]
    assert isinstance(last, Reading) and (last.device_us, last.flags) == (2_000_000, Flags.NONE)


def test_makers_compressed_acceleration_and_its_times() -> None:
    codec = with_factor(ACCELERATION, 2.44e-4)
    chunk = frame("02" + AT_TWO_SECONDS + "80" + COMPRESSED_ACCELERATION)
    assert len(chunk.data) + 3 == PolarCodec.gatt.least_mtu  # type: ignore[union-attr]
    codec.decode(encode_frame(ACCELERATION, 100, [(0, 0, 1000)], 1))  # the maker's test: the frame before was at 100 ns
    found = codec.decode(chunk)
    assert len(found) == 57
    values, unit = np.array(vectors(found, "acceleration")), 2.44e-4 * STANDARD_GRAVITY
    assert values[0] == pytest.approx(np.array([1905, 27376, -29282]) * unit, rel=1e-6)
    assert values[1] == pytest.approx(np.array([1905 + 190, 27376 - 105, -29282 - 85]) * unit, rel=1e-6)
    assert np.abs(values).max() <= 8 * STANDARD_GRAVITY  # "validate data in range"
    times = [reading.device_us for reading in found if isinstance(reading, Reading)]
    assert times[0] == round(100 + (2e9 - 100) / 57) // 1000
    assert times[-1] == 2_000_000
    assert all(Flags.TIME_INTERPOLATED in reading.flags for reading in found[:-1] if isinstance(reading, Reading))


def test_makers_compressed_acceleration_of_type_1_in_milli_g() -> None:
    found = PolarCodec().decode(frame("02 6500000000000000 81 F1FF1400F00306017B0F08"))
    values = np.array(vectors(found, "acceleration")) / MILLI_G
    assert values == pytest.approx(np.array([(-15, 20, 1008), (-20, 17, 1008)]))


def test_makers_compressed_angular_velocity() -> None:
    found = with_factor(ANGULAR_VELOCITY, 1.0).decode(frame("05 FFFFFFFFFFFFFF7F 80 EAFF08000D000301DF00"))
    values = np.rad2deg(np.array(vectors(found, "angular_velocity")))
    assert values == pytest.approx(np.array([(-22, 8, 13), (-23, 11, 16)]))
    last = found[-1]
    assert isinstance(last, Reading) and last.device_us == 9223372036854775807 // 1000


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_makers_angular_velocity_as_differences_of_float_bit_patterns(factor: float) -> None:
    chunk = frame("05" + AT_TWO_SECONDS + "81 0000803F000020410000A0411C010000A001000008CDCCEC0D")
    found = with_factor(ANGULAR_VELOCITY, factor).decode(chunk)
    patterns = np.array([0x3F800000 + 0x1A00000, 0x41200000 + 0x800000, 0x41A00000 - 0x2133333], np.uint32)
    expected = np.stack([np.array([1, 10, 20], np.float32), patterns.view(np.float32)]) * factor
    assert np.rad2deg(np.array(vectors(found, "angular_velocity"))) == pytest.approx(expected, rel=1e-6)


def test_makers_compressed_magnetic_field_in_gauss() -> None:
    codec = with_factor(MAGNETIC_FIELD, 0.001)  # the maker's test takes 1, which is far beyond its 50 gauss
    found = codec.decode(frame("06" + AT_TWO_SECONDS + "80 E2E6FA15490A06017F20FC"))
    values = np.array(vectors(found, "magnetic_field"))
    assert values == pytest.approx(np.array([(-6430, 5626, 2633), (-6431, 5627, 2635)]) * 0.1)


@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_makers_compressed_magnetic_field_of_type_1_has_a_fourth_channel(factor: float) -> None:
    codec = with_factor(MAGNETIC_FIELD, factor)
    found = codec.decode(frame("06" + AT_TWO_SECONDS + "81 37FF51FD6CF600000301F802"))
    values = np.array(vectors(found, "magnetic_field"))
    assert values == pytest.approx(np.array([(-201, -687, -2452), (-201, -688, -2449)]) * 0.1 * factor, rel=1e-6)


MAKERS_SETTINGS = bytes.fromhex("000134000101100002 04F500F401E803D007 040103".replace(" ", ""))


def test_makers_settings_are_answered_with_the_largest_range() -> None:
    codec = PolarCodec()
    codec.start(52)
    offer = Chunk(bytes((0xF0, 1, ANGULAR_VELOCITY, 0, 0)) + MAKERS_SETTINGS, 0, CONTROL)
    (write,) = codec.reply(offer)
    assert write.channel == CONTROL
    assert write.data == bytes((2, ANGULAR_VELOCITY)) + bytes.fromhex("00013400 01011000 0201D007 040103")
    assert codec.decode(offer) == []
    assert codec.counts.bad == 0


@pytest.mark.parametrize("text", ["F0 01 02 00 00 FF FF FF", "F0 01 06 07 00"])
def test_makers_responses_without_usable_settings_start_nothing(text: str) -> None:
    written = PolarCodec().reply(Chunk(bytes.fromhex(text), 0, CONTROL))
    assert all(write.data[0] != 2 for write in written)


H10 = {0: (25, 50, 100, 200), 1: (16,), 2: (2, 4, 8)}


@pytest.mark.parametrize(("wish", "taken"), [(200, 200), (25, 25), (None, 100)])
def test_an_h10_starts_at_the_wished_or_the_usual_rate(wish: int | None, taken: int) -> None:
    codec = PolarCodec()
    assert [write.data.hex() for write in codec.start(wish)] == ["0102"]
    (write,) = codec.reply(encode_response(1, ACCELERATION, H10))
    assert write.data == bytes((2, ACCELERATION)) + encode_settings({0: (taken,), 1: (16,), 2: (8,)})


def test_a_rate_that_this_device_lacks_is_told_and_not_started() -> None:
    codec = PolarCodec()
    codec.start(52)
    offer = encode_response(1, ACCELERATION, H10)
    assert [write.data.hex() for write in codec.reply(offer)] == ["0105"]
    assert codec.decode(offer) == [
        DeviceStatus(text="acceleration has 25, 50, 100, 200 Hz, not the 52 Hz that were asked for")
    ]


def test_the_rates_of_sdk_mode_switch_to_it_first() -> None:
    codec = PolarCodec()
    assert [write.data.hex() for write in codec.start(208)] == ["0209"]
    assert [write.data.hex() for write in codec.reply(encode_response(2, 9, {}))] == ["0102"]
    assert [write.data.hex() for write in codec.reply(encode_response(2, 9, {}, status=6))] == ["0102"]  # is so already


def conversation(codec: PolarCodec, rate: int, has: dict[int, dict[int, tuple[int, ...]]]) -> list[str]:
    """What the codec writes to a sensor that answers one command at a time."""
    waiting = list(codec.start(rate))
    written = []
    while waiting:
        write = waiting.pop(0)
        assert not waiting, "one command at a time"
        written.append(write.data.hex())
        command, kind = write.data[:2]
        settings = has.get(kind, {}) if command == 1 else {}
        answer = encode_response(command, kind, settings, status=0 if kind in has or kind == 9 else 3)
        codec.decode(answer)
        waiting += codec.reply(answer)
    return written


def test_a_whole_start_of_three_measurements() -> None:
    verity = {ACCELERATION: {0: (26, 52, 104), 2: (8, 16)}, ANGULAR_VELOCITY: {0: (26, 52, 104), 2: (250, 2000)},
              MAGNETIC_FIELD: {0: (10, 20, 50, 100), 2: (50,)}}  # fmt: skip
    assert conversation(PolarCodec(), 104, verity) == [
        "0209", "0102", "0202" + "00016800" + "02011000", "0105", "0205" + "00016800" + "0201d007",
        "0106", "0206" + "00016400" + "02013200",
    ]  # fmt: skip


def test_a_whole_start_of_an_h10_that_has_acceleration_only() -> None:
    assert conversation(PolarCodec(), 200, {ACCELERATION: H10}) == [
        "0102", "0202" + "0001c800" + "01011000" + "02010800", "0105", "0106",
    ]  # fmt: skip


def test_the_magnetometer_takes_the_next_lower_rate() -> None:
    codec = PolarCodec()
    codec.start(52)
    (write,) = codec.reply(encode_response(1, MAGNETIC_FIELD, {0: (10, 20, 50, 100)}))
    assert write.data == bytes((2, MAGNETIC_FIELD)) + encode_settings({0: (50,)})


@pytest.mark.parametrize("rate", [60, 0, math.nan])
def test_a_rate_no_polar_has_is_refused_with_those_there_are(rate: float) -> None:
    with pytest.raises(UsageError, match=", ".join(map(str, RATES))):
        PolarCodec().start(rate)


def test_stop_ends_all_three_and_sdk_mode() -> None:
    assert [write.data.hex() for write in PolarCodec().stop()] == ["0302", "0305", "0306", "0309"]


def test_refusals_and_stops_are_told() -> None:
    codec = PolarCodec()
    assert codec.decode(encode_response(2, ACCELERATION, {}, status=13)) == [
        DeviceStatus(text="refused to start acceleration: device is in its charger")
    ]
    assert codec.decode(encode_response(1, ANGULAR_VELOCITY, {}, status=3)) == []  # an H10 has none: no fault
    assert codec.decode(Chunk(bytes((1, 1, 2)), 0, CONTROL)) == [
        DeviceStatus(text="the sensor has stopped: type 1, acceleration")
    ]


def started(rate: int) -> PolarCodec:
    codec = PolarCodec()
    codec.start(rate)
    codec.reply(encode_response(1, ACCELERATION, H10))
    codec.decode(encode_response(2, ACCELERATION, {}))
    return codec


def times(found: list[Reading | DeviceStatus]) -> list[int | None]:
    return [reading.device_us for reading in found if isinstance(reading, Reading)]


def test_the_first_frame_is_spread_at_the_nominal_rate_and_the_next_over_the_time_between() -> None:
    codec = started(100)
    first = codec.decode(encode_frame(ACCELERATION, 1_000_000_000, [(0, 0, 1000)] * 4, 1))
    assert times(first) == [970_000, 980_000, 990_000, 1_000_000]
    second = codec.decode(encode_frame(ACCELERATION, 1_040_400_000, [(0, 0, 1000)] * 4, 1))  # 1 % slow
    assert times(second) == [1_010_100, 1_020_200, 1_030_300, 1_040_400]
    assert not any(Flags.GAP in reading.flags for reading in second if isinstance(reading, Reading))


def test_a_lost_frame_is_flagged_and_not_filled() -> None:
    codec = started(100)
    codec.decode(encode_frame(ACCELERATION, 1_000_000_000, [(0, 0, 1000)] * 4, 1))
    found = codec.decode(encode_frame(ACCELERATION, 1_080_000_000, [(0, 0, 1000)] * 4, 1))
    assert times(found) == [1_050_000, 1_060_000, 1_070_000, 1_080_000]
    assert [Flags.GAP in reading.flags for reading in found if isinstance(reading, Reading)] == [True] + [False] * 3


def test_without_rate_or_earlier_frame_only_the_last_sample_has_a_time() -> None:
    found = PolarCodec().decode(encode_frame(ACCELERATION, 5_000_000, [(0, 0, 1000)] * 3, 1))
    assert times(found) == [None, None, 5_000]


def test_the_end_of_the_chosen_range_is_saturated_and_more_is_impossible() -> None:
    codec = started(100)
    found = codec.decode(encode_frame(ACCELERATION, 0, [(0, 0, 8000), (0, 0, 1000)], 1))
    assert [Flags.SATURATED in reading.flags for reading in found if isinstance(reading, Reading)] == [True, False]
    assert codec.decode(encode_frame(ACCELERATION, 0, [(0, 0, 9000)], 1)) == []
    assert codec.counts.bad == 1


def test_a_frame_whose_unit_is_unknown_is_refused() -> None:
    codec = PolarCodec()
    chunk = frame("05" + AT_TWO_SECONDS + "80 EAFF08000D000301DF00")
    assert codec.decode(chunk) == []
    assert (codec.counts.frames, codec.counts.bad, codec.counts.discarded) == (0, 1, len(chunk.data))


def test_reset_forgets_factor_and_time() -> None:
    codec = with_factor(ANGULAR_VELOCITY, 1.0)
    codec.reset()
    assert codec.decode(frame("05" + AT_TWO_SECONDS + "80 EAFF08000D000301DF00")) == []


@pytest.mark.parametrize("bits", [0x7F800000, 0x7FC00000, 0x7FA00000, 0x00000000, 0xBF800000])
def test_a_factor_that_is_none_is_refused(bits: int) -> None:
    codec = PolarCodec()
    assert codec.decode(encode_response(2, ACCELERATION, {5: (bits,)})) == []
    assert codec.counts.bad == 1


@pytest.mark.parametrize("bits", [0x7F800000, 0x7FC00000, 0x7FA00000, 0x7F000000])
def test_floats_that_are_no_measurement_are_refused(bits: int) -> None:
    codec = PolarCodec()
    pattern = bits - (1 << 32) if bits >> 31 else bits
    assert codec.decode(encode_frame(ANGULAR_VELOCITY, 0, [(pattern, 0, 0)], 0x81)) == []
    assert codec.counts.bad == 1


@settings(max_examples=60)
@given(st.integers(0, 227))
def test_a_frame_cut_by_the_mtu_is_refused(length: int) -> None:
    codec = with_factor(ACCELERATION, 2.44e-4)
    whole = frame("02" + AT_TWO_SECONDS + "80" + COMPRESSED_ACCELERATION)
    found = codec.decode(Chunk(whole.data[:length], 0, DATA))
    if length == 16:  # nothing but a reference sample: a whole frame, as short as one can be
        assert len(found) == 1
    else:
        assert found == [] and codec.counts.bad == 1


samples16 = st.lists(st.tuples(*[st.integers(-(2**15), 2**15 - 1)] * 3), min_size=1, max_size=300)


@settings(max_examples=60)
@given(samples16)
def test_compression_is_undone(samples: list[tuple[int, int, int]]) -> None:
    restored = decompress(compress(samples, 2), 3, 2)
    assert restored is not None and restored.tolist() == [list(sample) for sample in samples]


@settings(max_examples=60)
@given(st.sampled_from([1, 2, 3, 4]), st.data())
def test_raw_samples_come_back(size: int, data: st.DataObject) -> None:
    half = 1 << (8 * size - 1)
    samples = data.draw(st.lists(st.tuples(*[st.integers(-half, half - 1)] * 3), min_size=1, max_size=20))
    restored = unpack(pack(samples, size), 3, size)
    assert restored is not None and restored.tolist() == [list(sample) for sample in samples]


def test_a_sum_that_leaves_its_sixteen_bits_is_refused() -> None:
    codec = PolarCodec()
    chunk = encode_frame(ACCELERATION, 0, [(0, 0, 0), (40_000, 0, 0)], 0x81)
    assert codec.decode(chunk) == []
    assert codec.counts.bad == 1


def nine_axes() -> PolarCodec:
    codec = PolarCodec()
    codec.start(52)
    for kind, offer in ((ACCELERATION, {0: (52,), 2: (8,)}), (ANGULAR_VELOCITY, {0: (52,), 2: (2000,)}),
                        (MAGNETIC_FIELD, {0: (50,), 2: (50,)})):  # fmt: skip
        assert codec.reply(encode_response(1, kind, offer))
        (bits,) = struct.unpack("<I", struct.pack("<f", 1.0))
        codec.decode(encode_response(2, kind, {5: (bits,)}))
    return codec


PERIOD = 1_000_000_000 // 52


def gyroscope(end_ns: int, count: int) -> Chunk:
    return encode_frame(ANGULAR_VELOCITY, end_ns, [(row, 0, 0) for row in range(count)], 0x80)


def accelerometer(end_ns: int, count: int) -> Chunk:
    return encode_frame(ACCELERATION, end_ns, [(row, 0, 1000) for row in range(count)], 0x81)


def test_angular_velocities_wait_for_the_acceleration_measured_nearest_to_them() -> None:
    codec = nine_axes()
    assert codec.decode(accelerometer(1_000_000_000, 4)) == []
    late = 1_000_000_000 + PERIOD // 4
    found = codec.decode(gyroscope(late, 4))
    assert len(found) == 3  # the last one lies behind the last acceleration
    found += codec.decode(accelerometer(1_000_000_000 + 4 * PERIOD, 4))
    assert times(found) == [(late - n * PERIOD) // 1000 for n in (3, 2, 1, 0)]
    assert np.rad2deg(np.array(vectors(found, "angular_velocity")))[:, 0] == pytest.approx([0, 1, 2, 3])
    assert np.array(vectors(found, "acceleration"))[:, 0] / MILLI_G == pytest.approx([0, 1, 2, 3])


def test_the_magnetic_field_joins_and_is_not_waited_for() -> None:
    codec = nine_axes()
    codec.decode(encode_frame(MAGNETIC_FIELD, 1_000_000_000, [(200, 0, -400, 3)] * 4, 0x81))
    codec.decode(accelerometer(1_000_000_000, 4))
    found = codec.decode(gyroscope(1_000_000_000, 4))
    assert vectors(found, "magnetic_field") == [pytest.approx((20, 0, -40))] * 4
    codec.decode(accelerometer(1_000_000_000 + 4 * PERIOD, 4))
    found = codec.decode(gyroscope(1_000_000_000 + 4 * PERIOD, 4))
    assert len(found) == 4
    assert vectors(found, "magnetic_field")[-1] is None  # three periods old


def test_an_acceleration_that_was_lost_leaves_its_place_empty() -> None:
    codec = nine_axes()
    codec.decode(accelerometer(1_000_000_000, 4))
    codec.decode(gyroscope(1_000_000_000, 4))
    codec.decode(gyroscope(1_000_000_000 + 4 * PERIOD, 4))
    found = codec.decode(accelerometer(1_000_000_000 + 12 * PERIOD, 4))
    assert len(found) == 4
    assert vectors(found, "acceleration")[2] is None


def test_what_waits_is_bounded_and_never_lost() -> None:
    codec = nine_axes()
    found = [item for n in range(100) for item in codec.decode(gyroscope((n + 1) * 20 * PERIOD, 20))]
    assert len(found) == 2000 - 256
    found += codec.decode(Chunk(bytes((1, ANGULAR_VELOCITY)), 0, CONTROL))[:-1]
    assert len(found) == 2000
    assert vectors(found, "acceleration") == [None] * 2000


def test_a_clock_that_was_set_back_pairs_nothing_across() -> None:
    codec = nine_axes()
    codec.decode(accelerometer(9_000_000_000, 4))
    codec.decode(accelerometer(1_000_000_000, 4))
    found = codec.decode(gyroscope(1_000_000_000, 4))
    assert np.array(vectors(found, "acceleration"))[:, 0] / MILLI_G == pytest.approx([0, 1, 2, 3])


def test_what_is_not_brought_together_is_a_sensor_of_its_own() -> None:
    codec = PolarCodec()
    (magnetic,) = codec.decode(encode_frame(MAGNETIC_FIELD, 5_000_000, [(200, 0, -400, 3)], 0x81))
    (resting,) = codec.decode(encode_frame(ACCELERATION, 4_000_000, [(0, 0, 1000)], 1))
    assert (magnetic.sensor, resting.sensor) == ("magnetometer", "")
