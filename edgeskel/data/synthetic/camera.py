"""What a depth camera's skeleton tracker makes of a motion: placed, noisy, hidden behind the body, lost, frozen.

Axes: T frames, V joints. Camera axes: right-handed, y up, z ahead of the camera; the actor stands ahead and faces it.

Confidence follows the makers' tracking states: 1 tracked, 0.5 inferred, 0 not tracked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskel.data.synthetic.body import JOINTS, SEGMENTS
from edgeskel.data.synthetic.motion import Motion
from edgeskel.geometry import Float64, about, multiply_many, rotate_many
from edgeskel.skeleton import Topology

__all__ = ["Camera", "hidden", "random_camera", "record", "view"]


@dataclass(frozen=True)
class Camera:
    """A camera and how well it sees.

    Args:
        rate_hz: frames per second.
        distance: metres from the camera to the actor's start.
        aside: metres of the actor's start to the camera's left.
        yaw: radians that the actor is turned away from facing the camera.
        height: metres of the camera over the floor.
        tilt: radians that it looks down.
        roll: radians that it leans.
        noise: scale of all errors; 0 gives the truth with confidence 1.
    """

    rate_hz: float = 30.0
    distance: float = 2.6
    aside: float = 0.0
    yaw: float = 0.0
    height: float = 0.9
    tilt: float = 0.0
    roll: float = 0.0
    noise: float = 1.0


def random_camera(rng: np.random.Generator, *, rate_hz: float = 30.0, noise: float = 1.0) -> Camera:
    """A living-room set-up: 1.9 to 3.3 m away, turned by up to some 60 degrees."""
    return Camera(rate_hz=rate_hz,
                  distance=float(rng.uniform(1.9, 3.3)),
                  aside=float(rng.uniform(-0.5, 0.5)),
                  yaw=float(np.clip(rng.normal(0, 0.4), -1.1, 1.1)),
                  height=float(rng.uniform(0.6, 1.6)),
                  tilt=float(rng.normal(0.08, 0.06)),
                  roll=float(rng.normal(0, 0.015)),
                  noise=noise)


def view(motion: Motion, camera: Camera) -> Motion:
    """The motion in the room: y up and the floor ``height`` below the camera, which is the origin and looks along z.

    An actor who comes closer than 1.2 m is moved back, as a user would.
    """
    turn = about(1, np.pi + camera.yaw)
    placed = motion.placed(turn, np.array([camera.aside, -camera.height, camera.distance]))
    nearest = min(float(placed.origins[name][:, 2].min()) for name in ("pelvis", "head", "left_hand", "right_hand"))
    return placed.placed(about(1, 0.0), np.array([0.0, 0.0, max(0.0, 1.2 - nearest)]))


def record(room: Motion, camera: Camera, topology: Topology,
           rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32], Float64]:
    """Film a motion that :func:`view` has placed.

    Returns:
        joints (T, V, 3) metres in camera axes, confidence (T, V), time (T,) seconds.
    """
    look = multiply_many(about(0, -camera.tilt), about(2, camera.roll))
    time = np.arange(int(np.floor(room.time[-1] * camera.rate_hz)) + 1) / camera.rate_hz
    truth = _sample(rotate_many(look, room.joints(topology)), room.time, time)
    if camera.noise == 0:
        return truth.astype(np.float32), np.ones(truth.shape[:2], np.float32), time
    behind = hidden(truth, {
        name: _sample(rotate_many(look, points), room.time, time)
        for name, points in _thick(room).items()
    }, room, topology)
    confidence = _tracking(behind, camera, rng)
    seen = truth + camera.noise * _error(truth, camera, rng)
    guessed = (confidence == 0.5)[..., None]
    seen += camera.noise * guessed * 0.05 * _drift(truth.shape, 0.9, rng)
    seen = _freeze(seen, confidence, rng)
    seen[confidence == 0] = 0.0
    return seen.astype(np.float32), confidence.astype(np.float32), time


def _sample(points: Float64, clock: Float64, time: Float64) -> Float64:
    """(T, ..., 3) at other instants, linear between neighbours 10 ms apart (under 0.3 mm off at 20 m/s²)."""
    position = np.clip(np.interp(time, clock, np.arange(len(clock))), 0, len(clock) - 1)
    before = np.minimum(position.astype(np.int64), len(clock) - 2)
    share = (position - before).reshape(-1, *[1] * (points.ndim - 1))
    return np.asarray((1 - share) * points[before] + share * points[before + 1], dtype=np.float64)


def _thick(motion: Motion) -> dict[str, Float64]:
    """Segment -> (T, 2, 3): both ends of what the camera cannot see through."""
    return {
        s.name:
        np.stack([
            motion.origins[s.name], motion.origins[s.name] + rotate_many(motion.turns[s.name],
                                                                    np.array(s.tip) * motion.body.length(s.name))
        ],
                 axis=1)
        for s in SEGMENTS if s.radius
    }


def hidden(joints: Float64, thick: dict[str, Float64], motion: Motion, topology: Topology) -> NDArray[np.bool_]:
    """(T, V) joints that some other segment of the body stands in front of, as seen from the camera at the origin.

    Args:
        joints: (T, V, 3) camera axes.
        thick: segment -> (T, 2, 3) its two ends, camera axes.
        motion: whose body gives the radii.
        topology: names the joints.
    """
    behind = np.zeros(joints.shape[:2], dtype=bool)
    distance = np.linalg.norm(joints, axis=-1)
    parents = {s.name: s.parent for s in SEGMENTS}
    homes = [JOINTS[joint][0] for joint in topology.joints]
    ray = joints / distance[..., None]
    for segment in SEGMENTS:
        if not segment.radius:
            continue
        # A segment does not hide its own joints nor those where it meets its neighbours.
        others = [
            v for v, home in enumerate(homes)
            if segment.name not in (home, parents[home]) and parents[segment.name] != home and _far(segment.name, home)
        ]
        radius = segment.radius * motion.body.stature * motion.body.girth
        ends = thick[segment.name][:, None]  # (T, 1, 2, 3)
        rays = ray[:, others]
        # Nearest point of the segment to the ray, found among seven along it: exact to a fraction of the radius.
        along = np.linspace(0, 1, 7)[:, None]
        points = ends[:, :, :1] * (1 - along) + ends[:, :, 1:] * along  # (T, 1, 7, 3)
        depth = (points * rays[:, :, None]).sum(axis=-1)
        off = np.sqrt(np.maximum((points**2).sum(axis=-1) - depth**2, 0))
        covers = (off < 0.8 * radius) & (depth + radius + 0.03 < distance[:, others, None])
        behind[:, others] |= covers.any(axis=-1)
    return behind


def _far(segment: str, home: str) -> bool:
    """The trunk is one mass: none of its pieces hides another's joints, nor the hips and collars in it."""
    trunk = ("pelvis", "abdomen", "chest", "neck")
    return not (segment in trunk and (home in trunk or home.endswith(
        ("_thigh", "_collar", "_upper_arm")) or home == "head"))


def _drift(shape: tuple[int, ...], memory: float, rng: np.random.Generator) -> Float64:
    """(T, ...) first-order autoregressive noise of unit variance."""
    white = rng.standard_normal(shape) * np.sqrt(1 - memory**2)
    white[0] /= np.sqrt(1 - memory**2)
    for t in range(1, len(white)):
        white[t] += memory * white[t - 1]
    return np.asarray(white, dtype=np.float64)


def _error(truth: Float64, camera: Camera, rng: np.random.Generator) -> Float64:
    """(T, V, 3) metres: tracker wander, frame jitter, and depth noise that grows with the square of the distance.

    The depth term, 1.43 mm times the squared distance in metres, is that of Khoshelham and Elberink, "Accuracy and
    resolution of Kinect depth data", Sensors 12 (2012), 10.3390/s120201437.
    """
    extremity = rng.uniform(0.7, 1.4, (1, truth.shape[1], 1))
    wander = 0.021 * _drift(truth.shape, 0.95, rng) + 0.014 * rng.standard_normal((1, *truth.shape[1:]))
    jitter = 0.005 * rng.standard_normal(truth.shape)
    error = extremity * (wander + jitter)
    error[..., 2] += 1.43e-3 * truth[..., 2]**2 * rng.standard_normal(truth.shape[:2])
    return np.asarray(error, dtype=np.float64)


def _tracking(behind: NDArray[np.bool_], camera: Camera, rng: np.random.Generator) -> Float64:
    """(T, V) confidence: hidden joints are inferred or lost, others flicker, now and then the whole person is lost."""
    frames, joints = behind.shape
    confidence = np.ones(behind.shape)
    lost = rng.random(joints) < 0.3  # this time the tracker gives these up instead of guessing
    confidence[behind] = 0.5
    confidence[behind & lost] = 0.0
    for _ in range(rng.poisson(4.0 * camera.noise)):  # a limb's end confused with the background
        start, joint = rng.integers(frames), rng.integers(joints)
        confidence[start:start + rng.integers(3, 25), joint] = rng.choice([0.0, 0.5])
    if rng.random() < 0.12 * camera.noise:
        start = rng.integers(frames)
        confidence[start:start + rng.integers(1, 6)] = 0.0
    if not confidence.any():
        confidence[0] = 0.5
    return confidence


def _freeze(seen: Float64, confidence: Float64, rng: np.random.Generator) -> Float64:
    """A third of the joints, while inferred, stay where they were last tracked."""
    seen = seen.copy()
    for joint in np.flatnonzero(rng.random(seen.shape[1]) < 0.33):
        index = np.where(confidence[:, joint] == 0.5, -1, np.arange(len(seen)))
        held = np.maximum.accumulate(index)
        still = (index < 0) & (held >= 0)
        seen[still, joint] = seen[held[still], joint]
    return seen
