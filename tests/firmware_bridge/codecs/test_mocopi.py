"""Two datagrams captured from the mocopi app (``imu-byte-captures`` among the recordings), and packets made like them."""

from __future__ import annotations

import math
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel.errors import UsageError
from edgeskel.geometry import multiply, rotate
from firmware_bridge.codecs.mocopi import (
    BONES,
    PARENTS,
    MocopiCodec,
    Transform,
    encode_frame,
    encode_skeleton,
)
from firmware_bridge.samples import Chunk, DeviceStatus, Quaternion, Reading
from tests.firmware_bridge.codecs.checks import feed, readings, sound, survives

SENDER = bytes.fromhex("e9fd1abe2c000000")
REST = [Transform((1.0, 0.0, 0.0, 0.0), (0.0, 0.9 if bone == 0 else 0.1, 0.0)) for bone in range(27)]


@pytest.fixture(scope="module")
def captures(datasets: Path) -> Path:
    return datasets / "imu-byte-captures" / "mocopi-udp-smf"


@pytest.fixture(scope="module")
def skeleton(captures: Path) -> bytes:
    return (captures / "mocopi_raw-01.bin").read_bytes()


@pytest.fixture(scope="module")
def frame(captures: Path) -> bytes:
    return (captures / "mocopi_raw-02.bin").read_bytes()


def posed(turns: dict[str, Quaternion]) -> list[Transform]:
    return [Transform(turns.get(name, (1.0, 0.0, 0.0, 0.0)), REST[bone].position) for bone, name in enumerate(BONES)]


def test_captured_skeleton_is_a_standing_person(skeleton: bytes) -> None:
    codec = MocopiCodec()
    assert feed(codec, [skeleton]) == [DeviceStatus(text="skeleton of 27 bones")]
    assert [bone.name for bone in codec.skeleton] == list(BONES)
    place: dict[str, np.ndarray] = {"": np.zeros(3)}
    for bone in codec.skeleton:
        place[bone.name] = place[bone.parent] + np.array(bone.position)
    assert 1.2 < place["head"][1] < 1.8  # y up, metres
    assert all(-0.05 < place[side + "toes"][1] < 0.15 for side in ("l_", "r_"))
    # Facing z with y up, x points to the left: the left hand has the larger x, in every pair.
    for name in ("hand", "low_arm", "low_leg", "foot"):
        assert place["l_" + name][0] == pytest.approx(-place["r_" + name][0], abs=0.02)
        assert place["l_" + name][0] > 0.05
    assert place["l_toes"][2] > place["l_foot"][2] + 0.05


def test_captured_frame(frame: bytes) -> None:
    codec = MocopiCodec()
    found = readings(feed(codec, [frame]))
    assert [reading.sensor for reading in found] == list(BONES)
    assert {reading.sequence for reading in found} == {1}
    (time_us,) = {reading.device_us for reading in found}
    assert time_us is not None and 1_690_000_000 < time_us / 1e6 < 1_720_000_000  # Unix time, in 2023 or 2024
    assert all(abs(abs(reading.orientation[0]) - 1) < 1e-6 for reading in found if reading.orientation)  # the first pose
    assert codec.position == pytest.approx((0, 0.9329, 0), abs=1e-3)
    assert (codec.counts.frames, codec.counts.bad) == (1, 0)


def test_skeleton_is_told_once(skeleton: bytes) -> None:
    assert len(feed(MocopiCodec(), [skeleton] * 5)) == 1


def test_encoders_give_the_captured_bytes(skeleton: bytes, frame: bytes) -> None:
    """Taken apart here by position, not by the decoder."""
    def transforms(data: bytes, first: int, step: int) -> list[Transform]:
        found = []
        for bone in range(27):
            x, y, z, w, *position = struct.unpack_from("<7f", data, first + bone * step)
            found.append(Transform((w, x, y, z), (position[0], position[1], position[2])))
        return found

    assert encode_skeleton(transforms(skeleton, 0x81, 64), sender=SENDER) == skeleton
    (unix_s,) = struct.unpack_from("<d", frame, 0x75)
    assert encode_frame(1, transforms(frame, 0x9F, 54), unix_s, sender=SENDER) == frame


def test_frame_of_the_old_app_has_no_clock(frame: bytes) -> None:
    old = encode_frame(3, REST, None)
    assert len(old) == len(frame) - 16
    assert {reading.device_us for reading in readings(feed(MocopiCodec(), [old]))} == {None}


def test_orientations_are_chained_from_the_root() -> None:
    """The whole body turned left by 90 degrees, and the left elbow bent by 90: the forearm turns with both."""
    half = math.sqrt(0.5)
    left, bend = (half, 0.0, half, 0.0), (half, 0.0, 0.0, half)
    found = {reading.sensor: reading for reading in readings(
        feed(MocopiCodec(), [encode_frame(1, posed({"root": left, "l_low_arm": bend}), 1.7e9)]))}
    assert found["l_up_arm"].orientation == pytest.approx(left)
    assert found["r_toes"].orientation == pytest.approx(left)
    assert found["l_hand"].orientation == found["l_low_arm"].orientation
    forearm = rotate(np.array(found["l_low_arm"].orientation), np.array([1.0, 0.0, 0.0]))
    # x (outwards) bends up to y, which the turn about y leaves alone.
    assert forearm == pytest.approx((0, 1, 0), abs=1e-6)


ROTATIONS = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: math.hypot(*q) > 0.1)


@settings(max_examples=30)
@given(st.lists(ROTATIONS, min_size=27, max_size=27), st.integers(0, 2**32 - 1), st.floats(0, 4e9))
def test_round_trip(raw: list[Quaternion], number: int, unix_s: float) -> None:
    local = [np.array(quaternion) / math.hypot(*quaternion) for quaternion in raw]
    sent = [Transform(tuple(map(float, quaternion)), (0.0, 0.1, 0.0)) for quaternion in local]  # type: ignore[arg-type]
    found = readings(feed(MocopiCodec(), [encode_frame(number, sent, unix_s)]))
    assert {reading.sequence for reading in found} == {number}
    assert found[0].device_us == pytest.approx(unix_s * 1e6, abs=1)
    world: list[np.ndarray] = []
    for parent, quaternion in zip(PARENTS, local, strict=True):
        world.append(quaternion if parent < 0 else multiply(world[parent], quaternion))
    assert np.abs(np.array([reading.orientation for reading in found]) - np.array(world)).max() < 1e-5


def test_packets_with_impossible_values_are_refused() -> None:
    nan, far = float("nan"), 1e9
    bad = [
        posed({"head": (1.0, 0.0, nan, 0.0)}),
        posed({"head": (0.0, 0.0, 0.0, 0.0)}),
        posed({"head": (1.0, 1.0, 0.0, 0.0)}),
        [*REST[:-1], Transform((1.0, 0.0, 0.0, 0.0), (0.0, far, 0.0))],
        [*REST[:-1], Transform((1.0, 0.0, 0.0, 0.0), (0.0, nan, 0.0))],
    ]
    codec = MocopiCodec()
    assert feed(codec, [encode_frame(1, transforms, 1.7e9) for transforms in bad]) == []
    assert feed(codec, [encode_frame(1, REST, time) for time in (nan, float("inf"), -1.0)]) == []
    assert (codec.counts.frames, codec.counts.bad) == (0, 8)


def test_a_bone_twice_or_missing_is_refused() -> None:
    data = encode_frame(1, REST, 1.7e9)
    at = data.rindex(b"bnid") + 4
    twice = data[:at] + struct.pack("<H", 3) + data[at + 2 :]
    codec = MocopiCodec()
    assert feed(codec, [twice]) == []
    assert codec.counts.bad == 1


def test_another_skeleton_is_refused() -> None:
    data = encode_skeleton(REST)
    at = data.rindex(b"pbid") + 4
    codec = MocopiCodec()
    assert feed(codec, [data[:at] + struct.pack("<H", 0) + data[at + 2 :]]) == []
    assert codec.skeleton == ()


def test_bones_in_any_order_and_with_fields_that_we_do_not_know_are_the_same_frame() -> None:
    """The app writes them in order; that is a habit, not the format, and only the way that is fast relies on it."""
    turn = (math.cos(0.2), 0.0, math.sin(0.2), 0.0)
    frame = encode_frame(3, [Transform(turn, (0.0, 0.01 * bone, 0.0)) for bone in range(27)], 1.7e9)
    at = frame.index(b"btdt") - 4
    bones = [frame[at + 54 * bone : at + 54 * (bone + 1)] for bone in range(27)]
    expected = MocopiCodec().decode(Chunk(frame, 0))
    assert len(expected) == 27
    swapped = frame[:at] + b"".join([bones[1], bones[0], *bones[2:]])
    assert MocopiCodec().decode(Chunk(swapped, 0)) == expected
    last = bones[26][8:] + struct.pack("<I", 2) + b"more" + b"12"
    longer = b"".join([*bones[:26], struct.pack("<I", len(last)) + b"btdt" + last])
    fram = frame.index(b"fram") - 4
    inner = frame[fram + 8 : frame.index(b"btrs") - 4] + struct.pack("<I", len(longer)) + b"btrs" + longer
    extended = frame[:fram] + struct.pack("<I", len(inner)) + b"fram" + inner
    assert MocopiCodec().decode(Chunk(extended, 0)) == expected


def test_a_datagram_cut_short_is_refused_at_every_length() -> None:
    data = encode_frame(1, REST, 1.7e9)
    codec = MocopiCodec()
    assert feed(codec, [data[:end] for end in range(0, len(data), 7)]) == []
    assert codec.counts.frames == 0


def test_the_app_has_no_rate_to_choose() -> None:
    codec = MocopiCodec()
    assert (list(codec.start()), list(codec.stop())) == ([], [])
    with pytest.raises(UsageError, match="its own"):
        codec.start(60)


def test_noise_gives_nothing() -> None:
    chance = random.Random(8)
    codec = MocopiCodec()
    assert feed(codec, [chance.randbytes(chance.randrange(2000)) for _ in range(2000)]) == []
    assert codec.counts.bad == 2000


@given(st.binary(max_size=400), st.integers(0, 1600))
def test_any_bytes(patch: bytes, at: int) -> None:
    data = encode_frame(1, REST, 1.7e9)
    found = feed(MocopiCodec(), [patch, data[:at] + patch + data[at + len(patch) :]])
    sound(found)
    assert all(isinstance(item, Reading) for item in found)


def test_mutated_packets() -> None:
    codec = survives(MocopiCodec, [encode_frame(1, REST, 1.7e9), encode_skeleton(REST)], 1500)
    assert codec.counts.bad > 0
