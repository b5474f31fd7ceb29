"""Windows to calibrate, prove and measure with: from recordings, or from the motion that the project makes itself.

Axes: G windows, M persons, S frames of the window, V joints.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskel import topologies
from edgeskel.data import Split, Store, synthetic
from edgeskel.errors import DataError, LabelMismatch, TopologyMismatch
from edgeskel.runtime.bundle import Window
from edgeskel.skeleton import Clip, Float32, Topology
from edgeskel.topologies.remap import Remap
from edgeskel.window import fit_window

__all__ = ["WindowSet", "calibration_windows", "check_store", "synthetic_windows", "test_windows"]

_SEED = 20_26


@dataclass(frozen=True)
class WindowSet:
    """Fitted clips.

    Args:
        joints: (G, M, S, V, 3) metres.
        confidence: (G, M, S, V).
        labels: class name of each, "" when unknown.
        sources: which clips they are.
        origin: dataset and part they were taken from, as a manifest quotes it.
        indices: of the clips in their store; none for synthetic motion.
        data_digest: of the store; "" for synthetic motion.
    """

    joints: Float32
    confidence: Float32
    labels: tuple[str, ...]
    sources: tuple[str, ...]
    origin: str
    data_digest: str = ""
    indices: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def digest(self) -> str:
        """SHA-256 of all joints and confidences."""
        digest = hashlib.sha256(np.ascontiguousarray(self.joints, "<f4").tobytes())
        digest.update(np.ascontiguousarray(self.confidence, "<f4").tobytes())
        return digest.hexdigest()

    def pairs(self) -> list[tuple[Float32, Float32]]:
        """One (joints (1, M, S, V, 3), confidence (1, M, S, V)) for each."""
        return [(self.joints[i : i + 1], self.confidence[i : i + 1]) for i in range(len(self))]

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> WindowSet:
        """Some of them."""
        return WindowSet(self.joints[indices], self.confidence[indices], tuple(self.labels[i] for i in indices),
                       tuple(self.sources[i] for i in indices), self.origin, self.data_digest,
                       tuple(self.indices[i] for i in indices) if self.indices else ())


def calibration_windows(store: Store, parts: Split, topology: Topology, window: Window, limit: int) -> WindowSet:
    """Clips of the training part, never of the other two, spread evenly over the classes.

    Args:
        store: the recordings.
        parts: how they are split; :func:`edgeskel.training.record.parts_for` gives the recogniser's own way.
        topology, window: of the recogniser.
        limit: at most so many clips.

    Raises:
        TopologyMismatch: the store has another joint layout.
    """
    check_store(store, topology)
    labels = store.index["label"][parts.train]
    # The n-th clip of every class, then the next of every class: an even draw for any limit.
    turn = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        turn[own] = np.random.default_rng(_SEED).permutation(len(own))
    chosen = np.sort(parts.train[np.lexsort((labels, turn))[:limit]])
    return _from_store(store, chosen, window, f"{store.dataset}, {parts.name}, training part")


def test_windows(store: Store, parts: Split, topology: Topology, labels: Sequence[str], window: Window) -> WindowSet:
    """The whole test part of ``parts``.

    Raises:
        TopologyMismatch: the store has another joint layout.
        LabelMismatch: a test clip has a class that the recogniser does not know.
    """
    check_store(store, topology)
    windows = _from_store(store, parts.test, window, f"{store.dataset}, {parts.name}, test part")
    unknown = sorted(set(windows.labels) - set(labels))
    if unknown:
        raise LabelMismatch(f"the test part has classes {', '.join(map(repr, unknown[:5]))} that the recogniser lacks",
                            expected="clips of its classes: " + ", ".join(labels[:5]) + ", ...",
                            remedy="give the store that it was trained for")
    return windows


def check_store(store: Store, topology: Topology) -> None:
    """Refuse a store of another joint layout. Raises ``TopologyMismatch``."""
    if store.topology.joints != topology.joints:
        raise TopologyMismatch(f"the store's clips are {store.topology.name} ({len(store.topology.joints)} joints)",
                               expected=f"{topology.name} ({len(topology.joints)} joints)",
                               remedy="give a store of the recogniser's own joint layout")


def synthetic_windows(topology: Topology, window: Window, count: int, labels: Sequence[str] = (), *,
                      seed: int = _SEED) -> WindowSet:
    """Generated motion in any joint layout; joints that the generator's body lacks are derived or missing.

    Args:
        topology: V joints by name.
        window: M and S.
        count: G.
        labels: actions to perform; all when none of them is known to the generator.
        seed: of everything.

    Raises:
        TopologyMismatch: the layout shares no joint with the generator's body.
    """
    known = [label for label in labels if label in synthetic.actions()] or list(synthetic.actions())
    clips: list[Clip] = []
    subject = 0
    while len(clips) < count * window.persons:
        clips += [take.clip for take in synthetic.takes_of(subject, takes=1, seed=seed, sensors=(), labels=known,
                                                           rate_hz=window.rate_hz)][: count * window.persons - len(clips)]
        subject += 1
    remap = Remap.between(topologies.get("kinect-v1"), topology)
    joints = np.zeros((count, window.persons, window.frames, len(topology.joints), 3), np.float32)
    confidence = np.zeros(joints.shape[:-1], np.float32)
    for index, clip in enumerate(clips):
        place, person = divmod(index, window.persons)
        fitted, seen = fit_window(clip.joints, clip.confidence, 1, window.frames)
        fitted[..., 0] += np.where(seen > 0, np.float32(person), np.float32(0))  # side by side, one metre apart
        joints[place, person], confidence[place, person] = remap(fitted[0], seen[0])
    chosen = clips[:: window.persons]
    return WindowSet(joints, confidence, tuple(clip.label for clip in chosen), tuple(clip.source for clip in chosen),
                   f"synthetic motion, seed {seed}")


def _from_store(store: Store, indices: Iterable[int], window: Window, origin: str) -> WindowSet:
    rows = tuple(int(index) for index in indices)
    clips = [store[row] for row in rows]
    if not clips:
        raise DataError(f"{origin} is empty", expected="at least one clip", remedy="choose another protocol or fold")
    fitted = [fit_window(clip.joints, clip.confidence, window.persons, window.frames) for clip in clips]
    return WindowSet(np.stack([joints for joints, _ in fitted]), np.stack([confidence for _, confidence in fitted]),
                   tuple(clip.label for clip in clips), tuple(clip.source for clip in clips), origin, store.digest, rows)
