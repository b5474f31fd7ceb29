"""The test vectors of SlimeVR's own SlimeVR-Rust (networking/firmware_protocol/src/test_deku.rs), and what follows."""

from __future__ import annotations

import math
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeskel.errors import UsageError
from firmware_bridge.codecs.slimevr import SlimeVRCodec
from firmware_bridge.codecs.slimevr_packets import (
    HANDSHAKE_REPLY,
    Part,
    encode_acceleration,
    encode_battery,
    encode_bundle,
    encode_handshake,
    encode_motion,
    encode_packet,
    encode_rotation,
    encode_sensor_info,
    encode_signal,
    encode_temperature,
)
from firmware_bridge.link.sequence_tracker import SequenceTracker
from firmware_bridge.samples import Chunk, DeviceStatus, Flags, Reading
from tests.firmware_bridge.codecs.checks import feed, readings, sound, survives

HANDSHAKE = bytes(
    [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7,
     0, 0, 0, 8, 4, 116, 101, 115, 116, 121, 34, 164, 250, 231, 204]
)  # fmt: skip
SENSOR_INFO = bytes([0, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, 1, 64, 3, 5])
ROTATION = bytes(
    [0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 1, 64, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 63, 128, 0, 0, 0]
)  # fmt: skip
ACCELERATION = bytes(
    [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 16, 61, 204, 204, 205, 63, 0, 0, 0, 63, 102, 102, 102, 32]
)  # fmt: skip
PING = bytes([0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4])
MAC = bytes([121, 34, 164, 250, 231, 204])
HALF = math.sqrt(0.5)
TURNED = (HALF, 0.0, HALF, 0.0)


def rotations(numbers: list[int], sensor: int = 0) -> list[bytes]:
    return [encode_packet(number, encode_rotation(sensor, TURNED)) for number in numbers]


def test_makers_handshake() -> None:
    found = feed(SlimeVRCodec(), [HANDSHAKE])
    assert found == [DeviceStatus(identity="79:22:a4:fa:e7:cc", firmware="test", text="board 2, IMU 3, MCU 4, protocol 8")]
    assert encode_packet(1, encode_handshake(MAC, "test", board=2, imu=3, mcu=4, imu_info=(5, 6, 7), version=8)) == HANDSHAKE


def test_makers_rotation() -> None:
    (reading,) = feed(SlimeVRCodec(), [ROTATION])
    assert reading == Reading("64", 0, orientation=(1, 0, 0, 0))
    assert encode_packet(1, encode_rotation(64, (1, 0, 0, 0))) == ROTATION


def test_makers_acceleration_is_without_gravity() -> None:
    (reading,) = readings(feed(SlimeVRCodec(), [ACCELERATION]))
    assert reading.sensor == "32"
    assert reading.linear_acceleration == pytest.approx((0.1, 0.5, 0.9))
    assert reading.acceleration is None
    assert encode_packet(16, encode_acceleration(32, (0.1, 0.5, 0.9))) == ACCELERATION


def test_makers_sensor_info_and_its_receipt() -> None:
    codec = SlimeVRCodec()
    assert feed(codec, [SENSOR_INFO]) == [DeviceStatus("64", text="sensor 3, IMU 5")]
    assert encode_packet(1, encode_sensor_info(64, 3, 5)) == SENSOR_INFO
    answers = [write.data for write in codec.reply(Chunk(SENSOR_INFO, 0))]
    assert answers[0] == bytes([0, 0, 0, 15, 64, 3])


def test_makers_heartbeat_and_ping() -> None:
    codec = SlimeVRCodec()
    heartbeat, ping = (write.data for write in codec.reply(Chunk(PING, 0)))
    assert heartbeat == bytes([0, 0, 0, 1, *[0] * 8])
    assert ping[:12] == bytes([0, 0, 0, 10, *[0] * 8]) and len(ping) == 16


def test_the_server_answers_a_handshake_as_the_tracker_expects() -> None:
    """connection.cpp: first byte 3, then this text; the server sends 64 bytes."""
    answers = [write.data for write in SlimeVRCodec().reply(Chunk(HANDSHAKE, 0))]
    assert answers[0] == HANDSHAKE_REPLY == b"\x03Hey OVR =D 5" + bytes(51)


def test_features_are_offered_so_that_the_tracker_may_bundle() -> None:
    answers = [write.data for write in SlimeVRCodec().reply(Chunk(encode_packet(4, (22, b"\x00")), 0))]
    assert answers[0] == bytes([0, 0, 0, 22, *[0] * 8, 3])


def test_a_heartbeat_each_half_second_however_fast_it_sends() -> None:
    codec = SlimeVRCodec()
    sent = [len(codec.reply(Chunk(packet, at * 10_000_000))) for at, packet in enumerate(rotations(list(range(301))))]
    assert sum(sent) == 2 * 7  # heartbeat and ping at 0, 0.5 .. 3 s


def test_the_echo_of_our_ping_is_no_reading_and_is_not_answered() -> None:
    codec = SlimeVRCodec()
    ping = codec.reply(Chunk(rotations([1])[0], 1_000_000))[1].data
    assert codec.decode(Chunk(ping, 4_500_000)) == [] and codec.counts.bad == 0
    assert codec.reply(Chunk(ping, 4_600_000)) == []  # never echoed back: that would not end


@pytest.mark.parametrize("short", [False, True])
def test_a_bundle_gives_one_reading_per_sensor(short: bool) -> None:
    parts: list[Part] = [encode_rotation(0, TURNED), encode_acceleration(0, (1, 2, 3)), encode_rotation(1, (1, 0, 0, 0)),
                         encode_acceleration(1, (4, 5, 6)), encode_battery(3.9, 0.75)]
    status, first, second = feed(SlimeVRCodec(), [encode_bundle(7, parts, short=short)])
    assert status == DeviceStatus(battery=0.75)
    assert isinstance(first, Reading) and isinstance(second, Reading)
    assert (first.sensor, first.linear_acceleration) == ("0", (1, 2, 3))
    assert first.orientation == pytest.approx(TURNED)
    assert (second.sensor, second.linear_acceleration, second.orientation) == ("1", (4, 5, 6), (1, 0, 0, 0))


def test_two_rotations_of_a_sensor_in_one_bundle_stay_two_readings() -> None:
    found = readings(feed(SlimeVRCodec(), [encode_bundle(1, [encode_rotation(0, TURNED)] * 2)]))
    assert [reading.sequence for reading in found] == [0, 1]


def test_packed_rotation_and_acceleration() -> None:
    packet = encode_bundle(1, [encode_motion(2, TURNED, (1.5, -2.25, 300.0))], short=True)
    assert len(packet) == 12 + 1 + 1 + 15
    (reading,) = readings(feed(SlimeVRCodec(), [packet]))
    assert reading.orientation == pytest.approx(TURNED, abs=1e-4)
    assert reading.linear_acceleration == pytest.approx((1.5, -2.25, 255.99), abs=0.01)
    assert reading.flags == Flags.SATURATED


def test_what_a_tracker_says_of_itself() -> None:
    parts = [encode_battery(3.7, 0.5), encode_signal(-61), encode_temperature(1, 31.5), (14, b"\x00\x07"), (21, b"\x03")]
    assert feed(SlimeVRCodec(), [encode_packet(n, part) for n, part in enumerate(parts)]) == [
        DeviceStatus(battery=0.5), DeviceStatus(signal_dbm=-61.0), DeviceStatus("1", temperature=31.5),
        DeviceStatus("0", text="error 7"),
        DeviceStatus(text="button: yaw reset")]


def test_owotracks_old_dialect() -> None:
    codec = SlimeVRCodec()
    hello = struct.pack(">IQ", 3, 0)
    assert feed(codec, [hello]) == [DeviceStatus(text="owoTrack, old dialect")]
    assert codec.reply(Chunk(hello, 0))[0].data == HANDSHAKE_REPLY
    rotation = struct.pack(">IQ4f", 1, 1, 0, HALF, 0, HALF)
    second = struct.pack(">IQ4f", 16, 2, 0, 0, 0, 1)
    gyroscope = struct.pack(">IQ3f", 2, 3, 0.1, 0.2, 0.3)
    acceleration = struct.pack(">IQ3f", 4, 4, 0.5, 0, 0)
    found = readings(feed(codec, [rotation, second, gyroscope, acceleration]))
    assert [reading.sensor for reading in found] == ["0", "1", "0"]
    assert found[0].orientation == pytest.approx(TURNED)
    assert found[2].linear_acceleration == (0.5, 0, 0)
    assert codec.counts.bad == 0


def missing(found: list[Reading]) -> int:
    """What a sequence tracker per sensor counts."""
    lost, last = 0, {}
    for reading in found:
        assert reading.sequence is not None
        lost += reading.sequence - last.get(reading.sensor, reading.sequence - 1) - 1
        last[reading.sensor] = reading.sequence
    return lost


@given(st.sets(st.integers(2, 58), max_size=30))
def test_lost_packets_are_counted_exactly_though_sensors_share_the_number(lost: set[int]) -> None:
    packets = [encode_packet(n, [encode_rotation(0, TURNED), encode_rotation(1, TURNED), encode_battery(4, 1)][n % 3])
               for n in range(61)]
    found = readings(feed(SlimeVRCodec(), [packet for n, packet in enumerate(packets) if n not in lost]))
    assert missing(found) == len(lost)
    assert sum(Flags.GAP in reading.flags for reading in found) <= len(lost)
    assert any(Flags.GAP in reading.flags for reading in found) == bool(lost)


def test_late_and_repeated_packets_are_refused() -> None:
    codec = SlimeVRCodec()
    found = readings(feed(codec, rotations([1, 2, 2, 4, 3, 5])))
    assert len(found) == 4
    assert missing(found) == 1
    assert codec.counts.bad == 2


def test_a_tracker_that_began_anew_is_noticed() -> None:
    codec = SlimeVRCodec()
    hello = encode_packet(0, encode_handshake(MAC))
    feed(codec, [hello, *rotations(list(range(1, 100)))])
    found = readings(feed(codec, [hello, *rotations([0, 1, 2])]))
    assert [reading.flags for reading in found] == [Flags.REBOOTED, Flags.NONE, Flags.NONE]
    assert [reading.sequence for reading in found] == [0, 1, 2]


def test_a_tracker_that_only_lost_the_server_goes_on_counting() -> None:
    codec = SlimeVRCodec()
    hello = encode_packet(0, encode_handshake(MAC))
    feed(codec, [hello, *rotations(list(range(1, 100)))])
    found = readings(feed(codec, [hello, *rotations([103, 104])]))
    assert [reading.flags for reading in found] == [Flags.GAP, Flags.NONE]
    assert [reading.sequence for reading in found] == [102, 103]


def test_one_forged_number_does_not_lock_a_tracker_out() -> None:
    codec = SlimeVRCodec()
    found = readings(feed(codec, [*rotations([1, 2, 2**63 + 9]), *rotations(list(range(3, 30)))]))
    assert len(found) == 29
    assert missing(found) == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30])
def test_impossible_values_are_refused(value: float) -> None:
    bad = [encode_packet(1, encode_rotation(0, (1, 0, value, 0))), encode_packet(2, encode_acceleration(0, (0, value, 0))),
           encode_packet(3, encode_battery(3.7, value)), encode_packet(4, encode_temperature(0, value)),
           encode_packet(5, encode_rotation(0, (0, 0, 0, 0)))]
    codec = SlimeVRCodec()
    assert feed(codec, bad) == []
    assert (codec.counts.frames, codec.counts.bad) == (0, 5)


def test_one_bad_part_of_a_bundle_costs_that_part() -> None:
    codec = SlimeVRCodec()
    bundle = encode_bundle(1, [encode_rotation(0, (0, 0, 0, 0)), encode_rotation(1, TURNED)])
    assert [reading.sensor for reading in readings(feed(codec, [bundle]))] == ["1"]
    assert (codec.counts.frames, codec.counts.bad) == (1, 1)


def test_a_datagram_cut_short_is_refused() -> None:
    whole = encode_bundle(3, [encode_rotation(0, TURNED), encode_rotation(1, TURNED)])
    codec = SlimeVRCodec()
    assert feed(codec, [whole[:end] for end in range(len(whole)) if end != 12 + 2 + 4 + 19]) == []
    assert codec.counts.frames == 0


def test_noise_gives_nothing() -> None:
    chance = random.Random(1)
    codec = SlimeVRCodec()
    assert feed(codec, [chance.randbytes(chance.randrange(80)) for _ in range(20_000)]) == []
    assert len(readings(feed(codec, rotations([1, 2, 3])))) == 3


def test_a_tracker_has_no_rate_to_choose() -> None:
    codec = SlimeVRCodec()
    assert (codec.start(), codec.stop()) == ((), ())
    with pytest.raises(UsageError, match="its own"):
        codec.start(100)


@given(st.lists(st.binary(max_size=120), max_size=15))
def test_any_bytes(pieces: list[bytes]) -> None:
    codec = SlimeVRCodec()
    sound(feed(codec, pieces))
    for piece in pieces:
        codec.reply(Chunk(piece, 0))


def test_mutated_packets() -> None:
    packets = [HANDSHAKE, SENSOR_INFO, ROTATION, ACCELERATION, PING, encode_packet(9, (11, b"\0\0\0\2ab")),
               encode_bundle(5, [encode_motion(0, TURNED, (1, 2, 3)), encode_battery(3.7, 0.4)], short=True),
               encode_bundle(6, [encode_rotation(0, TURNED), encode_signal(-50)])]
    codec = survives(SlimeVRCodec, packets, 5000)
    assert isinstance(codec, SlimeVRCodec)
    assert codec.counts.frames > 0 and codec.counts.bad > 0
    assert len(codec._sequences) <= 256


@pytest.mark.parametrize("kind", [26, 27, 28, 29, 77, 255])
def test_whole_packets_that_tell_no_motion_are_no_losses(kind: int) -> None:
    """Flexion (26), positions (27), and whatever a later version sends."""
    codec, tracker = SlimeVRCodec(), SequenceTracker(32, None, ordered=False)
    for number in range(1, 101, 2):
        (reading,) = codec.decode(Chunk(encode_packet(number, encode_rotation(0, (1.0, 0.0, 0.0, 0.0))), number * 10**7))
        assert isinstance(reading, Reading) and reading.flags is Flags.NONE
        assert tracker.update(reading, number * 10**7).missing == 0
        body = struct.pack(">Bf", number % 8, 0.42) if kind == 26 else struct.pack(">3f", 0.1, 0.2, 0.3)
        assert codec.decode(Chunk(encode_packet(number + 1, (kind, body)), (number + 1) * 10**7)) == []
    assert (codec.counts.frames, codec.counts.bad, tracker.lost) == (100, 0, 0)
