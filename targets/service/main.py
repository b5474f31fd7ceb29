"""``python3 -I program VERB --release DIR``: build, prove, verify, serve. Answers in JSON lines, the last one counts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeskel.errors import EdgeskelError
from edgeskel.runtime.bundle import Bundle

__all__ = ["Release", "main"]


@dataclass(frozen=True)
class Release:
    """The installed release that this program belongs to; every digest of its bundle is checked."""

    identity: str
    path: Path
    settings: Mapping[str, Any]
    bundle: Bundle

    @classmethod
    def open(cls, path: Path) -> Release:
        facts = json.loads((path / "release.json").read_text("utf-8"))
        return cls(path.name, path, facts["settings"], Bundle.open(path / "bundle"))


def main() -> int:
    """Run one verb."""
    parser = argparse.ArgumentParser(prog="program", description="The program of a release.")
    parser.add_argument("verb", choices=("build", "prove", "verify", "serve"))
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("--choice", type=Path, help="what was chosen when the release was proved here")
    options = parser.parse_args()
    try:
        release = Release.open(options.release)
        if options.verb == "serve":
            from targets.service.serve import serve

            return serve(release, _chosen(options.choice))
        result = _answer(release, options)
    except EdgeskelError as error:
        print(
            json.dumps({"error": {"seen": error.seen, "expected": error.expected, "remedy": error.remedy}}), flush=True
        )
        if options.verb == "serve":
            print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    print(json.dumps({"result": result}), flush=True)
    return 0


def _answer(release: Release, options: argparse.Namespace) -> dict[str, Any]:
    from targets.service import prove

    if options.verb == "build":
        return prove.build(release.bundle, _precision(release))
    if options.verb == "verify":
        return prove.verify(release.bundle, _chosen(options.choice), release.settings.get("threads"))
    return prove.prove(release.bundle, release.settings)


def _precision(release: Release) -> str | None:
    precision: str | None = release.settings.get("precision")
    return precision


def _chosen(path: Path) -> dict[str, str]:
    chosen: dict[str, str] = json.loads(path.read_text("utf-8"))["choice"]["chosen"]
    return chosen
