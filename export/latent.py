"""What a device needs to train the last layers itself: a trunk that gives latents, and a tail that trains on them.

After Pellegrini et al., "Latent Replay for Real-Time Continual Learning" (IROS 2020, arXiv 1912.01100): the layers below stay
as they are, so that what they say about the recogniser's own recordings can be stored and replayed for them. The cut lies
before the last pointwise convolution of ``edge``, because what is behind it trains as matrix products: ExecuTorch has a
backward pass of convolutions, and it takes seven seconds for a step where this takes a tenth.

Axes: N clips, P = T·V places of the last feature map, C its channels, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgeskel.continual.device.latent_replay import BATCH
from edgeskel.continual.device.replay_latents import ReplayLatents
from edgeskel.data import Store
from edgeskel.errors import ExportError
from edgeskel.files import atomic_write
from edgeskel.models import CausalRecogniser, Recogniser
from edgeskel.models.edge import Edge, EdgeBlock
from edgeskel.window import fit_window
from export.executorch import lower_xnnpack
from export.graph import fold_batch_norm
from export.library_output import suppress_library_output

__all__ = ["FOLDER", "SPARE", "Tail", "Trunk", "write_latent_replay"]

FOLDER = "latent"
"""Of a bundle, where these files lie."""
SPARE = 20
"""Classes that a tail can learn beside the recogniser's own: the shapes of its graph are fixed."""
EACH = 4
"""Recordings of each class to replay."""
UNUSED = -30.0
"""Offset of a class that nobody has learned yet; it takes no part in any answer."""


class Trunk(nn.Module):
    """Raw joints in, latents out.

    Args:
        recogniser: an ``edge`` for one person.

    Raises:
        ExportError: another kind, several persons, a causal one, or a last layer that is stored in two factors.
    """

    block: EdgeBlock

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__()
        if not isinstance(recogniser.encoder, Edge) or recogniser.config.persons != 1:
            raise ExportError(f"latent replay of {recogniser.name!r} for {recogniser.config.persons} persons",
                              expected="edge, for one person")
        if isinstance(recogniser, CausalRecogniser):
            raise ExportError(f"latent replay of the causal {recogniser.name!r}", expected="edge in its clip form",
                              remedy="the learners on the frozen embedding learn with it, window by window and frame by frame")
        self.recogniser: Recogniser = fold_batch_norm(recogniser)
        block = self._encoder.blocks[-1]
        assert isinstance(block, EdgeBlock)
        self.block, last = block, block.temporal[3]
        if not isinstance(last, nn.Conv2d):
            raise ExportError("the last convolution is stored in two factors", expected="a recogniser that is not low rank")
        self.last = last
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    @property
    def _encoder(self) -> Edge:
        assert isinstance(self.recogniser.encoder, Edge)
        return self.recogniser.encoder

    def forward(self, joints: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1, S, V, 3) and (N, 1, S, V) -> what enters the last convolution and what is added behind it, (N, P, C) each."""
        encoder, block = self._encoder, self.block
        streams, _ = encoder.inputs(joints, confidence)
        x = encoder.blocks[:-1](encoder.stem(streams))
        x = torch.relu(block.expand(block.mixing(x)) + block.skip(block.pool(x)))
        return _places(block.temporal[:3](x)), _places(block.kept(x))


class Tail(nn.Module):
    """The last convolution, the mean over places, and a classifier with room for more classes; gives its loss.

    Args:
        trunk: whose recogniser it ends.
        spare: further classes.
    """

    def __init__(self, trunk: Trunk, spare: int = SPARE) -> None:
        super().__init__()
        conv, classifier = trunk.last, trunk.recogniser.classifier
        if not isinstance(classifier, nn.Linear):
            raise ExportError("the classifier is stored in two factors", expected="a recogniser that is not low rank")
        known, width = classifier.weight.shape
        self.last: nn.Linear = nn.Linear(conv.in_channels, conv.out_channels)
        self.classifier: nn.Linear = nn.Linear(width, known + spare)
        with torch.no_grad():
            self.last.weight.copy_(conv.weight[:, :, 0, 0])
            self.last.bias.copy_(torch.zeros(conv.out_channels) if conv.bias is None else conv.bias)
            self.classifier.weight.zero_()
            self.classifier.bias.fill_(UNUSED)
            self.classifier.weight[:known], self.classifier.bias[:known] = classifier.weight, classifier.bias

    def forward(self, entering: Tensor, added: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, P, C), (N, P, C) and (N, K + spare) -> the mean cross-entropy, the logits (N, K + spare), the embedding."""
        embedding = torch.relu(self.last(entering) + added).mean(1)
        logits = self.classifier(embedding)
        return -(targets * logits.log_softmax(-1)).sum(-1).mean(), logits.detach(), embedding.detach()


def write_latent_replay(recogniser: Recogniser, folder: str | Path, store: Store, clips: Iterable[int], each: int = EACH) -> int:
    """Write ``trunk.pte``, ``tail.pte`` and ``replay.npz`` into ``folder``; how many recordings are replayed.

    Args:
        recogniser: an ``edge`` for one person, in evaluation mode.
        folder: made if missing.
        store: the recordings that it learned from.
        clips: its training part.
        each: recordings of each class to replay, the first ones; what is stored are their latents, in 8 bits.

    Raises:
        ExportError: the recogniser cannot be cut, or a class of its own has no recording.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    trunk = Trunk(recogniser).eval()
    config = recogniser.config
    shape = (1, 1, config.source_frames, len(config.topology.joints))
    replay = _replay(trunk, store, clips, each)
    places, channels = replay.entering.shape[1:]
    tail = Tail(trunk)
    example = (torch.zeros(BATCH, places, channels), torch.zeros(BATCH, places, channels),
               torch.zeros(BATCH, len(tail.classifier.bias)))
    with suppress_library_output():
        from executorch.exir import to_edge
        from torch.export.experimental import _export_forward_backward

        with torch.no_grad():
            program = torch.export.export(trunk, (torch.zeros(*shape, 3), torch.zeros(shape)), strict=False)
        lowered = lower_xnnpack(program, {"name": "trunk"}).content
        # The whole pass, forward and backward, ahead of time: the device has no autograd.
        training = to_edge(_export_forward_backward(torch.export.export(tail, example, strict=True))).to_executorch().buffer
    for name, content in (("trunk.pte", lowered), ("tail.pte", training)):
        with atomic_write(folder / name) as file:
            file.write(content)
    replay.save(folder / "replay.npz")
    return len(replay.classes)


def _replay(trunk: Trunk, store: Store, clips: Iterable[int], each: int) -> ReplayLatents:
    config = trunk.recogniser.config
    count = dict.fromkeys(config.labels, 0)
    entering, added, classes = [], [], []
    for index in clips:
        clip = store[int(index)]
        if count.get(clip.label, each) >= each:
            continue
        count[clip.label] += 1
        joints, confidence = fit_window(clip.joints, clip.confidence, 1, config.source_frames)
        with torch.inference_mode():
            first, second = trunk(torch.from_numpy(joints[None]), torch.from_numpy(confidence[None]))
        entering.append(first[0].numpy())
        added.append(second[0].numpy())
        classes.append(config.labels.index(clip.label))
    if lacking := [label for label, found in count.items() if not found]:
        raise ExportError(f"no recording of {', '.join(lacking[:5])} to replay", expected="recordings of every class",
                          remedy="give the store that it was trained with")
    return ReplayLatents.of(config.labels, np.stack(entering), np.stack(added), np.array(classes, np.int64))


def _places(x: Tensor) -> Tensor:
    """(N, C, T, V) -> (N, T·V, C)."""
    clips, channels, frames, size = x.shape
    return x.reshape(clips, channels, frames * size).transpose(1, 2)

