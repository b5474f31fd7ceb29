"""The synthetic live streams, by name: what goes wrong with frames, times, persons and scores in a live recording."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tests.targets.live_streams import BODY, alone, moving, regular, scores

Case = tuple[str, str, Mapping[str, Any]]
BOTH = ("sliding window", "streaming")
ONE, TWO = [(1.0, 2.5)], [(1.0, 2.4), (3.6, 5.2)]
CHANGING = scores(1, [(5, 0, 0.85), (6, 2, 0.9), (4, 1, 0.55), (3, 2, 0.75)])
MIXED = scores(2, [(3, 1, 0.8), (2, 0, 0.75), (4, 1, 0.9), (1, 2, 0.72), (3, 0, 0.5)])


def cases() -> Iterator[Case]:
    """(name, mode, arguments of ``live_streams.stream``)."""
    for mode in BOTH:
        for name, case in (*_actions(), *_times(), *_frames(), *_persons()):
            yield f"{name}, {mode}", mode, case
    yield from _windows()
    yield from _steps()


def _one(times: Any, moves: Any, **more: Any) -> dict[str, Any]:
    return {"times": times, "bodies": alone(moving(times, moves)), **more}


def _actions() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "nobody moves", _one(regular(3), [])
    yield "two actions", _one(regular(6.4), TWO, answers=MIXED)
    yield "a twitch is taken back", _one(regular(3), [(1.0, 1.22)], hop=1, step=1)
    yield "motion that goes on is closed", _one(regular(9.5), [(0.8, 9.0)], answers=MIXED)
    yield "what it looks like changes", _one(regular(5.5), [(0.8, 4.8)], answers=CHANGING, hop=3, step=2)
    yield "unknown", _one(regular(4), ONE, answers=scores(3, [(9, 1, 0.4)]))
    yield "low temperature", _one(regular(4), ONE, answers=scores(4, [(3, 0, 0.5), (5, 1, 0.55)]),
                                  certainty={"temperature": 0.4, "threshold": 0.62})
    yield "high temperature", _one(regular(4), ONE, answers=scores(5, [(6, 2, 0.93)]),
                                   certainty={"temperature": 2.5, "threshold": 0.7})
    yield "a source that ends in an action", _one(regular(2.2), ONE)
    yield "a noisy source", {"times": regular(7), "bodies": alone(moving(regular(7), [(4.5, 6.0)], seed=3, noise=0.02, reach=0.5))}
    yield "slow actions with pauses", {
        "times": regular(9), "bodies": alone(moving(regular(9), [(1.0, 2.2), (3.0, 4.4), (7.0, 8.0)], reach=0.2, hertz=0.8)),
        "segmenter": {"start": 0.4, "stop": 0.175, "still_s": 1.2, "longest_s": 12.0, "shortest_s": 0.3, "margin_s": 0.1}}


def _times() -> Iterator[tuple[str, dict[str, Any]]]:
    random = np.random.default_rng(7)
    whole = regular(5)
    yield "15 Hz", _one(regular(4.5, 15), ONE, answers=MIXED)
    yield "60 Hz", _one(regular(3.5, 60), ONE, answers=MIXED)
    yield "irregular times", _one(np.sort(random.uniform(0, 5, 190)), TWO[:1] + [(3.2, 4.4)], answers=MIXED)
    shaken = whole + random.uniform(-0.012, 0.012, len(whole))
    yield "jitter and lost frames", _one(shaken[random.uniform(size=len(whole)) < 0.85], ONE)
    for seconds in (0.13, 0.8, 2.0):
        later = np.concatenate([whole[whole < 1.7], whole[whole >= 1.7] + seconds])
        bodies = alone(moving(whole, [(1.0, 3.2)]))
        yield f"a gap of {seconds:g} s in an action", {"times": later, "bodies": bodies, "answers": MIXED}
    for name, seconds, at in (("a gap of an hour", 3600, 70), ("a gap longer than the window and 5 s", 5.6, 60)):
        yield name, {"times": np.concatenate([whole[:at], whole[at:] + seconds]), "bodies": alone(moving(whole, [(1.0, 4.0)]))}
    yield "the clock starts again", {"times": np.concatenate([100 + whole[:65], whole[65:] - whole[65]]),
                                     "bodies": alone(moving(whole, [(1.0, 4.2)])), "answers": MIXED}
    late = whole.copy()
    late[[20, 41, 60]], late[75] = late[[19, 38, 58]], late[75] + 1e6
    late[90] = -4000.0
    yield "late, repeated and wild times", {"times": late, "bodies": alone(moving(whole, ONE)), "answers": MIXED}
    yield "milliseconds", {"times": 5000 + 1000 * regular(1.5), "bodies": alone(moving(regular(1.5), [(0.2, 1.2)]))}
    yield "nanoseconds since 1970", {"times": np.where(np.arange(len(whole)) % 40 == 7, 1.7e18, whole),
                                     "bodies": alone(moving(whole, ONE))}


def _frames() -> Iterator[tuple[str, dict[str, Any]]]:
    times = regular(4.2)
    bodies = alone(moving(times, ONE))
    random = np.random.default_rng(9)

    def doubtful(index: int, ones: Any) -> Any:
        return np.where(random.uniform(size=ones.shape) < 0.12, 0, random.integers(20, 101, ones.shape))

    def hidden(index: int, ones: Any) -> Any:
        return np.where((np.arange(ones.shape[1]) == 5) & (30 < index < 70), 0, ones)

    yield "missing and doubtful joints", {"times": times, "bodies": bodies, "answers": MIXED, "confidence": doubtful}
    yield "a hand out of sight", {"times": times, "bodies": bodies, "confidence": hidden}
    strange = ((40, "joints", 13, "nan"), (45, "joints", 4, "inf"), (50, "joints", 16, "2e7"), (55, "confidence", 3, "1.5"),
               (56, "confidence", 2, "nan"), (57, "confidence", 1, "-1"))
    patches = [dict(zip(("frame", "what", "index", "value"), patch, strict=True)) for patch in strange]
    yield "joints that are none", {"times": times, "bodies": bodies, "patches": patches}
    crowd = [frame if index not in (33, 66) else frame * 65 for index, frame in enumerate(bodies)]
    yield "frames that are none", {"times": times, "bodies": crowd, "cut": [20, 48, 49]}


def _persons() -> Iterator[tuple[str, dict[str, Any]]]:
    times = regular(4.6)
    left, right = moving(times, [(0.8, 2.2)], 1, (-0.9, 2.4)), moving(times, [(1.4, 3.4)], 2, (0.9, 2.8))
    yield "two persons in any order", {"times": times, "answers": MIXED, "bodies": _swapped(left, right)}
    yield "persons come and go", {"times": times, "answers": MIXED, "bodies": [
        [*([a] if time < 1.7 or time > 3.2 else []), *([b] if 1.2 < time < 4.0 else [])]
        for time, a, b in zip(times, left, right, strict=True)]}
    yield "a short loss in an action", {"times": times, "bodies": [
        [] if 1.3 < time < 1.75 else [a] for time, a in zip(times, moving(times, [(0.8, 3.0)]), strict=True)]}
    yield "nobody for a while", {"times": times, "bodies": [
        [] if 1.2 < time < 2.9 else [a] for time, a in zip(times, moving(times, [(0.5, 1.5), (3.0, 4.0)]), strict=True)]}
    yield "a body that jumps is another person", {"times": times, "bodies": [
        [a + (0 if time < 2.0 else np.array([1.6, 0, 0]))] for time, a in zip(times, moving(times, [(0.8, 3.6)]), strict=True)]}
    walk = [a + np.array([-1.0 + 0.6 * time, 0, 0.3 * np.sin(time)])
            for time, a in zip(times, moving(times, [(0.8, 3.2)]), strict=True)]
    yield "somebody walks past somebody", {"times": times, "bodies": _swapped(walk, moving(times, [], 4, (0.2, 3.4)))}


def _swapped(left: Any, right: Any) -> list[list[Any]]:
    """Two bodies whose order changes now and then."""
    return [[a, b] if index % 3 else [b, a] for index, (a, b) in enumerate(zip(left, right, strict=True))]


def _windows() -> Iterator[Case]:
    """What only a window has: several persons in one, another rate, hop and length."""
    times = regular(4.6)
    left, right = moving(times, [(0.8, 2.2)], 1, (-0.9, 2.4)), moving(times, [(1.4, 3.4)], 2, (0.9, 2.8))
    mode = BOTH[0]
    yield "a scene of two", mode, {"times": times, "bodies": _swapped(left, right), "persons": 2, "answers": MIXED}
    third = moving(times, [(2.0, 3.0)], 5, (0.0, 4.0))
    yield "a scene of two and a third", mode, {"times": times, "persons": 2, "answers": MIXED, "bodies": [
        [*([a] if time < 2.4 else []), b, *([c] if time > 0.5 else [])]
        for time, a, b, c in zip(times, left, right, third, strict=True)]}
    yield "five persons, of whom four are followed", mode, {"times": times[:75], "answers": MIXED, "bodies": [
        [moved + np.array([1.2 * who - 2.4, 0, 0]) for who in range(5)] for moved in moving(times[:75], [(0.8, 1.8)])]}
    yield "a window of 8 frames", mode, {**_one(regular(3), ONE), "frames": 8, "hop": 1}
    yield "a recogniser at 10 Hz", mode, {**_one(regular(4.5), ONE, answers=MIXED), "rate": 10.0, "frames": 20, "hop": 2}
    yield "a layout without a trunk", mode, {"times": times[:110], "bodies": [[body[[4, 5, 0]]] for body in left[:110]],
                                             "layout": ("tip", "thumb", "palm")}
    yield "a layout with a pelvis", mode, {
        "times": times[:110], "layout": ("pelvis", "left_hand", "right_hand"), "answers": MIXED,
        "bodies": [[np.array([BODY[2:4].mean(0) + (-0.9, 0, 2.4), body[4], body[5]])] for body in left[:110]]}


def _steps() -> Iterator[Case]:
    """What only streaming has: steps of other lengths, another rate."""
    mode = BOTH[1]
    yield "steps of one frame", mode, {**_one(regular(3.6), ONE, answers=MIXED), "step": 1}
    yield "steps of seven frames", mode, {**_one(regular(5.6), TWO, answers=MIXED), "step": 7}
    yield "a causal recogniser at 10 Hz", mode, {**_one(regular(4.5), ONE, answers=MIXED), "rate": 10.0, "step": 2}
