"""What is in a store: counts, lengths, missing joints, class balance, duplicates, and whether units look right."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskel.data.bodies import persons_of
from edgeskel.data.importers.rates import differing, rate_of
from edgeskel.data.notes import Note
from edgeskel.data.sizes import extent, wrong_unit
from edgeskel.data.store import Store

__all__ = ["Inspection", "inspect"]

@dataclass(frozen=True)
class Inspection:
    """Facts about a store.

    Args:
        clips, frames: how many.
        seconds: duration of all clips together.
        lengths: frames per clip: min, median, mean, max.
        persons: persons in a clip -> clips.
        labels, subjects, views: name -> clips, in the store's order of labels and by name; unlabelled is "".
        imbalance: clips of the largest class over clips of the smallest; 0 when a class has none.
        missing: joint -> share of its positions that are missing, for those that ever are.
        missing_share: share of all positions that are missing.
        unseen_frames: frames in which nobody has a joint.
        unseen: source -> such frames, of the clips that have some, the most first.
        nobody: sources of clips in which nobody is seen at all.
        rates: (frames per second, clips), groups of clips whose own clocks agree, the largest first.
        duplicates: groups of sources with the same contents.
        one_frame: sources of clips that hold a single frame.
        extent_m: median over clips of the largest extent of a person, metres; 0 when no joint was seen.
        refused: (source, reason) that the import did not take.
        notes: what the import left out of recordings, changed in them or did not understand.
        inertial: segment -> clips that carry a sensor there.
        warnings: what a user should look at.
    """

    clips: int
    frames: int
    seconds: float
    lengths: dict[str, float]
    persons: dict[str, int]
    labels: dict[str, int]
    subjects: dict[str, int]
    views: dict[str, int]
    imbalance: float
    missing: dict[str, float]
    missing_share: float
    unseen_frames: int
    unseen: dict[str, int]
    nobody: tuple[str, ...]
    rates: tuple[tuple[float, int], ...]
    duplicates: tuple[tuple[str, ...], ...]
    one_frame: tuple[str, ...]
    extent_m: float
    refused: tuple[tuple[str, str], ...]
    notes: tuple[Note, ...]
    inertial: dict[str, int]
    warnings: tuple[str, ...]


def inspect(store: Store) -> Inspection:
    """Read every clip once and report.

    Raises:
        CorruptFile: the store's files are damaged.
    """
    absent = np.zeros(len(store.topology.joints), np.int64)
    positions = 0
    unseen: dict[str, int] = {}
    nobody: list[str] = []
    rates: Counter[float] = Counter()
    seconds = 0.0
    extents: list[float] = []
    for clip in store:
        missing = clip.confidence == 0
        absent += missing.sum(axis=(0, 1))
        positions += missing.shape[0] * missing.shape[1]
        if blank := int(missing.all(axis=(0, 2)).sum()):
            unseen[clip.source] = unseen.get(clip.source, 0) + blank
            nobody += [clip.source] if blank == clip.frames else []
        rates.update([rate_of(clip)] if clip.frames > 1 else [])
        seconds += float(clip.time[-1] - clip.time[0])
        size = extent(clip.joints, clip.confidence)
        extents += [] if size is None else [size]
    frames = store.index["frames"]
    sources = store.texts("source")
    labels = Counter(store.index["label"].tolist())
    by_label = {label: labels.get(i, 0) for i, label in enumerate(store.labels)}
    if labels.get(-1):
        by_label[""] = labels[-1]
    counts = [count for label, count in by_label.items() if label]
    across = float(np.median(extents)) if extents else 0.0
    duplicates = _duplicates(store.index["digest"], sources)
    one_frame = tuple(sources[frames == 1].tolist())
    unseen = dict(sorted(unseen.items(), key=lambda item: -item[1]))
    groups = tuple(differing(rates))
    warnings = _warnings(by_label, duplicates, one_frame) + _about_people(store, unseen, nobody, groups)
    warnings += [wrong] if (wrong := wrong_unit(extents, store.topology)) else []
    return Inspection(
        clips=len(store), frames=int(frames.sum()), seconds=round(seconds, 3),
        lengths={"min": int(frames.min()), "median": float(np.median(frames)), "mean": round(float(frames.mean()), 2),
                 "max": int(frames.max())},
        persons=_count(store.index["persons"]), labels=by_label, subjects=_count(store.texts("subject")),
        views=_count(store.texts("view")),
        imbalance=round(max(counts) / min(counts), 2) if counts and min(counts) > 0 else 0.0,
        missing={joint: round(float(share), 5) for joint, share in
                 zip(store.topology.joints, absent / positions, strict=True) if share},
        missing_share=round(float(absent.sum() / (positions * len(absent))), 5), unseen_frames=sum(unseen.values()),
        unseen=unseen, nobody=tuple(nobody), rates=groups,
        duplicates=duplicates, one_frame=one_frame, extent_m=round(across, 3), refused=store.refused,
        notes=store.notes, inertial=_inertial(store), warnings=tuple(warnings))


def _duplicates(digests: NDArray[np.bytes_], sources: NDArray[np.str_]) -> tuple[tuple[str, ...], ...]:
    groups: dict[bytes, list[str]] = {}
    for digest, source in zip(digests.tolist(), sources.tolist(), strict=True):
        groups.setdefault(digest, []).append(source)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _inertial(store: Store) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for segments in store.index["segments"]:
        counts.update(segments.decode().split(",") if segments else [])
    return dict(sorted(counts.items()))


def _count(values: NDArray[np.generic]) -> dict[str, int]:
    names, counts = np.unique(values, return_counts=True)
    pairs = [(str(name), int(count)) for name, count in zip(names, counts, strict=True)]
    return dict(sorted(pairs, key=lambda pair: (pair[0].zfill(12) if pair[0].isdigit() else pair[0])))


def _warnings(labels: dict[str, int], duplicates: tuple[tuple[str, ...], ...], one_frame: tuple[str, ...]) -> list[str]:
    found = []
    empty = [label for label, count in labels.items() if label and not count]
    if empty:
        found.append(f"no clip of {', '.join(empty[:8])}{', ...' if len(empty) > 8 else ''}")
    if duplicates:
        found.append(f"{len(duplicates)} recordings are there more than once: a split may put copies on both sides")
    if one_frame:
        found.append(f"{len(one_frame)} clips have a single frame and show no motion")
    return found


def _about_people(store: Store, unseen: dict[str, int], nobody: list[str], rates: tuple[tuple[float, int], ...]) -> list[str]:
    found = []
    if nobody:
        found.append(f"nobody is ever seen in {len(nobody)} clips, which teach nothing: {_first(nobody)}")
    if unseen:
        found.append(f"nobody is seen in {sum(unseen.values())} frames of {len(unseen)} clips: "
                     f"{_first([f'{source} ({frames})' for source, frames in unseen.items()])}")
    usual = persons_of(store)
    more = store.texts("source")[store.index["persons"] > usual].tolist()
    if more:
        found.append(f"{len(more)} clips hold more than the {usual} of most: {_first(more)}; those who move most count")
    if len(rates) > 1:
        found.append("clips of different rates: " + ", ".join(f"{count} at about {rate:g} Hz" for rate, count in rates)
                     + "; frame by frame, that is different motion")
    return found


def _first(sources: list[str], most: int = 5) -> str:
    return ", ".join(sources[:most]) + (f" and {len(sources) - most} more" if len(sources) > most else "")
