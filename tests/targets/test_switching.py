"""Trials on a device whose service manager does as it is told: every way to break one off, and what is current then."""

from __future__ import annotations

import errno
import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edgeskel.errors import DeviceError
from edgeskel.runtime.bundle import Bundle
from targets.device import layout as layouts
from targets.device import switching
from targets.device.layout import Layout, write_json
from targets.device.release import Release
from targets.device.state import State
from targets.device.status import ServiceStatus
from targets.flash import packing, signing
from tests.targets.waiting import LIMIT_S, until


class Killed(BaseException):
    """The end of the process, at a moment that the test chose."""


class Scripted:
    """A service manager. ``dies_at``: the call at which the trial's process ends. ``breaks``: releases whose service ends."""

    def __init__(self, layout: Layout, breaks: str = "") -> None:
        self._layout, self._breaks = layout, breaks
        self.dies_at, self.calls, self.running = -1, 0, ""

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self.dies_at:
            raise Killed

    def prepare(self, *, network: bool) -> None:
        self._count()

    def enable(self) -> None:
        self._count()

    def restart(self) -> None:
        self._count()
        self.running = switching.guard(self._layout).current or ""
        run = Path(self._layout.install().run)
        run.mkdir(exist_ok=True)
        write_json(
            run / "health.json",
            {
                "release": self.running,
                "beat": time.clock_gettime(time.CLOCK_BOOTTIME),
                "frames": 5,
                "moving": 5,
                "recognitions": 5,
                "source": "golden:",
                "source_says": "open",
                "rss_mb": 80.0,
            },
        )
        self._count()

    def stop(self) -> None:
        self.running = ""

    def status(self) -> ServiceStatus:
        self._count()
        return (
            ServiceStatus("failed", 1, 0, "exit-code")
            if self.running == self._breaks or not self.running
            else ServiceStatus("active", 0, 1)
        )

    def log(self, lines: int) -> str:
        return "error: no camera"

    def begin_switch(self, identity: str) -> None:
        pass

    def remove(self) -> None:
        self.stop()


@pytest.fixture
def install(
    layout: Layout, host_bundle: Path, key: signing.Key, monkeypatch: pytest.MonkeyPatch
) -> Callable[[float], str]:
    """``install(threshold)``: a release that was admitted and proved."""
    write_json(
        layout.prefix / "install.json", {**json.loads((layout.prefix / "install.json").read_text()), "scope": "system"}
    )

    def make(threshold: float) -> str:
        out = layout.prefix / "made"
        release = packing.pack(Bundle.open(host_bundle), out, key, packing.ReleaseSettings(threshold=threshold))
        out.rename(layout.release(release.identity))
        write_json(layout.choice(release.identity), {"choice": {}})
        return release.identity

    return make


def managed(monkeypatch: pytest.MonkeyPatch, control: Scripted) -> None:
    monkeypatch.setattr(switching, "manager", lambda layout, install: control)


def switch(layout: Layout, identity: str) -> State:
    """Ask for a trial and carry it out."""
    write_json(layout.choice(identity), {"choice": {}, "request": {"watch_s": 0.05, "reason": "test"}})
    return switching.run_switch(layout, identity)


def test_a_trial_that_is_killed_anywhere_and_begun_again(
    layout: Layout, install: Callable[[float], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = install(0.1), install(0.2)
    for breaks in ("", second):
        for moment in range(1, 9):
            layout.state.unlink(missing_ok=True)
            control = Scripted(layout)
            managed(monkeypatch, control)
            switch(layout, first)
            control = Scripted(layout, breaks)
            control.dies_at = moment
            managed(monkeypatch, control)
            try:
                switch(layout, second)
            except Killed:
                state = switching.load(layout)
                assert state.current in (first, second) and state.retained >= {first}
                switching.settle(layout)
            state = switching.load(layout)
            assert state.phase == "good" and state.current == (first if breaks else second), (breaks, moment)
            assert control.running == state.current and state.last is not None and state.last.reason


def test_a_release_that_takes_the_device_down_is_given_up(
    layout: Layout, install: Callable[[float], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = install(0.1), install(0.2)
    control = Scripted(layout)
    managed(monkeypatch, control)
    switch(layout, first)
    for boot in range(3):
        control = Scripted(layout)
        control.dies_at = 4 if boot < 2 else -1
        managed(monkeypatch, control)
        if boot < 2:
            with pytest.raises(Killed):
                switch(layout, second) if boot == 0 else switching.settle(layout)
        else:
            state = switching.settle(layout)
    assert state.current == first and "broken off 2 times" in str(state.last)


def test_the_guard_ends_a_trial_that_nobody_watches(
    layout: Layout, install: Callable[[float], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = install(0.1), install(0.2)
    managed(monkeypatch, Scripted(layout))
    switch(layout, first)
    switching.change(layout, lambda state: state.begin(second, 60, "test", "now"))
    starts = [switching.guard(layout).current for _ in range(7)]
    assert starts[0] == second and starts[-1] == first and "was started" in str(switching.load(layout).last)


def test_nothing_whole_is_named_and_mended_by_a_flash(
    layout: Layout, install: Callable[[float], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = install(0.1), install(0.2)
    managed(monkeypatch, Scripted(layout))
    switch(layout, first)
    switch(layout, second)
    for name in (first, second):
        (layout.release(name) / "program" / "__main__.py").write_text("print()\n")
    with pytest.raises(DeviceError, match=r"cannot run .*altered"):
        switching.guard(layout)
    assert switching.load(layout).current == second
    with pytest.raises(DeviceError, match="not whole"):
        switch(layout, first)  # a damaged release is never switched to
    shutil.rmtree(layout.release(first))
    install(0.1)
    assert switch(layout, first).current == first


def test_one_trial_at_a_time(layout: Layout, install: Callable[[float], str], monkeypatch: pytest.MonkeyPatch) -> None:
    first = install(0.1)
    managed(monkeypatch, Scripted(layout))
    with layout.lock("switch"), pytest.raises(DeviceError, match="another switch is going on"):
        switching.run_switch(layout, first, turn_s=0.1)
    assert switching.load(layout).phase == "empty"


def test_a_trial_waits_for_the_one_before_and_takes_no_other_end_for_its_own(
    layout: Layout, install: Callable[[float], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flash while the trial of another release is on: its own outcome counts, not that the other one passed its watch."""
    first, second = install(0.1), install(0.2)
    managed(monkeypatch, Scripted(layout))
    said: list[str] = []
    with ThreadPoolExecutor(2) as threads:
        with layout.lock("switch"):  # as the trial of the first
            switching.change(layout, lambda state: state.begin(first, 60, "test", "then"))
            before = switching.begin_switch(layout, second, 0.05, "flashed")
            trial = threads.submit(switching.run_switch, layout, second)
            follower = threads.submit(switching.follow, layout, second, before, said.append)
            until(lambda: said)
            switching.change(layout, lambda state: state.succeed({}, "watched for 60 s", "then"))
        assert trial.result(LIMIT_S).current == second
        outcome = follower.result(LIMIT_S)
    assert outcome["kept"] and outcome["current"] == second and outcome["previous"] == first
    assert said[0] == f"waiting: {first} is on trial"


def test_a_killed_trial_that_lost_its_turn_is_not_begun_again(
    layout: Layout, install: Callable[[float], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd starts it again a second later; by then the release that was flashed after it runs."""
    first, second, third = install(0.1), install(0.2), install(0.3)
    managed(monkeypatch, Scripted(layout))
    switch(layout, first)
    control = Scripted(layout)
    control.dies_at = 4
    managed(monkeypatch, control)
    with pytest.raises(Killed):
        switch(layout, second)
    managed(monkeypatch, Scripted(layout))
    assert switch(layout, third).current == third
    state = switching.run_switch(layout, second)
    assert state.current == third and state.phase == "good" and state.last is not None and state.last.release == third


def test_what_is_asked_for_during_its_own_trial_is_that_trial(
    layout: Layout, install: Callable[[float], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = install(0.1)
    control = Scripted(layout)
    managed(monkeypatch, control)
    restart = control.restart

    def asked_meanwhile() -> None:
        restart()
        switching.begin_switch(layout, first, 0.05, "flashed again")

    monkeypatch.setattr(control, "restart", asked_meanwhile)
    good = switch(layout, first)
    assert switching.run_switch(layout, first) == good and good.phase == "good"  # no second trial


def test_the_state_is_written_on_a_full_disk(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    original: Any = layouts.write_json

    def full(path: Path, content: Any) -> None:
        if (layout.prefix / ".reserve").exists():
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        original(path, content)

    monkeypatch.setattr(layouts, "write_json", full)
    switching.change(layout, lambda state: state.begin("a-0", 1, "test", "now"))
    assert switching.load(layout).current == "a-0"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"frames": 0}, "no frame came"),
        ({"recognitions": 0}, "no recognition went out"),
        ({"beat": 0.0}, "hangs"),
        ({"release": "other-1"}, "runs other-1 instead"),
        ({"recognitions": 0, "moving": 0}, None),  # nobody moved: none was due
    ],
)
def test_what_the_watch_sees(
    layout: Layout,
    install: Callable[[float], str],
    monkeypatch: pytest.MonkeyPatch,
    said: dict[str, Any],
    expected: str | None,
) -> None:
    name = install(0.1)
    control = Scripted(layout)
    managed(monkeypatch, control)
    switch(layout, name)
    health = Path(layout.install().run) / "health.json"
    write_json(health, {**json.loads(health.read_text()), "beat": time.clock_gettime(time.CLOCK_BOOTTIME), **said})
    why = switching.watch(control, layout.install(), name, 0.05)
    assert (why is None) if expected is None else expected in str(why)
    assert Release.read(layout.release(name)).identity == name


def test_a_damaged_state_is_read_from_its_copy(
    layout: Layout, install: Callable[[float], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    managed(monkeypatch, Scripted(layout))
    state = switch(layout, install(0.1))
    for damaged in (b"", b"\0" * 64, b"[]"):
        layout.state.write_bytes(damaged)
        assert switching.load(layout) == state
    layout.state_copy.write_bytes(b"")
    with pytest.raises(DeviceError, match=r"state\.json is damaged, and there is no copy"):
        switching.guard(layout)


def test_a_good_release_starts_where_nothing_can_be_written(
    layout: Layout, install: Callable[[float], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = install(0.1)
    managed(monkeypatch, Scripted(layout))
    switch(layout, first)

    def refuse(*args: object, **kw: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Layout, "lock", refuse)
    monkeypatch.setattr(layouts, "write_json", refuse)
    assert switching.guard(layout).current == first
