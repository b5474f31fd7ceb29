"""What one frame can cost: the work is counted in calls, so that a busy machine changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from types import FrameType
from typing import Any

import numpy as np
import pytest

from edgeskel.errors import InvalidClip
from edgeskel.runtime import Session
from edgeskel.skeleton import Clip, Frame
from tests.runtime.test_live import KINECT, LABELS, MOVES, CountingEngine, Window, play, session, shifted


def calls(do: Callable[[], Any]) -> int:
    """How many functions, of Python or of C, are called."""
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        do()
    finally:
        sys.setprofile(None)
    return count


def crowd(time: float, persons: int) -> Frame:
    rng = np.random.default_rng(0)
    return Frame(time, rng.normal(size=(persons, 20, 3)).astype(np.float32), np.ones((persons, 20), np.float32))


@cache
def ordinary() -> int:
    """Work of the dearest ordinary frame."""
    live = session("sliding-window")
    return max(calls(lambda frame=frame: live.step(frame)) for frame in MOVES)  # type: ignore[misc]


@pytest.mark.parametrize(("time", "unit"), [
    (1.7e18, "nanoseconds"), (1.7e15, "microseconds"), (1.7e12, "milliseconds"), (-1.7e18, "nanoseconds"), (8.64e13, "nanoseconds"),
])
def test_a_time_that_no_clock_in_seconds_shows_is_refused_and_its_unit_named(time: float, unit: str) -> None:
    live = session()
    for frame in (shifted(MOVES, time)[0], *MOVES[:20], shifted(MOVES, time)[20], *MOVES[21:]):
        live.step(frame)
    live.finish()
    (reason,) = live.refused
    assert unit in reason and "not seconds" in reason and live.refused[reason] == 2
    with pytest.raises(InvalidClip, match=unit):
        Clip(np.stack([f.joints for f in MOVES], 1), np.stack([f.confidence for f in MOVES], 1),
             time + abs(time) * 1e-3 * np.arange(len(MOVES)))


@pytest.mark.parametrize(("scale", "unit"), [(1e3, "milliseconds"), (1e6, "microseconds"), (1e9, "nanoseconds")])
def test_a_clock_since_the_start_in_another_unit_is_named_by_its_steps(scale: float, unit: str) -> None:
    live = session()
    for frame in MOVES[:60]:
        live.step(Frame((10 + frame.time) * scale, frame.joints, frame.confidence))
    assert any(unit in reason for reason in live.refused), live.refused
    assert live.refused.total() >= 57


@pytest.mark.parametrize("frame", [
    Frame(3.0, np.zeros((10_000, 20, 3), np.float32), np.ones((10_000, 20), np.float32)), crowd(3.0, 10_000), crowd(3.0, 64),
    Frame(1.7e18, MOVES[0].joints, MOVES[0].confidence), Frame(1e10, MOVES[0].joints, MOVES[0].confidence),
    Frame(3.0 + 0.9, MOVES[0].joints, MOVES[0].confidence), Frame(3.0 + 4.9, MOVES[0].joints, MOVES[0].confidence),
    Frame(3.0 + 3600, MOVES[0].joints, MOVES[0].confidence), crowd(3.0 + 4.9, 64),
], ids=["10,000 at one place", "10,000 persons", "64 persons", "nanoseconds", "far", "0.9 s", "4.9 s", "an hour",
        "64 persons after 4.9 s"])
@pytest.mark.parametrize("persons", [1, 2])
@pytest.mark.parametrize("first", [True, False])
def test_no_frame_costs_more_than_a_few_ordinary_ones(frame: Frame, persons: int, first: bool) -> None:
    """An ordinary frame takes half a millisecond at most."""
    live = Session(CountingEngine(), KINECT, LABELS, Window(persons, 64, 30.0, 4))
    for before in [] if first else MOVES[:88]:
        live.step(before)
    assert calls(lambda: live.step(frame)) < 40 * ordinary()


def test_too_many_persons_are_counted_and_who_was_there_goes_on() -> None:
    live = session()
    spoilt = [crowd(frame.time, 65) if index == 50 else frame for index, frame in enumerate(MOVES)]
    assert [event.label for event in play(live, spoilt)] == ["front"] * 4
    assert dict(live.refused) == {"more than 64 persons": 1}


@pytest.mark.parametrize("joints", [np.float32(0), np.zeros(3), np.zeros((20, 3)), np.zeros((1, 20, 2)), np.zeros((1, 20, 3, 1))])
def test_what_is_no_frame_at_all_is_counted(joints: np.ndarray) -> None:
    live = session()
    assert not live.step(Frame(0.0, joints, np.ones(joints.shape[:2], np.float32)))
    assert dict(live.refused) == {"joints and confidence do not fit": 1}


def test_a_joint_beyond_every_room_is_missing_and_counted() -> None:
    live = session()
    frames = [Frame(f.time, f.joints.copy(), f.confidence) for f in MOVES]
    frames[50].joints[0, 7] = 3e30
    frames[60].joints[0, 7] = -np.inf
    assert [event.label for event in play(live, frames)] == ["front"] * 4
    assert dict(live.refused) == {"joint more than 1000 km away": 1, "joint that is not finite": 1}


@pytest.mark.parametrize("pause", [0.9, 1.5, 4.9, 5.1, 3600.0])
def test_after_a_pause_of_more_than_a_second_everybody_is_new_whatever_its_length(pause: float) -> None:
    live = session()
    events = play(live, [*MOVES[:60], *shifted(MOVES[60:], pause)])
    assert [event.person for event in events if event.kind == "ended"] == ([0, 0, 0] if pause < 1 else [0, 1, 1])
    assert events[1].kind == "ended" and events[1].end is not None and events[1].end < 2.5


def test_a_recording_in_milliseconds_is_refused_before_its_frames_are_counted_one_by_one() -> None:
    joints = np.stack([frame.joints for frame in MOVES], axis=1)
    clip = Clip(joints, np.ones(joints.shape[:3], np.float32), np.array([frame.time * 1e3 for frame in MOVES]))
    with pytest.raises(InvalidClip, match="milliseconds"):
        session().watch(clip)
