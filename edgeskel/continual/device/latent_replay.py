"""Latent replay: the last layers of the network themselves learn on the device, through ExecuTorch's training module.

``export.latent`` writes what this takes (``edgeskel export --latent-replay``): ``trunk.pte`` turns joints into latents,
``tail.pte`` holds the forward and the backward pass of the last layers, ``replay.npz`` latents of the recogniser's own
recordings in 8 bits. Numpy and ExecuTorch, whose Python bindings bring torch along.

Axes: N clips, P places of the last feature map, C its channels, K classes of the recogniser, L learned labels, D width of
the embedding.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.continual.device.head import joined
from edgeskel.continual.device.replay_latents import ReplayLatents
from edgeskel.errors import (
    BundleError,
    CorruptFile,
    DataError,
    EngineError,
    InvalidClip,
    LabelMismatch,
    ModelError,
    UsageError,
)
from edgeskel.files import UNREADABLE, atomic_write
from edgeskel.runtime.engines import State, obstacle
from edgeskel.runtime.engines._remarks import remarks_kept
from edgeskel.runtime.session import Session
from edgeskel.skeleton import Float32
from edgeskel.window import blank_missing, fit_window

if TYPE_CHECKING:
    from edgeskel.continual.device.demonstration_store import DemonstrationStore
    from edgeskel.runtime.bundle import Bundle

__all__ = ["BATCH", "ENTRY", "NAME", "LatentReplay", "kept_beside", "with_latent_replay"]

NAME = "latent-replay"
ENTRY = "latent_replay"
"""Of a bundle's manifest: ``folder``, where the three files lie."""
BATCH = 16
"""Latents in one step: some are demonstrations, the others are replayed."""
SHOWN = 8
"""Demonstrations in it."""
STEPS = 60
RATE = 0.01
MOMENTUM = 0.9
CAUTION = 0.0
"""By how much the logarithm of a new action's probability must be ahead."""
_SEED = 20_26
_PARAMETERS = ("last.weight", "last.bias", "classifier.weight", "classifier.bias")


class LatentReplay:
    """The trunk, the tail that learns, and what is replayed; an engine (:class:`edgeskel.runtime.engines.Engine`) of windows.

    Args:
        folder: as ``export.latent.write_latent_replay`` writes it.

    Raises:
        EngineError: ExecuTorch is not here or refuses a file.
        CorruptFile: ``replay.npz`` is damaged, or it does not belong to the tail.
    """

    name = NAME

    def __init__(self, folder: str | Path) -> None:
        self.folder: Path = Path(folder)
        self.replay: ReplayLatents = ReplayLatents.load(self.folder / "replay.npz")
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

    @classmethod
    def of_bundle(cls, bundle: Bundle) -> LatentReplay:
        """Of an opened bundle, whose digests have been checked.

        Raises:
            ModelError: the bundle was exported without it.
            BundleError: its manifest does not say where it lies, or lists no such files.
            EngineError, CorruptFile: as the class.
        """
        if ENTRY not in bundle.manifest:
            raise ModelError(f"{bundle.path} has no latent replay", expected="trunk, tail and latents to replay",
                             remedy="export it with them: edgeskel export MODEL --calibration STORE --latent-replay")
        entry = bundle.manifest[ENTRY]
        folder = entry.get("folder") if isinstance(entry, Mapping) else None
        if not isinstance(folder, str):
            raise BundleError(f"{bundle.path}: {ENTRY} is {entry!r}", expected="an entry with its folder", remedy="export anew")
        for name in ("trunk.pte", "tail.pte", "replay.npz"):
            bundle.file(f"{folder}/{name}")
        deep = cls(bundle.path / folder)
        if deep.replay.labels != bundle.labels:
            raise CorruptFile(deep.folder / "replay.npz", "its labels are not the bundle's", remedy="export anew")
        return deep

    @staticmethod
    def available() -> str | None:
        """None when it runs here, else why not and what to do."""
        install = "pip install 'edgeskel[export-mobile]'"
        return obstacle("torch", install) or obstacle("executorch.extension.training", install)

    def _load(self) -> None:
        with warnings.catch_warnings(), remarks_kept():
            warnings.simplefilter("ignore")  # "This API is experimental"
            import torch
            from executorch.extension.pybindings import portable_lib
            from executorch.extension.training import _load_for_executorch_for_training_from_buffer, get_sgd_optimizer

            self._torch, self._sgd = torch, get_sgd_optimizer
            self._trunk = portable_lib._load_for_executorch(str(self.folder / "trunk.pte"))
            self._trunk.method_meta("forward")
            self._content = (self.folder / "tail.pte").read_bytes()  # the module reads in it as long as it lives
            described = portable_lib._load_for_executorch_from_buffer(self._content).method_meta("forward")
            entering, _, targets = (tuple(described.input_tensor_meta(index).sizes()) for index in range(3))
            self._tail = _load_for_executorch_for_training_from_buffer(self._content)
        self._outputs = int(targets[1])
        if entering != (BATCH, *self.replay.entering.shape[1:]) or self._outputs < len(self.replay.labels):
            raise CorruptFile(self.folder / "replay.npz", f"latents of {self.replay.entering.shape[1:]}, "
                              f"{len(self.replay.labels)} labels", expected=f"as the tail: {entering[1:]}", remedy="export anew")
        nothing = np.zeros(entering, np.float32)
        self._run(nothing, nothing, np.zeros(targets, np.float32))  # only then it knows its parameters
        self._parameters: dict[str, Any] = self._tail.named_parameters()
        self._before = self._arrays()

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

    def learn_from(self, memory: DemonstrationStore, session: Session) -> None:
        """Take every demonstration of a file of learned actions, and train on them.

        Args:
            memory: of the same model; the joints must have been kept.
            session: whose window the joints are fitted into.

        Raises:
            DataError: nothing is learned, or the joints of a label were not kept.
            UsageError: more labels than there is room for.
        """
        shown = [(label, one.clip) for label, one in memory.demonstrations() if one.clip is not None]
        lacking = {one.label for one in memory.learned()} - {label for label, _ in shown}
        if lacking or not shown:
            raise DataError(f"{memory.path}: no joints of {', '.join(sorted(lacking)) or 'anything'} were kept",
                            expected="demonstrations whose joints can go through the network again",
                            remedy="enrol without --private, or use another learner")
        for label, clip in shown:
            joints, confidence = fit_window(clip.joints, clip.confidence, 1, session.window.frames)
            self.learn(self.latents(joints[None], confidence[None]), label)
        self.train()

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
            mine = self._rng.integers(len(shown), size=SHOWN)
            theirs = self._rng.integers(len(self.replay.classes), size=BATCH - SHOWN)
            replayed = self.replay.latents(theirs)
            entering, added = (np.concatenate([np.stack([shown[row][part] for row in mine]), replayed[part]])
                               for part in (0, 1))
            targets = np.zeros((BATCH, self._outputs), np.float32)
            targets[np.arange(BATCH), np.concatenate([classes[mine], self.replay.classes[theirs]])] = 1
            loss = float(self._run(entering, added, targets)[0])
            optimizer.step(self._tail.named_gradients())
        return loss

    def predict(self, entering: Float32, added: Float32) -> Float32:
        """Probabilities (N, K + L) of latents (N, P, C) each.

        As with the frozen embedding, what the trained tail leaves to the old actions is divided among them as the tail had it
        before: an old action can be lost to a new one, to no other.
        """
        now, before = self._arrays(copy=False), self._before
        known = len(self.replay.labels)
        logits = _logits(now, _embedding(now, entering, added))[:, : len(self.labels)]
        logits[:, known:] -= CAUTION
        old = _softmax(_logits(before, _embedding(before, entering, added))[:, :known])
        return joined(old, _softmax(logits))

    def __call__(self, joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
        """Probabilities (K + L,) and the embedding (D,) that the trained layers give, of a window (1, 1, S, V, 3)."""
        entering, added = (part[None] for part in self.latents(joints, confidence))
        return self.predict(entering, added)[0], _embedding(self._arrays(copy=False), entering, added)[0]

    def step(self, joints: Float32, confidence: Float32, state: State) -> tuple[Float32, Float32, State]:
        """Never: there is no step form."""
        raise EngineError("latent replay takes windows", expected="--mode sliding-window")

    def save(self, path: str | Path, memory: DemonstrationStore) -> None:
        """Write the trained layers, by atomic rename; :meth:`restore` takes them for the same state of ``memory``."""
        content = io.BytesIO()
        np.savez(content, state=np.array(self._state_of(memory)), labels=np.array(json.dumps(self.learned)),
                 **self._arrays())  # type: ignore[arg-type]
        with atomic_write(path) as file:
            file.write(content.getvalue())

    def restore(self, path: str | Path, memory: DemonstrationStore) -> bool:
        """Take what :meth:`save` wrote; False, and nothing taken, where there is none or it was trained on another state of
        ``memory``, by other files or in another way.

        Raises:
            CorruptFile: damaged, or something else.
        """
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as data:
                state = str(data["state"][()])
                labels = [str(label) for label in json.loads(str(data["labels"][()]))]
                arrays = {name: data[name] for name in _PARAMETERS}
            if state != self._state_of(memory):
                return False
            for name, array in arrays.items():
                if array.shape != self._before[name].shape or array.dtype != np.float32 or not np.isfinite(array).all():
                    raise ValueError(f"{name} of {array.shape}")
        except FileNotFoundError:
            return False
        except UNREADABLE as error:
            raise CorruptFile(path, f"unreadable ({error})", expected="trained layers, as latent replay writes them",
                              remedy="remove it: it is made again from the demonstrations") from error
        for name, array in arrays.items():
            self._parameters[name].numpy()[...] = array
        self.learned = labels
        return True

    def _state_of(self, memory: DemonstrationStore) -> str:
        """SHA-256 of everything that the trained layers follow from."""
        digest = hashlib.sha256(repr((BATCH, SHOWN, STEPS, RATE, MOMENTUM, _SEED)).encode())
        for name in ("trunk.pte", "tail.pte", "replay.npz"):
            digest.update(hashlib.sha256((self.folder / name).read_bytes()).digest())
        for label, one in memory.demonstrations():
            digest.update(f"{label}\0{one.digest}\0".encode())
        return digest.hexdigest()

    def _begin_rows(self, classes: NDArray[np.int64]) -> None:
        """A class that was not trained yet starts at the mean of its embeddings, as far from 0 as the others are."""
        now = self._arrays(copy=False)
        weight, bias = now["classifier.weight"], now["classifier.bias"]
        known = len(self.replay.labels)
        length = float(np.linalg.norm(weight[:known], axis=1).mean())
        middle = _embedding(now, *self.replay.latents(np.arange(len(self.replay.classes)))).mean(0)
        for place in range(known, len(self.labels)):
            if bias[place] > -20:  # it was trained before
                continue
            own = [latents for latents, owner in zip(self._shown, classes, strict=True) if owner == place]
            apart = _embedding(now, *(np.stack([one[part] for one in own]) for part in (0, 1))).mean(0) - middle
            weight[place] = length * apart / max(float(np.linalg.norm(apart)), 1e-6)
            bias[place] = float(bias[:known].mean()) - float(weight[place] @ middle)

    def _arrays(self, *, copy: bool = True) -> dict[str, Float32]:
        """The parameters by name; with ``copy=False`` what is written into them is written into the module."""
        arrays = {name: self._parameters[name].numpy() for name in _PARAMETERS}
        return {name: array.copy() for name, array in arrays.items()} if copy else arrays

    def _run(self, entering: Float32, added: Float32, targets: Float32) -> list[Any]:
        torch = self._torch
        inputs = tuple(torch.from_numpy(np.ascontiguousarray(part, np.float32)) for part in (entering, added, targets))
        outputs = self._tail.forward_backward("forward", inputs)
        return [output.detach().numpy().copy() for output in outputs[:2]]


def kept_beside(path: Path) -> Path:
    """Where the layers that were trained on a file of learned actions lie."""
    return path.with_name(f"{path.name}.latent.npz")


def with_latent_replay(session: Session, deep: LatentReplay) -> Session:
    """A session that recognises by the trained layers, window by window. The given one is left as it is.

    Raises:
        LabelMismatch: they are of another recogniser.
    """
    if session.labels != deep.replay.labels:
        raise LabelMismatch(f"the latents to replay are of {len(deep.replay.labels)} classes",
                            expected=f"the session's {len(session.labels)}", remedy="use those of the bundle that the session runs")
    return Session(deep, session.topology, deep.labels, session.window, config=session.config, most=session.most)


def _embedding(parameters: Mapping[str, Float32], entering: Float32, added: Float32) -> Float32:
    """(N, P, C) each -> (N, D)."""
    mixed = entering @ parameters["last.weight"].T + parameters["last.bias"] + added
    embedding: Float32 = np.maximum(mixed, 0).mean(1)
    return embedding


def _logits(parameters: Mapping[str, Float32], embedding: Float32) -> Float32:
    logits: Float32 = embedding @ parameters["classifier.weight"].T + parameters["classifier.bias"]
    return logits


def _softmax(logits: Float32) -> Float32:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities: Float32 = powers / powers.sum(-1, keepdims=True)
    return probabilities
