"""Writes the files of a store (:mod:`edgeskel.data.store`): clip by clip, and whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgeskel.data.notes import Note
from edgeskel.data.store import FILES, INDEX_FIELDS, SCHEMA, digest_of
from edgeskel.errors import DataError, InvalidClip, TopologyMismatch, UnknownChoice
from edgeskel.files import atomic_folder
from edgeskel.skeleton import Clip, Inertial, Topology

__all__ = ["StoreWriter"]


class StoreWriter:
    """Writes a store clip by clip; the folder appears when the ``with`` block ends well, and not at all otherwise.

    Args:
        path: the folder to make. A store that is there already is replaced; any other folder is refused.
        dataset: whose recordings these are.
        topology: the layout of every clip.
        labels: class names, in their order.
        rate_hz: nominal frame rate.
        test_subjects: whom the data set's own protocol tests on, if it says so.

    Raises:
        UsageError: ``path`` exists and is not a store.
        DataError: the block ended without a clip.
        OSError: the disk is full or the place cannot be written.
    """

    digest: str

    def __init__(self, path: str | Path, *, dataset: str, topology: Topology, labels: Sequence[str],
                 rate_hz: float, test_subjects: Sequence[str] = ()) -> None:
        self.path: Path = Path(path)
        self.topology = topology
        self.labels: tuple[str, ...] = tuple(labels)
        self.refused: list[tuple[str, str]] = []
        self.notes: tuple[Note, ...] = ()  # what is to be remembered of those that were taken
        self.digest = ""  # known when the block has ended
        self._header: dict[str, Any] = {"schema": SCHEMA, "dataset": dataset, "topology": topology.to_dict(),
                                        "labels": list(labels), "rate_hz": float(rate_hz)}
        if test_subjects:
            self._header["test_subjects"] = list(test_subjects)
        self._label_of = {label: i for i, label in enumerate(self.labels)}
        self._rows: list[tuple[Any, ...]] = []
        self._start = self._time_start = self._inertial_start = 0
        self._hashes = {name: hashlib.sha256() for name in FILES}
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> StoreWriter:
        with ExitStack() as stack:
            self._folder = stack.enter_context(atomic_folder(self.path, marker="store.json"))
            self._files = {name: stack.enter_context((self._folder / name).open("wb")) for name in FILES}
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, trace)  # atomic_folder removes what was written
            return
        with self._stack:
            self._finish()

    def __len__(self) -> int:
        return len(self._rows)

    def refuse(self, source: str, reason: str) -> None:
        """Note a recording that was not taken, so that its absence can be seen in the store."""
        self.refused.append((source, reason))

    def counts(self) -> dict[str, int]:
        """Label -> clips so far, in the store's order; unlabelled clips, if there are any, stand under ""."""
        found = Counter(row[0] for row in self._rows)
        return {label: found[i] for i, label in enumerate(self.labels)} | ({"": found[-1]} if found[-1] else {})

    def drop_unused_labels(self) -> tuple[str, ...]:
        """Take the labels that no clip has so far from the store's, and say which they were."""
        used = {row[0] for row in self._rows}
        kept = [i for i in range(len(self.labels)) if i in used]
        dropped = tuple(label for i, label in enumerate(self.labels) if i not in used)
        if not kept or not dropped:
            return ()
        place = {i: new for new, i in enumerate(kept)}
        self._rows = [(place.get(row[0], -1), *row[1:]) for row in self._rows]
        self.labels = tuple(self.labels[i] for i in kept)
        self._label_of = {label: i for i, label in enumerate(self.labels)}
        self._header["labels"] = list(self.labels)
        return dropped

    def add(self, clip: Clip) -> None:
        """Append a clip.

        Raises:
            TopologyMismatch: its joints do not fit the store's layout.
            UnknownChoice: its label is not one of the store's; an unlabelled clip ("") is taken.
            InvalidClip: its sensors' signals do not fit together.
        """
        persons, frames, joints, _ = clip.joints.shape
        if joints != len(self.topology.joints):
            raise TopologyMismatch(f"{clip.source or 'clip'} has {joints} joints",
                                   expected=f"the {len(self.topology.joints)} of {self.topology.name}")
        if clip.label and clip.label not in self._label_of:
            raise UnknownChoice(f"label of {clip.source or 'clip'}", clip.label, self.labels)
        positions = np.where(np.isfinite(clip.joints), clip.joints, 0).astype("<f4")
        confidence = np.ascontiguousarray(clip.confidence, "<f4")
        digest = hashlib.sha256(positions.tobytes())
        digest.update(confidence.tobytes())
        self._write("joints.bin", positions)
        self._write("confidence.bin", confidence)
        self._write("time.bin", np.ascontiguousarray(clip.time, "<f8"))
        segments, samples, oriented, at = self._add_inertial(clip.inertial)
        self._rows.append((self._label_of.get(clip.label, -1), clip.subject.encode(), clip.view.encode(),
                           clip.source.encode(), frames, persons, digest.hexdigest().encode(), self._start,
                           self._time_start, segments, samples, oriented, at))
        self._start += persons * frames * joints
        self._time_start += frames

    def _add_inertial(self, inertial: Inertial | None) -> tuple[bytes, int, bool, int]:
        if inertial is None:
            return b"", 0, False, 0
        _check_inertial(inertial)
        at = self._inertial_start
        arrays: list[NDArray[Any]] = [np.ascontiguousarray(inertial.time, "<f8")]
        arrays += [np.ascontiguousarray(signal, "<f4") for signal in
                   (inertial.accelerometer, inertial.gyroscope, inertial.orientation) if signal is not None]
        for array in arrays:
            self._write("inertial.bin", array)
            self._inertial_start += array.nbytes
        return ",".join(inertial.segments).encode(), len(inertial.time), inertial.orientation is not None, at

    def _write(self, name: str, data: NDArray[Any]) -> None:
        view = data.tobytes()
        self._files[name].write(view)
        self._hashes[name].update(view)

    def _finish(self) -> None:
        if not self._rows:
            reasons = "; ".join(f"{source}: {reason}" for source, reason in self.refused[:5])
            raise DataError(f"no clip for the store {self.path}" + (f" ({reasons})" if reasons else ""),
                            expected="at least one readable recording")
        for file in self._files.values():
            file.close()
        index = _index(self._rows)
        np.save(self._folder / "index.npy", index, allow_pickle=False)
        header = self._header
        header["refused"] = self.refused
        header["notes"] = [asdict(note) for note in self.notes]
        header["clips"] = len(index)
        header["digest"] = self.digest = digest_of(header, index, self._hashes)
        header["bytes"] = {name: os.path.getsize(self._folder / name) for name in (*FILES, "index.npy")}
        (self._folder / "store.json").write_text(json.dumps(header, indent=1), "utf-8")


def _check_inertial(inertial: Inertial) -> None:
    shape = (len(inertial.segments), len(inertial.time))
    signals = {"accelerometer": (inertial.accelerometer, 3), "gyroscope": (inertial.gyroscope, 3),
               "orientation": (inertial.orientation, 4)}
    for name, (signal, width) in signals.items():
        if signal is not None and signal.shape != (*shape, width):
            raise InvalidClip(f"{name} of shape {signal.shape}", expected=f"{(*shape, width)}: segments, samples, axes")
    if 0 in shape or any("," in segment or not segment for segment in inertial.segments):
        raise InvalidClip(f"sensors on {inertial.segments} with {shape[1]} samples",
                          expected="at least one sample, and segment names without commas")


def _index(rows: list[tuple[Any, ...]]) -> NDArray[Any]:
    """The rows as a structured array whose texts are as wide as the longest."""
    columns = list(zip(*rows, strict=True))
    dtype = [(name, f"S{max(1, *map(len, column))}" if kind == "S" else kind)
             for (name, kind), column in zip(INDEX_FIELDS, columns, strict=True)]
    return np.array(rows, dtype=dtype)
