"""One box and what is flashed onto it: its figures, and what it runs after a fault has hit a flash.

Faults: the workstation's processes killed, every ``edgeskel-device`` process on the device killed, the connection's server killed,
the power cut.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any

from benchmarks._bench import ROOT
from targets.flash.flashing import STEPS
from tests.targets.box import Box

__all__ = ["FAULTS", "Fault", "Flashed", "Interrupted", "planned"]

FAULTS = ("workstation", "device", "connection", "power")
_SETTLE_S = 90.0
_STATE = "opt/edgeskel/state.json"
_EARLIEST_S = 0.2

# Each names itself with a class, so that it does not find itself.
_KILL = {"device": "[e]dgeskel-device", "connection": "[s]shd: root@"}
_FIND = "grep -lzs '{}' /proc/[0-9]*/cmdline"
_BUSY = "systemctl list-units --all --plain --no-legend --state=activating,deactivating 'edgeskel*'"


class Interrupted(Exception):
    """Somebody wants to stop."""


@dataclass(frozen=True)
class Fault:
    """One fault: what is hit, and when.

    Args:
        number: its place in the plan.
        kind: one of ``FAULTS``.
        moment: of the flash's usual duration, 0 to 1; None at a step.
        step: hit when the flash first speaks of this step; None at a moment.
    """

    number: int
    kind: str
    moment: float | None = None
    step: str | None = None


def planned(trials: int, seed: int) -> list[Fault]:
    """So many faults at random moments, each kind in turns; then each kind at every step."""
    rng = random.Random(seed)
    moments = [Fault(number, FAULTS[number % len(FAULTS)], rng.random()) for number in range(trials)]
    steps = [(kind, step) for step in STEPS for kind in FAULTS]
    return [*moments, *(Fault(trials + index, kind, step=step) for index, (kind, step) in enumerate(steps))]


class Flashed:
    """A booted box, flashed over its own sshd. A context manager.

    Args:
        bundle: for the host target.
        stop: set when whatever goes on should end soon.
        nice: of the box.
    """

    def __init__(self, bundle: Path, stop: Event, *, nice: int = 0) -> None:
        self._bundle, self._stop = bundle, stop
        self._box = Box(nice=nice)
        self._usual_s, self._running = 0.0, ""

    def __enter__(self) -> Flashed:
        from targets.flash import signing

        self._box.__enter__()
        self._folder = tempfile.TemporaryDirectory(prefix="edgeskel-deploy-")
        self._key = Path(self._folder.name) / "release_key"
        signing.create(self._key)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()
        self._box.__exit__(kind, error, trace)

    def _command(self, *words: object) -> list[str]:
        place = ("--ssh-config", str(self._box.ssh_config), "--json")
        return [sys.executable, "-m", "edgeskel.cli.main", "flash", *map(str, words), *place]

    def _flash(self, *options: object) -> list[str]:
        return self._command("box", self._bundle, "--key", self._key, *options)

    def _run(self, command: list[str]) -> dict[str, Any]:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=600)
        if self._stop.is_set():
            raise Interrupted
        answer: dict[str, Any] = json.loads(done.stdout or '{"error": {"message": "no answer"}}')
        if "error" in answer:
            raise RuntimeError(f"{answer['error']['message']}\n{done.stderr[-2000:]}")
        return answer

    def _status(self) -> dict[str, Any]:
        command = self._command("status", "box")
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=600)
        answer: dict[str, Any] = json.loads(done.stdout or "{}")
        return answer

    def _health(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self._box.read("/run/edgeskel/health.json"))
        except (OSError, ValueError):
            return {}
        return content

    def from_nothing(self, watch_s: float) -> dict[str, Any]:
        """The whole command, wall clock; what it put there beside numpy and the engine."""
        start = time.monotonic()
        flashed = self._run(self._flash("--watch", watch_s))
        seconds = time.monotonic() - start
        release = self._box.root / "opt/edgeskel/releases" / flashed["release"]
        size = sum(
            path.stat().st_size
            for path in release.rglob("*")
            if path.is_file() and "packages" not in path.relative_to(release).parts
        )
        return {
            "flash_s": round(seconds, 1),
            "flash_watch_s": watch_s,
            "flash_steps_s": flashed["seconds"],
            "install_mb": round(size / 1e6, 2),
        }

    def restart(self) -> dict[str, Any]:
        """From asking systemd to the first live recognition."""
        times = []
        for _ in range(3):
            before = self._health()["pid"]
            asked = time.clock_gettime(time.CLOCK_BOOTTIME)  # one kernel, one clock
            self._box.run("systemctl restart edgeskel")
            while (said := self._health()).get("pid", before) == before or said["first_recognition_s"] is None:
                if self._stop.wait(0.1):
                    raise Interrupted
            times.append(said["beat"] - said["uptime_s"] + said["first_recognition_s"] - asked)
        return {"restart_to_first_recognition_s": round(sorted(times)[1], 2), "restart_slowest_s": round(max(times), 2)}

    def memory(self, frames: int, limit_s: float) -> dict[str, Any]:
        """Resident memory of the service, and what it grows by over so many frames, fed as fast as it takes them.

        Raises:
            RuntimeError: it was started again meanwhile.
        """
        begin = time.monotonic()
        self._running = self._run(self._flash("--watch", 2, "--source", "golden:?speed=0"))["release"]
        self._usual_s = time.monotonic() - begin
        early: dict[str, Any] = {}
        end = time.monotonic() + limit_s
        while True:
            said = self._health()
            if said.get("frames", 0) >= min(10_000, frames // 4) and not early:
                early = said
            if early and said.get("pid") != early["pid"]:
                raise RuntimeError(f"the service was started again after {early['frames']} frames: {self._evidence()}")
            if early and (said["frames"] >= frames or time.monotonic() > end):
                break
            if self._stop.wait(0.25):
                raise Interrupted
        return {
            "device_rss_mb": round(said["rss_mb"], 1),
            "rss_growth_mb": round(said["rss_mb"] - early["rss_mb"], 2),
            "simulated_hours": round(said["frames"] / 30 / 3600, 2),
        }

    def install_engine(self) -> None:
        """ONNX Runtime among the box's own packages: the releases then are small, and the trials about them."""
        from targets.flash import wheels

        python = self._box.run("python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'").stdout.strip()
        with zipfile.ZipFile(wheels.fetch(wheels.ENGINE, python, os.uname().machine)) as archive:
            archive.extractall(self._box.root / f"usr/local/lib/python{python}/dist-packages")

    def trial(self, fault: Fault) -> dict[str, Any]:
        """Break one flash of a new release. ``runs``: ``new``, ``previous`` or ``broken``, then with all that is known.

        Raises:
            Interrupted: it was not carried to its end.
        """
        if not self._running:
            start = time.monotonic()
            self._run(self._flash("--watch", 2, "--threshold", 0.3))
            self._usual_s = self._usual_s or time.monotonic() - start
            self._running = self._settled()["running"]
        said = Path(self._folder.name) / "said"
        command = self._flash("--watch", 2, "--threshold", round(0.31 + fault.number / 1000, 3))
        with said.open("wb") as errors:
            start = time.monotonic()
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
            )
            self._await_moment(process, fault, said)
            moment = time.monotonic() - start
            self._strike(process, fault.kind)
            process.wait(120)
        if fault.kind == "power":
            self._box.boot()
        text = said.read_text("utf-8", errors="replace")
        new = text.partition("release edge-demo-")[2][:12]
        before, found = self._running, self._settled()
        if self._stop.is_set():
            raise Interrupted
        runs = "broken"
        if found and found["whole"].get(found["running"]) is True and found["why"]:
            runs = {f"edge-demo-{new}": "new", before: "previous"}.get(found["running"], "broken")
        self._running = found.get("running", "")
        row = {
            "trial": fault.number,
            "fault": fault.kind,
            "at": fault.step or "moment",
            "moment_s": round(moment, 2),
            "runs": runs,
            "why": found.get("why", "no answer"),
        }
        return row if runs != "broken" else {**row, "evidence": f"{text[-2000:]}\n{found}\n{self._evidence()}"}

    def _await_moment(self, process: subprocess.Popen[bytes], fault: Fault, said: Path) -> None:
        if fault.moment is not None:
            time.sleep(_EARLIEST_S + fault.moment * max(0.0, self._usual_s - _EARLIEST_S))
        while fault.step is not None and process.poll() is None:
            if any(line.startswith(fault.step) for line in said.read_text("utf-8", errors="replace").splitlines()):
                break
            time.sleep(0.005)

    def _strike(self, process: subprocess.Popen[bytes], kind: str) -> None:
        if kind == "power":
            self._box.cut_power()
        elif kind in _KILL:
            self._box.nsenter(f"for p in $({_FIND.format(_KILL[kind])} | grep -o '[0-9]*'); do kill -9 $p; done")
        if kind in ("workstation", "power"):
            os.killpg(process.pid, signal.SIGKILL)

    def _settled(self) -> dict[str, Any]:
        """The status once no trial goes on or is about to and the service recognises; empty when that does not come."""
        end = time.monotonic() + _SETTLE_S
        while time.monotonic() < end and not self._stop.is_set():
            if self._is_quiet():
                found = self._status()
                if found.get("trial", 1) is None and found["running"] is not None and found["health"]["frames"] > 0:
                    return found
            time.sleep(0.1)
        return {}

    def _is_quiet(self) -> bool:
        """Seen from beside the box, so that waiting costs it nothing: nothing of a flash is left to happen."""
        said = self._health()
        try:
            state = json.loads((self._box.root / _STATE).read_text("utf-8"))
        except (OSError, ValueError):
            return False
        if state["trial"] is not None or said.get("release") != state["current"] or not said.get("frames"):
            return False
        return not self._box.nsenter(f"{_FIND.format(_KILL['device'])}; {_BUSY}").stdout.strip()

    def _evidence(self) -> str:
        """What the device has written about it."""
        try:
            return self._box.nsenter(
                f"cat /{_STATE}; tail -n 20 /opt/edgeskel/journal.jsonl; journalctl -u 'edgeskel*' -n 80 --no-pager; "
                "systemctl status 'edgeskel*' --no-pager; cat /run/edgeskel/health.json; ls /opt/edgeskel/releases"
            ).stdout[-12_000:]
        except OSError as error:
            return str(error)
