"""The switch to a release, the watch over it, and the ways back. Runs on the device alone, whoever else is cut off.

One trial at a time (the lock ``switch``). Every change of the state is one replaced file, and each of these functions can
be killed anywhere and called again: it goes on from the state that it finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from edgeskel.errors import DeviceError
from edgeskel.files import atomic_write
from targets.device.layout import Install, Layout, now, read_json, write_json
from targets.device.release import TOOL, Release, damage, require_whole, version
from targets.device.service import manager
from targets.device.state import State, Transition, watch_seconds
from targets.device.status import ServiceManager, ServiceStatus, health, last_log_line

__all__ = ["begin_switch", "change", "follow", "guard", "load", "prepare", "run_switch", "settle", "watch"]

_WATCHES = 2  # times that a watch may begin before the release is given up: a release may be what reboots the device
_STARTS = (
    5  # of the service within one trial; the watch itself ends it at the second, this holds when the watch is dead
)
_IDLE_S = 20.0  # between asking systemd for a trial and its beginning
_TURN_S = 3600.0  # for which a trial waits until the one before it is decided
_FRESH_S = 5.0  # the service writes its health once a second


def load(layout: Layout) -> State:
    """The state as it is now; from its copy when the file itself is damaged.

    Raises:
        DeviceError: both are damaged, or another version wrote it.
    """
    places = [path for path in (layout.state, layout.state_copy) if path.exists()]
    for path in places:
        content = read_json(path)
        if content is not None:
            return State.from_json(content)
    if places:
        raise DeviceError(
            f"{places[0]} is damaged, and there is no copy",
            expected="what edgeskel wrote",
            remedy=f"remove it on the device (sudo rm {' '.join(map(str, places))}) and flash again",
        )
    return State()


def change(layout: Layout, how: Callable[[State], State]) -> State:
    """Replace the state by what ``how`` makes of it, and note what happened."""
    with layout.lock("state", wait_s=10):
        before = load(layout)
        after = how(before)
        if after != before:
            layout.write_state(after.to_json())
    if after.last is not None and after.last != before.last:
        layout.note(after.last.name, release=after.last.release, reason=after.last.reason, current=after.current)
    return after


def begin_switch(layout: Layout, identity: str, watch_s: float, reason: str) -> Transition | None:
    """Have the trial of a release begin in the background, out of reach of whoever asks; the last event before it.

    Another trial that is going on is decided first.

    Raises:
        DeviceError: the release was never proved here.
    """
    record = read_json(layout.choice(identity)) or {}
    if "choice" not in record:
        raise DeviceError(
            f"{identity} was not proved here",
            expected="a release that answered its golden inputs",
            remedy="run flash again",
        )
    watch_s = watch_seconds(watch_s)
    control, state = manager(layout, layout.install()), load(layout)
    write_json(layout.choice(identity), {**record, "request": {"watch_s": watch_s, "reason": reason}})
    _install_tool(layout, identity)
    prepare(layout, control, identity, state.current, state.fallback)
    control.begin_switch(identity)
    return state.last


def run_switch(layout: Layout, identity: str, *, turn_s: float = _TURN_S) -> State:
    """Make ``identity`` current, watch it, and keep it or go back. The state afterwards says which, and why.

    A request (:func:`begin_switch`) is for one trial. Called again, as systemd does when this process was killed, it goes on with
    the trial of ``identity`` where there still is one, and else changes nothing: another release may have had its turn.

    Args:
        turn_s: how long to wait until a trial that is going on is decided.

    Raises:
        DeviceError: the release is not whole, or the trial before it takes too long; what runs is not touched then.
    """
    install = layout.install()
    control = manager(layout, install)
    with layout.lock("switch", wait_s=turn_s):
        state = load(layout)
        if state.trial is not None and state.trial.failed:
            state = _roll_back(layout, install, control, state.trial.failed)
        request = (read_json(layout.choice(identity)) or {}).get("request")
        if request is not None:
            watch_s, reason = watch_seconds(request["watch_s"]), str(request["reason"])
        elif state.trial is not None and state.trial.release == identity:
            watch_s, reason = state.trial.watch_s, state.last.reason if state.last else ""
        else:
            return state
        release = require_whole(layout.release(identity), identity)
        state = change(layout, lambda old: old.begin(identity, watch_s, reason, now()))
        _answered(layout, identity)
        assert state.trial is not None
        if state.trial.watches > _WATCHES:
            why = f"its watch was broken off {_WATCHES} times, by reboots or worse"
            return _roll_back(layout, install, control, why)
        prepare(layout, control, state.current, state.fallback)
        control.enable()
        control.restart()
        failure = watch(control, install, identity, watch_s)
        if failure is not None:
            return _roll_back(layout, install, control, failure)
        said = health(install) or {}
        reason = (
            f"watched for {watch_s:g} s: {said.get('frames', 0)} frames in, {said.get('recognitions', 0)} recognitions "
            "out, no restart"
        )
        _answered(layout, identity)  # whoever asked for it meanwhile asked for this
        state = change(layout, lambda old: old.succeed(_newest(old, release), reason, now()))
        if install.scope == "none":
            control.stop()
        return state


def _answered(layout: Layout, identity: str) -> None:
    """The trial that was requested has begun."""
    record = read_json(layout.choice(identity)) or {}
    if record.pop("request", None) is not None:
        write_json(layout.choice(identity), record)


def watch(control: ServiceManager, install: Install, identity: str, watch_s: float) -> str | None:
    """Look at the service for so long; why it is no good, or None."""
    end = time.monotonic() + watch_s
    while True:
        over = time.monotonic() >= end
        service, said = control.status(), health(install)
        if service.active in ("failed", "inactive") or service.restarts:
            return _ended(control, service)
        if said is not None and said.get("release") != identity and service.active == "active":
            return f"the service runs {said.get('release')} instead"
        if over:
            break
        time.sleep(0.2)
    if service.active != "active" or said is None:
        return f"the service is {service.active} after {watch_s:g} s and has not said that it is ready"
    silent = time.clock_gettime(time.CLOCK_BOOTTIME) - said["beat"]
    if silent > _FRESH_S:
        return f"the service hangs: it has said nothing for {silent:.0f} s"
    if silent < -_FRESH_S:
        return f"the service says what it did {-silent:.0f} s from now"
    if not said["frames"]:
        refused = "".join(f"; not taken: {count} ({reason})" for reason, count in said.get("refused", {}).items())
        return f"no frame came in {watch_s:g} s from {said['source']} ({said['source_says']}){refused}"
    if not said["recognitions"] and said["moving"]:
        return f"{said['frames']} frames came in and no recognition went out in {watch_s:g} s"
    return None


def _ended(control: ServiceManager, service: ServiceStatus) -> str:
    how = "did not answer in time and was killed" if service.why.startswith("watchdog") else "ended"
    detail = "; ".join(part for part in (service.why, last_log_line(control)) if part)
    return f"the service {how}" + (f" ({detail})" if detail else "")


def _roll_back(layout: Layout, install: Install, control: ServiceManager, why: str) -> State:
    """The trial has failed. It is over once the service runs what was good before; a kill in between finds it unfinished."""
    state = change(layout, lambda old: old.fail(why))
    if state.current is None or install.scope == "none":
        control.stop()
    else:
        prepare(layout, control, state.current, state.fallback)
        control.restart()
    return change(layout, lambda old: old.complete_rollback(now()))


def prepare(layout: Layout, control: ServiceManager, *names: str | None) -> None:
    """Units that fit these releases: the one that is to run, and those that the guard may fall back to."""
    whole = [name for name in names if name and damage(layout.release(name), name) is None]
    control.prepare(network=any(Release.read(layout.release(name)).needs_network for name in whole))


def _install_tool(layout: Layout, identity: str) -> None:
    """The release's own program becomes the device's: it has just proved the release here."""
    content = (layout.release(identity) / TOOL).read_bytes()
    if layout.tool.is_file() and layout.tool.read_bytes() == content:
        return
    with atomic_write(layout.tool) as file:
        file.write(content)
    layout.tool.chmod(0o755)


def _newest(state: State, release: Release) -> dict[str, str]:
    newest: dict[str, str] = dict(release.age)
    if state.newest:
        newest["created"] = max(newest["created"], state.newest["created"])
        newest["program"] = max(newest["program"], state.newest["program"], key=version)
    return newest


def settle(layout: Layout) -> State:
    """At boot: a trial that was going on when the device went down is watched anew, once; then it is given up."""
    state = load(layout)
    if state.trial is None or layout.is_locked("switch"):
        return state
    return run_switch(layout, state.trial.release)


def guard(layout: Layout) -> State:
    """Before each start of the service: is what is current whole? If not, what ran before it is current from now on.

    Raises:
        DeviceError: there is nothing whole to run.
    """
    install, state = layout.install(), load(layout)
    if state.trial is not None and install.scope == "none" and not layout.is_locked("switch"):
        state = _settle_alone(layout, state)
    if state.current is None:
        raise DeviceError(
            f"no release is current under {layout.prefix}", remedy="flash one: edgeskel flash HOST BUNDLE"
        )
    why = damage(layout.release(state.current), state.current)
    # Else nothing is written: a disk that has become read-only keeps no good release from running.
    if state.trial is not None:
        state = change(layout, State.started)
    if why is None and state.trial is not None and state.trial.starts > _STARTS and state.trial.return_to is not None:
        why = f"its service was started {state.trial.starts} times within its watch"
    if why is None:
        return state
    fallback = state.fallback
    if fallback is None or damage(layout.release(fallback), fallback) is not None:
        raise DeviceError(
            f"release {state.current} cannot run ({why})"
            + (f", nor can {fallback}" if fallback else ", and there is no other"),
            remedy="flash the device again: edgeskel flash HOST BUNDLE",
        )
    return change(layout, lambda old: old.fall_back(why, now()))


def _settle_alone(layout: Layout, state: State) -> State:
    """Without systemd nobody goes on with a trial that was killed: it has not passed."""
    assert state.trial is not None
    if state.trial.return_to is not None or state.trial.failed:
        return change(layout, lambda old: old.fail("its watch was broken off").complete_rollback(now()))
    release = Release.read(layout.release(state.trial.release))
    return change(
        layout, lambda old: old.succeed(_newest(old, release), "its watch was broken off, and there is no other", now())
    )


def follow(layout: Layout, identity: str, before: Transition | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Wait until the trial of a release has come to its end, and say how it goes. Another one's end is not its own.

    Args:
        before: the last event before the trial was asked for.

    Returns:
        ``kept``, the phase, the releases, and the reason.

    Raises:
        DeviceError: the trial never began, or is over and left no outcome.
    """
    idle, said, install = time.monotonic(), "", layout.install()
    while True:
        state, watching = load(layout), layout.is_locked("switch")
        ended = (
            state.trial is None and state.last is not None and state.last.release == identity and state.last != before
        )
        if ended and not watching:
            assert state.last is not None
            kept = state.phase == "good" and state.current == identity
            return {
                "kept": kept,
                "phase": state.phase,
                "current": state.current,
                "previous": state.previous,
                "reason": state.last.reason,
            }
        if watching:
            idle = time.monotonic()
        elif time.monotonic() - idle > _IDLE_S:
            raise DeviceError(
                "the trial was not begun, or broke off",
                expected="an outcome",
                remedy="edgeskel flash status HOST shows what runs; flash again",
            )
        now_says = health(install)
        line = ""
        if state.trial is not None and state.trial.release != identity:
            line = f"waiting: {state.trial.release} is on trial"
        elif state.trial is not None and now_says is not None and now_says.get("release") == identity:
            line = f"{now_says['frames']} frames in, {now_says['recognitions']} recognitions out, {now_says['rss_mb']:.0f} MB"
        if line and line != said:
            say(line)
            said = line
        time.sleep(0.25)
