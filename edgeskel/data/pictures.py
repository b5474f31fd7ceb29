"""Pictures of clips: an SVG strip with no dependency, a PNG strip and an animation with matplotlib.

The person's left is blue, the right orange, the middle grey. Joints the sensor guessed are drawn hollow, missing
joints and their bones are left out.

Axes: M persons, T frames, V joints.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.data.view import View, bones, side
from edgeskel.errors import MissingExtra, UsageError
from edgeskel.files import atomic_write
from edgeskel.skeleton import Clip, Topology

__all__ = ["COLOURS", "animation", "draw", "plotting", "strip", "svg"]

#: Mid tones, legible on white and on black.
COLOURS = {"left": "#3b82f6", "right": "#f2711c", "middle": "#7f8ea3"}

_SURE = 0.75  # below this confidence a joint was inferred, not seen
_HEAD = 0.095  # metres: radius of the drawn head, where a layout has its centre
_MARGIN = _HEAD + 0.05  # metres around all joints: a head and its outline


def _chosen(clip: Clip, frames: int) -> NDArray[np.int64]:
    """Indices of ``frames`` frames spread over the clip, first and last included. Raises ``UsageError``."""
    if frames < 1:
        raise UsageError(f"{frames} skeletons in a strip", expected="at least 1")
    return np.unique(np.linspace(0, clip.frames - 1, min(frames, clip.frames)).round().astype(np.int64))


def _in_place(clip: Clip, topology: Topology, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """(M, F, V, 2) the chosen frames, seen from one place, each person's way over the floor taken out."""
    view = View.of(clip.joints, clip.confidence, topology)
    return view.project(view.follow(clip.joints[:, chosen], clip.confidence[:, chosen]))


def _extent(points: NDArray[np.float64], confidence: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """(left, bottom, right, top) metres of all seen joints, with a margin."""
    seen = points[confidence > 0]
    if not len(seen):
        return -1.0, -1.0, 1.0, 1.0
    low, high = seen.min(axis=0) - _MARGIN, seen.max(axis=0) + _MARGIN
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def svg(clip: Clip, topology: Topology, frames: int = 8, *, height: int = 160, caption: str | None = None) -> str:
    """A strip of skeletons as one ``<svg>`` element to put into a page, light or dark.

    Args:
        clip: what to draw.
        topology: its layout.
        frames: how many skeletons, spread over the clip.
        height: pixels; the width follows.
        caption: text under the strip; the clip's label by default.
    """
    chosen = _chosen(clip, frames)
    points = _in_place(clip, topology, chosen)
    confidence = clip.confidence[:, chosen]
    left, bottom, right, top = _extent(points, confidence)
    scale = (height - 24) / (top - bottom)
    slot = (right - left) * scale
    width = slot * len(chosen)
    caption = clip.label if caption is None else caption
    lines: list[str] = []
    for position, frame in enumerate(chosen):
        xy = (points[:, position] - [left, top]) * [scale, -scale] + [position * slot, 0.0]
        lines.append(f"<g><title>{clip.time[frame] - clip.time[0]:.2f} s</title>")
        for person in range(len(xy)):
            lines += _figure(xy[person], confidence[person, position], topology, head=_HEAD * scale, faint=person > 0)
        lines.append("</g>")
    text = escape(caption)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
            f'height="{height}" style="max-width:100%;height:auto" role="img" aria-label="{text}" '
            'stroke-linecap="round" font-family="system-ui,sans-serif" font-size="12">' + "".join(lines) +
            f'<text x="{width / 2:.0f}" y="{height - 6}" text-anchor="middle" fill="currentColor">{text}</text></svg>')


def _figure(xy: NDArray[np.float64], confidence: NDArray[np.float32], topology: Topology, *, head: float,
            faint: bool) -> list[str]:
    """SVG of one person at one instant: bones by colour, then joints; ``head`` is its radius in pixels."""
    parts = ['<g opacity="0.6">' if faint else "<g>"]
    for name, colour in COLOURS.items():
        for sure, dash in ((True, ""), (False, ' stroke-dasharray="1 5"')):
            path = "".join(f"M{xy[a, 0]:.1f} {xy[a, 1]:.1f}L{xy[b, 0]:.1f} {xy[b, 1]:.1f}" for a, b in bones(topology)
                           if side(topology, b) == name and min(confidence[a], confidence[b]) > 0
                           and (min(confidence[a], confidence[b]) >= _SURE) == sure)
            if path:
                parts.append(f'<path d="{path}" stroke="{colour}" stroke-width="3" fill="none"{dash}/>')
    for joint in np.flatnonzero(confidence > 0):
        colour = COLOURS[side(topology, int(joint))]
        fill = colour if confidence[joint] >= _SURE else "none"
        radius = head if topology.joints[joint] == "head" else 2.4
        parts.append(f'<circle cx="{xy[joint, 0]:.1f}" cy="{xy[joint, 1]:.1f}" r="{radius:.1f}" fill="{fill}" '
                     f'stroke="{colour}"/>')
    parts.append("</g>")
    return parts


def plotting() -> Any:
    """``matplotlib.pyplot`` that draws into files. Raises ``MissingExtra``."""
    try:
        import matplotlib
    except ImportError:
        raise MissingExtra("matplotlib", "viz", "drawing a PNG or an animation") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def draw(axes: Any, points: NDArray[np.float64], confidence: NDArray[np.float32], topology: Topology, *,
         offset: float = 0.0) -> list[Any]:
    """Draw the persons of one frame on matplotlib axes whose unit is the metre.

    Args:
        axes: matplotlib axes.
        points: (M, V, 2) metres in the picture, as :class:`View` gives them.
        confidence: (M, V).
        topology: the layout.
        offset: metres to move the figure to the right.

    Returns:
        The artists made, so that an animation can remove them.
    """
    made: list[Any] = []
    for person in range(len(points)):
        xy, sure = points[person] + [offset, 0.0], confidence[person]
        alpha = 1.0 if person == 0 else 0.6
        for a, b in bones(topology):
            if sure[a] > 0 and sure[b] > 0:
                made += axes.plot(xy[[a, b], 0], xy[[a, b], 1], color=COLOURS[side(topology, b)], linewidth=2.6,
                                  linestyle="-" if min(sure[a], sure[b]) >= _SURE else ":", alpha=alpha,
                                  solid_capstyle="round", zorder=2)
        for joint in np.flatnonzero(sure > 0):
            colour = COLOURS[side(topology, int(joint))]
            fill = colour if sure[joint] >= _SURE else "white"
            if topology.joints[joint] == "head":
                made.append(axes.add_patch(_circle(xy[joint], edgecolor=colour, facecolor=fill, alpha=alpha)))
            else:
                made += axes.plot(*xy[joint], "o", markersize=4.0, color=colour, markerfacecolor=fill, alpha=alpha,
                                  zorder=3)
    return made


def _circle(centre: NDArray[np.float64], **style: Any) -> Any:
    from matplotlib.patches import Circle

    return Circle((float(centre[0]), float(centre[1])), _HEAD, linewidth=1.5, zorder=3, **style)


def strip(clip: Clip, topology: Topology, path: Path, frames: int = 8) -> Path:
    """Write a strip of ``frames`` skeletons as PNG, the label above and seconds below.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    pyplot = plotting()
    chosen = _chosen(clip, frames)
    points = _in_place(clip, topology, chosen)
    left, bottom, right, top = _extent(points, clip.confidence[:, chosen])
    slot = right - left
    figure, axes = pyplot.subplots(figsize=(max(3.0, 2.6 * slot / (top - bottom) * len(chosen)), 3.1), dpi=130)
    for position, frame in enumerate(chosen):
        draw(axes, points[:, position], clip.confidence[:, frame], topology, offset=position * slot - left)
        axes.text((position + 0.5) * slot, bottom - 0.02, f"{clip.time[frame] - clip.time[0]:.1f} s", ha="center",
                  va="top", fontsize=8, color=COLOURS["middle"])
    axes.set(xlim=(0, slot * len(chosen)), ylim=(bottom - 0.15, top), aspect="equal")
    axes.set_title(_title(clip), fontsize=11, loc="left")
    axes.axis("off")
    figure.tight_layout(pad=0.4)
    with atomic_write(Path(path)) as file:
        figure.savefig(file, format="png")
    pyplot.close(figure)
    return Path(path)


def animation(clip: Clip, topology: Topology, path: Path, *, rate_hz: float = 15.0) -> Path:
    """Write the clip as an animated GIF at its own speed.

    Args:
        clip: what to draw.
        topology: its layout.
        path: the ``.gif``.
        rate_hz: pictures per second at most; a faster clip is thinned out.

    Raises:
        MissingExtra: matplotlib (with pillow) is not installed.
    """
    pyplot = plotting()
    from PIL import Image

    duration = float(clip.time[-1] - clip.time[0])
    count = max(1, min(clip.frames, round(duration * rate_hz) + 1))
    chosen = _chosen(clip, count)
    points = View.of(clip.joints, clip.confidence, topology).project(clip.joints[:, chosen])
    left, bottom, right, top = _extent(points, clip.confidence[:, chosen])
    figure, axes = pyplot.subplots(figsize=(max(2.4, 3.6 * (right - left) / (top - bottom)), 3.9), dpi=100)
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axes.set_title(_title(clip), fontsize=10)
    axes.axis("off")
    figure.tight_layout(pad=0.3)
    pictures = []
    for position, frame in enumerate(chosen):
        artists = draw(axes, points[:, position], clip.confidence[:, frame], topology)
        figure.canvas.draw()
        pictures.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()))
        for artist in artists:
            artist.remove()
    pyplot.close(figure)
    milliseconds = round(1000 * duration / max(1, len(chosen) - 1)) if len(chosen) > 1 else 1000
    with atomic_write(Path(path)) as file:
        pictures[0].save(file, format="GIF", save_all=True, append_images=pictures[1:], loop=0,
                         duration=max(20, milliseconds))
    return Path(path)


def _title(clip: Clip) -> str:
    return "  ".join(part for part in (clip.label or "no label", clip.subject and f"· {clip.subject}") if part)
