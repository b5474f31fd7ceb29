"""The folder of a training: whose it is, whether it is the same one, whether it is finished, and from where it goes on.

    OUT/run.json               what the training recorded; written last, so that it says that all the rest is there
    OUT/training/begun.json    says from the first moment that the folder is ours
    OUT/training/last.ckpt     while it is unfinished, the state to go on from
    OUT/training/lock          held by the process that trains

Used by every training of edgeskel, whatever its method.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from edgeskel.errors import CorruptFile, UsageError
from edgeskel.files import atomic_write
from edgeskel.training import record
from edgeskel.training.state import IDENTITY, load_state

__all__ = ["RunFolder", "plain", "take_lock"]


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON would give them back."""
    found: dict[str, Any] = json.loads(json.dumps(values, default=dict))
    return found


class RunFolder:
    """See the module's docstring.

    Args:
        path: need not exist.
        identity: what makes two trainings the same; plain values.
        restart: begin anew where another training of ours, or an unfinished one, lies.
        read_identity: brings what an earlier version recorded into today's form.
        ours: whether a ``run.json`` is one of ours.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], *, restart: bool = False,
                 read_identity: Callable[[dict[str, Any]], dict[str, Any]] = lambda told: told,
                 ours: Callable[[dict[str, Any]], bool] = lambda run: "recogniser" in run) -> None:
        self.path, self.identity, self.restart = path, plain(identity), restart
        self.work: Path = path / "training"
        self.state: Path = self.work / "last.ckpt"
        self._read_identity, self._ours = read_identity, ours

    def found(self) -> tuple[dict[str, Any] | None, Path | None]:
        """(run, None) where this training is finished, (None, state) where it can go on, else (None, None).

        Raises:
            UsageError: another training lies here, or something else.
            CorruptFile: what lies here cannot be read.
        """
        if not int(os.environ.get("RANK", 0)):
            self._check_ours()
        if self.restart:
            return None, None
        if (self.path / record.FILE).is_file():
            run = record.read(self.path, remedy="pass --restart to train anew")
            self._check_same(run)
            return run, None
        if self.state.is_file():
            self._check_same(load_state(self.state)[IDENTITY])
            return None, self.state
        return None, None

    @contextmanager
    def training(self) -> Iterator[None]:
        """Mark the folder as ours and hold it; with ``restart``, remove what an older training would be taken up from.

        In this order, so that a kill in between leaves either the older training, finished as it was, or the new one. The
        older weights stay until the new ones are there: this training may start from them. Of several processes the first one
        does this, for all.

        Raises:
            UsageError: another process trains here.
        """
        if int(os.environ.get("RANK", 0)):
            yield
            return
        self.work.mkdir(parents=True, exist_ok=True)
        with self._lock():
            with atomic_write(self._begun) as file:
                file.write((json.dumps(self.identity, indent=1) + "\n").encode())
            if self.restart:
                self.state.unlink(missing_ok=True)
                (self.path / record.FILE).unlink(missing_ok=True)
                for curves in (self.work / "tensorboard", *self.work.glob("csv*")):
                    shutil.rmtree(curves, ignore_errors=True)
            yield

    def finish(self, run: Mapping[str, Any]) -> None:
        """Write ``run.json``, after all the rest, and drop the state."""
        with atomic_write(self.path / record.FILE) as file:
            file.write((json.dumps(run, indent=1) + "\n").encode())
        self.state.unlink(missing_ok=True)

    @property
    def _begun(self) -> Path:
        return self.work / "begun.json"

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Held as long as the process lives, however it ends."""
        with (self.work / "lock").open("a") as file:
            if not take_lock(file):
                raise UsageError(f"{self.path} is being trained in by another process", expected="one process at a time",
                                 remedy="wait for it, or choose another --out")
            yield
        (self.work / "lock").unlink(missing_ok=True)

    def _check_ours(self) -> None:
        """Refuse a folder that holds something, and none of what a training leaves in it from its first moment on."""
        out = self.path
        if not out.exists():
            return
        if not out.is_dir():
            raise UsageError(f"{out} is a file", expected="a folder, or a path that does not exist yet")
        if self._begun.is_file() or not any(path.is_file() or path.is_symlink() for path in out.rglob("*")):
            return
        try:
            if self._ours(record.read(out)):
                return
            if self.state.is_file():
                load_state(self.state)
                return
        except CorruptFile as error:
            if not self.restart:
                return  # nothing is overwritten, and whoever reads the file next explains it
            raise UsageError(
                f"{out} exists, and nothing in it shows that it is a training's: {error.seen}",
                expected="the folder of a training, or none",
                remedy="choose another --out, or remove that file if it is a training's",
            ) from error
        raise UsageError(f"{out} exists and holds something else", remedy="choose another --out")

    def _check_same(self, told: dict[str, Any]) -> None:
        different = _differences(plain(self._read_identity(told)), self.identity)
        if different:
            raise UsageError(
                f"{self.path} holds another training: {'; '.join(different[:4])}",
                expected="the same configuration",
                remedy="choose another --out, or pass --restart to replace it",
            )


def take_lock(file: IO[str]) -> bool:
    """Lock a file until it is closed; False where another process holds it. A system without ``flock`` has no locks."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _differences(found: Any, wanted: Any, name: str = "") -> list[str]:
    if isinstance(found, dict) and isinstance(wanted, dict) and wanted:
        return [
            line for key in wanted for line in _differences(found.get(key), wanted[key], f"{name}.{key}".strip("."))
        ]
    if found is None and wanted in ([], {}, "", 0):
        return []  # begun by a version that had no such setting, and it is not used
    return [] if found == wanted else [f"{name} was {found!r} and is now {wanted!r}"]
