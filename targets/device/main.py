"""The command line of ``edgeskel-device``: each step of a flash is one verb, and so is a whole one from a folder.

Prints JSON lines: ``{"say": ...}`` as it goes, and last ``{"result": ...}`` or ``{"error": ...}``.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeskel.errors import DeviceError, EdgeskelError
from targets.device import probe, report, staging, steps, switching, trust
from targets.device.install import begin, install_folder
from targets.device.layout import Layout, read_json
from targets.device.owner_checks import require_owned
from targets.device.release import DESCRIPTOR_LIMIT, SIGNATURE_LIMIT
from targets.device.state import Transition

__all__ = ["main"]

_BLOCKED = (
    "a folder, or nothing, at that place",
    "move on the device away what lies there, or choose another --prefix",
)
_OFFERED = {"content": DESCRIPTOR_LIMIT, "signature": SIGNATURE_LIMIT}
# Error of the device's file system -> what was expected, what to do.
_OBSTACLES = {
    errno.EROFS: (
        "a place that can be written",
        "remount it for writing; where it became read-only by itself, look at dmesg",
    ),
    errno.ENOSPC: ("", "free some space on the device and run the same command again"),
    errno.EEXIST: _BLOCKED,
    errno.ENOTDIR: _BLOCKED,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one verb."""
    os.umask(0o022)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    options = _parser().parse_args(arguments)
    layout = Layout(Path(os.path.abspath(options.prefix)))
    try:
        _require_owned(layout, options)
        result = options.run(layout, options)
    except EdgeskelError as error:
        _print({"error": {"seen": error.seen, "expected": error.expected, "remedy": error.remedy}})
        return 1
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        expected, remedy = _OBSTACLES.get(error.errno or 0, ("", ""))
        _print({"error": {"seen": f"{place}{error.strerror or error}", "expected": expected, "remedy": remedy}})
        return 1
    _print({"result": result})
    return 0


def _require_owned(layout: Layout, options: argparse.Namespace) -> None:
    """Before every verb but the probe, which believes nothing that it finds."""
    if options.verb != "probe":
        scope = getattr(options, "scope", None) or (read_json(layout.prefix / "install.json") or {}).get("scope")
        require_owned(layout, str(scope), begin=options.verb in ("begin", "install"))


def _print(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Progress, for whoever follows."""
    _print({"say": text})


def _follow(layout: Layout, options: argparse.Namespace) -> dict[str, Any]:
    last = Transition(**json.loads(options.since)) if options.since else None
    return switching.follow(layout, options.id, last, say)


def _switch(layout: Layout, options: argparse.Namespace) -> dict[str, Any]:
    """Begin the trial of a proved release in the background."""
    last = switching.begin_switch(layout, options.id, options.watch, options.reason)
    return {"since": json.dumps(vars(last)) if last else ""}


def _rollback(layout: Layout, options: argparse.Namespace) -> dict[str, Any]:
    """Begin the trial of the release that ran before."""
    state = switching.load(layout)
    if state.previous is None:
        raise DeviceError(
            f"there is no release before {state.current}",
            expected="one to go back to",
            remedy="flash the bundle that you want with --allow-older",
        )
    options.id = state.previous
    return {"release": state.previous, **_switch(layout, options)}


def _trust(layout: Layout, options: argparse.Namespace) -> dict[str, Any]:
    if options.remove:
        trust.remove(layout.signers, options.remove)
    if options.add and not (options.first and trust.fingerprints(layout.signers)):
        trust.add(layout.signers, options.add)
        layout.note("trusted", key=trust.fingerprint(options.add))
    found = trust.read(layout.signers)
    return {"trusted": found.keys, "damaged": found.complaints}


def _offer(layout: Layout, options: argparse.Namespace) -> dict[str, Any]:
    stream = sys.stdin.buffer
    try:
        sizes = json.loads(stream.readline(256))
        lengths = [min(max(int(sizes[name]), 0), limit) for name, limit in _OFFERED.items()]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DeviceError("no offer on stdin", expected="the sizes of a descriptor and its signature, then both") from error
    content, signature = (stream.read(length) for length in lengths)
    with layout.lock("flash"):
        return staging.offer(layout, content, signature, allow_older=options.allow_older)


def _receive(layout: Layout, options: argparse.Namespace) -> dict[str, Any]:
    with layout.lock("flash", wait_s=5):  # the one before may be about to notice that its connection is gone
        return staging.receive(layout, options.id, sys.stdin.buffer)


def _locked(step: Callable[..., Any]) -> Callable[[Layout, argparse.Namespace], Any]:
    def run(layout: Layout, options: argparse.Namespace) -> Any:
        with layout.lock("flash", wait_s=5):
            return step(layout, options)

    return run


def _serve(layout: Layout, options: argparse.Namespace) -> dict[str, Any]:
    state = switching.load(layout) if options.no_guard or layout.install().scope != "none" else switching.guard(layout)
    if state.current is None:
        raise DeviceError(
            f"no release is current under {layout.prefix}", remedy="flash one: edgeskel flash HOST BUNDLE"
        )
    steps.serve(layout, state.current)
    return {}


def _admitted(layout: Layout, options: argparse.Namespace) -> dict[str, Any]:
    return {"release": str(staging.admit(layout, options.id))}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeskel-device", description="Takes in releases, switches, watches, goes back."
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(
        name: str, run: Callable[[Layout, argparse.Namespace], Any], purpose: str, *ids: str
    ) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=purpose, description=purpose)
        for identity in ids:
            added.add_argument(identity)
        added.add_argument("--prefix", required=True)
        added.set_defaults(run=run, verb=name)
        return added

    verb("probe", lambda layout, options: probe.facts(str(layout.prefix)), "what this device is; changes nothing")
    started = verb("begin", begin, "make the prefix: folders, the service's user")
    started.add_argument("--scope", choices=("system", "user", "none"), required=True)
    trusted = verb("trust", _trust, "list trusted keys, trust another, trust one no longer")
    trusted.add_argument("--add", metavar="PUBLIC_KEY")
    trusted.add_argument("--first", action="store_true", help="only where no key is trusted yet")
    trusted.add_argument("--remove", metavar="FINGERPRINT")
    offered = verb("offer", _offer, "judge a descriptor on stdin; say which files are missing")
    offered.add_argument("--allow-older", action="store_true")
    verb("receive", _receive, "take files on stdin", "id")
    verb("admit", _locked(_admitted), "make an uploaded release one of this device's", "id")
    verb("build", _locked(lambda layout, options: steps.build(layout, options.id, say)), "build its engines", "id")
    verb(
        "prove",
        _locked(lambda layout, options: steps.prove(layout, options.id, say)),
        "golden inputs and latency",
        "id",
    )
    for name, run, purpose in (
        ("switch", _locked(_switch), "begin the trial of a release in the background"),
        ("rollback", _locked(_rollback), "begin the trial of the release before"),
    ):
        switch = verb(name, run, purpose, *(("id",) if name == "switch" else ()))
        switch.add_argument("--watch", type=float, default=60.0, metavar="SECONDS")
        switch.add_argument("--reason", default="asked for on the device")
    followed = verb("follow", _follow, "wait for the outcome of a trial", "id")
    followed.add_argument("--since", default="")
    verb(
        "run-switch",
        lambda layout, options: switching.run_switch(layout, options.id).to_json(),
        "a trial (a unit calls it)",
        "id",
    )
    verb("settle", lambda layout, options: switching.settle(layout).to_json(), "end a broken trial (a unit calls it)")
    verb(
        "guard",
        lambda layout, options: switching.guard(layout).to_json(),
        "is what is current whole? (a unit calls it)",
    )
    verb("serve", _serve, "recognise (a unit calls it)").add_argument("--no-guard", action="store_true")
    verb("status", lambda layout, options: report.status(layout), "which release runs, and why")
    verb("verify", _locked(lambda layout, options: report.verify(layout, say)), "check what is current again")
    verb("logs", lambda layout, options: report.journal(layout, options.lines), "what happened").add_argument(
        "--lines", type=int, default=50
    )
    verb("uninstall", lambda layout, options: report.uninstall(layout), "remove everything")
    folder = verb(
        "install", lambda layout, options: install_folder(layout, options, say), "a whole flash from a folder", "folder"
    )
    folder.add_argument("--scope", choices=("system", "user", "none"), default="system" if os.getuid() == 0 else "user")
    folder.add_argument("--trust", metavar="KEY.pub", help="the key to trust, where none is trusted yet")
    folder.add_argument("--allow-older", action="store_true")
    folder.add_argument("--any-clock", action="store_true")
    folder.add_argument("--watch", type=float, default=60.0, metavar="SECONDS")
    return parser
