"""A damaged ``.pte`` under a digest that fits is refused, and does not end the program.

ExecuTorch believes the file that it is given; where one is damaged, it can end the process by a signal. So each is loaded and asked
one golden window in a child before this process loads it. What came through once, with the same engine on the same processor, is
remembered (``edgeskel/proved`` in the user's cache) and not asked again.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from edgeskel.errors import EngineError
from edgeskel.runtime import engines
from edgeskel.runtime.bundle import Artifact, Bundle

__all__ = ["prove", "prove_all"]

ENGINE = "executorch"
_LIMIT_S = 240.0


def prove_all(bundle: Bundle, engine: str | None = None) -> None:
    """Prove every artifact that ExecuTorch will run, where it is here and is asked for. Raises ``EngineError`` as :func:`prove`."""
    if engine not in (None, ENGINE) or engines.get(ENGINE).available() is not None:
        return
    for artifact in bundle.artifacts:
        if ENGINE in artifact.engines:
            prove(bundle, artifact)


def prove(bundle: Bundle, artifact: Artifact) -> None:
    """Load an artifact for ExecuTorch in a child and ask it one golden window.

    Raises:
        EngineError: that ended the child by a signal, or did not end. What the engine itself refuses is left to whoever loads it.
    """
    mark = _mark(bundle, artifact)
    if mark.exists():
        return
    command = [sys.executable, "-m", __name__, str(bundle.path), artifact.file]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise _refused(artifact, f"did not come to an end in {_LIMIT_S:g} s") from error
    if done.returncode < 0:
        raise _refused(artifact, f"ended its process by {_name(-done.returncode)}")
    if done.returncode == 0:
        with suppress(OSError):  # a cache that cannot be written costs the next proof, nothing else
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()


def _refused(artifact: Artifact, how: str) -> EngineError:
    return EngineError(f"{artifact.file} on {ENGINE} {how}", expected="an artifact that its engine can run",
                       remedy="export anew; if it stays, the engine here is damaged: install it again")


def _mark(bundle: Bundle, artifact: Artifact) -> Path:
    """The file that stands for a proof of this content, with this engine, here."""
    from targets.service.isolation import engine_environment

    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeskel" / "proved"
    about = f"{bundle.manifest['files'][artifact.file]} {engine_environment(ENGINE)}"
    return home / hashlib.sha256(about.encode()).hexdigest()


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _ask(folder: str, file: str) -> None:
    """In the child."""
    from edgeskel.runtime.step_artifact import open_windows
    from targets.service.isolation import enter_child

    enter_child()
    bundle = Bundle.open(folder)
    artifact = next(artifact for artifact in bundle.artifacts if artifact.file == file)
    golden = bundle.golden
    open_windows(bundle, artifact, ENGINE, 1)(golden.joints[:1], golden.confidence[:1])


if __name__ == "__main__":
    _ask(*sys.argv[1:])
