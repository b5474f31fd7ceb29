"""What every recogniser is: raw joints in, logits out; a config, a registry, save and load.

A new recogniser is one new file, here or in a package of its own: a config dataclass, a subclass of :class:`Recogniser` that
writes :meth:`features`, and ``@register("name", Config)``.

Axes: N clips, M persons, B = N·M bodies, S frames of the window, T frames of the network, V joints, C channels,
D width of the embedding, K classes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from edgeskel import plugins
from edgeskel.errors import CorruptFile, ModelError, UnknownChoice, UsageError
from edgeskel.files import atomic_write
from edgeskel.models.low_rank import factorise
from edgeskel.models.steps import State
from edgeskel.skeleton import Topology
from edgeskel.transforms import STREAMS, Streams

__all__ = ["Recogniser", "RecogniserConfig", "create", "from_pretrained", "names", "register", "registered", "shipped"]

WEIGHTS = Path(__file__).parent / "weights"
PACKAGE = "package"
"""Field of ``config.json``: the package that brings the recogniser, where it is not this one."""
DIGEST = "weights_sha256"
"""Field of ``config.json``: of the bytes of ``model.safetensors``. Absent in checkpoints of earlier versions."""


@dataclass(frozen=True, kw_only=True)
class RecogniserConfig:
    """What all recognisers have in common."""

    topology: Topology
    """The joint layout of the input."""
    labels: tuple[str, ...]
    """K class names, in the order of the logits."""
    persons: int = 1
    """M: bodies in one window."""
    source_frames: int = 128
    """S: frames of the window as recorded."""
    frames: int = 64
    """T: frames the network sees, stretched over what was seen."""
    rate_hz: float = 30.0
    """Nominal frame rate of the window."""
    hop: int = 8
    """Frames between two live recognitions."""
    streams: tuple[str, ...] = STREAMS
    """Which of joint, bone, joint_motion, bone_motion the network sees."""
    align: str = "yaw"
    """How a clip is turned: none, yaw or body."""
    confidence_channel: bool = True
    """Whether the network sees the confidences as a channel."""
    low_rank: Mapping[str, int] = field(default_factory=dict)
    """Rank of each layer that is stored in two factors, by name (``edgeskel.compression`` fills it)."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``config.json``."""
        data = {item.name: getattr(self, item.name) for item in fields(self)}
        return {**data, "topology": self.topology.to_dict()}


C = TypeVar("C", bound=RecogniserConfig)
R = TypeVar("R", bound="type[Recogniser]")


class Recogniser(nn.Module):
    """Base of all recognisers.

    Several persons and the streams are handled here, once: a subclass sees bodies, and their features are averaged
    over the persons that are present.
    """

    name = ""  # set by ``register``

    def __init__(self, config: RecogniserConfig) -> None:
        super().__init__()
        self.config = config
        self.streams: Streams = self.make_streams(config.source_frames)

    classifier: nn.Module

    def make_streams(self, frames: int) -> Streams:
        """The preprocessing for windows of another length. It holds no weights, so any serves the same network."""
        config = self.config
        return Streams(config.topology, frames, config.frames, config.streams, config.align, config.confidence_channel,
                       config.persons)

    def features(self, streams: Tensor) -> Tensor:
        """(B, C, T, V) streams of every body -> (B, D). A subclass writes this."""
        raise NotImplementedError

    def embed(self, joints: Tensor, confidence: Tensor) -> Tensor:
        """Embedding of each clip.

        Args:
            joints: (N, M, S, V, 3) metres.
            confidence: (N, M, S, V) in 0..1; 0 is missing.

        Returns:
            (N, D).
        """
        streams, presence = self.streams(joints, confidence)
        return self.pool(self.features(streams), presence)

    def pool(self, features: Tensor, presence: Tensor) -> Tensor:
        """(B, D) features and (N, M) presence -> (N, D): the mean over the persons that are present."""
        if self.config.persons == 1:
            return features
        clips, persons = presence.shape
        share = presence / (presence.mean(-1, keepdim=True) * persons + 1e-6)  # (N, M)
        weighted = features.reshape(clips, persons, -1) * share.reshape(clips, persons, 1)
        return weighted.mean(1) * persons

    def step(self, joints: Tensor, confidence: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """The next frames of a stream, for a recogniser that is causal; a clip in steps ends with the clip's own answer.

        Args:
            joints: (N, 1, n, V, 3) metres, n a multiple of ``config.frames_per_step``.
            confidence: (N, 1, n, V) in 0..1; 0 is missing.
            state: as the step before left it; ``()`` is a fresh one (see :mod:`edgeskel.models.steps`).

        Returns:
            logits (N, K) and embedding (N, D) as of the last frame, and the state for the next step.

        Raises:
            ModelError: this recogniser takes whole windows only.
        """
        raise ModelError(f"{self.name!r} with this configuration takes whole windows",
                         expected="a causal recogniser, such as edge with causal = true")

    def forward(self, joints: Tensor, confidence: Tensor) -> Tensor:
        """Logits (N, K); arguments as :meth:`embed`."""
        logits: Tensor = self.classifier(self.embed(joints, confidence))
        return logits

    def save_pretrained(self, folder: str | Path, *, half: bool = False) -> None:
        """Write ``config.json`` and ``model.safetensors`` into ``folder``, each by atomic rename.

        The configuration holds the digest of the weights, by which :func:`from_pretrained` knows damage.

        Args:
            folder: made if missing.
            half: store the weights as float16 (half the bytes; loading gives float32 again).
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {key: value.detach().cpu().contiguous() for key, value in self.state_dict().items()}
        if half:
            state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
        weights = save(state, metadata={"format": "pt"})
        with atomic_write(folder / "model.safetensors") as file:
            file.write(weights)
        with atomic_write(folder / "config.json") as file:
            config = {"recogniser": self.name, **self.config.to_dict(), DIGEST: hashlib.sha256(weights).hexdigest()}
            package = plugins.package_of(type(self).__module__)
            if package and not type(self).__module__.startswith("edgeskel."):
                config[PACKAGE] = package
            file.write((json.dumps(config, indent=1) + "\n").encode())


REGISTRY: dict[str, tuple[type[Recogniser], type[RecogniserConfig]]] = {}


def register(name: str, config: type[RecogniserConfig]) -> Callable[[R], R]:
    """Class decorator: make a recogniser known by name."""

    def add(recogniser: R) -> R:
        recogniser.name = name
        REGISTRY[name] = (recogniser, config)
        return recogniser

    return add


def names() -> tuple[str, ...]:
    """Names of the recognisers that can be created, ours and those of other installed packages."""
    return tuple(sorted({*REGISTRY, *plugins.names(plugins.RECOGNISERS)}))


def registered(name: str) -> tuple[type[Recogniser], type[RecogniserConfig]]:
    """A recogniser by name, and its config; the package that brings it is imported now.

    Raises:
        UnknownChoice: no such recogniser.
        UsageError: two packages bring it, or its package cannot be imported or does not register it.
    """
    ours = [one for one, (recogniser, _) in REGISTRY.items() if recogniser.__module__.startswith("edgeskel.")]
    if plugins.load(plugins.RECOGNISERS, name, ours) is not None and name not in REGISTRY:
        raise UsageError(f"the package {plugins.names(plugins.RECOGNISERS)[name]} registers no recogniser {name!r}",
                         expected=f'@register("{name}", Config) in the module of its entry point')
    if name not in REGISTRY:
        raise UnknownChoice("recogniser", name, names())
    return REGISTRY[name]


def create(name: str, **settings: Any) -> Recogniser:
    """Make a recogniser with fresh weights.

    Args:
        name: one of :func:`names`.
        settings: fields of its config; ``topology`` and ``labels`` are required.

    Raises:
        UnknownChoice: no such recogniser, or no such field.
        ModelError: ``low_rank`` names a layer that the recogniser lacks, or a rank too high for it.
    """
    recogniser, config = registered(name)
    known = {item.name for item in fields(config)}
    for setting in settings:
        if setting not in known:
            raise UnknownChoice(f"setting of {name}", setting, known)
    model = recogniser(config(**settings))
    factorise(model, model.config.low_rank)
    return model


def shipped() -> tuple[str, ...]:
    """Names of the trained weights that come with the package."""
    return tuple(sorted(path.parent.name for path in WEIGHTS.glob("*/config.json")))


def folder_of(name_or_folder: str | Path) -> Path:
    """The checkpoint folder itself, or that of the shipped weights of this name.

    Raises:
        UnknownChoice: neither a checkpoint folder nor a shipped name.
    """
    folder = Path(name_or_folder)
    if (folder / "config.json").is_file():
        return folder
    if str(name_or_folder) not in shipped():
        raise UnknownChoice("model (no folder with a config.json, no shipped weights)", str(name_or_folder), shipped())
    return WEIGHTS / str(name_or_folder)


def from_pretrained(name_or_folder: str | Path) -> Recogniser:
    """Load a recogniser from a checkpoint folder or by a shipped name, in evaluation mode, float32.

    Raises:
        UnknownChoice: neither a folder nor a shipped name.
        CorruptFile: ``config.json`` or ``model.safetensors`` cannot be read, or the weights are not those that were
            saved, or not finite.
        ModelError: the weights do not fit the config, or the recogniser comes with a package that is not installed.
    """
    folder = folder_of(name_or_folder)
    config = _read_config(folder / "config.json")
    digest = config.pop(DIGEST, None)
    _check_known(folder / "config.json", config.get("recogniser"), config.pop(PACKAGE, None))
    try:
        model = create(config.pop("recogniser"), **config)
    except (KeyError, TypeError, UsageError) as error:  # UsageError: of a value that no one typed here
        raise CorruptFile(folder / "config.json", f"not a recogniser's configuration ({error})") from error
    path = folder / "model.safetensors"
    remedy = "copy the checkpoint again or train anew"
    try:
        content = path.read_bytes()
        state = load(content)
    except (OSError, SafetensorError) as error:
        raise CorruptFile(path, f"unreadable weights ({error})", expected="a complete safetensors file",
                          remedy=remedy) from error
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise CorruptFile(path, f"its SHA-256 is not the {DIGEST} in config.json", expected="the weights as they were saved",
                          remedy=remedy)
    expected = model.state_dict()
    for key in sorted(expected.keys() | state.keys()):
        if key not in state or key not in expected or state[key].shape != expected[key].shape:
            raise ModelError(f"{path}: {key} is {_shape(state, key)}", expected=f"{_shape(expected, key)} as config.json says",
                             remedy="weights and config.json must come from the same training")
        if not state[key].isfinite().all():
            raise CorruptFile(path, f"{key} holds values that are not finite", expected="finite weights", remedy=remedy)
    model.load_state_dict({key: value.to(expected[key].dtype) for key, value in state.items()})
    return model.eval()


def _check_known(path: Path, name: Any, package: Any) -> None:
    """Refuse a recogniser that another package brings, which is not installed: nothing is wrong with the file."""
    if not isinstance(name, str) or name in names():
        return
    if isinstance(package, str) and package:
        raise ModelError(f"{path}: the recogniser {name!r} comes with the package {package}, which is not installed here",
                         expected="one of " + ", ".join(names()), remedy=f"pip install {package.split()[0]}")
    raise ModelError(f"{path}: no recogniser {name!r} here", expected="one of " + ", ".join(names()),
                     remedy="install the package that brings it, or import the module that registers it first")


def _shape(state: Mapping[str, Tensor], key: str) -> str:
    return str(tuple(state[key].shape)) if key in state else "absent"


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        config["topology"] = Topology.from_dict(config["topology"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptFile(path, f"unreadable configuration ({error!r})", expected="the config.json of a checkpoint") from error
    return {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}


def with_settings(model: Recogniser, **settings: Any) -> RecogniserConfig:
    """The model's config with some fields changed."""
    return replace(model.config, **settings)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in model.parameters())


