"""``python -m benchmarks.certainty CHECKPOINT STORE OTHERS --out FILE``: temperature and threshold from validation data.

CHECKPOINT is a training that held a validation part out; STORE is what it learned from; OTHERS is a store of actions that it
was not taught (:data:`tests.streams.UNSEEN` of them, training side). The temperature makes the likelihood of the
validation clips greatest. The threshold is the one with the best F1 of events (overlap 0.5) on
streams of validation clips with some of the others, and rests, between them, as a session sees them. The test part is not read.

FILE goes beside the weights that the same recipe gives when it learns from all of the training side.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from edgeskel.cli.report import console
from edgeskel.files import atomic_write
from edgeskel.skeleton import Clip
from tests.streams import UNSEEN, Score, hits, play, streams

__all__ = ["certainty", "unseen_clips"]

SEEDS = (1, 2)
"""Of the streams."""


def certainty(checkpoint: Path, store_path: Path, others_path: Path, mode: str) -> dict[str, Any]:
    """What ``certainty.json`` holds."""
    from edgeskel.data import Store
    from edgeskel.models import from_pretrained
    from edgeskel.runtime import EventConfig, session_of
    from edgeskel.training import evaluate, record

    store, run = Store.open(store_path), record.read(checkpoint)
    trained = record.Training.of(run)
    assert trained is not None
    validation = trained.split(store).validation
    model = from_pretrained(checkpoint)
    metrics = evaluate(model, store, validation)
    temperature = _temperature(np.log(np.maximum(metrics.probabilities, 1e-30)), metrics.truth)
    others = unseen_clips(Store.open(others_path), "train")
    session = session_of(model, threads=1, mode=mode, config=EventConfig(temperature=temperature, threshold=0.0))
    score, named = Score(), []
    for seed in SEEDS:
        for stream in streams(store, validation.tolist(), others, seed):
            events = play(session, stream)
            score.add(stream, events)
            named += hits(events, stream)
    threshold = _threshold(named, score.actions)
    sure, right = np.array(named).T
    return {
        "temperature": round(temperature, 3), "threshold": round(threshold, 3),
        "calibration_error": {"before": round(metrics.figures()["calibration_error"], 2),
                              "after": round(_scaled_error(metrics, temperature), 2)},
        "right_kept": round(100 * float(np.mean(sure[right > 0] >= threshold)), 1),
        "wrong_rejected": round(100 * float(np.mean(sure[right == 0] < threshold)), 1),
        "from": {"split": run["split"], "clips": len(validation), "seed": run["seed"], "mode": mode, "others": list(UNSEEN)},
    }


def unseen_clips(store: Any, part: str) -> list[Clip]:
    """The clips of :data:`UNSEEN` actions on one side of the store's own split, of at least a second."""
    from edgeskel.data import split

    indices = getattr(split(store), part)
    labels = [store.labels[int(label)] for label in store.index["label"][indices]]
    clips = [store[int(index)] for index, label in zip(indices, labels, strict=True) if label in UNSEEN]
    return [clip for clip in clips if clip.frames >= 30]


def _temperature(logits: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> float:
    """The greatest likelihood over a fine grid; one number needs no optimiser."""
    grid = np.exp(np.linspace(np.log(0.2), np.log(5), 400))
    return float(grid[np.argmin([_loss(logits / heat, truth) for heat in grid])])


def _loss(logits: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> float:
    shifted = logits - logits.max(1, keepdims=True)
    return float(np.mean(np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(truth)), truth]))


def _scaled_error(metrics: Any, temperature: float) -> float:
    from dataclasses import replace

    powers = metrics.probabilities ** (1 / temperature)
    return float(replace(metrics, probabilities=powers / powers.sum(1, keepdims=True)).figures()["calibration_error"])


def _threshold(named: list[tuple[float, bool]], actions: int) -> float:
    """The middle of the thresholds with the best F1 of ``named`` events: confidence, and whether it is right."""
    grid = np.linspace(0.0, 0.98, 197)
    sure, right = np.array(named).T
    scores = np.array([2 * right[sure >= value].sum() / (np.sum(sure >= value) + actions) for value in grid])
    best = np.flatnonzero(scores >= scores.max() - 1e-9)
    return float(grid[best].mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.certainty", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="folder of a training that held a validation part out")
    parser.add_argument("store", type=Path, help="the store it learned from")
    parser.add_argument("others", type=Path, help="a store of Northwestern-UCLA")
    parser.add_argument("--mode", default="streaming", help="streaming or sliding-window")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    found = certainty(options.checkpoint, options.store, options.others, options.mode)
    with atomic_write(options.out) as file:
        file.write((json.dumps(found, indent=1) + "\n").encode())
    console.print(found)
