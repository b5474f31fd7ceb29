"""Figures of a recogniser on labelled clips, in numpy. Shares are in percent.

Axes: N clips, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import DataError, LabelMismatch

__all__ = ["Metrics", "calibration_error", "confusion_matrix"]


@dataclass(frozen=True)
class Metrics:
    """What a recogniser answered, and how good that is.

    Args:
        labels: K class names.
        probabilities: (N, K).
        truth: (N,) right class of each clip.
        clips: (N,) index of each clip in its store.
        left_out: clips whose label the recogniser does not know.
    """

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]
    truth: NDArray[np.int64]
    clips: NDArray[np.int64]
    left_out: int = 0

    def __post_init__(self) -> None:
        if not len(self.truth):
            raise DataError("no clip to measure", expected="at least one labelled clip that the recogniser knows")

    @classmethod
    def together(cls, parts: Sequence[Metrics]) -> Metrics:
        """Of several recognisers of the same labels, each on clips of its own: the folds of a protocol."""
        if len({one.labels for one in parts}) != 1:
            raise LabelMismatch("the recognisers of the folds differ in their labels", expected="the same in each fold")
        return cls(
            parts[0].labels,
            np.concatenate([one.probabilities for one in parts]),
            np.concatenate([one.truth for one in parts]),
            np.concatenate([one.clips for one in parts]),
            sum(one.left_out for one in parts),
        )

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) class with the highest probability."""
        best: NDArray[np.int64] = np.argmax(self.probabilities, axis=1).astype(np.int64)
        return best

    @property
    def top1(self) -> float:
        """Percent of clips whose first answer is right."""
        return 100 * float(np.mean(self.predicted == self.truth))

    @property
    def top5(self) -> float:
        """Percent of clips with the right class among the five likeliest (all of them, if there are fewer)."""
        mine = self.probabilities[np.arange(len(self.truth)), self.truth][:, None]
        earlier = np.arange(self.probabilities.shape[1]) < self.truth[:, None]  # equal ones rank by their order
        rank = np.sum((self.probabilities > mine) | ((self.probabilities == mine) & earlier), axis=1)
        return 100 * float(np.mean(rank < 5))

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(K, K) counts: rows are the right class, columns the answer."""
        return confusion_matrix(self.truth, self.predicted, len(self.labels))

    @property
    def macro_f1(self) -> float:
        """Percent: mean F1 over the classes that occur or were answered."""
        rows = self.per_class
        return float(np.mean([row["f1"] for row in rows if row["clips"] or row["answered"]]))

    @property
    def per_class(self) -> list[dict[str, Any]]:
        """For each class: clips, how often it was answered, precision, recall and F1 in percent (0 where undefined)."""
        confusion = self.confusion
        right, occurs, answered = np.diag(confusion), confusion.sum(1), confusion.sum(0)
        return [
            {
                "label": label,
                "clips": int(occurs[k]),
                "answered": int(answered[k]),
                "precision": 100 * float(right[k] / max(answered[k], 1)),
                "recall": 100 * float(right[k] / max(occurs[k], 1)),
                "f1": 100 * float(2 * right[k] / max(occurs[k] + answered[k], 1)),
            }
            for k, label in enumerate(self.labels)
        ]

    @property
    def calibration_error(self) -> float:
        """Percent: see :func:`calibration_error`."""
        return calibration_error(self.probabilities, self.truth)

    def worst(self, count: int) -> NDArray[np.int64]:
        """Rows of the clips whose right class got the least probability, the worst first."""
        mine = self.probabilities[np.arange(len(self.truth)), self.truth]
        return np.argsort(mine, kind="stable")[:count]

    def figures(self) -> dict[str, float | int]:
        """The single numbers by name."""
        return {
            "top1": round(self.top1, 4),
            "top5": round(self.top5, 4),
            "macro_f1": round(self.macro_f1, 4),
            "calibration_error": round(self.calibration_error, 4),
            "clips": len(self.truth),
            "clips_left_out": self.left_out,
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything but the single probabilities, for JSON."""
        return {
            **self.figures(),
            "labels": list(self.labels),
            "confusion": self.confusion.tolist(),
            "per_class": self.per_class,
        }


def confusion_matrix(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """(K, K) counts: rows are the right class, columns the answer."""
    return np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def calibration_error(probabilities: NDArray[np.float32], truth: NDArray[np.int64], bins: int = 15) -> float:
    """Expected calibration error in percent: mean gap between certainty and accuracy over equally wide bins of
    certainty, weighted by clips (Guo et al. 2017, arXiv 1706.04599)."""
    certainty = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    # Bins are open below and closed above: (0, 1/bins], ...
    place = np.clip(np.ceil(certainty * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=right - certainty, minlength=bins)
    return 100 * float(np.abs(gaps).sum() / len(truth))


def mean_and_spread(rows: Sequence[dict[str, float | int]]) -> dict[str, float]:
    """Mean of each figure over several trainings or folds, and its standard deviation as ``NAME_std``; clips add up."""
    summary: dict[str, float] = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows], dtype=np.float64)
        if name.startswith("clips"):
            summary[name] = int(values.sum())
        else:
            summary[name] = round(float(values.mean()), 4)
            summary[f"{name}_std"] = round(float(values.std(ddof=1)), 4) if len(values) > 1 else 0.0
    return summary
