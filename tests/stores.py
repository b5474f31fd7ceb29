"""Stores made of other stores."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeskel.data import Store

__all__ = ["without"]


def without(store: Store, labels: Collection[str], path: Path) -> Store:
    """The recordings without those of some labels, written to ``path`` unless they are there."""
    from edgeskel.data import Store, StoreWriter

    if not (path / "store.json").is_file():
        with StoreWriter(path, dataset=store.dataset, topology=store.topology, rate_hz=store.rate_hz,
                         labels=[label for label in store.labels if label not in labels]) as writer:
            for clip in store:
                if clip.label not in labels:
                    writer.add(clip)
    return Store.open(path)
