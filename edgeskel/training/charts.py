"""The report's drawings as SVG text: curves, confusion matrix, reliability. Colours are the page's CSS variables.

Axes: E epochs, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

__all__ = ["confusion", "curves", "reliability"]

LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 30


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], *, unit: str = "", width: int = 460, height: int = 230) -> str:
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

    parts = [_open(width, height, "curves of " + ", ".join(lines))]
    for tick in np.arange(low, high + step / 2, step):
        parts.append(f'<line x1="{LEFT}" x2="{width - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" class="grid"/>'
                     f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end" class="tick">{_number(tick)}{unit}</text>')
    for epoch in sorted({1, round((1 + last) / 2), round(last)}):
        parts.append(f'<text x="{x(epoch):.1f}" y="{height - 10}" text-anchor="middle" class="tick">{epoch}</text>')
    for number, (name, line) in enumerate(lines.items()):
        path = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in line if math.isfinite(value))
        parts.append(f'<polyline points="{path}" class="line line{number}"><title>{escape(name)}</title></polyline>')
        if line:
            end = line[-1]
            parts.append(f'<circle cx="{x(end[0]):.1f}" cy="{y(end[1]):.1f}" r="3" class="dot line{number}"/>')
    return "".join(parts) + "</svg>"


def confusion(counts: NDArray[np.int64], labels: Sequence[str]) -> str:
    """(K, K) counts as a matrix; a cell's strength is its share of the row."""
    classes = len(labels)
    cell = 26 if classes <= 30 else 14 if classes <= 70 else 9
    size = min(11, cell - 2) if cell > 10 else 8
    margin = 16 + round(max(len(label) for label in labels) * size * 0.6)
    side = cell * classes
    width, height = margin + side + 8, margin + side + 8
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    parts = [_open(width, height, "confusion matrix"), f'<rect x="{margin}" y="{margin}" width="{side}" height="{side}" class="plate"/>']
    for row in range(classes):
        middle = margin + row * cell + cell / 2
        name = escape(labels[row])
        parts.append(f'<text x="{margin - 6}" y="{middle + size / 3:.1f}" text-anchor="end" class="tick" font-size="{size}">{name}</text>'
                     f'<text transform="translate({middle + size / 3:.1f} {margin - 6}) rotate(-90)" class="tick" font-size="{size}">{name}</text>')
        for column in np.flatnonzero(counts[row]):
            kind = "hit" if row == column else "miss"
            at = (margin + int(column) * cell, margin + row * cell)
            strength = 0.15 + 0.85 * share[row, column]
            parts.append(f'<g><title>{name} answered {escape(labels[column])}: {counts[row, column]} of {counts[row].sum()}</title>'
                         f'<rect x="{at[0] + 1}" y="{at[1] + 1}" width="{cell - 2}" height="{cell - 2}" rx="3" class="{kind}" '
                         f'fill-opacity="{strength:.2f}"/>')
            if cell >= 20:
                strong = " strong" if strength > 0.55 else ""
                parts.append(f'<text x="{at[0] + cell / 2}" y="{at[1] + cell / 2 + 4}" text-anchor="middle" '
                             f'class="count{strong}">{counts[row, column]}</text>')
            parts.append("</g>")
    return "".join(parts) + "</svg>"


def reliability(probabilities: NDArray[np.float32], truth: NDArray[np.int64], *, bins: int = 10, side: int = 230) -> str:
    """How often an answer of each certainty is right; a well calibrated recogniser follows the diagonal."""
    certainty = probabilities.max(1)
    right = probabilities.argmax(1) == truth
    place = np.clip(np.ceil(certainty * bins).astype(int) - 1, 0, bins - 1)
    inner = side - LEFT - RIGHT
    bottom = side - BOTTOM
    high = bottom - TOP
    parts = [_open(side, side, "certainty against accuracy")]
    for share in (0.0, 0.5, 1.0):
        y, x = bottom - high * share, LEFT + inner * share
        parts.append(f'<line x1="{LEFT}" x2="{side - RIGHT}" y1="{y}" y2="{y}" class="grid"/>'
                     f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end" class="tick">{share * 100:.0f}%</text>'
                     f'<text x="{x}" y="{side - 10}" text-anchor="middle" class="tick">{share * 100:.0f}%</text>')
    for index in range(bins):
        inside = place == index
        if inside.any():
            height = high * float(right[inside].mean())
            parts.append(f'<rect x="{LEFT + inner * index / bins + 1:.1f}" y="{bottom - height:.1f}" width="{inner / bins - 2:.1f}" '
                         f'height="{max(height, 1):.1f}" rx="2" class="hit"><title>{int(inside.sum())} answers of certainty '
                         f'{100 * index / bins:.0f} to {100 * (index + 1) / bins:.0f} %: {100 * right[inside].mean():.0f} % right</title></rect>')
    parts.append(f'<line x1="{LEFT}" y1="{bottom}" x2="{side - RIGHT}" y2="{TOP}" class="ideal"/>')
    return "".join(parts) + "</svg>"


def _open(width: float, height: float, about: str) -> str:
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
            f'aria-label="{escape(about)}">')


def _ticks(low: float, high: float) -> tuple[float, float, float]:
    """Round lower end, upper end and step that hold ``low`` to ``high`` in about five steps."""
    spread = max(high - low, abs(high) * 1e-3, 1e-6)
    power = 10.0 ** math.floor(math.log10(spread / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * 5 >= spread)
    bottom = math.floor(low / step) * step
    return bottom, max(math.ceil(high / step) * step, bottom + step), step


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-0", "0") if abs(value) < 1e-12 else f"{value:.4g}"
