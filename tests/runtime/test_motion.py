"""Live frames are cut where the body is still; what is said of the stretches fits what was performed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel import topologies
from edgeskel.runtime.agreement import PerformedAction, agreement
from edgeskel.runtime.motion import Segmenter, SegmenterConfig, Stretch
from edgeskel.skeleton import Frame

KINECT = topologies.get("kinect-v1")
RIGHT_ARM = [KINECT.index(joint) for joint in ("right_elbow", "right_wrist", "right_hand")]
_UP = ("ankle", "knee", "hip", "pelvis", "spine", "shoulder", "neck", "head")


def standing() -> np.ndarray:
    """(V, 3) a person 2.5 m before the camera."""
    body = np.zeros((len(KINECT.joints), 3), np.float32)
    for index, joint in enumerate(KINECT.joints):
        side = -0.2 if joint.startswith("left") else 0.2 if joint.startswith("right") else 0.0
        height = next((i * 0.22 for i, part in enumerate(_UP) if part in joint), 0.9)
        body[index] = (side, height, 2.5)
    return body


def arm_moves(
    spans: list[tuple[float, float]], seconds: float, rate: float = 30.0, noise: float = 0.004
) -> list[Frame]:
    """A person who moves the right arm up and down, once a second, within the spans, and else stands."""
    rng = np.random.default_rng(0)
    frames = []
    for time in np.arange(round(seconds * rate)) / rate:
        body = standing() + rng.normal(scale=noise, size=(20, 3)).astype(np.float32)
        for start, end in spans:
            if start <= time <= end:
                body[RIGHT_ARM, 1] += np.float32(0.35 * (1 - np.cos(2 * np.pi * (time - start))))
        frames.append(Frame(float(time), body[None], np.ones((1, 20), np.float32)))
    return frames


def stretches(frames: list[Frame], **settings_: float) -> list[Stretch]:
    segmenter = Segmenter(KINECT, 30.0, SegmenterConfig(**settings_))
    found = [segmenter.push(frame) for frame in frames] + [segmenter.finish()]
    return [stretch for stretch in found if stretch is not None]


@pytest.mark.parametrize("noise", [0.0, 0.004, 0.012])
def test_each_motion_is_one_stretch_with_its_margin(noise: float) -> None:
    truth = [(2.0, 4.0), (5.0, 7.0), (9.0, 10.0)]
    found = stretches(arm_moves(truth, 12.0, noise=noise))
    assert len(found) == len(truth)
    for stretch, (start, end) in zip(found, truth, strict=True):
        assert stretch.start == pytest.approx(start - 0.2, abs=0.25)
        assert stretch.end == pytest.approx(end + 0.2, abs=0.25)


def test_standing_still_before_a_noisy_camera_is_no_motion() -> None:
    assert not stretches(arm_moves([], 20.0, noise=0.015))


def test_a_twitch_is_no_action() -> None:
    frames = arm_moves([], 6.0)
    for frame in frames[60:66]:
        frame.joints[0, RIGHT_ARM, 1] += 0.3
    assert not stretches(frames)


def test_motion_without_end_is_closed_again_and_again() -> None:
    found = stretches(arm_moves([(1.0, 13.0)], 14.0), longest_s=3.0)
    assert len(found) >= 3
    assert all(stretch.end - stretch.start < 3.0 + 2 * SegmenterConfig().margin_s + 0.2 for stretch in found)


def test_motion_ends_when_the_person_leaves_or_the_source_does() -> None:
    frames = arm_moves([(1.0, 6.0)], 4.0)
    left = frames + [
        Frame(4 + i / 30, np.zeros((1, 20, 3), np.float32), np.zeros((1, 20), np.float32)) for i in range(30)
    ]
    segmenter = Segmenter(KINECT, 30.0)
    found = [stretch for frame in left if (stretch := segmenter.push(frame)) is not None]
    assert len(found) == 1 and found[0].end == pytest.approx(4.0, abs=0.4)
    assert len(stretches(frames)) == 1  # by finish()


@given(start=st.floats(0, 3), length=st.floats(0.8, 3), jump=st.floats(-5, 5))
@settings(max_examples=8)
def test_where_somebody_stands_does_not_matter(start: float, length: float, jump: float) -> None:
    frames = arm_moves([(1 + start, 1 + start + length)], 1.5 + start + length)
    moved = [Frame(frame.time, frame.joints + np.float32(jump), frame.confidence) for frame in frames]
    assert [(a.start, a.end) for a in stretches(frames)] == [(a.start, a.end) for a in stretches(moved)]


@given(hours=st.floats(0, 24))
@settings(max_examples=15)
def test_when_something_happens_does_not_matter(hours: float) -> None:
    """Not even to the last frame, although the same durations round differently at other times of the day."""
    frames = arm_moves([(1.0, 2.5), (4.0, 13.0), (15.0, 15.6)], 17.0)
    later = [Frame(frame.time + 3600 * hours, frame.joints, frame.confidence) for frame in frames]
    for now, then in zip(stretches(frames), stretches(later), strict=True):
        assert len(now.frames) == len(then.frames)
        assert then.start - 3600 * hours == pytest.approx(now.start, abs=1e-6)


def test_agreement_counts_each_span_once() -> None:
    spans = [(0.0, 2.0, "wave"), (3.0, 5.0, "bow"), (6.0, 8.0, "clap")]
    wave, bow = PerformedAction(0.1, 1.9, "wave", 1.0), PerformedAction(2.9, 5.1, "bow", 1.0)
    assert agreement(spans, [wave, bow, PerformedAction(6.1, 8.0, "clap", 0.9)]) == 1
    assert agreement(spans, [wave, bow]) == pytest.approx(2 / 3)
    assert agreement(spans, [wave, PerformedAction(0.5, 0.9, "bow", 0.9)]) == pytest.approx(1 / 3)  # the longer one answers
    assert agreement(spans, [PerformedAction(0.0, 8.0, "wave", 0.9)]) == pytest.approx(1 / 3)  # one action, one span
    assert agreement(spans, [PerformedAction(2.1, 2.9, "wave", 0.9)]) == 0
    assert agreement([], [wave]) is None


def test_real_recordings_are_cut_where_one_action_follows_another(utd_store: Any) -> None:
    """Training subjects of UTD-MHAD only: thresholds are not to be judged on the others here."""
    store = utd_store
    subjects = store.index["subject"].astype(str)
    clips = [store[int(i)] for i in np.flatnonzero(subjects == subjects[0])[::4]]
    rng = np.random.default_rng(0)
    frames: list[Frame] = []
    truth: list[tuple[float, float]] = []
    for clip in clips:
        begin = len(frames) / 30
        truth.append((begin, begin + clip.frames / 30))
        rest = np.repeat(clip.joints[:, -1:], 24, axis=1)
        rest = rest + rng.normal(scale=0.004, size=rest.shape).astype(np.float32)
        for joints in np.concatenate([clip.joints, rest], axis=1).transpose(1, 0, 2, 3):
            frames.append(Frame(len(frames) / 30, joints, np.ones(joints.shape[:2], np.float32)))
    found = stretches(frames)
    overlaps = [
        max((min(end, s.end) - max(start, s.start)) / (max(end, s.end) - min(start, s.start)) for s in found)
        for start, end in truth
    ]
    assert np.mean(np.array(overlaps) > 0.5) >= 0.9
    assert len(found) <= 1.35 * len(truth)


def test_a_source_may_begin_in_the_middle_of_an_action_that_has_a_slow_part() -> None:
    """What moves slowly in the first second is no noise to be ignored."""
    time = np.arange(60) / 30
    speed = np.select([time < 0.25, time < 1.1, time < 1.5], [1.5, 0.3, 2.0], 0.0)  # m/s
    frames = []
    for moment, raised in zip(time, np.cumsum(speed) / 30, strict=True):
        body = standing()
        body[RIGHT_ARM, 1] += np.float32(raised)
        frames.append(Frame(float(moment), body[None], np.ones((1, 20), np.float32)))
    (found,) = stretches(frames)
    assert found.start == 0 and found.end == pytest.approx(1.5, abs=0.5)
