"""``edgeskel demo``: all of it once. Each step prints the command that a user would type, then runs it right here."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeskel.cli.report import Command, Report, jsonable
from edgeskel.errors import DataError, EdgeskelError, UsageError
from edgeskel.files import atomic_write

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["COMMAND"]


@dataclass(frozen=True)
class Demo:
    """Do everything once: data, training, evaluation, compression, export, verification, latency, live recognition.

    Everything is written under one folder. A second run goes on where the first was interrupted; unchanged steps that
    are done are not done again.
    """

    data: Path | None = None
    """Folder of recordings to import; without it, motion is generated."""
    dataset: str | None = None
    """What the recordings are (utd-mhad, nw-ucla, ...); by default what the folder is called."""
    out: Path = Path("demo")
    """Folder for all that the demo makes."""
    quick: bool = False
    """Little data, few epochs and a shallow network: shows the way in a minute, not the accuracy."""
    restart: bool = False
    """Begin anew: what an earlier demo made in that folder is removed."""


@dataclass(frozen=True)
class DemoStep:
    """One command line and what it makes."""

    title: str
    words: tuple[str, ...]
    makes: tuple[Path, ...] = field(default=())
    by_engines: bool = False
    """Whether it stands or falls with the engines of this machine: what fails then is told, and the rest goes on."""

    @property
    def command(self) -> str:
        return shlex.join(("edgeskel", *self.words))


def demo(config: Demo) -> Report:
    """Run the steps; what is done and unchanged is skipped, and an engine that fails on this machine does not end the demo."""
    from edgeskel.console import open_console

    out = config.out
    if config.restart and (out / "steps").is_dir():
        for entry in (*_made(out), out / "steps"):
            shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)
    if config.data is not None and not config.data.is_dir():
        raise UsageError(f"{config.data} is not a folder", expected="a folder of recordings")
    console = open_console()
    results: list[dict[str, Any]] = []
    stale = False
    for number, step in enumerate(steps(out, config), start=1):
        console.rule(f"{number}. {step.title}", align="left")
        console.print(f"$ {step.command}", style="bold", soft_wrap=True)
        record = out / "steps" / f"{number:02}-{step.words[0]}.json"
        kept = None if stale else _kept(record, step)
        if kept is not None:
            console.print(f"done before, in {kept['seconds']:.0f} s", style="dim")
            results.append(kept)
            continue
        stale = True
        result = _run(step, console)
        results.append(result)
        if problem := result.get("problem"):
            console.print(f"did not go through: {problem}", style="yellow")
            record.unlink(missing_ok=True)  # tried again in the next run
            continue
        with atomic_write(record) as file:
            file.write((json.dumps(result, indent=1) + "\n").encode())
    return _summary(results, out)


def steps(out: Path, config: Demo) -> Iterator[DemoStep]:
    """The whole way. A step is worked out when its turn comes, because the last ones depend on what is in the store."""
    store, model, small = out / "store", out / "model", out / "small"
    jetson, android, recording = out / "jetson", out / "android", out / "live.npz"
    data = ("--data", str(store))
    if config.data is None:
        little = ("--subjects", "4", "--takes", "2") if config.quick else ()
        yield DemoStep("Generate motion", ("data", "synth", *little, "--out", str(store)), (store,))
    else:
        dataset = config.dataset or config.data.resolve().name
        yield DemoStep("Import recordings", ("data", "import", dataset, str(config.data), "--out", str(store)), (store,))
    yield DemoStep("Look at the data", ("data", "inspect", str(store)))
    # Generated motion is learned long before the recipe's last epoch; recordings get all of theirs.
    short: tuple[str, ...] = ("--epochs", "12") if config.data is None else ()
    if config.quick:
        short = ("--epochs", "2", "--settings", "blocks=[1, 1, 1]")
    yield DemoStep("Train", ("train", *data, *short, "--out", str(model)), (model,))
    page = out / "report.html"
    yield DemoStep("Evaluate", ("evaluate", str(model), *data, "--report", str(page)), (page,))
    # The training held nothing out on which a rank could be chosen.
    yield DemoStep("Compress", ("compress", str(model), *data, "--out", str(small)), (small,))
    for target, bundle in (("jetson", jetson), ("android", android)):
        only = ("--precision", "fp32") if config.quick and target == "android" else ()  # int8 takes half a minute
        words = ("export", str(small), "--target", target, *only, "--calibration", str(store), "--out", str(bundle))
        yield DemoStep(f"Export for {target}", words, (bundle,), by_engines=True)
        if bundle.is_dir():
            runs = ("--runs", "16") if config.quick else ()
            yield DemoStep(f"Verify the {target} bundle", ("verify", str(bundle), *data), by_engines=True)
            yield DemoStep(f"Measure the {target} bundle here", ("bench", str(bundle), *runs), by_engines=True)
    clips = [word for clip in _unseen(store, 2 if config.quick else 6) for word in ("--clip", str(clip))]
    pick = ("data", "pick", str(store), *clips, "--gap", "0.5", "--out", str(recording))
    yield DemoStep("Put clips of people it never saw one after the other", pick, (recording,))
    what = ("--bundle", str(jetson)) if jetson.is_dir() else ("--model", str(small))
    yield DemoStep("Recognise them live", ("run", f"replay:{recording}", *what), by_engines=True)


def _unseen(store: Path, count: int) -> list[int]:
    """Some clips of the test part, of different classes."""
    from edgeskel.data import Store, split
    from edgeskel.data.protocols import default_protocol

    opened = Store.open(store)
    test = split(opened, default_protocol(opened)).test
    labels = opened.index["label"][test]
    first = [int(test[(labels == label).argmax()]) for label in sorted(set(labels.tolist()))]
    return first[:: max(1, len(first) // count)][:count]


def _made(out: Path) -> list[Path]:
    return [out / name for name in ("store", "live.npz", "model", "report.html", "small", "jetson", "android")]


def _kept(record: Path, step: DemoStep) -> dict[str, Any] | None:
    """What this step gave before, if it was the same command and what it made is still there."""
    if not record.is_file() or not all(path.exists() for path in step.makes):
        return None
    kept: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    return kept if kept["command"] == step.command else None


def _run(step: DemoStep, console: Console) -> dict[str, Any]:
    """What the step gave; with ``problem`` where an engine of this machine failed.

    Raises:
        EdgeskelError: it failed for another reason.
        OSError: the disk is full.
    """
    start = time.perf_counter()
    problem, data = "", {}
    try:
        report = _command(step)()
    except (UsageError, DataError, OSError):  # the user's to mend, and said how
        raise
    except Exception as error:
        if not step.by_engines:
            raise
        problem = str(error) if isinstance(error, EdgeskelError) else f"{type(error).__name__}: {error}"
    else:
        if report.text is not None:
            report.text(console)
        data = jsonable(report.data)
        if not report.ok:
            problem = "; ".join(data.get("disagreements", ())) or "see above"
    if problem and not step.by_engines:
        raise EdgeskelError(f"the step {step.title!r} failed", remedy=f"run it alone: {step.command}")
    seconds = round(time.perf_counter() - start, 2)
    result = {"title": step.title, "command": step.command, "seconds": seconds, "data": data}
    return {**result, "problem": problem} if problem else result


def _command(step: DemoStep) -> Callable[[], Report]:
    from edgeskel.cli.config import parse
    from edgeskel.cli.main import commands

    choices = commands(step.words[0])
    name, rest = ("", step.words[1:]) if "" in choices else (step.words[1], step.words[2:])
    command = choices[name]
    config = parse(command.config, rest, program=f"edgeskel {step.words[0]}")
    return lambda: command.function(config)


def _summary(results: Sequence[dict[str, Any]], out: Path) -> Report:
    seconds = sum(result["seconds"] for result in results)
    top1 = next((result["data"].get("top1") for result in results if result["title"] == "Evaluate"), None)
    problems = [{"command": result["command"], "problem": result["problem"]} for result in results if "problem" in result]
    data = {"seconds": round(seconds, 1), "top1": top1, "out": out, "problems": problems, "steps": list(results)}

    def draw(console: Console) -> None:
        from edgeskel.console import new_table

        table = new_table("step", "seconds", "command", right=("seconds",))
        for result in results:
            table.add_row(result["title"], f"{result['seconds']:.1f}", result["command"])
        console.print(table)
        console.print(f"{seconds / 60:.1f} minutes in all; everything is in {out}/")
        for found in problems:
            console.print(f"did not go through on this machine: {found['command']}", style="yellow")
        if problems:
            console.print("nothing of yours is wrong: please report it, with what edgeskel doctor --json says")

    return Report(data, text=draw)


COMMAND = Command(Demo, demo)
