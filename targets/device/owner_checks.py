"""Refuses an install that somebody else could change: root would run his programs, or believe his words."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edgeskel.errors import DeviceError
from edgeskel.printable import printable
from targets.device.layout import Layout
from targets.device.ownership import EXPECTED, REMEDY, deny_others_writing, untrusted, writable_by_others

__all__ = ["require_interpreter", "require_owned"]


def require_owned(layout: Layout, scope: str, *, begin: bool = False) -> None:
    """All on the way to the prefix and below it is root's, or that of the user who runs this, and nobody else can write there.

    Below it, the engines are left out, which the service's user builds anew after an upgrade, and the run folder of ``none``:
    nothing of them is believed.

    Args:
        layout: of the prefix.
        scope: where it is ``none``, a folder below /tmp will do: nobody else can replace it there, and it starts nothing at boot.
        begin: whether an install begins here: a folder without one, in which everybody may write but for its sticky bit, as a
            fresh tmpfs is, is closed first.

    Raises:
        DeviceError: somebody else could change it; the message names where.
    """
    uid = os.getuid()
    fresh = begin and layout.prefix.is_dir() and not (layout.prefix / "install.json").exists()
    if fresh and not untrusted(str(layout.prefix), uid, sticky=scope == "none", mount=True):
        deny_others_writing(str(layout.prefix))
    why = untrusted(str(layout.prefix), uid, sticky=scope == "none") or _below(layout, uid)
    if why is not None:
        raise _refused(why, uid)


def require_interpreter(python: str) -> None:
    """The interpreter that units of root's start is nobody else's to exchange. Raises ``DeviceError``."""
    why = untrusted(python, 0)
    if why is not None:
        raise DeviceError(
            f"root would run the interpreter {python}, and {printable(why)}",
            expected="an interpreter of the system's",
            remedy="put /usr/bin first on PATH there, or flash with --scope user",
        )


def _refused(why: str, uid: int) -> DeviceError:
    owner = "root" if uid == 0 else "root or this user"
    return DeviceError(printable(why), expected=EXPECTED % owner, remedy=REMEDY)


def _below(layout: Layout, uid: int) -> str | None:
    left_out = {layout.engines, layout.prefix / "run"}
    folders = [layout.prefix]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except FileNotFoundError:
            continue
        for entry in entries:
            if Path(entry.path) in left_out and not entry.is_symlink():
                continue
            try:
                facts = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # a step's temporary file
                continue
            if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
                return f"{entry.path} is neither a file nor a folder"
            if why := writable_by_others(entry.path, facts, uid):
                return why
            if stat.S_ISDIR(facts.st_mode):
                folders.append(Path(entry.path))
    return None
