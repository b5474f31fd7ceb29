"""How somebody moves: a person's habit, and how it varies from take to take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

__all__ = ["Style", "random_style"]

_OTHER = {"left": "right", "right": "left"}

# Spread of standing postures between people, radians.
_POSTURES = {"shoulder.abduction": 0.06, "shoulder.flexion": 0.05, "shoulder.rotation": 0.18, "elbow.flexion": 0.14,
             "hip.abduction": 0.04, "foot.out": 0.08, "knee.flexion": 0.02}


@dataclass(frozen=True)
class Style:
    """How somebody moves.

    Args:
        hand: ``right`` or ``left``, the one that acts.
        tempo: speed against the nominal.
        amplitude: size of the movement against the nominal.
        softness: seconds over which movements are smoothed.
        wander: how unevenly time runs within an action, 0 to 0.45.
        sway: size of slow sway against the usual.
        fidget: chance that the idle hand does something of its own.
        before, after: seconds of standing around the action; below 0 the recording starts late or stops early.
        posture: added to the standing posture, radians by degree of freedom.
    """

    hand: str = "right"
    tempo: float = 1.0
    amplitude: float = 1.0
    softness: float = 0.03
    wander: float = 0.1
    sway: float = 1.0
    fidget: float = 0.0
    before: float = 0.2
    after: float = 0.2
    posture: Mapping[str, float] = field(default_factory=dict)


def random_style(rng: np.random.Generator, habit: Style | None = None) -> Style:
    """A person's habit, or (given one) how the same person does it this time."""
    return _habit(rng) if habit is None else _this_time(rng, habit)


def _habit(rng: np.random.Generator) -> Style:
    slouch = rng.normal(0, 0.05)
    posture = {"trunk.bend": 0.03 + slouch, "head.nod": -0.6 * slouch + rng.normal(0, 0.05),
               "trunk.lean": rng.normal(0, 0.02)}
    for dof, spread in _POSTURES.items():
        both = rng.normal(0, spread)
        posture |= {f"{side}.{dof}": both + rng.normal(0, spread / 3) for side in ("left", "right")}
    return Style(hand="left" if rng.random() < 0.2 else "right", tempo=float(np.exp(rng.normal(0, 0.18))),
                 amplitude=float(np.clip(rng.normal(0.95, 0.14), 0.65, 1.25)), softness=float(rng.uniform(0.02, 0.07)),
                 wander=float(rng.uniform(0.03, 0.25)), sway=float(rng.uniform(0.5, 2.0)),
                 fidget=float(rng.uniform(0.0, 0.5)), posture=posture)


def _this_time(rng: np.random.Generator, habit: Style) -> Style:
    # Everybody uses the other hand now and then.
    return replace(habit, hand=_OTHER[habit.hand] if rng.random() < 0.2 else habit.hand,
                   tempo=habit.tempo * float(np.exp(rng.normal(0, 0.12))),
                   amplitude=habit.amplitude * float(np.clip(np.exp(rng.normal(0, 0.09)), 0.8, 1.2)),
                   wander=min(0.45, habit.wander * float(rng.uniform(0.5, 1.5))),
                   sway=habit.sway * float(rng.uniform(0.7, 1.3)),
                   before=float(rng.uniform(-0.25, 0.8)), after=float(rng.uniform(-0.25, 0.8)),
                   posture={dof: value + float(rng.normal(0, 0.03)) for dof, value in habit.posture.items()})
