"""One continuous recording of several actions, with what is performed when: for watching a recogniser live.

Axes: T instants, D degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeskel import topologies
from edgeskel.data.synthetic import camera as cameras
from edgeskel.data.synthetic import imu
from edgeskel.data.synthetic.body import SyntheticBody, random_body
from edgeskel.data.synthetic.camera import Camera, random_camera
from edgeskel.data.synthetic.motion import Motion, perform
from edgeskel.data.synthetic.score import RATE_HZ, Float64, Score, minimum_jerk
from edgeskel.data.synthetic.style import Style, random_style
from edgeskel.data.synthetic.takes import play
from edgeskel.errors import UsageError
from edgeskel.skeleton import Clip

__all__ = ["Recorded", "sequence"]


@dataclass(frozen=True)
class Recorded:
    """A continuous recording and the truth behind it.

    Args:
        clip: what camera and sensors recorded, unlabelled.
        spans: (start, end, label) seconds of each action.
        motion: the motion in the room, see :class:`~edgeskel.data.synthetic.Take`.
    """

    clip: Clip
    spans: tuple[tuple[float, float, str], ...]
    motion: Motion


def sequence(actions: Sequence[str], *, seed: int = 0, pause: float = 1.0, rate_hz: float = 30.0,
             sensors: Sequence[str] = imu.DEFAULT_SENSORS, body: SyntheticBody | None = None, style: Style | None = None,
             camera: Camera | None = None) -> Recorded:
    """Perform actions one after the other, in one room, by one person.

    Between two actions the person goes from where one ended to where the next begins (somebody who sits gets up
    before walking); these seconds belong to no action.

    Args:
        actions: labels, in order.
        seed: of everything that is not given.
        pause: seconds from one action to the next.
        rate_hz: of the camera, unless ``camera`` is given.
        sensors: worn sensors; none for a camera alone.
        body, style, camera: who, how and from where; random by default.

    Raises:
        UnknownChoice: no such action or sensor place.
        UsageError: no action, or no time between them.
    """
    if not actions or not pause > 0:
        raise UsageError(f"{len(actions)} actions with {pause} s between them", expected="at least one, and some time")
    rng = np.random.default_rng([seed, len(actions)])
    body = body or random_body(rng)
    style = style or random_style(rng)
    camera = camera or random_camera(rng, rate_hz=rate_hz)
    score, spans = _join([play(action, style, rng) for action in actions], actions, pause)
    room = cameras.view(perform(score, body), camera)
    joints, confidence, time = cameras.record(room, camera, topologies.get("kinect-v1"), rng)
    inertial = imu.measure(room, sensors, imu.Noise(), rng) if sensors else None
    clip = Clip(joints[None], confidence[None], time, subject="s01", source=f"sequence-{seed}", inertial=inertial)
    return Recorded(clip, spans, room)


def _join(scores: Sequence[Score], labels: Sequence[str],
          pause: float) -> tuple[Score, tuple[tuple[float, float, str], ...]]:
    """Scores end to end, each led into from the last by minimum jerk."""
    share = minimum_jerk(np.linspace(0, 1, max(2, int(pause * RATE_HZ))))[:, None]
    pieces: list[Float64] = []
    spans: list[tuple[float, float, str]] = []
    rows = 0
    for score, label in zip(scores, labels, strict=True):
        if pieces:
            lead = pieces[-1][-1] + share * (score.tracks[0] - pieces[-1][-1])
            pieces.append(lead)
            rows += len(lead)
        start, end = (rows / RATE_HZ + edge for edge in score.span)
        spans.append((start, end, label))
        pieces.append(score.tracks)
        rows += len(score.tracks)
    tracks = np.concatenate(pieces)
    return Score(np.arange(len(tracks)) / RATE_HZ, tracks, (spans[0][0], spans[-1][1])), tuple(spans)
