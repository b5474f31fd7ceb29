"""The live picture of ``edgeskel run --rerun``: skeletons, scores and events, in rerun (https://rerun.io).

Not part of the device install, since it wants numpy 2: run it on the computer that you look at, or write a file for it.

Axes: M persons, V joints, K classes.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from edgeskel.errors import MissingExtra
from edgeskel.runtime import Event, Session
from edgeskel.skeleton import Frame

__all__ = ["Picture"]

_COLOURS = ((90, 200, 250), (250, 160, 90), (140, 220, 120), (220, 130, 220))


class Picture:
    """Draws every frame, at the time that it says.

    Args:
        session: what is running.
        file: write an ``.rrd`` file instead of opening a window.

    Raises:
        MissingExtra: rerun is not installed; the message is the pip command.
        OSError: the file cannot be written.
    """

    def __init__(self, session: Session, file: Path | None = None) -> None:
        try:
            self._rerun: Any = import_module("rerun")
        except ImportError as error:
            raise MissingExtra("rerun-sdk", "viewer", "the live picture") from error
        self._session = session
        self._bones = [(child, parent) for child, parent in enumerate(session.topology.parents) if parent >= 0]
        self._stream = self._rerun.RecordingStream("edgeskel run")
        if file is None:
            self._stream.spawn()
        else:
            self._stream.save(str(file))
        self._stream.log("/", self._rerun.ViewCoordinates.RIGHT_HAND_Y_UP, static=True)

    def show(self, frame: Frame, events: list[Event]) -> None:
        """Draw a frame in the session's layout, and what it brought to light."""
        self._stream.set_time("source", duration=frame.time)
        for index, (joints, confidence) in enumerate(zip(frame.joints, frame.confidence, strict=True)):
            self._body(index, joints, confidence)
        for number, doing in self._session.persons.items():
            smooth = doing.naming.smooth
            if smooth is None:
                continue
            for label, score in zip(self._session.labels, smooth, strict=True):
                self._stream.log(f"scores/{number}/{label}", self._rerun.Scalars(float(score)))
        for event in events:
            self._stream.log(f"events/{event.person}", self._rerun.TextLog(
                f"{event.kind} {event.label} {event.confidence:.0%} from {event.start:.2f} s"))

    def close(self) -> None:
        """Write what is still on its way; the window stays."""
        self._stream.disconnect()

    def _body(self, index: int, joints: np.ndarray[Any, Any], confidence: np.ndarray[Any, Any]) -> None:
        seen = confidence > 0
        colour = np.array(_COLOURS[index % len(_COLOURS)], np.uint8)
        alpha = (60 + 195 * confidence[seen]).astype(np.uint8)
        colours = np.column_stack([np.tile(colour, (int(seen.sum()), 1)), alpha])
        self._stream.log(f"persons/{index}/joints", self._rerun.Points3D(joints[seen], colors=colours, radii=0.018))
        strips = [joints[[child, parent]] for child, parent in self._bones if seen[child] and seen[parent]]
        self._stream.log(f"persons/{index}/bones", self._rerun.LineStrips3D(strips, colors=[colour] * len(strips)))
