"""A bundle onto a booted Debian with systemd and sshd: how long, how much memory, and what faults leave behind.

``trials`` faults hit flashes at random moments: the workstation's processes killed, every ``edgeskel-device`` process on the device
killed, the connection's server killed, the power cut. A trial is ``broken`` when the device does not, afterwards and by itself, run
the release from before or the new one, whole, with frames coming in, and say why. ``flash_s`` is the whole command from a device
without anything, the engine's upload and ``flash_watch_s`` of watching included.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks._bench import CACHE, ROOT, main
from benchmarks._box import Box, missing
from edgeskel.cli.report import console

SEED = 0
TRIALS = 200
DAY_FRAMES = 24 * 3600 * 30
FAULTS = ("workstation", "device", "connection", "power")
_SETTLE_S = 90.0
_QUICK_S = 40.0  # after which a quick run begins no further trial
_LEAST = 2  # trials, however late it is

# Each names itself with a class, so that it does not find itself.
_KILL = {"device": "[e]dgeskel-device", "connection": "[s]shd: root@"}


def measure(quick: bool) -> dict[str, Any]:
    """Flash, restart, watch memory, then break flashes at random moments."""
    why = missing()
    if why is not None:
        sys.exit(why)
    begin = time.monotonic()
    with ThreadPoolExecutor(1) as second:
        made = second.submit(_bundle)  # while the box boots
        with Box() as box, _Runner(box, made.result()) as run:
            return _measured(run, second, begin if quick else None)


def _measured(run: _Runner, second: ThreadPoolExecutor, begin: float | None) -> dict[str, Any]:
    """``begin`` of a quick run, by the monotonic clock; None for a whole one."""
    figures = run.flash_from_nothing(10.0 if begin is None else 3.0)
    figures.update(run.restart())
    if begin is not None:
        figures.update(run.memory(10_000, 3.0))
        return {**figures, **run.faults(TRIALS, until=begin + _QUICK_S)}
    day = second.submit(_day, run.bundle)  # on a box of its own, while the first one is broken
    figures.update(run.faults(TRIALS))
    return {**figures, **day.result()}


def _day(bundle: Path) -> dict[str, Any]:
    """A day of frames, as fast as they are taken."""
    with Box() as box, _Runner(box, bundle) as run:
        return run.memory(DAY_FRAMES, 7200.0)


class _Runner:
    """One box, and what is flashed onto it."""

    def __init__(self, box: Box, bundle: Path) -> None:
        self._box, self.bundle = box, bundle

    def __enter__(self) -> _Runner:
        from targets.flash import signing

        self._folder = tempfile.TemporaryDirectory(prefix="edgeskel-deploy-")
        self._key = Path(self._folder.name) / "release_key"
        signing.create(self._key)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def _command(self, *words: object) -> list[str]:
        return [
            sys.executable,
            "-m",
            "edgeskel.cli.main",
            "flash",
            *map(str, words),
            "--ssh-config",
            str(self._box.ssh_config),
            "--json",
        ]

    def _flash(self, *options: object) -> list[str]:
        return self._command("box", self.bundle, "--key", self._key, *options)

    def _run(self, command: list[str]) -> dict[str, Any]:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=600)
        answer: dict[str, Any] = json.loads(done.stdout)
        if "error" in answer:
            raise RuntimeError(answer["error"]["message"])
        return answer

    def _status(self) -> dict[str, Any]:
        done = subprocess.run(
            self._command("status", "box"), capture_output=True, text=True, cwd=ROOT, check=False, timeout=60
        )
        answer: dict[str, Any] = json.loads(done.stdout or "{}")
        return answer

    def _health(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self._box.run("cat /run/edgeskel/health.json", check=False).stdout)
        except ValueError:
            return {}
        return content

    def flash_from_nothing(self, watch_s: float) -> dict[str, Any]:
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
        """From asking systemd to the first live recognition; and the service's memory."""
        times = []
        for _ in range(3):
            asked = time.clock_gettime(time.CLOCK_BOOTTIME)  # one kernel, one clock
            self._box.run("systemctl restart edgeskel")
            while (said := self._health()).get("first_recognition_s") is None:
                time.sleep(0.1)
            times.append(said["beat"] - said["uptime_s"] + said["first_recognition_s"] - asked)
        return {"restart_to_first_recognition_s": round(sorted(times)[1], 2), "restart_slowest_s": round(max(times), 2)}

    def memory(self, frames: int, limit_s: float) -> dict[str, Any]:
        """Resident memory of the service, and what it grows by over so many frames, fed as fast as it takes them."""
        self._run(self._flash("--watch", 2, "--source", "golden:?speed=0"))
        early: dict[str, Any] = {}
        end = time.monotonic() + limit_s
        while True:
            said = self._health()
            if said.get("frames", 0) >= min(10_000, frames // 4) and not early:
                early = said
            if early and (said["frames"] >= frames or time.monotonic() > end):
                break
            time.sleep(0.5)
        return {
            "device_rss_mb": round(said["rss_mb"], 1),
            "rss_growth_mb": round(said["rss_mb"] - early["rss_mb"], 2),
            "simulated_hours": round(said["frames"] / 30 / 3600, 2),
        }

    def _install_engine(self) -> None:
        """ONNX Runtime among the box's own packages: the trials then are about the release."""
        from targets.flash import wheels

        python = self._box.run("python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'").stdout.strip()
        with zipfile.ZipFile(wheels.fetch(wheels.ENGINE, python, os.uname().machine)) as archive:
            archive.extractall(self._box.root / f"usr/local/lib/python{python}/dist-packages")

    def faults(self, trials: int, until: float | None = None) -> dict[str, Any]:
        """Break flashes at random moments; ``until`` ends it early, by the monotonic clock."""
        self._install_engine()
        rng, start = random.Random(SEED), time.monotonic()
        self._run(self._flash("--watch", 2, "--threshold", 0.3))
        usual = time.monotonic() - start
        rows: list[dict[str, Any]] = []
        for number in range(trials):
            if until is not None and len(rows) >= _LEAST and time.monotonic() > until:
                break
            rows.append(self._trial(rng, number, usual))
            console.print(f"trial {number + 1}: {rows[-1]}", highlight=False, markup=False)
        table = [
            {
                "fault": fault,
                "trials": len(own),
                "new runs": sum(row["runs"] == "new" for row in own),
                "previous runs": sum(row["runs"] == "previous" for row in own),
                "broken": sum(row["runs"] == "broken" for row in own),
            }
            for fault in FAULTS
            if (own := [row for row in rows if row["fault"] == fault])
        ]
        return {
            "trials": len(rows),
            "broken": sum(row["runs"] == "broken" for row in rows),
            "tables": {"faults at random moments": table},
        }

    def _trial(self, rng: random.Random, number: int, usual: float) -> dict[str, Any]:
        before = self._status()["running"]
        fault, moment = rng.choice(FAULTS), rng.uniform(0.2, usual)
        process = subprocess.Popen(
            self._flash("--watch", 2, "--threshold", round(0.31 + number / 1000, 3)),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        time.sleep(moment)
        if fault == "power":
            self._box.cut_power()
        elif fault in _KILL:
            self._box.run(
                f"for p in $(grep -lzs '{_KILL[fault]}' /proc/[0-9]*/cmdline | grep -o '[0-9]*'); do kill -9 $p; done",
                check=False,
            )
        if fault in ("workstation", "power"):
            os.killpg(process.pid, signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
        if fault == "power":
            self._box.boot()
        new = errors.decode().partition("release edge-demo-")[2][:12]
        found = self._settled()
        runs = "broken"
        if (
            found
            and found["whole"].get(found["running"]) is True
            and found["why"]
            and found["health"]["source_says"] == "open"
        ):
            runs = (
                "new"
                if found["running"] == f"edge-demo-{new}"
                else "previous"
                if found["running"] == before
                else "broken"
            )
        return {"fault": fault, "moment_s": round(moment, 2), "runs": runs, "why": found.get("why", "no answer")}

    def _settled(self) -> dict[str, Any]:
        """The status once no trial is going on and the service recognises; empty when that does not come."""
        end = time.monotonic() + _SETTLE_S
        while time.monotonic() < end:
            found = self._status()
            if found.get("trial", 1) is None and found["running"] is not None and found["health"]["frames"] > 0:
                return found
            time.sleep(0.2)
        return {}


def _bundle() -> Path:
    """The shipped ``edge-demo`` for the host target, exported once per version of it."""
    from edgeskel import models
    from export import build
    from export.ranges import weights_digest
    from targets import get

    recogniser = models.from_pretrained("edge-demo")
    digest = weights_digest(recogniser)[:12]
    out = CACHE / f"deploy-{digest}"
    if not (out / "manifest.json").is_file():
        kinds = [kind for kind in get("host").artifacts if kind.startswith("onnx")]
        build.build(build.Source("edge-demo", recogniser), out, target="host", kinds=kinds)
    return out


if __name__ == "__main__":
    main("deploy", measure, seeds=(SEED,))
