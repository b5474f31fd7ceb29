"""The picture at the top of the README: clips that a model never saw, and what it says of them.

``python -m benchmarks.pictures`` draws ``docs/images/recognised.png`` with a shipped model on generated motion of a
person who is in no training set; ``--model edge-utd-mhad --data STORE --clip 4 --clip 90`` draws recorded clips instead.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeskel import models, runtime, topologies
from edgeskel.data import Store, pictures, synthetic
from edgeskel.data.view import View
from edgeskel.files import atomic_write
from edgeskel.skeleton import Clip, Topology

__all__ = ["recognised"]

_ACTIONS = ("throw", "sit down", "wave")
_UNSEEN = 90_001  # a seed that no training store is made with
_BARS = 5


def recognised(session: runtime.Session, clips: Sequence[Clip], topology: Topology, path: Path, *,
               frames: int = 7) -> list[dict[str, Any]]:
    """Draw one row per clip: a strip of skeletons, and the probabilities of the likeliest classes as bars.

    Args:
        session: the recogniser.
        clips: what it is shown.
        topology: their layout.
        path: the PNG.
        frames: skeletons in each strip.

    Returns:
        What was said of each clip: its label, the predicted one and the probability.
    """
    pyplot = pictures.plotting()
    figure, rows = pyplot.subplots(len(clips), 2, figsize=(11.5, 2.5 * len(clips)), dpi=140, squeeze=False,
                                   gridspec_kw={"width_ratios": [3.2, 1]})
    said = []
    for clip, (left, right) in zip(clips, rows, strict=True):
        answer = session.recognise(clip.joints, clip.confidence)
        _strip(left, clip, topology, frames)
        _bars(right, answer.probabilities, session.labels, clip.label)
        said.append({"label": clip.label, "predicted": answer.label, "probability": float(answer.probability)})
    figure.tight_layout(pad=0.8)
    with atomic_write(path) as file:
        figure.savefig(file, format="png")
    pyplot.close(figure)
    return said


def _strip(axes: Any, clip: Clip, topology: Topology, frames: int) -> None:
    chosen = np.unique(np.linspace(0, clip.frames - 1, frames).round().astype(int))
    view = View.of(clip.joints, clip.confidence, topology)
    confidence = clip.confidence[:, chosen]
    points = view.project(view.follow(clip.joints[:, chosen], confidence))
    seen = points[confidence > 0]
    (left, bottom), (right, top) = seen.min(axis=0) - 0.13, seen.max(axis=0) + 0.13
    for position, frame in enumerate(chosen):
        offset = position * (right - left) - left
        pictures.draw(axes, points[:, position], confidence[:, position], topology, offset=offset)
        axes.text(offset + (left + right) / 2, bottom - 0.02, f"{clip.time[frame] - clip.time[0]:.1f} s", ha="center",
                  va="top", fontsize=7.5, color="#8a94a3")
    axes.set(xlim=(0, len(chosen) * (right - left)), ylim=(bottom - 0.2, top), aspect="equal")
    axes.axis("off")


def _bars(axes: Any, probabilities: np.ndarray, labels: Sequence[str], truth: str) -> None:
    likeliest = np.argsort(-probabilities)[:_BARS][::-1]
    shares = probabilities[likeliest]
    colours = ["#c9d1db"] * (len(likeliest) - 1) + ["#2fa36b" if labels[likeliest[-1]] == truth else "#d6453d"]
    axes.barh(range(len(likeliest)), shares, color=colours, height=0.62)
    for row, (index, share) in enumerate(zip(likeliest, shares, strict=True)):
        strong = row == len(likeliest) - 1
        axes.text(-0.03, row, labels[index], ha="right", va="center", fontsize=9, weight="bold" if strong else "normal")
        axes.text(share + 0.02, row, f"{share:.0%}", ha="left", va="center", fontsize=8.5, color="#5a6472")
    axes.set(xlim=(0, 1.18), ylim=(-0.8, len(likeliest) - 0.2))
    axes.axis("off")


def _generated() -> list[Clip]:
    made = synthetic.takes_of(0, takes=1, seed=_UNSEEN, sensors=(), labels=_ACTIONS)
    return [replace(take.clip, subject="") for take in made]


def main() -> None:
    """Parse, draw, say what was drawn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=__doc__)
    parser.add_argument("--model", default="edge-demo", help="a shipped model's name or a checkpoint folder")
    parser.add_argument("--data", type=Path, help="a store; generated motion by default")
    parser.add_argument("--clip", type=int, action="append", help="which clip of the store; give it again for another")
    parser.add_argument("--out", type=Path, default=Path("docs/images/recognised.png"))
    options = parser.parse_args()
    session = runtime.session_of(models.from_pretrained(options.model))
    if options.data is None:
        clips, topology = _generated(), topologies.get("kinect-v1")
    else:
        store = Store.open(options.data)
        clips, topology = [store[i] for i in options.clip or (0,)], store.topology
    for row in recognised(session, clips, topology, options.out):
        print(f"{row['label']}: {row['predicted']} ({row['probability']:.1%})")


if __name__ == "__main__":
    main()
