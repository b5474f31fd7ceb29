"""One importer per dataset, each into the one store.

An importer is a module with ``recordings(folder, options) -> Recordings``. It names what it reads and yields clips in a
stable order; what it cannot take, it yields as ``Refused`` with the reason (``common.take`` does that for whatever is
wrong with one recording), and nothing is dropped in silence. A module that reads options which others have no use for
names them in ``OPTIONS``. Every name in :data:`IMPORTERS`, and what other packages bring by entry points
(:mod:`edgeskel.plugins`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeskel import plugins, topologies
from edgeskel.data.importers.cleaning import cleaned
from edgeskel.data.importers.common import ImportOptions, Recordings, RefusedFile
from edgeskel.data.importers.rates import Rates
from edgeskel.data.notes import Note
from edgeskel.data.sizes import extent, wrong_unit
from edgeskel.data.store_writer import StoreWriter
from edgeskel.errors import DataError, UnknownChoice, UsageError
from edgeskel.skeleton import Clip, Topology
from edgeskel.topologies.remap import Remap, remap_clip

__all__ = ["IMPORTERS", "PUBLISHED", "ImportReport", "Note", "import_dataset", "importers"]

IMPORTERS = {
    "utd-mhad": ("edgeskel.data.importers.utd_mhad", "27 actions, 8 subjects, Kinect v1, one inertial sensor (.mat)"),
    "nw-ucla": ("edgeskel.data.importers.nw_ucla", "10 actions, 10 subjects, 3 views, Kinect v1 (.json, all_sqe)"),
    "sbu": ("edgeskel.data.importers.sbu", "8 interactions of two persons, 15 joints (skeleton_pos.txt)"),
    "utkinect": ("edgeskel.data.importers.utkinect", "10 actions cut from 20 sequences, Kinect v1 (.txt)"),
    "ntu": ("edgeskel.data.importers.ntu", "NTU RGB+D 60 and 120, Kinect v2 (.skeleton)"),
    "bvh": ("edgeskel.data.importers.bvh", "motion capture in BVH files; needs the unit of its offsets"),
    "generic": ("edgeskel.data.importers.generic", "your own CSV or NPZ files, described by a dataset.toml"),
}
PUBLISHED = frozenset(IMPORTERS) - {"bvh", "generic"}
"""Importers of one data set each, whose clips are the same wherever they are imported."""



def importers() -> dict[str, str]:
    """Name -> what it reads; ours, then those of other installed packages."""
    others = {name: f"from the package {package}" for name, package in plugins.names(plugins.IMPORTERS).items()}
    return {**others, **{name: text for name, (_, text) in IMPORTERS.items()}}


Progress = Callable[[Iterable[Clip | RefusedFile], int], Iterable[Clip | RefusedFile]]


@dataclass(frozen=True)
class ImportReport:
    """What an import took and what it did not.

    Args:
        dataset: whose recordings.
        clips: how many are in the store.
        refused: (source, reason) of the others.
        digest: the store's.
        labels: class -> clips, in the store's order; unlabelled is "".
        notes: what was left out of recordings, changed in them or not understood; and how a path was read.
    """

    dataset: str
    clips: int
    refused: tuple[tuple[str, str], ...]
    digest: str
    labels: dict[str, int]
    notes: tuple[Note, ...]


def import_dataset(name: str, path: str | Path, out: str | Path, *, progress: Progress | None = None,
                   strict: bool = False, **options: Any) -> ImportReport:
    """Read recordings into a store, which appears whole or not at all.

    A recording that is damaged, or that breaks the contract of a clip, is refused: the others are taken, and the report
    and the store list it with the reason.

    Args:
        name: one of :func:`importers`.
        path: the dataset's folder.
        out: the store's folder; a store that is there already is replaced.
        progress: wraps the recordings while they are read, ``progress(recordings, total)``.
        strict: the first damaged recording ends the import, and no store is made.
        **options: fields of :class:`~edgeskel.data.importers.common.ImportOptions`.

    Raises:
        UnknownChoice: no such importer.
        DataError: the folder holds no recording of this kind, or none that can be taken.
        CorruptFile, InvalidClip: what describes the recordings cannot be read; with ``strict``, also a recording that
            cannot be, or that holds joints that are not numbers.
        UsageError: ``out`` exists and is not a store, or an option is missing or of no use to this importer.
    """
    known = importers()
    if name not in known:
        raise UnknownChoice("dataset", name, known)
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder", expected=f"the folder of {name}: {known[name]}")
    chosen = ImportOptions(**options)
    source = _open(name, folder, chosen)
    recordings = source.clips if progress is None else progress(source.clips, source.total)
    with StoreWriter(out, dataset=source.dataset, topology=source.topology, labels=source.labels,
                     rate_hz=source.rate_hz, test_subjects=source.test_subjects) as writer:
        rates = Rates(source.rate_hz)
        extents: list[float] = []
        for recording in recordings:
            if isinstance(recording, RefusedFile):
                if strict and recording.error is not None:
                    raise recording.error
                writer.refuse(recording.source, recording.reason)
            else:
                writer.add(recording)
                rates.add(recording)
                extents.append(extent(recording.joints, recording.confidence) or 0.0)
        rates.note(chosen.notes)
        if source.in_part and (unused := writer.drop_unused_labels()):
            chosen.notes.add(f"a part of the data set: no clip of {', '.join(unused[:8])}{', ...' if len(unused) > 8 else ''}, "
                             f"so these {len(unused)} are not among the store's labels")
        if wrong := wrong_unit([size for size in extents if size], source.topology):
            chosen.notes.add(wrong)
        notes = writer.notes = chosen.notes.all()
    return ImportReport(source.dataset, len(writer), tuple(writer.refused), writer.digest, writer.counts(), notes)


def _open(name: str, folder: Path, options: ImportOptions) -> Recordings:
    target = topologies.get(options.topology) if options.topology else None
    for option, known in (("zeros", ("missing", "seen")), ("bodies", ("acting", "all"))):
        if getattr(options, option) not in known:
            raise UnknownChoice(f"choice for {option}", getattr(options, option), known)
    module = plugins.load(plugins.IMPORTERS, name, IMPORTERS) or importlib.import_module(IMPORTERS[name][0])
    for option in ("unit", "up", "label"):
        if getattr(options, option) and option not in getattr(module, "OPTIONS", ()):
            raise UsageError(f"--{option} {getattr(options, option)!r} for {name}",
                             expected=f"none: its recordings say their own {option}", remedy=f"leave out --{option}")
    source: Recordings = module.recordings(folder, options)
    source = replace(source, clips=cleaned(source, options))
    if target is None or target == source.topology:
        return source
    remap = Remap.between(source.topology, target)
    if remap.missing:
        options.notes.add(f"{', '.join(remap.missing)} of {target.name} are missing in every frame: {source.topology.name} "
                          "has nothing to derive them from")
    return replace(source, topology=target, clips=_remapped(source, target))


def _remapped(source: Recordings, target: Topology) -> Iterator[Clip | RefusedFile]:
    for recording in source.clips:
        yield recording if isinstance(recording, RefusedFile) else remap_clip(recording, source.topology, target)
