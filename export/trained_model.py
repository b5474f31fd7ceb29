"""What is exported: a recogniser and what is known of it beside its weights."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeskel import models
from edgeskel.data import synthetic
from edgeskel.embedding import ClassStatistics, statistics
from edgeskel.models import Recogniser, folder_of
from edgeskel.runtime.bundle import CERTAINTY, read_certainty
from edgeskel.runtime.segmentation import SEGMENTER, read_segmenter, segmenter_entry
from edgeskel.training import record
from export.ranges import Ranges

__all__ = ["TrainedModel", "safe_name"]


@dataclass(frozen=True)
class TrainedModel:
    """What is exported.

    Args:
        name: of the bundle.
        recogniser: in evaluation mode, float32.
        card: its model card, "" when it has none.
        training: what its training recorded (dataset, digest, split, seed), empty when unknown.
        ranges: what an earlier calibration of these weights found, for int8 without recordings.
        class_statistics: where its classes lie in the embedding; a bundle without it learns no actions on the device.
        probability_calibration: what validation data said about its probabilities, empty when unknown.
        segmenter: how its training clips move and pause, empty when unknown.
    """

    name: str
    recogniser: Recogniser
    card: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    ranges: Ranges | None = None
    class_statistics: ClassStatistics | None = None
    probability_calibration: dict[str, Any] = field(default_factory=dict)
    segmenter: dict[str, Any] = field(default_factory=dict)

    @property
    def learned_from_synthetic_motion(self) -> bool:
        """Whether generated motion is this recogniser's own kind of data."""
        if self.training:
            return self.training.get("dataset") == synthetic.DATASET
        return set(self.recogniser.config.labels) <= set(synthetic.actions())

    @classmethod
    def of(cls, model: str | Path) -> TrainedModel:
        """A shipped model, or what a checkpoint folder holds.

        Args:
            model: a shipped name (``edgeskel models``) or the folder.

        Raises:
            UnknownChoice: neither a shipped name nor a checkpoint folder.
            CorruptFile, ModelError: the folder's files are damaged or do not belong together.
        """
        folder = folder_of(model)
        recogniser = models.from_pretrained(model)
        read_certainty(folder)  # refuses what is damaged
        segmenter = dict(segmenter_entry(read_segmenter(folder))) if (folder / SEGMENTER).is_file() else {}
        texts = {name: (folder / name).read_text("utf-8") if (folder / name).is_file() else ""
                 for name in ("README.md", CERTAINTY)}
        return cls(safe_name(folder.resolve().name), recogniser, texts["README.md"], record.read(folder), Ranges.read(folder),
                   ClassStatistics.load(folder / statistics.FILE) if (folder / statistics.FILE).is_file() else None,
                   dict(json.loads(texts[CERTAINTY] or "{}")), segmenter)


def safe_name(text: str) -> str:
    """A bundle's name from a path or a model's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "model"
