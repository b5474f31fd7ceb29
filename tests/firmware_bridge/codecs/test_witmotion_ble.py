"""The answer that WIT's WT901BLECL datasheet (v20-0707, 6.1.2.1) prints, and packets by hand after its tables."""

from __future__ import annotations

import math
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeskel.errors import UsageError
from firmware_bridge.codecs import Codec
from firmware_bridge.codecs.witmotion_ble import (
    WitMotionBleCodec,
    encode_magnetic_field,
    encode_packet,
    encode_quaternion,
    read_magnetic_field,
    read_quaternion,
)
from firmware_bridge.samples import STANDARD_GRAVITY, Flags, Vector
from tests.firmware_bridge.codecs.checks import feed, readings, sound, survives

NOTIFY = "0000ffe4-0000-1000-8000-00805f9a34fb"
MAKERS_ANSWER = bytes.fromhex("55 71 3A 00 68 01 69 00 7A 00 00 00 00 00 00 00 00 00 00 00")
HALF = math.sqrt(0.5)
GOOD = encode_packet((0, 0, 9.8), (0, 0, 0), (0, 0, 0))


def test_makers_answer_with_the_magnetic_field() -> None:
    (reading,) = readings(feed(WitMotionBleCodec(), [MAKERS_ANSWER], NOTIFY))
    assert reading.magnetic_field == pytest.approx((36.0, 10.5, 12.2))  # 360, 105, 122 mG
    assert encode_magnetic_field((36.0, 10.5, 12.2)) == MAKERS_ANSWER


def test_makers_questions() -> None:
    assert read_magnetic_field().data == bytes.fromhex("FF AA 27 3A 00")
    assert read_quaternion().data == bytes.fromhex("FF AA 27 51 00")


def test_measurement_by_the_datasheets_formulas() -> None:
    packet = b"\x55\x61" + struct.pack("<9h", 2048, 0, -4096, 16384, 0, -8192, 0, 0, 16384)
    (reading,) = readings(feed(WitMotionBleCodec(), [packet], NOTIFY))
    assert reading.acceleration == pytest.approx((STANDARD_GRAVITY, 0, -2 * STANDARD_GRAVITY))
    assert reading.angular_velocity == pytest.approx((math.radians(1000), 0, math.radians(-500)))
    assert reading.orientation == pytest.approx((HALF, 0, 0, HALF))
    assert reading.flags == Flags.NONE


@given(st.tuples(*[st.floats(-156, 156)] * 3), st.tuples(*[st.floats(-34, 34)] * 3), st.floats(-1.5, 1.5))
def test_round_trip(acceleration: Vector, angular_velocity: Vector, pitch: float) -> None:
    (reading,) = readings(feed(WitMotionBleCodec(), [encode_packet(acceleration, angular_velocity, (0, pitch, 0))]))
    assert reading.acceleration == pytest.approx(acceleration, abs=0.003)
    assert reading.angular_velocity == pytest.approx(angular_velocity, abs=0.001)
    assert reading.orientation == pytest.approx((math.cos(pitch / 2), 0, math.sin(pitch / 2), 0), abs=1e-4)


def test_quaternion_answer() -> None:
    (reading,) = readings(feed(WitMotionBleCodec(), [encode_quaternion((HALF, 0, -HALF, 0))]))
    assert reading.orientation == pytest.approx((HALF, 0, -HALF, 0), abs=1e-4)


def test_several_packets_in_one_notification() -> None:
    assert len(feed(WitMotionBleCodec(), [GOOD * 3])) == 3


def test_a_packet_cut_by_the_mtu_is_refused_and_the_next_reading_says_so() -> None:
    codec = WitMotionBleCodec()
    found = readings(feed(codec, [GOOD, GOOD[:17], GOOD, GOOD, GOOD]))
    assert len(found) == 4
    assert [Flags.GAP in reading.flags for reading in found] == [False, True, False, False]
    assert (codec.counts.frames, codec.counts.bad, codec.counts.discarded) == (4, 1, 17)


def test_the_bytes_of_a_vibration_sensor_of_the_same_maker_are_refused() -> None:
    """WTVB01 has the same service and start, and 28 bytes; from its manual, 5.2."""
    other = bytes.fromhex("5561 11001600020002000200000001 00E60A43004700 0A00250025002500".replace(" ", ""))
    codec = WitMotionBleCodec()
    assert feed(codec, [other] * 5) == []
    assert codec.counts.bad == 5


@pytest.mark.parametrize("size", [20, 40])
def test_noise_gives_no_reading(size: int) -> None:
    chance = random.Random(4)
    codec = WitMotionBleCodec()
    # A third of them with the right start, of which the pitch alone would let half pass.
    pieces = [chance.randbytes(size) if n % 3 else (b"\x55\x61" + chance.randbytes(18)) for n in range(30_000)]
    assert len(feed(codec, pieces)) == 0


def test_saturation() -> None:
    far = encode_packet((200.0, 0, 0), (0, 0, 0), (0, 0, 0))
    fast = encode_packet((0, 0, 9.8), (0, -50.0, 0), (0, 0, 0))
    found = readings(feed(WitMotionBleCodec(), [GOOD, far, fast]))
    assert [Flags.SATURATED in reading.flags for reading in found] == [False, True, True]


def test_impossible_values_are_refused() -> None:
    steep = b"\x55\x61" + struct.pack("<9h", 0, 0, 2048, 0, 0, 0, 0, 17000, 0)
    zero = b"\x55\x71" + struct.pack("<H8h", 0x51, *[0] * 8)
    codec = WitMotionBleCodec()
    assert feed(codec, [steep, zero]) == []
    assert codec.counts.bad == 2


def test_commands() -> None:
    codec: Codec = WitMotionBleCodec()
    commands = codec.start(100)
    assert [write.data for write in commands] == [bytes.fromhex("FFAA6988B5"), bytes.fromhex("FFAA030900")]
    assert {write.channel for write in commands} == {"0000ffe9-0000-1000-8000-00805f9a34fb"}
    assert codec.gatt is not None and codec.gatt.notify == (NOTIFY,)
    with pytest.raises(UsageError, match="50"):
        codec.start(60)


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_any_bytes(pieces: list[bytes]) -> None:
    codec = WitMotionBleCodec()
    sound(feed(codec, pieces))
    assert len(codec._held) <= 20


def test_mutated_packets() -> None:
    codec = survives(WitMotionBleCodec, [GOOD, MAKERS_ANSWER, encode_quaternion((1, 0, 0, 0))], 5000)
    assert codec.counts.frames > 0 and codec.counts.bad > 0
