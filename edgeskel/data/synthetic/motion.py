"""From angles to a body in the world: segment rotations, balance over the feet, and where the feet carry the body.

Axes: T instants. World: y up, origin on the floor where the action starts; heading 0 looks along +z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeskel.data.synthetic.body import SEGMENTS, SyntheticBody
from edgeskel.data.synthetic.score import RATE_HZ, Score
from edgeskel.geometry import Float64, about, conjugate, exponential, multiply_many, rotate_many
from edgeskel.skeleton import Topology

__all__ = ["Motion", "perform"]


@dataclass(frozen=True)
class Motion:
    """A performance without any sensor's error: the ground truth.

    Args:
        time: (T,) seconds at ``score.RATE_HZ``.
        body: who.
        origins: segment -> (T, 3) metres, world.
        turns: segment -> (T, 4) segment axes -> world.
        span: (start, end) seconds of the action.
    """

    time: Float64
    body: SyntheticBody
    origins: dict[str, Float64]
    turns: dict[str, Float64]
    span: tuple[float, float]

    def joints(self, topology: Topology) -> Float64:
        """(T, V, 3) metres: any layout whose joints are in ``body.JOINTS`` (``kinect-v1``, ``imu-17``)."""
        return np.stack([self.body.place(joint, self.origins, self.turns) for joint in topology.joints], axis=1)

    def placed(self, turn: Float64, shift: Float64) -> Motion:
        """The same performance elsewhere in the world: turned by a quaternion (4,), then moved by (3,) metres."""
        return Motion(self.time, self.body, {
            name: rotate_many(turn, origin) + shift
            for name, origin in self.origins.items()
        }, {
            name: multiply_many(np.broadcast_to(turn, own.shape), own)
            for name, own in self.turns.items()
        }, self.span)


# How bending the trunk is shared by pelvis, abdomen and chest, each summing to 1.
_SHARES = {"pelvis": (0.40, 0.20, 0.30), "abdomen": (0.30, 0.40, 0.30), "chest": (0.30, 0.40, 0.40)}


def perform(score: Score, body: SyntheticBody) -> Motion:
    """Play a score on a body.

    Legs are leant from the ankles until the mass centre stands over the supporting foot (as far as ``balance`` asks);
    the body then moves so that the supporting foot stays where it is, and its lowest point stays on the floor.
    """
    rotations = _rotations(score)
    origins, turns = body.pose(np.zeros((len(score.time), 3)), _planted(rotations, score, np.zeros(
        (len(score.time), 2))))
    lean = np.zeros((len(score.time), 2))
    for _ in range(2):
        offset, height = _imbalance(score, body, origins, turns)
        lean = np.clip(lean + score["balance"][:, None] * 0.85 * offset / height[:, None], -0.45, 0.45)
        origins, turns = body.pose(np.zeros((len(score.time), 3)), _planted(rotations, score, lean))
    root = _root(score, body, origins, turns)
    return Motion(score.time, body, {name: origin + root for name, origin in origins.items()}, turns, score.span)


def _trunk(score: Score, segment: str) -> Float64:
    bend, lean, twist = _SHARES[segment]
    return exponential(
        np.stack([bend * score["trunk.bend"], twist * score["trunk.twist"], -lean * score["trunk.lean"]], axis=-1))


def _sided(side: str, x: Float64, y: Float64, z: Float64) -> Float64:
    """Rotation vector written for the left side; the right side's is its mirror image."""
    sign = 1.0 if side == "left" else -1.0
    return exponential(np.stack([x, sign * y, sign * z], axis=-1))


def _rotations(score: Score) -> dict[str, Float64]:
    """Segment -> (T, 4) against its parent, without the legs."""
    zero = np.zeros(len(score.time))
    heading = about(1, score["heading"])
    rotations = {
        "pelvis": multiply_many(multiply_many(heading, about(0, score["pelvis.pitch"])), _trunk(score, "pelvis")),
        "abdomen": multiply_many(_trunk(score, "abdomen"), about(0, -score["pelvis.pitch"])),
        "chest": _trunk(score, "chest")
    }
    nod = np.stack([score["head.nod"], score["head.turn"], -score["head.tilt"]], axis=-1)
    rotations["neck"] = rotations["head"] = exponential(0.5 * nod)
    for side in ("left", "right"):

        def track(dof: str, side: str = side) -> Float64:
            return score[f"{side}.{dof}"]

        rotations[f"{side}_collar"] = _sided(side, zero, zero, track("collar.raise"))
        rotations[f"{side}_upper_arm"] = multiply_many(
            _sided(side, -track("shoulder.flexion"), zero, track("shoulder.abduction")),
            _sided(side, zero, -track("shoulder.rotation"), zero))
        elbow = np.logaddexp(0.0, 12 * track("elbow.flexion")) / 12  # an elbow does not bend backwards
        rotations[f"{side}_forearm"] = multiply_many(_sided(side, -elbow, zero, zero),
                                                _sided(side, zero, -track("forearm.pronation"), zero))
        rotations[f"{side}_hand"] = _sided(side, -track("wrist.deviation"), zero, -track("wrist.flexion"))
    return rotations


def _planted(rotations: dict[str, Float64], score: Score, lean: Float64) -> dict[str, Float64]:
    """Add the legs: angles against the upright body, leant by ``lean`` (T, 2) radians to the left and ahead."""
    zero = np.zeros(len(score.time))
    heading = about(1, score["heading"])
    out = dict(rotations)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        thigh = multiply_many(
            heading,
            multiply_many(
                _sided(side, -(score[f"{side}.hip.flexion"] + lean[:, 1]), zero,
                       score[f"{side}.hip.abduction"] + sign * lean[:, 0]),
                _sided(side, zero, -score[f"{side}.hip.rotation"], zero)))
        knee = _sided(side, score[f"{side}.knee.flexion"], zero, zero)
        foot = multiply_many(
            heading,
            multiply_many(_sided(side, zero, score[f"{side}.foot.out"], zero),
                     _sided(side, -score[f"{side}.foot.pitch"], zero, zero)))
        out[f"{side}_thigh"] = multiply_many(conjugate(rotations["pelvis"]), thigh)
        out[f"{side}_shank"] = knee
        out[f"{side}_foot"] = multiply_many(conjugate(multiply_many(thigh, knee)), foot)
    return out


def _loads(score: Score) -> dict[str, Float64]:
    right = np.clip(0.5 + 0.5 * score["support"], 0.0, 1.0)
    return {"left": 1.0 - right, "right": right}


def _imbalance(score: Score, body: SyntheticBody, origins: dict[str, Float64], turns: dict[str,
                                                                                  Float64]) -> tuple[Float64, Float64]:
    """(T, 2) metres by which the mass centre stands left of and ahead of the support, and (T,) the legs' height."""
    centre = sum((segment.mass * (origins[segment.name] + rotate_many(turns[segment.name],
                                                                 np.array(segment.centre) * body.length(segment.name)))
                  for segment in SEGMENTS if segment.mass), np.zeros(
                      (len(score.time), 3))) / sum(s.mass for s in SEGMENTS)
    foot = sum((load[:, None] *
                (0.6 * body.place(f"{side}_ankle", origins, turns) + 0.4 * body.place(f"{side}_foot", origins, turns))
                for side, load in _loads(score).items()), np.zeros((len(score.time), 3)))
    away = rotate_many(conjugate(about(1, score["heading"])), centre - foot)
    return away[:, [0, 2]], np.maximum(-foot[:, 1], 0.2 * body.stature)


def _root(score: Score, body: SyntheticBody, origins: dict[str, Float64], turns: dict[str, Float64]) -> Float64:
    """(T, 3) metres: where the pelvis is when the loaded foot does not slide and the lowest sole touches the floor."""
    still = np.zeros((len(score.time) - 1, 3))
    moved = sum((0.5 * (load[1:] + load[:-1])[:, None] * np.diff(body.place(f"{side}_foot", origins, turns), axis=0)
                 for side, load in _loads(score).items()), still)
    # Weight passes from foot to foot without a jolt; take-off and landing take a moment.
    root = _rounded(-np.concatenate([still[:1], np.cumsum(moved, axis=0)]), 0.16)
    lift = _rounded(score["lift"][:, None], 0.10)[:, 0] * body.stature
    soles = np.stack([body.place(f"{side}_{point}", origins, turns)[:, 1] for side in ("left", "right")
                      for point in ("heel", "toe")])
    root[:, 1] = lift - _soft_minimum(soles, 0.008)
    start = 0.5 * (body.place("left_ankle", origins, turns)[0] + body.place("right_ankle", origins, turns)[0])
    root[:, [0, 2]] -= (start + root[0])[[0, 2]]
    return root


def _soft_minimum(values: Float64, soft: float) -> Float64:
    """(T,) the least of (K, T) metres; one takes over from another over ``soft`` metres, so that nothing jerks."""
    least = values.min(axis=0)
    return np.asarray(least - soft * np.log(np.exp((least - values) / soft).mean(axis=0)), dtype=np.float64)


def _rounded(track: Float64, seconds: float) -> Float64:
    """(T, ...) with corners rounded over some ``seconds``; what moves at an end keeps moving there."""
    kernel = np.hanning(int(seconds * RATE_HZ) // 2 * 2 + 3)[1:-1]
    reach = len(kernel) // 2
    padded = np.pad(track, ((reach, reach), (0, 0)), mode="reflect", reflect_type="odd")
    return np.stack([np.convolve(column, kernel / kernel.sum(), mode="valid") for column in padded.T], axis=-1)
