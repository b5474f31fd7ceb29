"""How small ``edge`` is, and what low rank and int8 make of it, on UTD-MHAD cross-subject.

- ``edge_params``, ``edge_mmac``: of ``edge`` as shipped (one person); a MAC as ``edgeskel.compression.budget`` counts it.
- ``int8_bytes_ratio``: bytes of its fp32 ``.pte`` over those of the shipped low-rank one as an int8 ``.pte``.
- ``int8_top1_drop``: points of test accuracy between the two. How the low-rank one was made stands in its card.

``--quick`` measures the accuracy on every fourth test clip, and only the two artifacts that the figures compare.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks._artifacts import MODEL, PROTOCOL, SMALL, Artifact, load, make
from benchmarks._bench import main
from tests.datasets import datasets

BEFORE, AFTER = Artifact(MODEL, "pte fp32"), Artifact(SMALL, "pte int8")
OTHERS = (Artifact(MODEL, "pte int8"), Artifact(SMALL, "pte fp32"))


def measure(quick: bool) -> dict[str, Any]:
    """Parameters, MACs, bytes, and the accuracy that low rank and int8 cost."""
    from edgeskel.compression.budget import budget
    from edgeskel.data import Store, import_dataset, split
    from edgeskel.training import evaluate
    from export.predictor import ArtifactPredictor

    whole, small = load(MODEL), load(SMALL)
    rows: dict[Any, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        import_dataset("utd-mhad", datasets() / "utd-mhad", path)
        files = make((AFTER, BEFORE, *(() if quick else OTHERS)), path, Path(folder))
        store = Store.open(path)
        test = split(store, PROTOCOL).test[:: 4 if quick else 1]
        for model, name in ((whole, MODEL), (small, SMALL)):
            rows[name] = {"model": f"{name}, torch fp32", **vars(budget(model)), "top1": evaluate(model, store, test).top1}
        for artifact, file in files.items():
            top1 = evaluate(ArtifactPredictor(file, whole), store, test).top1
            rows[artifact] = {"model": artifact.name, "bytes": file.stat().st_size, "top1": top1}
    return {
        "edge_params": rows[MODEL]["parameters"],
        "edge_mmac": rows[MODEL]["macs"] / 1e6,
        "int8_bytes_ratio": rows[BEFORE]["bytes"] / rows[AFTER]["bytes"],
        "int8_top1_drop": rows[BEFORE]["top1"] - rows[AFTER]["top1"],
        "clips": len(test),
        "tables": {"Size and accuracy": list(rows.values())},
    }


if __name__ == "__main__":
    main("size", measure)
