"""Trained weights by a folder or a shipped name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from edgeskel.errors import CorruptFile, ModelError, UnknownChoice, UsageError
from edgeskel.models import checkpoint
from edgeskel.models.encoder import Encoder
from edgeskel.models.recogniser import Recogniser, recogniser_of
from edgeskel.models.registry import create_encoder, names

__all__ = ["encoder_from_pretrained", "folder_of", "from_pretrained", "shipped"]

SHIPPED = Path(__file__).parent / "weights"


def shipped() -> tuple[str, ...]:
    """Names of the trained weights that come with the package."""
    return tuple(sorted(path.parent.name for path in SHIPPED.glob(f"*/{checkpoint.CONFIG}")))


def folder_of(name_or_folder: str | Path) -> Path:
    """The checkpoint folder itself, or that of the shipped weights of this name.

    Raises:
        UnknownChoice: neither a checkpoint folder nor a shipped name.
    """
    folder = Path(name_or_folder)
    if (folder / checkpoint.CONFIG).is_file():
        return folder
    if str(name_or_folder) not in shipped():
        raise UnknownChoice("model (no folder with a config.json, no shipped weights)", str(name_or_folder), shipped())
    return SHIPPED / str(name_or_folder)


def from_pretrained(name_or_folder: str | Path) -> Recogniser:
    """Load a recogniser from a checkpoint folder or by a shipped name, in evaluation mode, float32.

    Raises:
        UnknownChoice: neither a folder nor a shipped name.
        CorruptFile: ``config.json`` or ``model.safetensors`` cannot be read, or the weights are not those that were
            saved, or not finite.
        ModelError: the weights do not fit the config, it is an encoder without a classifier, or the recogniser comes with a
            package that is not installed.
    """
    encoder, classifier, folder = _load(name_or_folder)
    if not encoder.config.labels:
        raise ModelError(f"{folder} holds an encoder without a classifier", expected="a recogniser",
                         remedy="train one from it: edgeskel train --start")
    recogniser = recogniser_of(encoder)
    _fill(recogniser.classifier, classifier, folder, checkpoint.CLASSIFIER)
    return recogniser.eval()


def encoder_from_pretrained(name_or_folder: str | Path) -> Encoder:
    """Load the encoder of a recogniser, or one that was saved without a classifier. Raises as :func:`from_pretrained`."""
    encoder, _, _ = _load(name_or_folder)
    return encoder.eval()


def _load(name_or_folder: str | Path) -> tuple[Encoder, dict[str, Tensor], Path]:
    """The encoder with its weights, the classifier's weights, and the folder."""
    folder = folder_of(name_or_folder)
    config = _current(checkpoint.read_config(folder))
    _check_known(folder / checkpoint.CONFIG, config)
    config.pop(checkpoint.PACKAGE, None)
    weights = checkpoint.read_weights(folder, config)
    try:
        encoder = create_encoder(config.pop("recogniser"), **config)
    except (KeyError, TypeError, UsageError) as error:  # UsageError: of a value that no one typed here
        raise CorruptFile(folder / checkpoint.CONFIG, f"not a recogniser's configuration ({error})") from error
    prefix = checkpoint.CLASSIFIER
    _fill(encoder, {key: value for key, value in weights.items() if not key.startswith(prefix)}, folder)
    return encoder, {key[len(prefix):]: value for key, value in weights.items() if key.startswith(prefix)}, folder


def _current(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration that an earlier version wrote, as this one would: being causal was a setting and is a kind of its own."""
    if "causal" in config:
        causal = config.pop("causal")
        if config.get("recogniser") == "edge" and causal:
            config["recogniser"] = "edge-live"
        elif not causal:
            config = {key: value for key, value in config.items() if key not in ("align_s", "pool_s")}
    return config


def _fill(module: nn.Module, state: Mapping[str, Tensor], folder: Path, prefix: str = "") -> None:
    """Give a module its weights. Raises ``ModelError`` where they are not its own."""
    expected = module.state_dict()
    for key in sorted(expected.keys() | state.keys()):
        if key not in state or key not in expected or state[key].shape != expected[key].shape:
            raise ModelError(f"{folder / checkpoint.WEIGHTS}: {prefix}{key} is {_shape(state, key)}",
                             expected=f"{_shape(expected, key)} as config.json says",
                             remedy="weights and config.json must come from the same training")
    module.load_state_dict({key: value.to(expected[key].dtype) for key, value in state.items()})


def _shape(state: Mapping[str, Tensor], key: str) -> str:
    return str(tuple(state[key].shape)) if key in state else "absent"


def _check_known(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse a recogniser that another package brings, which is not installed: nothing is wrong with the file."""
    members = config.get("members")
    for member in members if isinstance(members, (list, tuple)) else ():  # of a fused one
        if isinstance(member, Mapping):
            _check_known(path, member)
    name, package = config.get("recogniser"), config.get(checkpoint.PACKAGE)
    if not isinstance(name, str) or name in names():
        return
    if isinstance(package, str) and package:
        raise ModelError(f"{path}: the recogniser {name!r} comes with the package {package}, which is not installed here",
                         expected="one of " + ", ".join(names()), remedy=f"pip install {package.split()[0]}")
    raise ModelError(f"{path}: no recogniser {name!r} here", expected="one of " + ", ".join(names()),
                     remedy="install the package that brings it, or import the module that registers it first")
