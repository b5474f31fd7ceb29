"""Frames that cannot be: wrong units, mirrored bodies, time that goes back, datagrams of anything."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgeskel.coordinates import METRES
from edgeskel.data.importers import utd_mhad
from edgeskel.data.importers.common import ImportOptions
from edgeskel.skeleton import Clip, Frame
from firmware_bridge.cameras import ADAPTERS, FAULTS, ConversionSettings, RefusedFrame, adapter
from firmware_bridge.cameras.body_check import BodyCheck
from firmware_bridge.cameras.datagrams import pack, parse
from firmware_bridge.cameras.frame_validator import FrameValidator, HostClock
from firmware_bridge.cameras.pinhole import Intrinsics
from tests.firmware_bridge.cameras.bodies import standing

KINECT = adapter("kinect-v2")
LAYOUTS = [adapter(layout).topology for layout in ADAPTERS]


def scaled(frame: Frame, by: float) -> Frame:
    return replace(frame, joints=(frame.joints * by).astype(np.float32))


@pytest.mark.parametrize("topology", LAYOUTS, ids=lambda topology: topology.name)
def test_a_standing_person_is_one_in_every_layout(topology: Any) -> None:
    for faces_camera in (True, False):
        frame = standing(topology, faces_camera=faces_camera)
        judge = BodyCheck(topology)
        assert judge.stature(frame.joints[0], frame.confidence[0]) == pytest.approx(1.75, abs=0.35)
        assert judge.handedness(frame.joints[0], frame.confidence[0]) == pytest.approx(1.0, abs=0.3)
        mirrored = frame.joints[0] * np.array([-1, 1, 1], np.float32)
        assert judge.handedness(mirrored, frame.confidence[0]) == pytest.approx(-1.0, abs=0.3)
        swapped = frame.joints[0][list(topology.mirror)]
        assert judge.handedness(swapped, frame.confidence[0]) == pytest.approx(-1.0, abs=0.3)


@pytest.mark.parametrize(
    ("really", "said"), [(really, said) for really in METRES for said in METRES if not {really, said} <= {"m", "ft"}]
)
def test_a_person_of_impossible_size_is_named_with_the_unit_that_would_fit(
    really: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    validator = FrameValidator("camera", KINECT.topology, METRES[said])
    frame = scaled(standing(KINECT.topology), METRES[said] / METRES[really])
    with caplog.at_level(logging.WARNING):
        taken = validator.take(frame)
    assert taken is not None
    if really == said:
        assert len(taken.joints) == 1 and not validator.faults and not caplog.messages
    elif (METRES[said] / METRES[really]) * 1.9 < 3.0 and (METRES[said] / METRES[really]) > 0.2:
        assert len(taken.joints) == 1  # a small child, a giant: cannot be told
    else:
        assert len(taken.joints) == 0 and validator.faults == {"units": 1}
        assert f"look like {really}: say units={really}" in caplog.messages[0]
        assert "m tall" in caplog.messages[0]


def test_a_person_of_1700_m_looks_like_millimetres(caplog: pytest.LogCaptureFixture) -> None:
    FrameValidator("camera", KINECT.topology).take(scaled(standing(KINECT.topology), 1000.0))
    assert "1.75e+03 m tall" in caplog.messages[0] or "e+03 m tall" in caplog.messages[0]
    assert "look like mm" in caplog.messages[0]


def test_only_the_impossible_person_is_left_out() -> None:
    frame = standing(KINECT.topology, persons=3)
    frame.joints[1] *= 100
    taken = FrameValidator("camera", KINECT.topology).take(frame)
    assert taken is not None
    np.testing.assert_array_equal(taken.joints, frame.joints[[0, 2]])


def test_one_wild_joint_or_a_hidden_body_does_not_make_a_person_impossible() -> None:
    validator = FrameValidator("camera", KINECT.topology)
    frame = standing(KINECT.topology)
    frame.joints[0, KINECT.topology.index("left_wrist")] = 40.0
    hidden = standing(KINECT.topology, 1.0)
    hidden.confidence[0, :20] = 0.0
    for each in (frame, hidden):
        taken = validator.take(each)
        assert taken is not None and len(taken.joints) == 1
    assert not validator.faults


def test_time_has_to_go_on(caplog: pytest.LogCaptureFixture) -> None:
    validator = FrameValidator("camera", KINECT.topology)
    times = [1.0, 1.1, 1.1, 1.05, 1.2]
    taken = [frame.time for time in times if (frame := validator.take(standing(KINECT.topology, time))) is not None]
    assert taken == [1.0, 1.1, 1.2]
    assert validator.faults == {"backwards": 2}
    assert "50 ms before" not in caplog.messages[0] and len(caplog.messages) == 1  # the first one is named


def test_a_mirrored_camera_is_named_after_a_while_and_a_true_one_never(caplog: pytest.LogCaptureFixture) -> None:
    for sign, faults in ((1, {}), (-1, {"mirrored": 3})):
        validator, person = FrameValidator("camera", KINECT.topology), standing(KINECT.topology)
        for number in range(200):
            frame = replace(person, time=number / 30, joints=person.joints.copy())
            frame.joints[..., 0] *= sign
            taken = validator.take(frame)
            assert taken is not None and len(taken.joints) == 1
        assert validator.faults == faults
    assert "left and right swapped" in caplog.text


def test_real_people_before_a_real_camera_are_not_named(datasets: Path) -> None:
    recordings = utd_mhad.recordings(datasets / "utd-mhad", ImportOptions())
    clips = [clip for clip in islice(recordings.clips, 0, 120, 12) if isinstance(clip, Clip)]
    assert len(clips) == 10
    judge, judged = BodyCheck(recordings.topology), []
    for clip in clips:
        validator = FrameValidator("kinect", recordings.topology)
        for index, time in enumerate(clip.time):
            frame = Frame(float(time), clip.joints[:, index], clip.confidence[:, index])
            taken = validator.take(frame)
            assert taken is not None and len(taken.joints) == len(frame.joints)
            judged.append(judge.handedness(frame.joints[0], frame.confidence[0]))
        assert not validator.faults
    clear = [cosine for cosine in judged if cosine is not None]
    assert len(clear) > 50 and np.mean(np.array(clear) > 0) > 0.95


def test_a_fault_is_named_at_the_first_tenth_and_hundredth_time(caplog: pytest.LogCaptureFixture) -> None:
    validator = FrameValidator("camera", KINECT.topology)
    for _ in range(250):
        validator.fault("joints", "31 joints")
    assert [message.rpartition("seen ")[2] for message in caplog.messages] == ["1 times)", "10 times)", "100 times)"]
    assert validator.faults == {"joints": 250}


def test_a_camera_s_clock_becomes_the_host_s_and_may_begin_anew() -> None:
    host_time, rng = HostClock(), np.random.default_rng(1)
    errors = []
    for number in range(600):
        taken = 500.0 + number / 30
        arrived = taken + 0.01 + rng.exponential(0.01)
        errors.append(host_time(7000.0 + number / 30, round(arrived * 1e9)) - taken)
    assert not host_time.restarted
    assert np.abs(np.array(errors[60:]) - 0.0105).max() < 0.004  # the least delay stays, its jitter does not
    after = host_time(3.0, round(521e9))
    assert host_time.restarted and not host_time.restarted
    assert after == pytest.approx(521.0)
    for wrong in (float("nan"), float("inf"), 1e300, -1e12):
        with pytest.raises(RefusedFrame) as caught:
            host_time(wrong, 0)
        assert caught.value.kind == "time"


@pytest.mark.parametrize("layout", ADAPTERS)
def test_a_datagram_holds_what_was_packed(layout: str) -> None:
    settings = ConversionSettings() if adapter(layout).axes else ConversionSettings("cm", "right_handed_z_up")
    converter = adapter(layout).converter(settings)
    frame = standing(converter.topology, 12.25, persons=2)
    frame.confidence[0, 1] = 0.0
    data = pack(frame, converter)
    assert len(data) < 65507  # fits into one datagram
    read = parse(data, len(converter.topology.joints))
    received = converter.frame(12.25, read.joints, read.states)
    assert read.time == 12.25 and read.strange == 0 and read.null.sum() == 1
    seen = frame.confidence > 0
    np.testing.assert_allclose(received.joints[seen], frame.joints[seen], atol=1e-4)
    np.testing.assert_array_equal(received.confidence > 0, seen)


JOINT = [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "json"),
        (b"\xff\xfe{", "json"),
        (b"[1, 2]", "json"),
        (b'"persons"', "json"),
        (b"{" * 5000, "json"),
        (b"[" * 100000, "json"),
        (b"{}", "fields"),
        (b'{"persons": 3}', "fields"),
        (b'{"persons": [3]}', "fields"),
        (b'{"persons": [{}]}', "fields"),
        ({"persons": [{"joints": [JOINT] * 2}]}, "joints"),
        ({"persons": [{"joints": [JOINT] * 4}]}, "joints"),
        ({"persons": [{"joints": [JOINT, JOINT, [0, 1]]}]}, "fields"),
        ({"persons": [{"joints": [[0, 1]] * 3}]}, "fields"),
        ({"persons": [{"joints": [JOINT, JOINT, ["0", "1", "2"]]}]}, "fields"),
        ({"persons": [{"joints": [JOINT, JOINT, {"x": 0}]}]}, "fields"),
        ({"persons": [{"joints": [[[0.0]]] * 3}]}, "fields"),
        ({"persons": [{"joints": [JOINT, JOINT, [0, 1, 10**400]]}]}, "fields"),
        ({"persons": [{"joints": [JOINT] * 3, "confidence": 1}]}, "fields"),
        ({"persons": [{"joints": [JOINT] * 3, "confidence": [1, 1]}]}, "joints"),
        ({"persons": [{"joints": [JOINT] * 3, "confidence": [1] * 3}, {"joints": [JOINT] * 3}]}, "fields"),
        ({"time": "now", "persons": []}, "time"),
        ({"time": True, "persons": []}, "time"),
        ({"time": 10**400, "persons": []}, "time"),
    ],
)
def test_a_bad_datagram_is_named(data: object, kind: str) -> None:
    with pytest.raises(RefusedFrame) as caught:
        parse(data if isinstance(data, bytes) else json.dumps(data).encode(), 3)
    assert caught.value.kind == kind and kind in FAULTS
    assert caught.value.expected


def test_missing_joints_and_numbers_that_are_none_are_told_apart() -> None:
    read = parse(b'{"persons": [{"joints": [null, [NaN, 0, 0], [0, 1, 2]], "confidence": [0, NaN, 1]}]}', 3)
    assert read.null.tolist() == [[True, False, False]]
    assert read.strange == 2


def test_persons_come_in_the_order_of_their_ids() -> None:
    said = {"persons": [{"id": number, "joints": [[number, 0, 0]] * 3} for number in (9, 2, 5)]}
    assert parse(json.dumps(said).encode(), 3).joints[:, 0, 0].tolist() == [2, 5, 9]
    del said["persons"][0]["id"]
    assert parse(json.dumps(said).encode(), 3).joints[:, 0, 0].tolist() == [9, 2, 5]


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda children: st.lists(children, max_size=4)
    | st.dictionaries(st.sampled_from(["time", "persons", "joints", "confidence", "id"]), children, max_size=4),
    max_leaves=10,
)


@given(st.binary(max_size=60) | values.map(lambda said: json.dumps(said).encode()))
@example(b'{"persons":[{"joints":[null,null,null]}]}')
@settings(max_examples=150)
def test_no_datagram_raises_anything_but_a_refusal(data: bytes) -> None:
    try:
        read = parse(data, 3)
    except RefusedFrame as error:
        assert error.kind in FAULTS
    else:
        assert read.joints.shape[1:] == (3, 3)


@given(st.data())
@settings(max_examples=100)
def test_a_spoilt_datagram_is_refused_or_still_a_frame(data: st.DataObject) -> None:
    converter = KINECT.converter()
    spoilt = bytearray(pack(standing(KINECT.topology), converter))
    for _ in range(data.draw(st.integers(1, 3))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = parse(bytes(spoilt), 25)
        frame = converter.frame(0.0, read.joints, read.states)
    except RefusedFrame as error:
        assert error.kind in FAULTS
    else:
        assert np.isfinite(frame.joints).all()


COCO, MEDIAPIPE = adapter("coco-17"), adapter("mediapipe-33")


def test_pixels_without_a_depth_are_a_fault_and_no_frames_of_nobody() -> None:
    converter = COCO.converter(ConversionSettings(units="m", intrinsics=Intrinsics(600, 600, 320, 240)))
    pixels = np.random.default_rng(1).uniform(50, 400, size=(1, 17, 3))
    pixels[..., 2] = 0
    validator = FrameValidator("camera", COCO.topology)
    taken = [validator.take(converter.frame(float(i), pixels)) for i in range(3)]
    assert validator.faults == {"flat": 3} and [len(frame.joints) for frame in taken if frame is not None] == [0, 0, 0]


@pytest.mark.parametrize("flat", [0, 2])
def test_a_flat_pose_is_a_fault(flat: int, caplog: pytest.LogCaptureFixture) -> None:
    frame = standing(COCO.topology)
    joints = frame.joints.copy()
    joints[..., flat] = 0
    validator = FrameValidator("camera", COCO.topology)
    with caplog.at_level(logging.WARNING):
        taken = validator.take(replace(frame, joints=joints))
    assert taken is not None and not len(taken.joints) and validator.faults == {"flat": 1}
    assert "a 2-D pose" in caplog.text


def test_landmarks_of_a_picture_are_not_those_of_the_world(caplog: pytest.LogCaptureFixture) -> None:
    converter, topology = MEDIAPIPE.converter(), MEDIAPIPE.topology
    hips = [topology.index("left_hip"), topology.index("right_hip")]
    world = standing(topology).joints.astype(float) @ np.diag([-1, -1, 1])
    world -= world[:, hips].mean(axis=1, keepdims=True)
    picture = world * [0.3, 0.5, 0.3] + [0.5, 0.5, 0]  # shares of the picture; depth still counts from the hips
    validator = FrameValidator("camera", topology)
    good = validator.take(converter.frame(0.0, world))
    assert good is not None and len(good.joints) == 1 and not validator.faults
    with caplog.at_level(logging.WARNING):
        bad = validator.take(converter.frame(1.0, picture))
    assert bad is not None and not len(bad.joints) and validator.faults == {"flat": 1}
    assert "landmarks of the picture, not of the world" in caplog.text
