"""One take: an action performed by a body in a style, filmed and measured, with the truth behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeskel import topologies
from edgeskel.data.synthetic import camera as cameras
from edgeskel.data.synthetic import imu
from edgeskel.data.synthetic.actions import ACTIONS
from edgeskel.data.synthetic.body import SyntheticBody
from edgeskel.data.synthetic.camera import Camera, random_camera
from edgeskel.data.synthetic.imu import DEFAULT_SENSORS, Noise
from edgeskel.data.synthetic.motion import Motion, perform
from edgeskel.data.synthetic.score import Score, Stage, assemble, timing
from edgeskel.data.synthetic.style import Style
from edgeskel.errors import UnknownChoice
from edgeskel.skeleton import Clip

__all__ = ["Take", "play", "take"]


@dataclass(frozen=True)
class Take:
    """A clip and the truth behind it.

    Args:
        clip: what camera and sensors recorded; its joints are in camera axes.
        motion: the motion in the room: y up, the camera at the origin looking along z. The sensors' orientation is in
            these axes. Camera axes differ by the camera's tilt and roll, which a user does not know either.
        camera: how it was filmed.
    """

    clip: Clip
    motion: Motion
    camera: Camera


def play(action: str, style: Style, rng: np.random.Generator) -> Score:
    """Tracks of one performance. A left-handed one is the mirror image of the right-handed mirror action.

    Raises:
        UnknownChoice: no such action.
    """
    if action not in ACTIONS:
        raise UnknownChoice("action", action, ACTIONS)
    written = ACTIONS[ACTIONS[action].mirror if style.hand == "left" else action]
    time, progress, span = timing(written.seconds, style, rng)
    changes = written.play(Stage(progress, rng))
    return Score(time, assemble(time, changes, style, rng), span)


def take(action: str,
         body: SyntheticBody,
         style: Style,
         rng: np.random.Generator,
         *,
         camera: Camera | None = None,
         sensors: Sequence[str] = DEFAULT_SENSORS,
         noise: Noise | None = None,
         topology: str = "kinect-v1") -> Take:
    """Perform, film and measure one action.

    Args:
        action: of :func:`edgeskel.data.synthetic.actions`.
        body: who.
        style: how.
        rng: for what differs between takes, and for noise.
        camera: from where; a random one by default.
        sensors: worn sensors, of ``imu.places()``; none for a camera alone.
        noise: of the sensors; a consumer sensor's by default.
        topology: layout of the filmed joints, ``kinect-v1`` or ``imu-17``.

    Raises:
        UnknownChoice: no such action or sensor place.
    """
    camera = camera or random_camera(rng)
    room = cameras.view(perform(play(action, style, rng), body), camera)
    joints, confidence, time = cameras.record(room, camera, topologies.get(topology), rng)
    inertial = imu.measure(room, sensors, noise or Noise(), rng) if sensors else None
    return Take(Clip(joints[None], confidence[None], time, label=action, inertial=inertial), room, camera)
