"""What ``train`` and ``edgeskel train`` are told. No torch, so that ``--help`` is quick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["TrainConfig"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What to train, on what, and where the result goes."""

    data: Path
    """Store to learn from, as `edgeskel data import` or `edgeskel data synth` writes it."""
    out: Path
    """Folder of the result; an unfinished training of the same configuration there is resumed."""
    recogniser: str = "edge"
    """Which recogniser: edge, edge-live, hyperformer."""
    method: str | None = None
    """What is minimised: supervised, distillation, class-augmentation, or one that another package brings; the recipe's by
    default, and distillation where there are teachers."""
    protocol: str | None = None
    """Named split, or whom to test on: subject:2,4,6 or view:3; the dataset's own by default. Only its training side is
    read."""
    fold: int | Literal["all"] = 0
    """Which fold of the protocol; all trains one recogniser for each, in OUT/fold-0, OUT/fold-1, ..."""
    validation: str = "0"
    """Part of the training side to hold out: a share of its subjects (0.2), subject:1,5 or view:2; 0 is none."""
    seed: int = 0
    """Decides weights, order and augmentation."""
    epochs: int | None = None
    """Passes over the data; the recipe's by default."""
    settings: tuple[str, ...] = ()
    """Changes of the recipe, its augmentation or the recogniser: NAME=VALUE ... (docs/training.md lists them)."""
    start: str | None = None
    """Checkpoint folder or shipped model whose weights to start from."""
    teachers: tuple[str, ...] = ()
    """Checkpoint folders or shipped models to learn from besides the labels."""
    patience: int = 0
    """Stop when so many epochs brought nothing better on the validation part, and keep the best epoch; 0 trains to the end."""
    precision: Literal["32", "bf16", "16"] = "32"
    """Arithmetic of the network: 32 bits, or mixed with bfloat16 or float16."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    tracker: Literal["tensorboard", "csv", "wandb", "mlflow", "none"] = "tensorboard"
    """Where the curves go; wandb and mlflow must be installed, and are set up by their own environment variables."""
    threads: int | None = None
    """Processor threads; all by default. The result depends on it in the last digits."""
    restart: bool = False
    """Start anew where another or an unfinished training lies."""

    def __post_init__(self) -> None:
        # From Python, paths may be texts, as everywhere else.
        object.__setattr__(self, "data", Path(self.data))
        object.__setattr__(self, "out", Path(self.out))
