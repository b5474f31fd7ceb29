"""Does an exported fp32 artifact say what torch says? Over the whole test part of UTD-MHAD, with ``edge-utd-mhad``.

Figures: the share of clips with the same prediction (1 is all of them) and the largest difference of a probability.
``--quick`` takes every eighth test clip.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks._bench import main
from tests.datasets import datasets

MODEL = "edge-utd-mhad"
ENGINES = {"model.onnx": ("onnx", "onnxruntime"), "model.pte": ("pte", "executorch")}


def measure(quick: bool) -> dict[str, Any]:
    """Parity of the fp32 artifacts with torch."""
    from edgeskel import models
    from edgeskel.data import Store, import_dataset, split
    from export import build
    from export.verify import verify
    from export.windows import test_windows

    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "utd.store"
        import_dataset("utd-mhad", datasets() / "utd-mhad", store)
        recogniser = models.from_pretrained(MODEL)
        bundle = build.build(build.TrainedModel(MODEL, recogniser), Path(folder) / "bundle", target="host",
                             kinds=("onnx-fp32", "xnnpack-fp32"), precisions=("fp32",))
        recordings = Store.open(store)
        test = test_windows(recordings, split(recordings, "cross-subject"), bundle.topology, bundle.labels, bundle.window)
        if quick:
            test = test.take(range(0, len(test), 8))
        outcomes, _ = verify(bundle, test, threads=1)
    figures: dict[str, Any] = {"clips": len(test)}
    for outcome in outcomes:
        if outcome.file in ENGINES and outcome.engine == ENGINES[outcome.file][1] and outcome.on != "golden":
            name = ENGINES[outcome.file][0]
            figures[f"{name}_fp32_agreement"] = outcome.agreement
            figures[f"{name}_fp32_max_abs_diff"] = outcome.max_abs_diff
    return figures


if __name__ == "__main__":
    main("parity", measure)
