"""The first 20 bytes of a packet that moslime published ("Packet breakdown.txt"), and packets made like it."""

from __future__ import annotations

import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeskel.errors import UsageError
from firmware_bridge.codecs import Codec
from firmware_bridge.codecs.mocopi_ble import PERIOD_NS, MocopiBleCodec, encode_packet
from firmware_bridge.samples import Flags, Quaternion, Reading
from tests.firmware_bridge.codecs.checks import feed, readings, sound, survives

PUBLISHED = bytes.fromhex("B07BB86F4B615D17 2B04E4093412F417 2A04410A")
BEGIN = 1_683_600_000_000_000_000


def turned(n: int) -> Quaternion:
    return math.cos(n / 50), 0.0, math.sin(n / 50), 0.0


def packet(n: int) -> bytes:
    return encode_packet(BEGIN + n * PERIOD_NS, turned(n), turned(n - 1))


def steps(found: list[Reading]) -> list[int]:
    assert all(reading.orientation is not None for reading in found)
    numbers = [(reading.sequence or 0) - BEGIN // PERIOD_NS for reading in found]
    for number, reading in zip(numbers, found, strict=True):
        assert reading.orientation == pytest.approx(turned(number), abs=2e-4)
        assert reading.device_us == (BEGIN + number * PERIOD_NS) // 1000
    return numbers


def test_published_bytes() -> None:
    """What the publication lacks (it was cut by the MTU) is filled up with its own quaternion and zeros."""
    codec = MocopiBleCodec()
    assert feed(codec, [PUBLISHED]) == []
    assert codec.counts.bad == 1
    (reading,) = readings(feed(codec, [PUBLISHED[:16] + PUBLISHED[8:16] + bytes(12)]))
    norm = math.hypot(1067, 2532, 4660, 6132)
    assert norm / 8192 == pytest.approx(1, abs=0.002)
    assert reading.orientation == pytest.approx([value / norm for value in (1067, 2532, 4660, 6132)])
    assert reading.device_us is not None
    date = datetime.datetime.fromtimestamp(reading.device_us / 1e6, datetime.timezone.utc)
    assert (date.year, date.month) == (2023, 5)  # when the file was published


def test_the_counter_that_others_read_is_the_clock_without_its_lowest_byte() -> None:
    first, second = packet(4), packet(5)
    assert int.from_bytes(second[1:8], "little") - int.from_bytes(first[1:8], "little") == 78125


def test_nothing_is_handed_over_twice() -> None:
    found = readings(feed(MocopiBleCodec(), [packet(n) for n in range(100)]))
    assert steps(found) == list(range(100))
    assert all(reading.flags == Flags.NONE for reading in found)


def test_a_single_lost_packet_is_recovered_from_the_next() -> None:
    found = readings(feed(MocopiBleCodec(), [packet(n) for n in range(30) if n not in (7, 20)]))
    assert steps(found) == list(range(30))
    assert all(reading.flags == Flags.NONE for reading in found)


def test_of_more_lost_packets_the_last_is_recovered_and_the_gap_is_said() -> None:
    found = readings(feed(MocopiBleCodec(), [packet(n) for n in range(20) if not 5 <= n < 9]))
    assert steps(found) == [0, 1, 2, 3, 4, 8, *range(9, 20)]
    assert [number for number, reading in zip(steps(found), found, strict=True) if Flags.GAP in reading.flags] == [8]


def test_a_repetition_that_is_no_rotation_is_left_out() -> None:
    broken = encode_packet(BEGIN + 2 * PERIOD_NS, turned(2), (0, 0, 0, 0))
    found = readings(feed(MocopiBleCodec(), [packet(0), broken]))
    assert steps(found) == [0, 2]
    assert found[1].flags == Flags.GAP


def test_what_is_no_measurement_is_refused() -> None:
    codec = MocopiBleCodec()
    assert feed(codec, [b"", bytes(36), b"\xff" * 36, packet(1)[:20], packet(1) + b"\0"]) == []
    assert codec.counts.bad == 5


def test_acceleration_of_unknown_unit_is_not_handed_over() -> None:
    (reading,) = readings(feed(MocopiBleCodec(), [packet(1)[:24] + bytes.fromhex("003C") * 6]))
    assert reading.acceleration is None and reading.linear_acceleration is None


def test_reset_does_not_recover_across_the_pause() -> None:
    codec = MocopiBleCodec()
    feed(codec, [packet(1)])
    codec.reset()
    assert steps(readings(feed(codec, [packet(500)]))) == [500]


def test_commands() -> None:
    codec: Codec = MocopiBleCodec()
    (start,) = codec.start(50)
    assert (start.data, start.channel) == (bytes.fromhex("7e0318d6010000"), "0000ff01-0000-1000-8000-00805f9b34fb")
    assert codec.gatt is not None and codec.gatt.least_mtu == len(packet(0)) + 3
    assert list(codec.stop()) == []
    with pytest.raises(UsageError, match="50"):
        codec.start(100)


@given(st.lists(st.one_of(st.binary(max_size=50), st.binary(min_size=36, max_size=36)), max_size=15))
def test_any_bytes(pieces: list[bytes]) -> None:
    sound(feed(MocopiBleCodec(), pieces))


def test_mutated_packets() -> None:
    codec = survives(MocopiBleCodec, [packet(n) for n in range(5)], 5000)
    assert codec.counts.frames > 0 and codec.counts.bad > 0
