"""``edgeskel sweep``: search settings on the validation part."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from edgeskel.cli.report import Command, Report, console
from edgeskel.training.config import TrainConfig

if TYPE_CHECKING:
    from rich.console import Console

    from edgeskel.training.sweep import Tried

__all__ = ["COMMAND"]

SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Sweep(TrainConfig):
    """Search settings on the validation part.

    Run the same command again to go on after an interruption, or at the same time, on other machines too that see the folder, to
    search with several processes. The test part is never read.
    """

    search: tuple[str, ...] = ()
    """What to search: NAME=LOW..HIGH, NAME=LOW..HIGH:log or NAME=A|B|C ..., by the names of --settings."""
    trials: int = 20
    """How many trainings there are to be in the end, over all processes."""
    seeds: int = 1
    """Trainings of each trial; their mean counts."""
    metric: str = "top1"
    """Figure of the validation part to raise: top1, top5, macro_f1."""
    storage: str | None = None
    """Address of a database for what was tried, where machines have no common folder; by default a journal in OUT."""


def sweep(config: Sweep) -> Report:
    """Search, write what was found, say how to train with it."""
    from edgeskel.training import sweep as of_training

    space = of_training.parse_space(config.search)
    how = TrainConfig(**{item.name: getattr(config, item.name) for item in fields(TrainConfig)})
    tried = of_training.sweep(
        how, space, trials=config.trials, seeds=config.seeds, metric=config.metric, storage=config.storage,
        told=lambda one: console.print(_line(one, config.metric), highlight=False), progress=not console.quiet)
    of_training.write(config.out, tried, config.metric)
    best = tried[0]
    data = {
        "out": config.out, "metric": config.metric, "trials": len(tried), "best": best.value, "settings": dict(best.settings),
        "train": _command(config, best),
        "picture": config.out / of_training.PICTURE, "tried": [{**one.settings, config.metric: one.value} for one in tried],
    }
    return Report(data, text=lambda out: _draw(out, data, tried, config.metric))


def _command(config: Sweep, best: Tried) -> str:
    """The training of the whole side with the best settings; nothing is held out then."""
    words = ["edgeskel", "train", "--data", str(config.data), "--recogniser", config.recogniser]
    for name in ("method", "protocol", "fold", "epochs", "start", "precision"):
        value, usual = getattr(config, name), TrainConfig.__dataclass_fields__[name].default
        words += [f"--{name}", str(value)] if value != usual else []
    words += ["--teachers", *config.teachers] if config.teachers else []
    words += ["--settings", *config.settings, *(f"{name}={value}" for name, value in best.settings.items())]
    return f"{shlex.join(words)} --out DIR"


def _line(one: Tried, metric: str) -> str:
    value = "diverged" if one.value is None else f"{metric} {one.value:.2f}"
    return f"{value}  {'  '.join(f'{name}={text}' for name, text in one.settings.items())}"


def _draw(out: Console, data: dict[str, Any], tried: list[Tried], metric: str) -> None:
    for one in tried[:SHOWN]:
        out.print(_line(one, metric), highlight=False, soft_wrap=True)
    out.print(f"{len(tried)} trainings; the picture is {data['picture']}", highlight=False, soft_wrap=True)
    out.print(f"to train with the best: {data['train']}", highlight=False, soft_wrap=True)


COMMAND = Command(Sweep, sweep)
