"""A learned state on its way: out of one device, merged into another or into a workstation's, and into a training store.

What travels is a :class:`DemonstrationStore` file without a past. Between devices of one model the embeddings are enough;
under another model they mean nothing, and the joints, where they were kept, are looked at anew.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from edgeskel.continual.device.demonstration import Demonstration
from edgeskel.continual.device.demonstration_store import DemonstrationStore
from edgeskel.continual.device.learned_file import explained
from edgeskel.data.store import Store
from edgeskel.data.store_writer import StoreWriter
from edgeskel.errors import DataError, UnknownChoice, UsageError
from edgeskel.runtime.session import Session
from edgeskel.skeleton import Clip, Topology

__all__ = ["CONFLICT", "Merged", "merge", "send", "write_store"]

CONFLICT = {
    "refuse": "take nothing and name them",
    "mine": "keep what is here",
    "theirs": "take theirs in its place",
    "both": "put the demonstrations of both under the one label",
    "rename": "take theirs under a name of its own",
}
"""What happens to a label that both sides have with different demonstrations."""


@dataclass(frozen=True)
class Merged:
    """What a merge did.

    Args:
        taken: label (as it is called here now) -> demonstrations that came in.
        conflicts: labels that both sides had with different demonstrations.
        disputed: source of each recording that is another label's demonstration here, and so was left out or replaced.
        known: labels that the model in use recognises itself; they were left out.
        unseen: labels with demonstrations that only have an embedding of another model; those were left out.
    """

    taken: dict[str, int]
    conflicts: tuple[str, ...]
    disputed: tuple[str, ...]
    known: tuple[str, ...]
    unseen: tuple[str, ...]


def send(memory: DemonstrationStore, path: str | Path, *, private: bool = False) -> None:
    """Write the present state into a file of its own, without its past, by atomic rename.

    Args:
        memory: what was learned.
        path: of the file; one that exists is replaced if it holds learned actions.
        private: without joints.

    Raises:
        UsageError: nothing is learned, or ``path`` is the memory's own file.
        CorruptFile: ``path`` exists and is something else.
    """
    path = Path(path)
    if not memory.learned():
        raise UsageError(f"nothing is learned in {memory.path}")
    if path.exists():
        if path.samefile(memory.path):
            raise UsageError(f"{path} is the file itself", expected="another name")
        DemonstrationStore.open(path).close()
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with explained(path):
            # As SQLite sees it, whoever else has the file open.
            source, target = sqlite3.connect(memory.path), sqlite3.connect(temporary)
            try:
                source.backup(target)
            finally:
                source.close()
                target.close()
        with DemonstrationStore.open(temporary, backup=False) as copy:
            copy.erase()
            if private:
                copy.drop_joints()
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def merge(memory: DemonstrationStore, other: str | Path, *, conflict: str = "refuse", session: Session | None = None) -> Merged:
    """Take what another file has learned, as one change that can be undone.

    Args:
        memory: where it goes.
        other: the file.
        conflict: one of :data:`CONFLICT`.
        session: the recogniser in use, to look at joints where the file was learned on another model.

    Raises:
        UnknownChoice: no such way to settle a conflict.
        DataError: labels conflict and nothing settles it; or the other model's embeddings came without joints.
        UsageError: a label would have more than ten demonstrations.
        CorruptFile: ``other`` is damaged or something else.
    """
    if conflict not in CONFLICT:
        raise UnknownChoice("way to settle a conflict", conflict, CONFLICT)
    with DemonstrationStore.open(other) as file:
        theirs, same = list(file.demonstrations()), file.model == memory.model
    known = sorted({label for label, _ in theirs if label in memory.model_labels})
    theirs = [(label, one) for label, one in theirs if label not in memory.model_labels]
    unseen = sorted({label for label, one in theirs if not same and one.clip is None})
    if not same:
        theirs = [(label, _again(one, session, other)) for label, one in theirs if one.clip is not None]
        if unseen and not theirs:
            raise DataError(f"{other} was learned on another model, and no joints were kept",
                            expected="demonstrations whose joints can be looked at again",
                            remedy="enrol them again with this model")
    here = {one.digest: label for label, one in memory.demonstrations()}
    mine = set(here.values())
    fresh = [(label, one) for label, one in theirs if here.get(one.digest) != label]
    conflicts = sorted({label for label, one in fresh if label in mine})
    disputed = [one for _, one in fresh if one.digest in here]
    if (conflicts or disputed) and conflict == "refuse":
        seen = [f"the label {label!r} has other demonstrations here" for label in conflicts]
        seen += [f"{one.source or one.digest[:12]} is {here[one.digest]!r} here" for one in disputed]
        raise DataError(f"{other}: {'; '.join(seen)}", expected="labels that mean the same on both sides",
                        remedy="settle it with --conflict: " + ", ".join(f"{name} ({what})" for name, what in CONFLICT.items()))
    instead: list[str] = []
    if conflict == "mine":
        fresh = [(label, one) for label, one in fresh if label not in mine]
    if conflict == "theirs":
        instead = [digest for digest, label in here.items() if label in conflicts or digest in {one.digest for one in disputed}]
        fresh = [(label, one) for label, one in theirs if here.get(one.digest) != label or label in conflicts]
    else:
        fresh = [(label, one) for label, one in fresh if one.digest not in here]
    if conflict == "rename":
        names = {label: _free_name(label, {*mine, *memory.model_labels, *(name for name, _ in theirs)}) for label in conflicts}
        fresh = [(names.get(label, label), one) for label, one in fresh]
    if fresh:
        memory.take(f"import {Path(other).name}", fresh, instead)
    taken: dict[str, int] = {}
    for label, _ in fresh:
        taken[label] = taken.get(label, 0) + 1
    return Merged(taken, tuple(conflicts), tuple(one.source or one.digest[:12] for one in disputed), tuple(known), tuple(unseen))


def write_store(memory: DemonstrationStore, out: str | Path, topology: Topology, *, rate_hz: float = 30.0, subject: str = "learned",
                beside: Store | None = None) -> int:
    """Write the kept joints as a training store; how many demonstrations went in.

    Args:
        memory: what was learned.
        out: the folder to make.
        topology: the layout of the demonstrations.
        rate_hz: nominal frame rate.
        subject: who performed them; a protocol that divides by subject goes by it.
        beside: recordings to write before them, so that one store holds old and new actions.

    Raises:
        DataError: joints of no demonstration were kept.
        TopologyMismatch: ``beside`` has another layout.
    """
    clips = [clip_of(label, one, subject) for label, one in memory.demonstrations() if one.clip is not None]
    if not clips:
        raise DataError(f"{memory.path} holds embeddings only", expected="demonstrations whose joints were kept",
                        remedy="enrol without --private")
    learned = [one.label for one in memory.learned() if one.kept]
    labels = [*(beside.labels if beside is not None else ()), *learned]
    with StoreWriter(out, dataset=beside.dataset if beside is not None else "learned", topology=topology,
                     labels=list(dict.fromkeys(labels)), rate_hz=rate_hz) as writer:
        for clip in (*(beside or ()), *clips):
            writer.add(clip)
    return len(clips)


def clip_of(label: str, demonstration: Demonstration, subject: str) -> Clip:
    """The kept joints as a labelled clip."""
    assert demonstration.clip is not None
    return replace(demonstration.clip, label=label, subject=subject, source=f"learned/{demonstration.digest[:16]}")


def _again(demonstration: Demonstration, session: Session | None, other: str | Path) -> Demonstration:
    if session is None:
        raise UsageError(f"{other} was learned on another model", expected="the recogniser in use, to look at it again",
                         remedy="pass --model or --bundle")
    assert demonstration.clip is not None
    again, _ = Demonstration.of(demonstration.clip, session)
    return replace(again, source=demonstration.source)


def _free_name(label: str, taken: set[str]) -> str:
    number = 2
    while f"{label} ({number})" in taken:
        number += 1
    return f"{label} ({number})"
