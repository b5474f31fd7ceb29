"""``edgeskel learn "pour water" --from SOURCE|FILES``: a new action from a few demonstrations."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from edgeskel.cli.model import LEARNED, Model
from edgeskel.cli.report import Command, Report, console
from edgeskel.errors import CorruptFile, InvalidClip, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from edgeskel.continual.device import DemonstrationStore
    from edgeskel.continual.device.latent_replay import LatentReplay
    from edgeskel.continual.device.review import Review
    from edgeskel.runtime import Session
    from edgeskel.skeleton import Clip

__all__ = ["COMMAND"]

_MOST = 10
_EXTRA = 3
"""Demonstrations that a live source is asked for beyond those that were wanted, one by one, where they pay."""


@dataclass(frozen=True, kw_only=True)
class Learn(Model):
    """Learn a new action from 1 to 10 demonstrations, on the recogniser's frozen embedding.

    Each file is one demonstration. A live source is cut where the body is still: stand still, perform the action, stand
    still again; the terminal says what was taken. Every demonstration is on the disk before the next one begins.
    """

    label: tyro.conf.Positional[str]
    """Name of the action."""
    source: Annotated[tuple[str, ...], tyro.conf.arg(name="from")]
    """Recordings (.npz, .jsonl, .mcap), or one source of live frames such as camera:udp or replay:FILE."""
    demonstrations: int = 5
    """How many to take from a live source, 1 to 10; up to three more are asked for where the action is not recognised yet."""
    more: bool = False
    """Add to an action that is learned already."""
    private: bool = False
    """Keep the embeddings only, not the joints: nothing can then be exported for training, or looked at by another
    model. By default the joints are kept, in the file and nowhere else."""
    deeper: bool = False
    """Train the network's last layers on everything that is learned, too (latent replay), for edgeskel run --learner
    latent-replay; needs a bundle that was exported with --latent-replay, and ExecuTorch."""
    learned: Path = LEARNED
    """File of learned actions; begun where there is none."""

    def __post_init__(self) -> None:
        if not 1 <= self.demonstrations <= _MOST:
            raise UsageError(f"--demonstrations {self.demonstrations}", expected=f"1 to {_MOST}")
        if self.deeper and self.private:
            raise UsageError("--deeper with --private", expected="joints that can go through the network again")


def learn(config: Learn) -> Report:
    """Take the demonstrations one by one; each is kept at once, or refused with the reason."""
    from edgeskel.continual.device import DemonstrationStore

    files = [Path(item) for item in config.source if Path(item).is_file()]
    if files and len(files) != len(config.source):
        missing = [item for item in config.source if not Path(item).is_file()]
        raise UsageError(f"--from {' '.join(missing)}: no such file", expected="files only, or one source")
    if not files and len(config.source) != 1:
        raise UsageError(f"--from {' '.join(config.source)}", expected="one source, or existing files")
    if len(files) > _MOST:
        raise UsageError(f"{len(files)} files", expected=f"1 to {_MOST} demonstrations")
    knowledge, session = config.knowledge(), config.session()
    deep = config.latent_replay() if config.deeper else None
    with DemonstrationStore.open(config.learned, knowledge) as memory:
        _check_label(config, memory)
        clips = (_of_file(path, session) for path in files) if files else _live(config, session, memory)
        rows = list(_enrol(config, memory, session, clips))
        learned = {one.label: one.demonstrations for one in memory.learned()}
        judged = _judge(config.label, memory) if any(row["taken"] for row in rows) else None
        if deep is not None and any(row["taken"] for row in rows):
            _deepen(deep, memory, session)
    taken = [row for row in rows if row["taken"]]
    data = {"label": config.label, "learned": str(config.learned), "demonstrations": rows, "taken": len(taken),
            "total": learned.get(config.label, 0), "private": config.private,
            "review": judged and {"recognised": judged.recognised, "probability": judged.probability,
                                  "mistaken_for": dict(judged.mistaken_for), "resemblance": judged.resemblance},
            "warnings": judged.warnings() if judged else [],
            "another_helps": judged is not None and judged.another_helps,
            "deeper": config.deeper,
            "next": f"edgeskel run SOURCE{config.words()} --learned {config.learned}"
                    + (" --learner latent-replay" if config.deeper else "")}
    return Report(data, text=lambda out: _draw(out, data), ok=bool(taken) and len(taken) == len(rows))


def _deepen(deep: LatentReplay, memory: DemonstrationStore, session: Session) -> None:
    """Train the last layers on all that is learned and keep them beside the file."""
    from edgeskel.continual.device.latent_replay import kept_beside

    with console.status("training the last layers"):
        deep.learn_from(memory, session)
    deep.save(kept_beside(memory.path), memory)


def _judge(label: str, memory: DemonstrationStore) -> Review:
    """How well the action is recognised by what was shown of it so far."""
    from edgeskel.continual.device.review import review

    assert memory.knowledge is not None
    return review(memory.knowledge, [(name, one.embedding) for name, one in memory.demonstrations()], label)


def _check_label(config: Learn, memory: DemonstrationStore) -> None:
    memory.check_name(config.label)
    here = {one.label: one.demonstrations for one in memory.learned()}
    if config.label in here and not config.more:
        raise UsageError(f"{config.label!r} is learned already, from {here[config.label]} demonstrations",
                         expected="a new name", remedy="pass --more to add demonstrations to it")
    if config.more and config.label not in here:
        raise UsageError(f"--more, and {config.label!r} is not learned yet", remedy="leave --more out")


def _enrol(config: Learn, memory: DemonstrationStore, session: Session,
           clips: Iterator[Callable[[], Clip]]) -> Iterator[dict[str, Any]]:
    from edgeskel.continual.device import Demonstration

    taken = 0
    for clip in clips:
        row: dict[str, Any] = {"source": "", "taken": False}
        try:
            shown = clip()
            row["source"] = shown.source
            demonstration, seen = Demonstration.of(shown, session, private=config.private)
            row.update(seconds=round(demonstration.seconds, 2), looks_like=seen.label, probability=seen.probability)
            memory.learn(config.label, demonstration)
        except (InvalidClip, _Unreadable) as error:
            row["reason"] = str(error)
            console.print(f"not taken: {error}", style="red")
            yield row
            continue
        taken += 1
        row["taken"] = True
        console.print(f"taken: {row['source']}, {row['seconds']} s (so far it looks like {seen.label!r}, "
                      f"{seen.probability:.0%})", style="green")
        yield row


def _of_file(path: Path, session: Session) -> Callable[[], Clip]:
    def read() -> Clip:
        from edgeskel.skeleton import Clip, Frame
        from edgeskel.topologies.remap import converter
        from firmware_bridge.replay import read_recording

        try:
            recording = read_recording(path)
        except CorruptFile as error:
            raise _Unreadable(str(error)) from error
        convert = converter(recording.topology, session.topology, partial(console.print, style="yellow"))
        whole = convert(Frame(0.0, recording.joints, recording.confidence))
        return Clip(whole.joints, whole.confidence, recording.time, source=str(path))

    return read


def _live(config: Learn, session: Session, memory: DemonstrationStore) -> Iterator[Callable[[], Clip]]:
    """Performances out of a live source, until there are enough or it ends; a few more where they are not recognised yet."""
    from edgeskel.continual.device.demonstration_segmenter import DemonstrationSegmenter
    from edgeskel.topologies.remap import converter
    from firmware_bridge import open_source

    address = config.source[0]
    ends = nullcontext() if address.startswith("replay:") else suppress(KeyboardInterrupt)
    with open_source(address) as source, ends:
        convert = converter(source.topology, session.topology, partial(console.print, style="yellow"))
        enrolment = DemonstrationSegmenter(session, address)
        number, moving = 1, False
        _invite(config, number)
        for frame in source:
            clips = enrolment.step(convert(frame))
            if enrolment.moving and not moving:
                console.print("  moving ...", style="dim")
            moving = enrolment.moving
            for clip in clips:
                yield lambda clip=clip: clip  # type: ignore[misc]
                number += 1
                if number > config.demonstrations + _EXTRA or (number > config.demonstrations and not _asks(config, memory)):
                    return
                _invite(config, number)
        for clip in enrolment.finish():
            yield lambda clip=clip: clip  # type: ignore[misc]
        for reason, count in enrolment.refused.items():
            console.print(f"left out, {reason}: {count}", style="yellow")


def _asks(config: Learn, memory: DemonstrationStore) -> bool:
    """Whether one more demonstration pays, and say so."""
    if not any(one.label == config.label for one in memory.learned()):
        return False
    judged = _judge(config.label, memory)
    if judged.another_helps and judged.recognised is not None:
        console.print(f"{judged.recognised} of {judged.demonstrations} are recognised from the others: one more would help "
                      "(Ctrl-C ends with what there is)", style="yellow")
        return True
    return False


class _Unreadable(Exception):
    """One file of several: the others are still taken. What damages the file of learned actions is another matter."""


def _invite(config: Learn, number: int) -> None:
    console.print(f"{number} of {config.demonstrations}: stand still, then perform {config.label!r} and stand still again",
                  style="bold")


def _draw(out: Console, data: dict[str, Any]) -> None:
    out.print(f"{data['label']}: {data['taken']} of {len(data['demonstrations'])} demonstrations taken, {data['total']} in all")
    judged = data["review"]
    if judged and judged["recognised"] is not None:
        out.print(f"left out in turn, {judged['recognised']} of {data['total']} are recognised from the others "
                  f"({judged['probability']:.0%} sure on average)")
    for warning in data["warnings"]:
        out.print(f"warning: {warning}", style="yellow")
    if data["another_helps"]:
        out.print(f"one more demonstration would help: edgeskel learn {shlex.quote(data['label'])} --more --from SOURCE",
                  style="yellow")
    out.print(f"next: {data['next']}")


COMMAND = Command(Learn, learn)
