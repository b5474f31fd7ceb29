"""``edgeskel run SOURCE``: recognises live frames in the terminal."""

from __future__ import annotations

import time
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from edgeskel.cli.report import Command, Report, console
from edgeskel.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from edgeskel.continual.device import Memory
    from edgeskel.runtime import Event, Session
    from edgeskel.skeleton import Frame

__all__ = ["COMMAND"]

DEFAULT_MODEL = "edge-demo"


@dataclass(frozen=True)
class Run:
    """Recognise a source live.

    Draws the skeleton, the class probabilities and a timeline of actions; where stdout is no terminal, prints one line
    per action. What --record writes is played with replay:FILE, and gives the same events again.
    """

    source: tyro.conf.Positional[str]
    """Where frames come from, e.g. replay:walk.npz or "replay:walk.npz?loop=forever"."""
    bundle: Path | None = None
    """Folder of an exported bundle."""
    model: str | None = None
    """Instead of a bundle: a checkpoint folder or a shipped model's name, run by torch. By default edge-demo."""
    engine: str | None = None
    """Engine for the bundle: tensorrt, executorch, onnxruntime or torch. By default the best one present."""
    precision: str | None = None
    """Artifact of the bundle: fp32, fp16 or int8. By default what the bundle lists first."""
    threads: int | None = None
    """Processor threads. By default the engine decides."""
    learned: Path | None = None
    """File of learned actions (edgeskel learn), to be recognised beside the model's own."""
    learner: Literal["whitened-cosine", "streaming-lda", "nearest-mean", "replayed-head", "latent-replay"] = "whitened-cosine"
    """How the learned actions are told apart: on the frozen embedding, or by the network's own last layers, trained on
    them (latent-replay; see edgeskel learn --deeper)."""
    way: Literal["frame", "window"] | None = None
    """Recognise frame by frame, or a window again and again. By default frame by frame where the model can."""
    persons: int = 4
    """People who are followed at a time, where the model sees one at a time."""
    speed: float | None = None
    """Speed of a replay: 2 is twice as fast, 0 does not wait. By default as recorded."""
    threshold: float | None = None
    """Probability under which an action is unknown. By default as the model's validation data said, or 0.5."""
    seconds: float | None = None
    """End after so long, from the first frame. By default with the source, or when interrupted."""
    view: bool = True
    """Draw in the terminal."""
    rerun: bool = False
    """Open a live picture of skeletons, scores and events (needs rerun)."""
    rrd: Path | None = None
    """Write the picture into this file instead of opening it; rerun FILE.rrd shows it."""
    record: Path | None = None
    """Write what was seen into this new file (.mcap)."""

    def __post_init__(self) -> None:
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise UsageError(f"--seconds {self.seconds:g}", expected="a number above 0")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UsageError(f"--threshold {self.threshold:g}", expected="0 to 1")
        if self.persons < 1:
            raise UsageError(f"--persons {self.persons}", expected="at least 1")
        if self.record is not None and self.record.suffix != ".mcap":
            raise UsageError(f"--record {self.record}", expected="a file that ends in .mcap")


def run(config: Run) -> Report:
    """Step through every frame of the source; say what was recognised, how fast and how rightly."""
    from edgeskel.runtime.agreement import agreement, named
    from edgeskel.topologies.remap import converter
    from firmware_bridge import open_source

    session = _with_learned(open_session(config), config)
    events: list[Event] = []
    seconds: list[float] = []
    with ExitStack() as stack:
        source = stack.enter_context(open_source(_address(config)))
        convert = converter(source.topology, session.topology, partial(console.print, style="yellow"))
        _record(config, session, stack)
        picture = _picture(config, session, stack)
        frame: Frame | None = None
        first: float | None = None
        begin = time.perf_counter()
        screen = stack.enter_context(_screen(config, session, source.rate_hz))
        with _until_interrupted(config):
            for arrived in source:
                frame = convert(arrived)
                start = time.perf_counter()
                found = session.step(frame)
                seconds.append(time.perf_counter() - start)
                events += found
                screen.show(frame, found, seconds[-1])
                if picture is not None:
                    picture.show(frame, found)
                first = frame.time if first is None else first
                if config.seconds is not None and frame.time - first >= config.seconds:
                    break
        found = session.finish()
        events += found
        if frame is not None:
            screen.show(frame, found, 0.0)
        wall = time.perf_counter() - begin
        spans = source.spans
    ended = sum(event.kind == "ended" for event in events)
    actions = named(events)
    known = {label for _, _, label in spans} <= set(session.labels)
    data = {
        "source": config.source,
        "engine": session.engine.name,
        "way": session.way,
        "frames": len(seconds),
        "refused": dict(session.refused),
        "recognitions": [
            {"start": action.start, "end": action.end, "label": action.label, "probability": action.probability}
            for action in actions
        ],
        "unknown": ended - len(actions),
        "events": [asdict(event) for event in events],
        "fps": len(seconds) / wall if wall > 0 else None,
        "latency_ms": _latency(seconds),
        "spans": [{"start": start, "end": end, "label": label} for start, end, label in spans],
        "agreement": agreement(spans, actions) if known else None,
    }
    return Report(data, lambda out: _summary(out, data))


def _record(config: Run, session: Session, stack: ExitStack) -> None:
    """Write every frame that the session takes, as it takes it."""
    if config.record is None:
        return
    from firmware_bridge.mcap.recording import Recorder

    recorder = stack.enter_context(Recorder(config.record))
    session.tap(lambda frame: recorder.frame(frame, session.topology, "seen"))


def _picture(config: Run, session: Session, stack: ExitStack) -> Any:
    if not config.rerun and config.rrd is None:
        return None
    from edgeskel.cli.picture import Picture

    picture = Picture(session, config.rrd)
    stack.callback(picture.close)
    return picture


def _until_interrupted(config: Run) -> Any:
    """An interrupt is how a live source ends; of a recording it leaves a part unread, which is an error."""
    return nullcontext() if config.source.startswith("replay:") else suppress(KeyboardInterrupt)


def open_session(config: Run) -> Session:
    """The session that the options ask for.

    Raises:
        UsageError: both a bundle and a model, or an option of bundles with a model.
    """
    from edgeskel import runtime
    from edgeskel.runtime.bundle import Bundle

    if config.bundle is not None and config.model is not None:
        raise UsageError("both --bundle and --model", expected="one of them")
    folder = config.bundle or Path(config.model or DEFAULT_MODEL)
    if config.bundle is not None or (folder / "manifest.json").is_file():
        runtime.engines.check_threads(config.threads)
        settings = runtime.event_config(Bundle.open(folder).certainty, config.threshold)
        session = runtime.load(folder, config.engine, config.precision, config.threads, config.way, settings)
    else:
        if config.engine not in (None, "torch") or config.precision is not None:
            raise UsageError(
                f"--engine or --precision with the model {folder}",
                expected="a bundle: a model is run by torch as it is",
                remedy=f"export it first: edgeskel export {folder} --target host --out DIR",
            )
        from edgeskel.models import from_pretrained
        from edgeskel.models.base import folder_of
        from edgeskel.runtime.bundle import read_certainty

        name = config.model or DEFAULT_MODEL
        model = from_pretrained(name)
        settings = runtime.event_config(read_certainty(folder_of(name)), config.threshold)
        session = runtime.session_of(model, config.threads, config.way, settings)
    session.most = config.persons
    session.reset()
    return session


def _with_learned(session: Session, config: Run) -> Session:
    if config.learned is None:
        return session
    from edgeskel.cli.learned import knowledge_of
    from edgeskel.continual.device import Memory, with_learned

    if not config.learned.is_file():
        raise UsageError(f"no learned actions in {config.learned}", remedy='learn one: edgeskel learn "NAME" --from SOURCE')
    with Memory.open(config.learned, knowledge_of(config.bundle, config.model)) as memory:
        if config.learner == "latent-replay":
            return _deeper(session, memory, config)
        return with_learned(session, memory.learner(config.learner))


def _deeper(session: Session, memory: Memory, config: Run) -> Session:
    """By the layers that `edgeskel learn --deeper` trained; where what is learned has changed since, they are trained now."""
    from edgeskel.cli.learned import latent_replay_of
    from edgeskel.continual.device.latent_replay import kept_beside, with_latent_replay

    if config.way == "frame":
        raise UsageError("--learner latent-replay with --way frame", expected="--way window: its layers take windows")
    deep = latent_replay_of(config.bundle, config.model)
    if not deep.restore(kept_beside(memory.path), memory):
        console.print("training the last layers on what is learned; edgeskel learn --deeper keeps them", style="yellow")
        deep.learn_from(memory, session)
    return with_latent_replay(session, deep)


def _address(config: Run) -> str:
    if config.speed is None:
        return config.source
    return f"{config.source}{'&' if '?' in config.source else '?'}speed={config.speed}"


def _screen(config: Run, session: Session, rate_hz: float) -> Any:
    from rich.console import Console

    from edgeskel.cli.live import Lines, Screen

    out = Console()
    if config.view and out.is_terminal and not console.quiet:
        return Screen(out, session, config.source, rate_hz)
    return Lines(out, quiet=console.quiet)


def _latency(seconds: list[float]) -> dict[str, float] | None:
    """Milliseconds from a frame's arrival to its answer, over all frames."""
    import numpy as np

    if not seconds:
        return None
    median, p95, p99 = np.percentile(np.array(seconds) * 1e3, (50, 95, 99))
    return {"median": float(median), "p95": float(p95), "p99": float(p99), "max": float(max(seconds) * 1e3)}


def _summary(out: Console, data: dict[str, Any]) -> None:
    latency = data["latency_ms"]
    out.print(
        f"{len(data['recognitions'])} actions and {data['unknown']} unknown in {data['frames']} frames, "
        f"engine {data['engine']}, by {data['way']}", highlight=False
    )
    for reason, count in data["refused"].items():
        out.print(f"not taken: {count} ({reason})", style="yellow", highlight=False)
    if latency:
        out.print(
            f"latency per frame: median {latency['median']:.1f} ms, p95 {latency['p95']:.1f} ms, "
            f"p99 {latency['p99']:.1f} ms",
            highlight=False,
        )
    if data["agreement"] is not None:
        right = round(data["agreement"] * len(data["spans"]))
        out.print(f"{right} of the {len(data['spans'])} labelled actions recognised", highlight=False)
    elif data["spans"]:
        out.print("the recording's labels are not the model's: no comparison", style="yellow")


COMMAND = Command(Run, run)
