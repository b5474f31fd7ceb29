"""What ``edgeskel run`` shows while it runs: a screen in a terminal, lines elsewhere.

Axes: M persons, V joints, K classes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edgeskel.runtime import UNKNOWN, Event, Session
from edgeskel.runtime.live import PersonState
from edgeskel.skeleton import Frame

__all__ = ["Lines", "Moments", "Screen"]

_REFRESH_HZ = 12
_TIMELINE_S = 24.0
_KEPT = 200  # actions
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")


class Moments:
    """How the times of a source are written: of a live one as the time of day, of a recording as time since its beginning.

    Args:
        live: the frames' times are on the host's monotonic clock (``time.monotonic()``).
    """

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._began: float | None = None
        self._host = time.time() - time.monotonic()

    def begin(self, seconds: float) -> None:
        """The first frame's time; of later ones nothing is kept."""
        self._began = seconds if self._began is None else self._began

    def text(self, seconds: float) -> str:
        """A moment: ``14:03:22.5``, or ``0:03.5`` of a recording."""
        if self._live:
            tenths = round(10 * (self._host + seconds))
            return f"{time.strftime('%H:%M:%S', time.localtime(tenths // 10))}.{tenths % 10}"
        tenths = round(10 * (seconds - (self._began or 0.0)))
        sign, tenths = "-" if tenths < 0 else "", abs(tenths)
        minutes, rest = divmod(tenths, 600)
        clock = f"{minutes // 60}:{minutes % 60:02}" if minutes >= 60 else f"{minutes}"
        return f"{sign}{clock}:{rest // 10:02}.{rest % 10}"

    def line(self, event: Event, threshold: float) -> str:
        """An action that has ended, as one line of text; of an unknown one, by how much the likeliest class fell short."""
        span = f"{self.text(event.start)} to {self.text(event.start if event.end is None else event.end)}"
        sure = f"{event.confidence:.0%}"
        if event.label == UNKNOWN:
            sure = f"the likeliest action has {event.confidence:.1%}, and {threshold:.1%} are needed"
        return f"{span}  {event.label}  {sure}" + (f"  person {event.person}" if event.person else "")


class Lines:
    """One line per action, for pipes, files and logs."""

    def __init__(self, out: Console, session: Session, moments: Moments, *, quiet: bool) -> None:
        self._out, self._session, self._moments, self._quiet = out, session, moments, quiet

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, frame: Frame, events: Sequence[Event], seconds: float) -> None:
        """Print the actions that have ended."""
        self._moments.begin(frame.time)
        for event in events:
            if event.kind == "ended" and not self._quiet:
                self._out.print(self._moments.line(event, self._session.config.threshold), soft_wrap=True)


class Screen:
    """Skeleton, probabilities, timeline and figures, drawn a few times per second.

    Args:
        out: the terminal.
        session: whose state is shown.
        moments: how its times are written.
        title: of the source.
        rate_hz: of the source.
    """

    def __init__(self, out: Console, session: Session, moments: Moments, title: str, rate_hz: float) -> None:
        self._session, self._moments, self._title, self._rate_hz = session, moments, title, rate_hz
        self._live = Live(console=out, auto_refresh=False, transient=True)
        self._ended: deque[Event] = deque(maxlen=_KEPT)
        self._latency: deque[float] = deque(maxlen=90)
        self._arrivals: deque[float] = deque(maxlen=90)
        self._due = 0.0
        self._view: Any = None
        self._colours: dict[str, str] = {}

    def __enter__(self) -> Screen:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)
        for event in self._ended:  # the screen goes; what was recognised stays
            self._live.console.print(self._line(event), soft_wrap=True)

    def show(self, frame: Frame, events: Sequence[Event], seconds: float) -> None:
        """Take note of a frame and, when a picture is due, draw.

        Args:
            frame: in the model's layout.
            events: what it brought to light.
            seconds: that the frame took.
        """
        self._moments.begin(frame.time)
        self._ended += [event for event in events if event.kind == "ended"]
        now = time.perf_counter()
        self._latency.append(seconds)
        self._arrivals.append(now)
        if now >= self._due or events:
            self._due = now + 1 / _REFRESH_HZ
            self._live.update(self.picture(frame), refresh=True)

    def picture(self, frame: Frame) -> Group:
        """Everything, as of ``frame``."""
        width = min(self._live.console.width, 110)
        left = max(24, width // 2 - 2)
        skeleton = Panel(self._skeleton(frame, left - 4, 18), title=Text(self._title), width=left, height=20)
        now = Panel(self._now(width - left - 6), title="now", width=width - left - 2, height=20)
        return Group(
            Columns([skeleton, now], padding=(0, 1)),
            Panel(self._timeline(frame.time, width - 4), title="actions", width=width),
            self._figures(frame.time),
        )

    def _skeleton(self, frame: Frame, columns: int, rows: int) -> Text:
        from edgeskel.cli import terminal
        from edgeskel.data.view import View

        topology = self._session.topology
        if self._view is None and (frame.confidence > 0).any():
            self._view = View.of(frame.joints[:, None], frame.confidence[:, None], topology)
        if self._view is None:
            return Text("nobody")
        return terminal.skeleton(frame.joints, frame.confidence, topology, self._view, columns, rows)

    def _now(self, width: int) -> Group:
        persons = sorted(self._session.persons.items(), key=lambda item: -item[1].segmenter.energy)
        lines = [self._headline(number, person, alone=len(persons) == 1) for number, person in persons[:4]]
        lines = lines or [Text("nobody", style="dim")]
        bars = Table.grid(padding=(0, 1))
        bars.add_column(width=min(22, max(map(len, self._session.labels))))
        scores = persons[0][1].naming.smooth if persons else None
        energy = persons[0][1].segmenter.energy if persons else 0.0
        named = [] if scores is None else [(self._session.labels[int(i)], float(scores[i])) for i in np.argsort(-scores)[:8]]
        for label, score in named:
            bars.add_row(Text(label[:22]), bar(score, max(4, width - 32), self._colour(label)), f"{score:4.0%}")
        motion = Text.assemble("motion ", bar(min(energy / 8, 1), 16, "white"), f" {energy:4.1f}/s", style="dim")
        return Group(*lines, Text(), bars, Text(), motion)

    def _headline(self, number: int, person: PersonState, *, alone: bool) -> Text:
        """What a person does; the name is in bold once it counts."""
        named = person.naming.label
        text = named or ("moving" if person.segmenter.moving else "no action")
        return Text(text if alone else f"{number}: {text}", style="bold" if named else "dim")

    def _timeline(self, now: float, width: int) -> Group:
        cells = Text()
        for column in range(width):
            moment = now - _TIMELINE_S * (1 - (column + 0.5) / width)
            inside = next((event for event in reversed(self._ended)
                           if event.label != UNKNOWN and event.end is not None and event.start <= moment <= event.end), None)
            cells.append("█" if inside else "·", style=self._colour(inside.label) if inside else "dim")
        recent = [Text(self._line(event), style=self._colour(event.label)) for event in list(self._ended)[-4:]]
        recent = recent or [Text("none yet", style="dim")]
        recent += [Text()] * (4 - len(recent))  # the screen keeps its height
        return Group(cells, *recent)

    def _figures(self, now: float) -> Text:
        span = self._arrivals[-1] - self._arrivals[0]
        fps = (len(self._arrivals) - 1) / span if span > 0 else self._rate_hz
        return Text(
            f"{self._moments.text(now)}   {fps:5.1f} frames/s   median {np.median(self._latency) * 1e3:.1f} ms, "
            f"worst {max(self._latency) * 1e3:.1f} ms per frame   engine {self._session.engine.name}, by {self._session.mode}",
            style="dim",
        )

    def _line(self, event: Event) -> str:
        return self._moments.line(event, self._session.config.threshold)

    def _colour(self, label: str) -> str:
        if label == UNKNOWN:
            return "dim"
        return self._colours.setdefault(label, _COLOURS[len(self._colours) % len(_COLOURS)])


def bar(share: float, width: int, colour: str) -> Text:
    """A bar of ``width`` cells, filled in eighths."""
    eighths = round(share * width * 8)
    full, rest = divmod(eighths, 8)
    filled = "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")
    return Text(filled.ljust(width), style=colour)
