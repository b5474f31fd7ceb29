"""Which share of the parameters to save: as much as validation data allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edgeskel.compression.low_rank import choose_ranks, compress
from edgeskel.data import Store
from edgeskel.errors import UsageError
from edgeskel.models import Recogniser
from edgeskel.training import evaluate

__all__ = ["CANDIDATES", "largest_saving"]

CANDIDATES = (0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4, 0.3, 0.2)


def largest_saving(
    model: Recogniser, store: Store, clips: NDArray[np.int64], *, drop: float, least: int = 1,
    inputs: Mapping[str, Tensor] | None = None, trying: Callable[[float], None] = lambda saving: None,
) -> tuple[float, list[dict[str, Any]]]:
    """The largest saving whose accuracy stays; the smallest one if none does.

    Args:
        model: trained.
        store, clips: labelled recordings that it has not seen.
        drop: points of accuracy that may be lost.
        least, inputs: as in :func:`edgeskel.compression.low_rank.choose_ranks`.
        trying: called with each saving before it is measured.

    Returns:
        the saving, and a row for each that was tried.
    """
    before = evaluate(model, store, clips).top1
    tried: list[dict[str, Any]] = []
    saving = CANDIDATES[-1]
    for saving in CANDIDATES:
        try:
            ranks = choose_ranks(model, saving=saving, least=least, inputs=inputs)
        except UsageError:  # more than this recogniser can save
            continue
        trying(saving)
        after = evaluate(compress(model, ranks, inputs), store, clips).top1
        tried.append({"saving": saving, "validation_top1": after, "before": before})
        if after >= before - drop:
            break
    return saving, tried
