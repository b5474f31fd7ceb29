"""What a trained recogniser's embedding looks like: where its own classes lie, and how far one class spreads.

A device has none of the recordings that the recogniser learned from. This is what a learner needs of them, and it holds no
recording: the mean embedding of each class and the covariance within a class, and the same of where the joints go. It lies
beside the weights as ``embedding.npz`` and travels in the bundle; ``edgeskel train`` writes it.

Axes: K classes of the recogniser, D width of the embedding, C coordinates of a trajectory, G its length.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeskel.embedding.covariance import packed, scatter, unpacked
from edgeskel.embedding.trajectories import Trajectories
from edgeskel.errors import BundleError, CorruptFile, DataError, InvalidClip, ModelError
from edgeskel.files import UNREADABLE, atomic_write
from edgeskel.skeleton import Float32

if TYPE_CHECKING:
    from edgeskel.runtime.bundle import Bundle

__all__ = ["FEWEST_FRAMES", "FILE", "ClassStatistics"]

FILE = "embedding.npz"
FEWEST_FRAMES = 8
"""Frames under which the network would see the same few over and over."""
SCHEMA = 1
_REMEDY = "export the checkpoint with the recordings that it learned from: edgeskel export CHECKPOINT --calibration STORE"


@dataclass(frozen=True, eq=False)
class ClassStatistics:
    """The embedding of a recogniser's own classes, in the precision in which it is stored.

    Args:
        labels: K names, in the order of the recogniser.
        clips: how many clips it was measured on.
        half_means: (K, D) float16, mean embedding of each class.
        triangle: (D·(D+1)/2,) float16, lower triangle of the covariance within a class, pooled over all, in units of
            ``spread``.
        spread: mean variance within a class, over the D directions.
        varied_triangle: (D·(D+1)/2,) float16, the same of how far an embedding moves when its clip is cut, slower, larger or
            smaller (:mod:`edgeskel.embedding.variation`); None in files of versions that did not measure it.
        trajectories: of the same clips; None for a recogniser that goes frame by frame, which has no window, and in files of
            versions that did not measure it.
    """

    labels: tuple[str, ...]
    clips: int
    half_means: NDArray[np.float16]
    triangle: NDArray[np.float16]
    spread: float
    varied_triangle: NDArray[np.float16] | None = None
    trajectories: Trajectories | None = None

    @classmethod
    def measure(cls, embeddings: Float32, classes: NDArray[np.int64], labels: Sequence[str]) -> ClassStatistics:
        """From embeddings of clips that the recogniser learned from.

        Args:
            embeddings: (N, D).
            classes: (N,) index into ``labels``.
            labels: K names.

        Raises:
            DataError: a class without a clip, or no more clips than classes.
        """
        counts = np.bincount(classes, minlength=len(labels))
        if (counts == 0).any() or len(classes) <= len(labels):
            lacking = [label for label, count in zip(labels, counts, strict=True) if not count]
            raise DataError(f"{len(classes)} clips of {len(labels)} classes, none of {', '.join(lacking[:5]) or '-'}",
                            expected="clips of every class, more than one on average")
        exact = embeddings.astype(np.float64)
        means = np.stack([exact[classes == index].mean(0) for index in range(len(labels))])
        covariance = scatter(exact - means[classes], len(classes) - len(labels))
        spread = float(np.float32(max(np.trace(covariance) / len(covariance), 1e-12)))
        triangle = covariance[np.tril_indices(len(covariance))] / spread
        return cls(tuple(labels), len(classes), means.astype("<f2"), triangle.astype("<f2"), spread)

    @property
    def width(self) -> int:
        """D."""
        return int(self.half_means.shape[1])

    def seen(self, embedding: Float32, trajectory: Float32 | None) -> Float32:
        """What a learner is shown of a performance: (D + C,) embedding and coordinates, or (D,) where trajectories were not
        measured or the performance has none.

        Raises:
            InvalidClip: the trajectory has another length.
        """
        if self.trajectories is None or trajectory is None:
            return embedding
        length = len(self.trajectories.half_middle)
        if trajectory.shape != (length,):
            raise InvalidClip(f"a trajectory of shape {trajectory.shape}", expected=f"{length} values, as of this model's windows")
        return np.concatenate([embedding, self.trajectories.coordinates(trajectory)])

    @cached_property
    def means(self) -> Float32:
        """(K, D) mean embedding of each class."""
        return self.half_means.astype(np.float32)

    @property
    def covariance(self) -> Float32:
        """(D, D) within a class; unpacked at each call."""
        return unpacked(self.triangle, self.width, self.spread)

    @property
    def varied(self) -> Float32 | None:
        """(D, D) covariance of changed clips, as ``varied_triangle`` has it; unpacked at each call."""
        return None if self.varied_triangle is None else unpacked(self.varied_triangle, self.width, self.spread)

    def with_varied(self, apart: Float32) -> ClassStatistics:
        """The same model, and how far changed clips move.

        Args:
            apart: (N, D) embeddings of changed clips, each less the mean over the changes of its clip.
        """
        return self._with(scatter(apart))

    def varying_as(self, other: ClassStatistics) -> ClassStatistics:
        """The same, and changed clips move as they do in the embedding of another recogniser with the same network."""
        return self if other.varied is None else self._with(other.varied.astype(np.float64))

    def _with(self, varied: NDArray[np.float64]) -> ClassStatistics:
        triangle = packed(varied, self.spread)
        return self if triangle is None else replace(self, varied_triangle=triangle)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of means and covariance within a class: recognisers that were trained apart have different ones, the artifacts
        of one share it. ``varied_triangle`` and ``trajectories`` do not count, so that a model of which they are measured later
        stays the same."""
        digest = hashlib.sha256("\0".join((str(SCHEMA), str(self.clips), *self.labels)).encode())
        for array in (self.half_means, self.triangle, np.array(self.spread, "<f4")):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write it, by atomic rename."""
        content = io.BytesIO()
        arrays = {"schema": np.array(SCHEMA), "labels": np.array(self.labels), "clips": np.array(self.clips),
                  "means": self.half_means, "triangle": self.triangle, "spread": np.array(self.spread, "<f4")}
        if self.varied_triangle is not None:
            arrays["varied"] = self.varied_triangle
        if self.trajectories is not None:
            arrays |= self.trajectories.arrays()
        np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
        with atomic_write(path) as file:
            file.write(content.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> ClassStatistics:
        """Read what :meth:`save` wrote.

        Raises:
            ModelError: there is no such file.
            CorruptFile: it is something else, or damaged.
        """
        path = Path(path)
        expected = "the embedding of a recogniser's classes"
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
                if int(data["schema"]) != SCHEMA:
                    raise CorruptFile(path, f"schema {int(data['schema'])}", expected=f"schema {SCHEMA}", remedy=_REMEDY)
                labels = tuple(str(label) for label in data["labels"])
                clips, means, triangle, spread = int(data["clips"]), data["means"], data["triangle"], data["spread"]
                varied = data["varied"] if "varied" in data.files else None
                trajectories = Trajectories.of({name: data[name] for name in data.files}, len(labels))
        except FileNotFoundError as error:
            raise ModelError(f"no {path.name} in {path.parent}: nothing says where the model's own classes lie",
                             expected=expected, remedy=_REMEDY) from error
        except UNREADABLE as error:
            raise CorruptFile(path, f"unreadable ({type(error).__name__}: {error})", expected=expected,
                              remedy=_REMEDY) from error
        width = means.shape[1] if means.ndim == 2 else 0
        if (means.shape != (len(labels), width) or not width or triangle.shape != (width * (width + 1) // 2,)
                or spread.shape or any(array.dtype.kind != "f" for array in (means, triangle, spread))):
            raise CorruptFile(path, f"means {means.shape}, covariance {triangle.shape} for {len(labels)} labels",
                              expected=expected, remedy=_REMEDY)
        if varied is not None and (varied.shape != triangle.shape or varied.dtype.kind != "f" or not np.isfinite(varied).all()):
            raise CorruptFile(path, f"a covariance of changed clips of {varied.shape}", expected=f"finite, {triangle.shape}",
                              remedy=_REMEDY)
        if not (np.isfinite(means).all() and np.isfinite(triangle).all() and np.isfinite(spread) and spread > 0):
            raise CorruptFile(path, "values that are not finite", expected=expected, remedy=_REMEDY)
        return cls(labels, clips, means.astype("<f2"), triangle.astype("<f2"), float(np.float32(spread)),
                   None if varied is None else varied.astype("<f2"), trajectories)

    @classmethod
    def of_bundle(cls, bundle: Bundle) -> ClassStatistics:
        """Of an opened bundle, whose digests have been checked.

        Raises:
            ModelError: the bundle was exported without it.
            CorruptFile: see :meth:`load`.
        """
        try:
            path = bundle.file(f"checkpoint/{FILE}")
        except BundleError as error:
            raise ModelError(f"{bundle.path} holds no {FILE}: nothing says where the model's own classes lie",
                             expected="a bundle exported from a checkpoint that has one", remedy=_REMEDY) from error
        knowledge = cls.load(path)
        if knowledge.labels != bundle.labels:
            raise CorruptFile(path, "its labels are not the bundle's", expected=", ".join(bundle.labels[:5]) + ", ...",
                              remedy=_REMEDY)
        return knowledge

