"""The same recording at any frame rate gives the same persons and the same actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edgeskel.runtime import Event, EventConfig, Session
from edgeskel.runtime.tracking import Tracks
from edgeskel.skeleton import Frame
from tests.runtime.test_live import KINECT, LABELS, CountingEngine, Window
from tests.streams import Stream, streams

SECONDS = 40.0
RATES = (15, 20, 25, 50, 60, 100, 120)


@pytest.fixture(scope="module")
def sequences(utd_store: Any) -> list[Stream]:
    """Clips of three of UTD-MHAD's training subjects, one after the other: from one to the next the body may jump."""
    subjects = utd_store.index["subject"]
    mine = np.flatnonzero(np.isin(subjects, sorted(set(subjects.tolist()))[::2][:3]))
    return streams(utd_store, mine.tolist(), [], seed=1)


def at(frames: Sequence[Frame], times: np.ndarray) -> list[Frame]:
    """The recording, which has 30 frames per second, seen at other times: linear in between."""
    known = np.array([frame.time for frame in frames])
    places = np.clip(np.searchsorted(known, times + 1e-9, "right") - 1, 0, len(frames) - 2)
    shares = np.clip((times - known[places]) * 30, 0, 1).astype(np.float32)
    return [Frame(float(time), (1 - share) * frames[place].joints + share * frames[place + 1].joints, frames[place].confidence)
            for time, place, share in zip(times, places, shares, strict=True)]


def ended(frames: Sequence[Frame]) -> list[Event]:
    config = EventConfig(threshold=0.0, begin=0.0)
    session = Session(CountingEngine(), KINECT, LABELS, Window(1, 128, 30.0, 1000), config=config)
    events = [event for frame in frames for event in session.step(frame)] + session.finish()
    assert not session.refused
    return [event for event in events if event.kind == "ended"]


def alike(found: Sequence[Event], wanted: Sequence[Event]) -> float:
    """Share of the actions of either that the other has, too: same person, same label, 0.25 s more or less."""
    def has(events: Sequence[Event], one: Event) -> bool:
        assert one.end is not None
        return any(event.person == one.person and event.label == one.label and event.end is not None
                   and max(abs(event.start - one.start), abs(event.end - one.end)) < 0.25 for event in events)

    both = [has(found, one) for one in wanted] + [has(wanted, one) for one in found]
    return float(np.mean(both))


def test_the_same_actions_at_every_rate(sequences: list[Stream]) -> None:
    """All but those whose speed touches a threshold: seen at half the rate, a pause of 0.3 s may be 0.27 s."""
    shares = []
    for sequence in sequences:
        frames = sequence.frames[: round(SECONDS * 30)]
        wanted = ended(frames)
        assert len(wanted) >= 10
        for rate in RATES:
            found = ended(at(frames, np.arange(int((SECONDS - 0.1) * rate)) / rate))
            if rate % 30 == 0:  # its frames fall on the grid: nothing is interpolated twice
                assert alike(found, wanted) == 1
                confidences = [[event.confidence for event in events[:-1]] for events in (found, wanted)]  # the last is cut off
                assert confidences[0] == pytest.approx(confidences[1], abs=1e-4)
            shares.append(alike(found, wanted))
            assert shares[-1] >= 0.8, rate
    assert np.mean(shares) >= 0.97


@pytest.mark.parametrize("rate", [30, 60])
def test_irregular_times_change_as_little(sequences: list[Stream], rate: int) -> None:
    rng = np.random.default_rng(0)
    frames = sequences[1].frames[: round(SECONDS * 30)]
    times = (np.arange(int((SECONDS - 0.1) * rate)) + np.r_[0, rng.uniform(-0.3, 0.3, int((SECONDS - 0.1) * rate) - 1)]) / rate
    assert alike(ended(at(frames, times)), ended(frames)) >= 0.9


@pytest.mark.parametrize(("metres", "same"), [(0.3, True), (0.6, True), (0.85, False), (3.0, False)])
@pytest.mark.parametrize("rate", [15, 20, 25, 30, 50, 60, 100, 120])
def test_whether_a_body_that_jumps_is_the_same_does_not_depend_on_the_rate(metres: float, same: bool, rate: int) -> None:
    """As a recording at 30 Hz shows it that was brought to another rate: the jump takes a thirtieth of a second."""
    tracks = Tracks(4, KINECT)
    found: list[set[int]] = []
    for time in np.arange(2 * rate) / rate:
        body = np.ones((1, 20, 3), np.float32) + np.float32(metres * min(max(30 * (time - 1), 0), 1)) * np.float32((1, 0, 0))
        found.append(set(tracks.assign(Frame(float(time), body, np.ones((1, 20), np.float32)))))
    assert found[0] == {0} and (found[-1] == {0}) == same


@pytest.mark.parametrize("rate", [15, 30, 60, 120, 240])
@pytest.mark.parametrize("speed", [1.5, 3.5])
def test_who_walks_or_runs_stays_the_same_person_at_every_rate(rate: int, speed: float) -> None:
    tracks, rng = Tracks(4, KINECT), np.random.default_rng(0)
    for time in np.arange(2 * rate) / rate:
        body = np.float32(speed * time) * np.float32((1, 0, 0)) + rng.normal(scale=0.02, size=(1, 20, 3)).astype(np.float32)
        hidden = 0.7 < time < 1.3
        assert set(tracks.assign(Frame(float(time), body, np.zeros((1, 20), np.float32) + (not hidden)))) <= {0}
    assert tracks.next == 1
