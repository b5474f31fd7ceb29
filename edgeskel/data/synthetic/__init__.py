"""Motion that the project makes itself: a parametric body, twenty actions, a depth camera and worn inertial sensors.

Everything is derived from one noise-free motion, so that camera and sensors are paired, and paired with the truth.

    score      tracks of joint angles over time, in a style        actions    what each action does
    body       segments and forward kinematics                      motion     balance, feet on the floor
    camera     what a depth camera sees of it                       imu        what worn sensors measure of it
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgeskel import topologies
from edgeskel.data.store import Store, StoreWriter
from edgeskel.data.synthetic import camera as cameras
from edgeskel.data.synthetic import imu
from edgeskel.data.synthetic.actions import ACTIONS
from edgeskel.data.synthetic.body import Body, random_body
from edgeskel.data.synthetic.camera import Camera, random_camera
from edgeskel.data.synthetic.imu import DEFAULT_SENSORS, Noise
from edgeskel.data.synthetic.motion import Motion, perform
from edgeskel.data.synthetic.score import Score, Stage, Style, assemble, random_style, timing
from edgeskel.errors import UnknownChoice, UsageError
from edgeskel.skeleton import Clip

__all__ = ["DATASET", "Body", "Camera", "Noise", "Style", "Take", "actions", "clip", "generate", "mirrors", "play",
           "random_body", "random_camera", "random_style", "take", "takes_of"]

#: The dataset's name in a store.
DATASET = "synthetic"


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


def actions() -> tuple[str, ...]:
    """Labels of all actions."""
    return tuple(ACTIONS)


def mirrors() -> dict[str, str]:
    """Label -> label of the mirror image, for every action."""
    return {name: action.mirror for name, action in ACTIONS.items()}


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


def take(action: str, body: Body, style: Style, rng: np.random.Generator, *, camera: Camera | None = None,
         sensors: Sequence[str] = DEFAULT_SENSORS, noise: Noise | None = None, topology: str = "kinect-v1") -> Take:
    """Perform, film and measure one action.

    Args:
        action: of :func:`actions`.
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


def clip(action: str, body: Body, style: Style, rng: np.random.Generator, **options: object) -> Clip:
    """The clip of a :func:`take`, with the same options."""
    return take(action, body, style, rng, **options).clip  # type: ignore[arg-type]


def takes_of(subject: int, *, takes: int = 4, seed: int = 0, rate_hz: float = 30.0,
             sensors: Sequence[str] = DEFAULT_SENSORS, labels: Sequence[str] | None = None) -> Iterator[Take]:
    """All takes of one person; each depends on the seed, the person, the action and its number only."""
    person = np.random.default_rng([seed, subject])
    body, habit = random_body(person), random_style(person)
    for action in labels if labels is not None else actions():
        for number in range(takes):
            rng = np.random.default_rng([seed, subject, zlib.crc32(action.encode()), number])
            made = take(action, body, random_style(rng, habit), rng, camera=random_camera(rng, rate_hz=rate_hz), sensors=sensors)
            name = f"s{subject + 1:02d}"
            source = f"{name}/{action.replace(' ', '_')}_{number + 1}"
            yield replace(made, clip=replace(made.clip, subject=name, source=source, view="front"))


def generate(out: Path, *, subjects: int = 12, takes: int = 4, seed: int = 0, rate_hz: float = 30.0,
             sensors: Sequence[str] = DEFAULT_SENSORS, labels: Sequence[str] | None = None) -> Store:
    """Write a store of synthetic clips; the same arguments give the same bytes.

    Args:
        out: the store.
        subjects: people, ``s01`` and up.
        takes: of each action by each person.
        seed: of everything.
        rate_hz: of the camera.
        sensors: worn sensors, of ``imu.places()``.
        labels: some of :func:`actions`; all by default.

    Raises:
        UnknownChoice: no such action or sensor place.
        UsageError: no person or no take asked for.
    """
    if subjects < 1 or takes < 1 or not rate_hz > 0:
        raise UsageError(f"{subjects} subjects, {takes} takes, {rate_hz} Hz", expected="at least one of each")
    labels = actions() if labels is None else tuple(labels)
    with StoreWriter(out, dataset=DATASET, topology=topologies.get("kinect-v1"), labels=labels, rate_hz=rate_hz) as writer:
        for subject in range(subjects):
            for made in takes_of(subject, takes=takes, seed=seed, rate_hz=rate_hz, sensors=sensors, labels=labels):
                writer.add(made.clip)
    return Store.open(out)
