"""Where the curves go, by name: a logger of Lightning's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from edgeskel.errors import MissingExtra, UnknownChoice

__all__ = ["TRACKERS", "tracker_named"]

TRACKERS = ("tensorboard", "csv", "wandb", "mlflow", "none")

_PACKAGES = {"wandb": "wandb", "mlflow": "mlflow"}


def tracker_named(name: str, folder: Path, resumed_at: int = 0, identity: Mapping[str, Any] | None = None) -> Logger | bool:
    """A logger; False for ``none``.

    Args:
        name: ``tensorboard`` and ``csv`` write into ``folder``; ``wandb`` and ``mlflow`` go where their own environment
            variables say (``WANDB_PROJECT``, ``WANDB_MODE``, ``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``, ...).
        folder: of the run.
        resumed_at: epochs that were done before; a table of the curves goes on in a file of its own.
        identity: of the run, told beside the curves.

    Raises:
        UnknownChoice: no such tracker.
        MissingExtra: its package is not installed.
    """
    if name not in TRACKERS:
        raise UnknownChoice("tracker", name, TRACKERS)
    package = _PACKAGES.get(name)
    if package is not None and find_spec(package) is None:
        raise MissingExtra(package, "", f"the tracker {name}", enough=package)
    run = folder.parent.name
    logger: Logger
    if name == "none":
        return False
    if name == "tensorboard":
        return TensorBoardLogger(folder, name="", version="tensorboard")
    if name == "csv":
        return CSVLogger(folder, name="", version=f"csv-from-epoch-{resumed_at + 1}" if resumed_at else "csv")
    if name == "wandb":
        logger = WandbLogger(name=run, save_dir=folder, project=os.environ.get("WANDB_PROJECT", "edgeskel"))
    else:
        logger = MLFlowLogger(os.environ.get("MLFLOW_EXPERIMENT_NAME", "edgeskel"), run_name=run,
                              tracking_uri=os.environ.get("MLFLOW_TRACKING_URI"), save_dir=str(folder / "mlflow"))
    logger.log_hyperparams(dict(identity or {}))
    return logger
