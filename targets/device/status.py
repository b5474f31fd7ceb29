"""What is seen of the service from outside: who runs it, how it is, and what it says of itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgeskel.printable import printable, printable_all
from targets.device.layout import Install, read_json

__all__ = ["ServiceStatus", "ServiceManager", "health", "last_log_line"]

_WORDS = 400  # letters of what the service says that are kept
_REASONS = 50
_LARGEST = 1e15
# Fields of the health file that a watch judges by, and those that are shown where they are there.
_NEEDED = {"release": str, "beat": float, "frames": int, "moving": int, "recognitions": int, "source": str, "source_says": str,
           "rss_mb": float}
_KNOWN = {"pid": int, "uptime_s": float, "ready_s": float, "first_recognition_s": float, "checks": int, "actions": int,
          "unknown": int, "artifact": str, "engine": str, "precision": str, "mode": str}

_MODES = {"frame": "streaming", "window": "sliding-window"}


@dataclass(frozen=True)
class ServiceStatus:
    """What is seen of the service from outside."""

    active: str
    """active, activating, failed, inactive"""
    restarts: int
    """Starts that nobody asked for, since the last one that somebody did."""
    pid: int
    why: str = ""
    """How the last run ended, where it ended badly."""


class ServiceManager(Protocol):
    """Who runs the service."""

    def prepare(self, *, network: bool) -> None:
        """Write the units, so that they fit the release that is about to run."""

    def enable(self) -> None:
        """Start it at boot."""

    def restart(self) -> None:
        """Stop what runs and start what is current. Does not judge: the status says how it went."""

    def stop(self) -> None:
        """Stop it and do not start it at boot."""

    def status(self) -> ServiceStatus:
        """How it is now."""

    def begin_switch(self, identity: str) -> None:
        """Start the trial of a release in the background, out of reach of this connection's end."""

    def remove(self) -> None:
        """Stop it for good, units and all."""

    def log(self, lines: int) -> str:
        """The last lines that the service wrote."""


def last_log_line(manager: ServiceManager) -> str:
    """The service's last error, or the last that it said, fit to be kept and shown."""
    lines = manager.log(20).splitlines()
    said = next((line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else "")
    return printable(said, _WORDS)


def health(install: Install) -> dict[str, Any] | None:
    """What the running service says of itself (``targets.service.health``); None while it has said nothing that makes sense.

    The file is the service's own, so anything may stand in its place: only a regular file of some size is read, without
    waiting, and of its fields only those that are known and hold what they should.
    """
    said = read_json(Path(install.run) / "health.json")
    if said is None:
        return None
    if not all(_is(said.get(name), kind) for name, kind in _NEEDED.items()):
        return None
    kept = {"pid": 0, "actions": 0, "unknown": 0, "uptime_s": 0.0, **{name: said[name] for name in _NEEDED}}
    kept.update({name: said[name] for name, kind in _KNOWN.items() if _is(said.get(name), kind)})
    if "mode" not in kept and isinstance(way := said.get("way"), str) and way in _MODES:  # programs of earlier releases
        kept["mode"] = _MODES[way]
    refused = said.get("refused")
    counted = refused.items() if isinstance(refused, dict) else ()
    kept["refused"] = {reason[:_WORDS]: count for reason, count in list(counted)[:_REASONS] if _is(count, int)}
    for name, value in kept.items():
        if isinstance(value, str):
            kept[name] = value[:_WORDS]
    for name in ("latency_ms", "last_event"):
        value = said.get(name)
        flat = isinstance(value, dict) and len(value) <= _REASONS
        kept[name] = {key[:_WORDS]: _flat(item) for key, item in value.items()} if flat and isinstance(value, dict) else None
    cleaned: dict[str, Any] = printable_all(kept)
    return cleaned


def _is(value: object, kind: type) -> bool:
    """Whether a value of JSON is of that kind: numbers are finite, counts are not below 0, true is no number."""
    if kind is str:
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else int):
        return False
    return abs(value) < _LARGEST and math.isfinite(value) and (kind is float or value >= 0)


def _flat(value: object) -> object:
    if isinstance(value, str):
        return value[:_WORDS]
    return value if value is None or isinstance(value, bool) or _is(value, float) else None
