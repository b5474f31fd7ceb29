"""The deployable graph: raw joints and confidences in, probabilities and embedding out.

Everything between the camera and the answer is inside, so no target re-implements preprocessing. Shapes are static:
one clip, M persons, S frames, V joints. BatchNorm is folded, because a mixed-precision one parses in TensorRT only from
10.7 on.

Axes: M persons, S frames of the window, V joints, D width of the embedding, K classes, C channels.
"""

from __future__ import annotations

import copy
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from edgeskel.errors import ExportError
from edgeskel.models import CausalRecogniser, Recogniser, RecogniserConfig, steps
from edgeskel.models.low_rank import Factors

__all__ = ["DeployableGraph", "StepGraph", "export_program", "fold_batch_norm"]

Window: TypeAlias = "tuple[Tensor, Tensor]"
"""joints (1, M, S, V, 3) metres and confidence (1, M, S, V) in 0..1."""

R = TypeVar("R", bound=Recogniser)

INPUTS = ("joints", "confidence")
OUTPUTS = ("probabilities", "embedding")


class DeployableGraph(nn.Module):
    """What every artifact computes.

    Args:
        recogniser: copied, in evaluation mode, BatchNorm folded; the original stays as it is.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__()
        self.recogniser: Recogniser = fold_batch_norm(recogniser)
        self.config: RecogniserConfig = recogniser.config
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    def forward(self, joints: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
        """Recognise one window.

        Args:
            joints: (1, M, S, V, 3) metres, finite. The values of missing joints are ignored, because they are multiplied
                by their confidence; a NaN or an infinity survives that, missing or not, and makes the answer NaN. XNNPACK
                has no comparison and no selection, so what feeds the graph puts a number in its place
                (:func:`edgeskel.window.blank_missing`, as every engine of ``edgeskel.runtime`` does).
            confidence: (1, M, S, V) in 0..1; 0 is missing.

        Returns:
            probabilities (1, K) and embedding (1, D).
        """
        embedding = self.recogniser.embed(joints, confidence)
        return torch.softmax(self.recogniser.classifier(embedding), dim=-1), embedding

    @property
    def floating(self) -> tuple[str, ...]:
        """Names of the modules that stay in floating point in int8 artifacts."""
        return tuple(f"recogniser.encoder.{name}" for name in self.config.floating)

    def example(self) -> Window:
        """Inputs of the right shape: an empty window."""
        config = self.config
        shape = (1, config.persons, config.source_frames, len(config.topology.joints))
        return torch.zeros(*shape, 3), torch.zeros(*shape)


class StepGraph(nn.Module):
    """What a step artifact computes: the next frames and the state in, the answer and the state to come out.

    Args:
        recogniser: copied, in evaluation mode, BatchNorm folded.
    """

    def __init__(self, recogniser: CausalRecogniser) -> None:
        super().__init__()
        self.recogniser: CausalRecogniser = fold_batch_norm(recogniser)
        self.config: RecogniserConfig = recogniser.config
        self.frames: int = recogniser.encoder.frames_per_step
        self.recogniser.encoder.prepare_steps(self.frames)
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    def forward(self, joints: Tensor, confidence: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """The next frames.

        Args:
            joints: (1, 1, n, V, 3) metres, finite; as in :class:`DeployableGraph`.
            confidence: (1, 1, n, V) in 0..1; 0 is missing.
            state: what the step before gave; zeros at the start.

        Returns:
            probabilities (1, K) and embedding (1, D) as of the last of the frames, and the state for the next step.
        """
        logits, embedding, after = self.recogniser.step(joints, confidence, state)
        return (torch.softmax(logits, dim=-1), embedding, *after)

    def frames_example(self) -> Window:
        """No frames yet: joints and confidence of one step, all missing."""
        shape = (1, 1, self.frames, len(self.config.topology.joints))
        return torch.zeros(*shape, 3), torch.zeros(*shape)

    def example(self) -> tuple[Tensor, ...]:
        """Inputs of the right shapes: nothing seen, a fresh state."""
        frames = self.frames_example()
        return (*frames, *steps.fresh(lambda state: self.forward_state(*frames, state)))

    def forward_state(self, joints: Tensor, confidence: Tensor, state: steps.State) -> tuple[Tensor, steps.State]:
        """:meth:`forward` with the state in one piece."""
        probabilities, _, *after = self(joints, confidence, *state)
        return probabilities, tuple(after)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return (*INPUTS, *(f"state_{index}" for index in range(len(self.example()) - 2)))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return (*OUTPUTS, *(f"next_{name}" for name in self.inputs[2:]))


def export_program(graph: DeployableGraph | StepGraph) -> ExportedProgram:
    """Trace ``graph`` with static shapes.

    Raises:
        ExportError: torch.export cannot trace the recogniser.
    """
    try:
        with torch.no_grad():
            return torch.export.export(graph.eval(), graph.example(), strict=False)
    except Exception as error:
        raise ExportError(f"torch.export cannot trace {graph.recogniser.name!r}: {error}",
                          remedy="a recogniser must have static shapes and no data-dependent branch") from error


def fold_batch_norm(recogniser: R) -> R:
    """A copy in evaluation mode without BatchNorm: folded into its neighbour in a ``Sequential``, else scale and shift."""
    folded = copy.deepcopy(recogniser).eval()
    for module in list(folded.modules()):
        if isinstance(module, nn.Sequential):
            _fold_neighbours(module)
    for module in list(folded.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                setattr(module, name, Affine(child))
    return folded


class Affine(nn.Module):
    """A BatchNorm in evaluation mode as one scale and one shift per channel."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        scale, shift = _affine(norm)
        shape = {nn.BatchNorm1d: (-1,), nn.BatchNorm2d: (-1, 1, 1), nn.BatchNorm3d: (-1, 1, 1, 1)}[type(norm)]
        self.register_buffer("scale", scale.view(shape))
        self.register_buffer("shift", shift.view(shape))

    def forward(self, x: Tensor) -> Tensor:
        if self.scale.dim() == 1 and x.dim() == 3:  # BatchNorm1d takes (N, C) and (N, C, L)
            return x * self.scale.unsqueeze(-1) + self.shift.unsqueeze(-1)
        return x * self.scale + self.shift


def _affine(norm: _BatchNorm) -> Window:
    if norm.running_mean is None or norm.running_var is None:
        raise ExportError("a BatchNorm without running statistics depends on the batch",
                          expected="track_running_stats=True", remedy="train it with running statistics")
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    return scale.detach().clone(), shift.detach().clone()


def _fold_neighbours(sequence: nn.Sequential) -> None:
    """Fold each BatchNorm into the convolution or linear layer before it, or into an unpadded convolution after it."""
    layers = list(sequence)
    for index, norm in enumerate(layers):
        if not isinstance(norm, _BatchNorm):
            continue
        before = layers[index - 1] if index else None
        after = layers[index + 1] if index + 1 < len(layers) else None
        if isinstance(before, Factors):  # a layer in two factors: the second one gives the output
            _fold_neighbours(outer := nn.Sequential(before[1], norm))
            before[1], layers[index] = outer
        elif isinstance(before, nn.Conv2d):
            layers[index - 1 : index + 1] = [fuse_conv_bn_eval(before, norm), nn.Identity()]
        elif isinstance(before, nn.Linear):
            layers[index - 1 : index + 1] = [fuse_linear_bn_eval(before, norm), nn.Identity()]
        elif isinstance(after, nn.Conv2d) and not _padded(after):
            layers[index : index + 2] = [nn.Identity(), _after(norm, after)]
    for index, layer in enumerate(layers):
        sequence[index] = layer


def _padded(convolution: nn.Conv2d) -> bool:
    """Whether zeros come in that a BatchNorm before it would have left alone."""
    return isinstance(convolution.padding, str) or any(convolution.padding) or (
        isinstance(convolution, steps.Conv) and convolution.past > 0)


def _after(norm: _BatchNorm, convolution: nn.Conv2d) -> nn.Conv2d:
    """The convolution that does what ``norm`` followed by ``convolution`` (unpadded) did."""
    scale, shift = _affine(norm)
    folded = copy.deepcopy(convolution)
    share = convolution.in_channels // convolution.groups
    outputs = convolution.out_channels // convolution.groups
    # Input channels of each output channel: (out, in / groups).
    first = torch.arange(convolution.out_channels) // outputs * share
    inputs = first.unsqueeze(1) + torch.arange(share)
    weight = convolution.weight.detach()
    bias = torch.zeros(convolution.out_channels) if convolution.bias is None else convolution.bias.detach()
    folded.weight = nn.Parameter(weight * scale[inputs][..., None, None])
    folded.bias = nn.Parameter(bias + (weight.sum((2, 3)) * shift[inputs]).sum(1))
    return folded
