"""A recording as text, one JSON object per line: easy to write from any language.

The first line describes the recording, each further line is one frame::

    {"topology": {"name": "...", "joints": [...], "parents": [...], ...}, "spans": [[start_s, end_s, label], ...]}
    {"time": 0.033, "joints": [[[x, y, z], null, ...]], "confidence": [[1.0, 0.0, ...]]}

``joints`` is a list of persons, each a list of the V joints in metres (right-handed, y up); null is a missing joint.
``confidence`` may be left out (1 for every joint that is there). Frames may differ in their number of persons.

Axes: M persons, T frames, V joints.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgeskel.errors import CorruptFile, EdgeskelError
from edgeskel.skeleton import Float32, Topology
from firmware_bridge.recording import Recording, Span

__all__ = ["load_jsonl"]


def load_jsonl(path: str | Path) -> Recording:
    """Read a recording of JSON lines.

    Raises:
        CorruptFile: absent, or a line that is not what it should be; the message names the line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CorruptFile(path, f"unreadable ({error})", expected="a recording in JSON lines") from error
    number = 0
    try:
        header = json.loads(lines[0] if lines else "")
        topology = Topology.from_dict(header["topology"])
        spans = tuple(Span(float(start), float(end), str(label)) for start, end, label in header.get("spans", ()))
        frames = []
        for line in lines[1:]:
            number += 1
            if line.strip():
                frames.append(_frame(json.loads(line), len(topology.joints)))
        return _recording(frames, topology, spans)
    except EdgeskelError as error:
        raise CorruptFile(path, error.seen, expected=error.expected) from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise CorruptFile(
            path,
            f"line {number + 1}: {type(error).__name__}: {error}",
            expected="a description, then one frame per line (see firmware_bridge/jsonl.py)",
            remedy="a recording that was cut off ends inside a line: remove that line",
        ) from error


def _frame(data: dict[str, Any], size: int) -> tuple[float, Float32, Float32]:
    """time, (M, V, 3), (M, V)."""
    persons = data["joints"]
    joints = np.array(
        [[joint if joint is not None else (0, 0, 0) for joint in person] for person in persons], np.float32
    )
    seen = np.array([[joint is not None for joint in person] for person in persons], np.float32)
    joints, seen = joints.reshape(len(persons), size, 3), seen.reshape(len(persons), size)
    if data.get("confidence") is not None:
        seen = seen * np.array(data["confidence"], np.float32).reshape(seen.shape)
    return float(data["time"]), joints, seen


def _recording(frames: list[tuple[float, Float32, Float32]], topology: Topology, spans: tuple[Span, ...]) -> Recording:
    size = len(topology.joints)
    persons = max((len(joints) for _, joints, _ in frames), default=0)
    joints = np.zeros((persons, len(frames), size, 3), np.float32)
    confidence = np.zeros((persons, len(frames), size), np.float32)
    for index, (_, frame, seen) in enumerate(frames):
        joints[: len(frame), index] = frame
        confidence[: len(frame), index] = seen
    return Recording(joints, confidence, np.array([time for time, _, _ in frames], np.float64), topology, spans)
