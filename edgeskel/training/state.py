"""The state of an unfinished training on disk: whole or not at all, checked, never unpickled."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from edgeskel.errors import CorruptFile, UsageError
from edgeskel.files import atomic_write

__all__ = ["IDENTITY", "AtomicCheckpoints", "load_state", "save_state"]

IDENTITY = "edgeskel_run"
"""Field of the state: what identifies the run."""
VERSION = "edgeskel_state"
"""Field of the state: of its form, 2 today. Earlier versions wrote none, and named their weights otherwise."""


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write tensors and plain values under a temporary name, flush, rename.

    From memory, so that what the disk refuses is an ``OSError`` and not an error inside torch's own writer.
    """
    content = io.BytesIO()
    torch.save({**state, VERSION: 2}, content)
    with atomic_write(path) as file:
        file.write(content.getbuffer())


class AtomicCheckpoints(TorchCheckpointIO):
    """The trainer's checkpoints, by :func:`save_state` and :func:`load_state`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Whole or not at all."""
        save_state(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read tensors and plain values only."""
        return load_state(Path(path))


def load_state(path: Path) -> dict[str, Any]:
    """The state of an unfinished training.

    Raises:
        CorruptFile: it cannot be read, a checksum in it is wrong, or it holds anything but tensors and plain values.
        UsageError: another version of edgeskel left it.
    """
    remedy = f"pass --restart to train from the start, or delete {path}"
    try:
        with zipfile.ZipFile(path) as archive:  # torch writes checksums and does not read them
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CorruptFile(
            path,
            f"unreadable training state ({reason[:200]})",
            expected="the state of an interrupted training",
            remedy=remedy,
        ) from error
    if not isinstance(state, dict) or IDENTITY not in state:
        raise CorruptFile(path, "not a training state of edgeskel", remedy=remedy)
    if state.get(VERSION) != 2:
        raise UsageError(f"{path} was left by another version of edgeskel", expected="a training that this version began",
                         remedy=remedy)
    return state
