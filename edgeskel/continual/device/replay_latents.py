"""Latents of a recogniser's own recordings, small enough to travel: what latent replay mixes with demonstrations.

Axes: N clips, P places of the last feature map, C its channels, K classes of the recogniser.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import CorruptFile
from edgeskel.files import UNREADABLE, atomic_write
from edgeskel.skeleton import Float32

__all__ = ["ReplayLatents"]


@dataclass(frozen=True, eq=False)
class ReplayLatents:
    """Latents in 8 bits: what enters the last layers, after a ReLU and so never below 0, over one scale each.

    Args:
        labels: K names.
        entering, added: (N, P, C) uint8.
        scales: (2,) of the two.
        classes: (N,).
    """

    labels: tuple[str, ...]
    entering: NDArray[np.uint8]
    added: NDArray[np.uint8]
    scales: Float32
    classes: NDArray[np.int64]

    @classmethod
    def of(cls, labels: tuple[str, ...], entering: Float32, added: Float32, classes: NDArray[np.int64]) -> ReplayLatents:
        """From latents (N, P, C) each."""
        scales = np.array([max(float(part.max()), 1e-6) / 255 for part in (entering, added)], np.float32)
        packed = [np.clip(np.round(part / scale), 0, 255).astype(np.uint8)
                  for part, scale in zip((entering, added), scales, strict=True)]
        return cls(labels, packed[0], packed[1], scales, classes)

    def latents(self, rows: NDArray[np.int64]) -> tuple[Float32, Float32]:
        """(N, P, C) each, of some rows."""
        return self.entering[rows] * self.scales[0], self.added[rows] * self.scales[1]

    def save(self, path: str | Path) -> None:
        """Write it, by atomic rename."""
        content = io.BytesIO()
        np.savez_compressed(content, labels=np.array(self.labels), entering=self.entering, added=self.added,
                            scales=self.scales, classes=self.classes)
        with atomic_write(path) as file:
            file.write(content.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> ReplayLatents:
        """Read what :meth:`save` wrote. Raises ``CorruptFile``."""
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as data:
                replay = cls(tuple(str(label) for label in data["labels"]), data["entering"], data["added"],
                             data["scales"].astype(np.float32), data["classes"].astype(np.int64))
            if (replay.entering.shape != replay.added.shape or len(replay.classes) != len(replay.entering)
                    or replay.entering.ndim != 3 or replay.scales.shape != (2,)):
                raise ValueError("arrays that do not belong together")
        except UNREADABLE as error:
            raise CorruptFile(path, f"unreadable ({error})", expected="latents to replay",
                              remedy="export it again") from error
        return replay
