"""PyTorch: runs the checkpoint itself, as the reference for the other engines; not for small devices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeskel.runtime.bundle import StepForm
from edgeskel.runtime.engines import State, obstacle
from edgeskel.skeleton import Float32
from edgeskel.window import blank_missing

if TYPE_CHECKING:
    from edgeskel.models import Recogniser

__all__ = ["TorchEngine"]


class TorchEngine:
    """See :class:`edgeskel.runtime.engines.Engine`; the artifact is a checkpoint's folder or a file inside it."""

    name = "torch"

    def __init__(self, artifact: Path, manifest: Mapping[str, Any], threads: int | None = None) -> None:
        from edgeskel.models import from_pretrained

        self._prepare(from_pretrained(artifact if artifact.is_dir() else artifact.parent), threads)

    @classmethod
    def of(cls, model: Recogniser, threads: int | None = None) -> TorchEngine:
        """An engine around a recogniser that is in memory already."""
        engine = cls.__new__(cls)
        engine._prepare(model.eval(), threads)
        return engine

    def _prepare(self, model: Recogniser, threads: int | None) -> None:
        import torch

        if threads is not None:
            torch.set_num_threads(threads)
        self.model = model
        self._torch = torch

    @staticmethod
    def available() -> str | None:
        """None when this engine runs here, else why not and what to do."""
        install = "pip install 'edgeskel[train]'"
        return obstacle("torch", install) or obstacle("safetensors.torch", install)

    def __call__(self, joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
        torch = self._torch
        with torch.inference_mode():
            seen = torch.from_numpy(blank_missing(joints, confidence))
            embedding = self.model.embed(seen, torch.from_numpy(confidence))
            probabilities = torch.softmax(self.model.classifier(embedding), dim=-1)
        return probabilities[0].numpy(), embedding[0].numpy()

    def step_form(self) -> StepForm | None:
        """How the recogniser runs frame by frame; None where it does not."""
        from edgeskel.models import CausalRecogniser, steps

        model = self.model
        if not isinstance(model, CausalRecogniser):
            return None
        frames = model.encoder.frames_per_step
        joints = self._torch.zeros(1, 1, frames, len(model.config.topology.joints), 3)
        state = steps.fresh(lambda state: model.step(joints, joints[..., 0], state)[1:])
        return StepForm(frames, 0, 0, tuple(tuple(tensor.shape) for tensor in state))

    def step(self, joints: Float32, confidence: Float32, state: State) -> tuple[Float32, Float32, State]:
        from edgeskel.models import CausalRecogniser

        torch = self._torch
        assert isinstance(self.model, CausalRecogniser)
        with torch.inference_mode():
            seen = torch.from_numpy(blank_missing(joints, confidence))
            before = tuple(map(torch.from_numpy, state))
            logits, embedding, after = self.model.step(seen, torch.from_numpy(confidence), before)
            probabilities = torch.softmax(logits, dim=-1)
        return probabilities[0].numpy(), embedding[0].numpy(), tuple(value.numpy() for value in after)
