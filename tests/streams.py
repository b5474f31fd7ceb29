"""Untrimmed streams made of recorded clips, and how well events on them fit what was performed.

Axes: M persons, T frames, V joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeskel.data import Store
from edgeskel.runtime import UNKNOWN, Event, Session
from edgeskel.skeleton import Clip, Float32, Frame

__all__ = ["UNSEEN", "Score", "Stream", "found", "hits", "play", "streams"]

RATE = 30.0
UNSEEN = ("donning", "doffing", "drop_trash")
"""Actions of Northwestern-UCLA that UTD-MHAD has nothing like, seen by the same kind of camera."""


@dataclass(frozen=True)
class Stream:
    """Frames, what was performed when (start_s, end_s, label), and when something was done that no one taught."""

    frames: list[Frame]
    spans: list[tuple[float, float, str]]
    unseen: list[tuple[float, float, str]]
    rate: float = RATE

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.frames) / self.rate


def streams(store: Store, indices: Sequence[int], others: Sequence[Clip], seed: int, share: float = 0.3) -> list[Stream]:
    """One stream for each subject: clips in random order, with 0.8 to 2.5 s of standing still between them and, before a
    ``share`` of the clips, one of the ``others``, moved to where the person stands. Standing still is the last pose with 4 mm
    of noise per joint, of everybody in the clip. Frames come at the store's rate."""
    rng = np.random.default_rng(seed)
    chosen = np.asarray(indices)
    subjects = store.index["subject"][chosen]
    made = []
    for subject in sorted(set(subjects.tolist())):
        clips: list[tuple[Clip, bool]] = []
        for index in rng.permutation(chosen[subjects == subject]):
            if others and rng.random() < share:
                clips.append((others[int(rng.integers(len(others)))], False))
            clips.append((store[int(index)], True))
        made.append(_joined(clips, rng, store.rate_hz))
    return made


def _joined(clips: Sequence[tuple[Clip, bool]], rng: np.random.Generator, rate: float) -> Stream:
    frames: list[Frame] = []
    spans: list[tuple[float, float, str]] = []
    unseen: list[tuple[float, float, str]] = []
    last: Float32 | None = None
    for clip, known in clips:
        joints, seen = clip.joints, clip.confidence
        if last is not None and not known:
            joints = joints + (last[0, 0] - joints[0, 0, 0])  # the first joint is the pelvis
        begin = len(frames) / rate
        (spans if known else unseen).append((begin, begin + joints.shape[1] / rate, clip.label))
        last = joints[:, -1]
        rest = np.repeat(last[:, None], round(int(rng.integers(24, 76)) * rate / RATE), axis=1)
        still = rest + rng.normal(scale=0.004, size=rest.shape)
        poses = np.concatenate([joints, still], axis=1).transpose(1, 0, 2, 3).astype(np.float32)
        seen = np.concatenate([seen, np.repeat(seen[:, -1:], still.shape[1], axis=1)], axis=1).transpose(1, 0, 2)
        for pose, confidence in zip(poses, seen, strict=True):
            present = (confidence > 0).any(-1)
            frames.append(Frame(len(frames) / rate, np.where(confidence[..., None] > 0, pose, 0)[present], confidence[present]))
    return Stream(frames, spans, unseen, rate)


def play(session: Session, stream: Stream) -> list[Event]:
    """All events of a stream, from a fresh state."""
    session.reset()
    return [event for frame in stream.frames for event in session.step(frame)] + session.finish()


class Score:
    """Adds up streams.

    * ``frame_accuracy``: percent of frames that are given their action, or none outside of the actions that were taught.
    * ``segment_f1_N``: percent; an event of the right label counts where it overlaps its action by N percent of their union
      (Lea et al. 2017, arXiv 1611.05267), each action once.
    * ``false_alarms_per_hour``: ended events with a label that overlap no action of any label by a tenth of their union.
    * ``delay_s``: median time from the start of an action to the first event that names it rightly.
    * ``unseen_rejected``: percent of the actions that no one taught during which no event gave them a label.
    """

    def __init__(self) -> None:
        self.right = self.frames = self.alarms = 0
        self.seconds = 0.0
        self.hits = {10: 0, 25: 0, 50: 0}
        self.events = self.actions = 0
        self.delays: list[float] = []
        self.unseen: list[bool] = []

    def add(self, stream: Stream, events: Sequence[Event]) -> None:
        """Count one stream."""
        named = _named(events)
        truth, given = (_painted(spans, len(stream.frames), stream.rate) for spans in (stream.spans, named))
        self.right += sum(a == b for a, b in zip(truth, given, strict=True))
        self.frames += len(truth)
        self.seconds += stream.seconds
        self.events += len(named)
        self.actions += len(stream.spans)
        for percent in self.hits:
            self.hits[percent] += sum(_hits(named, stream.spans, percent / 100))
        self.alarms += sum(max((_overlap(event, span) for span in stream.spans), default=0.0) < 0.1 for event in named)
        for start, end, label in stream.spans:
            times = [event.time for event in events if event.label == label and start - 0.5 <= event.time <= end + 1.5]
            if times:
                self.delays.append(min(times) - start)
        for start, end, _ in stream.unseen:
            self.unseen.append(not any(min(end, b) - max(start, a) > 0.5 * min(b - a, end - start) for a, b, _ in named))

    def figures(self) -> dict[str, float]:
        """By name."""
        f1 = {f"segment_f1_{percent}": 200 * hits / max(self.events + self.actions, 1) for percent, hits in self.hits.items()}
        return {
            "frame_accuracy": 100 * self.right / max(self.frames, 1), **f1,
            "delay_s": float(np.median(self.delays)) if self.delays else float("inf"),
            "false_alarms_per_hour": 3600 * self.alarms / max(self.seconds, 1e-9),
            "unseen_rejected": 100 * float(np.mean(self.unseen)) if self.unseen else 100.0,
        }


def _painted(spans: Sequence[tuple[float, float, str]], frames: int, rate: float) -> list[str]:
    labels = [""] * frames
    for start, end, label in spans:
        for index in range(max(round(start * rate), 0), min(round(end * rate), frames)):
            labels[index] = label
    return labels


def _overlap(a: tuple[float, float, str], b: tuple[float, float, str]) -> float:
    """Intersection over union of two stretches."""
    both = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return both / max(max(a[1], b[1]) - min(a[0], b[0]), 1e-9)


def hits(events: Sequence[Event], stream: Stream) -> list[tuple[float, bool]]:
    """Of every event with a label that has ended, its confidence and whether it is right (overlap 0.5)."""
    ended = [event.confidence for event in events if event.kind == "ended" and event.label != UNKNOWN]
    return list(zip(ended, _hits(_named(events), stream.spans, 0.5), strict=True))


def found(stream: Stream, events: Sequence[Event]) -> list[Event | None]:
    """Of every action that was taught, the ended event that overlaps it most, whatever its label; None below one half."""
    ended = [event for event in events if event.kind == "ended"]

    def overlap(event: Event, span: tuple[float, float, str]) -> float:
        return _overlap((event.start, event.end or event.start, ""), span)

    best = [max(ended, key=lambda event: overlap(event, span), default=None) for span in stream.spans]  # noqa: B023
    return [event if event is not None and overlap(event, span) >= 0.5 else None
            for event, span in zip(best, stream.spans, strict=True)]


def _named(events: Sequence[Event]) -> list[tuple[float, float, str]]:
    return [(event.start, event.end or event.start, event.label)
            for event in events if event.kind == "ended" and event.label != UNKNOWN]


def _hits(events: Sequence[tuple[float, float, str]], spans: Sequence[tuple[float, float, str]], least: float) -> list[bool]:
    """Of each event, whether it answers for an action; each action is answered for once."""
    free = list(spans)
    found = []
    for event in events:
        best = max((span for span in free if span[2] == event[2]), key=lambda span: _overlap(event, span), default=None)
        hit = best is not None and _overlap(event, best) >= least
        if hit and best is not None:
            free.remove(best)
        found.append(hit)
    return found


def played(clips: list[Clip], rng: np.random.Generator) -> tuple[list[Frame], list[tuple[float, float, str]]]:
    """Clips one after the other at 30 frames per second, and (start, end, label) of each."""
    frames: list[Frame] = []
    spans = []
    for clip in clips:
        begin = len(frames) / 30
        spans.append((begin, begin + clip.frames / 30, clip.label))
        still = np.repeat(clip.joints[:, -1:], int(rng.integers(15, 37)), axis=1)
        trembling = still + rng.normal(scale=0.004, size=still.shape)
        for joints in np.concatenate([clip.joints, trembling], axis=1).transpose(1, 0, 2, 3).astype(np.float32):
            frames.append(Frame(len(frames) / 30, joints, np.ones(joints.shape[:2], np.float32)))
    return frames, spans
