"""How events on a stream are scored: by hand, on streams small enough to see through."""

from __future__ import annotations

import numpy as np
import pytest

from edgeskel.runtime import UNKNOWN, Event
from edgeskel.skeleton import Frame
from tests.streams import Score, Stream, hits

NOBODY = np.zeros((0, 20, 3), np.float32), np.zeros((0, 20), np.float32)
STREAM = Stream([Frame(index / 30, *NOBODY) for index in range(300)], [(1.0, 3.0, "wave"), (6.0, 8.0, "clap")],
                [(4.0, 5.0, "doffing")])


def ended(start: float, end: float, label: str, confidence: float = 0.9) -> Event:
    return Event("ended", 0, label, confidence, start, end, end + 0.5)


def score(*events: Event) -> dict[str, float]:
    total = Score()
    total.add(STREAM, events)
    return total.figures()


def test_perfect_events_score_perfectly() -> None:
    figures = score(ended(1, 3, "wave"), ended(4, 5, UNKNOWN), ended(6, 8, "clap"))
    assert figures == {"frame_accuracy": 100, "segment_f1_10": 100, "segment_f1_25": 100, "segment_f1_50": 100,
                       "delay_s": 2.5, "false_alarms_per_hour": 0, "unseen_rejected": 100}


def test_overlap_decides_at_which_threshold_an_event_counts() -> None:
    figures = score(ended(1, 1.7, "wave"), ended(6, 8, "clap"))  # 35 percent of the first
    assert (figures["segment_f1_25"], figures["segment_f1_50"]) == (100, 50)
    assert figures["frame_accuracy"] == pytest.approx(100 * (300 - 39) / 300)


def test_an_action_is_answered_for_once() -> None:
    assert score(ended(1, 3, "wave"), ended(1.1, 3, "wave"), ended(6, 8, "clap"))["segment_f1_50"] == pytest.approx(80)


def test_a_label_for_what_no_one_taught_is_a_false_alarm_and_a_wrong_label_is_not() -> None:
    figures = score(ended(4, 5, "wave"), ended(6, 8, "wave"))
    assert figures["false_alarms_per_hour"] == pytest.approx(360) and figures["unseen_rejected"] == 0
    assert figures["segment_f1_10"] == 0 and figures["delay_s"] == float("inf")


def test_the_first_event_that_names_an_action_is_its_detection() -> None:
    early = Event("began", 0, "wave", 0.8, 1.0, None, 1.9)
    wrong = Event("began", 0, "clap", 0.8, 1.0, None, 1.2)
    assert score(wrong, early, ended(1, 3, "wave"))["delay_s"] == pytest.approx(0.9)


def test_hits_go_with_their_confidence() -> None:
    events = [ended(1, 3, "wave", 0.9), ended(4, 5, "clap", 0.4), ended(6, 8, UNKNOWN, 0.1)]
    assert hits(events, STREAM) == [(0.9, True), (0.4, False)]
