"""The example message of CEVA's datasheet (1000-3927, 1.3.5.2), and streams made from it."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeskel.errors import UsageError
from edgeskel.geometry import conjugate, rotate
from firmware_bridge.codecs.bno08x import Bno08xCodec, encode_frame
from firmware_bridge.samples import Flags, Vector
from tests.firmware_bridge.codecs.checks import cut, feed, readings, sound, survives

EXAMPLE = bytes.fromhex("AA AA DE 01 00 92 FF 25 08 8D FE EC FF D1 03 00 00 00 E7")
STILL = (0.0, 0.0, 9.8)


def stream(count: int, first: int = 0) -> bytes:
    return b"".join(encode_frame((first + n) % 256, (n / 100, 0.1, -0.2), (n / 10, 0.5, 9.8)) for n in range(count))


def test_makers_example() -> None:
    codec = Bno08xCodec()
    (reading,) = readings(feed(codec, [EXAMPLE]))
    assert reading.sequence == 222
    assert reading.acceleration == pytest.approx((-3.638, -0.196, 9.581), abs=1e-3)  # as the datasheet says
    assert reading.flags == Flags.NONE
    assert (codec.counts.frames, codec.counts.bad, codec.counts.discarded) == (1, 0, 0)


def test_makers_example_is_one_sensor_at_rest() -> None:
    """The world's up, seen from the sensor, must be where the accelerometer sees it; other axes are 20 degrees off."""
    (reading,) = readings(feed(Bno08xCodec(), [EXAMPLE]))
    up = rotate(conjugate(np.array(reading.orientation)), np.array([0.0, 0.0, 1.0]))
    seen = np.array(reading.acceleration) / np.linalg.norm(reading.acceleration)
    assert math.degrees(math.acos(min(1.0, float(up @ seen)))) < 0.2


def test_encoder_gives_the_makers_bytes() -> None:
    angles = (math.radians(0.01), math.radians(-1.10), math.radians(20.85))
    acceleration = tuple(count * 9.80665e-3 for count in (-371, -20, 977))
    assert encode_frame(222, angles, acceleration) == EXAMPLE


ANGLES = st.tuples(st.floats(-math.pi, math.pi), st.floats(-math.pi / 2, math.pi / 2), st.floats(-math.pi, math.pi))


@given(ANGLES, st.tuples(*[st.floats(-75, 75)] * 3))
def test_round_trip(angles: Vector, acceleration: Vector) -> None:
    (reading,) = readings(feed(Bno08xCodec(), [encode_frame(9, angles, acceleration)]))
    assert reading.acceleration == pytest.approx(acceleration, abs=0.005)
    yaw, pitch, roll = angles
    # Written down anew: rotation matrices, z then x then y.
    def turn(axis: int, angle: float) -> np.ndarray:
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        matrix = np.eye(3)
        matrix[[i, i, j, j], [i, j, i, j]] = math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
        return matrix

    expected = turn(2, yaw) @ turn(0, pitch) @ turn(1, roll)
    got = np.stack([rotate(np.array(reading.orientation), axis) for axis in np.eye(3)], axis=1)
    assert np.abs(got - expected).max() < 5e-4


@given(st.lists(st.integers(0, 400), max_size=30),
       st.binary(max_size=40) | st.lists(st.sampled_from([0xAA, 0xAA, 0x00]), max_size=60).map(bytes))
def test_pieces_do_not_matter(places: list[int], noise: bytes) -> None:
    data = noise + stream(8) + noise + stream(8, 8)
    whole, pieces = Bno08xCodec(), Bno08xCodec()
    assert feed(pieces, cut(data, places)) == feed(whole, [data])
    assert pieces.counts == whole.counts


def test_index_wraps_without_a_gap() -> None:
    found = readings(feed(Bno08xCodec(), [stream(300)]))
    assert [reading.sequence for reading in found] == [n % 256 for n in range(300)]
    assert all(reading.flags == Flags.NONE for reading in found)


def test_opened_in_the_middle_of_a_frame_loses_that_frame_only() -> None:
    found = readings(feed(Bno08xCodec(), [stream(20)[7:]]))
    assert [reading.sequence for reading in found] == list(range(1, 20))
    assert Flags.GAP in found[0].flags


def test_start_up_banner_is_discarded() -> None:
    """5.1 of the datasheet: the chip introduces itself in text before the first frame."""
    banner = b"%Hillcrest Labs 10003608\r\n%SW Ver 3.2.x\r\n%(c) 2017 Hillcrest Laboratories, Inc.\r\n"
    codec = Bno08xCodec()
    assert len(feed(codec, [banner + stream(5)])) == 5
    assert codec.counts.discarded == len(banner)


@pytest.mark.parametrize("error", ["flip", "delete", "insert"])
def test_an_isolated_error_costs_one_frame(error: str) -> None:
    chance = random.Random(3)
    data, errors = b"", 200
    for n in range(errors):
        piece = bytearray(stream(10, 10 * n))
        at = 19 * 5 + chance.randrange(19)
        if error == "flip":
            piece[at] ^= 1 << chance.randrange(8)
        elif error == "delete":
            del piece[at]
        else:
            piece.insert(at, chance.randrange(256))
        data += bytes(piece)
    found = readings(feed(Bno08xCodec(), [data]))
    assert 9 * errors <= len(found) <= 9 * errors + errors // 8  # an inserted byte may fall between two frames
    assert sum(Flags.GAP in reading.flags for reading in found) >= errors * 0.97


def test_noise_gives_no_frame() -> None:
    noise = np.random.default_rng(5).integers(0, 256, 4_000_000, dtype=np.uint8).tobytes()
    codec = Bno08xCodec()
    found = [item for at in range(0, len(noise), 65536) for item in feed(codec, [noise[at : at + 65536]])]
    assert found == []
    assert codec.counts.discarded > len(noise) - 40


def test_impossible_angle_is_refused_though_the_sum_is_right() -> None:
    codec = Bno08xCodec()
    bad = encode_frame(5, (0, math.radians(95), 0), STILL)
    found = readings(feed(codec, [stream(5), bad, stream(5, 6)]))
    assert [reading.sequence for reading in found] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert codec.counts.bad == 1


def test_end_of_the_range_is_flagged() -> None:
    found = readings(feed(Bno08xCodec(), [encode_frame(0, (0, 0, 0), (8 * 9.80665, 0, 0)) + stream(1, 1)]))
    assert [Flags.SATURATED in reading.flags for reading in found] == [True, False]


def test_reset_forgets_half_a_frame() -> None:
    codec = Bno08xCodec()
    feed(codec, [stream(1)[:10]])
    codec.reset()
    assert len(feed(codec, [stream(3)])) == 3


@given(st.lists(st.binary(max_size=80), max_size=20))
def test_any_bytes(pieces: list[bytes]) -> None:
    codec = Bno08xCodec()
    sound(feed(codec, pieces))
    assert codec._stream.kept < 2 * 19


def test_mutated_frames() -> None:
    codec = survives(Bno08xCodec, [stream(3), EXAMPLE], 3000)
    assert codec.counts.frames > 0 and codec.counts.bad > 0


def test_one_rate_and_no_command() -> None:
    codec = Bno08xCodec()
    assert list(codec.start()) == list(codec.start(100)) == list(codec.stop()) == []
    with pytest.raises(UsageError, match="100"):
        codec.start(50)
