"""Terminals: every console, table and progress bar of edgeskel is made here.

What is printed is data: addresses, paths, labels. A console therefore changes no text: no emoji codes (``:CD:`` of a Bluetooth
address would become a disc), no markup (``[left]`` of a label would vanish), no highlighting. Where the output is no
terminal, nothing is cut or folded at a width that nobody sees. ``NO_COLOR`` (https://no-color.org) takes the colours away.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from types import TracebackType
from typing import Any

from rich.console import Console, ConsoleDimensions
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

__all__ = ["Progress", "new_table", "no_color", "open_console"]

LINE_S = 10.0
"""Seconds between two lines of progress where there is no terminal."""
_UNBOUNDED = 1_000_000  # columns


def no_color() -> bool:
    """Whether the user wants no colours: ``NO_COLOR`` is set and not empty."""
    return bool(os.environ.get("NO_COLOR"))


class _Console(Console):
    @property
    def size(self) -> ConsoleDimensions:
        return super().size if self.is_terminal else ConsoleDimensions(_UNBOUNDED, 25)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    def rule(self, title: Any = "", **options: Any) -> None:
        """A heading; the line behind it only where it has an end."""
        if self.is_terminal:
            super().rule(title, **options)
        else:
            self.print(title)


def open_console(*, stderr: bool = False, **options: Any) -> Console:
    """A console on stdout, or on stderr, that prints text as it is.

    Args:
        stderr: which of the two.
        options: what else rich's ``Console`` takes.
    """
    return _Console(stderr=stderr, emoji=False, markup=False, highlight=False, **options)


def new_table(*columns: str, right: Collection[str] = (), **options: Any) -> Table:
    """A table without lines. In a narrow terminal its cells are folded and lose no letter.

    Args:
        columns: headings.
        right: those whose cells stand at the right, such as numbers.
        options: what else rich's ``Table`` takes.
    """
    made = Table(box=None, padding=(0, 1), pad_edge=False, **options)
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return made


class Progress:
    """Progress of long work: a bar in a terminal, elsewhere a line every ten seconds.

        with Progress(console) as progress:
            task = progress.add_task("measuring", total=100)
            progress.advance(task)

    Args:
        console: where; one that is quiet shows nothing.
        keep: leave the last state of the bar on the screen.
        line_s: seconds between two lines.
    """

    def __init__(self, console: Console, *, keep: bool = False, line_s: float = LINE_S) -> None:
        self._console, self._line_s = console, line_s
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        drawn = console.is_terminal and not console.quiet
        self._bar = RichProgress(*columns, console=console, transient=not keep, disable=not drawn)
        self._lines = None if drawn else threading.Thread(target=self._print_lines, name="progress lines", daemon=True)
        self._ended = threading.Event()

    def __enter__(self) -> Progress:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to show it."""
        self._bar.start()
        if self._lines is not None:
            self._lines.start()

    def stop(self) -> None:
        """Give the terminal back."""
        self._ended.set()
        self._bar.stop()
        if self._lines is not None and self._lines.is_alive():
            self._lines.join()

    def add_task(self, description: str, total: float | None = None, completed: float = 0) -> TaskID:
        """Something that is counted up to ``total``."""
        return self._bar.add_task(description, total=total, completed=completed)  # type: ignore[arg-type]  # rich takes a float

    def update(self, task: TaskID, *, completed: float | None = None, description: str | None = None) -> None:
        """Say how far it is, or what is done just now."""
        self._bar.update(task, completed=completed, description=description)

    def advance(self, task: TaskID, by: float = 1) -> None:
        """It is further by so much."""
        self._bar.advance(task, by)

    def lines(self) -> list[str]:
        """What is not done yet, a line for each task: ``measuring: 30 of 100, 0:00:12, 0:00:28 left``."""
        return [_line(task) for task in self._bar.tasks if not task.finished]

    def _print_lines(self) -> None:
        while not self._ended.wait(self._line_s):
            for line in self.lines():
                self._console.print(line)


def _line(task: Any) -> str:
    from datetime import timedelta

    text = f"{task.description}: " if task.description else ""
    if task.total is not None:
        text += f"{task.completed:g} of {task.total:g}" if task.total > 1 else f"{task.percentage:.0f} %"
    if task.elapsed is not None:
        text += f", {timedelta(seconds=round(task.elapsed))}"
    if task.time_remaining is not None:
        text += f", {timedelta(seconds=round(task.time_remaining))} left"
    return text
