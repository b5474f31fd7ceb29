"""The report's drawings as SVG text: curves, confusion matrix, reliability. Colours are the page's CSS variables.

Axes: E epochs, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["confusion", "curves", "reliability"]

LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 30


def curves(
    lines: Mapping[str, Sequence[tuple[float, float]]], *, unit: str = "", width: int = 320, height: int = 210
) -> str:
    """Lines over the epochs.

    Args:
        lines: name -> (epoch, value) points; the first line has the accent colour.
        unit: written behind the values of the axis.
        width, height: pixels.
    """
    points = [point for line in lines.values() for point in line if math.isfinite(point[1])]
    if not points:
        return ""
    last = max(epoch for epoch, _ in points)
    low, high, step = _ticks(min(value for _, value in points), max(value for _, value in points))

    def x(epoch: float) -> float:
        return LEFT + (width - LEFT - RIGHT) * (epoch - 1) / max(last - 1, 1)

    def y(value: float) -> float:
        return height - BOTTOM - (height - TOP - BOTTOM) * (value - low) / (high - low)

    parts = []
    for tick in (low + step * index for index in range(round((high - low) / step) + 1)):
        parts.append(_tag("line", x1=LEFT, x2=width - RIGHT, y1=y(tick), y2=y(tick), kind="grid"))
        parts.append(_tag("text", f"{tick:.4g}{unit}", x=LEFT - 6, y=y(tick) + 4, text_anchor="end", kind="tick"))
    for epoch in sorted({1, round((1 + last) / 2), round(last)}):
        parts.append(_tag("text", epoch, x=x(epoch), y=height - 10, text_anchor="middle", kind="tick"))
    for number, (name, line) in enumerate(lines.items()):
        seen = [(x(epoch), y(value)) for epoch, value in line if math.isfinite(value)]
        path = " ".join(f"{across:.1f},{up:.1f}" for across, up in seen)
        parts.append(_tag("polyline", _tag("title", escape(name)), points=path, kind=f"line line{number}"))
        if seen:
            parts.append(_tag("circle", cx=seen[-1][0], cy=seen[-1][1], r=3, kind=f"dot line{number}"))
    return _drawing(width, height, "curves of " + ", ".join(lines), parts)


def confusion(counts: NDArray[np.int64], labels: Sequence[str]) -> str:
    """(K, K) counts as a matrix; a cell's strength is its share of the row."""
    classes = len(labels)
    cell = 26 if classes <= 30 else 14 if classes <= 70 else 11
    size = min(11, cell - 2)
    margin = 16 + round(max(len(label) for label in labels) * size * 0.6)
    side = cell * classes
    width, height = margin + side + 8, margin + side + 8
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    names = [escape(label) for label in labels]
    parts = [_tag("rect", x=margin, y=margin, width=side, height=side, kind="plate")]
    for row, name in enumerate(names):
        middle = margin + (row + 0.5) * cell + size / 3
        text: dict[str, Any] = {"kind": "tick", "style": f"font-size:{size}px"}  # an attribute would lose to the page's style
        parts.append(_tag("text", name, x=margin - 6, y=middle, text_anchor="end", **text))
        parts.append(_tag("text", name, transform=f"translate({middle:.1f} {margin - 6}) rotate(-90)", **text))
        for column in map(int, np.flatnonzero(counts[row])):
            x, y = margin + column * cell, margin + row * cell
            strength = round(0.15 + 0.85 * float(share[row, column]), 2)
            kind = "hit" if row == column else "miss"
            about = f"{name} answered {names[column]}: {counts[row, column]} of {counts[row].sum()}"
            box: dict[str, Any] = {"x": x + 1, "y": y + 1, "width": cell - 2, "height": cell - 2, "rx": 3}
            drawn = _tag("title", about) + _tag("rect", **box, kind=kind, fill_opacity=strength)
            if cell >= 20:
                strong = "count strong" if strength > 0.55 else "count"
                at: dict[str, Any] = {"x": x + cell / 2, "y": y + cell / 2 + 4, "text_anchor": "middle"}
                drawn += _tag("text", counts[row, column], **at, kind=strong)
            parts.append(_tag("g", drawn))
    return _drawing(width, height, "confusion matrix", parts)


def reliability(
    probabilities: NDArray[np.float32], truth: NDArray[np.int64], *, bins: int = 10, side: int = 230
) -> str:
    """How often an answer of each certainty is right; a well calibrated recogniser follows the diagonal."""
    certainty = probabilities.max(1)
    right = probabilities.argmax(1) == truth
    place = np.clip(np.ceil(certainty * bins).astype(int) - 1, 0, bins - 1)
    inner = side - LEFT - RIGHT
    bottom = side - BOTTOM
    high = bottom - TOP
    parts = []
    for share in (0.0, 0.5, 1.0):
        y, x = bottom - high * share, LEFT + inner * share
        parts.append(_tag("line", x1=LEFT, x2=side - RIGHT, y1=y, y2=y, kind="grid"))
        parts.append(_tag("text", f"{share:.0%}", x=LEFT - 6, y=y + 4, text_anchor="end", kind="tick"))
        parts.append(_tag("text", f"{share:.0%}", x=x, y=side - 10, text_anchor="middle", kind="tick"))
    for index in range(bins):
        inside = place == index
        if inside.any():
            accuracy = float(right[inside].mean())
            certain = f"certainty {100 * index / bins:.0f} to {100 * (index + 1) / bins:.0f} %"
            about = _tag("title", f"{int(inside.sum())} answers of {certain}: {accuracy:.0%} right")
            size: dict[str, Any] = {"width": inner / bins - 2, "height": max(high * accuracy, 1), "rx": 2}
            place_at: dict[str, Any] = {"x": LEFT + inner * index / bins + 1, "y": bottom - high * accuracy}
            parts.append(_tag("rect", about, **place_at, **size, kind="hit"))
    parts.append(_tag("line", x1=LEFT, y1=bottom, x2=side - RIGHT, y2=TOP, kind="ideal"))
    return _drawing(side, side, "certainty against accuracy", parts)


def _tag(name: str, content: object = "", *, kind: str = "", **attributes: Any) -> str:
    """An SVG element: ``text_anchor`` is written text-anchor, ``kind`` is the class; numbers are rounded."""
    if kind:
        attributes["class"] = kind
    written = ""
    for key, value in attributes.items():
        text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
        written += f' {key.replace("_", "-")}="{text}"'
    return f"<{name}{written}>{content}</{name}>"


def _drawing(width: float, height: float, about: str, parts: Sequence[str]) -> str:
    frame: dict[str, Any] = {"viewBox": f"0 0 {width} {height}", "width": width, "height": height, "role": "img"}
    return _tag("svg", "".join(parts), xmlns="http://www.w3.org/2000/svg", **frame, aria_label=escape(about))


def _ticks(low: float, high: float) -> tuple[float, float, float]:
    """Round lower end, upper end and step that hold ``low`` to ``high`` in about five steps."""
    spread = max(high - low, abs(high) * 1e-3, 1e-6)
    power = 10.0 ** math.floor(math.log10(spread / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * 5 >= spread)
    bottom = math.floor(low / step) * step
    return bottom + 0.0, max(math.ceil(high / step) * step, bottom + step), step
