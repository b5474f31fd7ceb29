"""What failed for users, as figures: many inputs of each kind that failed, through the code that the product runs.

One module beside this one for each area, ``_field_AREA.py``, says what its figures mean and how its inputs are made.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from benchmarks._bench import main
from benchmarks._field_data import measure as data
from benchmarks._field_learning import measure as learning
from benchmarks._field_mounting import measure as mounting
from benchmarks._field_signals import measure as signals

# The longest first: the areas are spread over the processors, and none of their figures is a time.
AREAS: tuple[Callable[[bool], dict[str, Any]], ...] = (learning, mounting, data, signals)


def measure(quick: bool) -> dict[str, Any]:
    """Measure every area, several at a time."""
    figures: dict[str, Any] = {}
    with ProcessPoolExecutor(min(len(AREAS), os.cpu_count() or 1), get_context("spawn")) as pool:
        for found in [pool.submit(area, quick) for area in AREAS]:
            figures |= found.result()
    return figures


if __name__ == "__main__":
    main("field", measure, seeds=(0, 1, 2))
