"""Does in a process of its own what an artifact can end by a signal: a damaged one, under a right signature, is refused then.

An engine is native code that believes the artifact it is given; where it does not, it ends the process (SIGSEGV, SIGABRT). So
each is loaded and asked its golden inputs in a child first, and the service loads only what a child came through with.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgeskel.errors import EdgeskelError, EngineError

__all__ = ["announce", "engine_environment", "enter_child", "prove", "run_verb"]

IN_PROCESS = "--in-process"
_LIMIT_S = {"build": 3500.0, "prove": 240.0, "verify": 120.0}  # less than the device waits for all of it
_PACKAGES = {"onnxruntime": ("onnxruntime",), "executorch": ("executorch", "torch"), "tensorrt": ("tensorrt",), "torch": ("torch",)}


class _ChildKilled(EngineError):
    """The child was ended by a signal; ``artifact`` is what it was trying."""

    artifact: str | None = None


def run_verb(
    verb: str,
    release: Path,
    *arguments: str,
    alive: Callable[[], None] = lambda: None,
    every_s: float = 5.0,
) -> dict[str, Any]:
    """One verb of this program in a child; the object that it answers with.

    Args:
        verb: build, prove or verify.
        release: folder of the release.
        arguments: further ones.
        alive: called every ``every_s`` seconds while it runs.
        every_s: see there.

    Raises:
        EngineError: the child was ended by a signal, or has not ended for long; the message names it, and the artifact.
        EdgeskelError: the child's own error.
    """
    program = str(Path(sys.argv[0]).resolve())
    command = [sys.executable, "-I", "-B", program, verb, "--release", str(release), *arguments, IN_PROCESS]
    end = time.monotonic() + _LIMIT_S[verb]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        while True:
            try:
                output, _ = process.communicate(timeout=every_s)
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() < end:
                    alive()
                    continue
                process.send_signal(signal.SIGALRM)  # an artifact can also keep its engine busy for ever
            except BaseException:
                process.kill()
                raise
    lines = _objects(output)
    answer: dict[str, Any] = next((line for line in reversed(lines) if "result" in line or "error" in line), {})
    if process.returncode < 0:
        tried = next((str(line["trying"]) for line in reversed(lines) if "trying" in line), None)
        raise _killed(verb, process.returncode, tried)
    if isinstance(answer.get("error"), dict):
        fields = {name: str(answer["error"].get(name, "")) for name in ("seen", "expected", "remedy")}
        raise EdgeskelError(**fields)
    if process.returncode or not isinstance(answer.get("result"), dict):
        raise EdgeskelError(f"{verb} ended with status {process.returncode} and no answer", remedy="see its messages above")
    result: dict[str, Any] = answer["result"]
    return result


def _killed(verb: str, status: int, tried: str | None) -> _ChildKilled:
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    how = f"did not come to an end in {_LIMIT_S[verb]:g} s" if status == -signal.SIGALRM else f"ended its process by {name}"
    error = _ChildKilled(
        f"{tried or verb} {how}",
        expected="an artifact that its engine can run",
        remedy="export anew and flash that; if it stays, the engine of this device is damaged",
    )
    error.artifact = tried.partition(" on ")[0] if tried else None
    return error


def prove(release: Path) -> dict[str, Any]:
    """Prove a release. An artifact that ends its process is refused like one that answers wrongly; the others are still tried.

    Raises:
        EdgeskelError: nothing is left that answers rightly and in time.
    """
    refused: dict[str, str] = {}
    while True:
        without = [word for file, why in refused.items() for word in ("--without", file, why)]
        try:
            return run_verb("prove", release, *without)
        except _ChildKilled as error:
            if error.artifact is None or error.artifact in refused:
                raise
            refused[error.artifact] = error.seen


def enter_child() -> None:
    """Called first in a child: its end is expected to be sudden at times, and nobody wants its memory on the disk."""
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def announce(artifact: str, engine: str) -> None:
    """In a child: what it goes about now, so that its end has a name."""
    print(json.dumps({"trying": f"{artifact} on {engine}"}), flush=True)


def engine_environment(engine: str) -> str:
    """What an engine's behaviour depends on beside the artifact: its packages, the interpreter, the processor."""
    parts = [platform.python_version(), platform.machine(), _processor()]
    for package in _PACKAGES.get(engine, ()):
        spec = find_spec(package)
        facts: Sequence[object] = ("absent",)
        if spec is not None and spec.origin is not None:
            seen = Path(spec.origin).stat()
            facts = (spec.origin, seen.st_size, seen.st_mtime_ns)
        with suppress(importlib.metadata.PackageNotFoundError):
            facts = (*facts, importlib.metadata.version(package))
        parts.append(" ".join(map(str, (package, *facts))))
    return "; ".join(parts)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    wanted = ("model name", "flags", "Features", "CPU part")
    found = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    return " ".join(found.get(name, "") for name in wanted).strip()


def _objects(text: str) -> list[dict[str, Any]]:
    found = []
    for line in text.splitlines():
        with suppress(ValueError, RecursionError):
            content = json.loads(line)
            if isinstance(content, dict):
                found.append(content)
    return found
