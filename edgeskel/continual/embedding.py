"""Where a trained recogniser's own classes lie in its embedding, measured on clips that it learned from. Needs torch.

Axes: N clips, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch

from edgeskel.continual.device.knowledge import Knowledge
from edgeskel.errors import LabelMismatch, TopologyMismatch
from edgeskel.window import fit_window

if TYPE_CHECKING:
    from edgeskel.data import Store
    from edgeskel.models import Recogniser
    from edgeskel.skeleton import Clip, Float32

__all__ = ["describe", "embeddings"]


def describe(recogniser: Recogniser, store: Store, clips: Iterable[int]) -> Knowledge:
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
    seen = embeddings(recogniser, [store[clip] for clip, _ in known])
    return Knowledge.measure(seen, np.array([index for _, index in known], np.int64), labels)


def embeddings(recogniser: Recogniser, clips: Iterable[Clip], batch: int = 64) -> Float32:
    """(N, D) of whole clips, as a session recognises them."""
    config = recogniser.config
    fitted = [fit_window(clip.joints, clip.confidence, config.persons, config.source_frames) for clip in clips]
    device = next(recogniser.parameters()).device
    found = []
    training = recogniser.training
    recogniser.eval()
    with torch.inference_mode():
        for start in range(0, len(fitted), batch):
            joints, seen = (torch.from_numpy(np.stack(part)).to(device)
                            for part in zip(*fitted[start : start + batch], strict=True))
            found.append(recogniser.embed(joints, seen).float().cpu().numpy())
    recogniser.train(training)
    return np.concatenate(found)


def _label(store: Store, clip: int) -> str:
    label = int(store.index["label"][clip])
    return store.labels[label] if label >= 0 else ""
