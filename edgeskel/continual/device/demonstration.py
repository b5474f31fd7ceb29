"""One performance of a new action, checked and seen by the recogniser.

Axes: P persons, T frames, V joints, D width of the embedding, G length of a trajectory.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from edgeskel.embedding.statistics import FEWEST_FRAMES
from edgeskel.embedding.trajectory import trajectory
from edgeskel.errors import InvalidClip
from edgeskel.files import UNREADABLE
from edgeskel.runtime.session import Recognition, Session
from edgeskel.skeleton import Clip, Float32
from edgeskel.window import fit_window

__all__ = ["SHORTEST_S", "Demonstration", "check_clip", "packed", "unpacked"]

SHORTEST_S = 0.5
"""Seconds under which motion is a twitch, as for live recognition."""
SEEN = 0.5
"""Share of the frames in which somebody must be seen, with a third of the joints."""


@dataclass(frozen=True)
class Demonstration:
    """What is kept of a performance.

    Args:
        embedding: (D,) of the recogniser; out of a
            :class:`~edgeskel.continual.device.demonstration_store.DemonstrationStore`, what its class statistics make of
            embedding and trajectory (:meth:`~edgeskel.embedding.statistics.ClassStatistics.seen`).
        digest: SHA-256 of joints and confidences, by which the same recording is known again.
        seconds: how long it took.
        source: where it came from, as the user named it.
        clip: the joints themselves; None where they are not kept.
        trajectory: (G,) where the joints go, coarsely; None where the recogniser goes frame by frame, and out of a memory.
    """

    embedding: Float32
    digest: str
    seconds: float
    source: str = ""
    clip: Clip | None = None
    trajectory: Float32 | None = None

    @classmethod
    def of(cls, clip: Clip, session: Session, *, private: bool = False) -> tuple[Demonstration, Recognition]:
        """Check a clip and let the session's recogniser look at it.

        Args:
            clip: of the session's topology.
            session: gives the embedding.
            private: keep embedding and trajectory only.

        Returns:
            the demonstration, and what the session took it for: the whole clip at once, or, where the session goes frame by
            frame, the last of its steps.

        Raises:
            InvalidClip: too short, or nobody in it.
            TopologyMismatch: another number of joints.
        """
        check_clip(clip)
        recognition = session.watch(clip)
        seconds = float(clip.time[-1] - clip.time[0])
        course = None
        if session.stepper is None:
            course = trajectory(*fit_window(clip.joints, clip.confidence, session.window.persons, session.window.frames),
                                session.topology)
        return cls(recognition.embedding, clip.digest, seconds, clip.source, None if private else clip, course), recognition


def check_clip(clip: Clip) -> None:
    """Refuse what teaches nothing.

    Raises:
        InvalidClip: too short, or nobody in it.
    """
    name = clip.source or "the demonstration"
    seconds = float(clip.time[-1] - clip.time[0])
    if clip.frames < FEWEST_FRAMES or seconds < SHORTEST_S:
        raise InvalidClip(f"{name}: {clip.frames} frames in {seconds:.2f} s",
                          expected=f"at least {FEWEST_FRAMES} frames and {SHORTEST_S:g} s", remedy="perform the whole action")
    seen = ((clip.confidence > 0).mean(-1) >= 1 / 3).any(0)  # (T,)
    if seen.mean() < SEEN:
        raise InvalidClip(f"{name}: somebody is seen in {int(seen.sum())} of {clip.frames} frames",
                          expected=f"in at least {SEEN:.0%} of them", remedy="stand where the whole body is seen")


def packed(clip: Clip) -> bytes:
    """Joints, confidences and times, compressed."""
    content = io.BytesIO()
    np.savez_compressed(content, joints=clip.joints.astype("<f4"), confidence=clip.confidence.astype("<f4"),
                        time=clip.time.astype("<f8"))
    return content.getvalue()


def unpacked(content: bytes, label: str, source: str, subject: str = "") -> Clip:
    """What :func:`packed` packed.

    Raises:
        InvalidClip: the bytes are something else.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as data:
            return Clip(data["joints"], data["confidence"], data["time"], label=label, source=source, subject=subject)
    except UNREADABLE as error:
        raise InvalidClip(f"{source}: the stored recording is unreadable ({error})", expected="joints as they were stored",
                          remedy="forget this demonstration and record it again") from error
