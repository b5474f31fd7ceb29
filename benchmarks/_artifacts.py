"""Artifacts of shipped recognisers for the benchmarks that compare them, made on two cores at once."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeskel.models import Recogniser
    from export.windows import WindowSet

__all__ = ["HYPERFORMER", "LIVE", "MODEL", "PROTOCOL", "SMALL", "Artifact", "clips_of", "load", "make"]

MODEL = "edge-utd-mhad"
SMALL = "edge-utd-mhad-small"
LIVE = "edge-utd-mhad-live"
HYPERFORMER = "hyperformer"
HYPERFORMER_FRAMES = 32
"""As ``benchmarks.compression`` trains it; the reference has 64, and takes twice as long."""

PROTOCOL = "cross-subject"
CALIBRATION = 32


@dataclass(frozen=True)
class Artifact:
    """One file: a recogniser's name, and what it is made into (``pte fp32``, ``pte int8``, ``pte step``, ``onnx fp32`` or
    ``onnx step``)."""

    model: str
    kind: str

    @property
    def name(self) -> str:
        """As tables have it."""
        return f"{self.model}, {self.kind}"


def load(name: str) -> Recogniser:
    """A shipped recogniser; ``hyperformer`` with fresh weights (its time does not depend on their values)."""
    from edgeskel import models

    if name != HYPERFORMER:
        return models.from_pretrained(name)
    like = models.from_pretrained(MODEL).config
    return models.create(HYPERFORMER, topology=like.topology, labels=like.labels, source_frames=like.source_frames,
                         frames=HYPERFORMER_FRAMES).eval()


def clips_of(store: Path, model: Recogniser) -> WindowSet:
    """Windows of recorded training clips."""
    from edgeskel.data import Store, split
    from edgeskel.runtime.bundle import Window
    from export.windows import calibration_windows

    config = model.config
    window = Window(config.persons, config.source_frames, config.rate_hz, config.hop)
    recordings = Store.open(store)
    return calibration_windows(recordings, split(recordings, PROTOCOL), config.topology, window, CALIBRATION)


def make(artifacts: Iterable[Artifact], store: Path, folder: Path) -> dict[Artifact, Path]:
    """Write each into ``folder``."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        tasks = {one: pool.submit(_write, one, store, folder) for one in artifacts}
        return {one: task.result() for one, task in tasks.items()}


def _write(artifact: Artifact, store: Path, folder: Path) -> Path:
    import torch

    from export.graph import DeployableGraph
    from export.library_output import suppress_library_output

    torch.set_num_threads(1)
    model = load(artifact.model)
    path = folder / f"{artifact.model}-{artifact.kind.replace(' ', '-')}"
    if artifact.kind.endswith("step"):
        path.write_bytes(_step(model, artifact))
        return path
    if artifact.kind.startswith("pte"):
        from export.predictor import xnnpack_artifacts

        work = folder / f"{path.name}-work"
        work.mkdir()
        precision = artifact.kind.partition(" ")[2]
        xnnpack_artifacts(model, clips_of(store, model), work, (precision,))
        return (work / f"{precision}.pte").rename(path)
    from export.onnx import export_onnx

    with suppress_library_output():
        path.write_bytes(export_onnx(DeployableGraph(model), {"name": artifact.model}).model.SerializeToString())
    return path


def _step(model: Recogniser, artifact: Artifact) -> bytes:
    from edgeskel.models import CausalRecogniser
    from export.graph import StepGraph, export_program
    from export.library_output import suppress_library_output

    assert isinstance(model, CausalRecogniser)
    graph = StepGraph(model).eval()
    with suppress_library_output():
        if artifact.kind.startswith("pte"):
            from export.executorch import lower_xnnpack

            return lower_xnnpack(export_program(graph), {"name": artifact.model}).content
        from export.onnx import export_step

        return bytes(export_step(graph, {"name": artifact.model}).SerializeToString())
