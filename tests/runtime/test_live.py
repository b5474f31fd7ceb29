"""A session stepped live: events, persons, bad input, saved state, and the two ways behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel import topologies
from edgeskel.errors import CorruptFile, EngineError, UsageError
from edgeskel.runtime import UNKNOWN, Event, EventConfig, Session
from edgeskel.runtime.bundle import StepForm, Window
from edgeskel.runtime.events import calibrated
from edgeskel.runtime.step_artifact import Stepper
from edgeskel.skeleton import Clip, Frame
from firmware_bridge.mcap.recording import Recorder
from firmware_bridge.replay import Replay, read_recording
from tests.runtime.conftest import CountingEngine
from tests.runtime.test_motion import arm_moves

KINECT = topologies.get("kinect-v1")
LABELS = ("left", "up", "front")


class StepEngine(CountingEngine):
    """Its state is the sum of what it has seen; answers with the axis along which the body stands farthest."""

    name = "summing"

    def __init__(self, spoilt: bool = False, kept: float = 0.5) -> None:
        super().__init__()
        self.spoilt, self.kept, self.calls = spoilt, np.float32(kept), 0

    def step(self, joints: np.ndarray, confidence: np.ndarray, state: Any) -> Any:
        self.calls += 1
        total = self.kept * state[0] + (joints * confidence[..., None]).sum((1, 2, 3))
        weight = self.kept * state[1] + confidence.sum((1, 2, 3), keepdims=True)[:, 0, 0]
        mean = (total / np.maximum(weight, 1e-6))[0]
        powers = np.exp(mean - mean.max())
        return (np.full(3, np.nan, np.float32) if self.spoilt else powers / powers.sum()), mean, (total, weight)


def session(mode: str = "streaming", engine: StepEngine | None = None, **settings: Any) -> Session:
    engine = engine or StepEngine()
    config = EventConfig(**{"threshold": 0.4, "begin": 0.4, **settings})
    stepper = Stepper(engine, StepForm(4, 0, 0, ((1, 3), (1, 1))), 20) if mode == "streaming" else None
    return Session(engine, KINECT, LABELS, Window(1, 64, 30.0, 4), stepper=stepper, config=config)


def play(session: Session, frames: Sequence[Frame]) -> list[Event]:
    return [event for frame in frames for event in session.step(frame)] + session.finish()


def shifted(frames: Sequence[Frame], seconds: float, metres: float = 0.0) -> list[Frame]:
    return [Frame(f.time + seconds, f.joints + np.float32((metres, 0, 0)), f.confidence) for f in frames]


MOVES = arm_moves([(1.0, 3.0), (4.5, 6.0)], 7.5)


@pytest.mark.parametrize("mode", ["streaming", "sliding-window"])
def test_an_action_begins_and_ends_the_same_in_both_ways(mode: str) -> None:
    events = play(session(mode), MOVES)
    assert [(event.kind, event.label) for event in events] == [("began", "front"), ("ended", "front")] * 2
    for event, (start, end) in zip(events[1::2], [(1.0, 3.0), (4.5, 6.0)], strict=True):
        assert event.start == pytest.approx(start - 0.2, abs=0.3) and event.end == pytest.approx(end + 0.2, abs=0.3)
    for began, ended in zip(events[::2], events[1::2], strict=True):
        assert began.end is None and began.time < ended.time and began.start == pytest.approx(ended.start, abs=0.1)


def test_frame_by_frame_what_was_done_before_does_not_linger() -> None:
    """The engine's state is the sum of all that it was shown: an answer would tell."""
    action = shifted(arm_moves([(1.0, 3.0)], 4.5), 6.0)
    before = shifted(arm_moves([(1.0, 2.0), (3.0, 5.0)], 6.0), 0.0, metres=0.3)
    alone, after_others = (play(session(engine=StepEngine(kept=1)), frames)[-1] for frames in (action, [*before, *action]))
    assert (alone.kind, alone.start, alone.confidence) == ("ended", after_others.start, after_others.confidence)


def test_frame_by_frame_an_action_is_answered_as_a_recording_of_it() -> None:
    live = session()
    for event in [event for event in play(live, MOVES) if event.kind == "ended"]:
        assert event.end is not None
        frames = [frame for frame in MOVES if event.start - 1e-6 <= frame.time <= event.end + 1e-6]
        recording = Clip(np.stack([frame.joints for frame in frames], 1), np.stack([frame.confidence for frame in frames], 1),
                         np.array([frame.time for frame in frames]))
        assert live.watch(recording).probability == pytest.approx(event.confidence, abs=1e-6)


def test_frame_by_frame_nobody_who_stands_still_is_looked_at_and_no_frame_takes_more_than_two_steps() -> None:
    engine = StepEngine()
    live, calls = session(engine=engine), []
    for frame in MOVES:
        before = engine.calls
        live.step(frame)
        calls.append(engine.calls - before)
    moving = [calls[index] for index, frame in enumerate(MOVES) if 0.9 < frame.time < 3.7 or 4.4 < frame.time < 6.7]
    assert max(calls) == 2 and sum(calls) == sum(moving)
    assert 4 * sum(calls) >= 30 * (2.0 + 1.5)  # every frame of the actions all the same


def test_by_window_the_recogniser_sees_the_whole_action_and_nothing_else(make_session: Callable[..., Any]) -> None:
    session = make_session(frames=128, hop=1000)
    play(session, arm_moves([(2.0, 4.0)], 6.0))
    ((_, confidence),) = session.engine.windows
    assert 60 <= int((confidence[0, 0, :, 0] > 0).sum()) <= 90


@pytest.mark.parametrize("config", [{"threshold": 7.0}, {"begin": -0.1}, {"smoothing": float("nan")}])
def test_shares_outside_0_to_1_are_refused(config: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="expected 0 to 1"):
        EventConfig(**config)


def test_what_stays_under_the_threshold_is_unknown() -> None:
    events = play(session(threshold=0.999, begin=0.999), MOVES)
    assert [(event.kind, event.label) for event in events] == [("ended", UNKNOWN)] * 2


def test_a_temperature_sharpens_and_the_threshold_is_on_what_it_gives() -> None:
    plain, sharp = (play(session(temperature=heat), MOVES)[-1] for heat in (1.0, 0.25))
    assert sharp.confidence > plain.confidence + 0.05 and sharp.label == plain.label


@pytest.mark.parametrize("temperature", [1e-4, 0.3, 1.0, 2.5, 1e4])
def test_calibrated_probabilities_are_those_of_the_logits_over_the_temperature(temperature: float) -> None:
    """Also where the temperature is so low that a power of each probability is 0, and where a probability is 0."""
    logits = np.array([1.0, 0.5, 1.0, -2.0, 0.0])

    def softmax(values: np.ndarray) -> np.ndarray:
        powers = np.exp(values - values.max())
        return powers / powers.sum()

    found = calibrated(softmax(logits).astype(np.float32), temperature)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, softmax(logits / temperature), atol=1e-6 if temperature > 0.01 else 1e-3)
    certain = softmax(np.log(np.array([1, 1e-30, 1e-30])) / temperature)
    np.testing.assert_allclose(calibrated(np.float32((1, 0, 0)), temperature), certain, atol=1e-6)


def test_everybody_has_a_state_and_a_number_of_their_own() -> None:
    alone = play(session(), MOVES)
    others = shifted(MOVES, 0.0, metres=2.0)
    together = [Frame(a.time, np.concatenate(pair(a, b, index)), np.concatenate([a.confidence, b.confidence]))
                for index, (a, b) in enumerate(zip(MOVES, others, strict=True))]
    events = play(session(), together)
    assert {event.person for event in events} == {0, 1}
    first = [replace(event, person=0) for event in events if event.person == person_at(events, alone)]
    assert first == alone


def pair(a: Frame, b: Frame, index: int) -> tuple[np.ndarray, np.ndarray]:
    """A source lists people in any order."""
    return (a.joints, b.joints) if index % 2 else (b.joints, a.joints)


def person_at(events: Sequence[Event], alone: Sequence[Event]) -> int:
    """Who of them is where the one alone was: the confidences tell."""
    return next(event.person for event in events if event.kind == "ended" and event.confidence == alone[1].confidence)


def test_a_number_is_kept_through_a_short_loss_and_not_given_twice() -> None:
    live = session()
    nobody = np.zeros((0, 20, 3), np.float32), np.zeros((0, 20), np.float32)
    for frame in MOVES:
        hidden = 2.0 < frame.time < 2.6
        live.step(Frame(frame.time, *nobody) if hidden else frame)
    assert list(live.persons) == [0]
    for index in range(60):
        live.step(Frame(8.0 + index / 30, *nobody))
    assert not live.persons
    live.step(shifted(MOVES, 20.0)[0])
    live.step(shifted(MOVES, 20.0)[1])
    assert list(live.persons) == [1]


def test_more_people_than_are_followed_wait_for_their_turn() -> None:
    live = Session(CountingEngine(), KINECT, LABELS, Window(1, 64, 30.0, 4), most=2)
    crowd = np.concatenate([MOVES[0].joints + np.float32((2 * k, 0, 0)) for k in range(5)])
    live.step(Frame(0.0, crowd, np.ones((5, 20), np.float32)))
    assert len(live.persons) == 2


@pytest.mark.parametrize("rate", [15, 25, 60])
def test_the_rate_of_the_source_does_not_matter(rate: int) -> None:
    every = {15: slice(None, None, 2)}.get(rate)
    frames = MOVES[every] if every else [resampled(index / rate) for index in range(int(7.4 * rate))]
    events = play(session(), frames)
    assert [(event.kind, event.label) for event in events] == [("began", "front"), ("ended", "front")] * 2


def resampled(time: float) -> Frame:
    index = min(int(time * 30), len(MOVES) - 2)
    share = np.float32(time * 30 - index)
    joints = (1 - share) * MOVES[index].joints + share * MOVES[index + 1].joints
    return Frame(time, joints.astype(np.float32), MOVES[index].confidence)


def test_dropped_and_late_frames_and_jitter_change_nothing_that_matters() -> None:
    rng = np.random.default_rng(3)
    live = session()
    frames = [replace(f, time=f.time + rng.uniform(-0.008, 0.008)) for i, f in enumerate(MOVES) if i % 11]
    late = [frame for index, frame in enumerate(frames) for frame in ([frame] if index % 9 else [frame, frames[max(index - 2, 0)]])]
    events = play(live, late)
    assert [(event.kind, event.label) for event in events] == [("began", "front"), ("ended", "front")] * 2
    assert live.refused["late or repeated"] == len(late) - len(frames)


def spoil(kind: str, frame: Frame) -> Frame:
    joints, confidence = frame.joints.copy(), frame.confidence.copy()
    if kind == "nan joint":
        joints[0, 7] = np.nan
    elif kind == "nan confidence":
        confidence[0, 7] = np.nan
    elif kind == "confidence above 1":
        confidence[0, 7] = 3.0
    elif kind == "another number of joints":
        return replace(frame, joints=joints[:, :19], confidence=confidence[:, :19])
    elif kind == "another shape":
        return replace(frame, joints=joints[0], confidence=confidence)
    elif kind == "from the future":
        return replace(frame, time=frame.time + 3600)
    elif kind == "from the past":
        return replace(frame, time=frame.time - 3600)
    elif kind == "no time":
        return replace(frame, time=float("nan"))
    elif kind == "repeated":
        return replace(frame, time=(round(30 * frame.time) - 1) / 30)
    return replace(frame, joints=joints, confidence=confidence)


@pytest.mark.parametrize("kind", ["nan joint", "nan confidence", "confidence above 1", "another number of joints", "another shape",
                                  "from the future", "from the past", "no time", "repeated"])
def test_one_bad_frame_costs_that_frame_only(kind: str) -> None:
    live = session()
    spoilt = [spoil(kind, frame) if index in (40, 100) else frame for index, frame in enumerate(MOVES)]
    events = play(live, spoilt)
    assert [(event.kind, event.label) for event in events] == [("began", "front"), ("ended", "front")] * 2
    assert live.refused.total() == 2, live.refused
    assert all(np.isfinite(event.confidence) for event in events)


def test_an_hours_gap_ends_what_was_going_on_and_starts_afresh() -> None:
    live = session()
    first, second = MOVES[:60], shifted(MOVES, 3600.0)
    events = play(live, [*first, *second])
    assert [event.kind for event in events] == ["began", "ended", *["began", "ended"] * 2]
    assert events[1].end is not None and events[1].end < 3  # not an hour long
    assert [event.person for event in events] == [0, 0, 1, 1, 1, 1]
    assert not live.refused


def test_a_source_that_starts_its_clock_again_is_followed() -> None:
    events = play(session(), [*shifted(MOVES, 5000.0), *MOVES])
    assert [event.kind for event in events] == ["began", "ended"] * 4


@pytest.mark.parametrize("mode", ["streaming", "sliding-window"])
@pytest.mark.parametrize("at", [1, 50, 75, 130])
def test_a_restored_session_goes_on_as_if_nothing_had_been(mode: str, at: int) -> None:
    live = session(mode)
    for frame in MOVES[:at]:
        live.step(frame)
    saved = live.save()
    expected = play(live, MOVES[at:])
    again = session(mode)
    again.restore(saved)
    assert play(again, MOVES[at:]) == expected
    assert again.save() == live.save()


def test_a_state_of_another_session_or_a_damaged_one_is_refused_and_changes_nothing() -> None:
    live = session()
    for frame in MOVES[:50]:
        live.step(frame)
    saved = live.save()
    with pytest.raises(UsageError, match="another mode"):
        session("sliding-window").restore(saved)
    rng = np.random.default_rng(0)
    for cut in [0, 10, len(saved) // 2, len(saved) - 1]:
        with pytest.raises(CorruptFile):
            live.restore(saved[:cut])
    for _ in range(20):
        broken = bytearray(saved)
        broken[int(rng.integers(len(broken)))] ^= 0xFF
        try:
            live.restore(bytes(broken))
        except (CorruptFile, UsageError):
            pass
    assert live.save() == saved


@pytest.mark.parametrize("mode", ["streaming", "sliding-window"])
def test_what_was_recorded_gives_the_same_events_again_bit_for_bit(mode: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    source = [replace(f, time=f.time + rng.uniform(-0.01, 0.01)) for f in MOVES]
    source = [spoil("nan joint" if index == 50 else "from the future", frame) if index in (50, 90) else frame
              for index, frame in enumerate(source) if index % 13]
    live = session(mode)
    with Recorder(tmp_path / "seen.mcap") as recorder:
        live.tap(lambda frame: recorder.frame(frame, KINECT, "seen"))
        events = play(live, source)
    again = session(mode)
    assert play(again, list(Replay(read_recording(tmp_path / "seen.mcap"), speed=0))) == events
    assert len(events) == 4 and not again.refused


def test_reset_is_as_good_as_new() -> None:
    live = session()
    play(live, MOVES[:100])
    live.reset()
    assert play(live, MOVES) == play(session(), MOVES)


def test_an_answer_that_is_not_finite_is_an_error_and_the_next_frames_are_taken() -> None:
    engine = StepEngine(spoilt=True)
    live = session(engine=engine)
    with pytest.raises(EngineError, match="non-finite"):
        for frame in MOVES:
            live.step(frame)
    engine.spoilt = False
    assert [event.label for event in play(live, MOVES[4:])] == ["front"] * 4
