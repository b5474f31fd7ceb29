"""One loop for every method: task after task, measured after each, resumed after the last finished one.

Axes: T tasks, K classes.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

import edgeskel
from edgeskel.continual.training import folder
from edgeskel.continual.training.buffer import clip_bytes
from edgeskel.continual.training.clips import Clips, concatenate, read
from edgeskel.continual.training.config import ContinualConfig
from edgeskel.continual.training.cost import peak_bytes
from edgeskel.continual.training.method import Method
from edgeskel.continual.training.methods import method_named, settings_of
from edgeskel.continual.training.protocols import Sequence, sequence
from edgeskel.data import Store
from edgeskel.data.bodies import persons_of
from edgeskel.errors import ModelError
from edgeskel.files import atomic_write
from edgeskel.models import count_parameters, create
from edgeskel.models.edge import Edge
from edgeskel.training.recipes import parse_settings
from edgeskel.training.trainer import keep_memory

__all__ = ["MODEL", "Outcome", "figures", "learn", "make_method"]

MODEL: Mapping[str, Any] = {
    "source_frames": 64, "frames": 48, "widths": (16, 32, 64), "regions": (0, 10, 5), "blocks": (1, 1, 1), "groups": 4,
    "dropout": 0.0,
}
"""``edge``, as small as a protocol needs to run in about a minute on one core: 18 thousand parameters for 27 classes."""

_SHARE = 16  # one of so many training clips may be stored by default. At step 4 that is about a quarter of them.

Progress = Callable[[int, int, float], None]
"""Called with (tasks done, of how many, share of the present task done)."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A finished sequence.

    Args:
        folder: holds the recogniser and run.json.
        run: what run.json holds.
        resumed_at: tasks that were on disk already.
    """

    folder: Path
    run: dict[str, Any]
    resumed_at: int


def learn(config: ContinualConfig, progress: Progress | None = None) -> Outcome:
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
    if config.threads:
        torch.set_num_threads(config.threads)
    keep_memory()
    persons = min(2, persons_of(store))
    model = {**MODEL, "persons": persons}
    torch.manual_seed(config.seed)
    recogniser = create("edge", topology=store.topology, labels=steps.labels, rate_hz=store.rate_hz, **model)
    assert isinstance(recogniser, Edge)
    settings = settings_of(kind, parse_settings(config.settings))
    budget = config.bytes
    if budget is None:
        clips = sum(len(task.train) for task in steps.tasks)
        budget = -(-clips // _SHARE) * clip_bytes(persons, MODEL["source_frames"], len(store.topology.joints))
    identity = folder.identity(config, store, steps, dataclasses.asdict(settings), model, budget)
    finished, state = folder.found(config, identity)
    if finished is not None:
        return Outcome(config.out, finished, len(finished["accuracies"]))
    run = _Run(make_method(kind, recogniser, settings, budget), store, steps, config.seed)
    resumed_at = 0 if state is None else run.load(state)
    for number in range(resumed_at, run.rounds):
        run.task(number, progress)
        folder.save(config.out, {"edgeskel_run": identity, **run.state()})
    method = run.method
    result = {
        **identity,
        "accuracies": run.accuracies,
        "figures": {**figures(run.accuracies), "bytes": run.bytes, "ms_per_step": statistics.median(run.times),
                    "peak_step_bytes": run.peak},
        "parameters": count_parameters(recogniser),
        "versions": {"edgeskel": edgeskel.__version__, "python": platform.python_version(),
                     **{name: metadata.version(name) for name in ("torch", "numpy")}},
        "threads": torch.get_num_threads(),
    }
    method.finish()
    recogniser.cpu().eval().save_pretrained(config.out)
    with atomic_write(config.out / "run.json") as file:  # last: it says that all the rest is there
        file.write((json.dumps(result, indent=1) + "\n").encode())
    (config.out / folder.STATE).unlink(missing_ok=True)
    return Outcome(config.out, result, resumed_at)


def make_method(kind: type[Method], recogniser: Edge, settings: Any, budget: int) -> Method:
    """The method on a GPU where there is one."""
    return kind(recogniser, settings, budget, "cuda" if torch.cuda.is_available() else "cpu")


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


class _Run:
    """The state of a sequence under way."""

    def __init__(self, method: Method, store: Store, steps: Sequence, seed: int) -> None:
        self.method, self.store, self.steps, self.seed = method, store, steps, seed
        self.rounds = 1 if method.at_once else len(steps.tasks)
        self.accuracies: list[list[float]] = []
        self.times: list[float] = []  # ms of the steps of the last task
        self.peak = 0
        self.bytes = 0
        self._evaluation: list[Clips] = []

    def task(self, number: int, progress: Progress | None) -> None:
        """Learn one task and measure on all so far."""
        tasks = self.steps.tasks if self.method.at_once else self.steps.tasks[number : number + 1]
        clips = concatenate([self._read(task.train) for task in tasks])
        self.method.begin(range(tasks[0].classes.start, tasks[-1].classes.stop))
        self._train(clips, number, progress)
        self._draw(number, -1)
        self.method.end(clips)
        self.bytes = max(self.bytes, sum(value.nbytes for value in clips) if self.method.at_once else self.method.stored_bytes)
        self.accuracies.append([100 * float((self.method.predict(held) == held.targets).float().mean())
                                for held in self._held_out(len(tasks) + number)])

    def _train(self, clips: Clips, number: int, progress: Progress | None) -> None:
        how, method = self.method.settings, self.method
        learned = method.modules()
        learned.train()
        weights = list(learned.parameters())
        each = -(-len(clips) // how.batch_size)
        steps = how.epochs * each
        optimizer = torch.optim.AdamW(weights, how.learning_rate, weight_decay=how.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        self.times = []

        def step(batch: Clips) -> None:
            loss = method.loss(batch)
            if not loss.isfinite():
                raise ModelError(f"the training has diverged in task {number + 1}: the loss is {loss.item()}",
                                 expected="a finite loss", remedy="lower learning_rate")
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(weights, how.clip_norm)
            optimizer.step()

        for epoch in range(how.epochs):
            # The last batch is filled from the start of the order: none is too small to normalise by.
            order = np.resize(np.random.default_rng((self.seed, number, epoch)).permutation(len(clips)), each * how.batch_size)
            for index, rows in enumerate(torch.split(torch.from_numpy(order), how.batch_size)):
                self._draw(number, epoch * each + index)
                batch = clips.take(rows)
                start = time.perf_counter()
                # Once, where most is replayed; the profiler slows the step, so that its time does not count.
                profiled = number == self.rounds - 1 and epoch * each + index == min(1, steps - 1)
                if profiled:
                    self.peak = peak_bytes(partial(step, batch), method.device)
                else:
                    step(batch)
                if method.device == "cuda":
                    torch.cuda.synchronize()
                if not profiled or steps == 1:
                    self.times.append(1e3 * (time.perf_counter() - start))
                schedule.step()
            if progress is not None:
                progress(number, self.rounds, (epoch + 1) / how.epochs)

    def _draw(self, number: int, step: int) -> None:
        """Seed what is drawn by where it is drawn, so that a resumed run repeats what it would have."""
        draws = np.random.SeedSequence((self.seed, number, step + 1))
        torch.manual_seed(int(draws.generate_state(1)[0]))

    def _held_out(self, count: int) -> list[Clips]:
        for task in self.steps.tasks[len(self._evaluation) : count]:
            self._evaluation.append(self._read(task.evaluation))
        return self._evaluation[:count]

    def _read(self, indices: Any) -> Clips:
        persons, frames, _ = self.method.shape
        return read(self.store, indices, self.steps.targets, persons, frames)

    def state(self) -> dict[str, Any]:
        """All that going on needs."""
        return {"learned": self.method.modules().state_dict(), "method": self.method.state(), "bytes": self.bytes,
                "accuracies": self.accuracies, "times": self.times, "peak": self.peak}

    def load(self, state: Mapping[str, Any]) -> int:
        """Inverse of :meth:`state`; returns how many tasks are done."""
        self.method.modules().load_state_dict(state["learned"])
        self.method.load(state["method"])
        self.bytes, self.accuracies = state["bytes"], state["accuracies"]
        self.times, self.peak = state["times"], state["peak"]
        done = len(self.accuracies)
        self.method.seen = self.steps.tasks[-1 if self.method.at_once else done - 1].classes.stop
        return done
