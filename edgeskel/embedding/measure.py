"""Where a trained recogniser's own classes lie in its embedding, measured on clips that it learned from. Needs torch.

Axes: N clips, D width of the embedding, G length of a trajectory, C its coordinates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from edgeskel.embedding.statistics import FEWEST_FRAMES, ClassStatistics
from edgeskel.embedding.trajectories import Trajectories
from edgeskel.embedding.trajectory import trajectory
from edgeskel.embedding.variation import changed
from edgeskel.errors import LabelMismatch, TopologyMismatch
from edgeskel.models import CausalRecogniser
from edgeskel.runtime.timeline import paced
from edgeskel.window import fit_window

if TYPE_CHECKING:
    from edgeskel.data import Store
    from edgeskel.models import Recogniser
    from edgeskel.skeleton import Clip, Float32

__all__ = ["describe", "embeddings", "seen", "trajectories"]

MOST_VARIED = 96
"""Clips that are changed to see how far an embedding moves, evenly from all; more say little more."""


def describe(recogniser: Recogniser, store: Store, clips: Iterable[int]) -> ClassStatistics:
    """The knowledge of ``recogniser`` from its training clips.

    Args:
        recogniser: trained.
        store: the recordings that it learned from.
        clips: its training part; those of labels that it does not have, and unlabelled ones, are left out.

    Raises:
        LabelMismatch: none of the clips has one of its labels.
        TopologyMismatch: the store has another layout.
        DataError: a class without a clip.
    """
    labels = recogniser.config.labels
    if store.topology.joints != recogniser.config.topology.joints:
        raise TopologyMismatch(f"the store's clips are {store.topology.name}",
                               expected=f"{recogniser.config.topology.name}, as the recogniser's")
    column = {label: index for index, label in enumerate(labels)}
    known = [(int(clip), column[label]) for clip in clips if (label := _label(store, int(clip))) in column]
    if not known:
        raise LabelMismatch(f"none of the clips of {store.dataset} has a label of the recogniser",
                            expected=", ".join(labels[:5]) + ", ...", remedy="give the store that it was trained with")
    clips_of_it = [store[clip] for clip, _ in known]
    classes = np.array([index for _, index in known], np.int64)
    knowledge = ClassStatistics.measure(embeddings(recogniser, clips_of_it), classes, labels)
    several = [changed(clip) for clip in clips_of_it[:: -(-len(known) // MOST_VARIED)] if clip.frames >= FEWEST_FRAMES]
    if several:
        knowledge = knowledge.with_varied(_apart(recogniser, several))
    if several and not isinstance(recogniser, CausalRecogniser):
        moved = np.stack([trajectories(recogniser, changes) for changes in several])
        knowledge = replace(knowledge, trajectories=Trajectories.measure(trajectories(recogniser, clips_of_it), classes, moved))
    return knowledge


def _apart(recogniser: Recogniser, several: Sequence[Sequence[Clip]]) -> Float32:
    """(N, D) of changed clips, each less the mean over the changes of its clip."""
    seen = embeddings(recogniser, [one for changes in several for one in changes]).reshape(len(several), len(several[0]), -1)
    apart: Float32 = (seen - seen.mean(1, keepdims=True)).reshape(-1, seen.shape[-1])
    return apart


def trajectories(recogniser: Recogniser, clips: Iterable[Clip]) -> Float32:
    """(N, G) of whole clips, each in the window that the recogniser sees."""
    config = recogniser.config
    return np.stack([trajectory(*fit_window(clip.joints, clip.confidence, config.persons, config.source_frames), config.topology)
                     for clip in clips])


def seen(recogniser: Recogniser, knowledge: ClassStatistics, clips: Sequence[Clip]) -> Float32:
    """(N, D + C) or (N, D): what a learner is shown of whole clips."""
    found = embeddings(recogniser, clips)
    if knowledge.trajectories is None:
        return found
    return np.stack([knowledge.seen(*pair) for pair in zip(found, trajectories(recogniser, clips), strict=True)])


def embeddings(recogniser: Recogniser, clips: Iterable[Clip], batch: int = 64) -> Float32:
    """(N, D) of whole clips, as a session recognises them: frame by frame where the recogniser has that form
    (:meth:`edgeskel.runtime.Session.watch`), else stretched to its window."""
    training = recogniser.training
    recogniser.eval()
    with torch.inference_mode():
        found = (_by_frame(recogniser, clips) if isinstance(recogniser, CausalRecogniser)
                 else _by_window(recogniser, clips, batch))
    recogniser.train(training)
    return found


def _by_window(recogniser: Recogniser, clips: Iterable[Clip], batch: int) -> Float32:
    config, device = recogniser.config, next(recogniser.parameters()).device
    fitted = [fit_window(clip.joints, clip.confidence, config.persons, config.source_frames) for clip in clips]
    found = []
    for start in range(0, len(fitted), batch):
        joints, seen = (torch.from_numpy(np.stack(part)).to(device)
                        for part in zip(*fitted[start : start + batch], strict=True))
        found.append(recogniser.embed(joints, seen).float().cpu().numpy())
    return np.concatenate(found)


def _by_frame(recogniser: CausalRecogniser, clips: Iterable[Clip]) -> Float32:
    """All the steps of a clip at once, which is the same as one after the other."""
    config, device = recogniser.config, next(recogniser.parameters()).device
    step = recogniser.encoder.frames_per_step
    found = []
    for clip in clips:
        frames = list(paced(clip, config.rate_hz))
        frames = frames[: len(frames) // step * step] or frames[:1] * step  # a clip of less than one step counts as one
        joints, seen = (torch.from_numpy(np.stack(part, axis=1)[None]).to(device)
                        for part in zip(*((frame.joints, frame.confidence) for frame in frames), strict=True))
        found.append(recogniser.step(joints, seen, ())[1].float().cpu().numpy())
    return np.concatenate(found)


def _label(store: Store, clip: int) -> str:
    label = int(store.index["label"][clip])
    return store.labels[label] if label >= 0 else ""
