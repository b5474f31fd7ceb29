"""New actions on real recordings: learned, recognised by the session, taken elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel.continual.device import ClassStatistics, Demonstration, DemonstrationStore, with_learned
from edgeskel.continual.device.demonstration_segmenter import DemonstrationSegmenter
from edgeskel.continual.device.transfer import merge, send, write_store
from edgeskel.errors import DataError, InvalidClip, LabelMismatch, TopologyMismatch, UnknownChoice, UsageError
from edgeskel.skeleton import Clip

ClipsOf = Callable[[str, str], list[Clip]]
TRAIN, TEST = "1,3,5,7", "2,4,6,8"


def shown(clip: Clip, session: Any, *, private: bool = False) -> Demonstration:
    return Demonstration.of(clip, session, private=private)[0]


def taught(path: Path, knowledge: ClassStatistics, session: Any, clips_of: ClipsOf, labels: dict[str, str], count: int = 3,
           private: bool = False) -> None:
    """Learn ``labels`` (name -> action of the data set) from ``count`` clips each."""
    with DemonstrationStore.open(path, knowledge) as memory:
        for name, action in labels.items():
            for clip in clips_of(action, TRAIN)[:count]:
                memory.learn(name, shown(clip, session, private=private))


def counts(memory: DemonstrationStore) -> dict[str, int]:
    return {one.label: one.demonstrations for one in memory.learned()}


def test_a_session_recognises_old_and_new_actions(tmp_path: Path, base_session: Any, base_knowledge: ClassStatistics,
                                                  clips_of: ClipsOf) -> None:
    taught(tmp_path / "learned.sqlite", base_knowledge, base_session, clips_of, {"my squat": "squat", "my bowling": "bowling"})
    with DemonstrationStore.open(tmp_path / "learned.sqlite", base_knowledge) as memory:
        session = with_learned(base_session, memory.learner())
    assert session.labels == (*base_session.labels, "my squat", "my bowling")
    for name, action in (("my squat", "squat"), ("my bowling", "bowling"), ("wave", "wave"), ("walk", "walk")):
        answers = [session.recognise(clip.joints, clip.confidence) for clip in clips_of(action, TEST)]
        assert np.mean([answer.label == name for answer in answers]) >= 0.75
        assert all(answer.probabilities.sum() == pytest.approx(1, abs=1e-5) for answer in answers)


def test_demonstrations_that_teach_nothing(base_session: Any, clips_of: ClipsOf) -> None:
    clip = clips_of("squat", "1")[0]
    short = Clip(clip.joints[:, :6], clip.confidence[:, :6], clip.time[:6], source="short")
    with pytest.raises(InvalidClip, match="short: 6 frames"):
        shown(short, base_session)
    hasty = replace(clip, time=clip.time / 20, source="hasty")
    with pytest.raises(InvalidClip, match="at least 8 frames and 0.5 s"):
        shown(hasty, base_session)
    gone = clip.confidence.copy()
    gone[:, clip.frames // 3 :] = 0
    with pytest.raises(InvalidClip, match="somebody is seen in"):
        shown(replace(clip, confidence=gone), base_session)
    with pytest.raises(InvalidClip, match="in 0 of"):
        shown(replace(clip, confidence=np.zeros_like(gone)), base_session)
    with pytest.raises(TopologyMismatch):
        shown(Clip(clip.joints[:, :, :15], clip.confidence[:, :, :15], clip.time), base_session)


def test_performances_are_cut_out_of_live_frames(base_session: Any, clips_of: ClipsOf) -> None:
    from tests.streams import played

    clips = clips_of("squat", "1")[:3]
    frames, spans = played(clips, np.random.default_rng(0))
    enrolment = DemonstrationSegmenter(base_session, "camera")
    cut = [clip for frame in frames for clip in enrolment.step(frame)] + enrolment.finish()
    assert len(cut) == len(spans)
    for clip, (start, end, _) in zip(cut, spans, strict=True):
        overlap = min(end, clip.time[-1]) - max(start, clip.time[0])
        assert overlap > 0.6 * (end - start)


def test_a_demonstration_is_cut_where_the_action_would_be_recognised(base_session: Any, clips_of: ClipsOf) -> None:
    """Late, repeated and wild frames are left out by both, and both begin and end at the same frames."""
    from tests.streams import played

    frames, _ = played(clips_of("throw", "3")[:3], np.random.default_rng(1))
    frames.insert(50, frames[49])
    frames.insert(70, replace(frames[70], time=frames[70].time + 1e6))
    enrolment = DemonstrationSegmenter(base_session, "camera")
    cut = [clip for frame in frames for clip in enrolment.step(frame)] + enrolment.finish()
    base_session.reset()
    events = [event for frame in frames for event in base_session.step(frame)] + base_session.finish()
    ended = [(event.start, event.end) for event in events if event.kind == "ended"]
    assert [(clip.time[0], clip.time[-1]) for clip in cut] == ended and len(cut) >= 3
    assert enrolment.refused == base_session.refused and enrolment.refused.total() == 2


def test_a_learned_state_travels(tmp_path: Path, base_session: Any, base_knowledge: ClassStatistics, clips_of: ClipsOf) -> None:
    here, there, sent = (tmp_path / f"{name}.sqlite" for name in ("here", "there", "sent"))
    taught(here, base_knowledge, base_session, clips_of, {"squat": "squat"})
    taught(there, base_knowledge, base_session, clips_of, {"throw": "throw"})
    with DemonstrationStore.open(here) as memory:
        memory.learn("wrong", Demonstration(np.zeros(256, np.float32), "wrong", 2.0, "a-mistake"))
        memory.undo()
        send(memory, sent)
    assert b"a-mistake" not in sent.read_bytes()  # it has no past
    with DemonstrationStore.open(there, base_knowledge) as memory:
        assert merge(memory, sent).taken == {"squat": 3}
        assert merge(memory, sent).taken == {}  # the same recordings again
        assert counts(memory) == {"throw": 3, "squat": 3}
        assert memory.undo() == "import sent.sqlite"
        assert counts(memory) == {"throw": 3}


def test_conflicts_are_named_and_settled(tmp_path: Path, base_session: Any, base_knowledge: ClassStatistics,
                                         clips_of: ClipsOf) -> None:
    other = tmp_path / "other.sqlite"
    taught(other, base_knowledge, base_session, clips_of, {"a": "squat", "b": "throw"})

    def mine(name: str) -> DemonstrationStore:
        taught(tmp_path / name, base_knowledge, base_session, clips_of, {"a": "bowling"})
        memory = DemonstrationStore.open(tmp_path / name, base_knowledge)
        return memory

    with mine("refuse") as memory:
        with pytest.raises(DataError, match="'a' has other demonstrations here.*--conflict"):
            merge(memory, other)
        with pytest.raises(UnknownChoice, match="rename"):
            merge(memory, other, conflict="whatever")
        assert counts(memory) == {"a": 3}
    for conflict, expected in (("mine", {"a": 3, "b": 3}), ("theirs", {"a": 3, "b": 3}), ("both", {"a": 6, "b": 3}),
                               ("rename", {"a": 3, "a (2)": 3, "b": 3})):
        with mine(conflict) as memory, DemonstrationStore.open(other) as theirs:
            before = {one.digest for _, one in memory.demonstrations()}
            assert merge(memory, other, conflict=conflict).conflicts == ("a",)
            assert counts(memory) == expected
            held = {one.digest for label, one in memory.demonstrations() if label == "a"}
            wanted = {one.digest for label, one in theirs.demonstrations() if label == "a"}
            assert (before <= held) == (conflict != "theirs") and (wanted <= held) == (conflict in ("theirs", "both"))
            memory.undo()
            assert {one.digest for _, one in memory.demonstrations()} == before


def test_one_recording_under_two_names_is_a_conflict_too(tmp_path: Path, base_session: Any, base_knowledge: ClassStatistics,
                                                         clips_of: ClipsOf) -> None:
    for name, label in (("here", "bend"), ("there", "squat")):
        taught(tmp_path / name, base_knowledge, base_session, clips_of, {label: "squat"})
    with DemonstrationStore.open(tmp_path / "here", base_knowledge) as memory:
        with pytest.raises(DataError, match="is 'bend' here"):
            merge(memory, tmp_path / "there")
        assert merge(memory, tmp_path / "there", conflict="mine").taken == {}
        assert merge(memory, tmp_path / "there", conflict="theirs").taken == {"squat": 3}
        assert counts(memory) == {"squat": 3}


def test_under_another_model_the_joints_are_looked_at_again(tmp_path: Path, base_session: Any, base_knowledge: ClassStatistics,
                                                            clips_of: ClipsOf) -> None:
    full, private = tmp_path / "full.sqlite", tmp_path / "private.sqlite"
    taught(full, base_knowledge, base_session, clips_of, {"squat": "squat"})
    taught(private, base_knowledge, base_session, clips_of, {"squat": "squat"}, private=True)
    other = replace(base_knowledge, clips=base_knowledge.clips + 1)  # whatever differs makes another model
    with DemonstrationStore.open(tmp_path / "new.sqlite", other) as memory:
        with pytest.raises(UsageError, match="another model"):
            merge(memory, full)
        assert merge(memory, full, session=base_session).taken == {"squat": 3}
    with DemonstrationStore.open(tmp_path / "newer.sqlite", other) as memory, pytest.raises(DataError, match="no joints were kept"):
        merge(memory, private, session=base_session)


def test_privacy_keeps_no_joints(tmp_path: Path, base_session: Any, base_knowledge: ClassStatistics, clips_of: ClipsOf) -> None:
    taught(tmp_path / "open", base_knowledge, base_session, clips_of, {"squat": "squat"})
    taught(tmp_path / "private", base_knowledge, base_session, clips_of, {"squat": "squat"}, private=True)
    with DemonstrationStore.open(tmp_path / "open", base_knowledge) as memory:
        assert memory.learned()[0].kept == 3
        assert write_store(memory, tmp_path / "store", base_session.topology) == 3
        assert memory.drop_joints() == 3
        assert memory.learned()[0].kept == 0
    with DemonstrationStore.open(tmp_path / "private", base_knowledge) as memory:
        assert memory.learned()[0].kept == 0
        with pytest.raises(DataError, match="--private"):
            write_store(memory, tmp_path / "none", base_session.topology)
    assert not (tmp_path / "none").exists()


def test_demonstrations_become_a_training_store(tmp_path: Path, base_session: Any, base_knowledge: ClassStatistics,
                                                clips_of: ClipsOf, utd_store: Any) -> None:
    from edgeskel.data import Store

    taught(tmp_path / "learned", base_knowledge, base_session, clips_of, {"my squat": "squat"})
    with DemonstrationStore.open(tmp_path / "learned", base_knowledge) as memory:
        write_store(memory, tmp_path / "both", base_session.topology, subject="3", beside=utd_store)
    both = Store.open(tmp_path / "both")
    both.verify()
    assert both.labels == (*utd_store.labels, "my squat") and len(both) == len(utd_store) + 3
    original, written = clips_of("squat", TRAIN)[0], both[len(utd_store)]
    assert np.array_equal(written.joints, original.joints) and written.label == "my squat" and written.subject == "3"


def test_a_session_of_another_model_is_refused(base_session: Any, base_knowledge: ClassStatistics) -> None:
    from edgeskel.continual.device import create

    other = replace(base_knowledge, labels=tuple(reversed(base_knowledge.labels)))
    with pytest.raises(LabelMismatch):
        with_learned(base_session, create("nearest-mean", other))


def test_a_workstation_makes_a_recogniser_of_its_own(tmp_path: Path, base_folder: Path, base_session: Any,
                                                     base_knowledge: ClassStatistics, clips_of: ClipsOf) -> None:
    from edgeskel.continual.retrain import retrain
    from edgeskel.embedding import statistics
    from edgeskel.models import from_pretrained
    from edgeskel.runtime import session_of

    taught(tmp_path / "learned", base_knowledge, base_session, clips_of, {"my squat": "squat"}, count=5)
    with DemonstrationStore.open(tmp_path / "learned", base_knowledge) as memory:
        labels = retrain(from_pretrained(base_folder), memory, tmp_path / "grown")
    assert labels == (*base_knowledge.labels, "my squat")
    session = session_of(from_pretrained(tmp_path / "grown"), threads=1)
    for name, action in (("my squat", "squat"), ("wave", "wave"), ("walk", "walk")):
        answers = [session.recognise(clip.joints, clip.confidence).label == name for clip in clips_of(action, TEST)]
        assert np.mean(answers) >= 0.75
    again = ClassStatistics.load(tmp_path / "grown" / statistics.FILE)  # and a device can add to it in turn
    assert again.labels == labels and again.digest != base_knowledge.digest
