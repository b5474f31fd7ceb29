"""How long one recognition takes on one core, all contenders in turns over the same recorded clips.

- ``int8_over_fp32``: median of the shipped low-rank ``edge`` as an int8 ``.pte`` over that of the uncompressed ``edge`` as
  an fp32 ``.pte`` (XNNPACK). The table has the fp32 ``.pte`` of the same low-rank weights, too.
- ``edge_over_hyperformer``: median of ``edge`` over that of ``hyperformer``, both fp32 in ONNX Runtime; below 0.1 is more
  than ten times faster. ``hyperformer_over_edge`` is its inverse. ``hyperformer`` sees 32 frames here, as it is trained in
  ``benchmarks.compression``; with the reference's 64 it takes twice as long.

``--quick`` measures fewer rounds, and only what the ratios compare.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks._artifacts import HYPERFORMER, MODEL, SMALL, Artifact, clips_of, load, make
from benchmarks._bench import interleave, main
from tests.datasets import datasets

INT8, FP32 = Artifact(SMALL, "pte int8"), Artifact(MODEL, "pte fp32")
EDGE, OTHER = Artifact(MODEL, "onnx fp32"), Artifact(HYPERFORMER, "onnx fp32")
TABLE = (Artifact(SMALL, "pte fp32"), Artifact(MODEL, "pte int8"), Artifact(SMALL, "onnx fp32"))


def measure(quick: bool) -> dict[str, Any]:
    """Time edge and hyperformer, fp32 and int8."""
    from edgeskel.data import import_dataset

    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        import_dataset("utd-mhad", datasets() / "utd-mhad", store)
        files = make((INT8, FP32, OTHER, EDGE, *(() if quick else TABLE)), store, Path(folder))
        clips = clips_of(store, load(MODEL)).pairs()
        calls = {one.name: _call(one, file, clips) for one, file in files.items()}
        times = interleave(calls, rounds=100 if quick else 1000, budget_s=10.0 if quick else 300.0)
    medians = {name: 1e3 * statistics.median(seconds) for name, seconds in times.items()}
    return {
        "int8_over_fp32": medians[INT8.name] / medians[FP32.name],
        "edge_over_hyperformer": medians[EDGE.name] / medians[OTHER.name],
        "hyperformer_over_edge": medians[OTHER.name] / medians[EDGE.name],
        "tables": {"Median on one core": [{"artifact": name, "ms": round(median, 3)} for name, median in medians.items()]},
    }


def _call(artifact: Artifact, file: Path, clips: list[Any]) -> Callable[[], object]:
    from edgeskel.runtime import engines

    name = "onnxruntime" if artifact.kind.startswith("onnx") else "executorch"
    engine = engines.get(name)(file, {}, threads=1)
    turn = count()
    return lambda: engine(*clips[next(turn) % len(clips)])


if __name__ == "__main__":
    main("latency", measure)
