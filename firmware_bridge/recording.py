"""A recording in one ``.npz`` file: what ``replay:FILE`` plays. Numpy only, so that a device can read it.

Axes: M persons, T frames, V joints; the last axis is x, y, z in metres (right-handed, y up).

    joints      float32 (M, T, V, 3)
    confidence  float32 (M, T, V), 0 means missing
    time        float64 (T,) seconds, strictly increasing
    topology    UTF-8 JSON of the layout, as bytes
    spans       UTF-8 JSON [[start_s, end_s, label], ...] of what is performed when, as bytes
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgeskel.errors import CorruptFile, EdgeskelError, InvalidClip
from edgeskel.files import atomic_write
from edgeskel.skeleton import Clip, Float32, Float64, Topology

__all__ = ["Recording", "Span", "load_recording", "save_recording"]


class Span(NamedTuple):
    """From ``start`` to ``end`` (seconds on the recording's clock) the persons perform ``label``."""

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class Recording:
    """Frames on one clock, and what is performed when.

    Args:
        joints: (M, T, V, 3) metres.
        confidence: (M, T, V) in 0..1; 0 means missing.
        time: (T,) seconds, strictly increasing.
        topology: the layout of the V joints.
        spans: labelled stretches, in order; empty when nothing is known.

    Raises:
        InvalidClip: the arrays break the contract of :class:`~edgeskel.skeleton.Clip`, do not fit the layout, or a
            span ends before it starts.
    """

    joints: Float32
    confidence: Float32
    time: Float64
    topology: Topology
    spans: tuple[Span, ...] = ()

    def __post_init__(self) -> None:
        Clip(self.joints, self.confidence, self.time, source="recording")
        if self.joints.shape[2] != len(self.topology.joints):
            raise InvalidClip(
                f"recording has {self.joints.shape[2]} joints",
                expected=f"the {len(self.topology.joints)} of {self.topology.name}",
            )
        if not all(np.isfinite([span.start, span.end]).all() and span.start <= span.end for span in self.spans):
            raise InvalidClip(
                f"recording has spans {list(map(tuple, self.spans))}", expected="start <= end, in seconds"
            )


def save_recording(
    path: str | Path,
    joints: Float32,
    confidence: Float32,
    time: Float64,
    topology: Topology,
    spans: Sequence[tuple[float, float, str]] = (),
) -> None:
    """Write a recording, whole or not at all.

    Args:
        path: the ``.npz`` file.
        joints: (M, T, V, 3) metres.
        confidence: (M, T, V) in 0..1.
        time: (T,) seconds, strictly increasing.
        topology: the layout of the V joints.
        spans: (start_s, end_s, label) of each labelled stretch.

    Raises:
        InvalidClip: as :class:`Recording`.
    """
    recording = Recording(joints, confidence, time, topology, tuple(Span(*span) for span in spans))
    with atomic_write(path) as file:
        np.savez_compressed(
            file,
            joints=np.asarray(recording.joints, "<f4"),
            confidence=np.asarray(recording.confidence, "<f4"),
            time=np.asarray(recording.time, "<f8"),
            topology=_pack(topology.to_dict()),
            spans=_pack(recording.spans),
        )


def load_recording(path: str | Path) -> Recording:
    """Read a recording.

    Raises:
        CorruptFile: absent, truncated, altered, a field missing, of another type, or contents that break the contract.
    """
    expected = "a recording (.npz) as written by save_recording or `edgeskel data pick`"
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as data:
            return Recording(
                joints=_numbers(data["joints"], np.float32),
                confidence=_numbers(data["confidence"], np.float32),
                time=_numbers(data["time"], np.float64),
                topology=Topology.from_dict(_unpack(data["topology"])),
                spans=tuple(Span(float(start), float(end), str(label)) for start, end, label in _unpack(data["spans"])),
            )
    except EdgeskelError as error:
        raise CorruptFile(path, error.seen, expected=error.expected or expected) from error
    except KeyError as error:
        raise CorruptFile(path, f"no field {error}", expected=expected) from error
    except (
        OSError,
        ValueError,
        TypeError,
        EOFError,
        AttributeError,
        NotImplementedError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise CorruptFile(path, f"{type(error).__name__}: {error}", expected=expected) from error


def _pack(data: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(json.dumps(data).encode("utf-8"), dtype=np.uint8)


def _unpack(data: np.ndarray[Any, Any]) -> Any:
    return json.loads(data.astype(np.uint8, casting="no").tobytes().decode("utf-8"))


def _numbers(data: np.ndarray[Any, Any], dtype: type[np.floating[Any]]) -> np.ndarray[Any, Any]:
    if data.dtype.kind not in "fiu":
        raise ValueError(f"array of {data.dtype}, not of numbers")
    return np.ascontiguousarray(data, dtype=dtype)
