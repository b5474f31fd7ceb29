"""What notebooks show of our objects: a strip of skeletons, a small table.

Axes: M persons, T frames, V joints.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["strip", "table"]

_FRAMES = 8


def strip(joints: NDArray[np.float32], confidence: NDArray[np.float32]) -> bytes | None:
    """Joints as dots, from the side that shows most, at eight instants from left to right.

    Args:
        joints: (M, T, V, 3) metres, y up.
        confidence: (M, T, V); 0 is left out.

    Returns:
        a PNG; None where matplotlib is not installed, or nothing is seen.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    seen = confidence > 0
    if not seen.any():
        return None
    chosen = np.unique(np.linspace(0, joints.shape[1] - 1, _FRAMES).round().astype(np.int64))
    across = int(np.argmax(joints[seen][:, (0, 2)].std(axis=0))) * 2
    low, high = joints[seen].min(axis=0) - 0.1, joints[seen].max(axis=0) + 0.1
    figure = Figure(figsize=(1.2 * len(chosen), 2.4), dpi=96, facecolor="white")
    for column, frame in enumerate(chosen.tolist()):
        axes = figure.add_subplot(1, len(chosen), column + 1, aspect="equal")
        axes.set(xlim=(low[across], high[across]), ylim=(low[1], high[1]))
        axes.set_axis_off()
        for person in range(len(joints)):
            places = joints[person, frame][seen[person, frame]]
            axes.scatter(places[:, across], places[:, 1], s=5, c=f"C{person}")
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    return picture.getvalue()


def table(title: str, rows: Mapping[str, Any], below: str = "") -> str:
    """A table of names and values as HTML.

    Args:
        title: heads it.
        rows: by name; lists are joined by commas.
        below: HTML that follows, a picture.
    """
    def text(value: Any) -> str:
        return escape(", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))

    lines = "".join(f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{text(value)}</td></tr>"
                    for name, value in rows.items())
    return f"<div><b>{escape(title)}</b><table>{lines}</table>{below}</div>"
