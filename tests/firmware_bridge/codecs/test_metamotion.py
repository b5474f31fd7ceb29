"""Bytes and values of MbientLab's own tests (MetaWear-SDK-Cpp, ``test/test_sensor_fusion.py``, ``test_settings.py``)."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel.errors import UnknownChoice, UsageError
from firmware_bridge.codecs.metamotion import MODES, OUTPUTS, MetaMotionCodec, encode_battery, encode_output
from firmware_bridge.samples import STANDARD_GRAVITY, Chunk, DeviceStatus, Flags, Reading

NOTIFY = "326a9006-85cb-9195-d9dd-464cfbbae75a"
COMMAND = "326a9001-85cb-9195-d9dd-464cfbbae75a"


def only(data: bytes) -> Reading:
    output = next(output for output, register in OUTPUTS.items() if register == data[1])
    (reading,) = MetaMotionCodec((output,)).decode(Chunk(data, 0, NOTIFY))
    assert isinstance(reading, Reading)
    return reading


def test_makers_corrected_acceleration_is_milli_g_on_the_wire() -> None:
    reading = only(bytes.fromhex("19 04 203e53c5 0cfe7946 0cfe79c6 00"))
    expected = [value * STANDARD_GRAVITY for value in (-3.3799, 15.9995, -15.9995)]
    assert reading.acceleration == pytest.approx(expected, abs=1e-3)
    assert reading.flags == Flags.SATURATED  # the maker's own sample stands at the end of the 16 g range


def test_makers_corrected_angular_velocity() -> None:
    reading = only(bytes.fromhex("19 05 7a569142 b46260c2 73340444 00"))
    assert reading.angular_velocity == pytest.approx([math.radians(v) for v in (72.669, -56.096, 528.820)], abs=1e-4)
    assert reading.flags == Flags.NONE


def test_makers_corrected_magnetic_field() -> None:
    reading = only(bytes.fromhex("19 06 00000242 cdcc6cc1 9a99ed41 03"))
    assert reading.magnetic_field == pytest.approx((32.5, -14.8, 29.7), abs=1e-4)


def test_makers_quaternion() -> None:
    reading = only(bytes.fromhex("19 07 1b9b703f 8c5e4dbd 077f1dbe 78029abe"))
    assert reading.orientation == pytest.approx((0.940, -0.050, -0.154, -0.301), abs=1e-3)
    assert math.hypot(*reading.orientation or ()) == pytest.approx(1, abs=1e-9)


def test_makers_gravity_is_a_sensor_of_its_own() -> None:
    reading = only(bytes.fromhex("19 09 ee20d33e b2930141 0459b0c0"))
    assert reading.sensor == "gravity"
    expected = [value * STANDARD_GRAVITY for value in (0.042, 0.826, -0.562)]
    assert reading.acceleration == pytest.approx(expected, abs=5e-3)


def test_makers_linear_acceleration_has_metres_on_the_wire() -> None:
    reading = only(bytes.fromhex("19 0a 2fca3940 86d46141 804c6ec0"))
    expected = [value * STANDARD_GRAVITY for value in (0.296, 1.439, -0.380)]
    assert reading.linear_acceleration == pytest.approx(expected, abs=5e-3)
    assert reading.acceleration is None


def test_makers_battery_and_address() -> None:
    codec = MetaMotionCodec()
    assert codec.decode(Chunk(bytes.fromhex("118c633410"), 0, NOTIFY)) == [DeviceStatus(battery=0.99)]
    assert encode_battery(0.99, 4148).data == bytes.fromhex("118c633410")
    told = codec.decode(Chunk(bytes.fromhex("118b01077b528fc9e8"), 0, NOTIFY))
    assert told == [DeviceStatus(identity="E8:C9:8F:52:7B:07")]


@pytest.mark.parametrize(
    ("mode", "sensors"),
    [("ndof", (0x03, 0x13, 0x15)), ("imu-plus", (0x03, 0x13)), ("compass", (0x03, 0x15)), ("m4g", (0x03, 0x15))],
)
def test_makers_sequence_of_start_and_stop(mode: str, sensors: tuple[int, ...]) -> None:
    codec = MetaMotionCodec(("linear_acceleration",), mode)
    begin = [bytes((sensor, 2, 1, 0)) for sensor in sensors] + [bytes((sensor, 1, 1)) for sensor in sensors]
    begin += [bytes((0x19, 3, 0x40, 0)), bytes((0x19, 1, 1))]
    end = [bytes((0x19, 1, 0)), bytes((0x19, 3, 0, 0x7F))]
    end += [bytes((sensor, 1, 0)) for sensor in sensors] + [bytes((sensor, 2, 0, 1)) for sensor in sensors]
    board = Chunk(bytes((0x03, 0x80, 1, 1)), 0, NOTIFY)
    written = [write.data for write in codec.reply(board)]
    assert written[-len(begin) :] == begin
    assert written[-len(begin) - 1] == bytes((0x19, 0x0A, 1))
    assert [write.data for write in codec.stop()][: len(end)] == end


@pytest.mark.parametrize(
    ("mode", "kind", "configuration"),
    [
        ("ndof", 1, ["19020113", "0303280c", "13032800", "1504040e", "150306"]),
        ("imu-plus", 1, ["19020213", "0303280c", "13032800"]),
        ("compass", 1, ["19020313", "0303260c", "1504040e", "150306"]),
        ("m4g", 1, ["19020413", "0303270c", "1504040e", "150306"]),
        ("ndof", 4, ["19020113", "0303a803", "13032800", "1504040e", "150306"]),
    ],
)
def test_makers_configuration_of_16_g_and_2000_degrees(mode: str, kind: int, configuration: list[str]) -> None:
    written = MetaMotionCodec(mode=mode).reply(Chunk(bytes((0x03, 0x80, kind, 0)), 0, NOTIFY))
    assert [write.data.hex() for write in written][: len(configuration)] == configuration
    assert {write.channel for write in written} == {COMMAND}


def test_a_board_without_fusion_is_named_and_not_started() -> None:
    codec = MetaMotionCodec()
    board = Chunk(bytes((0x03, 0x80, 3, 0)), 0, NOTIFY)
    (status,) = codec.decode(board)
    assert isinstance(status, DeviceStatus) and "kind 3" in (status.text or "")
    assert codec.reply(board) == ()
    assert codec.decode(Chunk(bytes((0x03, 0x80, 4, 0)), 0, NOTIFY)) == []
    assert codec.counts.bad == 0


@settings(max_examples=60)
@given(st.sampled_from(sorted(OUTPUTS)), st.tuples(*[st.floats(-5, 5, width=32)] * 3))
def test_what_is_encoded_comes_back(output: str, vector: tuple[float, float, float]) -> None:
    values: tuple[float, ...] = (0.5, 0.5, -0.5, 0.5) if output == "orientation" else vector
    reading = only(encode_output(output, values).data)
    field = "acceleration" if output == "gravity" else output
    assert getattr(reading, field) == pytest.approx(values, rel=1e-6, abs=1e-6)


def sent(*outputs: str) -> list[Chunk]:
    values = {"orientation": (1.0, 0, 0, 0), "acceleration": (0, 0, 9.8), "magnetic_field": (20, 0, -40)}
    return [encode_output(output, values.get(output, (1.0, 2, 3))) for output in outputs]


def held(reading: Reading | DeviceStatus) -> set[str]:
    return {output for output in OUTPUTS if getattr(reading, output, None) is not None}


def test_what_belongs_to_one_step_of_the_fusion_is_one_reading() -> None:
    codec = MetaMotionCodec(("acceleration", "angular_velocity", "orientation"))
    found = [item for chunk in sent("acceleration", "angular_velocity", "orientation") * 3 for item in codec.decode(chunk)]
    assert [held(item) for item in found] == [{"acceleration", "angular_velocity", "orientation"}] * 3


def test_a_lost_notification_costs_its_own_value_only() -> None:
    codec = MetaMotionCodec(("acceleration", "orientation"))
    chunks = sent("acceleration", "orientation", "acceleration", "acceleration", "orientation")
    found = [item for chunk in chunks for item in codec.decode(chunk)]
    whole = {"acceleration", "orientation"}
    assert [held(item) for item in found] == [whole, {"acceleration"}, whole]


def test_a_slower_magnetic_field_holds_up_a_reading_by_one_step_at_most() -> None:
    codec = MetaMotionCodec(("acceleration", "magnetic_field", "orientation"))
    step = sent("acceleration", "orientation")
    chunks = [*step, *step, *sent("acceleration", "magnetic_field", "orientation"), *step, *step]
    found = [item for chunk in chunks for item in codec.decode(chunk)]
    assert [len(held(item)) for item in found] == [2, 2, 3, 2]


def test_saturation_of_one_value_marks_the_reading() -> None:
    codec = MetaMotionCodec(("acceleration", "orientation"))
    codec.decode(encode_output("acceleration", (0, 0, 16 * STANDARD_GRAVITY)))
    (reading,) = codec.decode(*sent("orientation"))
    assert isinstance(reading, Reading) and reading.flags == Flags.SATURATED


def test_reset_forgets_half_a_step() -> None:
    codec = MetaMotionCodec(("acceleration", "orientation"))
    codec.decode(*sent("acceleration"))
    codec.reset()
    assert codec.decode(*sent("orientation")) == []


@pytest.mark.parametrize("output", sorted(OUTPUTS))
def test_a_notification_of_another_length_is_refused(output: str) -> None:
    whole = encode_output(output, (1.0, 0, 0, 0) if output == "orientation" else (1.0, 0, 0)).data
    for data in (*(whole[:length] for length in range(len(whole))), whole + b"\0"):
        codec = MetaMotionCodec()
        assert codec.decode(Chunk(data, 0, NOTIFY)) == []
        assert (codec.counts.frames, codec.counts.bad, codec.counts.discarded) == (0, 1, len(data))


@pytest.mark.parametrize("wrong", [math.nan, math.inf, 1e7])
@pytest.mark.parametrize("output", sorted(OUTPUTS))
def test_impossible_values_are_refused(output: str, wrong: float) -> None:
    data = bytearray(encode_output(output, (1.0, 0, 0, 0) if output == "orientation" else (1.0, 0, 0)).data)
    struct.pack_into("<f", data, 6, wrong)
    codec = MetaMotionCodec()
    assert codec.decode(Chunk(bytes(data), 0, NOTIFY)) == []
    assert codec.counts.bad == 1


def test_start_asks_what_the_board_is() -> None:
    assert [write.data.hex() for write in MetaMotionCodec().start(100)] == ["118c", "118b", "0380"]


@pytest.mark.parametrize("mode", sorted(MODES))
def test_the_fusions_rate_is_fixed(mode: str) -> None:
    codec = MetaMotionCodec(mode=mode)
    assert codec.start(MODES[mode].rate)
    with pytest.raises(UsageError, match=str(MODES[mode].rate)):
        codec.start(60)


def test_unknown_choices_are_refused_with_the_valid_ones() -> None:
    with pytest.raises(UnknownChoice, match="linear_acceleration"):
        MetaMotionCodec(("euler",))
    with pytest.raises(UnknownChoice, match="imu-plus"):
        MetaMotionCodec(mode="fast")
    with pytest.raises(UsageError, match="orientation"):
        MetaMotionCodec(())
