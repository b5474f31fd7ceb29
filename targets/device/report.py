"""What a device says of itself: which release runs and why, whether it is whole, whom it trusts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeskel.errors import DeviceError
from edgeskel.files import read_regular
from edgeskel.printable import printable
from targets.device import steps, trust
from targets.device.layout import Install, Layout
from targets.device.release import SIGNATURE, SIGNATURE_LIMIT, damage, require_whole
from targets.device.service import manager
from targets.device.state import State
from targets.device.status import ServiceStatus, health
from targets.device.switching import load
from targets.device.users import has_user

__all__ = ["journal", "status", "verify"]


def status(layout: Layout) -> dict[str, Any]:
    """Which release runs, which one ran before, what happened last and why, and how the service is."""
    install, state = layout.install(), load(layout)
    signers = trust.read(layout.signers)
    service, said = manager(layout, install).status(), health(install)
    alive = service.active == "active" and said is not None
    names = [name for name in (state.current, state.previous) if name]
    choice = steps.proved(layout, state.current) if state.current else None
    return {
        "phase": state.phase,
        "running": said["release"] if alive and said is not None else None,
        "current": state.current,
        "previous": state.previous,
        "last": None if state.last is None else vars(state.last),
        "why": _why(layout, install, state, service),
        "trial": None if state.trial is None else {**vars(state.trial), "watched_now": layout.is_locked("switch")},
        "whole": {name: damage(layout.release(name), name) or True for name in names},
        "service": {
            "manager": install.scope,
            "active": service.active,
            "restarts": service.restarts,
            "pid": service.pid,
            "why": service.why,
        },
        "health": said if alive else None,
        "artifact": choice["chosen"] if choice else None,
        "proved": choice,
        "newest": dict(state.newest),
        "trusted": sorted(signers.keys),
        "trust_damaged": signers.complaints,
        "prefix": str(layout.prefix),
        "disk_free_mb": shutil.disk_usage(layout.prefix).free / 1e6,
    }


def _why(layout: Layout, install: Install, state: State, service: ServiceStatus) -> str:
    """One sentence for a person."""
    said = f"{state.last.name}: {state.last.reason}" if state.last else "nothing was flashed here"
    if state.trial is not None:
        return f"on its way back: {state.trial.failed}" if state.trial.failed else f"on trial, {said}"
    if service.active == "active" or state.phase != "good":
        return said
    if install.scope == "none":
        command = f"{layout.tool} serve --prefix {layout.prefix}"
        return f"{said}; no service was asked for (--scope none), and nobody has started: {command}"
    gone = install.scope == "system" and not has_user(install.user)
    return (
        f"{said}; its service is {service.active}"
        + (f" ({service.why})" if service.why else "")
        + (f"; its user {install.user} is gone: flash again" if gone else "")
    )


def verify(layout: Layout, say: Callable[[str], None]) -> dict[str, Any]:
    """Check what is current again: signature, every digest, and the golden inputs on its engine.

    Raises:
        DeviceError: nothing is current, it was altered, or it answers otherwise than it should.
    """
    state = load(layout)
    if state.current is None:
        raise DeviceError(
            f"no release is current under {layout.prefix}", remedy="flash one: edgeskel flash HOST BUNDLE"
        )
    folder = layout.release(state.current)
    release = require_whole(folder, state.current)
    key = trust.check(layout.signers, release.content, read_regular(folder / SIGNATURE, SIGNATURE_LIMIT))
    result = steps.program(layout, state.current, "verify", say, "--choice", str(layout.choice(state.current)))
    return {**result, "release": state.current, "key": key, "files": len(release.files)}


def journal(layout: Layout, lines: int) -> dict[str, Any]:
    """The last transitions, and the last lines of the service."""
    install = layout.install()
    said = manager(layout, install).log(lines).splitlines()
    return {
        "journal": [printable(line) for line in layout.journal_text().splitlines()[-lines:]],
        "service": [printable(line) for line in said[-lines:]],
    }


def uninstall(layout: Layout) -> dict[str, Any]:
    """Stop the service and remove units, user and prefix; nothing else was ever written.

    Raises:
        DeviceError: the prefix holds no install of ours.
    """
    import subprocess

    install = layout.install()
    with layout.lock("switch", wait_s=5), layout.lock("flash", wait_s=5):
        manager(layout, install).remove()
        run = Path(install.run)
        if install.scope == "none" and run.parent == layout.prefix:
            shutil.rmtree(run, ignore_errors=True)
        if install.scope == "system" and install.user:
            subprocess.run(["/usr/sbin/userdel", install.user], capture_output=True, check=False)
        # install.json goes last: an interrupted removal can be called again
        for path in sorted(layout.prefix.iterdir(), key=lambda entry: entry.name == "install.json"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        if not (layout.prefix.is_symlink() or layout.prefix.is_mount()):  # those were there before: they stay, empty
            layout.prefix.rmdir()
    return {"removed": str(layout.prefix)}
