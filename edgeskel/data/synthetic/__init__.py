"""Motion that the project makes itself: a parametric body, twenty actions, a depth camera and worn inertial sensors.

Everything is derived from one noise-free motion, so that camera and sensors are paired, and paired with the truth.

    score      tracks of joint angles over time, in a style      actions    what each action does
    body       segments and forward kinematics                   motion     balance, feet on the floor
    camera     what a depth camera sees of it                    imu        what worn sensors measure of it
    takes      one action, filmed and measured                   continuous several in one recording
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeskel import topologies
from edgeskel.data.store import Store
from edgeskel.data.store_writer import StoreWriter
from edgeskel.data.synthetic.actions import ACTIONS
from edgeskel.data.synthetic.body import SyntheticBody, random_body
from edgeskel.data.synthetic.camera import Camera, random_camera
from edgeskel.data.synthetic.continuous import Recorded, sequence
from edgeskel.data.synthetic.imu import DEFAULT_SENSORS, Noise, places
from edgeskel.data.synthetic.motion import Motion, perform
from edgeskel.data.synthetic.score import RATE_HZ
from edgeskel.data.synthetic.style import Style, random_style
from edgeskel.data.synthetic.takes import Take, play, take
from edgeskel.errors import UsageError
from edgeskel.skeleton import Clip

__all__ = [
    "DATASET", "DEFAULT_SENSORS", "SyntheticBody", "Camera", "Motion", "Noise", "Recorded", "Style", "Take", "actions", "clip",
    "generate", "mirrors", "perform", "places", "play", "random_body", "random_camera", "random_style", "sequence",
    "take", "takes_of",
]

#: The dataset's name in a store.
DATASET = "synthetic"


def actions() -> tuple[str, ...]:
    """Labels of all actions."""
    return tuple(ACTIONS)


def mirrors() -> dict[str, str]:
    """Label -> label of the mirror image, for every action."""
    return {name: action.mirror for name, action in ACTIONS.items()}


def clip(action: str, body: SyntheticBody, style: Style, rng: np.random.Generator, **options: object) -> Clip:
    """The clip of a :func:`take`, with the same options."""
    return take(action, body, style, rng, **options).clip  # type: ignore[arg-type]


def takes_of(subject: int, *, takes: int = 4, seed: int = 0, rate_hz: float = 30.0,
             sensors: Sequence[str] = DEFAULT_SENSORS, labels: Sequence[str] | None = None) -> Iterator[Take]:
    """All takes of one person; each depends on the seed, the person, the action and its number only."""
    person = np.random.default_rng([seed, subject])
    body, habit = random_body(person), random_style(person)
    name = f"s{subject + 1:02d}"
    for action in labels if labels is not None else actions():
        for number in range(takes):
            rng = np.random.default_rng([seed, subject, zlib.crc32(action.encode()), number])
            style, camera = random_style(rng, habit), random_camera(rng, rate_hz=rate_hz)
            made = take(action, body, style, rng, camera=camera, sensors=sensors)
            source = f"{name}/{action.replace(' ', '_')}_{number + 1}"
            yield replace(made, clip=replace(made.clip, subject=name, source=source, view="front"))


def generate(out: str | Path, *, subjects: int = 12, takes: int = 4, seed: int = 0, rate_hz: float = 30.0,
             sensors: Sequence[str] = DEFAULT_SENSORS, labels: Sequence[str] | None = None,
             watch: Callable[[Iterable[int], int], Iterable[int]] | None = None) -> Store:
    """Write a store of synthetic clips; the same arguments give the same bytes.

    Args:
        out: the store.
        subjects: people, ``s01`` and up.
        takes: of each action by each person.
        seed: of everything.
        rate_hz: of the camera.
        sensors: worn sensors, of :func:`places`.
        labels: some of :func:`actions`; all by default.
        watch: given the people and their number, passes them on; for a progress bar.

    Raises:
        UnknownChoice: no such action or sensor place.
        UsageError: no person or no take asked for, a rate that is none, or ``out`` is no place for a store.
    """
    if subjects < 1 or takes < 1 or not 0 < rate_hz <= RATE_HZ:
        raise UsageError(f"{subjects} subjects, {takes} takes, {rate_hz} Hz",
                         expected=f"at least one of each, and up to {RATE_HZ:g} Hz")
    labels = actions() if labels is None else tuple(labels)
    layout = topologies.get("kinect-v1")
    people: Iterable[int] = range(subjects)
    with StoreWriter(out, dataset=DATASET, topology=layout, labels=labels, rate_hz=rate_hz) as writer:
        for subject in watch(people, subjects) if watch else people:
            for made in takes_of(subject, takes=takes, seed=seed, rate_hz=rate_hz, sensors=sensors, labels=labels):
                writer.add(made.clip)
    return Store.open(out)
