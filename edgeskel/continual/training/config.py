"""What a class-incremental training is asked to do. No torch: the command line shows its help from here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["METHODS", "ContinualConfig"]

#: Names of the methods, in the order in which tables list them. ``methods.create`` makes them.
METHODS = ("finetune", "joint", "lwf", "ewc", "er", "er-ace", "icarl", "der++", "charon")


@dataclass(frozen=True)
class ContinualConfig:
    """One method on one protocol, from the first task to the last."""

    data: Path
    """Store to learn from and to measure on."""
    out: Path
    """Folder to write: the recogniser after the last task, and run.json with the figures."""
    method: str = "charon"
    """finetune, joint, lwf, ewc, er, er-ace, icarl, der++ or charon."""
    protocol: str | None = None
    """split-nw-ucla, split-utd-mhad, split-ntu-60, split-ntu-120, or split-by-N for N classes a task of any store; the
    data set's own by default."""
    split: str | None = None
    """What divides training from test clips (``edgeskel data split``), or whom to test on: subject:2,4,6 or view:3; the data
    set's own by default."""
    fold: int = 0
    """Which fold of the split."""
    order: int = 0
    """Order of the classes: 0 is the protocol's own, any other number the seed of a random one."""
    tasks: int | None = None
    """Learn the first so many tasks only."""
    validation: str = "0"
    """Part of the training side to hold out and to measure on; 0 measures on the test part."""
    bytes: int | None = None
    """What may be stored between tasks; by default the bytes of one in 16 training clips."""
    seed: int = 0
    """Of the weights, the batches and every other draw."""
    settings: tuple[str, ...] = ()
    """Settings of the method, NAME=VALUE each (``epochs=10``, ``alpha=0.3``)."""
    threads: int | None = None
    """Processor threads; all by default."""
    restart: bool = False
    """Forget what lies in ``out`` and begin anew."""

    def __post_init__(self) -> None:
        # From Python, paths may be texts, as everywhere else.
        object.__setattr__(self, "data", Path(self.data))
        object.__setattr__(self, "out", Path(self.out))
