"""``edgeskel VERB ...``: finds the verb's file, parses its configuration, runs it, and turns errors into exit codes.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr
from importlib import import_module
from typing import TYPE_CHECKING, Any

import edgeskel
from edgeskel.errors import EdgeskelError, UnknownChoice, UsageError

if TYPE_CHECKING:
    from edgeskel.cli.report import Command

__all__ = ["VERBS", "main"]

# verb: (module, what it does). A module is imported when its verb is used, so that help stays fast. It holds either
# COMMAND, one Command, or COMMANDS, one per second word; "" there is what the verb does without one.
VERBS = {
    "data": ("edgeskel.cli.data", "import, inspect, view and split recordings; generate synthetic motion"),
    "train": ("edgeskel.cli.train", "train a recogniser"),
    "sweep": ("edgeskel.cli.sweep", "search settings on the validation part"),
    "evaluate": ("edgeskel.cli.evaluate", "measure a recogniser on a split, with a report"),
    "fuse": ("edgeskel.cli.fuse", "make one recogniser of several, weighted on the validation part"),
    "compress": ("edgeskel.cli.compress", "make a recogniser smaller: low rank, int8"),
    "continual": ("edgeskel.cli.continual", "learn classes task by task and measure what is kept"),
    "targets": ("edgeskel.cli.targets", "list the devices that a bundle can be made for, show one"),
    "export": ("edgeskel.cli.export", "write a bundle for a target"),
    "verify": ("edgeskel.cli.verify", "check a bundle on every engine present"),
    "bench": ("edgeskel.cli.bench", "measure a bundle's latency and memory"),
    "flash": ("edgeskel.cli.flash", "put a bundle on a device that runs it, and back by itself if it fails"),
    "keys": ("edgeskel.cli.keys", "the keys that sign releases, and the devices that trust them"),
    "run": ("edgeskel.cli.run", "recognise a source live"),
    "learn": ("edgeskel.cli.learn", "learn a new action from a few demonstrations"),
    "labels": ("edgeskel.cli.labels", "list, rename, remove, undo and move learned actions"),
    "devices": ("edgeskel.cli.devices", "find, look at, record, calibrate and simulate wearables"),
    "firmware": ("edgeskel.cli.firmware", "build a wearable node's firmware, run it without a board"),
    "demo": ("edgeskel.cli.demo", "all of it once, from data to live recognition"),
    "models": ("edgeskel.cli.models", "list the recognisers that come with edgeskel"),
    "doctor": ("edgeskel.cli.doctor", "what is installed, what is missing, which engines run here"),
    "completion": ("edgeskel.cli.completion", "complete commands, flags and files in bash, zsh or fish"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (``sys.argv`` if None) and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    previous = _terminate_like_interrupt()
    try:
        status = _status(words)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader of our output (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def _status(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        _print_verbs(sys.stdout)
        return 0 if words else 2
    if words[0] == "--version":
        sys.stdout.write(f"edgeskel {edgeskel.__version__}\n")
        return 0
    from edgeskel.cli.config import output_of

    options = words[: words.index("--")] if "--" in words else words
    as_json = "--json" in options
    try:
        output = output_of(options)
        as_json = output.json
        return _run(words, as_json=as_json, quiet=output.quiet)
    except _Terminated as stop:
        return _fail(EdgeskelError("terminated", remedy="run the same command again"), stop.status, as_json)
    except SystemExit as stop:  # the parser has printed help or what is wrong
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        return _fail(EdgeskelError("interrupted", remedy="run the same command again"), 130, as_json)
    except EdgeskelError as error:
        return _fail(error, error.exit_status, as_json)
    except BrokenPipeError:
        raise
    except Exception as error:
        explained = _explain(error, verb=words[0])
        if explained is None:
            import traceback

            traceback.print_exc()
            explained = EdgeskelError(f"{type(error).__name__}: {error}", remedy="this is a bug; please report it")
        return _fail(explained, explained.exit_status, as_json)


def commands(verb: str) -> dict[str, Command]:
    """The commands of ``verb`` by second word; one that has no second word stands under ""."""
    if verb not in VERBS:
        raise UnknownChoice("verb", verb, VERBS)
    module = import_module(VERBS[verb][0])
    found: dict[str, Any] = getattr(module, "COMMANDS", None) or {"": module.COMMAND}
    from edgeskel.cli.report import Command

    return {name: Command(*command) for name, command in found.items()}


def _run(words: list[str], *, as_json: bool, quiet: bool) -> int:
    verb, *rest = words
    choices = commands(verb)
    from edgeskel.cli import report as frame
    from edgeskel.cli.config import parse

    program = f"edgeskel {verb}"
    name = ""
    if set(choices) != {""}:
        if rest[:1] in (["-h"], ["--help"]) or (not rest and "" not in choices):
            _print_commands(program, choices)
            return 0 if rest else 2
        if "" not in choices or (rest and rest[0] in choices):  # some verbs do something without a second word too
            name = rest.pop(0)
        if name not in choices:
            raise UnknownChoice(f"command of {program}", name, choices)
        program += f" {name}".rstrip()
    config = _parse_quietly(parse, choices[name].config, rest, program) if as_json else parse(
        choices[name].config, rest, program=program
    )
    frame.console.quiet = quiet
    with ExitStack() as stack:
        if quiet:
            stack.enter_context(frame.nothing_on_stderr())
        if as_json:
            stack.enter_context(frame.only_results_on_stdout())
        report = choices[name].function(config)
    frame.show(report, as_json=as_json)
    if report.error is not None:
        if not as_json:
            sys.stdout.flush()
            _fail(report.error, report.error.exit_status, as_json=False)
        return report.error.exit_status
    if report.stay is not None:
        sys.stdout.flush()
        try:
            report.stay()
        except _Terminated as stop:  # its one answer has been given
            return stop.status
    return 0 if report.ok else 1


def _parse_quietly(parse: Any, config: type, rest: list[str], program: str) -> Any:
    """Parse for ``--json``: what the parser would print about wrong arguments becomes an error with that text."""
    text = io.StringIO()
    try:
        with redirect_stderr(text):
            return parse(config, rest, program=program)
    except SystemExit as stop:
        if not stop.code:
            raise
        lines = (line.strip("│╭╰─╮╯ ") for line in text.getvalue().splitlines())
        seen = " ".join(line for line in lines if line)
        raise UsageError(seen, remedy=f"see: {program} --help") from None


def _fail(error: EdgeskelError, status: int, as_json: bool) -> int:
    if as_json:
        from edgeskel.cli.report import fields_of

        sys.stdout.write(json.dumps({"error": fields_of(error)}) + "\n")
        sys.stdout.flush()
    else:
        sys.stderr.write(f"error: {error.seen}\n")
        for name, text in (("expected", error.expected), ("remedy", error.remedy)):
            if text:
                sys.stderr.write(f"  {name}: {text}\n")
    return status


def _explain(error: Exception, verb: str) -> EdgeskelError | None:
    """What the machine refused (a full disk, a missing package) as one of our errors; None for a bug."""
    if isinstance(error, ModuleNotFoundError):
        from edgeskel.extras import missing_extra

        return missing_extra(error, purpose=f"edgeskel {verb}")
    if not isinstance(error, OSError):
        return None
    from edgeskel.cli.report import refused_by_the_machine

    return refused_by_the_machine(error, "nothing half-written was left")


class _Terminated(SystemExit):
    """SIGTERM: unwinds like an interrupt, so that temporary files are removed."""

    def __init__(self, number: int) -> None:
        self.status = 128 + number
        super().__init__(self.status)


def _terminate_like_interrupt() -> Any:
    """Let SIGTERM unwind the program; None where that is not ours to set."""

    def stop(number: int, frame: object) -> None:
        raise _Terminated(number)

    try:
        return signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread
        return None


def _print_verbs(out: Any) -> None:
    out.write("usage: edgeskel VERB ...\n\nSkeleton action recognition, from recordings to a device.\n\n")
    for verb, (_, purpose) in VERBS.items():
        out.write(f"  {verb:<10} {purpose}\n")
    out.write("\nedgeskel VERB --help explains one verb. Every verb takes --json, --quiet and --config FILE.toml.\n"
              "edgeskel --version prints the version.\n")


def _print_commands(program: str, choices: dict[str, Command]) -> None:
    labels = {name: name or " ".join(_positionals(command.config)) for name, command in choices.items()}
    sys.stdout.write(f"usage: {program} {'COMMAND' if '' not in choices else labels['']} ...\n\n")
    width = max(map(len, labels.values()))
    for name, command in choices.items():
        purpose = (command.config.__doc__ or "").strip().partition("\n")[0]
        sys.stdout.write(f"  {labels[name]:<{width}}  {purpose}\n")
    sys.stdout.write(f"\n{program} {labels[''] if '' in choices else 'COMMAND'} --help explains one command.\n")


def _positionals(config: type) -> list[str]:
    import dataclasses

    fields = [field for field in dataclasses.fields(config) if "Positional" in str(field.type)]
    return [field.name.upper() for field in fields]


if __name__ == "__main__":
    sys.exit(main())
