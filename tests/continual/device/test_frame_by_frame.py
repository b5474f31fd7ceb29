"""Learned actions on a recogniser that goes frame by frame: actions of Northwestern-UCLA on one that learned UTD-MHAD."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel.continual.device import ClassStatistics, Demonstration, DemonstrationStore, with_learned
from edgeskel.embedding import statistics
from edgeskel.embedding.measure import describe, embeddings
from edgeskel.models import folder_of, from_pretrained
from edgeskel.runtime import Event, Session, event_config, session_of
from edgeskel.runtime.bundle import read_certainty
from edgeskel.skeleton import Clip, Frame
from tests.streams import played

MODEL, NAME = "edge-utd-mhad-live", "put a coat on"


@pytest.fixture(scope="module")
def coats(ucla_store: Any) -> list[Clip]:
    """Somebody dons a coat, seen from the front; a clip for each of several people."""
    donning = ucla_store.labels.index("donning")
    chosen = [index for index in range(len(ucla_store)) if ucla_store.index["label"][index] == donning
              and ucla_store.index["view"][index] == ucla_store.index["view"][0]]
    return [ucla_store[index] for index in chosen]


@pytest.fixture(scope="module")
def waves(utd_store: Any) -> list[Clip]:
    wave = utd_store.labels.index("wave")
    return [utd_store[index] for index in range(len(utd_store)) if utd_store.index["label"][index] == wave
            and utd_store.index["subject"][index] == b"2"]


def test_a_clip_is_embedded_on_the_workstation_as_a_session_sees_it(coats: list[Clip]) -> None:
    live = session("streaming")
    slow = replace(coats[0], joints=coats[0].joints[:, ::2], confidence=coats[0].confidence[:, ::2], time=coats[0].time[::2])
    clips = [coats[1], slow]
    for clip, embedding in zip(clips, embeddings(from_pretrained(MODEL), clips), strict=True):
        assert np.abs(live.watch(clip).embedding - embedding).max() < 1e-4 * np.abs(embedding).max()


@pytest.mark.parametrize(("name", "has_window"), [(MODEL, False), ("edge-utd-mhad", True)])
def test_trajectories_are_measured_where_a_session_shows_them(name: str, has_window: bool, utd_store: Any) -> None:
    """A demonstration seen frame by frame has none, and statistics that held them would have it compared by them."""
    labels = utd_store.index["label"]
    two_of_each = [int(clip) for label in range(len(utd_store.labels)) for clip in np.flatnonzero(labels == label)[:2]]
    assert (describe(from_pretrained(name), utd_store, two_of_each).trajectories is not None) == has_window


def session(mode: str) -> Session:
    return session_of(from_pretrained(MODEL), threads=1, mode=mode, config=event_config(read_certainty(folder_of(MODEL))))


def taught(plain: Session, coats: list[Clip], path: Path) -> Session:
    with DemonstrationStore.open(path, ClassStatistics.load(folder_of(MODEL) / statistics.FILE)) as memory:
        for clip in coats[:5]:
            memory.learn(NAME, Demonstration.of(clip, plain)[0])
        return with_learned(plain, memory.learner())


def stream(coats: list[Clip], waves: list[Clip]) -> list[Frame]:
    clips = [clip for pair in zip(coats[5:8], waves[:3], strict=True) for clip in pair]
    return played(clips, np.random.default_rng(0))[0]


def step(one: Session, frames: list[Frame]) -> list[Event]:
    return [event for frame in frames for event in one.step(frame)]


@pytest.mark.parametrize("mode", ["streaming", "sliding-window"])
def test_a_learned_action_is_among_the_events(mode: str, coats: list[Clip], waves: list[Clip], tmp_path: Path) -> None:
    plain, frames = session(mode), stream(coats, waves)
    assert NAME not in {event.label for event in step(plain, frames) + plain.finish()}
    learned = taught(session(mode), coats, tmp_path / "learned.sqlite")
    assert learned.mode == mode
    ended = [event.label for event in step(learned, frames) + learned.finish() if event.kind == "ended"]
    assert ended.count(NAME) >= 2 and ended.count("wave") >= 2


def test_a_learned_session_is_restored_and_reset_to_the_bit(coats: list[Clip], waves: list[Clip], tmp_path: Path) -> None:
    learned, frames = taught(session("streaming"), coats, tmp_path / "learned.sqlite"), stream(coats, waves)
    whole = step(learned, frames)
    learned.reset()
    middle = len(frames) // 2
    first = step(learned, frames[:middle])
    another = taught(session("streaming"), coats, tmp_path / "again.sqlite")
    another.restore(learned.save())
    assert [first_seen(event) for event in first + step(another, frames[middle:])] == [first_seen(event) for event in whole]


def first_seen(event: Event) -> tuple[Any, ...]:
    """All but the number of the person: reset() never gives one twice."""
    return (event.kind, event.label, event.confidence, event.start, event.end, event.time)


def test_everybody_has_learned_it(coats: list[Clip], waves: list[Clip], tmp_path: Path) -> None:
    learned = taught(session("streaming"), coats, tmp_path / "learned.sqlite")
    still = [np.repeat(clip.joints[:, -1:], 40, axis=1) for clip in (coats[5], waves[0])]
    clips = [np.concatenate((clip.joints, rest), axis=1)[0] for clip, rest in zip((coats[5], waves[0]), still, strict=True)]
    aside = clips[1] - clips[1][:1, :1] + clips[0][:1, :1] + np.float32((2.5, 0, 0))
    frames = [Frame(index / 30, np.stack((clips[0][index], aside[min(index, len(aside) - 1)])), np.ones((2, 20), np.float32))
              for index in range(len(clips[0]))]
    ended = {event.person: event.label for event in step(learned, frames) + learned.finish() if event.kind == "ended"}
    assert ended[0] == NAME and ended.get(1) == "wave"
