"""Stores that tests of the data package make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeskel import topologies
from edgeskel.data import Store, StoreWriter
from edgeskel.skeleton import Clip, Inertial


def make_clip(frames: int = 5, persons: int = 1, joints: int = 15, seed: int = 0, **fields: object) -> Clip:
    """A clip of random joints, one frame in five unseen."""
    random = np.random.default_rng(seed)
    confidence = (random.random((persons, frames, joints)) > 0.2).astype(np.float32)
    return Clip(random.normal(size=(persons, frames, joints, 3)).astype(np.float32), confidence,
                np.arange(frames) / 30, **fields)  # type: ignore[arg-type]


def make_inertial(sensors: int = 2, samples: int = 7, *, oriented: bool = True) -> Inertial:
    """Random signals of ``sensors`` sensors."""
    random = np.random.default_rng(1)
    return Inertial(tuple(f"segment_{i}" for i in range(sensors)), np.arange(samples) / 50,
                    random.normal(size=(sensors, samples, 3)).astype(np.float32),
                    random.normal(size=(sensors, samples, 3)).astype(np.float32),
                    random.normal(size=(sensors, samples, 4)).astype(np.float32) if oriented else None)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Store]:
    """``write(clips, labels=...)``: a store of sbu-15 clips."""

    def store(clips: list[Clip], labels: tuple[str, ...] = ("a", "b"), name: str = "store",
              dataset: str = "mine") -> Store:
        with StoreWriter(tmp_path / name, dataset=dataset, topology=topologies.get("sbu-15"), labels=labels,
                         rate_hz=30) as writer:
            for clip in clips:
                writer.add(clip)
        return Store.open(tmp_path / name)

    return store
