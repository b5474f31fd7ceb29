"""Live streams by chance: any mixture of what goes wrong with times, persons and joints, for comparisons beyond the kept ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.targets.live_streams import LABELS, Stream, moving, scores, stream

GAPS = (1.0, 2.0, 4.0, 15.0, 40.0, 200.0)
GAP_SHARES = (0.88, 0.06, 0.03, 0.015, 0.01, 0.005)


def random_stream(seed: int) -> Stream:
    """A stream without its events; every seed another."""
    random = np.random.default_rng(seed)
    mode = ("sliding window", "streaming")[seed % 2]
    source_hz, count = float(random.choice([12, 15, 25, 30, 60])), int(random.integers(60, 220))
    answers = scores(seed, [(int(random.integers(1, 6)), int(random.integers(len(LABELS))), float(random.uniform(0.3, 0.95)))
                            for _ in range(6)])

    def confidence(index: int, ones: Any) -> Any:
        return np.where(random.uniform(size=ones.shape) < 0.07, 0, random.integers(1, 101, ones.shape)) if seed % 3 == 0 else ones

    more = {"segmenter": {"start": 0.4, "stop": 0.2, "still_s": 1.0, "longest_s": 10.0, "shortest_s": 0.3,
                          "margin_s": 0.1}} if seed % 5 == 0 else {}
    return stream(
        f"random {seed}", mode, _times(random, source_hz, count), _bodies(random, seed, source_hz, count), answers,
        confidence=confidence, persons=int(random.integers(1, 3)) if mode == "sliding window" else 1,
        rate=float(random.choice([10, 15, 20, 30])), frames=int(random.integers(4, 70)), hop=int(random.integers(1, 8)),
        step=int(random.integers(1, 7)), **more,
        certainty={"temperature": float(random.choice([1, 0.5, 2.0])), "threshold": float(random.uniform(0.2, 0.8))})


def _times(random: np.random.Generator, source_hz: float, count: int) -> Any:
    """Jitter and gaps; some frames late, repeated, far away or in nanoseconds; now and then a clock that starts again."""
    gaps = random.choice(GAPS, size=count, p=GAP_SHARES) * random.uniform(0.7, 1.3, count)
    times = np.cumsum(gaps) / source_hz + random.uniform(-50, 1000)
    for _ in range(int(random.integers(0, 5))):
        at = int(random.integers(1, count))
        times[at] = random.choice([times[at - 1], times[at] - 0.3, times[at] + 1e5, -1e4, 1.7e18, times[max(0, at - 10)]])
    if random.uniform() < 0.2:
        at = int(random.integers(1, count))
        times[at:] -= times[at]
    return times


def _bodies(random: np.random.Generator, seed: int, source_hz: float, count: int) -> list[list[Any]]:
    """One to four persons, who move now and then, go away and come back, in any order; the first one walks."""
    moves = [sorted(random.uniform(0, count / source_hz, 2)) for _ in range(3)]
    crowd = [moving(np.arange(count) / source_hz, [moves[who % 3]], 10 * seed + who, (1.1 * who - 1.5, 2.5),
                    noise=float(random.choice([0.001, 0.004, 0.02])), reach=float(random.uniform(0.05, 0.5)),
                    hertz=float(random.uniform(0.5, 3))) for who in range(int(random.integers(1, 5)))]
    away = [sorted(random.uniform(0, count, 2)) for _ in crowd]
    frames = []
    for index in range(count):
        here = [body[index] + np.array([0.01 * index * (who == 0), 0, 0]) for who, body in enumerate(crowd)
                if not away[who][0] < index < away[who][1]]
        frames.append([here[place] for place in random.permutation(len(here))])
    return frames
