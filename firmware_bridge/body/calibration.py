"""How each sensor sits on its segment, from a pose and a movement.

**Pose.** The wearer stands still, arms hanging (N-pose) or held out sideways, palms down (T-pose). Every segment's axes in the
world are then known but for the direction the wearer faces, and the accelerometer shows which way is up in sensor axes.

**Movement.** Limbs are then swung ahead. Whatever swings ahead turns about the body's lateral axis, so that the
principal axis of the gyroscope *is* that axis, in sensor axes; the way it turned gives its sign. Up and the lateral
axis in sensor axes are the whole mounting (two directions fix a rotation), and no compass is asked. The heading of
each sensor's world then follows
from the pose: all segments face the same way.

**Common heading.** Sensors with a compass, or reset side by side, share a heading. Then the movement of one limb tells for all, as
it shows which way the wearer faced in the pose; or the wearer says so. The pose alone tells up and no more: taken for a facing
ahead it would exchange front and back of whoever faced the other way.

Sources: principal gyroscope axis of a hinge as in Seel, Raisch and Schauer, "IMU-based joint angle measurement for
gait analysis", Sensors 14 (2014), 10.3390/s140406891; two directions to a rotation as in Black, "A passive system for
determining the attitude of a satellite", AIAA J. 2 (1964), 10.2514/3.2555 (TRIAD); mean rotation see
:func:`edgeskel.geometry.average`.

Axes: K samples of one sensor.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeskel.errors import CorruptFile, DeviceError, UnknownChoice
from edgeskel.files import atomic_write
from edgeskel.geometry import (
    about_up,
    average,
    conjugate,
    exponential,
    from_axes,
    heading,
    multiply,
    rotate,
    wrap,
)
from firmware_bridge.body.segments import SEGMENTS, Float64
from firmware_bridge.track import Track

__all__ = ["MOVEMENTS", "POSES", "RESTING", "Calibration", "Track", "calibrate", "check_limbs", "hinge_axis"]

_SIDES = ("left", "right")


def _arms(turn: float) -> dict[str, Float64]:
    return {f"{side}_{segment}": exponential(np.array([0.0, 0.0, turn if side == "left" else -turn]))
            for side in _SIDES for segment in ("upper_arm", "forearm", "hand")}


POSES: dict[str, dict[str, Float64]] = {"n-pose": {}, "t-pose": _arms(math.pi / 2)}
"""Pose -> segment -> (4,) its axes against the N-pose, seen from the front-facing body; those left out are as in the
N-pose."""


def _swing(sign: int, *segments: str, sides: tuple[str, ...] = _SIDES) -> dict[str, int]:
    return {f"{side}_{segment}": sign for side in sides for segment in segments}


MOVEMENTS: dict[str, dict[str, int]] = {
    "raise arms": _swing(-1, "upper_arm", "forearm", "hand"),
    "bow": {"pelvis": 1, "chest": 1, "head": 1} | _swing(1, "collar"),
    "squat": {"pelvis": 1, "chest": 1} | _swing(-1, "thigh") | _swing(1, "shank"),
    "walk": _swing(-1, "thigh") | _swing(1, "shank", "foot"),
    "lift left leg": _swing(-1, "thigh", "shank", "foot", sides=("left",)),
    "lift right leg": _swing(-1, "thigh", "shank", "foot", sides=("right",)),
    "raise left arm": _swing(-1, "upper_arm", "forearm", "hand", sides=("left",)),
    "raise right arm": _swing(-1, "upper_arm", "forearm", "hand", sides=("right",)),
}
"""Movement -> segment -> the sign of its widest turn from the pose about the body's lateral axis (x, to the left).
Arms and legs are kept straight and swung ahead; the bow is from the hips, with the head; the squat is with the trunk
leaning ahead. In a walk the thigh swings farthest ahead, the shank and the foot farthest back."""

RESTING: dict[str, frozenset[str]] = {
    "raise arms": frozenset({"pelvis", *_swing(0, "thigh", "shank", "foot")}),
    "bow": frozenset(_swing(0, "shank", "foot")),
    "squat": frozenset(_swing(0, "foot")),
    "walk": frozenset(),
    "lift left leg": frozenset(_swing(0, "thigh", "shank", "foot", sides=("right",))),
    "lift right leg": frozenset(_swing(0, "thigh", "shank", "foot", sides=("left",))),
    "raise left arm": frozenset(_swing(0, "upper_arm", "forearm", "hand", sides=("right",))),
    "raise right arm": frozenset(_swing(0, "upper_arm", "forearm", "hand", sides=("left",))),
}
"""Movement -> segments that rest in it; whatever is in neither table may do as it likes."""

STILL_RAD_S = 0.35
"""A pose is held still: the gyroscope's root mean square. Sway and breathing are below 0.1, a step is above 1."""
MOVED_RAD = math.radians(15)
"""A segment took part in a movement when it turned by so much."""
PURE = 0.6
"""Share of the turning about level axes that is about one, below which a movement has no axis."""
SWUNG = 0.25
"""Share of all turning that is about level axes, below which a segment twisted and did not swing."""
ACROSS = math.radians(40)
"""The lateral axis is level in the pose; it may lie so far off before something is wrong."""


@dataclass(frozen=True)
class Calibration:
    """How sensors sit, and which way their worlds face. ``about_up(heading) * orientation * mounting`` is the segment
    in our world.

    Args:
        mounting: segment -> (4,) segment axes -> sensor axes.
        heading: segment -> radians about up, from the sensor's world to ours.
        by: segment -> ``"movement"`` or ``"common heading"``: what gave the mounting.
    """

    mounting: Mapping[str, Float64]
    heading: Mapping[str, float]
    by: Mapping[str, str]

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        sensors = {segment: {"mounting": [float(x) for x in self.mounting[segment]], "heading": self.heading[segment],
                             "by": self.by[segment]} for segment in self.mounting}
        with atomic_write(path) as file:
            file.write((json.dumps({"version": 1, "sensors": sensors}, indent=2) + "\n").encode())

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Read what :meth:`save` wrote.

        Raises:
            CorruptFile: it is absent or something else.
        """
        try:
            sensors = json.loads(Path(path).read_text(encoding="utf-8"))["sensors"]
            made = cls({name: np.array(entry["mounting"], dtype=np.float64) for name, entry in sensors.items()},
                       {name: float(entry["heading"]) for name, entry in sensors.items()},
                       {name: str(entry["by"]) for name, entry in sensors.items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptFile(path, f"no calibration ({error})", expected="a file that edgeskel devices calibrate wrote") from error
        for segment, mounting in made.mounting.items():
            if segment not in SEGMENTS or mounting.shape != (4,) or not abs(float(np.linalg.norm(mounting)) - 1) < 1e-3:
                raise CorruptFile(path, f"no mounting of {segment!r}", expected="a segment and a unit quaternion")
        return made


def calibrate(pose: str, held: Mapping[str, Track], moved: Mapping[str, Mapping[str, Track]] | None = None, *,
              facing: float = 0.0, common_heading: bool = False, world_facing: float | None = None) -> Calibration:
    """Find the mounting of every sensor.

    Args:
        pose: of :data:`POSES`.
        held: segment -> what its sensor gave while the pose was held; two seconds are plenty.
        moved: movement of :data:`MOVEMENTS` -> segment -> what its sensor gave, from just before it began.
        facing: radians about up that the wearer faces in our world, 0 being along z.
        common_heading: all sensors' worlds share one heading (compass, or reset side by side); the sensors that no
            movement told about are then mounted by the pose, and by what the others' movement told of the facing.
        world_facing: radians about up that the wearer faces in the pose in the sensors' common world, 0 being along its z (y is
            up): takes the place of a movement.

    Raises:
        UnknownChoice: no such pose, movement or segment.
        DeviceError: the wearer moved in the pose, a sensor is on the wrong limb, a sensor's forward direction is unknown, sensors
            share no heading though they should, or a movement contradicts ``world_facing``.
    """
    if pose not in POSES:
        raise UnknownChoice("pose", pose, POSES)
    for segment in held:
        if segment not in SEGMENTS:
            raise UnknownChoice("segment", segment, SEGMENTS)
    _check_still(pose, held)
    swings: dict[str, list[tuple[Track, int]]] = {}
    for movement, tracks in (moved or {}).items():
        check_limbs(movement, tracks)
        for segment, sign in MOVEMENTS[movement].items():
            if segment in held and segment in tracks and tracks[segment].turned() >= MOVED_RAD:
                swings.setdefault(segment, []).append((tracks[segment], sign))
    mean = {segment: average(track.orientation) for segment, track in held.items()}
    axes = {segment: hinge_axis(swung, mean[segment]) for segment, swung in swings.items()}
    mounting: dict[str, Float64] = {}
    by: dict[str, str] = {}
    for segment in held:
        stands = POSES[pose].get(segment, np.array([1.0, 0.0, 0.0, 0.0]))
        up = rotate(conjugate(mean[segment]), np.array([0.0, 1.0, 0.0]))
        if segment in axes and _usable(segment, pose, stands, up, *axes[segment]):
            mounting[segment], by[segment] = _from_directions(stands, up, axes[segment][0]), "movement"
    # Sensors without an axis: their world faces as those of the others do, if the user says so.
    turn = {segment: _world(mean[segment], mounting[segment], pose, segment, facing) for segment in mounting}
    if common_heading:
        _check_common(turn)
    shared = _shared(turn, facing, world_facing)
    for segment in held:
        if segment in mounting:
            continue
        if common_heading and shared is None:
            raise DeviceError("nothing tells which way the wearer faced in the pose: the sensors share a heading, and no movement "
                              "shows where it points",
                              expected="a movement of one limb (one arm tells for all sensors), or the facing",
                              remedy="raise one arm straight ahead, or say which way the wearer faces in the sensors' common world")
        if not common_heading or shared is None:
            told = ", ".join(f"{name!r}" for name, who in MOVEMENTS.items() if segment in who)
            raise DeviceError(f"nothing tells which way the sensor of {segment} faces: it took no part in a movement",
                              expected=f"one of the movements {told}" if told else "sensors that share a heading",
                              remedy="do the movement, or say that the sensors share a heading (compass, or reset side by side)")
        stands = POSES[pose].get(segment, np.array([1.0, 0.0, 0.0, 0.0]))
        world = multiply(about_up(facing - shared), stands)
        mounting[segment], by[segment] = multiply(conjugate(mean[segment]), world), "common heading"
        turn[segment] = shared
    return Calibration(mounting, {segment: float(turn[segment]) for segment in held}, by)


def _check_common(turn: Mapping[str, float]) -> None:
    """Raise DeviceError where movements tell that sensors' worlds do not face the same way: radians from each of them to ours."""
    if len(turn) < 2:
        return  # what one movement tells of one sensor, nothing contradicts
    apart = {segment: {other: abs(float(wrap(np.asarray(turn[segment] - turn[other])))) for other in turn} for segment in turn}
    middle = min(turn, key=lambda segment: sum(apart[segment].values()))
    off = {segment: angle for segment, angle in apart[middle].items() if angle > ACROSS}
    if not off:
        return
    alike = [segment for segment in turn if segment not in off]
    told = ", ".join(f"{segment} by {math.degrees(angle):.0f} degrees" for segment, angle in off.items())
    raise DeviceError(f"the sensors do not share a heading: by the movement, worlds are turned against that of {', '.join(alike)}: "
                      + told, expected="sensors whose worlds face the same way, and limbs that swing straight ahead",
                      remedy="reset these sensors beside the others, or take them away from iron, and calibrate again; or do "
                      "without the common heading, with a movement for each sensor")


def _shared(turn: Mapping[str, float], facing: float, world_facing: float | None) -> float | None:
    """Radians from the sensors' common world to ours; None where nothing tells."""
    said = None if world_facing is None else facing - world_facing
    if not turn:
        return said
    shared = _mean_angle(list(turn.values()))
    if said is not None and math.cos(shared - said) < math.cos(ACROSS):
        seen, told = (math.degrees(angle) % 360 for angle in (facing - shared, facing - said))
        raise DeviceError(f"by the movement the wearer faced {seen:.0f} degrees in the sensors' common world",
                          expected=f"{told:.0f} degrees, as was said",
                          remedy="leave the facing out, or correct it; see that the sensors do share a heading")
    return shared


def hinge_axis(swings: Sequence[tuple[Track, int]], pose: Float64) -> tuple[Float64, float]:
    """The axis, in sensor axes, about which a segment swung, and its share of all level turning.

    The axis is the principal one of the gyroscope over all swings, so that what goes astray in one counts little;
    turning around on the spot, about up, is taken off first. Its sense is that of the widest swing away from the
    pose, by how up moves in sensor axes.

    Args:
        swings: each a track and the sign of its widest swing about the axis.
        pose: (4,) sensor -> world while the pose was held.
    """
    upright = np.array([0.0, 1.0, 0.0])
    spread = np.zeros((3, 3))
    for track, _ in swings:
        up = rotate(conjugate(track.orientation), upright)
        level = track.rate - (track.rate * up).sum(axis=-1, keepdims=True) * up
        spread += level.T @ level
    values, vectors = np.linalg.eigh(spread)
    axis = np.asarray(vectors[:, -1], dtype=np.float64)
    before = _across(rotate(conjugate(pose), upright), axis)
    sense = 0.0
    for track, sign in swings:
        now = _across(rotate(conjugate(track.orientation), upright), axis)
        # Up moves in sensor axes against the way the sensor turns.
        swung = -np.arctan2(np.cross(before, now) @ axis, now @ before)
        sense += sign * float(swung[int(np.argmax(np.abs(swung)))])
    energy = sum(float((track.rate**2).sum()) for track, _ in swings)
    share = float(values[-1] / values.sum()) if values.sum() > SWUNG * energy else 0.0
    return np.asarray(-axis if sense < 0 else axis, dtype=np.float64), share


def _across(vectors: Float64, axis: Float64) -> Float64:
    """(..., 3) without their part along ``axis``."""
    return np.asarray(vectors - (vectors @ axis)[..., None] * axis, dtype=np.float64)


def check_limbs(movement: str, tracks: Mapping[str, Track]) -> None:
    """Notice a sensor on the wrong limb: what should have moved hardly did, and what should not have did.

    Args:
        movement: of :data:`MOVEMENTS`.
        tracks: segment -> what its sensor gave during it.

    Raises:
        UnknownChoice: no such movement.
        DeviceError: two sensors seem swapped, or one that should have moved did not.
    """
    if movement not in MOVEMENTS:
        raise UnknownChoice("movement", movement, MOVEMENTS)
    expected = MOVEMENTS[movement]
    turned = {segment: track.turned() for segment, track in tracks.items() if len(track.time)}
    moved = {segment: angle for segment, angle in turned.items() if segment in expected}
    stray = {segment: angle for segment, angle in turned.items()
             if segment in RESTING[movement] and angle >= MOVED_RAD}
    for segment, angle in moved.items():
        mirror = segment.replace("left_", "?").replace("right_", "left_").replace("?", "right_")
        other = mirror if mirror in stray else max(stray, key=lambda name: stray[name], default=None)
        if angle < MOVED_RAD and other is not None and stray[other] > 2 * angle:
            raise DeviceError(f"during {movement!r} the sensor of {segment} turned by {math.degrees(angle):.0f} degrees, that of "
                              f"{other} by {math.degrees(stray[other]):.0f}",
                              expected=f"{segment} to move and {other} to rest",
                              remedy=f"the sensors of {segment} and {other} seem swapped: change them, or their names")
    if moved and max(moved.values()) < MOVED_RAD:
        raise DeviceError(f"during {movement!r} no sensor of " + ", ".join(moved) + " turned by "
                          f"{math.degrees(MOVED_RAD):.0f} degrees or more", expected="a swing of 30 degrees or more",
                          remedy="do the movement again, larger")


def _check_still(pose: str, held: Mapping[str, Track]) -> None:
    for segment, track in held.items():
        if len(track.time) == 0:
            raise DeviceError(f"no reading of {segment} came in during the {pose}", expected="readings from every sensor",
                              remedy="see that the sensor is on and connected, then hold the pose again")
        speed = float(np.sqrt((track.rate**2).sum(axis=-1).mean()))
        if speed > STILL_RAD_S:
            raise DeviceError(f"{segment} turned at {speed:.2f} rad/s during the {pose}",
                              expected=f"less than {STILL_RAD_S} rad/s", remedy="hold the pose still for two seconds and try again")


def _usable(segment: str, pose: str, stands: Float64, up: Float64, axis: Float64, share: float) -> bool:
    """Whether an axis tells which way a sensor faces. Raises DeviceError where it contradicts the pose."""
    if share < PURE:
        return False
    # In segment axes: up in this pose, and x, the lateral axis. (Held out sideways, an arm's own x axis still is lateral.)
    up_in_segment = rotate(conjugate(stands), np.array([0.0, 1.0, 0.0]))
    wanted = math.acos(max(-1.0, min(1.0, float(up_in_segment[0]))))
    if min(wanted, math.pi - wanted) < math.radians(30):
        return False  # the axis stands upright in this pose and tells nothing about the heading
    seen = math.acos(max(-1.0, min(1.0, float(up @ axis))))
    if abs(seen - wanted) > ACROSS:
        raise DeviceError(f"the sensor of {segment} swung about an axis {math.degrees(seen):.0f} degrees from upright",
                          expected=f"about {math.degrees(wanted):.0f} degrees: a swing straight ahead",
                          remedy=f"see that it sits on {segment} and has not slipped, then do the {pose} and the movement again")
    return True


def _from_directions(stands: Float64, up: Float64, axis: Float64) -> Float64:
    """(4,) segment -> sensor axes, exact in up and as near as may be in the lateral axis."""

    def frame(first: Float64, second: Float64) -> Float64:
        across = np.cross(first, second)
        across /= np.linalg.norm(across)
        return from_axes(first, across, np.cross(first, across))

    in_segment = frame(rotate(conjugate(stands), np.array([0.0, 1.0, 0.0])), np.array([1.0, 0.0, 0.0]))
    return multiply(frame(up, axis), conjugate(in_segment))


def _world(mean: Float64, mounting: Float64, pose: str, segment: str, facing: float) -> float:
    """Radians from the sensor's world to ours, so that the segment faces ``facing`` in the pose."""
    stands = POSES[pose].get(segment, np.array([1.0, 0.0, 0.0, 0.0]))
    turned = multiply(multiply(mean, mounting), conjugate(stands))
    return float(wrap(facing - heading(turned)))


def _mean_angle(angles: list[float]) -> float:
    return math.atan2(sum(math.sin(a) for a in angles), sum(math.cos(a) for a in angles))
