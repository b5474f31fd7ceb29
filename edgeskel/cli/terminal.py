"""A skeleton drawn in the terminal with braille characters: two by four dots in every cell.

Axes: M persons, V joints. Dots are counted from the top left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeskel.data.view import View, bones, side
from edgeskel.skeleton import Topology

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["COLOURS", "Canvas", "skeleton"]

#: Terminal colours of the person's left, right and middle.
COLOURS = {"left": "bright_blue", "right": "bright_red", "middle": "bright_white"}

_METRES = 2.3  # shown from top to bottom: a tall person with an arm up
_HEAD = 0.09  # radius of the drawn head, metres
_SURE = 0.75  # below this confidence a joint was inferred, and its bones are dashed
# Bit of each dot in a braille character, by row and column within the cell.
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


class Canvas:
    """Dots on a grid of terminal cells.

    Args:
        columns, rows: size in cells.
    """

    width: int
    height: int

    def __init__(self, columns: int, rows: int) -> None:
        self.width, self.height = 2 * columns, 4 * rows
        self._dots = np.zeros((rows, columns), dtype=np.int64)
        self._colours = np.full((rows, columns), "", dtype=object)

    def dot(self, x: int, y: int, colour: str) -> None:
        """Set one dot; one that lies outside is not drawn."""
        if 0 <= x < self.width and 0 <= y < self.height:
            self._dots[y // 4, x // 2] |= _BITS[y % 4][x % 2]
            self._colours[y // 4, x // 2] = colour

    def line(self, start: NDArray[np.float64], end: NDArray[np.float64], colour: str, *, dashed: bool = False) -> None:
        """Dots from ``start`` to ``end``, (2,) each as x, y."""
        count = int(np.abs(end - start).max()) + 1
        for index, share in enumerate(np.linspace(0, 1, count + 1)):
            if not (dashed and index // 2 % 2):
                x, y = np.round(start + share * (end - start)).astype(int)
                self.dot(int(x), int(y), colour)

    def circle(self, centre: NDArray[np.float64], radius: float, colour: str) -> None:
        """Dots around ``centre``."""
        for angle in np.linspace(0, 2 * np.pi, max(8, int(8 * radius)), endpoint=False):
            x, y = np.round(centre + radius * np.array([np.cos(angle), np.sin(angle)])).astype(int)
            self.dot(int(x), int(y), colour)

    def lines(self) -> list[str]:
        """The picture as plain text, one string per row."""
        return ["".join(chr(0x2800 + int(dots)) for dots in row) for row in self._dots]

    def text(self) -> Text:
        """The picture in colour."""
        from rich.text import Text

        text = Text()
        for row, (dots, colours) in enumerate(zip(self._dots, self._colours, strict=True)):
            for bits, colour in zip(dots, colours, strict=True):
                text.append(chr(0x2800 + int(bits)), style=colour or None)
            if row < len(self._dots) - 1:
                text.append("\n")
        return text


def skeleton(joints: NDArray[np.floating], confidence: NDArray[np.floating], topology: Topology, view: View,
             columns: int, rows: int) -> Text:
    """All persons of one frame.

    The picture keeps its place and its scale from frame to frame; it moves or shrinks only as far as it must to keep
    everybody in it.

    Args:
        joints: (M, V, 3) metres.
        confidence: (M, V); missing joints are left out, bones of inferred ones dashed.
        topology: the layout.
        view: from where, see :meth:`View.of`; one view for a whole recording.
        columns, rows: size in cells.

    Returns:
        A rich ``Text`` of ``rows`` lines.
    """
    canvas = Canvas(columns, rows)
    seen = confidence > 0
    if not seen.any():
        return canvas.text()
    dots = _fit(view.project(joints), seen, canvas)
    scale = dots[1]
    for person in range(len(joints)):
        xy, sure = dots[0][person], confidence[person]
        for parent, child in bones(topology):
            if sure[parent] > 0 and sure[child] > 0:
                canvas.line(xy[parent], xy[child], COLOURS[side(topology, child)],
                            dashed=min(sure[parent], sure[child]) < _SURE)
        if "head" in topology.joints and sure[head := topology.index("head")] > 0:
            canvas.circle(xy[head], _HEAD * scale, COLOURS["middle"])
    return canvas.text()


def _fit(points: NDArray[np.float64], seen: NDArray[np.bool_], canvas: Canvas) -> tuple[NDArray[np.float64], float]:
    """(M, V, 2) metres in the picture -> (M, V, 2) dots, and dots per metre."""
    low, high = points[seen].min(axis=0) - 1.5 * _HEAD, points[seen].max(axis=0) + 1.5 * _HEAD
    size = np.array([canvas.width, canvas.height], dtype=np.float64)
    scale = float(min(size[1] / _METRES, *(size / (high - low))))
    half = size / (2 * scale)
    # Centred on the view's origin, moved only as far as somebody would leave the picture.
    centre = np.clip(np.zeros(2), np.minimum(high - half, low + half), np.maximum(high - half, low + half))
    return (points - centre) * scale * [1.0, -1.0] + (size - 1) / 2, scale
