"""What the service says of itself: a file that is replaced once a second, and messages to whoever supervises it."""

from __future__ import annotations

import json
import os
import socket
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["ServiceCounters", "ServiceHealth", "notify"]

_EVERY_S = 1.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


def notify(message: str) -> None:
    """Send ``READY=1``, ``WATCHDOG=1``, ... to the supervisor, in the form of sd_notify(3); nothing where there is none."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.sendto(message.encode(), name)


@dataclass
class ServiceCounters:
    """Since the service was started."""

    frames: int = 0
    """That came in and were taken."""
    refused: dict[str, int] = field(default_factory=dict)
    """Frames and joints that were not taken, by the reason (:attr:`edgeskel.runtime.Session.refused`)."""
    moving: int = 0
    """In which somebody moved, so that a recognition was due."""
    recognitions: int = 0
    """Answers of the engine to live frames."""
    checks: int = 0
    """Golden windows that were answered rightly meanwhile."""
    actions: int = 0
    """That have ended and were named."""
    unknown: int = 0
    """That have ended and were none of the known ones."""


@dataclass
class ServiceHealth:
    """Keeps the file and the watchdog.

    Args:
        release: whose service this is.
        source: the address of its frames.
        chosen: artifact, engine, precision and mode.
    """

    release: str
    source: str
    chosen: dict[str, str]
    counts: ServiceCounters = field(default_factory=ServiceCounters)
    source_says: str = "not opened yet"
    last_event: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self._path = Path(os.environ.get("RUNTIME_DIRECTORY", "/run/edgeskel").partition(":")[0]) / "health.json"
        self._started, self._written = _process_start(), 0.0
        self._ready_s: float | None = None
        self._first_s: float | None = None
        self._latency: deque[float] = deque(maxlen=512)

    def ready(self) -> None:
        """The engine has answered rightly: the service may be counted on."""
        self._ready_s = _uptime() - self._started
        self._write()
        notify(f"READY=1\nSTATUS={self.chosen['artifact']} on {self.chosen['engine']}, {self.source}")

    def recognised(self, seconds: float) -> None:
        """The engine answered live frames in so many seconds."""
        self.counts.recognitions += 1
        self._latency.append(seconds)
        if self._first_s is None:
            self._first_s = _uptime() - self._started

    def heartbeat(self) -> None:
        """Called in every round of the loop: once a second it writes and feeds the watchdog."""
        if _uptime() - self._written >= _EVERY_S:
            self._write()
            notify("WATCHDOG=1")

    def _write(self) -> None:
        self._written = _uptime()
        latency = sorted(self._latency)
        content = {
            "release": self.release,
            "pid": os.getpid(),
            "beat": self._written,
            "uptime_s": self._written - self._started,
            "ready_s": self._ready_s,
            "first_recognition_s": self._first_s,
            **asdict(self.counts),
            "source": self.source,
            "source_says": self.source_says,
            **self.chosen,
            "last_event": self.last_event,
            "rss_mb": _resident_mb(),
            "latency_ms": {"p50": 1e3 * latency[len(latency) // 2], "p95": 1e3 * latency[int(0.95 * len(latency))]}
            if latency
            else None,
        }
        # Memory, not a disk: a rename is enough, and a flash memory is spared.
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(content), "utf-8")
        temporary.replace(self._path)


def _uptime() -> float:
    """Seconds since boot, sleep included: the clock that no correction moves and every process shares."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _process_start() -> float:
    """When this process began, on that clock: interpreter and imports count."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 1e6
