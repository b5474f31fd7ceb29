"""Latent replay: the last layers of the network themselves learn on the device, through ExecuTorch's training module.

``export.latent`` writes what this takes: ``trunk.pte`` turns joints into latents, ``tail.pte`` holds the forward and the
backward pass of the last layers, ``replay.npz`` latents of the recogniser's own recordings in 8 bits. Numpy and
ExecuTorch, whose Python bindings bring torch along.

Axes: N clips, P places of the last feature map, C its channels, K classes of the recogniser, L learned labels.
"""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import CorruptFile, EngineError, InvalidClip, UsageError
from edgeskel.files import atomic_write
from edgeskel.skeleton import Float32
from edgeskel.window import blank_missing

__all__ = ["BATCH", "LatentReplay", "Replay"]

BATCH = 16
"""Latents in one step; half of them are demonstrations, half are replayed."""
STEPS = 60
RATE = 0.01
MOMENTUM = 0.9
_SEED = 20_26


@dataclass(frozen=True, eq=False)
class Replay:
    """Latents in 8 bits: what enters the last layers, after a ReLU and so never below 0, over one scale each.

    Args:
        labels: K names.
        entering, added: (N, P, C) uint8.
        scales: (2,) of the two.
        classes: (N,).
    """

    labels: tuple[str, ...]
    entering: NDArray[np.uint8]
    added: NDArray[np.uint8]
    scales: Float32
    classes: NDArray[np.int64]

    @classmethod
    def of(cls, labels: tuple[str, ...], entering: Float32, added: Float32, classes: NDArray[np.int64]) -> Replay:
        """From latents (N, P, C) each."""
        scales = np.array([max(float(part.max()), 1e-6) / 255 for part in (entering, added)], np.float32)
        packed = [np.clip(np.round(part / scale), 0, 255).astype(np.uint8)
                  for part, scale in zip((entering, added), scales, strict=True)]
        return cls(labels, packed[0], packed[1], scales, classes)

    def latents(self, rows: NDArray[np.int64]) -> tuple[Float32, Float32]:
        """(N, P, C) each, of some rows."""
        return self.entering[rows] * self.scales[0], self.added[rows] * self.scales[1]

    def save(self, path: str | Path) -> None:
        """Write it, by atomic rename."""
        content = io.BytesIO()
        np.savez_compressed(content, labels=np.array(self.labels), entering=self.entering, added=self.added,
                            scales=self.scales, classes=self.classes)
        with atomic_write(path) as file:
            file.write(content.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Replay:
        """Read what :meth:`save` wrote. Raises ``CorruptFile``."""
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as data:
                replay = cls(tuple(str(label) for label in data["labels"]), data["entering"], data["added"],
                             data["scales"].astype(np.float32), data["classes"].astype(np.int64))
            if (replay.entering.shape != replay.added.shape or len(replay.classes) != len(replay.entering)
                    or replay.entering.ndim != 3 or replay.scales.shape != (2,)):
                raise ValueError("arrays that do not belong together")
        except (OSError, ValueError, TypeError, KeyError, EOFError, AttributeError, NotImplementedError, RuntimeError,
                zipfile.BadZipFile, zlib.error) as error:
            raise CorruptFile(path, f"unreadable ({error})", expected="latents to replay",
                              remedy="export it again") from error
        return replay


class LatentReplay:
    """The trunk, the tail that learns, and what is replayed.

    Args:
        folder: as ``export.latent.write_latent_replay`` writes it.

    Raises:
        EngineError: ExecuTorch is not here or refuses a file.
        CorruptFile: ``replay.npz`` is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.replay = Replay.load(self.folder / "replay.npz")
        self.learned: list[str] = []
        self._shown: list[tuple[Float32, Float32]] = []
        self._classes: list[int] = []
        self._rng = np.random.default_rng(_SEED)
        try:
            self._load()
        except (ImportError, OSError, RuntimeError) as error:
            raise EngineError(f"{self.folder}: ExecuTorch does not load it ({error})",
                              expected="trunk.pte and tail.pte, and ExecuTorch with its training module",
                              remedy="pip install 'edgeskel[export-mobile]', or export them again") from error

    def _load(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "This API is experimental"
            import torch
            from executorch.extension.pybindings import portable_lib
            from executorch.extension.training import _load_for_executorch_for_training_from_buffer, get_sgd_optimizer

            self._torch, self._sgd = torch, get_sgd_optimizer
            self._trunk = portable_lib._load_for_executorch(str(self.folder / "trunk.pte"))
            self._trunk.method_meta("forward")
            self._content = (self.folder / "tail.pte").read_bytes()  # the module reads in it as long as it lives
            described = portable_lib._load_for_executorch_from_buffer(self._content).method_meta("forward")
            self._outputs = int(described.input_tensor_meta(2).sizes()[1])
            self._tail = _load_for_executorch_for_training_from_buffer(self._content)
        places, channels = self.replay.entering.shape[1:]
        nothing = np.zeros((BATCH, places, channels), np.float32)
        self._run(nothing, nothing, np.zeros((BATCH, self._outputs), np.float32))  # only then it knows its parameters
        self._parameters: dict[str, Any] = self._tail.named_parameters()

    @property
    def labels(self) -> tuple[str, ...]:
        """K + L labels."""
        return (*self.replay.labels, *self.learned)

    def latents(self, joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
        """(P, C) each, of a window (1, 1, S, V, 3) and (1, 1, S, V)."""
        seen = self._torch.from_numpy(blank_missing(joints, confidence))
        entering, added = self._trunk.forward([seen, self._torch.from_numpy(confidence)])
        return entering.numpy()[0].copy(), added.numpy()[0].copy()

    def learn(self, latents: tuple[Float32, Float32], label: str) -> None:
        """Take a demonstration; :meth:`train` then learns all that were taken.

        Raises:
            UsageError: the recogniser knows the label itself, or there is no room for another one.
            InvalidClip: latents of another shape.
        """
        if label in self.replay.labels:
            raise UsageError(f"the recogniser knows {label!r} itself", expected="the name of a new action")
        if label not in self.learned and len(self.labels) == self._outputs:
            raise UsageError(f"{len(self.learned)} learned labels", expected="no more than the tail has room for")
        if any(part.shape != self.replay.entering.shape[1:] for part in latents):
            raise InvalidClip(f"latents of {latents[0].shape}", expected=f"{self.replay.entering.shape[1:]}")
        if label not in self.learned:
            self.learned.append(label)
        self._shown.append(latents)
        self._classes.append(self.labels.index(label))

    def train(self, steps: int = STEPS, rate: float = RATE) -> float:
        """Some steps of gradient descent on demonstrations and replayed latents; the loss of the last one.

        Raises:
            UsageError: there is no demonstration.
        """
        shown, classes = self._shown, np.array(self._classes, np.int64)
        if not shown:
            raise UsageError("nothing to train on", expected="a demonstration at least: learn() takes one")
        self._begin_rows(classes)
        optimizer = self._sgd(self._parameters, rate, MOMENTUM)
        loss = 0.0
        for _ in range(steps):
            mine = self._rng.integers(len(shown), size=BATCH // 2)
            theirs = self._rng.integers(len(self.replay.classes), size=BATCH - len(mine))
            replayed = self.replay.latents(theirs)
            entering, added = (np.concatenate([np.stack([shown[row][part] for row in mine]), replayed[part]])
                               for part in (0, 1))
            targets = np.zeros((BATCH, self._outputs), np.float32)
            targets[np.arange(BATCH), np.concatenate([classes[mine], self.replay.classes[theirs]])] = 1
            loss = float(self._run(entering, added, targets)[0])
            optimizer.step(self._tail.named_gradients())
        return loss

    def predict(self, entering: Float32, added: Float32) -> Float32:
        """Probabilities (N, K + L) of latents (N, P, C) each."""
        answers = []
        for start in range(0, len(entering), BATCH):
            parts = [np.asarray(part[start : start + BATCH], np.float32) for part in (entering, added)]
            count = len(parts[0])
            full = [np.concatenate([part, np.zeros((BATCH - count, *part.shape[1:]), np.float32)]) for part in parts]
            logits = self._run(full[0], full[1], np.zeros((BATCH, self._outputs), np.float32))[1]
            answers.append(logits[:count, : len(self.labels)])
        scores = np.concatenate(answers)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        probabilities: Float32 = scores / scores.sum(-1, keepdims=True)
        return probabilities

    def _begin_rows(self, classes: NDArray[np.int64]) -> None:
        """A class that was not trained yet starts at the mean of its embeddings, as far from 0 as the others are."""
        weight, bias = (self._parameters[f"classifier.{name}"].numpy() for name in ("weight", "bias"))
        known = len(self.replay.labels)
        length = float(np.linalg.norm(weight[:known], axis=1).mean())
        middle = self._embeddings(*self.replay.latents(np.arange(len(self.replay.classes)))).mean(0)
        for place in range(known, len(self.labels)):
            if bias[place] > -20:  # it was trained before
                continue
            own = [latents for latents, owner in zip(self._shown, classes, strict=True) if owner == place]
            apart = self._embeddings(*(np.stack([one[part] for one in own]) for part in (0, 1))).mean(0) - middle
            weight[place] = length * apart / max(float(np.linalg.norm(apart)), 1e-6)
            bias[place] = float(bias[:known].mean()) - float(weight[place] @ middle)

    def _embeddings(self, entering: Float32, added: Float32) -> Float32:
        weight, bias = (self._parameters[f"last.{name}"].numpy() for name in ("weight", "bias"))
        embeddings: Float32 = np.maximum(entering @ weight.T + bias + added, 0).mean(1)
        return embeddings

    def _run(self, entering: Float32, added: Float32, targets: Float32) -> list[Any]:
        torch = self._torch
        inputs = tuple(torch.from_numpy(np.ascontiguousarray(part, np.float32)) for part in (entering, added, targets))
        outputs = self._tail.forward_backward("forward", inputs)
        return [output.detach().numpy().copy() for output in outputs[:2]]
