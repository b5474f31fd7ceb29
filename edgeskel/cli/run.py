"""``edgeskel run SOURCE``: recognises live frames in the terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl

import tyro

from edgeskel.cli.model import Model
from edgeskel.cli.report import Command, Report, console, refused_by_the_machine
from edgeskel.errors import EdgeskelError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from edgeskel.continual.device import DemonstrationStore
    from edgeskel.runtime import Event, Session
    from edgeskel.skeleton import Frame
    from firmware_bridge.recording import Span

__all__ = ["COMMAND"]

@dataclass(frozen=True)
class Run(Model):
    """Recognise a source live.

    Draws the skeleton, the class probabilities and a timeline of actions; where stdout is no terminal, prints one line
    per action. What --record writes is played with replay:FILE, and gives the same events again.
    """

    source: tyro.conf.Positional[str]
    """Where frames come from, e.g. replay:walk.npz or "replay:walk.npz?loop=forever"."""
    learned: Path | None = None
    """File of learned actions (edgeskel learn), to be recognised beside the model's own."""
    learner: Literal["whitened-cosine", "streaming-lda", "nearest-mean", "replayed-head", "latent-replay"] = "whitened-cosine"
    """How the learned actions are told apart: on the frozen embedding, or by the network's own last layers, trained on
    them (latent-replay; see edgeskel learn --deeper)."""
    mode: Literal["streaming", "sliding-window"] | None = None
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
    """Step through every frame of the source; say what was recognised, how fast and how rightly, also of a part."""
    from edgeskel.runtime.agreement import agreement, named
    from edgeskel.topologies.remap import converter
    from firmware_bridge import open_source

    session = _with_learned(config.session(config.mode, config.threshold, config.persons), config)
    events: list[Event] = []
    seconds: list[float] = []
    with ExitStack() as stack:
        source = stack.enter_context(open_source(_address(config)))
        convert = converter(source.topology, session.topology, partial(console.print, style="yellow"))
        _record(config, session, stack)
        picture = _picture(config, session, source.spans, stack)
        frame: Frame | None = None
        first: float | None = None
        begin = time.perf_counter()
        screen = stack.enter_context(_screen(config, session, source.rate_hz))
        ended = RunResult()
        with ended:
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
        if frame is None:
            ended.raise_failure()  # there is nothing to report beside it
        found = []
        with ended:
            found = session.finish()
        events += found
        if frame is not None:
            screen.show(frame, found, 0.0)
        wall = time.perf_counter() - begin
        spans = source.spans
        with ended:  # a disk that is full shows itself when the recording is closed, at the latest
            stack.close()
    actions = named(events)
    known = {label for _, _, label in spans} <= set(session.labels)
    data = {
        "source": config.source,
        "engine": session.engine.name,
        "mode": session.mode,
        "frames": len(seconds),
        "refused": dict(session.refused),
        "recognitions": [
            {"start": action.start, "end": action.end, "label": action.label, "probability": action.probability}
            for action in actions
        ],
        "unknown": sum(event.kind == "ended" for event in events) - len(actions),
        "events": [asdict(event) for event in events],
        "fps": len(seconds) / wall if wall > 0 else None,
        "latency_ms": _latency(seconds),
        "spans": [{"start": start, "end": end, "label": label} for start, end, label in spans],
        "agreement": agreement(spans, actions) if known else None,
    }
    return Report(data, lambda out: _summary(out, data), error=ended.early(config.source))


def _record(config: Run, session: Session, stack: ExitStack) -> None:
    """Write every frame that the session takes, as it takes it."""
    if config.record is None:
        return
    from firmware_bridge.mcap.recording import Recorder

    path = config.record
    recorder = Recorder(path)

    def close() -> None:
        with _recording(path):
            recorder.close()

    def write(frame: Frame) -> None:
        with _recording(path):
            recorder.frame(frame, session.topology, "seen")

    stack.callback(close)
    session.tap(write)


@contextmanager
def _recording(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EdgeskelError(
            f"{path}: {error.strerror or error}",
            remedy="free some space there, or record elsewhere; what was recorded until then can be played",
        ) from error


def _picture(config: Run, session: Session, spans: Sequence[Span], stack: ExitStack) -> Any:
    if not config.rerun and config.rrd is None:
        return None
    from edgeskel.cli.picture import LivePicture

    picture = LivePicture(session, config.rrd, spans)
    stack.callback(picture.close)
    return picture


class RunResult:
    """Takes note of what ended the frames inside the block: an interrupt, the service manager, a source, engine or disk that
    failed. What was recognised until then is reported all the same."""

    def __init__(self) -> None:
        self._by: BaseException | None = None

    def __enter__(self) -> RunResult:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):  # whose reader wants no report either
            error = refused_by_the_machine(error)
        self._by = self._by or error
        return isinstance(error, (KeyboardInterrupt, SystemExit, EdgeskelError))

    def raise_failure(self) -> None:
        """Raise what failed, if something did."""
        if isinstance(self._by, EdgeskelError):
            raise self._by

    def early(self, source: str) -> EdgeskelError | None:
        """What to say about it. Interrupting is how a live source ends, and a replay that goes round for ever; of any other
        replay it leaves a part unread."""
        if isinstance(self._by, EdgeskelError):
            return self._by
        query = dict(parse_qsl(source.partition("?")[2]))
        if self._by is None or not source.startswith("replay:") or query.get("loop") == "forever":
            return None
        error = EdgeskelError("interrupted before the recording's end", remedy="run the same command again")
        error.exit_status = self._by.code if isinstance(self._by, SystemExit) and isinstance(self._by.code, int) else 130
        return error


def _with_learned(session: Session, config: Run) -> Session:
    if config.learned is None:
        return session
    from edgeskel.continual.device import DemonstrationStore, with_learned

    if not config.learned.is_file():
        raise UsageError(f"no learned actions in {config.learned}", remedy='learn one: edgeskel learn "NAME" --from SOURCE')
    with DemonstrationStore.open(config.learned, config.knowledge()) as memory:
        if config.learner == "latent-replay":
            return _deeper(session, memory, config)
        return with_learned(session, memory.learner(config.learner))


def _deeper(session: Session, memory: DemonstrationStore, config: Run) -> Session:
    """By the layers that `edgeskel learn --deeper` trained; where what is learned has changed since, they are trained now."""
    from edgeskel.continual.device.latent_replay import kept_beside, with_latent_replay

    if config.mode == "streaming":
        raise UsageError("--learner latent-replay with --mode streaming", expected="--mode sliding-window: its layers take windows")
    deep = config.latent_replay()
    if not deep.restore(kept_beside(memory.path), memory):
        console.print("training the last layers on what is learned; edgeskel learn --deeper keeps them", style="yellow")
        deep.learn_from(memory, session)
    return with_latent_replay(session, deep)


def _address(config: Run) -> str:
    if config.speed is None:
        return config.source
    from firmware_bridge.address import with_options

    return with_options(config.source, speed=config.speed)


def _screen(config: Run, session: Session, rate_hz: float) -> Any:
    from edgeskel.cli.live import Lines, Moments, Screen
    from edgeskel.console import open_console

    out = open_console()
    moments = Moments(live=not _is_recording(config.source))
    if config.view and out.is_terminal and not console.quiet:
        return Screen(out, session, moments, config.source, rate_hz)
    return Lines(out, session, moments, quiet=console.quiet)


def _is_recording(address: str) -> bool:
    """Whether the frames' times are a recording's own."""
    from firmware_bridge.address import split_address

    scheme, _, options = split_address(address)
    return scheme == "replay" or "replay" in options


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
        f"engine {data['engine']}, by {data['mode']}"
    )
    for reason, count in data["refused"].items():
        out.print(f"not taken: {count} ({reason})", style="yellow")
    if latency:
        out.print(
            f"latency per frame: median {latency['median']:.1f} ms, p95 {latency['p95']:.1f} ms, "
            f"p99 {latency['p99']:.1f} ms",
        )
    if data["agreement"] is not None:
        right = round(data["agreement"] * len(data["spans"]))
        out.print(f"{right} of the {len(data['spans'])} labelled actions recognised")
    elif data["spans"]:
        out.print("the recording's labels are not the model's: no comparison", style="yellow")


COMMAND = Command(Run, run)
