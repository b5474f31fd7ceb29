"""What holds for every codec, on packets of its own encoder: healthy, damaged, cut anywhere.

Memory is measured as the bytes of all objects that a codec's attributes reach (``tests.firmware_bridge.codecs.packets.footprint``).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from itertools import islice

import pytest

from firmware_bridge.codecs import CODECS, Codec, create
from firmware_bridge.samples import Chunk, DeviceStatus, Reading
from tests.firmware_bridge.codecs.packets import SPECIMENS, Specimen, footprint, mutants, specimen

DAMAGED = 10_000
SLACK = 2048  # bytes: list and dictionary slots, numbers, short texts
WAITING = {"polar": 3 * 256 * 300}  # bytes: samples of three kinds that wait for each other, as Python's objects
NAMES = sorted(SPECIMENS)
STREAMS = [name for name in NAMES if name in ("node", "witmotion", "bno08x")]


def codec_of(name: str) -> Codec:
    return create(name.split()[0])


def damaged(name: str, healthy: Specimen, count: int = DAMAGED) -> Iterable[Chunk]:
    return islice(mutants(healthy.chunks, random.Random(name)), count)


def totals(codec: Codec) -> tuple[int, int, int]:
    return codec.counts.frames, codec.counts.bad, codec.counts.discarded


def check(found: list[Reading | DeviceStatus]) -> None:
    """Whatever a codec hands over is a number, and a rotation where it says so."""
    for item in found:
        if isinstance(item, DeviceStatus):
            assert item.battery is None or 0 <= item.battery <= 1
            continue
        if item.orientation is not None:
            assert math.isclose(math.hypot(*item.orientation), 1, abs_tol=1e-6)
        for vector in (item.acceleration, item.linear_acceleration, item.angular_velocity, item.magnetic_field):
            assert vector is None or (len(vector) == 3 and all(map(math.isfinite, vector)))
        assert item.device_us is None or item.device_us >= 0
        assert item.sequence is None or item.sequence >= 0


def test_every_protocol_has_a_specimen_here() -> None:
    assert {name.split()[0] for name in SPECIMENS} == set(CODECS)
    assert STREAMS == [name for name in NAMES if specimen(name).stream]


@pytest.mark.parametrize("name", NAMES)
def test_healthy_packets_are_all_accepted(name: str) -> None:
    codec, healthy = codec_of(name), specimen(name)
    found = [item for chunk in healthy.chunks for item in codec.decode(chunk)]
    check(found)
    assert any(isinstance(item, Reading) for item in found)
    frames, bad, discarded = totals(codec)
    assert (bad, discarded) == (0, 0)
    assert frames > 0


@pytest.mark.parametrize("name", NAMES)
def test_damaged_packets_raise_nothing_give_nothing_impossible_and_leave_nothing_behind(name: str) -> None:
    codec, healthy = codec_of(name), specimen(name)
    for chunk in healthy.chunks:
        codec.decode(chunk)
    longest = max(len(chunk.data) for chunk in healthy.chunks)
    bound = footprint(codec) + 2 * max(longest, 512) + SLACK + WAITING.get(name, 0)
    for number, chunk in enumerate(damaged(name, healthy)):
        check(codec.decode(chunk))
        codec.reply(chunk)
        if number % 100 == 0:
            assert footprint(codec) <= bound
    assert codec.counts.bad > DAMAGED / 100


@pytest.mark.parametrize("name", [name for name in NAMES if name not in STREAMS])
def test_every_packet_is_counted_once(name: str) -> None:
    codec, healthy = codec_of(name), specimen(name)
    given = 0
    for chunk in damaged(name, healthy, 3000):
        frames, bad, discarded = totals(codec)
        codec.decode(chunk)
        given += len(chunk.data)
        more_frames, more_bad, more_discarded = totals(codec)
        assert more_frames >= frames and more_bad >= bad and more_discarded >= discarded
        assert more_discarded <= given
        if not healthy.pieces:
            assert more_frames > frames or more_bad > bad
            assert more_discarded - discarded <= len(chunk.data)
            if more_bad == bad:
                assert more_discarded == discarded
            elif more_frames == frames and chunk.data.strip():
                assert more_discarded > discarded
    codec.reset()
    assert codec.counts.discarded <= given


@pytest.mark.parametrize("name", STREAMS)
def test_the_bytes_of_a_stream_are_frames_or_discarded(name: str) -> None:
    codec, healthy = codec_of(name), specimen(name)
    noise = random.Random(name).randbytes(200_000)
    codec.decode(Chunk(noise, 0))
    frames, _, discarded = totals(codec)
    assert frames == 0
    assert 0.97 * len(noise) <= discarded <= len(noise)  # what is missing waits, or parts frames without being one
    size = sum(len(chunk.data) for chunk in healthy.chunks)
    for chunk in healthy.chunks * 2:
        codec.decode(chunk)
    assert codec.counts.frames >= len(healthy.chunks)
    assert codec.counts.discarded - discarded < size


@pytest.mark.parametrize("pieces", ["bytes", "random"])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_may_be_cut_anywhere(name: str, pieces: str) -> None:
    healthy = specimen(name)
    chunks = [*healthy.chunks, *damaged(name, healthy, 400), *healthy.chunks, *healthy.chunks]
    stream = b"".join(chunk.data for chunk in chunks)
    whole, cut = codec_of(name), codec_of(name)
    expected = whole.decode(Chunk(stream, 0))
    generator = random.Random(f"{name} {pieces}")
    found: list[Reading | DeviceStatus] = []
    at = 0
    while at < len(stream):
        size = 1 if pieces == "bytes" else generator.randint(1, 90)
        found += cut.decode(Chunk(stream[at : at + size], 0))
        at += size
    assert len(expected) > 10
    assert found == expected
    assert totals(cut) == totals(whole)


@pytest.mark.parametrize("name", NAMES)
def test_reset_forgets_what_had_begun_and_keeps_the_counts(name: str) -> None:
    healthy = specimen(name)
    fresh, used = codec_of(name), codec_of(name)
    for chunk in healthy.chunks[:5]:
        used.decode(chunk)
    begun = healthy.chunks[5]
    used.decode(Chunk(begun.data[: len(begun.data) // 2], 0, begun.channel))
    before = totals(used)
    used.reset()
    assert all(now >= then for now, then in zip(totals(used), before, strict=True))
    bad = used.counts.bad
    found = [item for chunk in healthy.chunks for item in used.decode(chunk)]
    expected = [item for chunk in healthy.chunks for item in fresh.decode(chunk)]
    assert used.counts.bad == bad
    assert [values(item) for item in found] == [values(item) for item in expected]


def values(item: Reading | DeviceStatus) -> object:
    """Without the flags: that the device started anew may be known across a reset."""
    if isinstance(item, DeviceStatus):
        return item
    return (item.sensor, item.sequence, item.device_us, item.orientation, item.acceleration, item.linear_acceleration,
            item.angular_velocity, item.magnetic_field)  # fmt: skip


@pytest.mark.parametrize("name", sorted(CODECS))
def test_a_codec_says_how_its_counter_and_clock_wrap(name: str) -> None:
    codec = create(name)
    assert codec.name == name
    assert codec.clock_tick_us > 0
    for item in (item for chunk in specimen(name).chunks for item in codec.decode(chunk)):
        if isinstance(item, Reading) and item.sequence is not None:
            assert codec.sequence_bits is not None and item.sequence < 2**codec.sequence_bits
        if isinstance(item, Reading) and item.device_us is not None:
            assert codec.clock_bits is not None and item.device_us < 2**codec.clock_bits * codec.clock_tick_us
