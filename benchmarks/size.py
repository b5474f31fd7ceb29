"""How small ``edge`` is, and what low rank and int8 make of it, on UTD-MHAD cross-subject.

- ``edge_params``, ``edge_mmac``: of ``edge`` as shipped (one person); a MAC as ``edgeskel.compression.budget`` counts it.
- ``int8_bytes_ratio``: bytes of its fp32 ``.pte`` over those of the shipped low-rank one as an int8 ``.pte``.
- ``int8_top1_drop``: points of test accuracy between the two. The rank was chosen on held-out subjects; see the card.

``--quick`` measures the accuracy on every fourth test clip, and only the two artifacts that the figures compare.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._bench import datasets, main

if TYPE_CHECKING:
    from edgeskel.data import Store
    from export.predictor import ArtifactPredictor
    from export.windows import Windows

MODEL = "edge-utd-mhad"
COMPRESSED = "edge-utd-mhad-small"
PROTOCOL = "cross-subject"
CALIBRATION = 64


def artifacts(store: Store, folder: Path, quick: bool) -> tuple[dict[str, ArtifactPredictor], Windows]:
    """Both models as ``.pte`` ("NAME fp32", "NAME int8") and the training clips that calibrated them.

    ``quick`` leaves out those that only complete a table.
    """
    from edgeskel import models
    from edgeskel.runtime.bundle import Window
    from export.predictor import xnnpack_artifacts
    from export.windows import calibration_windows

    made = {}
    for name in (MODEL, COMPRESSED):
        model = models.from_pretrained(name)
        config = model.config
        window = Window(config.persons, config.source_frames, config.rate_hz, config.hop)
        clips = calibration_windows(store, PROTOCOL, config.topology, window, CALIBRATION)
        precisions = ("fp32", "int8") if not quick else ("fp32",) if name == MODEL else ("int8",)
        for precision, artifact in xnnpack_artifacts(model, clips, folder, precisions).items():
            made[f"{name} {precision}"] = artifact
    return made, clips


def measure(quick: bool) -> dict[str, Any]:
    """Parameters, MACs, bytes, and the accuracy that low rank and int8 cost."""
    from edgeskel import models
    from edgeskel.compression.budget import budget
    from edgeskel.data import Store, import_dataset, split
    from edgeskel.training import evaluate

    whole, small = models.from_pretrained(MODEL), models.from_pretrained(COMPRESSED)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "utd-mhad"
        import_dataset("utd-mhad", datasets() / "utd-mhad", path)
        store = Store.open(path)
        made, _ = artifacts(store, Path(folder), quick)
        test = split(store, PROTOCOL).test[:: 4 if quick else 1]
        rows = [{"model": f"{MODEL}, torch fp32", **vars(budget(whole)), "top1": evaluate(whole, store, test).top1},
                {"model": f"{COMPRESSED}, torch fp32", **vars(budget(small)), "top1": evaluate(small, store, test).top1}]
        for name, artifact in made.items():
            rows.append({"model": name.replace(" ", ", .pte "), "bytes": artifact.bytes,
                         "top1": evaluate(artifact, store, test).top1})
    by_name = {row["model"]: row for row in rows}
    fp32, int8 = by_name[f"{MODEL}, .pte fp32"], by_name[f"{COMPRESSED}, .pte int8"]
    return {
        "edge_params": rows[0]["parameters"],
        "edge_mmac": rows[0]["macs"] / 1e6,
        "int8_bytes_ratio": fp32["bytes"] / int8["bytes"],
        "int8_top1_drop": fp32["top1"] - int8["top1"],
        "clips": len(test),
        "tables": {"Size and accuracy": rows},
    }


if __name__ == "__main__":
    main("size", measure)
