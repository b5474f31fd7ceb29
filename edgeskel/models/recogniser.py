"""A recogniser: an encoder and a classifier. Raw joints in, logits out.

Axes: N clips, M persons, S frames of the window, V joints, D width of the embedding, K classes.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from edgeskel.errors import UsageError
from edgeskel.models import checkpoint
from edgeskel.models.encoder import CausalEncoder, Encoder, RecogniserConfig
from edgeskel.models.steps import State

__all__ = ["CausalRecogniser", "Recogniser", "count_parameters", "recogniser_of"]


class Recogniser(nn.Module):
    """What is trained, compressed and exported.

    Args:
        encoder: its configuration names the classes.
        classifier: (N, D) -> (N, K); a fresh one by default.

    Raises:
        UsageError: the encoder's configuration names no classes.
    """

    encoder: Encoder
    classifier: nn.Module

    def __init__(self, encoder: Encoder, classifier: nn.Module | None = None) -> None:
        super().__init__()
        if not encoder.config.labels:
            raise UsageError(f"a recogniser of an encoder {encoder.name!r} without classes", expected="labels in its configuration")
        self.encoder = encoder
        self.classifier = encoder.new_classifier(len(encoder.config.labels)) if classifier is None else classifier

    @property
    def name(self) -> str:
        """By which ``create`` makes it."""
        return self.encoder.name

    @property
    def config(self) -> RecogniserConfig:
        """The encoder's, which is the recogniser's."""
        return self.encoder.config

    def embed(self, joints: Tensor, confidence: Tensor) -> Tensor:
        """Embedding of each clip.

        Args:
            joints: (N, M, S, V, 3) metres.
            confidence: (N, M, S, V) in 0..1; 0 is missing.

        Returns:
            (N, D).
        """
        return self.encoder.embed(joints, confidence)

    def forward(self, joints: Tensor, confidence: Tensor) -> Tensor:
        """Logits (N, K); arguments as :meth:`embed`."""
        logits: Tensor = self.classifier(self.embed(joints, confidence))
        return logits

    def weights(self) -> dict[str, Tensor]:
        """By the names that a checkpoint has for them (:mod:`edgeskel.models.checkpoint`)."""
        return {**self.encoder.state_dict(),
                **{checkpoint.CLASSIFIER + key: value for key, value in self.classifier.state_dict().items()}}

    def save_pretrained(self, folder: str | Path, *, half: bool = False) -> None:
        """Write ``config.json`` and ``model.safetensors`` into ``folder``, each by atomic rename.

        The configuration holds the digest of the weights, by which :func:`edgeskel.models.from_pretrained` knows damage.

        Args:
            folder: made if missing.
            half: store the weights as float16 (half the bytes; loading gives float32 again).
        """
        checkpoint.write(Path(folder), self.name, type(self.encoder), self.config.to_dict(), self.weights(), half=half)


class CausalRecogniser(Recogniser):
    """A recogniser that runs frame by frame too."""

    encoder: CausalEncoder

    def step(self, joints: Tensor, confidence: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """The next frames of a stream; a clip in steps ends with the clip's own answer.

        Args:
            joints, confidence, state: as :meth:`edgeskel.models.encoder.CausalEncoder.step`.

        Returns:
            logits (N, K) and embedding (N, D) as of the last frame, and the state for the next step.
        """
        embedding, after = self.encoder.step(joints, confidence, state)
        return self.classifier(embedding), embedding, after


def recogniser_of(encoder: Encoder, classifier: nn.Module | None = None) -> Recogniser:
    """A recogniser around an encoder, causal where that is. Raises as :class:`Recogniser`."""
    return (CausalRecogniser if isinstance(encoder, CausalEncoder) else Recogniser)(encoder, classifier)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in model.parameters())
