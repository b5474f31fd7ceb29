"""Bases that lack some actions of their data set, for benchmarks of learning on the device.

Each is trained by the product's own recipe on the training part of its data set's protocol, without the actions that are
learned later. KARD has no importer; its few lines are here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks._bench import CACHE
from benchmarks.accuracy import imported
from tests.datasets import datasets

if TYPE_CHECKING:
    from edgeskel.data import Store
    from edgeskel.data.protocols import Split

__all__ = ["SETS", "FieldSet", "base", "parts", "store_of"]


@dataclass(frozen=True)
class FieldSet:
    """A data set, how it is divided, and how many of its classes are left out."""

    folder: str
    protocol: str | None
    new: int
    live: bool = True
    """Whether it has a form that goes frame by frame, which sees one person."""


SETS = {
    "utd-mhad": FieldSet("utd-mhad", "cross-subject", 5),
    "nw-ucla": FieldSet("nw-ucla", "cross-view", 3),
    "utkinect": FieldSet("utkinect-action3d", "cross-subject", 3),
    "kard": FieldSet("kard", "loso", 5),
    "sbu": FieldSet("sbu-interaction", "five-fold", 2, live=False),
}

KARD_LABELS = (
    "horizontal_arm_wave", "high_arm_wave", "two_hand_wave", "catch_cap", "high_throw", "draw_x", "draw_tick", "toss_paper",
    "forward_kick", "side_kick", "take_umbrella", "bend", "hand_clap", "walk", "phone_call", "drink", "sit_down", "stand_up",
)
KARD_JOINTS = (
    "head", "neck", "right_shoulder", "right_elbow", "right_hand", "left_shoulder", "left_elbow", "left_hand", "spine",
    "right_hip", "right_knee", "right_foot", "left_hip", "left_knee", "left_foot",
)


def store_of(name: str, folder: Path = CACHE) -> Store:
    """The whole store of a set, imported on first use."""
    if name == "kard":
        return _kard(folder / "kard")
    if (folder / name / "store.json").is_file() or name == SETS[name].folder:
        return imported(name, folder)
    from edgeskel.data import Store, import_dataset

    import_dataset(name, datasets() / SETS[name].folder, folder / name)
    return Store.open(folder / name)


def _kard(path: Path) -> Store:
    """KARD: rows of millimetres in camera axes, 15 joints in an order of its own."""
    from edgeskel import topologies
    from edgeskel.data import Store, StoreWriter
    from edgeskel.skeleton import Clip

    if not (path / "store.json").is_file():
        topology = topologies.get("sbu-15")
        order = [KARD_JOINTS.index(joint) for joint in topology.joints]
        with StoreWriter(path, dataset="kard", topology=topology, labels=list(KARD_LABELS), rate_hz=30.0) as writer:
            for file in sorted((datasets() / "kard").glob("a*_s*_e*_realworld.txt")):
                rows = np.loadtxt(file).reshape(-1, len(order), 3)[:, order] / 1000
                joints = (rows * (1, 1, -1)).astype(np.float32)  # x right, y up, and towards the viewer: right-handed
                action, subject = int(file.name[1:3]), int(file.name[5:7])
                writer.add(Clip(joints[None], np.ones((1, *joints.shape[:2]), np.float32), np.arange(len(joints)) / 30,
                                label=KARD_LABELS[action - 1], subject=str(subject), source=file.name))
    return Store.open(path)


def new_labels(name: str, store: Store, draw: int) -> list[str]:
    """The labels that the base of this draw does not see: the first of a shuffle."""
    shuffled = np.random.default_rng(draw).permutation(len(store.labels))
    return [store.labels[int(index)] for index in shuffled[: SETS[name].new]]


def fold_of(name: str, draw: int) -> int:
    """Each draw of a protocol with folds takes another one as its test part."""
    return draw % 5 if SETS[name].protocol in ("loso", "five-fold") else 0


def parts(name: str, store: Store, draw: int, validation: str = "0") -> Split:
    """Training and test part of a set, of whole subjects."""
    from edgeskel.data import split

    return split(store, SETS[name].protocol, fold=fold_of(name, draw), validation=validation)


def base(name: str, draw: int, *, live: bool = False, validation: str = "0", epochs: int | None = None,
         folder: Path = CACHE) -> Path:
    """Checkpoint folder of the base without the new actions of ``draw``; trained, or what is kept of an earlier run.

    Args:
        name: of :data:`SETS`.
        draw: which actions are left out.
        live: trained on to go frame by frame.
        validation: part of the training side that it does not see either, for choosing settings.
        epochs: other than the recipe's.
        folder: where stores and bases are kept.
    """
    from edgeskel.data import Store, StoreWriter
    from edgeskel.training import TrainConfig, train

    store = store_of(name, folder)
    new = new_labels(name, store, draw)
    path = folder / "field" / f"{name}-{draw}{'-held' if validation != '0' else ''}"
    if not (path / "store" / "store.json").is_file():
        with StoreWriter(path / "store", dataset=store.dataset, topology=store.topology, rate_hz=store.rate_hz,
                         labels=[label for label in store.labels if label not in new]) as writer:
            for clip in store:
                if clip.label not in new:
                    writer.add(clip)
    old = Store.open(path / "store")
    start = str(base(name, draw, validation=validation, epochs=epochs, folder=folder)) if live else None
    config = TrainConfig(
        data=old.path, out=path / ("live" if live else "base"), recogniser="edge-live" if live else "edge", start=start,
        protocol=SETS[name].protocol, fold=fold_of(name, draw), validation=validation, seed=0,
        epochs=None if live else epochs, method="class-augmentation", threads=1)
    return train(config, progress=True).folder
