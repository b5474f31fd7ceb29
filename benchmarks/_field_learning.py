"""New actions learned on the device, on every set at hand: what of them is recognised, and what the old ones lose.

A base learns the training part of a set without some of its actions (:mod:`benchmarks._bases`). Each of those gets five
demonstrations from people of the training part, drawn ten times; everything is then asked about people or cameras of the test part.

- ``device_learning_new``: percent of whole clips of the new actions that are recognised among all actions.
- ``device_learning_live``: the same of the actions in streams with standing still between them, through ``Session.step`` with the
  learner: what the session says when an action ends. Streams are cut as the model's ``segmenter.json`` says. An action of which
  no half is found is wrong.
- ``device_learning_old_drop``: points that the old actions lose by whole clip; ``device_learning_live_old_drop`` in streams.

Means over the sets. With ``quick`` the one base that ships, of UTD-MHAD, and one test subject's stream; else all five sets, whose
bases are trained first and kept in ``benchmarks/cache``.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks._bases import SETS, base, parts, store_of
from benchmarks._bench import CACHE
from tests.streams import found, streams

if TYPE_CHECKING:
    from edgeskel.continual.device import ClassStatistics, Learner
    from edgeskel.data import Store
    from edgeskel.models import Recogniser
    from edgeskel.runtime.engines import Engine, State
    from edgeskel.runtime.motion import SegmenterConfig
    from edgeskel.skeleton import Float32, Topology

__all__ = ["measure"]

SHIPPED = "edge-utd-mhad-22"
DRAWS, SHOTS = 10, 5
CLASS_SETS = (0, 1)
QUICK_SUBJECT = "2"


def measure(quick: bool) -> dict[str, float]:
    """The figures of the module's docstring, and with ``quick`` off those of each set."""
    rows: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, store, draw, folder in _bases(quick, Path(scratch)):
            rows.setdefault(name, []).append(_of_base(name, store, draw, folder, quick))
    sets = {name: {figure: statistics.fmean(one[figure] for one in found) for figure in found[0]} for name, found in rows.items()}
    figures = {f"device_learning_{figure}": statistics.fmean(one[figure] for one in sets.values())
               for figure in next(iter(sets.values()))}
    if not quick:
        figures |= {f"device_learning_{figure}_{name.replace('-', '_')}": value
                    for name, found in sets.items() for figure, value in found.items()}
    return figures


def _bases(quick: bool, scratch: Path) -> Iterator[tuple[str, Store, int, Path]]:
    """(set, its store, which actions are left out, checkpoint folder)."""
    from edgeskel.models import folder_of

    if quick:
        yield "utd-mhad", store_of("utd-mhad", scratch), 0, folder_of(SHIPPED)
        return
    for name in SETS:
        for draw in CLASS_SETS:
            yield name, store_of(name), draw, base(name, draw, folder=CACHE)


@dataclass(frozen=True)
class Seen:
    """Performances as a base sees them.

    Args:
        names: (N,) what was performed.
        seen: (N, D + C), what a learner is shown.
        probabilities: (N, K) of the base.
        noticed: (N,) whether the session found them at all.
    """

    names: NDArray[np.str_]
    seen: Float32
    probabilities: Float32
    noticed: NDArray[np.bool_]

    @classmethod
    def of(cls, recogniser: Recogniser, known: ClassStatistics, names: Sequence[str], shown: Sequence[Float32 | None]) -> Seen:
        """With what the base itself makes of them; None is one that was not noticed."""
        import torch

        width = next(len(one) for one in shown if one is not None)
        seen = np.stack([np.zeros(width, np.float32) if one is None else one for one in shown])
        with torch.inference_mode():
            probabilities = recogniser.classifier(torch.from_numpy(seen[:, : known.width])).softmax(-1).numpy()
        return cls(np.array(names), seen, probabilities, np.array([one is not None for one in shown]))

    def right(self, learner: Learner) -> tuple[float, float]:
        """Percent of the new actions that are recognised, and points that the old ones lose."""
        from edgeskel.continual.device import joined

        old = np.array(learner.knowledge.labels)
        given = np.array(learner.labels)[joined(self.probabilities, learner.predict(self.seen)).argmax(-1)]
        known = np.isin(self.names, old)
        before = self.noticed & (old[self.probabilities.argmax(-1)] == self.names)
        after = self.noticed & (given == self.names)
        return 100 * float(after[~known].mean()), 100 * float(before[known].mean() - after[known].mean())


def _of_base(name: str, store: Store, draw: int, folder: Path, quick: bool) -> dict[str, float]:
    from edgeskel.continual.device import ClassStatistics, create, learner
    from edgeskel.embedding import statistics
    from edgeskel.embedding.measure import seen
    from edgeskel.models import from_pretrained
    from edgeskel.runtime.segmentation import read_segmenter

    recogniser, known = from_pretrained(folder), ClassStatistics.load(folder / statistics.FILE)
    split = parts(name, store, draw)
    names = np.array([store.labels[int(label)] for label in store.index["label"]])
    several = store.index["frames"] > 1  # a clip of one frame is no performance
    train = split.train[~np.isin(names[split.train], known.labels) & several[split.train]]
    test = split.test[several[split.test]]
    shown = seen(recogniser, known, [store[int(clip)] for clip in train])
    whole = Seen.of(recogniser, known, names[test].tolist(), list(seen(recogniser, known, [store[int(clip)] for clip in test])))
    live = _live(recogniser, known, read_segmenter(folder), store, test, quick)
    drawn = []
    for number in range(DRAWS):
        rng, taught = np.random.default_rng(number), create(learner.DEFAULT, known)
        for label in sorted(set(names[train])):
            for clip in rng.choice(np.flatnonzero(names[train] == label), SHOTS, replace=False):
                taught.learn(shown[clip], label)
        drawn.append((*whole.right(taught), *live.right(taught)))
    new, drop, live_new, live_drop = np.mean(drawn, 0).tolist()
    return {"new": new, "live": live_new, "old_drop": drop, "live_old_drop": live_drop}


class _Seeing:
    """An engine that gives what a learner is shown in place of the embedding."""

    def __init__(self, engine: Engine, known: ClassStatistics, topology: Topology) -> None:
        self.name: str = engine.name
        self._engine, self._known, self._topology = engine, known, topology

    @staticmethod
    def available() -> str | None:
        return None

    def __call__(self, joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
        from edgeskel.embedding.trajectory import trajectory

        probabilities, embedding = self._engine(joints, confidence)
        return probabilities, self._known.seen(embedding, trajectory(joints[0], confidence[0], self._topology))

    def step(self, joints: Float32, confidence: Float32, state: State) -> tuple[Float32, Float32, State]:
        return self._engine.step(joints, confidence, state)


def _live(recogniser: Recogniser, known: ClassStatistics, segmenter: SegmenterConfig, store: Store, test: NDArray[np.int64],
          quick: bool) -> Seen:
    """What a session sees of each action of the streams when it has ended."""
    from edgeskel.runtime import Event, EventConfig, Session, session_of

    chosen = test[store.texts("subject")[test] == QUICK_SUBJECT] if quick else test
    made = session_of(recogniser, threads=1, mode="sliding-window", config=EventConfig(threshold=0.0, segmenter=segmenter))
    # What is said while an action goes on is not counted here, so nothing is recognised before its end.
    session = Session(_Seeing(made.engine, known, made.topology), made.topology, made.labels,
                      replace(made.window, hop=1_000_000), config=made.config)
    names: list[str] = []
    shown: list[Float32 | None] = []
    for stream in streams(store, chosen.tolist(), (), seed=0):
        session.reset()
        ended: list[tuple[Event, Float32 | None]] = []
        for frame in [*stream.frames, None]:
            before = dict(session.persons)  # who is lost in this very step is not among them afterwards
            events = session.finish() if frame is None else session.step(frame)
            ended += [(event, (before | session.persons)[event.person].embedding) for event in events if event.kind == "ended"]
        names += [label for _, _, label in stream.spans]
        shown += [next((embedding for event, embedding in ended if event is one), None)
                 for one in found(stream, [event for event, _ in ended])]
    return Seen.of(recogniser, known, names, shown)
