"""``edgeskel labels``: what was learned on this device: list, rename, remove, undo, and take it elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from edgeskel.cli.model import LEARNED, Model
from edgeskel.cli.report import Command, Report
from edgeskel.errors import UsageError
from edgeskel.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

    from edgeskel.continual.device import DemonstrationStore

__all__ = ["COMMANDS"]


@dataclass(frozen=True)
class List:
    """List the learned actions, and the changes that led to them."""

    learned: Path = LEARNED
    """File of learned actions."""


@dataclass(frozen=True)
class Rename:
    """Give a learned action another name."""

    label: tyro.conf.Positional[str]
    """As it is called."""
    name: tyro.conf.Positional[str]
    """As it is to be called."""
    learned: Path = LEARNED
    """File of learned actions."""


@dataclass(frozen=True)
class Remove:
    """Forget a learned action; `edgeskel labels undo` brings it back, `edgeskel labels erase` makes it final."""

    label: tyro.conf.Positional[str]
    """Which one."""
    learned: Path = LEARNED
    """File of learned actions."""


@dataclass(frozen=True)
class Undo:
    """Return to the state before the last change."""

    learned: Path = LEARNED
    """File of learned actions."""


@dataclass(frozen=True)
class Redo:
    """Do again what was undone."""

    learned: Path = LEARNED
    """File of learned actions."""


@dataclass(frozen=True)
class Repair:
    """Mend a damaged file: keep what is whole of it. The damaged one stays beside it."""

    learned: Path = LEARNED
    """File of learned actions."""
    backup: bool = False
    """Return to the copy of the last whole state instead."""


@dataclass(frozen=True)
class Erase:
    """Erase for good whatever was removed or undone; what is learned now stays, and can no longer be undone."""

    learned: Path = LEARNED
    """File of learned actions."""
    joints: bool = False
    """Erase the joints of what is learned, too, and keep the embeddings only."""


@dataclass(frozen=True)
class LabelsExport:
    """Write the learned actions into a file that travels to another device or a workstation."""

    out: tyro.conf.Positional[Path]
    """The file."""
    private: bool = False
    """Without the joints."""
    learned: Path = LEARNED
    """File of learned actions."""


@dataclass(frozen=True, kw_only=True)
class LabelsImport(Model):
    """Merge the learned actions of another file into this one."""

    file: tyro.conf.Positional[Path]
    """As `edgeskel labels export` wrote it."""
    conflict: Literal["refuse", "mine", "theirs", "both", "rename"] = "refuse"
    """What happens to a label that both have with different demonstrations."""
    learned: Path = LEARNED
    """File of learned actions; begun where there is none."""


@dataclass(frozen=True, kw_only=True)
class ToStore(Model):
    """Write the demonstrations whose joints were kept into a store that `edgeskel train` learns from."""

    out: tyro.conf.Positional[Path]
    """Folder of the store."""
    beside: Path | None = None
    """Store whose recordings come along, so that old and new actions are learned together."""
    subject: str = "learned"
    """Who performed the demonstrations: a protocol that divides by subject goes by it."""
    learned: Path = LEARNED
    """File of learned actions."""


@dataclass(frozen=True, kw_only=True)
class Retrain(Model):
    """Make a recogniser of its own out of a model and what was learned, ready for `edgeskel export`. Needs torch."""

    out: tyro.conf.Positional[Path]
    """Folder of the new checkpoint."""
    data: Path | None = None
    """Store that the model learned from: its own actions are then replayed from recordings, not from their statistics."""
    learned: Path = LEARNED
    """File of learned actions."""


def list_labels(config: List) -> Report:
    """All labels."""
    return _after(config.learned, lambda memory: {})


def rename(config: Rename) -> Report:
    """One label."""
    return _after(config.learned, lambda memory: memory.rename(config.label, config.name))


def remove(config: Remove) -> Report:
    """One label."""
    return _after(config.learned, lambda memory: memory.forget(config.label))


def undo(config: Undo) -> Report:
    """One change."""
    return _after(config.learned, lambda memory: {"undone": memory.undo()})


def redo(config: Redo) -> Report:
    """One change."""
    return _after(config.learned, lambda memory: {"redone": memory.redo()})


def repair(config: Repair) -> Report:
    """One file."""
    from edgeskel.continual.device import DemonstrationStore
    from edgeskel.continual.device.repair import repair

    done = repair(config.learned, backup=config.backup)
    with DemonstrationStore.open(config.learned) as memory:
        data = {"from_backup": done.from_backup, "lost": list(done.lost),
                "damaged": None if done.damaged is None else str(done.damaged), **_state(memory)}
    return Report(data, text=lambda out: _draw(out, data))


def erase(config: Erase) -> Report:
    """The past, and the joints if asked for."""

    def work(memory: DemonstrationStore) -> dict[str, Any]:
        erased = memory.erase()
        return {"erased": erased, "joints_erased": memory.drop_joints() if config.joints else 0}

    return _after(config.learned, work)


def export(config: LabelsExport) -> Report:
    """One file."""
    from edgeskel.continual.device import DemonstrationStore
    from edgeskel.continual.device.transfer import send

    with DemonstrationStore.open(config.learned) as memory:
        send(memory, config.out, private=config.private)
    with DemonstrationStore.open(config.out) as sent:
        return Report({"out": str(config.out), **_state(sent)})


def import_labels(config: LabelsImport) -> Report:
    """One file into another."""
    from edgeskel.continual.device import DemonstrationStore
    from edgeskel.continual.device.transfer import merge

    named = config.bundle is not None or config.model is not None
    with (DemonstrationStore.open(config.file) as other,
          DemonstrationStore.open(config.learned, config.knowledge() if named else None, like=other) as memory):
        if memory.model != other.model and not named:
            raise UsageError(f"{config.file} was learned on another model than {config.learned}",
                             expected="the model in use, to look at the joints again",
                             remedy="name it: --bundle DIR or --model NAME")
        session = None if memory.model == other.model else config.session()
        merged = merge(memory, config.file, conflict=config.conflict, session=session)
        data = {**merged.__dict__, **_state(memory)}
    return Report(data, text=lambda out: _draw(out, data))


def to_store(config: ToStore) -> Report:
    """One store."""
    from edgeskel.continual.device import DemonstrationStore
    from edgeskel.continual.device.transfer import write_store
    from edgeskel.data import Store

    beside = None if config.beside is None else Store.open(config.beside)
    session = config.session()
    with DemonstrationStore.open(config.learned, config.knowledge(), begin=False) as memory:
        count = write_store(memory, config.out, session.topology, rate_hz=session.window.rate_hz, subject=config.subject,
                            beside=beside)
    store = Store.open(config.out)
    return Report({"out": str(config.out), "demonstrations": count, "clips": len(store), "labels": list(store.labels),
                   "next": f"edgeskel train --data {config.out} --out CHECKPOINT"})


def retrain(config: Retrain) -> Report:
    """One checkpoint."""
    from edgeskel.continual.device import DemonstrationStore
    from edgeskel.data import Store

    if config.bundle is not None:
        raise UsageError("--bundle", expected="--model: a checkpoint folder or a shipped model's name",
                         remedy=f"a bundle's own checkpoint: --model {config.bundle / 'checkpoint'}")
    from edgeskel.cli.model import DEFAULT_MODEL
    from edgeskel.continual.retrain import retrain
    from edgeskel.files import atomic_write
    from edgeskel.models import folder_of, from_pretrained
    from edgeskel.runtime.segmentation import SEGMENTER
    from edgeskel.training import record

    name = config.model or DEFAULT_MODEL
    recogniser = from_pretrained(name)
    store: Store | None = None
    clips: Iterable[int] = ()
    if config.data is not None:
        store = Store.open(config.data)
        trained = record.Training.of(record.read(folder_of(name)))
        clips = record.parts_for(trained, store, None, None).train
    with DemonstrationStore.open(config.learned, config.knowledge(), begin=False) as memory:
        labels = retrain(recogniser, memory, config.out, store, clips)
    segmenter = folder_of(name) / SEGMENTER
    if segmenter.is_file():  # its own actions move and pause as before
        with atomic_write(config.out / SEGMENTER) as file:
            file.write(segmenter.read_bytes())
    return Report({"out": str(config.out), "labels": list(labels), "next": f"edgeskel export {config.out}"})


def _after(path: Path, work: Any) -> Report:
    """Do ``work``, then say what there is."""
    from edgeskel.continual.device import DemonstrationStore

    with DemonstrationStore.open(path) as memory:
        data = {**(work(memory) or {}), **_state(memory)}
    return Report(data, text=lambda out: _draw(out, data))


def _state(memory: DemonstrationStore) -> dict[str, Any]:
    return {
        "learned": str(memory.path),
        "labels": [one.__dict__ for one in memory.learned()],
        "model": {"digest": memory.model, "labels": list(memory.model_labels)},
        "changes": [change.__dict__ for change in memory.history()],
    }


def _draw(out: Console, data: dict[str, Any]) -> None:
    from edgeskel.console import new_table

    for name in ("undone", "redone", "erased", "taken", "conflicts", "disputed", "known", "unseen", "lost", "damaged"):
        if data.get(name):
            out.print(f"{name}: {printable(str(data[name]))}")
    table = new_table("action", "demonstrations", "with joints", right=("demonstrations", "with joints"))
    for row in data["labels"]:
        table.add_row(printable(row["label"]), str(row["demonstrations"]), str(row["kept"]))
    out.print(table if data["labels"] else f"nothing is learned in {data['learned']}")
    for change in data["changes"][-5:]:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(change["time"]))
        line = f"{when}  {printable(change['what'])}{' (undone)' if change['undone'] else ''}"
        out.print(line, style="dim")


COMMANDS = {
    "": Command(List, list_labels),
    "rename": Command(Rename, rename),
    "remove": Command(Remove, remove),
    "undo": Command(Undo, undo),
    "redo": Command(Redo, redo),
    "repair": Command(Repair, repair),
    "erase": Command(Erase, erase),
    "export": Command(LabelsExport, export),
    "import": Command(LabelsImport, import_labels),
    "to-store": Command(ToStore, to_store),
    "retrain": Command(Retrain, retrain),
}
