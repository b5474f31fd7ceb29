"""Two parts of live recognition alone, number by number: frames onto the recogniser's clock, and answers to names. What becomes of
whole streams is in ``tests.targets.live_streams``.

Axes: M persons, V joints, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgeskel.runtime.events import EventConfig, Naming, calibrated
from edgeskel.runtime.timeline import Resampler
from edgeskel.skeleton import Frame
from tests.targets.manifest_vectors import JOINTS, PERSONS, RATE


def numbers(values: Any) -> list[float | None]:
    """As short as float32 allows: the text read as a double and rounded to a float is the value again."""
    return [None if np.isnan(value) else float(str(value)) for value in np.asarray(values, np.float32).ravel()]


def frame_vector(frame: Frame) -> dict[str, Any]:
    return {"time": float(frame.time), "joints": numbers(frame.joints), "confidence": numbers(frame.confidence)}


def _frames(random: np.random.Generator, count: int, persons: int = PERSONS) -> Iterator[tuple[Frame, Any]]:
    """Frames with jitter, pauses, missing joints (some hold NaN), and persons who are replaced."""
    time = float(random.uniform(0, 100))
    for _ in range(count):
        time += float(random.choice([0.033, 0.05, 0.1, 0.1003, 0.21, 0.7], p=[0.2, 0.2, 0.3, 0.1, 0.15, 0.05]))
        joints = random.normal(size=(persons, len(JOINTS), 3)).astype(np.float32)
        confidence = random.uniform(0.1, 1, size=joints.shape[:2]).astype(np.float32)
        missing = random.uniform(size=confidence.shape) < 0.25
        confidence[missing] = 0
        joints[missing & (random.uniform(size=confidence.shape) < 0.5)] = np.nan
        replaced = random.uniform(size=persons) < 0.1
        yield Frame(time, joints, confidence), replaced if replaced.any() else None


def resampler_vector(seed: int) -> dict[str, Any]:
    resampler = Resampler(RATE)
    pushes, settled = [], []
    for frame, replaced in _frames(np.random.default_rng(seed), 25):
        pushes.append(frame_vector(frame) | {"replaced": None if replaced is None else replaced.tolist()})
        settled.append([frame_vector(item) for item in resampler.push(frame, replaced)])
    return {"rate_hz": RATE, "persons": PERSONS, "joints": len(JOINTS), "frames": pushes, "settled": settled}


def namings() -> Iterator[dict[str, Any]]:
    """Answers alone: many classes, certain ones, none at all, and on the edge of the thresholds."""
    random = np.random.default_rng(11)
    for classes, smoothing, threshold, temperature in ((3, 0.5, 0.5, 1.0), (27, 0.5, 0.605, 0.604), (27, 0.3, 0.2, 2.5),
                                                       (60, 0.0, 0.9, 0.05), (5, 0.5, 0.6, 1e-3)):
        config = EventConfig(temperature=temperature, threshold=threshold, begin=max(0.3, threshold), smoothing=smoothing)
        logits = random.normal(scale=3, size=(6, classes)) * (np.arange(6) < 5)[:, None]  # the last one: all alike
        answers = np.exp(logits - logits.max(1, keepdims=True))
        answers = (answers / answers.sum(1, keepdims=True)).astype(np.float32)
        answers[0] = np.eye(classes, dtype=np.float32)[1]
        labels = [f"action {index}" for index in range(classes)]
        yield _naming(labels, config, answers.repeat(2, axis=0))
    edge = [np.array([share, 1 - share], np.float32) for share in (0.7, np.nextafter(np.float32(0.7), np.float32(1)), 0.2, 0.25)]
    for threshold in (0.7, 0.75, 1.0, 0.0):  # 0.7 as float32 lies under 0.7, 0.75 lies on it
        yield _naming(["a", "b"], EventConfig(threshold=threshold, begin=threshold, confirm=1, smoothing=0.0), edge)


def _naming(labels: list[str], config: EventConfig, answers: Any) -> dict[str, Any]:
    naming, steps = Naming(tuple(labels), config), []
    for answer in answers:
        sure = calibrated(answer, config.temperature)
        named, last = naming.push(sure), naming.final(sure)
        steps.append({"answer": numbers(answer), "smooth": numbers(naming.smooth), "named": None if named is None else named[0],
                      "last": last[0]})
    return {"labels": labels, "temperature": config.temperature, "threshold": config.threshold, "begin": config.begin,
            "confirm": config.confirm, "smoothing": config.smoothing, "steps": steps}
