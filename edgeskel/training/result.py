"""What a training leaves in its folder beside ``run.json``: weights, and what was measured with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from edgeskel.data import Split, Store
from edgeskel.embedding import statistics
from edgeskel.embedding.measure import describe
from edgeskel.files import atomic_write
from edgeskel.models import Encoder, Recogniser, encoder_from_pretrained, from_pretrained
from edgeskel.runtime.segmentation import SEGMENTER, energies, learned, segmenter_entry
from edgeskel.training import card, report
from edgeskel.training.evaluation import evaluate

__all__ = ["load", "write"]

_CLIPS_OF_SEGMENTER = 400


def load(folder: Path) -> Recogniser | Encoder:
    """What :func:`write` wrote. Raises as :func:`edgeskel.models.from_pretrained`."""
    encoder = encoder_from_pretrained(folder)
    return from_pretrained(folder) if encoder.config.labels else encoder


def write(out: Path, kept: nn.Module, run: dict[str, Any], store: Store, parts: Split) -> dict[str, Any] | None:
    """Measure on the validation part and write.

    Args:
        out: folder of the training.
        kept: what the method's result is: a recogniser, or an encoder.
        run: what is recorded of the training so far.
        store, parts: what it learned from.

    Returns:
        the figures of the validation part; None where there is none, or nothing that recognises.
    """
    metrics = None
    if isinstance(kept, Recogniser):
        metrics = evaluate(kept, store, parts.validation) if len(parts.validation) else None
        describe(kept, store, parts.train).save(out / statistics.FILE)
        with atomic_write(out / SEGMENTER) as file:
            file.write((json.dumps(_segmenter(kept, store, parts), indent=1) + "\n").encode())
    assert isinstance(kept, (Recogniser, Encoder))
    kept.save_pretrained(out)
    found = None if metrics is None else metrics.figures()
    told = {**run, "validation": found}
    with atomic_write(out / "report.html") as file:
        title = f"{run['recogniser']} on {run['dataset']}"
        file.write(report.render(title, metrics, store, run=told, part="validation").encode())
    with atomic_write(out / "README.md") as file:
        file.write(card.render(told, kept).encode())
    return found


def _segmenter(recogniser: Recogniser, store: Store, parts: Split) -> dict[str, float]:
    """How live frames are to be cut: by the pauses and the pace of some hundred training clips."""
    rate = recogniser.config.rate_hz
    chosen = np.random.default_rng(0).permutation(parts.train)[:_CLIPS_OF_SEGMENTER]
    moving = [energies(store[int(index)], store.topology, rate) for index in chosen]
    return segmenter_entry(learned(moving, rate))
