"""The frames of an MCAP recording as a :class:`~firmware_bridge.recording.Recording`, which ``replay:FILE.mcap`` plays.

A recording may hold several series: the fused skeleton is taken where there is one, else the camera's.

Axes: M persons, T frames, V joints.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeskel.errors import CorruptFile, EdgeskelError
from edgeskel.skeleton import Frame, Topology
from firmware_bridge.mcap.container import McapReader
from firmware_bridge.mcap.recording import McapRecording as McapRecording
from firmware_bridge.recording import Recording

__all__ = ["load_mcap"]

FIRST = ("fused", "camera")
EXPECTED = "a recording with frames, as `edgeskel devices record` writes it of a wearable: or camera: source"


def load_mcap(path: str | Path) -> Recording:
    """Read the frames of a recording. One that was cut off gives what there is before the cut.

    Raises:
        CorruptFile: absent, no MCAP, or without frames.
    """
    try:
        reader = McapReader(path)
        topics = [channel.topic for channel in reader.channels() if channel.topic.startswith("/frames/")]
        names = [topic.removeprefix("/frames/") for topic in topics]
        if not names:
            raise CorruptFile(path, reader.damage or "no frames in it", expected=EXPECTED,
                              remedy=f"bytes and readings of devices are played by wearable:FILE.toml?replay={path}")
        name = next((first for first in FIRST if first in names), names[0])
        frames: list[Frame] = []
        topology: Topology | None = None
        recording = McapRecording(path)
        for layout, frame in recording.frames(name):
            topology = topology or layout
            if layout.joints != topology.joints:
                raise CorruptFile(path, f"{name} changes its layout from {topology.name} to {layout.name}", expected="one layout")
            if not frames or frame.time > frames[-1].time:
                frames.append(frame)
        if topology is None:
            raise CorruptFile(path, recording.damage or "no frames in it", expected=EXPECTED)
        return _recording(frames, topology)
    except CorruptFile:
        raise
    except EdgeskelError as error:
        raise CorruptFile(path, error.seen, expected=error.expected or EXPECTED) from error


def _recording(frames: list[Frame], topology: Topology) -> Recording:
    """Frames may differ in their number of persons; those who are not there are missing."""
    persons = max(len(frame.joints) for frame in frames)
    joints = np.zeros((persons, len(frames), len(topology.joints), 3), np.float32)
    confidence = np.zeros(joints.shape[:3], np.float32)
    for index, frame in enumerate(frames):
        there = frame.confidence > 0
        joints[: len(frame.joints), index] = np.where(there[..., None], frame.joints, 0.0)
        confidence[: len(frame.joints), index] = frame.confidence
    return Recording(joints, confidence, np.array([frame.time for frame in frames], np.float64), topology)
