"""A user's own recordings: a folder of CSV or NPZ files and a ``dataset.toml`` that says what they mean.

    name = "my-gym"
    topology = "kinect-v2"                     # a built-in layout, or the path of your own: "layout.toml"
    units = "mm"                               # m, cm, mm
    axes = "x right, y down, z forward"        # seen from the camera; see edgeskel/data/axes.py
    frame_rate = 30                            # Hz; not needed where every file has a time
    labels = ["squat", "lunge"]                # optional: the order of the classes, and a check on typing mistakes
    files = "{label}/{subject}_{view}_{*}.csv" # where label, subject and view stand in the path; {*} is anything

    [csv]                                      # all optional
    delimiter = ","
    joint = "{joint}_{axis}"                   # column of a coordinate; joint is a name or alias of the layout
    confidence = "{joint}_c"                   # column of a confidence in 0..1
    time = "time"                              # column of seconds; one that is named here has to be there
    person = "person"                          # column that tells several persons apart; needs time

Instead of ``files``, clips can be listed one by one: ``[[clip]]`` with ``file``, ``label``, ``subject`` and ``view``.
A left-handed recording also says ``handedness = "left"``.

A CSV file has a header and a row per frame (per frame and person). An NPZ file has ``joints`` (T, V, 3) or (M, T, V, 3)
and, optionally, ``confidence`` (the same without the 3) and ``time`` (T,).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from glob import escape
from itertools import chain
from pathlib import Path, PurePath
from string import Formatter
from typing import Any

import numpy as np

from edgeskel import topologies
from edgeskel.data.axes import axes_matrix
from edgeskel.data.importers.common import Options, Recordings, Refused, make_clip, take
from edgeskel.data.importers.generic_files import read_csv, read_npz
from edgeskel.errors import CorruptFile, DataError, UnknownChoice
from edgeskel.skeleton import Clip, Topology
from edgeskel.topologies import read_toml

__all__ = ["recordings"]

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
FIELDS: dict[str, tuple[type, ...]] = {
    "name": (str,), "topology": (str,), "units": (str,), "axes": (str,), "handedness": (str,),
    "frame_rate": (int, float), "labels": (list,), "files": (str,), "csv": (dict,), "clip": (list,)}
CSV_FIELDS: dict[str, tuple[str, ...]] = {  # and what has to stand in braces
    "delimiter": (), "joint": ("joint", "axis"), "confidence": ("joint",), "time": (), "person": ()}


@dataclass(frozen=True)
class _Item:
    """One file and what is known of it."""

    file: Path
    label: str
    subject: str
    view: str


def recordings(folder: Path, options: Options) -> Recordings:
    """Read ``dataset.toml`` and find the files that it names."""
    described = folder / "dataset.toml"
    data = read_toml(described)
    _check(data, described)
    topology = _topology(folder, data["topology"])
    if data["units"] not in UNITS:
        raise UnknownChoice(f"units in {described}", data["units"], UNITS)
    rate_hz = float(data.get("frame_rate", 0))
    if rate_hz < 0 or not np.isfinite(rate_hz):
        raise CorruptFile(described, f"frame_rate {rate_hz}", expected="frames per second")
    items = _items(folder, data, described)
    labels = tuple(data.get("labels") or sorted({item.label for item in items if item.label}))
    unknown = [item for item in items if item.label and item.label not in labels]
    if unknown:
        raise UnknownChoice(f"label of {unknown[0].file}", unknown[0].label, labels)
    to_ours = axes_matrix(data["axes"], data.get("handedness", "right")) * UNITS[data["units"]]
    clips = _clips(folder, items, topology, to_ours, rate_hz, data.get("csv", {}), options)
    if not rate_hz:  # the rate of a store is nominal: the first file's own
        rate_hz, clips = _rate(clips, described)
    return Recordings(data.get("name", folder.name), topology, labels, rate_hz, len(items), clips)


def _clips(folder: Path, items: list[_Item], topology: Topology, to_ours: np.ndarray[Any, Any], rate_hz: float,
           csv: Mapping[str, str], options: Options) -> Iterator[Clip | Refused]:
    def clip(item: _Item, source: str) -> Clip:
        if item.file.suffix == ".npz":
            joints, confidence, time = read_npz(item.file, topology)
        else:
            joints, confidence, time = read_csv(item.file, topology, **csv)
        if time is None and not rate_hz:
            raise CorruptFile(item.file, "no time, and dataset.toml states no frame_rate", expected="one of them")
        with np.errstate(invalid="ignore"):  # infinite coordinates are refused, with their number, in make_clip
            joints = joints @ to_ours.T
        return make_clip(joints, options, confidence=confidence, time=time, rate_hz=rate_hz, label=item.label,
                         subject=item.subject, view=item.view, source=source)

    for item in items:
        source = item.file.relative_to(folder).as_posix()
        yield take(source, partial(clip, item, source))


def _check(data: Mapping[str, Any], described: Path) -> None:
    for field in ("topology", "units", "axes"):
        if field not in data:
            raise CorruptFile(described, f"no {field}", expected="topology, units and axes to be stated",
                              remedy="see the head of edgeskel/data/importers/generic.py for an example")
    for field, value in data.items():
        if field not in FIELDS:
            raise UnknownChoice(f"field of {described}", field, FIELDS)
        if not isinstance(value, FIELDS[field]):
            raise CorruptFile(described, f"{field} = {value!r}",
                              expected=" or ".join(kind.__name__ for kind in FIELDS[field]))
    for field, value in data.get("csv", {}).items():
        _check_column(field, value, described)
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


def _items(folder: Path, data: Mapping[str, Any], described: Path) -> list[_Item]:
    items = [_listed(folder, row, described) for row in data["clip"]] if "clip" in data else _found(folder, data)
    if not items:
        raise DataError(f"no file in {folder} fits what {described.name} says",
                        expected=str(data.get("files", "[[clip]] entries")))
    for item in items:
        if item.file.suffix not in (".csv", ".npz", ".txt"):
            raise CorruptFile(item.file, f"a {item.file.suffix} file", expected=".csv, .txt or .npz")
    return items


def _listed(folder: Path, row: Any, described: Path) -> _Item:
    if not isinstance(row, Mapping) or not all(isinstance(value, str) for value in row.values()):
        raise CorruptFile(described, f"clip {row!r}",
                          expected='file = "...", label = "...", subject = "...", view = "..."')
    for field in row:
        if field not in ("file", "label", "subject", "view"):
            raise UnknownChoice(f"field of [[clip]] in {described}", field, ("file", "label", "subject", "view"))
    file = folder / row.get("file", "")
    if not _below(row.get("file", "")) or not file.is_file():
        raise DataError(f"{described} lists {row.get('file', '')!r}, which is not there",
                        expected="a file below its folder")
    return _Item(file, row.get("label", ""), row.get("subject", ""), row.get("view", ""))


def _found(folder: Path, data: Mapping[str, Any]) -> list[_Item]:
    """Files whose path fits the pattern; the named fields are what stands in their place."""
    if not _below(data["files"]):
        raise DataError(f"files = {data['files']!r} in dataset.toml", expected="a path below the folder of dataset.toml",
                        remedy="put dataset.toml above the files and leave out what stands before it")
    parts = re.split(r"(\{[^}]*\})", data["files"])
    fields = [part[1:-1] for part in parts if part.startswith("{")]
    for field in fields:
        if field not in ("label", "subject", "view", "*"):
            raise UnknownChoice("field of files in dataset.toml", field, ("label", "subject", "view", "*"))
    if len(set(fields) - {"*"}) != len([field for field in fields if field != "*"]):
        raise DataError(f"files = {data['files']!r} names a field twice", expected="each of label, subject, view once")
    pattern = "".join("[^/]+" if part == "{*}" else f"(?P<{part[1:-1]}>[^/]+?)" if part.startswith("{")
                      else re.escape(part) for part in parts)
    glob = "".join("*" if part.startswith("{") else escape(part) for part in parts)
    items = []
    for file in sorted(folder.glob(glob)):
        found = re.fullmatch(pattern, file.relative_to(folder).as_posix())
        if found is not None and file.is_file():
            known = found.groupdict()
            items.append(_Item(file, known.get("label", ""), known.get("subject", ""), known.get("view", "")))
    return items


def _below(path: str) -> bool:
    """Whether a path as written stays inside the folder that it starts from."""
    return bool(path) and not PurePath(path).is_absolute() and ".." not in PurePath(path).parts


def _rate(clips: Iterator[Clip | Refused], described: Path) -> tuple[float, Iterator[Clip | Refused]]:
    """The rate of the first recording that can be read, and all recordings again; 0 where none can."""
    read: list[Clip | Refused] = []
    for clip in clips:
        read.append(clip)
        if isinstance(clip, Refused):
            continue
        if clip.frames < 2:
            raise CorruptFile(described, f"no frame_rate, and {clip.source} has too few frames to tell it",
                              expected="frame_rate = HZ")
        return round(float((clip.frames - 1) / (clip.time[-1] - clip.time[0])), 3), chain(read, clips)
    return 0.0, iter(read)
