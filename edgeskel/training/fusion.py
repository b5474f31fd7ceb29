"""Several trained recognisers as one (:mod:`edgeskel.models.fused`), each counting as much as clips say that none learned from.

    OUT/
      config.json, model.safetensors    what ``from_pretrained`` loads
      embedding.npz, segmenter.json, README.md, report.html, run.json
                                        as a training leaves them
      fusion.json                       members, weights, and what was measured of each on the validation part

The test part of the protocol is never read here.

Axes: R recognisers, N clips, K classes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.data import Split, Store
from edgeskel.errors import UsageError
from edgeskel.files import atomic_folder
from edgeskel.models import Recogniser, count_parameters, folder_of
from edgeskel.models.fused import check_alike
from edgeskel.models.fused import fuse as fused
from edgeskel.skeleton import Float32
from edgeskel.training import record, result, starting
from edgeskel.training.evaluation import evaluate
from edgeskel.training.metrics import Metrics
from edgeskel.training.run import versions

__all__ = ["FILE", "FusedFolder", "fit_weights", "fuse", "log_loss"]

FILE = "fusion.json"

_LEAST = 1e-30
"""Of a probability, whose logarithm is needed."""


@dataclass(frozen=True)
class FusedFolder:
    """What :func:`fuse` wrote.

    Args:
        folder: the checkpoint folder.
        run: what its ``run.json`` holds; ``run["fusion"]`` has the members with their weights.
    """

    folder: Path
    run: dict[str, Any]


def fuse(models: Sequence[str], data: str | Path, out: str | Path, *, weights: Sequence[float] = (), protocol: str | None = None,
         fold: int | None = None, validation: str | None = None) -> FusedFolder:
    """Fuse checkpoints, and write the result as a checkpoint folder; ``out`` appears whole, or not at all.

    Args:
        models: checkpoint folders or shipped names, at least two.
        data: store that they learned from.
        out: the folder; an older fused recogniser there is replaced.
        weights: of each one's logits; found on the validation part where there are none.
        protocol, fold, validation: the split; by default that of the first one's training, whose validation part is what its
            training held out.

    Raises:
        UsageError: less than two; other windows; one that learned from clips of the validation or of the test part; no validation
            part and no weights; or something else lies in ``out``.
        UnknownChoice, CorruptFile, ModelError, DataError: a checkpoint, the store or the split.
        LabelMismatch, TopologyMismatch: one has other labels or joints than the store.
    """
    if len(models) < 2:
        raise UsageError(f"{len(models)} recogniser{'s' * (len(models) != 1)} to fuse", expected="at least two")
    if weights and len(weights) != len(models):
        raise UsageError(f"{len(weights)} weights for {len(models)} recognisers", expected="one for each")
    store = Store.open(data)
    members = starting.load(None, models, store).teachers
    check_alike(members, models)
    parts, known = _parts(models, store, protocol, fold, validation)
    if not weights and not len(parts.validation):
        raise UsageError(f"no weights, and {parts.name} holds out no clips to find them by",
                         expected="recognisers that were trained with --validation 0.2 or the like",
                         remedy="fuse such ones first, and give the weights found there: --weights ...")
    answers = [evaluate(member, store, parts.validation) for member in members] if len(parts.validation) else []
    found = tuple(weights) or fit_weights([one.probabilities for one in answers], answers[0].truth)
    kept = fused(members, found, models)
    run = {"recogniser": kept.name, "dataset": store.dataset, "protocol": parts.protocol, "fold": parts.fold,
           "held_out": parts.held_out, "split": parts.name,
           "clips": {"train": len(parts.train), "validation": len(parts.validation)},
           "fusion": {**_told(models, members, found, answers, given=bool(weights)), "unseen_in_training": True if known else None},
           "parameters": count_parameters(kept), "versions": versions("torch", "numpy")}
    if known:  # without it, nobody takes this for a record of what the members learned from
        run["data_digest"] = store.digest
    with atomic_folder(out, marker=FILE) as folder:
        run["validation"] = result.write(folder, kept, run, store, parts)
        for file, content in ((FILE, run["fusion"]), (record.FILE, run)):
            (folder / file).write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    return FusedFolder(Path(out), run)


def _parts(models: Sequence[str], store: Store, protocol: str | None, fold: int | None,
           validation: str | None) -> tuple[Split, bool]:
    """The split, of which no member has seen the test part or the validation part; and whether that is known of all of them."""
    folders = [folder_of(model) for model in models]
    for folder in folders:
        record.check_finished(folder)
    trained = [record.Training.of(record.read(folder)) for folder in folders]
    first = next((one for one in trained if one is not None), None)
    parts = record.parts_for(first, store, protocol, fold, validation, otherwise="0.2")
    for model, one in zip(models, trained, strict=True):
        record.check_split(one, store, parts, model=model)
        record.check_unseen(one, store, parts.validation, model=model, part="validation")
    return parts, all(one is not None and one.knows(store) for one in trained)


def _told(models: Sequence[str], members: Sequence[Recogniser], weights: Sequence[float], answers: Sequence[Metrics], *,
          given: bool) -> dict[str, Any]:
    """What ``fusion.json`` says."""
    rows = [{"name": str(model), "recogniser": member.name, "streams": list(member.config.streams),
             "parameters": count_parameters(member), "weight": weight}
            for model, member, weight in zip(models, members, weights, strict=True)]
    told: dict[str, Any] = {"weights_from": "given" if given else "validation", "members": rows}
    if answers:
        probabilities, truth = [one.probabilities for one in answers], answers[0].truth
        for row, one in zip(rows, answers, strict=True):
            row |= {"validation_top1": one.top1, "validation_log_loss": log_loss([one.probabilities], [1.0], truth)}
        told["validation_log_loss"] = log_loss(probabilities, weights, truth)
        told["validation_log_loss_of_equal_weights"] = log_loss(probabilities, [1 / len(rows)] * len(rows), truth)
    return told


def fit_weights(answers: Sequence[Float32], truth: NDArray[np.int64]) -> tuple[float, ...]:
    """The weights of the logits that make the right classes likeliest, none negative.

    What is minimised is convex, so there is one answer: the log loss of ``softmax(sum of weight * logits)``, summed over the clips,
    plus half the squared distance of the weights from equal ones, in shares of these. That distance keeps weights finite where
    every clip is answered rightly, and equal where validation data has little to say; it counts as much as a few clips.

    Args:
        answers: of each recogniser, the probabilities (N, K) of the clips.
        truth: (N,) right class of each clip.

    Returns:
        R weights; 0 where a recogniser adds nothing to the others. Their sum makes the fused one as certain as it is right, so it
        is above 1 where the recognisers are too modest.

    Raises:
        UsageError: no clips.
    """
    if not len(truth):
        raise UsageError("no clip to find the weights by", expected="labelled clips that no recogniser learned from")
    from scipy.optimize import minimize

    scores = _scores(answers)
    right = scores[:, np.arange(len(truth)), truth]  # (R, N)
    count = len(answers)

    def loss(shares: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        probabilities, lost = _pooled(scores, shares / count, truth)
        slope = (np.einsum("rnk,nk->r", scores, probabilities) - right.sum(1)) / count
        return float(lost.sum() + 0.5 * ((shares - 1) ** 2).sum()), slope + shares - 1

    found = minimize(loss, np.ones(count), jac=True, method="L-BFGS-B", bounds=[(0, None)] * count, options={"ftol": 1e-12})
    return tuple(float(share) / count for share in found.x)


def log_loss(answers: Sequence[Float32], weights: Sequence[float], truth: NDArray[np.int64]) -> float:
    """Mean of ``-log`` of the right class's probability, in nats, of recognisers fused with ``weights``; arguments as of
    :func:`fit_weights`."""
    return float(_pooled(_scores(answers), np.asarray(weights, float), truth)[1].mean())


def _scores(answers: Sequence[Float32]) -> NDArray[np.float64]:
    """(R, N, K): logits, but for a constant of each clip."""
    return np.log(np.maximum(np.stack(answers).astype(np.float64), _LEAST))


def _pooled(scores: NDArray[np.float64], weights: NDArray[np.float64],
            truth: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fused probabilities (N, K) and what each clip loses (N,)."""
    logits = np.einsum("r,rnk->nk", weights, scores)
    logits -= logits.max(1, keepdims=True)
    total = np.exp(logits).sum(1)
    return np.exp(logits) / total[:, None], np.log(total) - logits[np.arange(len(truth)), truth]
