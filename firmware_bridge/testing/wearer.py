"""A person who is none: stands in the N-pose, swings each limb once as a calibration asks for, then moves on for ever.

All simulated devices can show this one person at the same time: sensors on any segments measure what gravity and the movement
make of their seats, and a camera sees the joints. So calibration, fusion and recognition can be tried without hardware, and a test
knows the truth.

    person = Wearer()
    PtyNode(sensors=6, motion=person.worn(("pelvis", "chest", ...)))
    person.joints(topology, seconds)                  # (V, 3)

What it leaves out: walking (the feet stay where they are), soft tissue, noise. Axes: T instants, P pieces, S sensors, V joints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import UnknownChoice
from edgeskel.geometry import about_up, conjugate, exponential, logarithm, multiply, rotate
from edgeskel.skeleton import Frame, Topology
from firmware_bridge.body.calibration import Calibration
from firmware_bridge.body.kinematics import SOLES, Skeleton
from firmware_bridge.body.segments import INDEX, PIECES, BodyDimensions, segment_of
from firmware_bridge.samples import STANDARD_GRAVITY

__all__ = ["MOVEMENT_S", "POSE_S", "PROGRAMME", "Wearer", "seat"]

Float64 = NDArray[np.float64]

POSE_S = 6.0
"""How long the N-pose is held at the beginning."""
MOVEMENT_S = 4.0
"""From one movement of :data:`PROGRAMME` to the next; the second half is still."""
PROGRAMME = ("raise left arm", "raise right arm", "bow", "lift left leg", "lift right leg", "squat", "raise arms")
"""Movements of :data:`firmware_bridge.body.MOVEMENTS`, in the order in which they are done."""
STEP_S = 0.01
"""Of the grid on which the movement is worked out once; between its points measurements are interpolated."""
LOOP_S = 12.0
"""After the programme the movement repeats in so long."""
SWAY = 0.01
HEADING = 0.7
"""Radians by which the world of a sensor is turned against that of the one before."""
FIELD = np.array([20.0, -44.0, 0.0])
"""µT, in our world: about that of central Europe, with north along x."""

# Movement -> piece -> radians about the body's lateral axis at its height. Arms and legs swing ahead (negative about x).
_SWINGS: dict[str, dict[str, float]] = {
    "raise left arm": {"left_upper_arm": -1.3}, "raise right arm": {"right_upper_arm": -1.3},
    "raise arms": {"left_upper_arm": -1.3, "right_upper_arm": -1.3},
    "bow": {"pelvis": 0.7, "abdomen": 0.1, "left_thigh": -0.7, "right_thigh": -0.7},
    "lift left leg": {"left_thigh": -0.8}, "lift right leg": {"right_thigh": -0.8},
    "squat": {"left_thigh": -0.9, "right_thigh": -0.9, "left_shank": 1.3, "right_shank": 1.3, "left_foot": -0.4,
              "right_foot": -0.4, "abdomen": 0.3},
}
# What goes on after the programme: piece -> (axis, radians, how often in LOOP_S).
_AFTERWARDS: dict[str, tuple[tuple[float, float, float], float, int]] = {
    "right_upper_arm": ((0.0, 0.0, 1.0), -1.2, 4), "right_forearm": ((1.0, 0.0, 0.0), -0.9, 8),
    "left_upper_arm": ((1.0, 0.0, 0.0), -0.8, 3), "left_forearm": ((1.0, 0.0, 0.0), -0.7, 5),
    "chest": ((0.0, 1.0, 0.0), 0.3, 3), "abdomen": ((1.0, 0.0, 0.0), 0.25, 2), "head": ((0.0, 1.0, 0.0), 0.4, 4),
    "left_thigh": ((1.0, 0.0, 0.0), -0.5, 2), "left_shank": ((1.0, 0.0, 0.0), 0.7, 2),
}


class Wearer:
    """The person. Every method is a function of time alone.

    Args:
        facing: radians about up from our z axis.
        body: sizes.
        programme: movements after the pose; () goes on at once.
        place: (3,) metres, where the pelvis segment stands; its height follows from the floor.

    Raises:
        UnknownChoice: a movement that it does not know.
    """

    facing: float
    body: BodyDimensions

    def __init__(self, *, facing: float = 0.0, body: BodyDimensions | None = None, programme: Sequence[str] = PROGRAMME,
                 place: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        for movement in programme:
            if movement not in _SWINGS:
                raise UnknownChoice("movement", movement, _SWINGS)
        self.facing, self.body = facing, body or BodyDimensions()
        self.programme: tuple[str, ...] = tuple(programme)
        self._place = np.array(place, dtype=np.float64)
        self._skeletons: dict[str, Skeleton] = {}

    @property
    def begin_s(self) -> float:
        """When the pose and the programme are over."""
        return POSE_S + MOVEMENT_S * len(self.programme)

    def turns(self, seconds: Float64 | float) -> Float64:
        """(...,) seconds -> (..., P, 4) piece -> world."""
        time = np.asarray(seconds, dtype=np.float64)
        bent = self._bent(time)
        sway = SWAY * np.sin(2 * np.pi * time / 3.0)
        lean = exponential(np.stack([0.3 * sway, np.zeros_like(sway), sway], axis=-1))
        turns = np.zeros((*time.shape, len(PIECES), 4))
        for index, piece in enumerate(PIECES):
            above = turns[..., INDEX[piece.parent], :] if piece.parent else multiply(about_up(self.facing), lean)
            turns[..., index, :] = multiply(above, exponential(bent[piece.name])) if piece.name in bent else above
        return turns

    def joints(self, topology: Topology, seconds: Float64 | float) -> Float64:
        """(...,) seconds -> (..., V, 3) metres.

        Raises:
            TopologyMismatch: the layout shares too few joints with the body.
        """
        skeleton = self._skeletons.get(topology.name)
        if skeleton is None:
            skeleton = self._skeletons[topology.name] = Skeleton(topology, self.body)
        turns = self.turns(seconds)
        return np.asarray(skeleton.forward(turns) + self._root(turns)[..., None, :], dtype=np.float64)

    def frame(self, topology: Topology, seconds: float, time: float) -> Frame:
        """What a camera without faults sees at ``seconds``, stamped ``time``."""
        joints = self.joints(topology, seconds)[None].astype(np.float32)
        return Frame(time, joints, np.ones(joints.shape[:2], np.float32))

    def worn(self, places: Sequence[str], *, seats: Mapping[str, Float64] | None = None) -> Callable[[int, int], Float64]:
        """What sensors at ``places`` measure: the ``motion`` of a :class:`~firmware_bridge.testing.node.SimulatedNode`.

        Their world has z up, and each a heading of its own; ``seats`` says how they are mounted ((4,) segment -> sensor axes),
        by default askew, each in its own way.

        Raises:
            UnknownChoice: no such place.
        """
        pieces = np.array([INDEX[segment_of(place)] for place in places], dtype=np.int64)
        mounts = np.stack([(seats or {}).get(place, seat(row)) for row, place in enumerate(places)])
        headings = exponential(np.stack([[0.0, 0.0, HEADING * row] for row in range(len(places))]))
        world = multiply(headings, exponential(np.array([np.pi / 2, 0.0, 0.0])))  # our y becomes its z
        grid = self._grid(-2)
        turns = self.turns(grid)
        sensors = multiply(multiply(world, turns[:, pieces]), conjugate(mounts))
        at = self._origins(turns)[:, pieces]
        now = sensors[1:-1]
        rate = logarithm(multiply(conjugate(sensors[:-2]), sensors[2:])) / (2 * STEP_S)
        force = (at[:-2] - 2 * at[1:-1] + at[2:]) / STEP_S**2 + np.array([0.0, STANDARD_GRAVITY, 0.0])
        measured = np.concatenate([now, rotate(conjugate(now), rotate(world, force)), rate,
                                   rotate(conjugate(now), rotate(world, np.broadcast_to(FIELD, force.shape)))], axis=-1)
        same = (now[1:] * now[:-1]).sum(axis=-1, keepdims=True) >= 0  # the sign of a quaternion must not jump between points
        measured[1:, :, :4] *= np.cumprod(np.where(same, 1.0, -1.0), axis=0)

        def motion(count: int, device_us: int) -> Float64:
            values = self._between(grid[1:-1], measured, device_us / 1e6)[:count]
            values[:, :4] /= np.linalg.norm(values[:, :4], axis=-1, keepdims=True)
            return values

        return motion

    def calibration(self, places: Sequence[str], *, seats: Mapping[str, Float64] | None = None) -> Calibration:
        """How the sensors of :meth:`worn` really sit: what a perfect calibration would find."""
        rows = list(enumerate(places))
        return Calibration({segment_of(place): (seats or {}).get(place, seat(row)) for row, place in rows},
                           {segment_of(place): -HEADING * row for row, place in rows},
                           {segment_of(place): "simulation" for place in places})

    def filmed(self, topology: Topology) -> Callable[[float], Float64]:
        """:meth:`joints` of one instant after the other, worked out beforehand; for ever."""
        grid = self._grid(0)[::2]
        joints = self.joints(topology, grid)
        return lambda seconds: self._between(grid, joints, seconds)

    def turned(self) -> Callable[[float], Float64]:
        """:meth:`turns` of the nearest instant of a grid, worked out beforehand; for ever."""
        grid = self._grid(0)
        turns = self.turns(grid)
        return lambda seconds: turns[round((self._looped(seconds) - grid[0]) / STEP_S)]

    def _grid(self, first: int) -> Float64:
        """Seconds from ``first`` steps on, to a little after the second round of what repeats."""
        return np.asarray(np.arange(first, round((self.begin_s + 2 * LOOP_S) / STEP_S) + 4) * STEP_S, dtype=np.float64)

    def _looped(self, seconds: float) -> float:
        """The same moment of the movement, not later than the second round of what repeats."""
        if seconds > self.begin_s + LOOP_S:
            seconds -= LOOP_S * ((seconds - self.begin_s) // LOOP_S - 1)
        return max(seconds, 0.0)

    def _between(self, grid: Float64, values: Float64, seconds: float) -> Float64:
        """``values`` (T, ...) on an even grid, linear between its points."""
        row, share = divmod((self._looped(seconds) - grid[0]) / (grid[1] - grid[0]), 1.0)
        return np.asarray((1 - share) * values[int(row)] + share * values[int(row) + 1], dtype=np.float64)

    def _bent(self, time: Float64) -> dict[str, Float64]:
        """Piece -> (..., 3) rotation vector in its parent's axes, for the pieces that are bent at any of the times."""
        bent: dict[str, Float64] = {}
        for number, movement in enumerate(self.programme):
            share = _there_and_back((time - POSE_S - MOVEMENT_S * number) / (MOVEMENT_S / 2))
            for piece, angle in _SWINGS[movement].items():
                bent[piece] = bent.get(piece, 0.0) + share[..., None] * np.array([angle, 0.0, 0.0])
        passed = np.maximum(time - self.begin_s, 0.0)
        for piece, (axis, angle, often) in _AFTERWARDS.items():
            swing = 0.5 * (1 - np.cos(2 * np.pi * often * passed / LOOP_S))
            bent[piece] = bent.get(piece, 0.0) + (angle * swing)[..., None] * np.array(axis)
        return bent

    def _origins(self, turns: Float64) -> Float64:
        """(..., P, 3) metres: the pieces' origins in the world."""
        return self._hung(turns) + self._root(turns)[..., None, :]

    def _hung(self, turns: Float64) -> Float64:
        """The same with the pelvis segment at 0."""
        offsets = self.body.offsets()
        origins = np.zeros((*turns.shape[:-1], 3))
        for index, piece in enumerate(PIECES):
            if piece.parent:
                above = INDEX[piece.parent]
                origins[..., index, :] = origins[..., above, :] + rotate(turns[..., above, :], offsets[index])
        return origins

    def _root(self, turns: Float64) -> Float64:
        """(..., 3) metres: the lowest sole is on the floor."""
        pieces = [piece for piece, _ in SOLES]
        places = np.array([place for _, place in SOLES]) * self.body.stature * self.body.scale.get("foot", 1.0)
        soles = self._hung(turns)[..., pieces, :] + rotate(turns[..., pieces, :], places)
        root = np.broadcast_to(self._place, (*turns.shape[:-2], 3)).copy()
        root[..., 1] -= soles[..., 1].min(axis=-1)
        return root


def seat(number: int) -> Float64:
    """(4,) how the ``number``-th sensor sits: segment -> sensor axes, askew by up to half a turn."""
    angle = [0.9 * math.sin(1.7 * number + 0.4), 2.4 * math.sin(2.3 * number + 1.1), 0.8 * math.sin(3.1 * number + 0.2)]
    return exponential(np.array(angle))


def _there_and_back(share: Float64) -> Float64:
    """0 at 0 and from 1 on, 1 between, smooth with its first and second derivatives (minimum jerk either way)."""
    half = np.clip(2 * np.minimum(share, 1 - share), 0.0, 1.0)
    return np.asarray(half**3 * (10 - 15 * half + 6 * half**2), dtype=np.float64)
