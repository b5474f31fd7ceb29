"""How long one recognition takes, on one core, all contenders in turns over the same recorded clips.

- ``int8_over_fp32``: median of the shipped low-rank ``edge`` as an int8 ``.pte`` over that of the uncompressed ``edge`` as
  its fp32 ``.pte`` (XNNPACK). ``int8_over_own_fp32`` compares it with the fp32 ``.pte`` of the same low-rank weights.
- ``edge_over_hyperformer``: median of ``edge`` over that of ``hyperformer`` (below 0.1 is ten times faster), both in torch,
  fp32; ``hyperformer_over_edge`` is its inverse. The time does not depend on the values of weights, so ``hyperformer`` has
  fresh ones here, in the size that ``benchmarks.compression`` trains (32 frames, half the reference's 64).

``--quick`` measures fewer rounds, and only what the two ratios need.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._bench import datasets, interleave, main
from benchmarks.size import COMPRESSED, MODEL, artifacts

if TYPE_CHECKING:
    from export.predictor import ArtifactPredictor

HYPERFORMER_FRAMES = 32


def measure(quick: bool) -> dict[str, Any]:
    """Time edge and hyperformer, fp32 and int8."""
    import torch

    from edgeskel import models
    from edgeskel.data import Store, import_dataset

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "utd-mhad"
        import_dataset("utd-mhad", datasets() / "utd-mhad", path)
        made, windows = artifacts(Store.open(path), Path(folder), quick)
        clips = windows.pairs()
        edge = models.from_pretrained(MODEL)
        hyperformer = models.create("hyperformer", topology=edge.config.topology, labels=edge.config.labels,
                                    source_frames=edge.config.source_frames, frames=HYPERFORMER_FRAMES).eval()
        turn = iter(range(10**9))

        def clip() -> tuple[Any, Any]:
            return clips[next(turn) % len(clips)]

        def on(artifact: ArtifactPredictor) -> Callable[[], object]:
            return lambda: artifact.engine(*clip())

        def inside(model: models.Recogniser) -> Callable[[], object]:
            def call() -> object:
                with torch.inference_mode():
                    return model(*(torch.from_numpy(values) for values in clip()))

            return call

        rounds, budget_s = (60, 8.0) if quick else (1000, 240.0)
        exported = interleave({name: on(one) for name, one in made.items()}, rounds=rounds, budget_s=budget_s)
        eager = interleave({"edge": inside(edge), "hyperformer": inside(hyperformer)}, rounds=rounds, budget_s=budget_s)
    medians = {name: 1e3 * statistics.median(times) for name, times in (exported | eager).items()}
    return {
        "int8_over_fp32": medians[f"{COMPRESSED} int8"] / medians[f"{MODEL} fp32"],
        **({} if quick else {"int8_over_own_fp32": medians[f"{COMPRESSED} int8"] / medians[f"{COMPRESSED} fp32"]}),
        "edge_over_hyperformer": medians["edge"] / medians["hyperformer"],
        "hyperformer_over_edge": medians["hyperformer"] / medians["edge"],
        "tables": {"Median milliseconds on one core": [
            {"model": name.partition(" ")[0], "as": f".pte {name.partition(' ')[2]}" if " " in name else "torch fp32",
             "ms": round(median, 3)} for name, median in medians.items()]},
    }


if __name__ == "__main__":
    main("latency", measure)
