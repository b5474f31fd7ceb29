"""A calibration step by step: when the pose is held and when a movement was done is seen, nobody has to press a key.

The wearer stands still for two seconds: that was the pose. Something moves and comes to rest: that was the movement. The same
works on a recording in which the wearer did the steps in this order. A movement in which the wrong limb moved stops the calibration
there and then, with the two sensors by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgeskel.errors import DeviceError, UnknownChoice
from firmware_bridge.body import MOVEMENTS, POSES, Calibration, Track, check_limbs
from firmware_bridge.body.calibration import MOVED_RAD, STILL_RAD_S
from firmware_bridge.fusion import Fusion

__all__ = ["CalibrationGuide", "CalibrationStep", "movements_for"]

HOLD_S = 2.0
"""How long the pose is held."""
REST_S = 0.7
"""Still for so long: the movement is over."""
LEAD_S = 0.4
"""A movement is taken from so long before it was noticed, when all was still."""
LOOK_S = 0.1
PATIENCE_S = 45.0
"""A step that has not been done after so long is given up."""
SPEED_RAD_S = 0.7
"""A limb that turns faster has begun its movement; sway and breathing are below 0.1."""
SILENT_S = 0.5

# One-sided movements tell a left sensor from a right one; these five reach every segment.
_USUAL = ("raise left arm", "raise right arm", "bow", "lift left leg", "lift right leg")


def movements_for(segments: Iterable[str], *, common_heading: bool = False, pose: str = "n-pose") -> tuple[str, ...]:
    """The movements that a set of sensors needs, in order; where all share a heading, one that tells which way the wearer faces."""
    worn = set(segments)
    needed = tuple(movement for movement in _USUAL if worn & set(MOVEMENTS[movement]))
    if not common_heading:
        return needed
    if "bow" in needed and worn & {"pelvis", "chest"}:
        return ("bow",)  # with both legs it is straighter ahead than one arm
    # Held out sideways, an arm swings about an upright axis.
    return tuple(movement for movement in needed if not (pose == "t-pose" and movement.endswith("arm")))[:1]


@dataclass(frozen=True)
class CalibrationStep:
    """Something for the wearer.

    Args:
        number, of: counted from 1.
        text: what to do, or what was seen.
        done: the step is over; otherwise it begins.
    """

    number: int
    of: int
    text: str
    done: bool = False


class CalibrationGuide:
    """Watches a fusion's sensors and calibrates it at the end.

        guide = Guide(fusion, "n-pose", movements_for(fusion.segments))
        ...                                   # after every batch of readings
        for step in guide.look(now_s):
            print(step.text)
        if guide.calibration is not None: ...

    Args:
        fusion: is given the readings by whoever drives it.
        pose: of :data:`firmware_bridge.body.POSES`.
        movements: of :data:`firmware_bridge.body.MOVEMENTS`, in the order in which they are asked for.
        common_heading, facing, world_facing: as in :func:`firmware_bridge.body.calibrate`.
        patience_s: of each step; infinite for a recording.

    Raises:
        UnknownChoice: no such pose or movement.
        DeviceError: no sensor.
    """

    fusion: Fusion
    pose: str
    movements: tuple[str, ...]

    def __init__(self, fusion: Fusion, pose: str = "n-pose", movements: Sequence[str] = (), *, common_heading: bool = False,
                 facing: float = 0.0, world_facing: float | None = None, patience_s: float = PATIENCE_S) -> None:
        if pose not in POSES:
            raise UnknownChoice("pose", pose, POSES)
        for movement in movements:
            if movement not in MOVEMENTS:
                raise UnknownChoice("movement", movement, MOVEMENTS)
        if not fusion.sensors:
            raise DeviceError("there is no sensor to calibrate", expected="a file that names devices")
        self.fusion, self.pose, self.movements = fusion, pose, tuple(movements)
        self.calibration: Calibration | None = None
        """What was found; None until all steps are done."""
        self.held: tuple[float, float] | None = None
        """When the pose was held, seconds on the host's clock."""
        self.moved: dict[str, tuple[float, float]] = {}
        """When each movement was done, likewise."""
        self.waiting_for: str = ""
        """Why the present step does not go on, in words."""
        self._common, self._facing, self._world_facing, self._patience = common_heading, facing, world_facing, patience_s
        self._since: float | None = None
        self._looked = -math.inf
        self._began: float | None = None
        self._told = False

    def look(self, now: float) -> Iterator[CalibrationStep]:
        """What is to be said at ``now`` (host seconds); call it after every batch of readings.

        Raises:
            DeviceError: a sensor on the wrong limb, a step that is not done in time, or what
                :func:`firmware_bridge.body.calibrate` raises at the end.
        """
        if self.calibration is not None or now - self._looked < LOOK_S:
            return
        self._looked = now
        if self._since is None:
            self._since = now
        if not self._told:
            self._told = True
            yield self._step(self._what())
        if self.held is None:
            done = self._look_at_pose(now)
        else:
            done = self._look_at_movement(now)
        if done:
            yield self._step(done, done=True, number=self._number - 1)
            self._since, self._told = now, False
            if self.held is not None and len(self.moved) == len(self.movements):
                self.calibration = self.fusion.calibrate(self.pose, self.held, self.moved, facing=self._facing,
                                                         common_heading=self._common, world_facing=self._world_facing)
        elif now - self._since > self._patience:
            raise DeviceError(f"{self._what()!r}: not done within {self._patience:g} s ({self.waiting_for})",
                              expected="the pose held still, then each movement once",
                              remedy="see with edgeskel devices show that all sensors send, then begin again")

    def finish(self) -> Calibration:
        """The calibration, at the end of a recording.

        Raises:
            DeviceError: the recording ended before all steps were seen.
        """
        if self.calibration is None:
            raise DeviceError(f"the recording ends before {self._what()!r} was seen ({self.waiting_for or 'it had not begun'})",
                              expected=", then ".join([f"the {self.pose} held still", *self.movements]),
                              remedy="record the steps in this order, or name those that it holds")
        return self.calibration

    @property
    def _number(self) -> int:
        return 1 + (self.held is not None) + len(self.moved)

    def _step(self, text: str, *, done: bool = False, number: int | None = None) -> CalibrationStep:
        return CalibrationStep(self._number if number is None else number, 1 + len(self.movements), text, done)

    def _what(self) -> str:
        if self.held is None:
            return f"stand in the {self.pose.upper().replace('POSE', 'pose')} and hold still"
        return self.movements[len(self.moved)] if len(self.moved) < len(self.movements) else "done"

    def _look_at_pose(self, now: float) -> str | None:
        assert self._since is not None
        tracks = self._tracks(now - HOLD_S, now)
        absent = [name for name, track in tracks.items() if not _covers(track, now - HOLD_S, now)]
        if absent:
            self.waiting_for = "no steady readings yet of " + ", ".join(absent)
            return None
        speeds = {name: _speed(track) for name, track in tracks.items()}
        fastest = max(speeds, key=lambda name: speeds[name])
        if speeds[fastest] >= STILL_RAD_S:
            self.waiting_for = f"{fastest} turns at {speeds[fastest]:.1f} rad/s"
            return None
        self.held = (now - HOLD_S, now)
        return f"held still for {HOLD_S:g} s"

    def _look_at_movement(self, now: float) -> str | None:
        if len(self.moved) == len(self.movements):
            return "no movement was asked for"
        assert self._since is not None
        if self._began is None:
            recent = self._tracks(max(self._since, now - 3 * LOOK_S), now)
            self.waiting_for = "nothing has moved yet"
            if any(len(track.time) and _fastest(track) > SPEED_RAD_S for track in recent.values()):
                self._began = now
            return None
        self.waiting_for = "it has not come to rest yet"
        rest = self._tracks(now - REST_S, now)
        if now - self._began < REST_S or any(len(track.time) and _speed(track) >= STILL_RAD_S for track in rest.values()):
            return None
        movement = self.movements[len(self.moved)]
        begin, self._began = self._began - LEAD_S - 3 * LOOK_S, None
        tracks = self._tracks(begin, now)
        by_segment = {self.fusion.sensors[name].segment: track for name, track in tracks.items() if len(track.time)}
        if not any(track.turned() >= MOVED_RAD for track in by_segment.values()):
            return None  # a twitch
        check_limbs(movement, by_segment)
        self.moved[movement] = (begin, now)
        turned = {segment: track.turned() for segment, track in by_segment.items() if segment in MOVEMENTS[movement]}
        return ", ".join(f"{segment} {math.degrees(angle):.0f}°" for segment, angle in turned.items())

    def _tracks(self, start: float, end: float) -> Mapping[str, Track]:
        refused = self.fusion.refused
        return {name: self.fusion.track(name, start, end) for name in self.fusion.sensors if name not in refused}


def _covers(track: Track, start: float, end: float) -> bool:
    """Readings from begin to end without a hole, as far as a pose needs them."""
    if len(track.time) < 5:
        return False
    edges = np.concatenate([[start], track.time, [end]])
    return float(np.diff(edges).max()) < SILENT_S


def _speed(track: Track) -> float:
    return float(np.sqrt((track.rate**2).sum(axis=-1).mean()))


def _fastest(track: Track) -> float:
    return float(np.linalg.norm(track.rate, axis=-1).max())
