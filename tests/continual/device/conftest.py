"""A made-up embedding: classes are clouds about means of their own, stretched along the first directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from edgeskel.continual.device import ClassStatistics, Demonstration

OLD, WIDTH = 6, 16


@dataclass
class World:
    """Draws embeddings of classes; ``new`` ones are those behind the old."""

    means: np.ndarray
    scale: np.ndarray
    rng: np.random.Generator

    def draw(self, index: int, count: int) -> np.ndarray:
        noise = self.rng.normal(size=(count, WIDTH)) * self.scale
        return (self.means[index] + noise).astype(np.float32)

    def demonstration(self, index: int, name: str) -> Demonstration:
        return Demonstration(self.draw(index, 1)[0], f"digest of {name}", 2.0, name)


@pytest.fixture
def world() -> World:
    rng = np.random.default_rng(3)
    scale = np.where(np.arange(WIDTH) < 4, 3.0, 0.5)  # directions that say nothing, and vary most
    return World(rng.normal(size=(OLD + 3, WIDTH)) * 1.5, scale, rng)


@pytest.fixture
def knowledge(world: World) -> ClassStatistics:
    seen = np.concatenate([world.draw(index, 30) for index in range(OLD)])
    return ClassStatistics.measure(seen, np.repeat(np.arange(OLD), 30), [f"old {index}" for index in range(OLD)])
