"""An artifact by itself, without a bundle around it, as something that ``edgeskel.training.evaluate`` can measure.

Axes: N clips, M persons, S frames of the window, V joints, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from edgeskel.compression.quantization import quantize
from edgeskel.models import Recogniser
from edgeskel.runtime.engines.executorch import ExecuTorchEngine
from edgeskel.skeleton import Float32, Topology
from export.executorch import lower_xnnpack
from export.graph import DeployableGraph, export_program
from export.library_output import suppress_library_output
from export.windows import WindowSet

__all__ = ["ArtifactPredictor", "xnnpack_artifacts"]


class ArtifactPredictor:
    """A ``.pte`` on one core, one window at a time, as on the device.

    Args:
        path: the file; it is read at once and need not stay.
        model: the recogniser that it was made of.
    """

    topology: Topology
    labels: tuple[str, ...]
    persons: int
    frames: int

    def __init__(self, path: Path, model: Recogniser) -> None:
        config = model.config
        self.bytes: int = path.stat().st_size
        self.engine: ExecuTorchEngine = ExecuTorchEngine(path, {}, threads=1)
        self.topology, self.labels = config.topology, tuple(config.labels)
        self.persons, self.frames = config.persons, config.source_frames

    def __call__(self, joints: Float32, confidence: Float32) -> Float32:
        """(N, M, S, V, 3) and (N, M, S, V) -> probabilities (N, K)."""
        pairs = zip(joints, confidence, strict=True)
        return np.stack([self.engine(one[None], seen[None])[0] for one, seen in pairs])


def xnnpack_artifacts(model: Recogniser, calibration: WindowSet, folder: Path,
                      precisions: Sequence[str] = ("fp32", "int8")) -> dict[str, ArtifactPredictor]:
    """``model`` as ``.pte`` files in ``folder``, by precision; int8 is calibrated with recorded clips."""
    made = {}
    graph = DeployableGraph(model)
    with suppress_library_output(), torch.no_grad():
        for precision in precisions:
            if precision == "int8":
                program = torch.export.export(quantize(graph, calibration.pairs(), graph.floating), graph.example(), strict=False)
            else:
                program = export_program(graph)
            path = folder / f"{precision}.pte"
            path.write_bytes(lower_xnnpack(program, {"labels": list(model.config.labels)}).content)
            made[precision] = ArtifactPredictor(path, model)
    return made
