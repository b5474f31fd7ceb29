"""How live frames are cut is learned from the training clips' own pace and pauses, written with the model and applied live."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel.errors import BundleError, CorruptFile
from edgeskel.runtime import EventConfig, Session, load
from edgeskel.runtime.motion import SegmenterConfig
from edgeskel.runtime.segmentation import SEGMENTER, energies, learned, read_segmenter, segmenter_entry, segmenter_of
from edgeskel.skeleton import Clip, Frame
from tests.runtime.conftest import seal, write_bundle
from tests.runtime.test_live import KINECT, LABELS, CountingEngine, Window

RATE = 30.0


def free_form(clip: Clip, rng: np.random.Generator) -> Clip:
    """The same action at half the pace, with up to three rests of 0.4 to 1.3 s in it, as somebody does it who thinks meanwhile."""
    places = np.arange(0, clip.frames - 1, 0.5)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(places) // 5, 4 * len(places) // 5))
        places = np.insert(places, at, np.full(int(rng.integers(12, 40)), places[at]))
    before = places.astype(int)
    share = (places - before).astype(np.float32)[None, :, None, None]
    joints = (1 - share) * clip.joints[:, before] + share * clip.joints[:, before + 1]
    joints = joints + rng.normal(scale=0.002, size=joints.shape)
    return replace(clip, joints=joints.astype(np.float32), confidence=np.ones(joints.shape[:3], np.float32),
                   time=np.arange(len(places)) / RATE, inertial=None)


def played(clips: Sequence[Clip], rng: np.random.Generator) -> tuple[list[Frame], list[tuple[float, float]]]:
    """One after the other, with 2.5 to 4 s of standing still between."""
    frames: list[Frame] = []
    spans = []
    for clip in clips:
        spans.append((len(frames) / RATE, (len(frames) + clip.frames) / RATE))
        still = np.repeat(clip.joints[:, -1:], int(rng.integers(75, 120)), axis=1)
        still = still + rng.normal(scale=0.004, size=still.shape)
        frames += [Frame((len(frames) + index) / RATE, pose.astype(np.float32), np.ones((1, 20), np.float32))
                   for index, pose in enumerate(np.concatenate([clip.joints, still], axis=1).transpose(1, 0, 2, 3))]
    return frames, spans


def found(frames: Sequence[Frame], config: SegmenterConfig) -> list[tuple[float, float]]:
    session = Session(CountingEngine(), KINECT, LABELS, Window(1, 128, RATE, 1000), config=EventConfig(segmenter=config))
    events = [event for frame in frames for event in session.step(frame)] + session.finish()
    return [(event.start, event.end) for event in events if event.kind == "ended" and event.end is not None]


def f1(segments: Sequence[tuple[float, float]], spans: Sequence[tuple[float, float]]) -> float:
    """Segments that overlap an action by half of their union, each action once."""
    hits = sum(any(min(end, b) - max(start, a) >= 0.5 * (max(end, b) - min(start, a)) for a, b in segments) for start, end in spans)
    return 2 * hits / (len(segments) + len(spans))


@pytest.fixture(scope="module")
def clips(utd_store: Any) -> dict[str, list[Clip]]:
    """Of two training subjects: from one it is learned, on the other it is tried."""
    subjects = utd_store.index["subject"]
    one, other = sorted(set(subjects.tolist()))[:3:2]
    return {name: [utd_store[int(i)] for i in np.flatnonzero(subjects == subject)[::4]]
            for name, subject in (("one", one), ("other", other))}


def of(clips: Sequence[Clip]) -> SegmenterConfig:
    return learned([energies(clip, KINECT, RATE) for clip in clips], RATE)


def test_free_form_actions_stay_whole_once_their_pauses_are_known(clips: dict[str, list[Clip]]) -> None:
    rng = np.random.default_rng(0)
    config = of([free_form(clip, rng) for clip in clips["one"]])
    frames, spans = played([free_form(clip, rng) for clip in clips["other"]], rng)
    before, after = found(frames, SegmenterConfig()), found(frames, config)
    assert f1(before, spans) < 0.6 and len(before) > 1.5 * len(spans)
    assert f1(after, spans) > 0.85 and len(after) < 1.15 * len(spans)


def test_crisp_actions_are_cut_as_before_and_as_closely_as_they_were_recorded(clips: dict[str, list[Clip]]) -> None:
    config = of(clips["one"])
    assert replace(config, margin_s=0.3) == SegmenterConfig()
    assert 0.05 < config.margin_s < 0.2


def test_short_actions_that_were_cut_closely_are_found(clips: dict[str, list[Clip]]) -> None:
    def close(clip: Clip) -> Clip:
        """The liveliest 0.7 s of it."""
        speed = np.abs(np.diff(clip.joints, axis=1)).sum((0, 2, 3))
        start = int(np.convolve(speed, np.ones(20), "valid").argmax())
        return replace(clip, joints=clip.joints[:, start : start + 21], confidence=clip.confidence[:, start : start + 21],
                       time=np.arange(21) / RATE, inertial=None)

    config = of([close(clip) for clip in clips["one"]])
    frames, spans = played([close(clip) for clip in clips["other"]], np.random.default_rng(0))
    assert f1(found(frames, SegmenterConfig()), spans) < 0.6
    assert f1(found(frames, config), spans) > 0.85


def test_nothing_becomes_more_eager_to_cut_than_by_default_and_all_has_bounds() -> None:
    for energy in (np.zeros(90), np.full(90, 0.01), np.full(3000, 5.0), np.r_[5.0, np.zeros(600), 5.0], np.full(30, 1e9)):
        config = learned([energy, np.zeros(0)], RATE)
        assert segmenter_of(segmenter_entry(config)) == config
        assert config.still_s >= 0.3 and config.longest_s >= 6 and 0.3 <= config.start <= 0.8 and config.stop < config.start
        assert config.still_s <= 2 and config.longest_s <= 30
        assert 0.25 <= config.shortest_s <= 0.5 and 0 <= config.margin_s <= 0.3
    assert learned([], RATE) == SegmenterConfig()


def test_a_clip_that_lasts_for_days_is_not_walked_through() -> None:
    clip = Clip(np.zeros((1, 2, 20, 3), np.float32), np.ones((1, 2, 20), np.float32), np.array([0.0, 1e9]))
    assert len(energies(clip, KINECT, RATE)) == 0


def test_the_bundle_carries_it_and_the_session_applies_it(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    assert load(tmp_path / "bundle", engine="onnxruntime").config.segmenter == SegmenterConfig()
    entry = {"start": 0.5, "stop": 0.2, "still_s": 1.2, "longest_s": 12.0, "margin_s": 0.1, "of a later version": 1}
    seal(tmp_path / "bundle", segmenter=entry)
    config = load(tmp_path / "bundle", engine="onnxruntime").config.segmenter
    assert config == SegmenterConfig(start=0.5, stop=0.2, still_s=1.2, longest_s=12.0, margin_s=0.1)


@pytest.mark.parametrize("entry", [{"still_s": -1}, {"still_s": 1e9}, {"start": "fast"}, {"longest_s": True}, {"stop": None},
                                   {"start": 0.1, "stop": 0.3}, {"longest_s": float("nan")}, [1], "x"])
def test_what_makes_no_sense_is_refused(entry: Any, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    seal(tmp_path / "bundle", segmenter=entry)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        load(tmp_path / "bundle", engine="onnxruntime")
    (tmp_path / SEGMENTER).write_text(json.dumps(entry))
    with pytest.raises(CorruptFile, match="delete it"):
        read_segmenter(tmp_path)
