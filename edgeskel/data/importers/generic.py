"""A user's own recordings: a folder of CSV or NPZ files and a ``dataset.toml`` that says what they mean.

    name = "my-gym"
    topology = "kinect-v2"                     # a built-in layout, or the path of your own: "layout.toml"
    units = "mm"                               # m, cm, mm, inch, or metres of one unit: 0.0254
    axes = "x right, y down, z forward"        # seen from the camera; see edgeskel/coordinates.py
    frame_rate = 30                            # Hz; not needed where every file has a time
    time_unit = "ms"                           # s, ms, us, ns or frames; without it, seconds or what fits frame_rate
    labels = ["squat", "lunge"]                # optional: the order of the classes, and a check on typing mistakes
    files = "{label}/{subject}_{view}_{*}.csv" # where label, subject and view stand in the path; {*} is anything
    test_subjects = ["2", "4"]                 # optional: whom the data set's own protocol tests on
    persons = 1                                # optional: how many act in each recording, at most

    [csv]                                      # all optional
    delimiter = ","
    joint = "{joint}_{axis}"                   # column of a coordinate; joint is a name or alias of the layout
    confidence = "{joint}_c"                   # column of a confidence in 0..1
    time = "time"                              # column of the clock; one that is named here has to be there
    person = "person"                          # column that tells several persons apart; needs time
    columns = ["time", "{joint}_x", "{joint}_y", "{joint}_z"]  # of files without a header

Instead of ``files``, clips can be listed one by one: ``[[clip]]`` with ``file``, ``label``, ``subject`` and ``view``.
A left-handed recording also says ``handedness = "left"``. Signals of worn sensors come from files beside the recordings:
``[sensors]``, see :mod:`~edgeskel.data.importers.generic_sensors`. docs/recordings.md explains all of it.

A CSV file has a row per frame (per frame and person). An NPZ file has ``joints`` (T, V, 3) or (M, T, V, 3) and,
optionally, ``confidence`` (the same without the 3) and ``time`` (T,).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np

from edgeskel import topologies
from edgeskel.coordinates import axes_matrix, metres_of
from edgeskel.data.importers import generic_clock as clock
from edgeskel.data.importers.common import ImportOptions, Recordings, RefusedFile, make_clip, take
from edgeskel.data.importers.finding import missing_description
from edgeskel.data.importers.generic_files import read_csv, read_npz
from edgeskel.data.importers.generic_flat import IN_SPACE, refuse_flat
from edgeskel.data.importers.generic_paths import Item, below, found
from edgeskel.data.importers.generic_sensors import Sensors
from edgeskel.errors import CorruptFile, DataError, UnknownChoice
from edgeskel.skeleton import Clip, Topology
from edgeskel.topologies import read_toml

__all__ = ["recordings"]

FIELDS: dict[str, tuple[type, ...]] = {
    "name": (str,), "topology": (str,), "units": (str, int, float), "axes": (str,), "handedness": (str,),
    "frame_rate": (int, float), "time_unit": (str,), "labels": (list,), "files": (str,), "csv": (dict,), "clip": (list,),
    "test_subjects": (list,), "persons": (int,), "sensors": (dict,)}
CSV_FIELDS: dict[str, tuple[str, ...]] = {  # and what has to stand in braces
    "delimiter": (), "joint": ("joint", "axis"), "confidence": ("joint",), "time": (), "person": (), "columns": ()}


def recordings(folder: Path, options: ImportOptions) -> Recordings:
    """Read ``dataset.toml`` and find the files that it names."""
    described = folder / "dataset.toml"
    if not described.is_file():
        raise missing_description(described)
    data = read_toml(described)
    _check(data, described)
    topology = _topology(folder, data["topology"])
    rate_hz = float(data.get("frame_rate", 0))
    if rate_hz < 0 or not np.isfinite(rate_hz):
        raise CorruptFile(described, f"frame_rate {rate_hz}", expected="frames per second")
    items = _items(folder, data, described)
    labels = tuple(data.get("labels") or sorted({item.label for item in items if item.label}))
    unknown = [item for item in items if item.label and item.label not in labels]
    if unknown:
        raise UnknownChoice(f"label of {unknown[0].file}", unknown[0].label, labels)
    options.notes.add(f"read as: {items[0]}", items[0].file.relative_to(folder).as_posix())
    clips = _clips(folder, items, topology, data, described, rate_hz, options)
    if not rate_hz:  # the rate of a store is nominal: the first file's own
        rate_hz, clips = _rate(clips, described)
    return Recordings(data.get("name", folder.name), topology, labels, rate_hz, len(items), clips, tracked=True,
                      acting=lambda clip: data.get("persons"), test_subjects=_tested(data, items, described))


def _clips(folder: Path, items: list[Item], topology: Topology, data: Mapping[str, Any], described: Path, rate_hz: float,
           options: ImportOptions) -> Iterator[Clip | RefusedFile]:
    to_ours = axes_matrix(data["axes"], data.get("handedness")) * _metres(data["units"], described)
    sensors = Sensors.of(data["sensors"], described) if "sensors" in data else None

    def clip(item: Item, source: str) -> Clip:
        if item.file.suffix.lower() == ".npz":
            joints, confidence, stamps, repeated = read_npz(item.file, topology)
        else:
            joints, confidence, stamps, repeated = read_csv(item.file, topology, **data.get("csv", {}))
        if repeated:
            options.notes.add("second rows for one person and time are left out", source, str(repeated))
        if stamps is None and not rate_hz:
            raise CorruptFile(item.file, "no time, and dataset.toml states no frame_rate", expected="one of them")
        refuse_flat(joints, topology, item.file)
        with np.errstate(invalid="ignore"):  # infinite coordinates are refused, with their number, in make_clip
            joints = joints @ to_ours.T
        time = None
        if stamps is not None:
            time = clock.seconds(stamps, data.get("time_unit", ""), rate_hz, item.file, options.notes, source)
            kept = clock.later(time, source, options.notes)
            joints, time = joints[:, kept], time[kept]
            confidence = None if confidence is None else confidence[:, kept]
        inertial = sensors.beside(item.file, 0.0 if time is None else float(time[0])) if sensors else None
        if sensors and inertial is None:
            options.notes.add("no signals of worn sensors lie beside it ([sensors] in dataset.toml)", source)
        return make_clip(joints, options, confidence=confidence, time=time, rate_hz=rate_hz, label=item.label,
                         subject=item.subject, view=item.view, source=source, inertial=inertial)

    for item in items:
        source = item.file.relative_to(folder).as_posix()
        yield take(source, partial(clip, item, source))


def _check(data: Mapping[str, Any], described: Path) -> None:
    for field in ("topology", "units", "axes"):
        if field not in data:
            raise CorruptFile(described, f"no {field}", expected="topology, units and axes to be stated",
                              remedy="docs/recordings.md has examples")
    for field, value in data.items():
        if field not in FIELDS:
            raise UnknownChoice(f"field of {described}", field, FIELDS)
        if not isinstance(value, FIELDS[field]) or isinstance(value, bool):
            raise CorruptFile(described, f"{field} = {value!r}",
                              expected=" or ".join(kind.__name__ for kind in FIELDS[field]))
    for field, value in data.get("csv", {}).items():
        _check_column(field, value, described)
    if data.get("persons", 1) < 1:
        raise CorruptFile(described, f"persons = {data['persons']}", expected="1 or more")
    if "time_unit" in data and data["time_unit"] not in (*clock.UNITS, "frames"):
        raise UnknownChoice(f"time_unit in {described}", data["time_unit"], (*clock.UNITS, "frames"))
    labels = data.get("labels", [])
    if not all(isinstance(label, str) and label for label in labels) or len(set(labels)) < len(labels):
        raise CorruptFile(described, f"labels = {labels!r}", expected="the name of each class, in quotes and once")
    if ("files" in data) == ("clip" in data):
        raise CorruptFile(described, "both files and [[clip]]" if "files" in data else "neither files nor [[clip]]",
                          expected="one of them")


def _check_column(field: str, value: object, described: Path) -> None:
    if field not in CSV_FIELDS:
        raise UnknownChoice(f"field of [csv] in {described}", field, CSV_FIELDS)
    wanted = CSV_FIELDS[field]
    expected = "a column's name" + (" with " + " and ".join(f"{{{name}}}" for name in wanted) if wanted else "")
    if field == "columns":
        if isinstance(value, list) and value and all(isinstance(name, str) and name for name in value):
            return
        raise CorruptFile(described, f"[csv] columns = {value!r}",
                          expected='the columns\' names, such as ["time", "{joint}_x", "{joint}_y", "{joint}_z"]')
    if field == "delimiter":
        expected = "the one character between two fields"
    if isinstance(value, str) and value and (field != "delimiter" or len(value) == 1):
        try:
            parts = [part[1:] for part in Formatter().parse(value)] if wanted else []
        except ValueError:  # a brace that is not closed
            parts = [("?", "", None)]
        named = [part for part in parts if part[0] is not None]
        if {part[0] for part in named} == set(wanted) and not any(spec or how for _, spec, how in named):
            return
    raise CorruptFile(described, f"[csv] {field} = {value!r}", expected=expected)


def _topology(folder: Path, name: str) -> Topology:
    return topologies.load(folder / name) if name.endswith(".toml") else topologies.get(name)


def _metres(units: str | float, described: Path) -> float:
    """Metres of one unit."""
    if isinstance(units, str):
        return metres_of(units, f"units in {described}")
    if not 0 < units < 1000:
        raise CorruptFile(described, f"units = {units}", expected="metres of one unit, such as 0.0254")
    return float(units)


def _items(folder: Path, data: Mapping[str, Any], described: Path) -> list[Item]:
    listed = [row["file"] for row in data.get("clip", ()) if isinstance(row, Mapping) and isinstance(row.get("file"), str)]
    if any(str(path).lower().endswith(".json") for path in (data.get("files"), *listed)):
        raise CorruptFile(described, "files that end in .json, as pose models write their 2-D poses",
                          expected=f".csv, .txt or .npz with {IN_SPACE}",
                          remedy="write the joints into one CSV or NPZ file a recording (docs/recordings.md)")
    if "clip" in data:
        items = [_listed(folder, row, described) for row in data["clip"]]
    else:
        items = found(folder, data["files"], data.get("labels", ()))
    if not items:
        raise DataError(f"no file in {folder} fits what {described.name} says",
                        expected=str(data.get("files", "[[clip]] entries")))
    for item in items:
        ending = item.file.suffix.lower()
        if ending not in (".csv", ".npz", ".txt"):
            raise CorruptFile(item.file, f"a {item.file.suffix} file", expected=".csv, .txt or .npz")
    return items


def _listed(folder: Path, row: Any, described: Path) -> Item:
    if not isinstance(row, Mapping) or not all(isinstance(value, str) for value in row.values()):
        raise CorruptFile(described, f"clip {row!r}",
                          expected='file = "...", label = "...", subject = "...", view = "..."')
    for field in row:
        if field not in ("file", "label", "subject", "view"):
            raise UnknownChoice(f"field of [[clip]] in {described}", field, ("file", "label", "subject", "view"))
    file = folder / row.get("file", "")
    if not below(row.get("file", "")) or not file.is_file():
        raise DataError(f"{described} lists {row.get('file', '')!r}, which is not there",
                        expected="a file below its folder")
    return Item(file, row.get("label", ""), row.get("subject", ""), row.get("view", ""))


def _tested(data: Mapping[str, Any], items: list[Item], described: Path) -> tuple[str, ...]:
    """The subjects of the data set's own test part."""
    tested = tuple(str(subject) for subject in data.get("test_subjects", ()))
    subjects = {item.subject for item in items}
    for subject in tested:
        if subject not in subjects:
            raise UnknownChoice(f"subject in test_subjects of {described}", subject, subjects)
    if tested and set(tested) == subjects:
        raise CorruptFile(described, "test_subjects names every subject", expected="some to train on")
    return tested


def _rate(clips: Iterator[Clip | RefusedFile], described: Path) -> tuple[float, Iterator[Clip | RefusedFile]]:
    """The rate of the first recording that can be read, and all recordings again; 0 where none can."""
    read: list[Clip | RefusedFile] = []
    for clip in clips:
        read.append(clip)
        if isinstance(clip, RefusedFile):
            continue
        if clip.frames < 2:
            raise CorruptFile(described, f"no frame_rate, and {clip.source} has too few frames to tell it",
                              expected="frame_rate = HZ")
        return round(float((clip.frames - 1) / (clip.time[-1] - clip.time[0])), 3), chain(read, clips)
    return 0.0, iter(read)
