"""Which classes come when: the class-incremental protocols by name.

A protocol cuts the classes of a data set into tasks of equal size. Which clips train and which test is the data set's
own split, so that the two questions stay apart. No torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskel.data import Split, Store, split
from edgeskel.errors import DataError, UnknownChoice, UsageError

__all__ = ["PROTOCOLS", "ContinualProtocol", "Sequence", "Task", "default_protocol", "sequence"]

Indices = NDArray[np.int64]

# The classes of a task by action number, as CHARON's authors draw them (Sperimental3/CHARON, datasets/seq_nturgbd60.py and
# seq_nturgbd120.py). NTU-120 begins with the six tasks of NTU-60.
NTU_60 = (
    28, 19, 16, 43, 55, 60, 7, 30, 35, 54, 22, 34, 25, 21, 46, 24, 23, 1, 41, 58, 47, 59, 11, 29, 26, 50, 53, 49, 33, 13,
    27, 44, 15, 51, 14, 38, 18, 6, 10, 2, 12, 4, 3, 31, 56, 36, 57, 52, 5, 8, 48, 9, 32, 42, 17, 45, 40, 20, 37, 39,
)
NTU_120 = (
    *NTU_60,
    80, 102, 92, 99, 82, 117, 67, 64, 110, 85, 106, 69, 112, 88, 61, 65, 91, 118, 84, 107,
    71, 103, 116, 90, 97, 119, 70, 120, 114, 87, 63, 78, 76, 100, 75, 73, 113, 104, 115, 86,
    74, 95, 62, 109, 93, 66, 111, 68, 89, 83, 98, 101, 94, 108, 81, 72, 79, 96, 77, 105,
)


@dataclass(frozen=True)
class ContinualProtocol:
    """How a data set becomes tasks.

    Args:
        dataset: whose stores it is for; "" for any.
        size: classes of a task.
        labels: store -> the class names in the protocol's own order.
        about: one line for the docs.
    """

    dataset: str
    size: int
    labels: Callable[[Store], tuple[str, ...]]
    about: str


@dataclass(frozen=True)
class Task:
    """One step: classes that are new in it, and their clips.

    Args:
        classes: where they stand in ``Sequence.labels``.
        train, evaluation: indices into the store; the latter are the test part's, or the validation part's where one is
            held out.
    """

    classes: range
    train: Indices
    evaluation: Indices


@dataclass(frozen=True)
class Sequence:
    """All tasks of a protocol in one order.

    Args:
        name: the protocol.
        labels: (K,) class names in the order in which they are learned, which is that of the logits.
        targets: (K',) place in ``labels`` of each label of the store, -1 for one that is not learned.
        tasks: the steps.
        split: what divides the clips.
        part: ``test`` or ``validation``: where accuracy is measured.
    """

    name: str
    labels: tuple[str, ...]
    targets: NDArray[np.int64]
    tasks: tuple[Task, ...]
    split: Split
    part: str


def sequence(store: Store, protocol: str | None = None, *, order: int = 0, base: str | None = None,
             fold: int = 0, validation: float | str = 0.0, tasks: int | None = None) -> Sequence:
    """Cut a store into tasks.

    Args:
        store: the recordings.
        protocol: one of :data:`PROTOCOLS`, ``split-by-N``, or None for the data set's own.
        order: 0 for the protocol's own order of the classes, else the seed of a random one.
        base: the split that divides training from test clips; None for the data set's own.
        fold: which of its folds.
        validation: what to hold out of the training side (see :func:`edgeskel.data.split`) and measure on; 0 measures on
            the test part, and otherwise the test part is not read.
        tasks: learn the first so many only; their classes are then all there are.

    Raises:
        UnknownChoice: no such protocol, or not for this data set.
        UsageError: a number that does not fit: fewer than two tasks, more tasks than there are, a negative order.
        DataError: the store lacks classes of the protocol, or a task has no clip to learn from or to measure on.
    """
    name = default_protocol(store) if protocol is None else protocol
    rule = _protocol(store, name)
    if order < 0:
        raise UsageError(f"order {order}", expected="0 for the protocol's own, or the seed of a random one")
    labels = rule.labels(store)
    if order:
        labels = tuple(labels[place] for place in np.random.default_rng(order).permutation(len(labels)))
    steps = [range(first, min(first + rule.size, len(labels))) for first in range(0, len(labels), rule.size)]
    if tasks is not None and not 1 <= tasks <= len(steps):
        raise UsageError(f"{tasks} tasks of {name}", expected=f"1 to {len(steps)}")
    steps = steps[:tasks]
    labels = labels[: steps[-1].stop]
    parts = split(store, base, fold=fold, validation=validation)
    part = "validation" if len(parts.validation) else "test"
    targets = np.array([labels.index(label) if label in labels else -1 for label in store.labels], np.int64)
    column = store.index["label"].astype(np.int64)
    classes = np.where(column >= 0, targets[column], -1)

    def clips(indices: Indices, wanted: range, what: str) -> Indices:
        chosen = indices[np.isin(classes[indices], wanted)]
        if not len(chosen):
            names = ", ".join(labels[place] for place in wanted)
            raise DataError(f"no clip of {names} in the {what} part of {store.dataset} ({parts.name})",
                            expected="clips of every task in both parts", remedy="pass another --split or --validation")
        return chosen

    found = tuple(Task(step, clips(parts.train, step, "training"), clips(getattr(parts, part), step, part))
                  for step in steps)
    return Sequence(name, labels, targets, found, parts, part)


def default_protocol(store: Store) -> str:
    """The data set's own; two classes a task where it has none."""
    official = [name for name, rule in PROTOCOLS.items() if rule.dataset == store.dataset]
    if store.dataset == "ntu" and len(store.labels) > len(NTU_60):
        return "split-ntu-120"
    return official[0] if official else "split-by-2"


def _protocol(store: Store, name: str) -> ContinualProtocol:
    if (by := re.fullmatch(r"split-by-(\d+)", name)) is not None:
        size = int(by[1])
        if not 1 <= size < len(store.labels):
            raise UsageError(f"{name} of the {len(store.labels)} classes of {store.dataset}",
                             expected=f"1 to {len(store.labels) - 1} classes a task")
        return ContinualProtocol("", size, _all, PROTOCOLS["split-by-2"].about)
    fitting = [known for known, rule in PROTOCOLS.items() if rule.dataset in ("", store.dataset)]
    if name not in fitting:
        raise UnknownChoice(f"class-incremental protocol of {store.dataset}", name, fitting)
    return PROTOCOLS[name]


def _all(store: Store) -> tuple[str, ...]:
    return store.labels


def _ntu(actions: tuple[int, ...]) -> Callable[[Store], tuple[str, ...]]:
    def labels(store: Store) -> tuple[str, ...]:
        names = tuple(f"A{action:03d}" for action in actions)
        missing = sorted(set(names) - set(store.labels))
        if missing:
            raise DataError(f"the store knows no {', '.join(missing[:3])}" + (", ..." if missing[3:] else ""),
                            expected=f"all {len(names)} classes", remedy="import the whole data set, or take split-ntu-60")
        return names

    return labels


PROTOCOLS = {
    "split-nw-ucla": ContinualProtocol("nw-ucla", 2, _all, "5 tasks of 2 classes"),
    "split-utd-mhad": ContinualProtocol("utd-mhad", 3, _all, "9 tasks of 3 classes"),
    "split-ntu-60": ContinualProtocol("ntu", 10, _ntu(NTU_60), "6 tasks of 10 classes, in the published order"),
    "split-ntu-120": ContinualProtocol("ntu", 10, _ntu(NTU_120), "12 tasks of 10 classes, in the published order"),
    "split-by-2": ContinualProtocol("", 2, _all, "2 classes a task of any store; split-by-N for N"),
}
