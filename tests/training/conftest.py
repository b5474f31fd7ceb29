"""A few easy classes of UTD-MHAD, and a network small enough to learn them in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

LABELS = ("wave", "clap", "jog", "squat", "bowling", "sit_to_stand")
TINY = ("widths=[16,24,32]", "regions=[0,8,4]", "blocks=[1,1,1]", "groups=4", "frames=24", "augment_frames=32")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def six(utd_store: Any, once: Callable[..., Path]) -> Any:
    """Store of six classes and all eight subjects."""
    from edgeskel.data import Store, StoreWriter

    def make(out: Path) -> None:
        with StoreWriter(
            out, dataset="utd-mhad", topology=utd_store.topology, labels=LABELS, rate_hz=utd_store.rate_hz
        ) as writer:
            for row, clip_label in enumerate(utd_store.index["label"]):
                if utd_store.labels[clip_label] in LABELS:
                    writer.add(utd_store[row])

    return Store.open(once("six.store", make))


@pytest.fixture
def config(six: Any, tmp_path: Path) -> Callable[..., Any]:
    """``config(epochs=2, ...)``: a training of seconds into a fresh folder."""
    from edgeskel.training import TrainConfig

    def make(*, settings: tuple[str, ...] = (), **changes: Any) -> TrainConfig:
        changes = {"data": six.path, "out": tmp_path / "out", "epochs": 2, "device": "cpu", **changes}
        return TrainConfig(settings=(*TINY, *settings), **changes)

    return make
