"""Twenty actions, each written for a right-handed actor as changes from standing (see ``score.DOFS``).

``swipe left`` is a hand moving to the actor's left, ``circle clockwise`` is clockwise as the actor sees it. In a mirror
they become ``swipe right`` and ``circle counter-clockwise``; every other action keeps its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgeskel.data.synthetic.score import Float64, Stage

__all__ = ["ACTIONS", "ActionDefinition"]

Tracks = dict[str, Float64]


@dataclass(frozen=True)
class ActionDefinition:
    """One action.

    Args:
        name: its label.
        seconds: nominal duration.
        play: what it does.
        mirror: the label of its mirror image.
    """

    name: str
    seconds: float
    play: Callable[[Stage], Tracks]
    mirror: str


def _arm(side: str,
         *,
         flexion: Float64 | float = 0.0,
         abduction: Float64 | float = 0.0,
         rotation: Float64 | float = 0.0,
         elbow: Float64 | float = 0.0,
         pronation: Float64 | float = 0.0,
         wrist: Float64 | float = 0.0) -> Tracks:
    named = {
        "shoulder.flexion": flexion,
        "shoulder.abduction": abduction,
        "shoulder.rotation": rotation,
        "elbow.flexion": elbow,
        "forearm.pronation": pronation,
        "wrist.flexion": wrist
    }
    return {f"{side}.{dof}": np.asarray(track) for dof, track in named.items() if np.ndim(track)}


def _legs(hip: Float64, knee: Float64) -> Tracks:
    return {
        f"{side}.{dof}": track
        for side in ("left", "right")
        for dof, track in (("hip.flexion", hip), ("knee.flexion", knee))
    }


def _wave(s: Stage) -> Tracks:
    up, beat = s.bump(0, 0.25, 0.78, 1), s.bump(0.18, 0.3, 0.72, 0.84)
    swing = beat * np.sin(s.phase(int(s.rng.integers(2, 5)), 0.18, 0.84))
    high = s.about(0.5, 0.5)  # from a small wave beside the face to a big one overhead
    return _arm("right",
                abduction=(0.5 + 1.1 * high) * up + 0.12 * swing,
                flexion=s.about(0.4, 0.25) * up,
                elbow=(2.0 - 1.0 * high) * up + (0.15 + 0.3 * high) * swing,
                rotation=-s.about(0.9, 0.25) * up + 0.45 * swing,
                pronation=0.9 * up,
                wrist=0.3 * swing) | {
                    "trunk.lean": 0.05 * up,
                    "head.turn": -0.1 * up
                }


def _push(s: Stage) -> Tracks:
    ready, out = s.bump(0, 0.28, 0.78, 1), s.bump(0.34, 0.58, 0.64, 0.85)
    height, wide = s.about(0.0, 0.2), s.about(0.1, 0.12)
    push = dict(flexion=0.35 * ready + (1.05 + height) * out,
                elbow=1.75 * ready - 1.65 * out,
                abduction=wide * ready,
                rotation=-0.3 * ready,
                pronation=0.8 * ready,
                wrist=-0.5 * out)
    both = s.chance(0.6)
    return _arm("right", **push) | (_arm("left", **push) if both else {}) | {
        "trunk.bend": s.about(0.12, 0.08) * out,
        "trunk.twist": (0.0 if both else 0.2) * out
    }


def _pull(s: Stage) -> Tracks:
    reach, draw = s.bump(0, 0.3, 0.8, 1), s.bump(0.42, 0.66, 0.78, 0.98)
    height = s.about(0.0, 0.2)
    pull = dict(flexion=(1.35 + height) * reach - (1.45 + height) * draw,
                elbow=0.05 * reach + 1.65 * draw,
                abduction=s.about(0.1, 0.1) * reach + 0.2 * draw,
                pronation=0.5 * reach,
                wrist=0.3 * draw)
    both = s.chance(0.6)
    return _arm("right", **pull) | (_arm("left", **pull) if both else {}) | {
        "trunk.bend": 0.12 * reach - s.about(0.22, 0.08) * draw,
        "trunk.twist": (0.0 if both else -0.2) * draw
    }


def _swipe(to_left: bool) -> Callable[[Stage], Tracks]:
    def play(s: Stage) -> Tracks:
        up, across = s.bump(0, 0.3, 0.75, 1), s.ramp(0.36, 0.62)
        outside, inside = s.about(0.75, 0.15), -s.about(0.55, 0.12)
        sweep = outside + (inside - outside) * across if to_left else inside + (outside - inside) * across
        way = across if to_left else 1 - across
        return _arm("right",
                    flexion=s.about(1.15, 0.25) * up,
                    abduction=sweep * up,
                    rotation=(0.5 * way - 0.1) * up,
                    elbow=s.about(0.45, 0.35) * up + 0.3 * way * up,
                    pronation=0.4 * up) | {
                        "trunk.twist": (0.3 * way - 0.12) * up,
                        "head.turn": (0.3 * way - 0.15) * up
                    }

    return play


def _circle(clockwise: bool) -> Callable[[Stage], Tracks]:
    def play(s: Stage) -> Tracks:
        up = s.bump(0, 0.2, 0.82, 1)
        turn = s.about(0, 0.5) + (1 if clockwise else -1) * s.phase(s.about(1.6, 0.5), 0.12, 0.88)
        size = s.about(0.48, 0.12) * s.bump(0.08, 0.22, 0.8, 0.94)
        return _arm("right",
                    flexion=s.about(1.35, 0.15) * up + size * np.cos(turn),
                    abduction=0.1 * up + size * np.sin(turn),
                    rotation=0.2 * up - 0.2 * size * np.sin(turn),
                    elbow=s.about(0.35, 0.25) * up) | {
                        "trunk.twist": -0.1 * size * np.sin(turn)
                    }

    return play


def _throw(s: Stage) -> Tracks:
    wind, cast, down = s.bump(0.05, 0.4, 0.46, 0.6), s.ramp(0.44, 0.62), s.ramp(0.6, 0.95)
    through = cast - down
    side = s.about(0.35, 0.35)  # overhead to sidearm
    return _arm("right",
                abduction=(1.35 - 0.3 * side) * wind +
                (0.3 + 0.4 * side) * through - 0.5 * s.bump(0.55, 0.68, 0.75, 0.95),
                flexion=(0.5 - 0.6 * side) * wind + (1.6 - 0.5 * side) * through,
                rotation=-(1.3 - 0.5 * side) * wind + 0.4 * through,
                elbow=1.5 * wind + 0.05 * through,
                wrist=-0.5 * wind + 0.6 * through) | _arm(
                    "left", flexion=0.7 * wind - 0.3 * through, abduction=0.3 * wind, elbow=0.4 * wind) | {
                        "trunk.twist": -0.55 * wind + 0.45 * through,
                        "trunk.bend": -0.12 * wind + 0.3 * through,
                        "trunk.lean": 0.1 * wind,
                        "support": 0.35 * wind - 0.5 * through,
                        "head.turn": 0.3 * wind - 0.2 * through
                    }


def _clap(s: Stage) -> Tracks:
    up = s.bump(0, 0.22, 0.8, 1)
    apart = s.bump(0.15, 0.25, 0.74, 0.85) * np.cos(s.phase(int(s.rng.integers(3, 7)), 0.16, 0.84))
    high, wide = s.about(0.75, 0.3), s.about(0.32, 0.1)
    arm = dict(flexion=high * up,
               abduction=-0.05 * up + 0.35 * wide * apart,
               elbow=(1.35 - 0.3 * high) * up,
               rotation=0.15 * up - wide * apart,
               wrist=0.1 * up)
    return _arm("right", **arm) | _arm("left", **arm) | {"head.nod": 0.1 * up}


def _punch(s: Stage) -> Tracks:
    guard = s.bump(0, 0.2, 0.82, 1)
    blows = int(s.rng.integers(1, 4))
    alternate = s.chance(0.6)
    hits = {"left": np.zeros_like(guard), "right": np.zeros_like(guard)}
    width = min(0.3, 0.6 / blows)
    for blow in range(blows):
        start = 0.24 + 0.56 * blow / blows
        hits["left" if alternate and blow % 2 else "right"] += s.bump(start, start + 0.4 * width, start + 0.45 * width,
                                                                      start + width)
    low, reach = s.about(0.5, 0.15), s.about(1.0, 0.15)
    arms = {
        side:
        _arm(side,
             flexion=low * guard + reach * hit,
             elbow=1.95 * guard - 1.85 * hit,
             rotation=0.35 * guard - 0.1 * hit,
             abduction=0.1 * guard,
             pronation=0.6 * hit)
        for side, hit in hits.items()
    }
    return arms["left"] | arms["right"] | {
        "trunk.twist": -0.15 * guard + 0.6 * hits["right"] - 0.45 * hits["left"],
        "trunk.bend": 0.1 * guard + 0.1 * (hits["right"] + hits["left"]),
        "head.nod": 0.12 * guard
    } | _legs(0.1 * guard, 0.2 * guard)


def _kick(s: Stage) -> Tracks:
    shift, back, out = s.bump(0, 0.25, 0.75, 1), s.bump(0.15, 0.38, 0.4, 0.55), s.bump(0.38, 0.58, 0.62, 0.88)
    high = s.about(1.15, 0.35)
    return _arm("left", flexion=-0.3 * back + 0.7 * out, abduction=0.3 * shift, elbow=0.4 * shift) | _arm(
        "right", flexion=0.4 * back - 0.5 * out, abduction=0.35 * shift, elbow=0.4 * shift) | {
            "right.hip.flexion": -0.35 * back + high * out,
            "right.knee.flexion": 1.2 * back + 0.25 * out,
            "right.hip.abduction": s.about(0.05, 0.1) * shift,
            "right.foot.pitch": -0.5 * back + (high - 0.9) * out,
            "left.knee.flexion": 0.15 * shift,
            "left.hip.flexion": 0.06 * shift,
            "support": -1.0 * shift,
            "trunk.bend": 0.1 * back - s.about(0.2, 0.1) * out,
            "trunk.twist": -0.15 * back + 0.25 * out
        }


def _raise(s: Stage) -> Tracks:
    up = s.bump(0, 0.4, 0.6, 1)
    height, plane = s.about(2.65, 0.3), s.about(0.7, 0.7)  # plane: 0 in front, pi/2 at the sides
    arm = dict(flexion=height * np.cos(plane) * up,
               abduction=height * np.sin(plane) * up,
               elbow=s.about(0.1, 0.2) * up,
               pronation=0.3 * up)
    return _arm("right", **arm) | _arm("left", **arm) | {
        "trunk.bend": -0.08 * up,
        "head.nod": -0.15 * up
    } | {
        f"{side}.collar.raise": 0.25 * up
        for side in ("left", "right")
    }


def _bow(s: Stage) -> Tracks:
    down = s.bump(0, 0.4, 0.58, 1)
    depth = s.about(0.95, 0.3)
    hang = s.about(0.55, 0.35) * depth * down
    return _arm("right", flexion=hang, elbow=-0.1 * down) | _arm("left", flexion=hang, elbow=-0.1 * down) | {
        "trunk.bend": depth * down,
        "head.nod": 0.3 * down
    }


def _squat(s: Stage) -> Tracks:
    down = s.bump(0, 0.4, s.about(0.58, 0.08), 1)
    depth = s.about(0.85, 0.15)
    arms = s.about(0.7, 0.7) * down
    return _arm("right", flexion=arms, elbow=-0.05 * down) | _arm("left", flexion=arms, elbow=-0.05 * down) | _legs(
        1.45 * depth * down, 1.95 * depth * down) | {
            "trunk.bend": s.about(0.5, 0.15) * down,
            "head.nod": -0.3 * down,
            "left.hip.abduction": 0.06 * down,
            "right.hip.abduction": 0.06 * down
        }


def _seated(seated: Float64, lean: Float64, s: Stage) -> Tracks:
    height = s.about(1.45, 0.1)
    hands = s.about(0.45, 0.25)
    arm = dict(flexion=hands * seated + 0.4 * lean, elbow=s.about(0.7, 0.3) * seated, abduction=0.08 * seated)
    return _arm("right", **arm) | _arm("left", **arm) | _legs(height * seated, 1.5 * seated) | {
        "trunk.bend": s.about(0.6, 0.15) * lean + s.about(0.05, 0.08) * seated,
        "pelvis.pitch": -0.15 * seated,
        "head.nod": -0.2 * lean,
        "balance": -seated
    }


def _sit(s: Stage) -> Tracks:
    return _seated(s.ramp(0.1, 0.8), s.bump(0, 0.45, 0.6, 1), s)


def _stand(s: Stage) -> Tracks:
    return _seated(1 - s.ramp(0.28, 0.95), s.bump(0, 0.36, 0.48, 0.95), s)


def _walk(s: Stage) -> Tracks:
    strides = s.about(2.2, 0.5)  # of two steps each
    pace = s.bump(0, 0.18, 0.82, 1)
    turn = s.phase(strides) + (np.pi if s.chance(0.5) else 0.0)
    reach, arms = s.about(0.30, 0.05), s.about(0.38, 0.15)
    tracks: Tracks = {"balance": -s.bump(0, 0.1, 0.9, 1), "trunk.bend": 0.05 * pace}
    loads = {}
    for side, offset in (("right", 0.0), ("left", np.pi)):
        step = turn + offset  # the heel strikes at 0 and the foot carries the body until 1.2 pi (60 % of the stride)
        carry = 0.6 * np.pi
        leg = step - 0.33 * (np.sin(step - carry) + np.sin(carry)
                             )  # 0 at heel strike, pi where the leg is furthest back
        swing = np.exp(2.5 * (np.cos(step - 1.42 * np.pi) - 1))
        yielding = np.exp(4.0 * (np.cos(step - 0.28 * np.pi) - 1))
        toe_off = np.exp(5.0 * (np.cos(step - 1.2 * np.pi) - 1))
        strike = np.exp(5.0 * (np.cos(step + 0.05 * np.pi) - 1))
        # The third harmonic makes the leg sweep back at an even speed, so that the body travels at one.
        sweep = np.cos(leg) + np.cos(3 * leg) / 25
        tracks |= {
            f"{side}.hip.flexion": pace * (0.05 + reach * sweep + 0.15 * swing),
            f"{side}.knee.flexion": pace * (0.95 * swing + 0.18 * yielding),
            f"{side}.foot.pitch": pace * (0.25 * strike - 0.35 * toe_off),
            f"{side}.shoulder.flexion": -arms * pace * np.cos(leg),
            f"{side}.elbow.flexion": pace * (0.15 - 0.2 * arms * np.cos(leg))
        }
        loads[side] = 1 / (1 + np.exp(-6 * (np.cos(step - carry) - np.cos(carry))))
    tracks["support"] = pace * (loads["right"] - loads["left"]) / (loads["right"] + loads["left"])
    tracks["trunk.twist"] = 0.12 * tracks["right.shoulder.flexion"]  # the shoulders turn with the arms
    tracks["trunk.lean"] = -0.02 * tracks["support"]
    return tracks


def _jump(s: Stage) -> Tracks:
    height = s.about(0.12, 0.05)
    crouch = s.bump(0, 0.32, 0.34, 0.47) + s.about(0.7, 0.2) * s.bump(0.6, 0.74, 0.78, 1)
    air = s.bump(0.3, 0.5, 0.62, 0.8)
    flight = np.clip((s.progress - 0.43) / 0.22, 0, 1)
    arms = s.about(1.4, 0.8)
    arm = dict(flexion=-0.5 * s.bump(0, 0.3, 0.3, 0.5) + arms * air,
               elbow=0.3 * crouch + 0.2 * air,
               abduction=0.2 * air)
    return _arm("right", **arm) | _arm("left", **arm) | _legs(0.85 * crouch, 1.35 * crouch + 0.15 * air) | {
        "lift": 4 * height * flight * (1 - flight),
        "trunk.bend": 0.5 * crouch - 0.08 * air,
        "left.foot.pitch": -0.6 * air,
        "right.foot.pitch": -0.6 * air
    }


def _pick_up(s: Stage) -> Tracks:
    down, hold = s.bump(0, 0.42, 0.52, 0.85), s.bump(0.5, 0.8, 0.9, 1.0)
    kneel = s.about(0.5, 0.4)  # stooping to squatting
    reach = dict(flexion=(1.3 + 0.2 * kneel) * down + 0.2 * hold, elbow=-0.1 * down + 1.1 * hold)
    both = s.chance(0.35)
    return _arm("right", **reach, wrist=0.3 * hold) | _arm(
        "left", **(reach if both else dict(flexion=0.4 * down, abduction=0.15 * down, elbow=0.3 * down))) | _legs(
            (0.35 + 1.1 * kneel) * down, (0.5 + 1.35 * kneel) * down) | {
                "trunk.bend": (1.35 - 0.5 * kneel) * down,
                "trunk.twist": (0.0 if both else 0.25) * down,
                "head.nod": 0.1 * down
            }


def _phone(s: Stage) -> Tracks:
    up = s.bump(0.05, 0.4, 0.8, 1) if s.chance(0.7) else s.ramp(0.05, 0.45)
    pocket = s.bump(0, 0.12, 0.16, 0.35) * s.about(0.5, 0.5)
    return _arm("right",
                flexion=s.about(1.4, 0.15) * up - 0.2 * pocket,
                abduction=s.about(0.45, 0.35) * up + 0.2 * pocket,
                elbow=s.about(2.1, 0.12) * up + 0.8 * pocket,
                rotation=s.about(-0.05, 0.15) * up,
                pronation=-0.6 * up) | {
                    "head.tilt": -s.about(0.18, 0.12) * up,
                    "head.nod": s.about(0.05, 0.15) * up,
                    "head.turn": s.about(0.0, 0.25) * up
                }


def _table(*rows: tuple[str, float, Callable[[Stage], Tracks]], mirrors: dict[str, str]) -> dict[str, ActionDefinition]:
    return {name: ActionDefinition(name, seconds, play, mirrors.get(name, name)) for name, seconds, play in rows}


ACTIONS: dict[str, ActionDefinition] = _table(
    ("wave", 2.4, _wave), ("push", 1.8, _push), ("pull", 1.9, _pull), ("swipe left", 1.6, _swipe(True)),
    ("swipe right", 1.6, _swipe(False)), ("circle clockwise", 2.4, _circle(True)),
    ("circle counter-clockwise", 2.4, _circle(False)), ("throw", 1.7, _throw), ("clap", 2.2, _clap),
    ("punch", 1.8, _punch), ("kick", 1.6, _kick), ("raise arms", 2.2, _raise), ("answer phone", 2.4, _phone),
    ("bow", 2.3, _bow), ("squat", 2.4, _squat), ("pick up", 2.5, _pick_up), ("sit down", 2.0, _sit),
    ("stand up", 2.0, _stand), ("walk", 2.5, _walk), ("jump", 1.7, _jump),
    mirrors={
        "swipe left": "swipe right",
        "swipe right": "swipe left",
        "circle clockwise": "circle counter-clockwise",
        "circle counter-clockwise": "circle clockwise"
    })
