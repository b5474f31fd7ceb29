"""``python3 -I program VERB --release DIR``: build, prove, verify, serve. Answers in JSON lines, the last one counts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeskel.errors import EdgeskelError, EngineError
from edgeskel.files import read_regular
from edgeskel.runtime.bundle import Bundle
from targets.service import isolation

__all__ = ["InstalledRelease", "main"]

_CHOICE_LIMIT = 4 << 20  # bytes


@dataclass(frozen=True)
class InstalledRelease:
    """The installed release that this program belongs to; every digest of its bundle is checked."""

    identity: str
    path: Path
    settings: Mapping[str, Any]
    bundle: Bundle

    @classmethod
    def open(cls, path: Path) -> InstalledRelease:
        facts = json.loads((path / "release.json").read_text("utf-8"))
        return cls(path.name, path, facts["settings"], Bundle.open(path / "bundle"))


def main() -> int:
    """Run one verb."""
    parser = argparse.ArgumentParser(prog="program", description="The program of a release.")
    parser.add_argument("verb", choices=("build", "prove", "verify", "serve"))
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("--choice", type=Path, help="what was chosen when the release was proved here")
    parser.add_argument(
        "--without", nargs=2, action="append", default=[], metavar=("FILE", "WHY"), help="an artifact that is out of question"
    )
    parser.add_argument(isolation.IN_PROCESS, action="store_true", help="in this very process (the program calls itself so)")
    options = parser.parse_args()
    try:
        if options.verb == "serve":
            from targets.service.serve import serve

            return serve(InstalledRelease.open(options.release), **_choice(options.choice), choice=options.choice)
        result = _answer(options)
    except EdgeskelError as error:
        print(
            json.dumps({"error": {"seen": error.seen, "expected": error.expected, "remedy": error.remedy}}), flush=True
        )
        if options.verb == "serve":
            print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    print(json.dumps({"result": result}), flush=True)
    return 0


def _answer(options: argparse.Namespace) -> dict[str, Any]:
    if not options.in_process:
        if options.verb == "prove":
            return isolation.prove(options.release)
        return isolation.run_verb(options.verb, options.release, *(("--choice", str(options.choice)) if options.choice else ()))
    from targets.service import prove

    isolation.enter_child()
    release = InstalledRelease.open(options.release)
    if options.verb == "build":
        return prove.build(release.bundle, _precision(release))
    if options.verb == "verify":
        chosen = _choice(options.choice)["chosen"]
        isolation.announce(chosen["artifact"], chosen["engine"])
        return prove.verify(release.bundle, chosen, release.settings.get("threads"))
    found = prove.prove(release.bundle, release.settings, without=dict(options.without), trying=isolation.announce)
    return {**found, "proved_with": isolation.engine_environment(found["chosen"]["engine"])}


def _precision(release: InstalledRelease) -> str | None:
    precision: str | None = release.settings.get("precision")
    return precision


def _choice(path: Path | None) -> dict[str, Any]:
    """What was chosen when the release was proved here, and in which environment of its engine.

    Raises:
        EngineError: nothing was, or what is kept of it makes no sense.
    """
    try:
        choice = json.loads(read_regular(path or "", _CHOICE_LIMIT))["choice"]
        chosen = {str(name): str(value) for name, value in choice["chosen"].items()}
        if not {"artifact", "engine"} <= set(chosen):
            raise KeyError("artifact")
        return {"chosen": chosen, "proved_with": choice.get("proved_with")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EngineError(
            f"{path} does not say what this release runs ({type(error).__name__})",
            expected="what was chosen when it was proved here",
            remedy="flash it again",
        ) from error
