"""Task after task for every method, each by the Trainer; measured after each, resumed after the last finished one.

Axes: T tasks, K classes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray

from edgeskel.continual.training.buffer import clip_bytes
from edgeskel.continual.training.clips import Clips
from edgeskel.continual.training.config import ContinualConfig
from edgeskel.continual.training.cost import StepCost
from edgeskel.continual.training.method import ContinualMethod, TaskSetup, recipe_for
from edgeskel.continual.training.methods import method_named
from edgeskel.continual.training.protocols import Sequence, sequence
from edgeskel.data import Store
from edgeskel.data.bodies import persons_of
from edgeskel.models import Recogniser, count_parameters, create
from edgeskel.training.data import WindowDataset
from edgeskel.training.methods import settings_of
from edgeskel.training.recipes import Recipe, parse_settings
from edgeskel.training.run import versions
from edgeskel.training.run_folder import RunFolder
from edgeskel.training.state import IDENTITY, load_state, save_state
from edgeskel.training.trainer import Running, fit

__all__ = ["MODEL", "ContinualResult", "figures", "learn", "make_method", "windows"]

MODEL: Mapping[str, Any] = {
    "source_frames": 64, "frames": 48, "widths": (16, 32, 64), "regions": (0, 10, 5), "blocks": (1, 1, 1), "groups": 4,
    "dropout": 0.0,
}
"""``edge``, as small as a protocol needs to run in about a minute on one core: 18 thousand parameters for 27 classes."""

_SHARE = 16  # one of so many training clips may be stored by default. At step 4 that is about a quarter of them.

Progress = Callable[[int, int, float], None]
"""Called with (tasks done, of how many, share of the present task done)."""


@dataclass(frozen=True)
class ContinualResult:
    """A finished sequence.

    Args:
        folder: holds the recogniser and run.json.
        run: what run.json holds.
        resumed_at: tasks that were on disk already.
    """

    folder: Path
    run: dict[str, Any]
    resumed_at: int


def learn(config: ContinualConfig, progress: Progress | None = None) -> ContinualResult:
    """Learn all tasks, or go on after the last finished one, or return what is finished.

    Raises:
        UnknownChoice, UsageError: the configuration; or something else lies in ``config.out``.
        DataError, CorruptFile: the store, the protocol or the state to resume from.
        ModelError: the training has diverged.
        KeyboardInterrupt: stopped; the same call goes on after the last finished task.
    """
    store = Store.open(config.data)
    kind = method_named(config.method)
    steps = sequence(store, config.protocol, order=config.order, base=config.split, fold=config.fold,
                     validation=config.validation, tasks=config.tasks)
    recipe = recipe_for(kind, parse_settings(config.settings))
    persons = min(2, persons_of(store))
    model = {**MODEL, "persons": persons}
    budget = config.bytes
    if budget is None:
        clips = sum(len(task.train) for task in steps.tasks)
        budget = -(-clips // _SHARE) * clip_bytes(persons, MODEL["source_frames"], len(store.topology.joints))
    folder = RunFolder(config.out, _identity(config, store, steps, recipe, model, budget), restart=config.restart)
    finished, state = folder.found()
    if finished is not None:
        return ContinualResult(config.out, finished, len(finished["accuracies"]))
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    recogniser = create("edge", topology=store.topology, labels=steps.labels, rate_hz=store.rate_hz, **model)
    run = _TaskSequence(make_method(kind, recogniser, recipe, store, budget), store, steps, config.seed)
    with folder.training():
        resumed_at = 0 if state is None else run.load(load_state(state))
        for number in range(resumed_at, run.rounds):
            run.task(number, progress)
            save_state({IDENTITY: folder.identity, **run.state()}, folder.state)
        run.method.finish()
        recogniser.cpu().eval().save_pretrained(config.out)
        result = {
            **folder.identity,
            "accuracies": run.accuracies,
            "figures": {**figures(run.accuracies), "bytes": run.bytes, "ms_per_step": statistics.median(run.times),
                        "peak_step_bytes": run.peak},
            "parameters": count_parameters(recogniser),
            "versions": versions("torch", "lightning", "numpy"),
            "threads": torch.get_num_threads(),
        }
        folder.finish(result)
    return ContinualResult(config.out, result, resumed_at)


def make_method(kind: type[ContinualMethod], recogniser: Recogniser, recipe: Recipe, store: Store, budget: int) -> ContinualMethod:
    """The method around a recogniser, which learns in place."""
    return kind(TaskSetup(recogniser.encoder, recogniser.classifier, recipe, settings_of(kind, recipe.method_settings), store,
                          np.arange(len(store)), budget=budget))


def windows(store: Store, indices: NDArray[np.int64], steps: Sequence, model: Recogniser) -> WindowDataset:
    """Clips as all methods see them: each stretched over the window."""
    return WindowDataset(store, indices, steps.targets, model.config.persons, model.config.source_frames, stretch=True)


def figures(accuracies: list[list[float]]) -> dict[str, float]:
    """``final_accuracy`` and ``forgetting`` in percent.

    Args:
        accuracies: after each task, the accuracy on every task so far; the last row is complete. A method that learns all
            at once has one row.
    """
    last = accuracies[-1]
    drops = [max(row[task] for row in accuracies[:-1] if task < len(row)) - last[task] for task in range(len(last) - 1)
             ] if len(accuracies) > 1 else []
    return {"final_accuracy": statistics.fmean(last), "forgetting": statistics.fmean(drops) if drops else 0.0}


def _identity(config: ContinualConfig, store: Store, steps: Sequence, recipe: Recipe, model: Mapping[str, Any],
              budget: int) -> dict[str, Any]:
    """What makes two runs the same; plain values, under the names that ``evaluate`` looks for in a run.json."""
    return {
        "recogniser": "edge",
        "dataset": store.dataset,
        "data_digest": store.digest,
        "protocol": steps.split.protocol,
        "fold": steps.split.fold,
        "held_out": steps.split.held_out,
        "split": steps.split.name,
        "clips": {"train": sum(len(task.train) for task in steps.tasks),
                  steps.part: sum(len(task.evaluation) for task in steps.tasks)},
        "seed": config.seed,
        "recipe": recipe.to_dict(),
        "continual": {"method": config.method, "protocol": steps.name, "order": config.order, "measured_on": steps.part,
                      "tasks": [[steps.labels[place] for place in task.classes] for task in steps.tasks],
                      "budget": budget, "model": dict(model)},
    }


class _Share(Callback):
    """Tells how much of a task is done."""

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell = tell

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """After an epoch."""
        self._tell((trainer.current_epoch + 1) / trainer.max_epochs)


class _TaskSequence:
    """The state of a sequence under way."""

    def __init__(self, method: ContinualMethod, store: Store, steps: Sequence, seed: int) -> None:
        self.method, self.store, self.steps, self.seed = method, store, steps, seed
        self.rounds = 1 if method.at_once else len(steps.tasks)
        self.accuracies: list[list[float]] = []
        self.times: list[float] = []  # ms of the steps of the last task
        self.peak = 0
        self.bytes = 0
        self._evaluation: list[Clips] = []

    def task(self, number: int, progress: Progress | None) -> None:
        """Learn one task and measure on all so far."""
        method = self.method
        tasks = self.steps.tasks if method.at_once else self.steps.tasks[number : number + 1]
        shown = windows(self.store, np.concatenate([task.train for task in tasks]), self.steps, method.recogniser)
        method.begin(range(tasks[0].classes.start, tasks[-1].classes.stop))
        cost = StepCost(profile=number == self.rounds - 1)  # where most is replayed
        callbacks: list[Callback] = [cost]
        if progress is not None:
            callbacks.append(_Share(lambda share: progress(number, self.rounds, share)))
        fit(method.recogniser.encoder, method, method.recipe, shown, seed=(self.seed, number), running=Running(callbacks=callbacks))
        self.times, self.peak = cost.times, cost.peak
        # Seeded by where it is drawn, so that a resumed run repeats what it would have.
        torch.manual_seed(int(np.random.SeedSequence((self.seed, number)).generate_state(1)[0]))
        clips = Clips.of(shown.all())
        method.end(clips)
        self.bytes = max(self.bytes, sum(value.nbytes for value in clips) if method.at_once else method.stored_bytes)
        self.accuracies.append([100 * float((method.predict(held) == held.targets).float().mean())
                                for held in self._held_out(len(tasks) + number)])

    def _held_out(self, count: int) -> list[Clips]:
        for task in self.steps.tasks[len(self._evaluation) : count]:
            self._evaluation.append(Clips.of(windows(self.store, task.evaluation, self.steps, self.method.recogniser).all()))
        return self._evaluation[:count]

    def state(self) -> dict[str, Any]:
        """All that going on needs."""
        return {"encoder": self.method.recogniser.encoder.state_dict(), "method": self.method.state_dict(), "bytes": self.bytes,
                "accuracies": self.accuracies, "times": self.times, "peak": self.peak}

    def load(self, state: Mapping[str, Any]) -> int:
        """Inverse of :meth:`state`; returns how many tasks are done."""
        self.method.recogniser.encoder.load_state_dict(state["encoder"])
        self.method.load_state_dict(state["method"])
        self.bytes, self.accuracies = state["bytes"], state["accuracies"]
        self.times, self.peak = state["times"], state["peak"]
        done = len(self.accuracies)
        self.method.seen = self.steps.tasks[-1 if self.method.at_once else done - 1].classes.stop
        return done
