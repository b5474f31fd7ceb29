"""What ``edgeskel run`` shows while it runs: a screen in a terminal, lines elsewhere.

Axes: M persons, V joints, K classes.
"""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import Any

import numpy as np
from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edgeskel.runtime.decision import Action, Spotter
from edgeskel.skeleton import Frame

__all__ = ["Lines", "Screen"]

_REFRESH_HZ = 12
_TIMELINE_S = 24.0
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")


class Lines:
    """One line per action, for pipes, files and logs."""

    def __init__(self, out: Console, *, quiet: bool) -> None:
        self._out, self._quiet = out, quiet

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, frame: Frame, action: Action | None, seconds: float) -> None:
        """Print ``action``, if there is one."""
        if action is not None and not self._quiet:
            self._out.print(line_of(action), highlight=False, markup=False, soft_wrap=True)


class Screen:
    """Skeleton, probabilities, timeline and figures, drawn a few times per second.

    Args:
        out: the terminal.
        spotter: whose state is shown.
        title: of the source.
        rate_hz: of the source.
    """

    def __init__(self, out: Console, spotter: Spotter, title: str, rate_hz: float) -> None:
        self._spotter, self._title, self._rate_hz = spotter, title, rate_hz
        self._live = Live(console=out, auto_refresh=False, transient=True)
        self._actions: list[Action] = []
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
        for action in self._actions:  # the screen goes; what was recognised stays
            self._live.console.print(line_of(action), highlight=False, markup=False)

    def show(self, frame: Frame, action: Action | None, seconds: float) -> None:
        """Take note of a frame and, when a picture is due, draw.

        Args:
            frame: in the model's layout.
            action: the one that this frame ended.
            seconds: that the frame took.
        """
        if action is not None:
            self._actions.append(action)
        now = time.perf_counter()
        self._latency.append(seconds)
        self._arrivals.append(now)
        if now >= self._due or action is not None:
            self._due = now + 1 / _REFRESH_HZ
            self._live.update(self.picture(frame), refresh=True)

    def picture(self, frame: Frame) -> Group:
        """Everything, as of ``frame``."""
        width = min(self._live.console.width, 110)
        left = max(24, width // 2 - 2)
        skeleton = Panel(self._skeleton(frame, left - 4, 18), title=self._title, width=left, height=20)
        now = Panel(self._now(width - left - 6), title="now", width=width - left - 2, height=20)
        return Group(
            Columns([skeleton, now], padding=(0, 1)),
            Panel(self._timeline(frame.time, width - 4), title="actions", width=width),
            self._figures(frame.time),
        )

    def _skeleton(self, frame: Frame, columns: int, rows: int) -> Text:
        from edgeskel.cli import terminal
        from edgeskel.data.view import View

        topology = self._spotter.session.topology
        if self._view is None and (frame.confidence > 0).any():
            self._view = View.of(frame.joints[:, None], frame.confidence[:, None], topology)
        if self._view is None:
            return Text("nobody")
        return terminal.skeleton(frame.joints, frame.confidence, topology, self._view, columns, rows)

    def _now(self, width: int) -> Group:
        current, session = self._spotter.current, self._spotter.session
        shown = current is not None and current.probability >= self._spotter.config.threshold
        headline = Text(
            current.label if current is not None and shown else "no action", style="bold" if shown else "dim"
        )
        energy = self._spotter.segmenter.energy
        bars = Table.grid(padding=(0, 1))
        bars.add_column(width=min(22, max(map(len, session.labels))))
        for index in np.argsort(-current.probabilities)[:8] if current is not None else ():
            probability = float(current.probabilities[index])  # type: ignore[union-attr]
            label = session.labels[int(index)]
            bars.add_row(
                Text(label[:22]), bar(probability, max(4, width - 32), self._colour(label)), f"{probability:4.0%}"
            )
        motion = Text.assemble("motion ", bar(min(energy / 8, 1), 16, "white"), f" {energy:4.1f}/s", style="dim")
        return Group(headline, Text(), bars, Text(), motion)

    def _timeline(self, now: float, width: int) -> Group:
        cells = Text()
        for column in range(width):
            moment = now - _TIMELINE_S * (1 - (column + 0.5) / width)
            inside = next((a for a in reversed(self._actions) if a.start <= moment <= a.end), None)
            cells.append("█" if inside else "·", style=self._colour(inside.label) if inside else "dim")
        recent = [Text(line_of(action), style=self._colour(action.label)) for action in self._actions[-4:]]
        recent = recent or [Text("none yet", style="dim")]
        recent += [Text()] * (4 - len(recent))  # the screen keeps its height
        return Group(cells, *recent)

    def _figures(self, now: float) -> Text:
        span = self._arrivals[-1] - self._arrivals[0]
        fps = (len(self._arrivals) - 1) / span if span > 0 else self._rate_hz
        return Text(
            f"{now:7.2f} s   {fps:5.1f} frames/s   median {np.median(self._latency) * 1e3:.1f} ms, "
            f"worst {max(self._latency) * 1e3:.1f} ms per frame   engine {self._spotter.session.engine.name}",
            style="dim",
        )

    def _colour(self, label: str) -> str:
        return self._colours.setdefault(label, _COLOURS[len(self._colours) % len(_COLOURS)])


def line_of(action: Action) -> str:
    """An action as one line of text."""
    return f"{action.start:7.2f} to {action.end:7.2f} s  {action.label}  {action.probability:.0%}"


def bar(share: float, width: int, colour: str) -> Text:
    """A bar of ``width`` cells, filled in eighths."""
    eighths = round(share * width * 8)
    full, rest = divmod(eighths, 8)
    filled = "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")
    return Text(filled.ljust(width), style=colour)
