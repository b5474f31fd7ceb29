"""Which release a device runs: three phases, and the few ways between them.

    empty ──begin──► trial ──succeed──► good ──begin──► trial ──give_back──► good (the one before)
                       └────give_back (nothing to go back to)────► empty

``current`` is always what the service starts. A trial is a new ``current`` that is still being watched; ``return_to``
is where it goes back to. Everything lies in one file that is replaced in one step: after any crash it is the old state
or the new one. Pure: no files, no clock; ``layout.Layout.write_state`` keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from edgeskel.errors import DeviceError

__all__ = ["EMPTY", "Event", "State", "Trial"]

SCHEMA = 1


@dataclass(frozen=True)
class Trial:
    """A release that runs and is not trusted yet."""

    return_to: str | None
    """The release that was good before; None where there was none."""
    watch_s: float
    """How long it is watched."""
    watches: int = 1
    """How often the watch was begun: a reboot begins it anew."""
    starts: int = 0
    """How often its service was started."""


@dataclass(frozen=True)
class Event:
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
    last: Event | None = None
    newest: Mapping[str, str] = field(default_factory=dict)
    """``created`` of the newest bundle and ``program`` of the newest program that were ever good here."""

    def begin(self, release: str, watch_s: float, reason: str, time: str) -> State:
        """``release`` becomes current, on trial. An unsettled trial is given up: its own return stays the return."""
        if self.trial is not None and self.current == release:
            trial = replace(self.trial, watches=self.trial.watches + 1)
            return replace(self, trial=trial, last=Event("watched again", release, reason, time))
        back = self.trial.return_to if self.trial is not None else self.current
        if back == release:
            back = self.previous if self.previous != release else None
        return replace(
            self,
            phase="trial",
            current=release,
            trial=Trial(back, watch_s),
            last=Event("switched", release, reason, time),
        )

    def started(self) -> State:
        """The service is about to start during a trial."""
        return self if self.trial is None else replace(self, trial=replace(self.trial, starts=self.trial.starts + 1))

    def succeed(self, newest: Mapping[str, str], reason: str, time: str) -> State:
        """The trial has passed."""
        if self.trial is None:
            return self
        return replace(
            self,
            phase="good",
            previous=self.trial.return_to or self.previous,
            trial=None,
            newest=dict(newest),
            last=Event("good", self.current, reason, time),
        )

    def give_back(self, reason: str, time: str) -> State:
        """The trial has failed: what was good before is current again."""
        if self.trial is None:
            return self
        back = self.trial.return_to
        previous = self.previous if self.previous not in (back, self.current) else None
        return replace(
            self,
            phase="good" if back else "empty",
            current=back,
            previous=previous,
            trial=None,
            last=Event("returned", self.current, reason, time),
        )

    def fall_back(self, reason: str, time: str) -> State:
        """The current release is damaged: the one before it is current from now on."""
        if self.trial is not None:
            return self.give_back(reason, time)
        return replace(self, current=self.previous, previous=None, last=Event("fell back", self.current, reason, time))

    @property
    def spare(self) -> str | None:
        """The release to go to when the current one cannot run."""
        return self.trial.return_to if self.trial is not None else self.previous

    @property
    def kept(self) -> set[str]:
        """Releases that must stay on the disk."""
        return {name for name in (self.current, self.previous, self.spare) if name}

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
            return cls(
                **fields,
                trial=Trial(**trial) if trial else None,
                last=Event(**last) if last else None,
                newest=dict(content["newest"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DeviceError(
                f"state.json is damaged ({error!r})", expected="what edgeskel wrote", remedy="flash the device again"
            ) from error


EMPTY = State()
