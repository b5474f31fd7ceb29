"""Which release a device runs: three phases, and the few ways between them.

    empty ──begin──► trial ──succeed──► good ──begin──► trial ──fail──► trial ──complete_rollback──► good (the one before)
                       └──fail──► trial ──complete_rollback (there was none before)──► empty

``current`` is always what the service starts. A trial is a new ``current`` that is still being watched; ``return_to``
is where it goes back to. A trial that has failed stays one until the service runs what was before: whoever finds it so
knows that the return is not done. Everything lies in one file that is replaced in one step: after any crash it is the old state
or the new one. Pure: no files, no clock; ``layout.Layout.write_state`` keeps it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from edgeskel.errors import DeviceError
from edgeskel.printable import printable
from targets.device.release import is_identity

__all__ = ["EMPTY", "Transition", "State", "Trial", "watch_seconds"]

SCHEMA = 1
_LONGEST_WATCH_S = 7 * 86400.0
_COUNT = 10**6  # of watches and starts: no device gets there


def watch_seconds(value: object) -> float:
    """How long a release is watched. Raises ``DeviceError`` where that is no number of seconds up to a week."""
    seconds = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e18 else math.nan
    if not 0 < seconds <= _LONGEST_WATCH_S:
        raise DeviceError(f"a watch of {value!r} s", expected=f"seconds above 0, at most {_LONGEST_WATCH_S:.0f} (a week)")
    return seconds


@dataclass(frozen=True)
class Trial:
    """A release that runs and is not trusted yet."""

    release: str
    """Which one."""
    return_to: str | None
    """The release that was good before; None where there was none."""
    watch_s: float
    """How long it is watched."""
    watches: int = 1
    """How often the watch was begun: a reboot begins it anew."""
    starts: int = 0
    """How often its service was started."""
    failed: str = ""
    """Why it is given up; the return to what was good is under way then."""


@dataclass(frozen=True)
class Transition:
    """What happened last."""

    name: str
    release: str | None
    reason: str
    time: str


@dataclass(frozen=True)
class State:
    """The whole state of a device."""

    phase: str = "empty"
    current: str | None = None
    previous: str | None = None
    trial: Trial | None = None
    last: Transition | None = None
    newest: Mapping[str, str] = field(default_factory=dict)
    """``created`` of the newest bundle and ``program`` of the newest program that were ever good here."""

    def begin(self, release: str, watch_s: float, reason: str, time: str) -> State:
        """``release`` becomes current, on trial. An unsettled trial is given up: its own return stays the return."""
        if self.trial is not None and self.trial.release == release:
            trial = replace(self.trial, watches=self.trial.watches + 1)
            return replace(self, trial=trial, last=Transition("watched again", release, reason, time))
        back = self.trial.return_to if self.trial is not None else self.current
        if back == release:
            back = self.previous if self.previous != release else None
        return replace(
            self,
            phase="trial",
            current=release,
            trial=Trial(release, back, watch_s),
            last=Transition("switched", release, reason, time),
        )

    def started(self) -> State:
        """The service is about to start during a trial."""
        return self if self.trial is None else replace(self, trial=replace(self.trial, starts=self.trial.starts + 1))

    def succeed(self, newest: Mapping[str, str], reason: str, time: str) -> State:
        """The trial has passed."""
        if self.trial is None or self.trial.failed:
            return self
        return replace(
            self,
            phase="good",
            previous=self.trial.return_to or self.previous,
            trial=None,
            newest=dict(newest),
            last=Transition("good", self.current, reason, time),
        )

    def fail(self, reason: str) -> State:
        """The trial is given up: the service starts what was good before from now on."""
        if self.trial is None or self.trial.failed:
            return self
        return replace(self, current=self.trial.return_to, trial=replace(self.trial, failed=reason))

    def complete_rollback(self, time: str) -> State:
        """The service runs what was good before: the failed trial is over."""
        if self.trial is None or not self.trial.failed:
            return self
        back, release = self.trial.return_to, self.trial.release
        previous = self.previous if self.previous not in (back, release) else None
        return replace(
            self,
            phase="good" if back else "empty",
            previous=previous,
            trial=None,
            last=Transition("returned", release, self.trial.failed, time),
        )

    def fall_back(self, reason: str, time: str) -> State:
        """The current release is damaged: the one before it is current from now on."""
        if self.trial is not None and not self.trial.failed:
            fallen = self.fail(reason).complete_rollback(time)
            return replace(fallen, last=Transition("fell back", self.trial.release, reason, time))
        return replace(self, current=self.previous, previous=None, last=Transition("fell back", self.current, reason, time))

    @property
    def fallback(self) -> str | None:
        """The release to go to when the current one cannot run."""
        return self.trial.return_to if self.trial is not None and not self.trial.failed else self.previous

    @property
    def retained(self) -> set[str]:
        """Releases that must stay on the disk."""
        trial = (self.trial.release, self.trial.return_to) if self.trial is not None else ()
        return {name for name in (self.current, self.previous, *trial) if name}

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any] | None) -> State:
        """Read what :meth:`to_json` wrote; None is a device that was never flashed.

        Raises:
            DeviceError: of another schema, or damaged.
        """
        if content is None:
            return EMPTY
        try:
            if content["schema"] != SCHEMA:
                raise DeviceError(
                    f"state.json has schema {content['schema']!r}",
                    expected=f"schema {SCHEMA}",
                    remedy="flash with the version of edgeskel that wrote it, or a newer one",
                )
            fields = {name: content[name] for name in ("phase", "current", "previous")}
            trial, last = content["trial"], content["last"]
            state = cls(
                **fields,
                trial=Trial(**trial) if trial else None,
                last=Transition(**last) if last else None,
                newest=dict(content["newest"]),
            )
            state._check()
        except (KeyError, TypeError, ValueError) as error:
            raise DeviceError(
                f"state.json is damaged ({printable(repr(error), 200)})",
                expected="what edgeskel wrote",
                remedy="flash the device again",
            ) from error
        return state

    def _check(self) -> None:
        """Refuse what no sequence of events leads to. Raises ``ValueError`` or ``TypeError``."""
        trial, last = self.trial, self.last
        if self.phase not in ("empty", "trial", "good") or (self.phase == "trial") != (trial is not None):
            raise ValueError(f"phase {self.phase!r}")
        names = [self.current, self.previous, *((trial.return_to,) if trial else ()), *((last.release,) if last else ())]
        wrong = [name for name in names if name is not None and not is_identity(name)]
        if wrong or (trial is not None and not is_identity(trial.release)):
            raise ValueError(f"release {(wrong or [trial])[0]!r}")
        if trial is not None:
            counts = (trial.watches, trial.starts)
            if any(type(count) is not int or not 0 <= count <= _COUNT for count in counts) or not isinstance(trial.failed, str):
                raise ValueError(f"trial {vars(trial)}")
            if type(trial.watch_s) not in (int, float) or not 0 < trial.watch_s <= _LONGEST_WATCH_S:
                raise ValueError(f"a watch of {trial.watch_s!r} s")
        texts = [*((last.name, last.reason, last.time) if last else ()), *self.newest, *self.newest.values()]
        if not all(isinstance(text, str) for text in texts) or self.newest and not {"created", "program"} <= set(self.newest):
            raise TypeError("texts that are none")


EMPTY = State()
