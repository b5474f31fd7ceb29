"""The live picture of ``edgeskel run --rerun``: skeletons, scores and events, in rerun (https://rerun.io).

Not part of the device install, since it wants numpy 2: run it on the computer that you look at, or write a file for it.

Axes: M persons, V joints, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from edgeskel.errors import MissingExtra
from edgeskel.runtime import Event, Session
from edgeskel.skeleton import Frame

__all__ = ["LivePicture"]

_COLOURS = ((90, 200, 250), (250, 160, 90), (140, 220, 120), (220, 130, 220))
_BACKGROUND = (22, 26, 34)
_LEGEND = """Each person has a colour; faint joints are unsure.

**scores**: the probability of every label, while somebody moves.

**actions**: 1 while an action goes on. *recognised* is what the recogniser ended with, *performed* what the recording says.

**events**: what began, changed and ended.
"""


class LivePicture:
    """Draws every frame, at the time that it says.

    Args:
        session: what is running.
        file: write an ``.rrd`` file instead of opening a window.
        spans: (start, end, label) of what is performed, where the source knows.

    Raises:
        MissingExtra: rerun is not installed; the message is the pip command.
        OSError: the file cannot be written.
    """

    def __init__(self, session: Session, file: Path | None = None, spans: Sequence[tuple[float, float, str]] = ()) -> None:
        try:
            self._rerun: Any = import_module("rerun")
        except ImportError as error:
            raise MissingExtra("rerun-sdk", "viewer", "the live picture") from error
        self._session = session
        self._lines: set[tuple[object, ...]] = set()
        self._bones = [(child, parent) for child, parent in enumerate(session.topology.parents) if parent >= 0]
        self._stream = self._rerun.RecordingStream("edgeskel run")
        if file is None:
            self._stream.spawn()
        else:
            self._stream.save(str(file))
        self._lay_out()
        for start, end, label in spans:
            self._action("performed", label, start, end)

    def _lay_out(self) -> None:
        """Skeletons on the left; scores, actions and events under each other on the right; what they mean below."""
        layout: Any = import_module("rerun.blueprint")
        self._stream.log("/", self._rerun.ViewCoordinates.RIGHT_HAND_Y_UP, static=True)
        self._stream.log("legend", self._rerun.TextDocument(_LEGEND, media_type="text/markdown"), static=True)
        self._stream.send_blueprint(layout.Blueprint(layout.Horizontal(
            layout.Vertical(
                layout.Spatial3DView(origin="persons", name="skeletons", background=_BACKGROUND),
                layout.TextDocumentView(origin="legend", name="legend"), row_shares=[3, 1]),
            layout.Vertical(
                layout.TimeSeriesView(origin="scores", name="scores"),
                layout.TimeSeriesView(origin="actions", name="actions"),
                layout.TextLogView(origin="events", name="events"), row_shares=[2, 1, 1])), collapse_panels=True))

    def show(self, frame: Frame, events: list[Event]) -> None:
        """Draw a frame in the session's layout, and what it brought to light."""
        self._at(frame.time)
        for index, (joints, confidence) in enumerate(zip(frame.joints, frame.confidence, strict=True)):
            self._body(index, joints, confidence)
        for number, person in self._session.persons.items():
            smooth = person.naming.smooth
            if smooth is None:
                continue
            for label, score in zip(self._session.labels, smooth, strict=True):
                self._point(["scores", number, label], float(score))
        for event in events:
            self._stream.log(["events", event.person], self._rerun.TextLog(
                f"{event.kind} {event.label} {event.confidence:.0%} from {event.start:.2f} s"))
            if event.kind == "ended" and event.end is not None:
                self._action("recognised", event.label, event.start, event.end)
        self._at(frame.time)

    def close(self) -> None:
        """Write what is still on its way; the window stays."""
        self._stream.disconnect()

    def _at(self, seconds: float) -> None:
        self._stream.set_time("source", duration=seconds)

    def _action(self, who: str, label: str, start: float, end: float) -> None:
        """A line that is 1 from ``start`` to ``end`` and 0 just before and after."""
        for seconds, value in ((start - 1e-3, 0.0), (start, 1.0), (end, 1.0), (end + 1e-3, 0.0)):
            self._at(seconds)
            self._point(["actions", who, label], value)

    def _point(self, line: list[object], value: float) -> None:
        """The next value of a line; the line's legend is its label, whatever characters that has."""
        if tuple(line) not in self._lines:
            self._lines.add(tuple(line))
            self._stream.log(line, self._rerun.SeriesLines(names=" ".join(map(str, line[1:]))), static=True)
        self._stream.log(line, self._rerun.Scalars(value))

    def _body(self, index: int, joints: np.ndarray[Any, Any], confidence: np.ndarray[Any, Any]) -> None:
        seen = confidence > 0
        colour = np.array(_COLOURS[index % len(_COLOURS)], np.uint8)
        alpha = (60 + 195 * confidence[seen]).astype(np.uint8)
        colours = np.column_stack([np.tile(colour, (int(seen.sum()), 1)), alpha])
        self._stream.log(["persons", index, "joints"], self._rerun.Points3D(joints[seen], colors=colours, radii=0.018))
        strips = [joints[[child, parent]] for child, parent in self._bones if seen[child] and seen[parent]]
        self._stream.log(["persons", index, "bones"], self._rerun.LineStrips3D(strips, colors=[colour] * len(strips)))
