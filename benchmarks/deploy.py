"""A bundle onto a booted Debian with systemd and sshd: how long, how much memory, and what faults leave behind.

``trials`` faults hit flashes at random moments and at every step (``_flashed`` says which). A trial is ``broken`` when the
device does not, afterwards and by itself, run the release from before or the new one, whole, with frames coming in, and say
why. ``flash_s`` is the whole command from a device without anything, the engine's upload and ``flash_watch_s`` of watching
included; it and the restarts are measured while nothing else goes on here. ``system_made_s`` is what debootstrap took for
the system under the boxes: 0 where it was kept from before.

Two boxes take the trials side by side while a third one works off a simulated day. A whole run that was interrupted goes on
where it stopped: its results are kept in ``benchmarks/cache``, for the same commit. The day is the longest part: 0.74 ms of
processor time a frame, half an hour of an idle core; ``simulated_hours`` says how far it came.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock
from typing import Any

from benchmarks._bench import CACHE, ROOT, commit, main
from benchmarks._flashed import FAULTS, Fault, Flashed, planned
from edgeskel.cli.report import console
from targets.flash.flashing import STEPS
from tests.targets.box import missing, system

SEED = 0
TRIALS = 200
DAY_FRAMES = 24 * 3600 * 30
_DAY_LIMIT_S = 7200.0
_QUICK_S = 33.0  # after which a quick run begins no further trial
_QUICK_LEAST = 2  # trials, however late it is
_MODEL, _WEIGHTS = "edge-demo", ROOT / "edgeskel" / "models" / "weights"


def measure(quick: bool) -> dict[str, Any]:
    """Flash, restart, watch memory, and break flashes at random moments and at every step."""
    why = missing()
    if why is not None:
        sys.exit(why)
    with ThreadPoolExecutor(1) as second:
        made = second.submit(_bundle)
        begin = time.monotonic()
        system()
        system_s = time.monotonic() - begin
        run = _Run(made.result(), quick)
    return {**run.figures(), "system_made_s": round(system_s, 1) if system_s > 1 else 0.0}


class _Run:
    """All the measurements, on boxes of their own; a whole run's are kept as they come."""

    def __init__(self, bundle: Path, quick: bool) -> None:
        self._bundle, self._quick, self._begin = bundle, quick, time.monotonic()
        self._stop, self._lock = Event(), Lock()
        self._file = None if quick else CACHE / "deploy-run.jsonl"
        self._rows: list[dict[str, Any]] = self._kept()
        done = {row["trial"] for row in self._rows if "trial" in row}
        plan = planned(TRIALS, SEED)
        self._todo = [fault for fault in plan if fault.number not in done]
        self._all = len(plan)
        self._taken = 0

    def _kept(self) -> list[dict[str, Any]]:
        """What a run of this commit that was interrupted has measured."""
        if self._file is None:
            return []
        code = commit()
        head, rows = {"commit": code, "trials": TRIALS, "seed": SEED}, []
        if self._file.is_file():
            for line in self._file.read_text("utf-8").splitlines():
                with suppress(ValueError):  # the last line of a run that was killed
                    rows.append(json.loads(line))
        if not rows or rows[0] != head or code.endswith("+"):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(head) + "\n", "utf-8")
            return []
        self._say(f"goes on with {len(rows) - 1} results that are kept in {self._file.name}")
        return rows[1:]

    def _keep(self, row: dict[str, Any]) -> None:
        with self._lock:
            self._rows.append(row)
            if self._file is not None:
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")

    def _found(self, name: str) -> dict[str, Any] | None:
        return next((row[name] for row in self._rows if name in row), None)

    def _say(self, text: str) -> None:
        console.print(f"{time.monotonic() - self._begin:6.1f} s  {text}", soft_wrap=True)

    def figures(self) -> dict[str, Any]:
        """Everything, and nothing kept any more. Raises whatever kept a part from its end."""
        with ThreadPoolExecutor(3) as pool:
            try:
                with Flashed(self._bundle, self._stop) as first:
                    if self._found("alone") is None:
                        self._keep({"alone": self._alone(first)})
                    parts = [pool.submit(self._first, first), pool.submit(self._break)]
                    if not self._quick:
                        parts.append(pool.submit(self._day))
                    for part in wait(parts, return_when=FIRST_EXCEPTION).done:
                        part.result()
            except KeyboardInterrupt:
                self._say("interrupted" + ("; the same command goes on from here" if self._file else ""))
                raise
            finally:
                self._stop.set()  # after an error or an interrupt the others end soon, and take their boxes away
        result = {**(self._found("alone") or {}), **(self._found("memory") or {}), **_counted(self._rows)}
        if self._file is not None:
            self._file.unlink()
        return result

    def _alone(self, flashed: Flashed) -> dict[str, Any]:
        """What other work would make slower."""
        figures = flashed.from_nothing(2.0 if self._quick else 10.0)
        self._say(f"flashed from nothing in {figures['flash_s']} s")
        figures.update(flashed.restart())
        self._say(f"recognises {figures['restart_to_first_recognition_s']} s after a restart")
        return figures

    def _first(self, flashed: Flashed) -> None:
        flashed.install_engine()
        if self._quick:
            self._memory(flashed, 10_000, 3.0)
        if self._break_on(flashed):
            self._break()

    def _day(self) -> None:
        """A day of frames, as fast as they are taken."""
        if self._found("memory") is None:
            with Flashed(self._bundle, self._stop, nice=10) as flashed:
                self._memory(flashed, DAY_FRAMES, _DAY_LIMIT_S)

    def _memory(self, flashed: Flashed, frames: int, limit_s: float) -> None:
        figures = flashed.memory(frames, limit_s)
        self._keep({"memory": figures})
        self._say(f"{figures['device_rss_mb']} MB after {figures['simulated_hours']} simulated hours")

    def _break(self) -> None:
        """Trials on boxes of one's own: one after another, as each broken one is left."""
        again = True
        while again and self._todo:
            with Flashed(self._bundle, self._stop) as flashed:
                flashed.install_engine()
                again = self._break_on(flashed)

    def _break_on(self, flashed: Flashed) -> bool:
        """Trials on one box; whether there are more, and it is broken."""
        while (fault := self._next()) is not None:
            row = flashed.trial(fault)
            self._keep(row)
            done = [row for row in self._rows if "trial" in row]
            broken = sum(row["runs"] == "broken" for row in done)
            self._say(
                f"{len(done)} of {self._all} trials, {broken} broken; "
                f"{row['fault']} at {row['moment_s']} s ({row['at']}): {row['runs']}; {row['why']}"
            )
            if row["runs"] == "broken":
                self._say(row["evidence"])
                return True
        return False

    def _next(self) -> Fault | None:
        with self._lock:
            late = time.monotonic() - self._begin > _QUICK_S and self._taken >= _QUICK_LEAST
            if not self._todo or self._stop.is_set() or (self._quick and late):
                return None
            self._taken += 1
            return self._todo.pop(0)


def _counted(rows: list[dict[str, Any]]) -> dict[str, Any]:
    trials = [row for row in rows if "trial" in row]
    moments = [row for row in trials if row["at"] == "moment"]
    tables = {"faults at random moments": _table("fault", FAULTS, moments)}
    if steps := [{**row, "step": row["at"]} for row in trials if row["at"] != "moment"]:
        tables["faults at every step"] = _table("step", STEPS, steps)
    return {
        "trials": len(trials),
        "broken": sum(row["runs"] == "broken" for row in trials),
        "tables": tables,
    }


def _table(name: str, values: tuple[str, ...], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            name: value,
            "trials": len(own),
            "new runs": sum(row["runs"] == "new" for row in own),
            "previous runs": sum(row["runs"] == "previous" for row in own),
            "broken": sum(row["runs"] == "broken" for row in own),
        }
        for value in values
        if (own := [row for row in rows if row[name] == value])
    ]


def _bundle() -> Path:
    """The shipped model for the host target, exported once per version of it and of what exports it."""
    digest = hashlib.sha256((_WEIGHTS / _MODEL / "config.json").read_bytes())  # which holds the digest of the weights
    for package in ("export", "edgeskel/models"):
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.read_bytes())
    out = CACHE / f"deploy-{digest.hexdigest()[:12]}"
    if not (out / "manifest.json").is_file():
        from edgeskel import models
        from export import build
        from targets import get

        kinds = [kind for kind in get("host").artifacts if kind.startswith("onnx")]
        build.build(build.TrainedModel(_MODEL, models.from_pretrained(_MODEL)), out, target="host", kinds=kinds)
    return out


if __name__ == "__main__":
    main("deploy", measure, seeds=(SEED,))
