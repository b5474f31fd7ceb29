"""Our own node's bytes: the specification's examples, every way of cutting and damaging a stream, restarts, commands."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel.errors import UsageError
from firmware_bridge.codecs import create
from firmware_bridge.codecs.node import COMMANDS, NOTIFICATIONS, NodeCodec
from firmware_bridge.codecs.node_frame import (
    LONGEST_BODY,
    LONGEST_STUFFED,
    Acknowledgement,
    Fields,
    NodeCommand,
    Order,
    Result,
    Samples,
    StatusBody,
    body_of,
    encode_acknowledgement,
    encode_command,
    encode_samples,
    encode_status,
    frame_of,
    parse,
)
from firmware_bridge.samples import Chunk, DeviceStatus, Flags, Reading

SPECIFICATION = Path(__file__).parents[2] / "docs" / "devices" / "node.md"
WHOLE = (0.0, 0.0, 9.805)  # what 9.80665 m/s² becomes in steps of 1/200


def decode(codec: NodeCodec, *pieces: bytes, channel: str = "") -> list[Reading | DeviceStatus]:
    return [item for piece in pieces for item in codec.decode(Chunk(piece, 1_000, channel))]


def instant(sequence: int, sensors: int = 17, *, boot: int = 1, device_us: int | None = None) -> Samples:
    turn = sequence / 50
    readings = [
        Reading(str(i), orientation=(math.cos(turn + i), math.sin(turn + i), 0.0, 0.0), acceleration=(i, -i, 9.8),
                angular_velocity=(0.1, turn % 3, -0.5 * i))
        for i in range(sensors)
    ]  # fmt: skip
    device_us = sequence * 10_000 if device_us is None else device_us
    return Samples(boot, sequence % 2**16, device_us, sensors, Fields(7), readings)


def stream(count: int, sensors: int = 17) -> list[bytes]:
    return [frame_of(encode_samples(instant(i, sensors))) for i in range(count)]


FRAMES = stream(4)  # of 374 bytes each


# -- the specification's examples ---------------------------------------------------------------------------------


def examples() -> list[bytes]:
    text = SPECIFICATION.read_text().partition("## Examples")[2]
    return [bytes.fromhex(line) for line in re.findall(r"^ {8}((?:[0-9a-f]{2} ?)+)$", text, re.MULTILINE)]


def said() -> list[Samples | StatusBody | NodeCommand | Acknowledgement]:
    half, host = 0.5**0.5, (123456789).to_bytes(8, "little")
    rate = (200).to_bytes(2, "little")
    return [
        Samples(42, 1000, 2_500_000, 1, Fields(3),
                [Reading("", 1000, 2_500_000, (half, 0.0, 0.0, half), WHOLE)]),
        Samples(42, 65535, 2**32 - 1, 17, Fields.ALL, [
            Reading("3", 65535, 2**32 - 1, (1.0, 0.0, 0.0, 0.0), WHOLE, None, (0.1, -0.2, 32767 / 900),
                    (20.0, 0.0, -43.5), Flags.SATURATED),
            Reading("16", 65535, 2**32 - 1, angular_velocity=(0.0, 0.0, 0.0)),
        ]),
        StatusBody(42, 0, 1200, True, True, 0.875, 31.25, 100, 17, Fields(7), "00112233", "1.0.0"),
        NodeCommand(2, Order.RATE, rate),
        Acknowledgement(2, Order.RATE, Result.DONE, 2_500_100, rate),
        NodeCommand(3, Order.TIME_SYNC, host),
        Acknowledgement(3, Order.TIME_SYNC, Result.DONE, 2_500_200, host + (2_500_450).to_bytes(4, "little")),
        NodeCommand(9, 99),
        Acknowledgement(9, 99, Result.UNKNOWN, 2_500_300),
    ]  # fmt: skip


def test_the_specifications_examples_say_what_it_claims() -> None:
    lines = examples()
    assert len(lines) == 2 * len(said())
    for body, frame, meaning in zip(lines[::2], lines[1::2], said(), strict=True):
        assert frame[0] == frame[-1] == 0 and 0 not in frame[1:-1]
        assert body_of(frame[1:-1]) == body
        found = parse(body)
        if isinstance(meaning, Samples) and isinstance(found, Samples):  # the quaternion is normalised after rounding
            assert found.readings[0].orientation == pytest.approx(meaning.readings[0].orientation, abs=1e-4)
            meaning.readings[0] = found.readings[0] if len(meaning.readings) == 1 else meaning.readings[0]
        assert found == meaning


# -- there and back -----------------------------------------------------------------------------------------------

components = st.floats(-1, 1)
vectors = st.tuples(*[st.floats(-200, 200)] * 3)


@st.composite
def readings(draw: st.DrawFn) -> Samples:
    sensors = draw(st.sampled_from([1, 2, 17, 64]))
    fields = draw(st.integers(1, 15))
    indices = draw(st.lists(st.integers(0, sensors - 1), min_size=1, max_size=min(sensors, 6), unique=True))
    found = []
    for index in sorted(indices):
        raw = draw(st.one_of(st.none(), st.tuples(*[components] * 4).filter(lambda q: math.hypot(*q) > 0.1)))
        quaternion = tuple(c / math.hypot(*raw) for c in raw) if raw and fields & 1 else None
        values = [draw(st.one_of(st.none(), vectors)) if fields & bit else None for bit in (2, 4, 8)]
        found.append(Reading(str(index) if sensors > 1 else "", 0, 0, quaternion, values[0], None, *values[1:]))
    sequence, device_us = draw(st.integers(0, 2**16 - 1)), draw(st.integers(0, 2**32 - 1))
    return Samples(draw(st.integers(0, 255)), sequence, device_us, sensors, Fields(fields), found)


@settings(max_examples=60)
@given(readings())
def test_readings_come_back_within_half_a_step(samples: Samples) -> None:
    codec = NodeCodec()
    found = decode(codec, frame_of(encode_samples(samples)))
    assert codec.counts.frames == 1 and codec.counts.bad == 0
    assert [item.sensor for item in found] == [reading.sensor for reading in samples.readings]
    for back, reading in zip(found, samples.readings, strict=True):
        assert isinstance(back, Reading)
        assert (back.sequence, back.device_us) == (samples.sequence, samples.device_us)
        beyond = False
        for name, most, step in (("acceleration", 163.835, 1 / 200), ("angular_velocity", 36.4077, 1 / 900),
                                 ("magnetic_field", 3276.7, 0.1)):
            value, was = getattr(back, name), getattr(reading, name)
            assert (value is None) == (was is None)
            for a, b in zip(value or (), was or (), strict=True):
                beyond |= abs(b) > most + step / 2
                assert abs(a - max(-most, min(most, b))) <= 0.5001 * step + 1e-4 * (abs(b) > most)
        if beyond:
            assert back.flags & Flags.SATURATED
        if reading.orientation is None:
            assert back.orientation is None
        else:
            assert back.orientation is not None and math.hypot(*back.orientation) == pytest.approx(1)
            assert math.dist(back.orientation, reading.orientation) < 6e-5


@settings(max_examples=30)
@given(st.lists(st.integers(0, 1700), max_size=30))
def test_however_a_stream_is_cut_it_says_the_same(cuts: list[int]) -> None:
    data = b"".join([*FRAMES, *examples()[5:10:4]])
    whole, pieces = NodeCodec(), NodeCodec()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    assert decode(pieces, *parts) == decode(whole, data)
    assert pieces.counts == whole.counts and pieces.counts.frames == 6
    assert pieces.answers == whole.answers


# -- damage -------------------------------------------------------------------------------------------------------


@cache
def meant(frame: bytes) -> tuple[Reading | DeviceStatus, ...]:
    return tuple(decode(NodeCodec(), frame))


def lost(frames: Sequence[bytes], data: bytes) -> int:
    """How many frames ``data`` lost of a stream of ``frames``; what arrives must be what was sent."""
    codec = NodeCodec()
    sent = {meant(frame) for frame in frames}
    got = decode(codec, data)
    sensors = len(next(iter(sent)))
    arrived = [tuple(got[i : i + sensors]) for i in range(0, len(got), sensors)]
    assert set(arrived) <= sent
    assert codec.counts.frames == len(arrived)
    return len(frames) - len(arrived)


def test_no_single_error_anywhere_costs_more_than_one_frame() -> None:
    frames = stream(4, sensors=3)
    data = b"".join(frames)
    chance = random.Random(0)
    for at in range(len(data)):
        for damaged in (
            data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :],
            data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :],
            data[:at] + b"\0" + data[at + 1 :],
            data[:at] + data[at + 1 :],
            data[:at] + bytes([chance.randrange(256)]) + data[at:],
        ):
            assert lost(frames, damaged) <= 1, at


@settings(max_examples=100)
@given(st.integers(0, 1400), st.binary(max_size=370), st.integers(0, 370))
def test_a_burst_shorter_than_a_frame_costs_two_frames_at_most(at: int, noise: bytes, hole: int) -> None:
    data = b"".join(FRAMES)
    assert lost(FRAMES, data[:at] + noise + data[at + hole :]) <= 2


def test_noise_is_never_taken_for_a_frame() -> None:
    codec = NodeCodec()
    chance = random.Random(1)
    for _ in range(1000):
        assert decode(codec, chance.randbytes(10_000)) == []
    assert codec.counts.frames == 0
    assert codec.counts.bad > 30_000  # a zero byte stands among 256
    assert codec.counts.discarded == pytest.approx(10_000_000, rel=0.01)


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=700), max_size=5), st.sampled_from(["", NOTIFICATIONS, "somewhere"]))
def test_any_bytes_are_survived_and_forgotten(pieces: list[bytes], channel: str) -> None:
    codec = NodeCodec()
    decode(codec, *pieces, channel=channel)
    frame = stream(1)[0]
    assert len(decode(codec, frame)) == 17  # its leading delimiter ends whatever came before


def test_what_never_ends_is_not_kept() -> None:
    codec = NodeCodec()
    for _ in range(1000):
        decode(codec, b"\x01" * 1000)
        assert len(codec._rest) <= 2 * LONGEST_STUFFED
    assert codec.counts.bad == 1
    assert codec.counts.discarded == 1_000_000
    assert len(decode(codec, stream(1)[0])) == 17


@settings(max_examples=300)
@given(st.binary(min_size=1, max_size=60), st.sampled_from([1, 2, 0x10, 0x11]))
def test_bodies_with_a_right_checksum_but_impossible_contents_are_refused(rest: bytes, kind: int) -> None:
    """What is accepted means what a node would have said with these very bytes."""
    body = bytes([kind]) + rest
    found = parse(body)
    if isinstance(found, StatusBody):
        assert encode_status(found) == body
    elif isinstance(found, NodeCommand):
        assert encode_command(found) == body
    elif isinstance(found, Acknowledgement):
        assert encode_acknowledgement(found) == body
    elif found is not None:
        assert all(0 <= int(r.sensor or 0) < found.sensors for r in found.readings)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (8, "00"),  # no fields
        (8, "13"),  # a field that there is not
        (9, "00"),  # no sensors
        (9, "41"),  # 65 sensors
        (10, "00"),  # no records
        (10, "02"),  # more records than there are bytes
        (11, "01"),  # sensor 1 of one
        (11, "40"),  # a bit that has no meaning
        (12, "0000"),  # a quaternion of zeros
        (12, "007e"),  # one of norm 0.984
        (12, "0080"),  # one that is missing in part
        (14, "0080"),  # the same
        (22, "0080"),  # an acceleration that is missing in part
    ],
)
def test_impossible_values_are_refused(at: int, value: str) -> None:
    body = bytearray(examples()[0])
    body[12:20] = bytes.fromhex("ff7f000000000000")
    assert parse(bytes(body)) is not None
    body[at : at + len(value) // 2] = bytes.fromhex(value)
    codec = NodeCodec()
    assert decode(codec, frame_of(bytes(body))) == []
    assert (codec.counts.frames, codec.counts.bad) == (0, 1)


# -- Bluetooth ----------------------------------------------------------------------------------------------------


def test_a_notification_is_a_bare_body_and_a_cut_one_is_refused() -> None:
    body = encode_samples(instant(7, sensors=6))
    codec = NodeCodec()
    assert len(decode(codec, body, channel=NOTIFICATIONS)) == 6
    for size in range(len(body)):
        assert decode(codec, body[:size], channel=NOTIFICATIONS) == []
    assert (codec.counts.frames, codec.counts.bad) == (1, len(body))


def test_the_profile_needs_no_more_than_it_says() -> None:
    gatt = NodeCodec.gatt
    assert gatt is not None
    one = Samples(1, 0, 0, 1, Fields.ALL, [Reading("", orientation=(1.0, 0.0, 0.0, 0.0))])
    assert len(encode_samples(one)) == gatt.least_mtu - 3
    uuids = re.findall(r"`([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})`", SPECIFICATION.read_text())
    assert uuids == [gatt.service, *gatt.notify, COMMANDS]


# -- restarts -----------------------------------------------------------------------------------------------------


def rebooted(found: Sequence[Reading | DeviceStatus]) -> list[bool]:
    return [bool(item.flags & Flags.REBOOTED) for item in found if isinstance(item, Reading)]


def test_first_readings_are_no_restart_and_wraps_are_none() -> None:
    codec = NodeCodec()
    frames = [
        frame_of(encode_samples(instant(sequence, 1, boot=boot, device_us=device_us)))
        for boot in (0, 5)
        for sequence, device_us in ((65534, 2**32 - 20_000), (65535, 2**32 - 10_000), (65536, 0), (65537, 10_000))
    ]
    assert rebooted(decode(codec, *frames[:4])) == [False] * 4
    assert rebooted(decode(NodeCodec(), *frames[4:])) == [False] * 4


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"boot": 3, "device_us": 5_000_000}, {"boot": 4, "device_us": 1_000}),
        ({"boot": 255, "device_us": 1_000}, {"boot": 1, "device_us": 5_000_000}),  # we were away longer than it was up
        ({"boot": 0, "device_us": 5_000_000}, {"boot": 0, "device_us": 1_000}),
    ],
)
def test_a_restart_is_flagged_once_and_what_was_commanded_is_said_again(
    before: dict[str, int], after: dict[str, int]
) -> None:
    codec = NodeCodec()
    asked = codec.start(200)
    decode(codec, frame_of(encode_samples(instant(500, 2, **before))))
    assert codec.reply(Chunk(b"", 0)) == ()
    later = {**after, "device_us": after["device_us"] + 5_000}
    found = decode(
        codec, frame_of(encode_samples(instant(0, 2, **after))), frame_of(encode_samples(instant(1, 2, **later)))
    )
    assert rebooted(found) == [True, True, False, False]
    assert codec.reply(Chunk(b"", 0)) == asked
    assert codec.reply(Chunk(b"", 0)) == ()


def test_the_first_status_after_a_start_is_a_restart_even_without_boot_number() -> None:
    codec = NodeCodec()
    codec.stop()
    decode(codec, frame_of(encode_samples(instant(3, 1, boot=0, device_us=1_000))))
    started = StatusBody(0, 0, 2_000, True, True, None, None, 100, 1, Fields(7), "x", "1")
    found = decode(codec, frame_of(encode_status(started)))
    assert found == [DeviceStatus(identity="x", firmware="1", text="started")]
    assert len(codec.reply(Chunk(b"", 0))) == 1
    assert rebooted(decode(codec, frame_of(encode_samples(instant(4, 1, boot=0, device_us=3_000))))) == [True]


def test_a_restart_while_the_link_was_down_is_noticed() -> None:
    codec = NodeCodec()
    decode(codec, frame_of(encode_samples(instant(500, 1, boot=3))), stream(1)[0][:50])
    codec.reset()
    assert rebooted(decode(codec, frame_of(encode_samples(instant(2, 1, boot=4))))) == [True]
    assert codec.counts.bad == 0


# -- commands -----------------------------------------------------------------------------------------------------


def orders(codec: NodeCodec, rate_hz: float | None) -> list[tuple[int, bytes]]:
    found = []
    for write in codec.start(rate_hz):
        assert write.channel == COMMANDS and len(write.data) <= 20  # fits every ATT MTU
        command = parse(body_of(write.data.strip(b"\0")) or b"")
        assert isinstance(command, NodeCommand)
        found.append((command.order, command.arguments))
    return found


def test_start_says_who_fields_and_rate() -> None:
    assert orders(NodeCodec(), None) == [(Order.IDENTIFY, b""), (Order.START, b"")]
    assert orders(NodeCodec(Fields.ALL), 400) == [
        (Order.IDENTIFY, b""), (Order.FIELDS, b"\x0f"), (Order.RATE, b"\x90\x01"), (Order.START, b"")
    ]  # fmt: skip
    assert isinstance(create("node"), NodeCodec)


@pytest.mark.parametrize("rate", [0, -1, 1001, 99.5, math.nan, math.inf])
def test_rates_that_no_node_has(rate: float) -> None:
    with pytest.raises(UsageError, match="whole number from 1 to 1000 Hz"):
        NodeCodec().start(rate)


def test_a_refusal_is_told_and_an_echo_of_ours_is_none() -> None:
    codec = NodeCodec()
    refused = Acknowledgement(1, Order.RATE, Result.VALUE, 5)
    unknown = Acknowledgement(2, 77, 9, 5)
    found = decode(codec, frame_of(encode_acknowledgement(refused)), frame_of(encode_acknowledgement(unknown)))
    assert [item.text for item in found if isinstance(item, DeviceStatus)] == [
        "the node refused rate: it does not have that value", "the node refused command 77: reason 9"
    ]  # fmt: skip
    assert decode(codec, *(write.data for write in codec.start())) == []
    assert (codec.counts.frames, codec.counts.bad) == (2, 2)


def test_what_does_not_fit_is_refused() -> None:
    all_fields = [Reading(str(i)) for i in range(20)]
    with pytest.raises(UsageError, match="512"):
        encode_samples(Samples(1, 0, 0, 20, Fields.ALL, all_fields))
    with pytest.raises(UsageError, match="rising"):
        encode_samples(Samples(1, 0, 0, 3, Fields.ALL, [Reading("2"), Reading("1")]))
    with pytest.raises(UsageError, match="16"):
        encode_command(NodeCommand(1, 1, bytes(17)))
    assert len(encode_samples(Samples(1, 0, 0, 20, Fields.ALL, all_fields[:18]))) <= LONGEST_BODY
