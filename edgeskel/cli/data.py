"""``edgeskel data``: recordings into stores, and what is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from edgeskel.cli.report import Command, Report, console

if TYPE_CHECKING:
    from rich.console import Console

    from edgeskel.data import Store
    from edgeskel.data.inspect import Inspection
    from edgeskel.data.notes import Note
    from edgeskel.skeleton import Clip

__all__ = ["COMMANDS"]


@dataclass(frozen=True)
class DataImport:
    """Read a dataset's recordings into a store."""

    dataset: tyro.conf.Positional[str]
    """utd-mhad, nw-ucla, sbu, utkinect, ntu, bvh, or generic (your own files with a dataset.toml); or what another
    installed package brings."""
    path: tyro.conf.Positional[Path]
    """The dataset's folder."""
    out: Path
    """The store's folder; a store that is there already is replaced."""
    missing_nan: bool = False
    """Take joints that are NaN or infinite as missing instead of refusing the recording."""
    strict: bool = False
    """End at the first damaged recording; without it, damaged ones are left out and listed."""
    zeros: Literal["missing", "seen"] = "missing"
    """What a joint at exactly 0, 0, 0 is: not seen, as most trackers mean it, or really there."""
    bodies: Literal["acting", "all"] = "acting"
    """Which tracked bodies to keep: those who act, without phantoms and with their tracking ids joined, or all."""
    unit: str = ""
    """Length unit of BVH files: m, cm, mm, inch, or metres of one unit (0.056444 for the CMU library)."""
    up: str = ""
    """Axis that points up in BVH files: x, y, z, -x, -y or -z; without it y, and files where people stand along another
    one are refused."""
    topology: str = ""
    """Layout to bring the joints into: a built-in name or a TOML file; without it they keep their own."""
    label: str = ""
    """Class of all BVH files; without it, the name of each file's folder."""


def import_(config: DataImport) -> Report:
    """Import with a progress bar."""
    from edgeskel.data import import_dataset

    options = {"missing_nan": config.missing_nan, "zeros": config.zeros, "bodies": config.bodies, "unit": config.unit,
               "up": config.up, "topology": config.topology, "label": config.label}

    def progress(recordings: Iterable[Any], total: int) -> Iterator[Any]:
        return _progress(recordings, total, f"importing {config.dataset}")

    done = import_dataset(config.dataset, config.path, config.out, progress=progress, strict=config.strict, **options)
    refused = [{"source": source, "reason": reason} for source, reason in done.refused]
    if refused:
        console.print(f"warning: {len(refused)} of {done.clips + len(refused)} recordings were refused and are not in "
                      f"{config.out}", style="yellow")

    def text(out: Console) -> None:
        out.print(f"{done.clips} clips of {done.dataset} in {config.out}")
        labels = [f"{label or 'unlabelled'} ({clips})" for label, clips in done.labels.items() if clips]
        out.print(f"{len(labels)} classes: {', '.join(labels)}")
        _draw_notes(out, done.notes)
        for row in refused:
            out.print(f"refused {row['source']}: {row['reason']}")

    return Report({"store": config.out, "dataset": done.dataset, "clips": done.clips, "labels": done.labels,
                   "refused": refused, "notes": done.notes, "digest": done.digest}, text)


def _draw_notes(out: Console, notes: Iterable[Note]) -> None:
    for note in notes:
        about = [f"{source}: {detail}" if detail else source for source, detail in zip(note.sources, note.details, strict=True)]
        which = ", ".join(about[:3]) + (f" and {len(about) - 3} more" if len(about) > 3 else "")
        out.print(f"note: {note.text}" + (f" [{which}]" if which else ""))


@dataclass(frozen=True)
class Inspect:
    """Count what is in a store: lengths, missing joints, class balance, duplicates."""

    store: tyro.conf.Positional[Path]
    """The store."""
    verify: bool = False
    """Also compare every byte with the digest that the import wrote."""


def inspect(config: Inspect) -> Report:
    """Read every clip once."""
    from edgeskel.data import Store
    from edgeskel.data.inspect import inspect as look

    store = Store.open(config.store)
    if config.verify:
        store.verify()
    found = look(store)
    data = {"store": config.store, "dataset": store.dataset, "topology": store.topology.name, "rate_hz": store.rate_hz,
            "digest": store.digest, "verified": config.verify, **vars(found)}
    return Report(data, lambda out: _draw_inspection(out, store, found))


@dataclass(frozen=True)
class DataSplit:
    """Show the parts into which a protocol divides a store."""

    store: tyro.conf.Positional[Path]
    """The store."""
    protocol: str | None = None
    """Name of the protocol, or whom to test on: subject:2,4,6 or view:3; without it, the dataset's own."""
    fold: int = 0
    """Which fold, from 0."""
    validation: str = "0.2"
    """What to hold out of the training side: a share of its subjects, or subject:1,5 or view:2."""
    clips: bool = False
    """List the clips of each part, not only their number."""


def split(config: DataSplit) -> Report:
    """Divide and count."""
    from edgeskel.data import Store
    from edgeskel.data import split as divide
    from edgeskel.data.protocols import PROTOCOLS, available, folds

    store = Store.open(config.store)
    made = divide(store, config.protocol, fold=config.fold, validation=config.validation)
    parts = {"train": made.train, "validation": made.validation, "test": made.test}
    rows = {part: _part(store, indices, listed=config.clips) for part, indices in parts.items()}
    data = {"store": config.store, "dataset": store.dataset, "name": made.name, "protocol": made.protocol,
            "fold": made.fold, "folds": folds(store, made.protocol), **rows, "repeated": len(made.repeated),
            "available": available(store)}

    def text(out: Console) -> None:
        from edgeskel.console import new_table

        out.print(made.name)
        table = new_table("part", "clips", "subjects", "views", "classes", right=("clips", "classes"))
        for part, row in rows.items():
            table.add_row(part, str(row["clips"]), " ".join(row["subjects"]), " ".join(row["views"]),
                          str(sum(count > 0 for count in row["labels"].values())))
        out.print(table)
        if len(made.repeated):
            out.print(f"{len(made.repeated)} of the test clips are copies of clips on the training side")
        for row in rows.values():
            for source in row.get("sources", ()):
                out.print(source)
        for name in available(store):
            out.print(f"{name:<14} {PROTOCOLS[name].about}")

    return Report(data, text)


@dataclass(frozen=True)
class DataView:
    """Draw a clip: a strip of skeletons (.png, .svg) or an animation (.gif)."""

    store: tyro.conf.Positional[Path]
    """The store."""
    out: Path
    """The picture; its ending says which kind."""
    clip: int = 0
    """Which clip; -1 is the last."""
    frames: int = 8
    """Skeletons in a strip."""


def view(config: DataView) -> Report:
    """Draw with edgeskel.data.pictures."""
    from edgeskel.data import Store, pictures
    from edgeskel.errors import UnknownChoice
    from edgeskel.files import atomic_write

    store = Store.open(config.store)
    clip = _clip(store, config.clip)
    kind = config.out.suffix.lower()
    if kind == ".png":
        pictures.strip(clip, store.topology, config.out, frames=config.frames)
    elif kind == ".gif":
        pictures.animation(clip, store.topology, config.out)
    elif kind == ".svg":
        with atomic_write(config.out) as file:
            file.write(pictures.svg(clip, store.topology, frames=config.frames).encode("utf-8"))
    else:
        raise UnknownChoice("picture", kind or str(config.out), (".png", ".svg", ".gif"))
    return Report({"out": config.out, "clip": config.clip, "label": clip.label, "subject": clip.subject,
                   "source": clip.source, "frames": clip.frames})


@dataclass(frozen=True)
class Synth:
    """Generate synthetic motion with paired wearable signals into a store."""

    out: Path
    """The store's folder; a store that is there already is replaced. With --sequence, the recording (.npz)."""
    sequence: tuple[str, ...] = ()
    """Instead of a store: actions that one body performs one after the other, for `edgeskel run replay:FILE`."""
    subjects: int = 12
    """Bodies, each with its own size and style."""
    takes: int = 4
    """How often each body performs each action."""
    seed: int = 0
    """The same seed gives the same motion."""


def synth(config: Synth) -> Report:
    """Generate with edgeskel.data.synthetic."""
    from edgeskel.data.synthetic import generate

    if config.sequence:
        return _sequence(config)
    store = generate(config.out, subjects=config.subjects, takes=config.takes, seed=config.seed,
                     watch=lambda people, count: _progress(people, count, "generating motion"))

    def text(out: Console) -> None:
        out.print(f"{len(store)} clips of {len(store.labels)} actions by {config.subjects} bodies in {config.out}")
        out.print(", ".join(store.labels))

    return Report({"store": config.out, "dataset": store.dataset, "clips": len(store), "labels": store.labels,
                   "digest": store.digest}, text)


def _sequence(config: Synth) -> Report:
    """One continuous recording with what is performed when."""
    from edgeskel import topologies
    from edgeskel.data.synthetic import sequence
    from edgeskel.errors import UsageError
    from firmware_bridge.recording import save_recording

    if config.out.suffix != ".npz":
        raise UsageError(f"{config.out} as a recording", expected="a file that ends in .npz")
    made = sequence(config.sequence, seed=config.seed, sensors=())
    save_recording(config.out, made.clip.joints, made.clip.confidence, made.clip.time, topologies.get("kinect-v1"),
                   made.spans)
    return _recorded(config.out, made.clip.frames, float(made.clip.time[-1]), made.spans)


def _recorded(path: Path, frames: int, seconds: float, spans: Iterable[tuple[float, float, str]]) -> Report:
    """What a recording holds and when what is performed in it."""
    rows = [{"start": start, "end": end, "label": label} for start, end, label in spans]

    def text(out: Console) -> None:
        out.print(f"{frames} frames, {seconds:.1f} s, in {path}")
        for row in rows:
            out.print(f"{row['start']:7.2f} to {row['end']:7.2f} s  {row['label']}")

    return Report({"out": path, "frames": frames, "seconds": seconds, "spans": rows}, text)


@dataclass(frozen=True)
class Pick:
    """Write clips of a store as one recording, which `edgeskel run replay:FILE` plays."""

    store: tyro.conf.Positional[Path]
    """The store."""
    out: Path
    """The recording, .npz."""
    clip: tyro.conf.UseAppendAction[tuple[int, ...]] = field(default=())
    """Which clip; give it again to put one after the other. Without it, the first."""
    gap: float = 0.0
    """Seconds between two clips."""
    gap_with: Literal["nobody", "still"] = "nobody"
    """Who is seen in a gap: nobody, or the persons, still standing as they did last."""


def pick(config: Pick) -> Report:
    """Join the clips on one clock."""
    from edgeskel.data import Store
    from edgeskel.data.joining import join
    from edgeskel.errors import UsageError
    from firmware_bridge.recording import save_recording

    if config.out.suffix != ".npz":
        raise UsageError(f"{config.out} as a recording", expected="a file that ends in .npz")
    store = Store.open(config.store)
    joints, confidence, time, spans = join([_clip(store, i) for i in config.clip or (0,)], store.rate_hz,
                                           gap_s=config.gap, still=config.gap_with == "still")
    save_recording(config.out, joints, confidence, time, store.topology, spans)
    return _recorded(config.out, len(time), float(time[-1] - time[0]), spans)


def _clip(store: Store, index: int) -> Clip:
    from edgeskel.errors import UsageError

    if not -len(store) <= index < len(store):
        raise UsageError(f"clip {index}", expected=f"0 to {len(store) - 1}")
    return store[index]


def _part(store: Store, indices: Any, *, listed: bool) -> dict[str, Any]:
    from edgeskel.data.protocols import names_in_order

    labels = Counter(store.index["label"][indices].tolist())
    part: dict[str, Any] = {
        "clips": len(indices), "labels": {label: labels.get(i, 0) for i, label in enumerate(store.labels)},
        "subjects": names_in_order(store.texts("subject")[indices]),
        "views": names_in_order(store.texts("view")[indices])}
    if listed:
        part["sources"] = store.texts("source")[indices].tolist()
        part["indices"] = indices
    return part


def _progress(recordings: Iterable[Any], total: int, what: str) -> Iterator[Any]:
    from edgeskel.console import Progress

    with Progress(console) as progress:
        task = progress.add_task(what, total=total)
        for recording in recordings:
            yield recording
            progress.advance(task)


def _draw_inspection(out: Console, store: Store, found: Inspection) -> None:
    from edgeskel.console import new_table

    def line(name: str, value: object) -> None:
        out.print(f"{name:<12} {value}")

    lengths = found.lengths
    line(store.dataset, f"{found.clips} clips, {found.frames} frames, {found.seconds / 60:.1f} min, "
         f"{store.topology.name}, {store.rate_hz:g} Hz")
    line("lengths", f"{lengths['min']} to {lengths['max']} frames, median {lengths['median']:g}")
    line("persons", ", ".join(f"{persons} in {count} clips" for persons, count in found.persons.items()))
    line("extent", f"{found.extent_m:g} m, median")
    most_missing = sorted(found.missing.items(), key=lambda item: -item[1])[:8]
    missing = ", ".join(f"{joint} {share:.1%}" for joint, share in most_missing)
    line("missing", f"{found.missing_share:.2%} of all joints" + (f": {missing}" if missing else ""))
    line("duplicates", f"{len(found.duplicates)} recordings that are there more than once")
    for name, counts in (("subjects", found.subjects), ("views", found.views), ("sensors", found.inertial)):
        if any(counts) and len(counts) <= 40:
            line(name, ", ".join(f"{value} ({count})" for value, count in counts.items()))
    out.print(f"classes, largest over smallest {found.imbalance:g}")
    table = new_table("label", "clips", "", right=("clips",))
    most = max(found.labels.values())
    for label, count in found.labels.items():
        table.add_row(label or "(unlabelled)", str(count), "█" * round(30 * count / most))
    out.print(table)
    for source, reason in found.refused:
        line("refused", f"{source}: {reason}")
    _draw_notes(out, found.notes)
    for warning in found.warnings:
        line("look at", warning)


COMMANDS = {
    "import": Command(DataImport, import_),
    "inspect": Command(Inspect, inspect),
    "view": Command(DataView, view),
    "split": Command(DataSplit, split),
    "synth": Command(Synth, synth),
    "pick": Command(Pick, pick),
}
