"""Search settings on the validation part: many trainings, proposed by Optuna, by as many processes and machines as share a folder.

    OUT/study.log          what was tried, by whichever process; Optuna's journal
    OUT/trial-NUMBER/      one training each; one that was stopped goes on where it was
    OUT/processes/         a file for each process that searches, locked while it lives
    OUT/sweep.json, OUT/sweep.png

Needs the extra ``sweep``. The test part of the protocol is never read.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeskel.errors import ModelError, UsageError
from edgeskel.extras import require
from edgeskel.files import atomic_write
from edgeskel.training.config import TrainConfig
from edgeskel.training.recipes import parse_settings
from edgeskel.training.run import train
from edgeskel.training.run_folder import take_lock

if TYPE_CHECKING:
    import optuna

__all__ = ["SearchRange", "Tried", "parse_space", "picture", "sweep", "write"]

FILE, PICTURE, JOURNAL = "sweep.json", "sweep.png", "study.log"
_SETTINGS, _FOLDER, _PROCESS = "settings", "folder", "process"
"""Attributes of a trial: what is trained, where, and by which process."""


@dataclass(frozen=True)
class SearchRange:
    """What a setting may be.

    Args:
        low, high: ends, both included; whole numbers give whole numbers.
        log: drawn by order of magnitude.
        choices: instead of ends, the values as they are written.
    """

    low: float = 0
    high: float = 0
    log: bool = False
    choices: tuple[str, ...] = ()

    def value(self, drawn: Any) -> Any:
        """What a draw stands for."""
        return parse_settings((f"value={drawn}",))["value"] if self.choices else drawn

    def distribution(self) -> optuna.distributions.BaseDistribution:
        """As Optuna has it."""
        of = require("optuna.distributions", "edgeskel sweep", "sweep")
        if self.choices:
            found = of.CategoricalDistribution(self.choices)
        elif isinstance(self.low, int) and isinstance(self.high, int):
            found = of.IntDistribution(self.low, self.high, log=self.log)
        else:
            found = of.FloatDistribution(float(self.low), float(self.high), log=self.log)
        distribution: optuna.distributions.BaseDistribution = found
        return distribution


@dataclass(frozen=True)
class Tried:
    """One training.

    Args:
        settings: value by name, as written.
        value: figure of the validation part, mean over the seeds; None where it diverged.
        folder: of its trainings, one for each seed.
    """

    settings: Mapping[str, str]
    value: float | None
    folder: Path


def parse_space(search: Iterable[str]) -> dict[str, SearchRange]:
    """``["learning_rate=0.001..0.01:log", "blocks=1..3", "align=torso|none"]`` as ranges by name.

    Raises:
        UsageError: one that cannot be read, or that stands twice.
    """
    space: dict[str, SearchRange] = {}
    for told in search:
        name, equals, text = told.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name or name in space:
            raise UsageError(f"search {told!r}", expected="NAME=LOW..HIGH, NAME=LOW..HIGH:log or NAME=A|B|C, each name once")
        space[name] = _range(text.strip(), told)
    if not space:
        raise UsageError("nothing to search", expected="--search NAME=LOW..HIGH ...")
    return space


def _range(text: str, told: str) -> SearchRange:
    if "|" in text:
        return SearchRange(choices=tuple(dict.fromkeys(choice.strip() for choice in text.split("|"))))
    ends, _, log = text.partition(":")
    low, dots, high = ends.partition("..")
    if not dots or log not in ("", "log"):
        raise UsageError(f"search {told!r}", expected="NAME=LOW..HIGH, NAME=LOW..HIGH:log or NAME=A|B|C")
    values = parse_settings((f"low={low}", f"high={high}"))
    for value in values.values():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise UsageError(f"search {told!r}: {value!r} is no number", expected="LOW..HIGH, such as 0.001..0.01")
    found = SearchRange(values["low"], values["high"], log == "log")
    if found.low >= found.high or (found.log and found.low <= 0):
        raise UsageError(f"search {told!r}", expected="LOW below HIGH" + (", both above 0" if found.log else ""))
    return found


def sweep(config: TrainConfig, space: Mapping[str, SearchRange], *, trials: int, seeds: int = 1, metric: str = "top1",
          storage: str | None = None, told: Callable[[Tried], None] = lambda tried: None, progress: bool = False) -> list[Tried]:
    """Train until there are ``trials``, whoever trained them.

    Args:
        config: of every training; ``out`` is the sweep's folder, and ``validation`` the part that is measured.
        space: what is searched, by the names of ``config.settings``.
        trials: how many there are to be in the end, over all processes.
        seeds: trainings of a trial, from ``config.seed`` on; their mean counts.
        metric: figure of the validation part to raise (``top1``, ``macro_f1``, ...).
        storage: address of a database, for machines without a common folder (each one's trainings go to its own ``out``); by
            default a journal in ``out``.
        told: called with each trial that is done.
        progress: show a bar for each training.

    Returns:
        all trials, the best first.

    Raises:
        UsageError: no validation part, no such figure, nothing to train, or another sweep lies there; otherwise as
            :func:`edgeskel.training.train`.
        MissingExtra: Optuna is not installed.
        KeyboardInterrupt: stopped; the same call goes on with the training that was under way.
    """
    if config.validation in ("0", ""):
        raise UsageError("a sweep without a validation part", expected="something to choose on", remedy="pass --validation 0.25")
    for name, count in (("trials", trials), ("seeds", seeds)):
        if count < 1:
            raise UsageError(f"{name} is {count}", expected="at least 1")
    if config.fold == "all":
        raise UsageError("a sweep over all folds", expected="the number of one")
    if config.restart:
        raise UsageError("--restart with a sweep", expected="the same command, which goes on",
                         remedy="choose another --out to begin anew")
    optuna = require("optuna", "edgeskel sweep", "sweep")
    both = sorted(set(space) & set(parse_settings(config.settings)))
    if both:
        raise UsageError(f"{both[0]} is set and searched", expected="one of the two")
    config.out.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(storage=_storage(optuna, config.out, storage), study_name="edgeskel", direction="maximize",
                                load_if_exists=True, sampler=optuna.samplers.TPESampler(multivariate=True))
    _check_same(study, config, space, seeds, metric)
    distributions = {name: allowed.distribution() for name, allowed in space.items()}
    with _process(config.out) as process:
        _take_up(optuna, study, config.out)
        while len(_done(optuna, study)) < trials:
            trial = study.ask(distributions)
            trial.set_user_attr(_PROCESS, process)
            settings = {name: str(value) for name, value in trial.params.items()}
            trial.set_user_attr(_SETTINGS, settings)
            folder = trial.user_attrs.get(_FOLDER, f"trial-{trial.number:04d}")  # a trial that is taken up has its own
            trial.set_user_attr(_FOLDER, folder)
            try:
                drawn = {name: space[name].value(value) for name, value in trial.params.items()}
                value: float | None = _train(config, config.out / folder, drawn, seeds, metric, progress)
                study.tell(trial, value)
            except ModelError:  # diverged, which says something about the settings
                value = None
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            told(Tried(settings, value, config.out / folder))
        return _all(optuna, study, config.out)


def write(out: Path, tried: Sequence[Tried], metric: str) -> None:
    """``sweep.json`` and ``sweep.png``."""
    rows = [{"settings": dict(one.settings), metric: one.value, "folder": one.folder.name} for one in tried]
    with atomic_write(out / FILE) as file:
        file.write((json.dumps({"metric": metric, "trials": rows}, indent=1) + "\n").encode())
    with atomic_write(out / PICTURE) as file:
        file.write(picture(tried, metric))


def picture(tried: Sequence[Tried], metric: str) -> bytes:
    """PNG: the figure over each setting. Raises ``MissingExtra``."""
    import io

    figure_of = require("matplotlib.figure", "the picture of a sweep", "sweep").Figure
    measured = [one for one in tried if one.value is not None]
    names = list(measured[0].settings) if measured else []
    figure = figure_of(figsize=(3.2 * max(1, len(names)), 3.0), layout="constrained")
    for place, name in enumerate(names):
        axes = figure.add_subplot(1, len(names), place + 1)
        texts = [one.settings[name] for one in measured]
        try:
            where: list[Any] = [float(text) for text in texts]
            if min(where) > 0 and max(where) > 20 * min(where):
                axes.set_xscale("log")
        except ValueError:
            where = texts
        axes.scatter(where, [one.value for one in measured], s=14)
        axes.scatter(where[:1], [measured[0].value], s=60, facecolors="none", edgecolors="black")
        axes.set_xlabel(name)
        if not place:
            axes.set_ylabel(f"validation {metric}")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()


def _storage(optuna: Any, out: Path, address: str | None) -> Any:
    if address is not None:
        return address
    journal = require("optuna.storages.journal", "edgeskel sweep", "sweep")
    return optuna.storages.JournalStorage(journal.JournalFileBackend(str(out / JOURNAL)))


def _check_same(study: Any, config: TrainConfig, space: Mapping[str, SearchRange], seeds: int, metric: str) -> None:
    """Refuse another sweep's study; the first process writes what this one is."""
    told = json.dumps({
        "recogniser": config.recogniser, "method": config.method, "data": str(config.data), "protocol": config.protocol,
        "fold": config.fold, "validation": config.validation, "seed": config.seed, "seeds": seeds, "epochs": config.epochs,
        "settings": list(config.settings), "metric": metric, "search": {name: str(allowed) for name, allowed in space.items()}})
    found = study.user_attrs.get("sweep")
    if found is None:
        study.set_user_attr("sweep", told)
    elif found != told:
        before, now = json.loads(found), json.loads(told)
        other = next(name for name in now if before.get(name) != now[name])
        raise UsageError(f"{config.out} holds another sweep: {other} was {before.get(other)!r} and is now {now[other]!r}",
                         expected="the same search", remedy="choose another --out")


@contextmanager
def _process(out: Path) -> Iterator[str]:
    """A name of this process, whose file is locked as long as it lives, however it ends."""
    name = uuid.uuid4().hex
    place = out / "processes" / name
    place.parent.mkdir(exist_ok=True)
    with place.open("w") as file:
        take_lock(file)
        yield name
    place.unlink()  # it left nothing under way


def _take_up(optuna: Any, study: Any, out: Path) -> None:
    """Ask again for what a process left that searched in this folder and is no more."""
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        place = out / "processes" / trial.user_attrs.get(_PROCESS, "")
        if not place.is_file():  # of another folder, or just asked for
            continue
        with place.open("r+") as file:
            if not take_lock(file):
                continue
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            if trial.params and _FOLDER in trial.user_attrs:
                study.enqueue_trial(trial.params, user_attrs={_FOLDER: trial.user_attrs[_FOLDER]})
        place.unlink(missing_ok=True)


def _done(optuna: Any, study: Any) -> list[Any]:
    states = optuna.trial.TrialState
    found: list[Any] = study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED))
    return found


def _all(optuna: Any, study: Any, out: Path) -> list[Tried]:
    tried = [Tried(trial.user_attrs[_SETTINGS], trial.value, out / trial.user_attrs[_FOLDER]) for trial in _done(optuna, study)]
    return sorted(tried, key=lambda one: -math.inf if one.value is None else one.value, reverse=True)


def _train(config: TrainConfig, folder: Path, drawn: Mapping[str, Any], seeds: int, metric: str, progress: bool) -> float:
    """Mean figure over the seeds."""
    found = []
    for seed in range(config.seed, config.seed + seeds):
        run = train(replace(config, out=folder / f"seed-{seed}", seed=seed), settings=drawn, progress=progress).run
        if metric not in (run["validation"] or {}):
            raise UsageError(f"the figure {metric!r}", expected=" or ".join(run["validation"] or ("one of a validation part",)))
        found.append(float(run["validation"][metric]))
    return sum(found) / len(found)
