"""Frame by frame against a window again and again: cost, agreement, accuracy, and what is found on untrimmed streams.

The clip form is the shipped ``edge-utd-mhad`` (a window of 128 frames, seen as 64), the causal one ``edge-utd-mhad-live``,
which answers every fourth frame; a prediction for every frame costs the one a whole window and the other a quarter of a step.

- ``operations_ratio``: multiplications of a window over those of a step per frame. ``operations_ratio_own_window`` is the same
  against the causal recogniser's own clip form, and ``frames_per_answer`` says how often the answer is a new one.
- ``latency_ratio``: the same in time, medians in turns on one core; the lower one of ONNX Runtime and ExecuTorch.
- ``median_ms``, ``p99_ms``: of ``Session.step`` for one person (tracking, timeline, motion, recogniser, events), over all frames of
  a recorded stream, ONNX Runtime on one core; ``answer_median_ms`` over the frames at which the recogniser runs.
- ``step_equals_clip_max_abs_diff``: largest difference of a probability between the steps on torch, ONNX Runtime and ExecuTorch
  and the clip form on torch, over recorded test clips.
- ``causal_top1_drop``: top-1 of the clip form less that of the causal form, UTD-MHAD's trimmed test clips, in points.
- ``segment_f1_*``, ``frame_accuracy``, ``delay_s``, ``false_alarms_per_hour``, ``unseen_rejected``: on streams of test clips with
  standing still and actions that no one taught between them (``benchmarks._streams``). The table has the window's way, too.
- ``day_*``: three persons at 30 Hz in virtual time, the same half minute again and again: growth of memory, drift of the state
  from one round to the next, and whether the events are those of the first rounds.

Thresholds and temperature were chosen on a validation subject (``benchmarks.certainty``). ``--quick`` takes the shipped weights,
two subjects and two minutes of the day; a full run trains seeds 0 to 2 (kept in ``benchmarks/cache``) and plays a whole day.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._artifacts import LIVE, MODEL, Artifact, make
from benchmarks._bench import CACHE, interleave, main
from benchmarks._streams import Score, Stream, play, streams
from benchmarks.accuracy import imported
from benchmarks.certainty import unseen_clips
from edgeskel.runtime import Event, Session
from edgeskel.runtime.stepping import Stepper
from edgeskel.skeleton import Frame

if TYPE_CHECKING:
    from edgeskel.data import Store
    from edgeskel.models import Recogniser

SEEDS = (0, 1, 2)
ENGINES = {"onnx": "onnxruntime", "pte": "executorch"}
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
        wanted = [Artifact(LIVE, f"{form} step") for form in ENGINES] + [Artifact(MODEL, f"{form} fp32") for form in ENGINES]
        files = make(wanted, store.path, folder)
        steppers = {form: _stepper(live, files[Artifact(LIVE, f"{form} step")], engine) for form, engine in ENGINES.items()}
        session = _session(live, steppers["onnx"])
        figures: dict[str, Any] = {
            **_operations(clip, live),
            **_latency(clip, steppers, files, store, quick),
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
    from edgeskel.models.base import folder_of
    from edgeskel.runtime import event_config
    from edgeskel.runtime.bundle import Window, read_certainty

    config = live.config
    window = Window(config.persons, config.source_frames, config.rate_hz, config.hop)
    return Session(stepper.engine, config.topology, config.labels, window, stepper=stepper,
                   config=event_config(read_certainty(folder_of(LIVE))))


def _windowed(clip: Recogniser) -> Session:
    from edgeskel.models.base import folder_of
    from edgeskel.runtime import event_config, session_of
    from edgeskel.runtime.bundle import read_certainty

    return session_of(clip, threads=1, config=event_config(read_certainty(folder_of(MODEL))))


def _operations(clip: Recogniser, live: Recogniser) -> dict[str, float]:
    """Multiplications, as PyTorch counts them."""
    from export.graph import DeployableGraph, StepGraph

    step = StepGraph(live).eval()
    per_frame = _count(step, step.example()) / step.frames
    window, own = (_count(graph, graph.example()) for graph in (DeployableGraph(clip).eval(), DeployableGraph(live).eval()))
    return {"operations_ratio": window / per_frame, "operations_ratio_own_window": own / per_frame,
            "operations_per_frame": per_frame, "frames_per_answer": step.frames}


def _count(graph: Any, inputs: Sequence[Any]) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        graph(*inputs)
    return float(counter.get_total_flops()) / 2


def _latency(clip: Recogniser, steppers: dict[str, Stepper], files: dict[Artifact, Path], store: Store,
             quick: bool) -> dict[str, Any]:
    from edgeskel.runtime import engines
    from edgeskel.window import fit_window

    config = clip.config
    recording = store[0]
    window = [part[None] for part in fit_window(recording.joints, recording.confidence, 1, config.source_frames)]
    contenders: dict[str, Any] = {}
    for form, engine in ENGINES.items():
        ready = engines.get(engine)(files[Artifact(MODEL, f"{form} fp32")], {}, 1)
        contenders[f"{form} window"] = lambda ready=ready: ready(*window)
        contenders[f"{form} step"] = _stepping(steppers[form], *window)
    times = interleave(contenders, rounds=150 if quick else 1000, budget_s=6 if quick else 60)
    medians = {name: 1e3 * statistics.median(found) for name, found in times.items()}
    frames = next(iter(steppers.values())).form.frames
    ratios = {form: medians[f"{form} window"] / (medians[f"{form} step"] / frames) for form in ENGINES}
    return {"latency_ratio": min(ratios.values()), **{f"latency_ratio_{form}": ratio for form, ratio in ratios.items()},
            **{f"{name.replace(' ', '_')}_ms": value for name, value in medians.items()}}


def _stepping(stepper: Stepper, joints: Any, confidence: Any) -> Any:
    """A call that takes one step through a window, round and round."""
    memory = stepper.fresh()
    starts = count(0, stepper.form.frames)

    def call() -> object:
        start = next(starts) % (joints.shape[2] - stepper.form.frames + 1)
        answer = None
        for index in range(start, start + stepper.form.frames):
            answer = stepper.push(memory, joints[0, 0, index], confidence[0, 0, index])
        return answer

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
    if quick:
        whole, causal = [evaluate(clip, store, test).top1], [evaluate(live, store, test).top1]
    else:
        from benchmarks import accuracy

        whole = [evaluate(accuracy.trained("utd-mhad", store, seed), store, test).top1 for seed in SEEDS]
        causal = [evaluate(trained(store, seed), store, test).top1 for seed in SEEDS]
    spread = {"causal_top1_std": statistics.stdev(causal)} if len(causal) > 1 else {}
    return {"clip_top1": statistics.fmean(whole), "causal_top1": statistics.fmean(causal), **spread,
            "causal_top1_drop": statistics.fmean(whole) - statistics.fmean(causal)}


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
                  [s for s in stream.unseen if s[1] < end])


def _times(session: Session, played: Sequence[Stream]) -> dict[str, float]:
    """Milliseconds of ``Session.step``."""
    session.reset()
    stepper = session.stepper
    assert stepper is not None
    seconds, answered = [], []
    for index, frame in enumerate(played[0].frames):
        start = time.perf_counter()
        session.step(frame)
        seconds.append(time.perf_counter() - start)
        answered.append((index + 1) % stepper.form.frames == 0)
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
    return [np.array(value) for number in sorted(session.persons)
            for value in session.persons[number].recognising.memory.state]  # type: ignore[attr-defined]


if __name__ == "__main__":
    main("streaming", measure, seeds=SEEDS)
