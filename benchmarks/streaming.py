"""Frame by frame against a window again and again: cost, agreement, accuracy, and what is found on untrimmed streams.

The causal recogniser is the shipped ``edge-utd-mhad-live``, which answers every fourth frame. It is held against two that take a
whole window (128 frames) for every prediction: its own clip form, with the same weights, and ``edge-utd-mhad``, which
it was made from and which sees the window at half the frame rate, so that it costs half as much.

- ``operations_ratio``: multiplications of its own clip form, run at every frame, over those of the steps, per frame;
  ``operations_ratio_edge``: the same of ``edge-utd-mhad``. ``frames_per_answer`` says how often the answer is a new one.
- ``latency_ratio``, ``latency_ratio_edge``: the same in time: a stretch of 32 frames taken by 32 windows and by 8 steps, in
  turns on one core, medians; the lower one of ONNX Runtime and ExecuTorch (``--quick``: ONNX Runtime alone).
- ``median_ms``, ``p99_ms``: of ``Session.step`` for one person (tracking, timeline, motion, recogniser, events), over all frames of
  a recorded stream, ONNX Runtime on one core; ``answer_median_ms`` over the frames at which the recogniser runs.
- ``step_equals_clip_max_abs_diff``: largest difference of a probability between the steps on torch, ONNX Runtime and ExecuTorch
  and the clip form on torch, over recorded test clips.
- ``causal_top1_drop``: top-1 of ``edge-utd-mhad`` less that of the causal form made from it, UTD-MHAD's trimmed test clips,
  in points; the causal form's is the mean over its seeds.
- ``segment_f1_*``, ``frame_accuracy``, ``delay_s``, ``false_alarms_per_hour``, ``unseen_rejected``: on streams of test clips with
  standing still and actions that no one taught between them (``tests.streams``). The table has the window's way, too.
- ``day_*``: three persons at 30 Hz in virtual time, the same half minute again and again: growth of memory, drift of the state
  from one round to the next, and whether the events are those of the first rounds.

Thresholds and temperature were chosen on a validation subject (``benchmarks.certainty``). ``--quick`` takes the shipped weights,
two subjects and two minutes of the day; a full run trains seeds 0 to 2 (kept in ``benchmarks/cache``) and plays a whole day.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from benchmarks._artifacts import LIVE, MODEL, Artifact, make
from benchmarks._bench import CACHE, interleave, main
from benchmarks.accuracy import imported
from benchmarks.certainty import unseen_clips
from edgeskel.runtime import Event, Session
from edgeskel.runtime.engines import Engine
from edgeskel.runtime.live_modes import Streaming
from edgeskel.runtime.step_artifact import Stepper
from edgeskel.skeleton import Frame
from tests.streams import Score, Stream, play, streams

if TYPE_CHECKING:
    from edgeskel.data import Store
    from edgeskel.models import Recogniser

SEEDS = (0, 1, 2)
ENGINES = {"onnx": "onnxruntime", "pte": "executorch"}
WINDOW, STRETCH = 128, 32  # frames
DAY_S, QUICK_DAY_S, ROUND_S = 86_400.0, 120.0, 30.0


def measure(quick: bool) -> dict[str, Any]:
    """Cost, agreement, accuracy, events, endurance."""
    from edgeskel import models
    from edgeskel.data import split

    clip, live = models.from_pretrained(MODEL), models.from_pretrained(LIVE)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store = imported("utd-mhad", folder if quick else CACHE)
        others = imported("nw-ucla", folder if quick else CACHE)
        test = split(store).test
        timed = ("onnx",) if quick else tuple(ENGINES)
        wanted = [Artifact(LIVE, f"{form} step") for form in ENGINES] + [
            Artifact(model, f"{form} fp32") for model in (LIVE, MODEL) for form in timed]
        files = make(wanted, store.path, folder)
        steppers = {form: _stepper(live, files[Artifact(LIVE, f"{form} step")], engine) for form, engine in ENGINES.items()}
        session = _session(live, steppers["onnx"])
        figures: dict[str, Any] = {
            **_operations(clip, live),
            **_latency({form: steppers[form] for form in timed}, files, store, quick),
            "step_equals_clip_max_abs_diff": _difference(live, steppers, store, test[:: 40 if quick else 4]),
            **_accuracy(clip, live, store, quick),
        }
        played = streams(store, test.tolist(), unseen_clips(others, "test"), seed=0)
        if quick:
            played = [_shortened(stream, 60.0) for stream in played[:2]]
        rows = [{"way": "frame", **_events(session, played)}, {"way": "window", **_events(_windowed(clip), played)}]
        figures |= {name: value for name, value in rows[0].items() if name != "way"}
        figures |= _times(session, played)
        figures |= _day(session, store, QUICK_DAY_S if quick else DAY_S)
    return {**figures, "tables": {"events on untrimmed streams": rows}}


def _stepper(live: Recogniser, file: Path, engine: str) -> Stepper:
    from edgeskel.runtime import engines
    from edgeskel.runtime.engines.torch import TorchEngine

    form = TorchEngine.of(live).step_form()
    assert form is not None
    return Stepper(engines.get(engine)(file, {}, 1), form, len(live.config.topology.joints))


def _session(live: Recogniser, stepper: Stepper) -> Session:
    """One that goes frame by frame, with what validation said."""
    from edgeskel.models import folder_of
    from edgeskel.runtime import event_config
    from edgeskel.runtime.bundle import Window, read_certainty

    config = live.config
    window = Window(config.persons, config.source_frames, config.rate_hz, config.hop)
    return Session(stepper.engine, config.topology, config.labels, window, stepper=stepper,
                   config=event_config(read_certainty(folder_of(LIVE))))


def _windowed(clip: Recogniser) -> Session:
    from edgeskel.models import folder_of
    from edgeskel.runtime import event_config, session_of
    from edgeskel.runtime.bundle import read_certainty

    return session_of(clip, threads=1, config=event_config(read_certainty(folder_of(MODEL))))


def _operations(clip: Recogniser, live: Recogniser) -> dict[str, float]:
    """Multiplications, as PyTorch counts them."""
    from edgeskel.models import CausalRecogniser
    from export.graph import DeployableGraph, StepGraph

    assert isinstance(live, CausalRecogniser)
    step = StepGraph(live).eval()
    per_frame = _count(step, step.example()) / step.frames
    own, edge = (_count(graph, graph.example()) for graph in (DeployableGraph(live).eval(), DeployableGraph(clip).eval()))
    return {"operations_ratio": own / per_frame, "operations_ratio_edge": edge / per_frame,
            "operations_per_frame": per_frame, "frames_per_answer": step.frames}


def _count(graph: Any, inputs: Sequence[Any]) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        graph(*inputs)
    return float(counter.get_total_flops()) / 2


def _latency(steppers: dict[str, Stepper], files: dict[Artifact, Path], store: Store, quick: bool) -> dict[str, Any]:
    """Milliseconds per frame of a stretch of :data:`STRETCH` frames with a prediction for each."""
    from edgeskel.runtime import engines
    from edgeskel.window import fit_window

    contenders: dict[str, Any] = {}
    for form, stepper in steppers.items():
        recording = store[0]
        window = [part[None] for part in fit_window(recording.joints, recording.confidence, 1, WINDOW)]
        contenders[f"{form}_step_ms"] = _stepping(stepper, *window)
        for model, way in ((LIVE, "clip"), (MODEL, "edge")):
            ready = engines.get(ENGINES[form])(files[Artifact(model, f"{form} fp32")], {}, 1)
            contenders[f"{form}_{way}_ms"] = partial(_windows, ready, *window)
    times = interleave(contenders, rounds=20 if quick else 200, budget_s=10 if quick else 120)
    ms = {name: 1e3 * statistics.median(found) / STRETCH for name, found in times.items()}

    def ratio(way: str) -> float:
        return min(ms[f"{form}_{way}_ms"] / ms[f"{form}_step_ms"] for form in steppers)

    return {"latency_ratio": ratio("clip"), "latency_ratio_edge": ratio("edge"), **ms}


def _windows(engine: Engine, joints: Any, confidence: Any) -> None:
    for _ in range(STRETCH):
        engine(joints, confidence)


def _stepping(stepper: Stepper, joints: Any, confidence: Any) -> Callable[[], None]:
    """A call that goes on for a stretch through a window, round and round."""
    memory = stepper.fresh()
    places = cycle(range(joints.shape[2]))

    def call() -> None:
        for index in islice(places, STRETCH):
            stepper.push(memory, joints[0, 0, index], confidence[0, 0, index])

    return call


def _difference(live: Recogniser, steppers: dict[str, Stepper], store: Store, indices: Any) -> float:
    import torch

    from edgeskel.runtime.engines.torch import TorchEngine
    from edgeskel.window import fit_window

    reference = TorchEngine.of(live, 1)
    form = reference.step_form()
    assert form is not None
    every = [*steppers.values(), Stepper(reference, form, len(live.config.topology.joints))]
    largest = 0.0
    with torch.inference_mode():
        for index in indices:
            recording = store[int(index)]
            window = [part[None] for part in fit_window(recording.joints, recording.confidence, 1, live.config.source_frames)]
            expected, _ = reference(window[0], window[1])
            largest = max(largest, *(float(np.abs(stepper(window[0], window[1])[0] - expected).max()) for stepper in every))
    return largest


def _accuracy(clip: Recogniser, live: Recogniser, store: Store, quick: bool) -> dict[str, float]:
    from edgeskel.data import split
    from edgeskel.training import evaluate

    test = split(store).test
    whole = evaluate(clip, store, test).top1
    made = [live] if quick else [trained(store, seed) for seed in SEEDS]
    causal = [evaluate(one, store, test).top1 for one in made]
    spread = {"causal_top1_std": statistics.stdev(causal)} if len(causal) > 1 else {}
    return {"clip_top1": whole, "causal_top1": statistics.fmean(causal), **spread,
            "causal_top1_drop": whole - statistics.fmean(causal)}


def trained(store: Store, seed: int) -> Recogniser:
    """``edge-live`` after its recipe, from the shipped clip form's weights and with it as the teacher."""
    from edgeskel.training import TrainConfig, train

    config = TrainConfig(data=store.path, out=CACHE / "edge-live" / "utd-mhad" / f"seed-{seed}", recogniser="edge-live",
                         seed=seed, start=MODEL, teachers=(MODEL,), precision="bf16")
    return train(config, progress=True).recogniser


def _events(session: Session, played: Sequence[Stream]) -> dict[str, float]:
    score = Score()
    for stream in played:
        score.add(stream, play(session, stream))
    return score.figures()


def _shortened(stream: Stream, seconds: float) -> Stream:
    """The first part, cut where nothing is done."""
    end = max((span[1] for span in (*stream.spans, *stream.unseen) if span[1] < seconds), default=seconds) + 0.7
    return Stream([frame for frame in stream.frames if frame.time < end], [s for s in stream.spans if s[1] < end],
                  [s for s in stream.unseen if s[1] < end], stream.rate)


def _times(session: Session, played: Sequence[Stream]) -> dict[str, float]:
    """Milliseconds of ``Session.step``."""
    session.reset()
    seconds, answered = [], []
    for frame in played[0].frames:
        before = [one.answers for one in _recognisers(session)]
        start = time.perf_counter()
        session.step(frame)
        seconds.append(time.perf_counter() - start)
        answered.append(any(one.answers is not known for one, known in zip(_recognisers(session), before, strict=False)))
    ms = 1e3 * np.array(seconds)[30:]
    return {"median_ms": float(np.median(ms)), "p99_ms": float(np.percentile(ms, 99)),
            "answer_median_ms": float(np.median(ms[np.array(answered)[30:]]))}


def _day(session: Session, store: Store, seconds: float) -> dict[str, float]:
    """The same half minute of three persons, again and again."""
    import resource

    frames = _crowd(store)
    session.reset()
    rounds = max(3, round(seconds / ROUND_S))
    reference: list[tuple[object, ...]] = []
    state: list[np.ndarray[Any, Any]] = []
    equal, drift, memory = 1.0, 0.0, 0.0
    for turn in range(rounds):
        begin = turn * ROUND_S
        events = [event for frame in frames
                  for event in session.step(Frame(begin + frame.time, frame.joints, frame.confidence))]
        seen, now = [_plain(event, begin) for event in events], _states(session)
        if turn == 1:  # the first round began with nothing before it
            reference, state, memory = seen, now, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        elif turn > 1:
            equal = min(equal, float(seen == reference))
            drift = max([drift, *(float(np.abs(a - b).max()) for a, b in zip(now, state, strict=True))])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - memory
    return {"day_hours": rounds * ROUND_S / 3600, "day_events": float(len(reference) * rounds), "day_events_equal": equal,
            "day_state_drift": drift, "day_memory_growth_mb": grown, "day_saved_kb": len(session.save()) / 1024}


def _crowd(store: Store) -> list[Frame]:
    """Half a minute of three persons, two metres apart, each with other clips and standing still in between."""
    from edgeskel.data import split

    frames = int(ROUND_S * 30)
    indices = split(store).test
    persons = []
    for number in range(3):
        rng = np.random.default_rng(number)
        poses: list[np.ndarray[Any, Any]] = []
        while sum(map(len, poses)) < frames:
            clip = store[int(indices[int(rng.integers(len(indices)))])].joints[0]
            on_the_spot = clip[:, :1] * np.array([1.0, 0.0, 1.0])  # so that nobody walks into another one's place
            clip = clip - on_the_spot + np.array([2.0 * number, 0.0, 3.0])
            poses += [clip, np.repeat(clip[-1:], 45, axis=0) + rng.normal(scale=0.004, size=(45, *clip.shape[1:]))]
        # Everyone is at rest where the round begins again.
        together = np.concatenate(poses)[:frames]
        together[-45:] = together[-46] + rng.normal(scale=0.004, size=(45, *together.shape[1:]))
        persons.append(together)
    joints = np.stack(persons, axis=1).astype(np.float32)
    return [Frame(index / 30, pose, np.ones(pose.shape[:2], np.float32)) for index, pose in enumerate(joints)]


def _plain(event: Event, begin: float) -> tuple[object, ...]:
    """An event as of the round's own clock, so that rounds can be compared: to the millisecond and the thousandth."""
    end = None if event.end is None else round(event.end - begin, 3)
    return (event.kind, event.person, event.label, round(event.start - begin, 3), end, round(event.confidence, 3))


def _states(session: Session) -> list[np.ndarray[Any, Any]]:
    """Every number that the recogniser remembers of everybody."""
    return [np.array(value) for one in _recognisers(session) for value in one.memory.state]


def _recognisers(session: Session) -> list[Streaming]:
    return [cast("Streaming", session.persons[number].recognising) for number in sorted(session.persons)]


if __name__ == "__main__":
    main("streaming", measure, seeds=SEEDS)
