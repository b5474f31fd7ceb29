"""What is in a store: counts, lengths, missing joints, class balance, duplicates, and whether units look right."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskel.data.store import Store

__all__ = ["Inspection", "inspect"]

# Median distance of the two joints of a standing person that lie furthest apart, in metres: what units should give.
PLAUSIBLE_EXTENT = (0.3, 2.6)


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
        duplicates: groups of sources with the same contents.
        one_frame: sources of clips that hold a single frame.
        extent_m: median over clips of the largest extent of a person, metres; 0 when no joint was seen.
        refused: (source, reason) that the import did not take.
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
    duplicates: tuple[tuple[str, ...], ...]
    one_frame: tuple[str, ...]
    extent_m: float
    refused: tuple[tuple[str, str], ...]
    inertial: dict[str, int]
    warnings: tuple[str, ...]


def inspect(store: Store) -> Inspection:
    """Read every clip once and report.

    Raises:
        CorruptFile: the store's files are damaged.
    """
    absent = np.zeros(len(store.topology.joints), np.int64)
    positions = unseen = 0
    seconds = 0.0
    extents: list[float] = []
    for clip in store:
        missing = clip.confidence == 0
        absent += missing.sum(axis=(0, 1))
        positions += missing.shape[0] * missing.shape[1]
        unseen += int(missing.all(axis=(0, 2)).sum())
        seconds += float(clip.time[-1] - clip.time[0])
        extents += _extent(clip.joints, clip.confidence)
    frames = store.index["frames"]
    sources = store.texts("source")
    labels = Counter(store.index["label"].tolist())
    by_label = {label: labels.get(i, 0) for i, label in enumerate(store.labels)}
    if labels.get(-1):
        by_label[""] = labels[-1]
    counts = [count for label, count in by_label.items() if label]
    extent = float(np.median(extents)) if extents else 0.0
    duplicates = _duplicates(store.index["digest"], sources)
    one_frame = tuple(sources[frames == 1].tolist())
    return Inspection(
        clips=len(store), frames=int(frames.sum()), seconds=round(seconds, 3),
        lengths={"min": int(frames.min()), "median": float(np.median(frames)), "mean": round(float(frames.mean()), 2),
                 "max": int(frames.max())},
        persons=_count(store.index["persons"]), labels=by_label, subjects=_count(store.texts("subject")),
        views=_count(store.texts("view")),
        imbalance=round(max(counts) / min(counts), 2) if counts and min(counts) > 0 else 0.0,
        missing={joint: round(float(share), 5) for joint, share in
                 zip(store.topology.joints, absent / positions, strict=True) if share},
        missing_share=round(float(absent.sum() / (positions * len(absent))), 5), unseen_frames=unseen,
        duplicates=duplicates, one_frame=one_frame, extent_m=round(extent, 3), refused=store.refused,
        inertial=_inertial(store), warnings=tuple(_warnings(by_label, duplicates, one_frame, extent, unseen)))


def _extent(joints: NDArray[np.float32], confidence: NDArray[np.float32]) -> list[float]:
    """Diagonal of the box around the best seen person in the best seen frame, in a list; empty if nobody was seen."""
    seen = confidence > 0
    person, frame = np.unravel_index(int(seen.sum(axis=-1).argmax()), seen.shape[:2])
    points = joints[person, frame][seen[person, frame]]
    return [float(np.linalg.norm(np.ptp(points, axis=0)))] if len(points) > 1 else []


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


def _warnings(labels: dict[str, int], duplicates: tuple[tuple[str, ...], ...], one_frame: tuple[str, ...],
              extent: float, unseen: int) -> list[str]:
    found = []
    empty = [label for label, count in labels.items() if label and not count]
    if empty:
        found.append(f"no clip of {', '.join(empty[:8])}{', ...' if len(empty) > 8 else ''}")
    if duplicates:
        found.append(f"{len(duplicates)} recordings are there more than once: a split may put copies on both sides")
    if one_frame:
        found.append(f"{len(one_frame)} clips have a single frame and show no motion")
    if unseen:
        found.append(f"nobody is seen in {unseen} frames")
    if extent and not PLAUSIBLE_EXTENT[0] <= extent <= PLAUSIBLE_EXTENT[1]:
        found.append(f"people are {extent:.3g} m across, a person is {PLAUSIBLE_EXTENT[0]} to {PLAUSIBLE_EXTENT[1]} m: "
                     "the unit is likely wrong")
    return found
