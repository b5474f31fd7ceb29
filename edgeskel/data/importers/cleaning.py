"""What every imported clip goes through: joints at 0, 0, 0, bodies that are no persons, recordings without anybody.

Axes: M persons, T frames, V joints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgeskel.data.bodies import acting, follow
from edgeskel.data.importers.common import ImportOptions, Recordings, RefusedFile
from edgeskel.skeleton import Clip, Topology

__all__ = ["cleaned"]

INSIDE = 0.25  # share of a body's size: a body's own root has another joint this near, a camera has none


def cleaned(source: Recordings, options: ImportOptions) -> Iterator[Clip | RefusedFile]:
    """The recordings as the store should have them; what was changed or left out is in ``options.notes``."""
    for recording in source.clips:
        if isinstance(recording, RefusedFile):
            yield recording
            continue
        clip = recording
        if source.measured and options.zeros == "missing":
            clip = _without_zeros(clip, source.topology, options)
        if not (clip.confidence > 0).any():
            yield RefusedFile(clip.source, "nobody is seen in any frame")
            continue
        if source.tracked and options.bodies == "acting":
            clip = _with_those_who_act(clip, source, options)
        yield clip


def _without_zeros(clip: Clip, topology: Topology, options: ImportOptions) -> Clip:
    zeros = (clip.joints == 0).all(axis=-1) & (clip.confidence > 0)
    if not zeros.any():
        return clip
    confidence = clip.confidence.copy()
    for person in range(len(zeros)):
        centre = _centre(clip.joints[person], clip.confidence[person] > 0, zeros[person], topology)
        if centre is not None:
            seen = (clip.confidence[person] > 0) & ~zeros[person]
            zeros[person, seen.any(axis=1), centre] = False  # where nothing else is seen either, nobody is
            options.notes.add(f"{topology.joints[centre]} is at 0, 0, 0 in every frame, amid the body: the recording is "
                              "centred on it, and it is taken as seen", clip.source)
    if not zeros.any():
        return clip
    confidence[zeros] = 0
    named = Counter({joint: int(count) for joint, count in zip(topology.joints, zeros.sum(axis=(0, 1)), strict=True)})
    worst = ", ".join(joint for joint, count in named.most_common(3) if count)
    options.notes.add("joints at exactly 0, 0, 0 are taken as missing (--zeros seen takes them as they are)", clip.source,
                      f"{int(zeros.sum())} of {zeros.size}: {worst}{', ...' if sum(map(bool, named.values())) > 3 else ''}")
    return replace(clip, confidence=confidence)


def _centre(joints: NDArray[np.float32], seen: NDArray[np.bool_], zeros: NDArray[np.bool_],
            topology: Topology) -> int | None:
    """The joint that a root-centred recording of one body has at the origin; None where zeros are gaps.

    It is at 0, 0, 0 whenever anything else of the body is seen, belongs to the trunk, and the origin lies amid the body:
    a camera or a room's corner does not.
    """
    others = seen & ~zeros
    present = others.any(axis=1)
    if not present.any():
        return None
    trunk = topology.parts.get("torso", ()) or range(len(topology.joints))
    constant = [joint for joint in trunk if zeros[present, joint].all()]
    if not constant:
        return None
    nearest, sizes = [], []
    for frame in np.flatnonzero(present):
        points = joints[frame][others[frame]]
        nearest.append(np.linalg.norm(points, axis=1).min())
        sizes.append(np.linalg.norm(np.ptp(points, axis=0)))
    if float(np.median(nearest)) > INSIDE * float(np.median(sizes)):
        return None
    return min(constant, key=lambda joint: int(topology.hops[topology.root, joint]))


def _with_those_who_act(clip: Clip, source: Recordings, options: ImportOptions) -> Clip:
    joints, confidence = follow(clip.joints, clip.confidence, clip.time)
    if len(joints) != len(clip.joints):
        options.notes.add("tracking ids that go on with one another are one person (--bodies all keeps them apart)",
                          clip.source, f"{len(clip.joints)} ids, {len(joints)} bodies")
    elif joints is not clip.joints:
        options.notes.add("tracking ids that two bodies exchanged are put right (--bodies all leaves them)", clip.source)
    most = source.acting(clip)
    kept, reasons = acting(joints, confidence, most=most, strict=most == 1)
    if reasons:
        why = "; ".join(f"{count} because {reason}" for reason, count in Counter(reasons).items())
        options.notes.add("bodies that are no person who acts are left out (--bodies all keeps them)", clip.source,
                          f"{len(reasons)} of {len(joints)}: {why}")
    return replace(clip, joints=joints[kept], confidence=confidence[kept])
