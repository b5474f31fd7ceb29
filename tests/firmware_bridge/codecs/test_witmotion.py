"""WitMotion publishes the layout and no sample frames: these are packed by hand after the WT901 datasheet v20-0702."""

from __future__ import annotations

import math
import random
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeskel.errors import UsageError
from edgeskel.geometry import multiply
from firmware_bridge.codecs import Codec
from firmware_bridge.codecs.witmotion import (
    RATES,
    WitMotionCodec,
    encode_acceleration,
    encode_angles,
    encode_angular_velocity,
    encode_quaternion,
    encode_time,
)
from firmware_bridge.codecs.witmotion_ble import encode_packet
from firmware_bridge.samples import STANDARD_GRAVITY, Flags, Reading
from tests.firmware_bridge.codecs.checks import cut, feed, readings, sound, survives

HALF = math.sqrt(0.5)
START_MS = 800_000_000_000  # in May 2025


def by_hand(kind: int, *values: int) -> bytes:
    frame = struct.pack("<BB4h", 0x55, kind, *values)
    return frame + bytes([sum(frame) % 256])


def period(n: int) -> bytes:
    """What the device sends each 10 ms after our start command."""
    return (encode_time(START_MS + 10 * n) + encode_acceleration((n % 50, 0.5, 9.8))
            + encode_angular_velocity((0.1, n % 30, 0)) + encode_quaternion((HALF, 0, HALF, 0)))


def stream(count: int) -> bytes:
    return b"".join(period(n) for n in range(count))


def numbers(found: list[Reading]) -> list[int]:
    return [(reading.device_us or 0) // 10_000 - START_MS // 10 for reading in found]


def test_datasheets_formulas() -> None:
    data = (by_hand(0x51, 2048, -2048, 32767, 2500) + by_hand(0x52, 16384, 0, -8192, 0)
            + by_hand(0x53, 0, 0, 16384, 0)) * 2
    first, second = readings(feed(WitMotionCodec(), [data]))
    assert first == second
    assert first.acceleration == pytest.approx((STANDARD_GRAVITY, -STANDARD_GRAVITY, 16 * STANDARD_GRAVITY), rel=1e-4)
    assert first.angular_velocity == pytest.approx((math.radians(1000), 0, math.radians(-500)))
    assert first.orientation == pytest.approx((HALF, 0, 0, HALF))  # yaw of 90 degrees
    assert first.device_us is None
    assert first.flags == Flags.SATURATED  # 32767 is the end of the range


def test_angles_turn_about_z_then_y_then_x() -> None:
    roll, pitch, yaw = 0.3, -0.7, 2.0
    data = encode_angles(roll, pitch, yaw) * 2
    found = readings(feed(WitMotionCodec(), [data]))[0].orientation
    assert found is not None
    z = np.array([math.cos(yaw / 2), 0, 0, math.sin(yaw / 2)])
    y = np.array([math.cos(pitch / 2), 0, math.sin(pitch / 2), 0])
    x = np.array([math.cos(roll / 2), math.sin(roll / 2), 0, 0])
    assert found == pytest.approx(multiply(multiply(z, y), x), abs=2e-4)


def test_quaternion_is_preferred_to_the_angles() -> None:
    data = (encode_angles(0, 0, 1) + encode_quaternion((HALF, HALF, 0, 0))) * 2
    assert readings(feed(WitMotionCodec(), [data]))[0].orientation == pytest.approx((HALF, HALF, 0, 0), abs=1e-4)


def test_a_period_is_handed_over_with_its_last_frame() -> None:
    codec = WitMotionCodec()
    feed(codec, [stream(2)])
    third = period(2)
    assert feed(codec, [third[:-1]]) == []
    (reading,) = readings(feed(codec, [third[-1:]]))
    assert reading.device_us == (START_MS + 20) * 1000
    assert reading.acceleration == pytest.approx((2, 0.5, 9.8), abs=0.003)
    assert reading.orientation == pytest.approx((HALF, 0, HALF, 0), abs=1e-4)


def test_nothing_is_lost_in_a_clean_stream() -> None:
    codec = WitMotionCodec()
    found = readings(feed(codec, [stream(500)]))
    assert numbers(found) == list(range(500))
    assert all(reading.flags == Flags.NONE for reading in found)
    assert (codec.counts.frames, codec.counts.bad, codec.counts.discarded) == (2000, 0, 0)


def test_the_clock_counts_over_midnight_and_the_leap_day() -> None:
    times = [(366 + 31 + 28) * 86_400_000 - 5, (24 * 365 + 6 + 31 + 29) * 86_400_000 - 1]  # 2001-02-28, 2024-02-29
    for before in times:
        data = b"".join(encode_time(before + n) + encode_acceleration((0, 0, 9.8)) for n in range(10))
        clocks = [reading.device_us for reading in readings(feed(WitMotionCodec(), [data]))]
        assert clocks[:9] == [(before + n) * 1000 for n in range(9)]


@given(st.lists(st.integers(0, 1000), max_size=40), st.binary(max_size=30))
def test_pieces_do_not_matter(places: list[int], noise: bytes) -> None:
    data = stream(6) + noise + stream(6)
    whole, pieces = WitMotionCodec(), WitMotionCodec()
    assert feed(pieces, cut(data, places)) == feed(whole, [data])
    assert pieces.counts == whole.counts


@pytest.mark.parametrize("error", ["flip", "delete", "insert"])
def test_an_isolated_error_costs_one_frame(error: str) -> None:
    chance = random.Random(11)
    data, errors = bytearray(), 300
    for n in range(errors):
        piece = bytearray(b"".join(period(5 * n + k) for k in range(5)))
        at = 44 * 2 + chance.randrange(44)
        if error == "flip":
            piece[at] ^= 1 << chance.randrange(8)
        elif error == "delete":
            del piece[at]
        else:
            piece.insert(at, chance.randrange(256))
        data += piece
    codec = WitMotionCodec()
    found = readings(feed(codec, [bytes(data)]))
    assert 20 * errors - codec.counts.frames <= errors
    assert len(found) >= 5 * errors - 1
    assert sum(Flags.GAP in reading.flags for reading in found) >= 0.97 * errors


def test_noise_gives_at_most_one_frame_in_20_mb() -> None:
    """Here 6 MB, in which a start, a known kind and the sum alone would let several frames pass."""
    noise = np.random.default_rng(17).integers(0, 256, 6_000_000, dtype=np.uint8).tobytes()
    codec = WitMotionCodec()
    for at in range(0, len(noise), 1 << 16):
        assert feed(codec, [noise[at : at + (1 << 16)]]) == []
    assert codec.counts.frames == 0
    starts = np.flatnonzero(np.frombuffer(noise[:-11], np.uint8) == 0x55)
    frames = [noise[at : at + 11] for at in starts]
    assert sum(0x50 <= frame[1] <= 0x5A and sum(frame[:10]) % 256 == frame[10] for frame in frames) >= 2


def test_noise_before_and_after_costs_nothing_but_itself() -> None:
    noise = random.Random(2).randbytes(500)
    found = readings(feed(WitMotionCodec(), [noise + stream(50) + noise + stream(50)]))
    assert len(found) >= 98
    assert sum(Flags.GAP in reading.flags for reading in found) == 2


def test_impossible_values_are_refused_though_the_sum_is_right() -> None:
    for bad in (by_hand(0x53, 0, 20000, 0, 0), by_hand(0x59, 0, 0, 0, 0), by_hand(0x59, *[32767] * 4),
                by_hand(0x50, 0x0D19, 0, 0, 0), by_hand(0x60, 0, 0, 0, 0)):
        codec = WitMotionCodec()
        found = readings(feed(codec, [stream(5) + bad + stream(5)]))
        assert len(found) == 10
        assert codec.counts.bad == 1
        assert all(abs(math.hypot(*reading.orientation or ()) - 1) < 1e-9 for reading in found)


def test_magnetic_field_of_unknown_unit_is_not_handed_over() -> None:
    data = (encode_acceleration((0, 0, 9.8)) + by_hand(0x54, 300, 0, -400, 0)) * 3
    assert all(reading.magnetic_field is None for reading in readings(feed(WitMotionCodec(), [data])))


def test_the_factory_setting_works_too() -> None:
    """RSW 0x1E: kinds 51 to 54."""
    one = (encode_acceleration((0, 0, 9.8)) + encode_angular_velocity((0, 0, 1)) + encode_angles(0, 0, 0)
           + by_hand(0x54, 1, 2, 3, 0))
    codec = WitMotionCodec()
    found = [len(feed(codec, [one])) for _ in range(10)]
    assert found == [0, 2, *[1] * 8]  # what comes last is known after the first period


def test_start_and_stop_commands() -> None:
    codec: Codec = WitMotionCodec()
    unlock = bytes.fromhex("FFAA6988B5")
    assert [write.data for write in codec.start(200)] == [unlock, bytes.fromhex("FFAA020702"), bytes.fromhex("FFAA030B00")]
    assert codec.start()[-1].data == bytes.fromhex("FFAA030900")
    assert [write.data for write in codec.stop()] == [unlock, bytes.fromhex("FFAA030D00")]
    assert all(write.pause_s > 0 for write in codec.start())
    with pytest.raises(UsageError) as error:
        codec.start(60)
    assert all(f"{rate:g}" in str(error.value) for rate in RATES)


def test_reset_forgets_half_a_period() -> None:
    codec = WitMotionCodec()
    feed(codec, [stream(3) + period(3)[:25]])
    codec.reset()
    assert numbers(readings(feed(codec, [stream(6)[44:]]))) == [1, 2, 3, 4, 5]


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_any_bytes(pieces: list[bytes]) -> None:
    codec = WitMotionCodec()
    sound(feed(codec, pieces))
    assert codec._stream.kept < 2 * 11
    assert len(codec._period) <= 12


def test_mutated_frames() -> None:
    codec = survives(WitMotionCodec, [stream(3), by_hand(0x53, 1, 2, 3, 4) * 2], 3000)
    assert codec.counts.frames > 0 and codec.counts.bad > 0


def usb(n: int) -> bytes:
    """What a WT901BLECL sends over its cable: the packet that it sends over BLE."""
    return encode_packet((0.0, n % 50, 9.8), (0.1, 0, n % 30), (0.1, 0.2, 0.3))


@given(st.lists(st.integers(0, 1000), max_size=40))
def test_the_packets_of_the_models_for_ble_are_understood_over_their_cable(places: list[int]) -> None:
    codec = WitMotionCodec()
    found = readings(feed(codec, cut(b"".join(usb(n) for n in range(200)), places)))
    assert len(found) == 200 and (codec.counts.frames, codec.counts.bad, codec.counts.discarded) == (200, 0, 0)
    assert not any(Flags.GAP in reading.flags for reading in found)
    assert [round((reading.acceleration or (0, 0, 0))[1]) for reading in found] == [n % 50 for n in range(200)]


def test_such_a_stream_is_found_again_after_noise_and_from_the_middle_of_a_packet() -> None:
    noise = random.Random(3).randbytes(300)
    data = b"".join(usb(n) for n in range(50))
    found = readings(feed(WitMotionCodec(), [data[7:] + noise + data]))
    assert len(found) >= 98 and sum(Flags.GAP in reading.flags for reading in found) == 2
