"""Live streams made from real recordings: their time stamps, how much the people in them move, and what the shipped recognisers
answered, with nothing of the people themselves. In their place a made-up body moves its hands as fast as they did.

``python -m tests.targets.recorded_streams`` makes them from the data sets in ``EDGESKEL_DATASETS`` and writes them into
``live_streams.json``.

Axes: M persons, T frames, V joints, K classes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeskel.skeleton import Clip, Frame
from tests.targets import live_streams
from tests.targets.live_streams import BODY, LAYOUT, Stream

SOURCES = (("utd-mhad", "edge-utd-mhad", "sliding window"), ("utd-mhad", "edge-utd-mhad-live", "streaming"),
           ("nw-ucla", "edge-nw-ucla", "sliding window"), ("utkinect", "edge-utd-mhad", "sliding window"),
           ("utkinect", "edge-utd-mhad-live", "streaming"))
FOLDERS = {"utkinect": "utkinect-action3d"}
CLIPS, EACH = 3, 2  # clips of a stream, streams of a source
TORSO_M, RADIUS_M, DELAY_S = 0.47, 0.5, 1 / 6


class Listening:
    """An engine that keeps what it answered."""

    def __init__(self, engine: Any) -> None:
        self._engine, self.name = engine, engine.name
        self.answers: list[list[float]] = []

    def __call__(self, joints: Any, confidence: Any) -> Any:
        answer = self._engine(joints, confidence)
        self.answers.append([round(float(value), 3) for value in answer[0]])
        return answer

    def step(self, joints: Any, confidence: Any, state: Any) -> Any:
        answer = self._engine.step(joints, confidence, state)
        self.answers.append([round(float(value), 3) for value in answer[0]])
        return answer


def joined(clips: Sequence[Clip], random: np.random.Generator) -> list[Frame]:
    """One after the other, with a second of standing still between them; each with its own time stamps."""
    frames: list[Frame] = []
    time = 0.0
    for clip in clips:
        period = float(np.median(np.diff(clip.time)))
        for index in range(clip.frames):
            frames.append(Frame(time + float(clip.time[index] - clip.time[0]), clip.joints[:1, index], clip.confidence[:1, index]))
        last = frames[-1]
        for index in range(1, round(1.0 / period)):
            still = last.joints + random.normal(scale=0.004, size=last.joints.shape).astype(np.float32)
            frames.append(Frame(last.time + index * period, still, last.confidence))
        time = frames[-1].time + period
    return frames


def shadow(frames: Sequence[Frame], model: str, mode: str, name: str) -> Stream:
    """A stream of a made-up body that moves as these frames do, with the recogniser's answers to them."""
    from edgeskel.models import folder_of, from_pretrained
    from edgeskel.runtime import event_config, session_of
    from edgeskel.runtime.bundle import read_certainty

    certainty = read_certainty(folder_of(model))
    session = session_of(from_pretrained(model), threads=1, mode=mode,
                         config=event_config(certainty))
    listening = Listening(session.engine if session.stepper is None else session.stepper.engine)
    if session.stepper is None:
        session.engine = listening
    else:
        session.stepper.engine = listening
    times, energies = [], []
    for frame in frames:
        session.step(frame)
        times.append(frame.time)
        energies.append(max((doing.segmenter.energy for doing in session.persons.values()), default=0.0))
    session.finish()
    speeds = TORSO_M * np.interp(np.array(times) + DELAY_S, times, energies)
    turned = np.concatenate([[0.0], np.cumsum(speeds[1:] * np.diff(times))]) / RADIUS_M
    random = np.random.default_rng(0)
    bodies = []
    for angle in turned:
        body = BODY + np.array([0, 0, 2.5]) + random.normal(scale=0.002, size=BODY.shape)
        body[4:] += RADIUS_M * np.array([np.sin(angle), 1 - np.cos(angle), 0])
        bodies.append([body])
    window = session.window
    seen = [bool((frame.confidence > 0).any()) for frame in frames]
    return live_streams.stream(
        name, mode, times, [body if there else [] for body, there in zip(bodies, seen, strict=True)], listening.answers,
        labels=session.labels, frames=window.frames, rate=window.rate_hz, hop=window.hop, layout=LAYOUT,
        step=4 if session.stepper is None else session.stepper.form.frames,
        certainty={"temperature": certainty.temperature, "threshold": certainty.threshold})


def recorded(datasets: Path) -> list[Stream]:
    """Streams of clips of training subjects, of every source."""
    from edgeskel.data import Store, import_dataset, split

    found, random = [], np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        for dataset, model, mode in SOURCES:
            folder = Path(scratch) / f"{dataset}.store"
            if not folder.exists():
                import_dataset(dataset, datasets / FOLDERS.get(dataset, dataset), folder)
            store = Store.open(folder)
            train = split(store).train
            for number in range(EACH):
                clips = [store[int(index)] for index in random.choice(train, CLIPS, replace=False)]
                name = f"{live_streams.RECORDED} {dataset} {number + 1}, {model}, {mode}"
                found.append(shadow(joined(clips, random), model, mode, name))
    return found


if __name__ == "__main__":
    live_streams.write(recorded(Path(os.environ.get("EDGESKEL_DATASETS", "../shared/datasets"))))
