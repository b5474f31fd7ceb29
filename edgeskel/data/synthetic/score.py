"""What a body does over time: a track of angle per degree of freedom, made of smooth pieces.

Axes: T instants, D degrees of freedom (:data:`DOFS`, radians except ``lift`` in statures, ``support`` and ``balance``).

A track is the difference from the actor's standing posture. Angles of the legs are against the upright body, not
against the pelvis, so that bending the trunk does not move the feet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskel.data.synthetic.style import Style

__all__ = ["DOFS", "RATE_HZ", "STANDING", "Score", "Stage", "assemble", "minimum_jerk", "mirrored", "timing"]

Float64 = NDArray[np.float64]

#: Instants per second at which motion is computed; the inertial sensors' own rate.
RATE_HZ = 100.0

_SIDED = ("collar.raise", "shoulder.flexion", "shoulder.abduction", "shoulder.rotation", "elbow.flexion",
          "forearm.pronation", "wrist.flexion", "wrist.deviation", "hip.flexion", "hip.abduction", "hip.rotation",
          "knee.flexion", "foot.pitch", "foot.out")
# Positive: bend and nod forwards; lean, twist, turn and tilt to the left; lift up; support on the right foot.
_MIDDLE = ("heading", "trunk.bend", "trunk.lean", "trunk.twist", "pelvis.pitch", "head.nod", "head.tilt", "head.turn",
           "lift", "support", "balance")
_SIGNED = ("heading", "trunk.lean", "trunk.twist", "head.tilt", "head.turn", "support")

DOFS: tuple[str, ...] = _MIDDLE + tuple(f"{side}.{dof}" for side in ("left", "right") for dof in _SIDED)
_COLUMN = {name: column for column, name in enumerate(DOFS)}

#: The posture that all tracks start from.
STANDING: dict[str, float] = {
    "balance": 1.0,
    "trunk.bend": 0.04
} | {
    f"{side}.{dof}": value
    for side in ("left", "right")
    for dof, value in {
        "shoulder.abduction": 0.12,
        "shoulder.flexion": 0.02,
        "shoulder.rotation": 0.25,
        "elbow.flexion": 0.25,
        "hip.flexion": 0.05,
        "hip.abduction": 0.04,
        "knee.flexion": 0.09,
        "foot.out": 0.15
    }.items()
}

# How far each kind of joint trails the shoulder, seconds: eyes lead, then trunk, and motion runs outwards along a limb.
_TRAIL = {
    "head": -0.06,
    "trunk": -0.04,
    "pelvis": -0.04,
    "collar": -0.01,
    "shoulder": 0.0,
    "elbow": 0.02,
    "forearm": 0.03,
    "wrist": 0.05
}
# Root mean square of slow sway, radians.
_SWAY = {
    "trunk.bend": 0.010,
    "trunk.lean": 0.008,
    "trunk.twist": 0.015,
    "head.nod": 0.03,
    "head.turn": 0.05,
    "head.tilt": 0.02,
    "shoulder.flexion": 0.03,
    "shoulder.abduction": 0.02,
    "shoulder.rotation": 0.04,
    "elbow.flexion": 0.03,
    "wrist.flexion": 0.04,
    "knee.flexion": 0.008,
    "heading": 0.01,
    "support": 0.12
}


def minimum_jerk(progress: Float64) -> Float64:
    """0 -> 1 with zero velocity and acceleration at both ends (Flash and Hogan 1985)."""
    p = np.clip(progress, 0.0, 1.0)
    return np.asarray(p**3 * (10 - 15 * p + 6 * p**2), dtype=np.float64)


@dataclass(frozen=True)
class Stage:
    """The stretch of time an action has to itself, as fractions 0..1 of the action.

    Args:
        progress: (T,) below 0 before the action, above 1 after it.
        rng: for what varies between takes.
    """

    progress: Float64
    rng: np.random.Generator

    def ramp(self, start: float, end: float) -> Float64:
        """(T,) 0 until ``start``, 1 from ``end``, minimum jerk between."""
        return minimum_jerk((self.progress - start) / (end - start))

    def bump(self, rise: float, high: float, fall: float, low: float) -> Float64:
        """(T,) up from ``rise`` to ``high``, down from ``fall`` to ``low``."""
        return self.ramp(rise, high) - self.ramp(fall, low)

    def phase(self, cycles: float, start: float = 0.0, end: float = 1.0) -> Float64:
        """(T,) angle of ``cycles`` turns between ``start`` and ``end``, easing in and out."""
        p = np.clip((self.progress - start) / (end - start), 0.0, 1.0)
        eased = 0.7 * p + 0.3 * minimum_jerk(p)
        return np.asarray(2 * np.pi * cycles * eased, dtype=np.float64)

    def about(self, middle: float, spread: float) -> float:
        """A number that differs from take to take."""
        return float(self.rng.uniform(middle - spread, middle + spread))

    def chance(self, probability: float) -> bool:
        """True now and then."""
        return bool(self.rng.random() < probability)


@dataclass(frozen=True)
class Score:
    """All tracks of one performance.

    Args:
        time: (T,) seconds from 0, at :data:`RATE_HZ`.
        tracks: (T, D) absolute values of every degree of freedom.
        span: (start, end) seconds of the action itself.
    """

    time: Float64
    tracks: Float64
    span: tuple[float, float]

    def __getitem__(self, dof: str) -> Float64:
        """(T,) one track."""
        return self.tracks[:, _COLUMN[dof]]


def mirrored(tracks: Float64) -> Float64:
    """(T, D) the same performance in a mirror."""
    order = [_COLUMN[dof.replace("left.", "?.").replace("right.", "left.").replace("?.", "right.")] for dof in DOFS]
    sign = np.array([-1.0 if dof in _SIGNED else 1.0 for dof in DOFS])
    return np.asarray(tracks[:, order] * sign, dtype=np.float64)


def timing(duration: float, style: Style, rng: np.random.Generator) -> tuple[Float64, Float64, tuple[float, float]]:
    """(T,) seconds, (T,) progress through the action, and its span, for an action of ``duration`` nominal seconds."""
    seconds = duration / style.tempo
    span = (style.before, style.before + seconds)
    time = np.arange(int(np.ceil((span[1] + style.after + 0.12) * RATE_HZ)) + 1) / RATE_HZ
    progress = (time - span[0]) / seconds
    for harmonic in (1, 2):  # monotone while the sum of slopes stays under 1
        weight = style.wander * rng.uniform(-1, 1) / (2 * np.pi * harmonic)
        inside = np.clip(progress, 0, 1)
        progress = progress + weight * np.sin(2 * np.pi * harmonic * inside)
    return time, progress, span


def assemble(time: Float64, changes: Mapping[str, Float64], style: Style, rng: np.random.Generator) -> Float64:
    """(T, D) tracks: the action's changes at the style's size, trailed, smoothed, over posture and sway.

    Args:
        time: (T,) seconds.
        changes: degree of freedom -> (T,) difference from standing, for a right-handed actor.
        style: posture is the actor's own, so that it is not mirrored with the hand.
        rng: for sway.
    """
    tracks = np.zeros((len(time), len(DOFS)))
    for dof, change in changes.items():
        joint = dof.split(".")[-2] if "." in dof else ""
        trail = _TRAIL.get(joint, 0.0) + 0.06 + rng.normal(0, 0.012)
        size = 1.0 if dof in ("support", "balance", "lift") or ".hip" in dof or ".knee" in dof else style.amplitude
        tracks[:, _COLUMN[dof]] += size * np.interp(time - (trail if joint in _TRAIL else 0.06), time, change)
    if style.hand == "left":
        tracks = mirrored(tracks)
    if rng.random() < style.fidget:
        _fidget(tracks, time, "right" if style.hand == "left" else "left", rng)
    tracks = _smooth(tracks, style.softness)
    for dof, column in _COLUMN.items():
        tracks[:, column] += STANDING.get(dof, 0.0) + style.posture.get(dof, 0.0)
        spread = _SWAY.get(dof.removeprefix("left.").removeprefix("right."), 0.0) * style.sway
        if spread:
            tracks[:, column] += spread * _slow(time, rng)
    tracks[:, _COLUMN["trunk.bend"]] += 0.006 * np.sin(2 * np.pi * 0.27 * time + rng.uniform(0, 6.28))  # breath
    return tracks


def _fidget(tracks: Float64, time: Float64, side: str, rng: np.random.Generator) -> None:
    """Let the idle hand come up for a moment, in place: to scratch, to tug at a sleeve."""
    length = rng.uniform(0.7, 1.5)
    progress = (time - rng.uniform(-0.3, max(0.0, time[-1] - length))) / length
    moment = minimum_jerk(progress / 0.4) - minimum_jerk((progress - 0.6) / 0.4)
    for dof, low, high in (("shoulder.flexion", -0.2, 0.6), ("shoulder.abduction", -0.1, 0.4),
                           ("shoulder.rotation", -0.3, 0.6), ("elbow.flexion", 0.2, 1.5)):
        tracks[:, _COLUMN[f"{side}.{dof}"]] += rng.uniform(low, high) * moment


def _slow(time: Float64, rng: np.random.Generator) -> Float64:
    """(T,) of unit root mean square, 0.1 to 0.7 Hz."""
    hertz, start = rng.uniform(0.1, 0.7, 3), rng.uniform(0, 2 * np.pi, 3)
    return np.asarray(np.sin(2 * np.pi * np.outer(time, hertz) + start).sum(axis=1) * np.sqrt(2 / 3), dtype=np.float64)


def _smooth(tracks: Float64, seconds: float) -> Float64:
    """Gaussian of ``seconds`` standard deviation along time; the ends are held."""
    reach = int(np.ceil(3 * seconds * RATE_HZ))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (seconds * RATE_HZ))**2)
    kernel /= kernel.sum()
    padded = np.pad(tracks, ((reach, reach), (0, 0)), mode="edge")
    moved = np.flatnonzero(np.ptp(tracks, axis=0) > 0)
    out = tracks.copy()
    for column in moved:
        out[:, column] = np.convolve(padded[:, column], kernel, mode="valid")
    return out
