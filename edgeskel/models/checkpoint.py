"""A checkpoint's two files, as bytes: ``config.json`` and ``model.safetensors``.

Weights stand under the encoder's own names, those of the classifier behind ``classifier.``; so an encoder on its own is the
same file without these. The configuration holds the digest of the weights, by which damage is known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from edgeskel import plugins
from edgeskel.errors import CorruptFile
from edgeskel.files import atomic_write
from edgeskel.skeleton import Topology

__all__ = ["CLASSIFIER", "CONFIG", "PACKAGE", "WEIGHTS", "read_config", "read_weights", "write"]

CONFIG, WEIGHTS = "config.json", "model.safetensors"
CLASSIFIER = "classifier."
"""Prefix of the classifier's weights."""
PACKAGE = "package"
"""Field of ``config.json``: the package that brings the recogniser, where it is not this one."""
DIGEST = "weights_sha256"
"""Field of ``config.json``: of the bytes of ``model.safetensors``. Absent in checkpoints of earlier versions."""


def write(folder: Path, name: str, encoder: type, config: Mapping[str, Any], state: Mapping[str, Tensor], *,
          half: bool = False) -> None:
    """Write both files into ``folder``, made if missing.

    Args:
        folder: the checkpoint's.
        name: of the recogniser.
        encoder: its class, which tells the package that brings it.
        config: plain data.
        state: weights by name.
        half: as float16 (half the bytes; loading gives float32 again).
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    if half:
        tensors = {key: value.half() if value.is_floating_point() else value for key, value in tensors.items()}
    weights = save(tensors, metadata={"format": "pt"})
    with atomic_write(folder / WEIGHTS) as file:
        file.write(weights)
    told = {"recogniser": name, **config, DIGEST: hashlib.sha256(weights).hexdigest()}
    package = plugins.package_of(encoder.__module__)
    if package and not encoder.__module__.startswith("edgeskel."):
        told[PACKAGE] = package
    with atomic_write(folder / CONFIG) as file:
        file.write((json.dumps(told, indent=1) + "\n").encode())


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json``, its topology read and lists as tuples.

    Raises:
        CorruptFile: it cannot be read.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        config["topology"] = Topology.from_dict(config["topology"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptFile(path, f"unreadable configuration ({error!r})", expected="the config.json of a checkpoint") from error
    return {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}


def read_weights(folder: Path, config: dict[str, Any]) -> dict[str, Tensor]:
    """``model.safetensors``, checked against the digest in ``config``, which is taken out of it.

    Raises:
        CorruptFile: unreadable, or other weights than were saved.
    """
    path, digest = folder / WEIGHTS, config.pop(DIGEST, None)
    remedy = "copy the checkpoint again or train anew"
    try:
        content = path.read_bytes()
        state = load(content)
    except (OSError, SafetensorError) as error:
        raise CorruptFile(path, f"unreadable weights ({error})", expected="a complete safetensors file", remedy=remedy) from error
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise CorruptFile(path, f"its SHA-256 is not the {DIGEST} in config.json", expected="the weights as they were saved",
                          remedy=remedy)
    for key, value in state.items():
        if not value.isfinite().all():
            raise CorruptFile(path, f"{key} holds values that are not finite", expected="finite weights", remedy=remedy)
    return state
