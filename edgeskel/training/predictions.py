"""What a recogniser answered, clip by clip, as a table for other tools: CSV, or Parquet where pyarrow is installed.

Columns: ``clip`` (the recording's source), ``label`` (the right class), ``predicted`` (the likeliest one), and ``score_LABEL`` for
each class that the recogniser knows, its probability in 0..1.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from edgeskel.data import Store
from edgeskel.errors import MissingExtra, UsageError
from edgeskel.files import atomic_write
from edgeskel.training.metrics import Metrics

__all__ = ["check", "write"]


def check(path: Path) -> None:
    """Refuse a file that could not be written, before anything is measured.

    Raises:
        UsageError: neither a .csv nor a .parquet.
        MissingExtra: a .parquet without pyarrow.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise UsageError(f"predictions into {path}", expected="a file that ends in .csv or .parquet")
    if path.suffix == ".parquet":
        _pyarrow()


def write(path: Path, metrics: Metrics, store: Store) -> None:
    """Write the table; it appears whole or not at all.

    Args:
        path: see :func:`check`, which raises the errors.
        metrics: what was answered.
        store: holds the clips.
    """
    check(path)
    columns = _columns(metrics, store)
    with atomic_write(path) as file:
        if path.suffix == ".csv":
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
            file.write(text.getvalue().encode("utf-8"))
        else:
            arrow, parquet = _pyarrow()
            parquet.write_table(arrow.table(columns), file)


def _columns(metrics: Metrics, store: Store) -> dict[str, list[Any]]:
    labels, sources = metrics.labels, store.texts("source")
    return {
        "clip": sources[metrics.clips].tolist(),
        "label": [labels[row] for row in metrics.truth],
        "predicted": [labels[row] for row in metrics.predicted],
        **{f"score_{label}": [round(float(score), 7) for score in metrics.probabilities[:, k]] for k, label in enumerate(labels)},
    }


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra("pyarrow", "tables", "writing predictions as Parquet") from error
    return pyarrow, parquet
