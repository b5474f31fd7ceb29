"""The one on-disk home of recordings: a folder of flat, memory-mapped files.

Axes: M persons, T frames, V joints, S sensors, K inertial samples.

    store.json       schema, dataset, topology, labels, rate, counts, what the import refused and remarked, digest
    index.npy        one row per clip (see INDEX_FIELDS)
    joints.bin       float32 (M, T, V, 3) of every clip, end to end; metres
    confidence.bin   float32 (M, T, V)
    time.bin         float64 (T,) seconds
    inertial.bin     per clip with sensors: time float64 (K,), accelerometer and gyroscope float32 (S, K, 3), and
                     orientation float32 (S, K, 4) where recorded

Everything is little-endian. Clips keep their own M and T; nothing is padded, so a clip costs its own copy and no more.
A missing joint has confidence 0; where its position was not a number, 0 is stored, since the position means nothing.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from edgeskel.data.notes import Note
from edgeskel.errors import CorruptFile, UsageError
from edgeskel.skeleton import Clip, Inertial, Topology

__all__ = ["FILES", "INDEX_FIELDS", "SCHEMA", "Store", "digest_of"]

SCHEMA = 1
FILES = ("joints.bin", "confidence.bin", "time.bin", "inertial.bin")
INDEX_FIELDS = (
    ("label", "<i2"), ("subject", "S"), ("view", "S"), ("source", "S"), ("frames", "<i4"), ("persons", "<i2"),
    ("digest", "S"), ("start", "<i8"), ("time_start", "<i8"),
    ("segments", "S"), ("samples", "<i4"), ("oriented", "?"), ("inertial_start", "<i8"),
)
# Pages of the mapped files that a process has touched count as its memory until they are released.
RELEASE_AFTER = 16 << 20
FAULT_AROUND = 1 << 16  # the kernel maps this much around a page that is touched, when it has it at hand


class Store:
    """Read-only view of a store; ``store[i]`` is a :class:`~edgeskel.skeleton.Clip` with its own copy of the data.

    Open it with :meth:`open`. A store can be handed to worker processes: what travels is its path. ``store[10:20]``,
    ``store[[3, 1, 4]]`` and ``store[mask]`` are stores of fewer clips over the same files. It serves as a ``Dataset`` of torch:
    ``DataLoader(store, batch_size=8)`` gives batches as :meth:`__getitems__` describes them.

    Attributes:
        path: the folder.
        dataset: whose recordings these are, e.g. ``"utd-mhad"``.
        topology: the layout of every clip.
        labels: class names; ``index["label"]`` counts in them, -1 is unlabelled.
        rate_hz: nominal frame rate.
        digest: SHA-256 of all that the store holds.
        refused: (source, reason) of recordings that the import did not take.
        notes: what the import said of those that it took.
        test_subjects: whom the data set's own protocol tests on; empty where it has no such protocol.
        index: structured array, one row per clip.
        rows: of a part, which clips of the whole store it holds; None for the whole.
        whole: how many clips the whole store has.
    """

    def __init__(self, path: Path, header: dict[str, Any], index: NDArray[Any]) -> None:
        self.path = path
        self.dataset: str = header["dataset"]
        self.topology: Topology = Topology.from_dict(header["topology"])
        self.labels: tuple[str, ...] = tuple(header["labels"])
        self.rate_hz: float = float(header["rate_hz"])
        self.digest: str = header["digest"]
        self.refused: tuple[tuple[str, str], ...] = tuple((source, reason) for source, reason in header["refused"])
        self.notes: tuple[Note, ...] = tuple(Note(note["text"], tuple(note["sources"]), tuple(note["details"]))
                                             for note in header.get("notes", ()))
        self.test_subjects: tuple[str, ...] = tuple(str(subject) for subject in header.get("test_subjects", ()))
        self.index = index
        self.rows: NDArray[np.int64] | None = None
        self.whole: int = len(index)
        self._maps = {name: _Map(path / name) for name in FILES}

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Open a store.

        Raises:
            CorruptFile: no store there, one of another schema, or a file is missing, cut short, altered in size, or says
                something else than another.
        """
        folder = Path(path)
        try:
            header = json.loads((folder / "store.json").read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise CorruptFile(folder, f"no readable store.json ({error})", expected="a store",
                              remedy="make one with `edgeskel data import` or `edgeskel data synth`") from error
        if not isinstance(header, dict) or header.get("schema") != SCHEMA:
            raise CorruptFile(folder, f"store schema {header.get('schema') if isinstance(header, dict) else header!r}",
                              expected=f"schema {SCHEMA}", remedy="import the recordings again with this version")
        try:
            for name, size in header["bytes"].items():
                if (seen := (folder / name).stat().st_size) != size:
                    raise CorruptFile(folder / name, f"{seen} bytes", expected=f"{size}", remedy="import again")
            store = cls(folder, header, _read_index(folder / "index.npy"))
        except (KeyError, TypeError, AttributeError, OSError, ValueError, UsageError) as error:
            raise CorruptFile(folder, f"{type(error).__name__}: {error}", expected="a complete store",
                              remedy="import the recordings again") from error
        store._check(header)
        return store

    def _check(self, header: dict[str, Any]) -> None:
        """Refuse a header and an index that do not belong together."""
        index, sizes = self.index, header["bytes"]
        labels, rows = index["label"], index["frames"].astype(np.int64)
        positions = index["start"] + rows * index["persons"] * len(self.topology.joints)
        for wrong, seen, expected in (
            (not all(isinstance(label, str) for label in self.labels), f"labels {self.labels!r}", "names"),
            (len(index) != header.get("clips"), f"{len(index)} clips in index.npy", f"{header.get('clips')} as store.json says"),
            (len(index) == 0, "no clip", "at least one"),
            (labels.min(initial=0) < -1 or labels.max(initial=-1) >= len(self.labels),
             f"clips of {labels.max(initial=-1) + 1} classes in index.npy", f"the {len(self.labels)} labels of store.json"),
            (rows.min(initial=1) < 1 or index["persons"].min(initial=1) < 1, "clips without frames or persons", "at least one"),
            (index["start"].min(initial=0) < 0 or positions.max(initial=0) * 4 > sizes["confidence.bin"]
             or positions.max(initial=0) * 12 > sizes["joints.bin"], "clips that end behind joints.bin", "clips inside it"),
            (index["time_start"].min(initial=0) < 0
             or (index["time_start"] + rows).max(initial=0) * 8 > sizes["time.bin"],
             "clips that end behind time.bin", "clips inside it"),
        ):
            if wrong:
                raise CorruptFile(self.path, seen, expected=expected, remedy="import the recordings again")

    def __reduce__(self) -> tuple[Any, ...]:
        return (Store.open, (self.path,)) if self.rows is None else (_part, (self.path, self.rows))

    def __repr__(self) -> str:
        part = "" if self.rows is None else f" (of {self.whole})"
        return f"<Store {self.dataset}: {len(self)} clips{part}, {self.topology.name}, {len(self.labels)} labels>"

    def _repr_html_(self) -> str:
        """For a notebook: what is in it, and its first clips as skeletons."""
        from edgeskel.data.pictures import svg
        from edgeskel.notebook import table

        rows = {"clips": len(self), "layout": f"{self.topology.name}, {len(self.topology.joints)} joints",
                "labels": list(self.labels), "subjects": len(set(self.index["subject"].tolist())), "rate": f"{self.rate_hz:g} Hz",
                "refused": len(self.refused)}
        pictures = [svg(self[i], self.topology) for i in range(min(2, len(self)))]
        return table(f"{self.dataset} in {self.path}", rows, "".join(pictures))

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same clips, wherever they lie."""
        return isinstance(other, Store) and self.digest == other.digest

    def __hash__(self) -> int:
        """Of the digest."""
        return hash(self.digest)

    def __len__(self) -> int:
        return len(self.index)

    def __iter__(self) -> Iterator[Clip]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, i: int | np.integer[Any]) -> Clip: ...

    @overload
    def __getitem__(self, i: slice | Sequence[int] | NDArray[Any]) -> Store: ...

    def __getitem__(self, i: int | np.integer[Any] | slice | Sequence[int] | NDArray[Any]) -> Clip | Store:
        """Clip ``i`` (negative counts from the end), read into memory of its own; or a store of several of them.

        Raises:
            IndexError: there is no such clip.
            TypeError: neither a number nor a slice, a list of numbers or a mask.
        """
        if not isinstance(i, (int, np.integer)):
            return self._chosen(i)
        row = self.index[i]
        persons, frames, joints = int(row["persons"]), int(row["frames"]), len(self.topology.joints)
        start, rows = int(row["start"]), persons * frames * joints
        label = int(row["label"])
        return Clip(
            joints=self._read("joints.bin", "<f4", start * 12, (persons, frames, joints, 3), rows * 3),
            confidence=self._read("confidence.bin", "<f4", start * 4, (persons, frames, joints), rows),
            time=self._read("time.bin", "<f8", int(row["time_start"]) * 8, (frames,), frames),
            label=self.labels[label] if label >= 0 else "", subject=row["subject"].decode(), view=row["view"].decode(),
            source=row["source"].decode(), inertial=self._inertial(row) if row["segments"] else None)

    def __getitems__(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """A batch for torch's ``DataLoader``, whose own collation stacks it.

        Args:
            rows: which clips.

        Returns:
            of each clip ``joints`` (M, T, V, 3) and ``confidence`` (M, T, V), float32, both as large as the largest of the batch
            and padded with confidence 0; ``label``, its number in :attr:`labels` (-1 is unlabelled); ``index``, the row.
        """
        clips = [self[int(row)] for row in rows]
        size = tuple(max(clip.joints.shape[axis] for clip in clips) for axis in (0, 1))
        batch = []
        for row, clip in zip(rows, clips, strict=True):
            joints = np.zeros((*size, *clip.joints.shape[2:]), np.float32)
            confidence = np.zeros(joints.shape[:3], np.float32)
            joints[: clip.joints.shape[0], : clip.frames] = clip.joints
            confidence[: clip.joints.shape[0], : clip.frames] = clip.confidence
            batch.append({"joints": joints, "confidence": confidence, "label": int(self.index["label"][row]), "index": int(row)})
        return batch

    def _chosen(self, which: Any) -> Store:
        wanted = which if isinstance(which, slice) else np.asarray(which)
        if isinstance(wanted, np.ndarray) and (wanted.ndim != 1 or (len(wanted) and wanted.dtype.kind not in "iub")):
            raise TypeError(f"a store is indexed by a number, a slice, a list of numbers or a mask, not by {which!r}")
        rows = np.arange(len(self))[wanted if isinstance(wanted, slice) or len(wanted) else slice(0)]
        part: Store = object.__new__(Store)
        part.__dict__.update(self.__dict__)
        part.index = self.index[rows]
        part.rows = rows if self.rows is None else self.rows[rows]
        meaning = repr((self.dataset, self.labels, self.topology.to_dict(), self.rate_hz)).encode()
        part.digest = hashlib.sha256(meaning + part.index.tobytes()).hexdigest()  # a row has its clip's own digest
        return part

    def texts(self, field: str) -> NDArray[np.str_]:
        """A text column of the index (``subject``, ``view``, ``source``) as strings, one per clip."""
        return np.char.decode(self.index[field], "utf-8")

    def verify(self) -> None:
        """Read everything and compare with the digest. Raises ``CorruptFile``."""
        if self.rows is not None:
            return Store.open(self.path).verify()
        header = json.loads((self.path / "store.json").read_text("utf-8"))
        hashes = {name: hashlib.sha256() for name in FILES}
        for name, file_hash in hashes.items():
            with (self.path / name).open("rb") as file:
                while block := file.read(1 << 20):
                    file_hash.update(block)
        if digest_of(header, self.index, hashes) != self.digest:
            raise CorruptFile(self.path, "contents differ from the digest in store.json",
                              expected="the bytes that the import wrote", remedy="import the recordings again")

    def _inertial(self, row: Any) -> Inertial:
        segments = tuple(row["segments"].decode().split(","))
        sensors, samples, at = len(segments), int(row["samples"]), int(row["inertial_start"])
        vectors = sensors * samples * 3

        def take(dtype: str, shape: tuple[int, ...], count: int) -> NDArray[Any]:
            nonlocal at
            part = self._read("inertial.bin", dtype, at, shape, count)
            at += part.nbytes
            return part

        return Inertial(
            segments, time=take("<f8", (samples,), samples), accelerometer=take("<f4", (sensors, samples, 3), vectors),
            gyroscope=take("<f4", (sensors, samples, 3), vectors),
            orientation=take("<f4", (sensors, samples, 4), sensors * samples * 4) if row["oriented"] else None)

    def _read(self, name: str, dtype: str, offset: int, shape: tuple[int, ...], count: int) -> NDArray[Any]:
        return self._maps[name].read(dtype, offset, count).reshape(shape)


def _part(path: Path, rows: NDArray[np.int64]) -> Store:
    return Store.open(path)[rows]


def _read_index(path: Path) -> NDArray[Any]:
    try:
        index: NDArray[Any] = np.load(path, allow_pickle=False)
    except MemoryError:
        raise
    except Exception as error:  # a garbled header is parsed as Python text, which fails in many ways
        raise CorruptFile(path, f"not a readable index ({type(error).__name__}: {error})", expected="what an import wrote",
                          remedy="import the recordings again") from error
    kinds = dict(INDEX_FIELDS)
    seen = {name: index.dtype[name].kind for name in index.dtype.names or ()}
    if index.ndim != 1 or seen != {name: np.dtype(kind).kind for name, kind in kinds.items()}:
        raise CorruptFile(path, f"an array of {index.dtype}", expected=f"one row per clip with {', '.join(kinds)}",
                          remedy="import the recordings again")
    return index


class _Map:
    """A file mapped for reading, whose touched pages are given back now and then."""

    def __init__(self, path: Path) -> None:
        self._touched = 0
        self._map: mmap.mmap | None = None
        if path.stat().st_size:  # an empty file cannot be mapped
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def read(self, dtype: str, offset: int, count: int) -> NDArray[Any]:
        if self._map is None:
            return np.empty(0, dtype)
        data = np.frombuffer(self._map, dtype, count, offset).copy()
        self._touched += data.nbytes + FAULT_AROUND
        if self._touched > RELEASE_AFTER and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)  # the page cache keeps them; only our claim on them ends
            self._touched = 0
        return data


def digest_of(header: dict[str, Any], index: NDArray[Any], hashes: dict[str, Any]) -> str:
    """SHA-256 of what the clips mean (header and index) and of every byte of the data files."""
    meaning = {key: header[key] for key in ("schema", "dataset", "topology", "labels", "rate_hz")}
    digest = hashlib.sha256(json.dumps(meaning, sort_keys=True).encode())
    digest.update(index.tobytes())
    for name in FILES:
        digest.update(hashes[name].digest())
    return digest.hexdigest()
