"""Which of the bodies that a tracker reports are persons who act.

Depth cameras report phantoms (chairs, reflections), give a person who was lost for a moment a new tracking id, and
sometimes exchange the ids of two. What acts is told by how much it moves and how long it is seen.

Axes: M bodies, T frames, V joints.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeskel.skeleton import Float32, Float64
from edgeskel.window import activity, presence

if TYPE_CHECKING:
    from edgeskel.data.store import Store

__all__ = ["acting", "follow", "persons_of"]

OTHER_ID_M = 0.5  # how much nearer a body must be than the one with the person's own id to be taken for the person
NEAR_M, WALK_M_S, LOST_S = 0.3, 1.5, 2.0  # a person who was lost: found again this near, plus this fast, within this time
OVERLAP_S = 0.3  # two ids on one person at the same time, while the tracker changes over
FRAGMENT = 0.2  # seen in a smaller share of the frames than this, next to the body that is seen longest
STILL_M = 0.002  # moves less than any camera's noise: a dummy, or a body that the tracker froze
PASSIVE = 0.25  # moves less than this share of what the liveliest body does
CLEARLY_M = 0.02  # the liveliest body moves at least so much; below it nobody can be told from a phantom


def follow(joints: Float32, confidence: Float32, time: Float64) -> tuple[Float32, Float32]:
    """One track for each person, from tracks by tracking id: joins ids that go on with each other, and undoes exchanges.

    Args:
        joints: (M, T, V, 3) metres, a row for each id.
        confidence: (M, T, V); 0 where the id is absent.
        time: (T,) seconds.

    Returns:
        The same for P <= M persons, in the order in which they appear; the given arrays where there is nothing to do.
    """
    if len(joints) < 2:
        return joints, confidence
    centre = _centres(joints, confidence)
    person = _followed(centre, time)  # (M, T) number of the person, -1 where the id is absent
    person = _merged(person, centre, time)
    order = list(dict.fromkeys(person.T[person.T >= 0].tolist()))
    if all((person[body] == body).sum() == (person[body] >= 0).sum() for body in range(len(joints))):
        return joints, confidence
    tracks = np.zeros((len(order), *joints.shape[1:]), np.float32)
    trust = np.zeros(tracks.shape[:3], np.float32)
    for body in range(len(joints)):
        for frame in np.flatnonzero(person[body] >= 0):
            who = order.index(person[body, frame])
            # Where two ids lie on one person at once, the one with more joints seen counts.
            if confidence[body, frame].sum() > trust[who, frame].sum():
                tracks[who, frame], trust[who, frame] = joints[body, frame], confidence[body, frame]
    return tracks, trust


def _centres(joints: Float32, confidence: Float32) -> Float64:
    """(M, T, 3) median of the seen joints; NaN where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a frame without a joint
        return np.nanmedian(np.where((confidence > 0)[..., None], joints, np.nan).astype(np.float64), axis=2)


def _followed(centre: Float64, time: Float64) -> NDArray[np.int64]:
    """(M, T) who each body is, frame by frame: the nearest person, where the own id counts as half a metre nearer."""
    bodies, frames, _ = centre.shape
    person = np.full((bodies, frames), -1, np.int64)
    seen = ~np.isnan(centre[..., 0])
    where: dict[int, tuple[Float64, float, int]] = {}  # person -> last place, when, and the id then
    for frame in range(frames):
        present = np.flatnonzero(seen[:, frame]).tolist()
        costs = []
        for body in present:
            for who, (place, when, identity) in where.items():
                distance = float(np.linalg.norm(centre[body, frame] - place))
                gap = float(time[frame] - when)
                if identity == body:
                    costs.append((distance, body, who))
                elif gap <= LOST_S and distance <= NEAR_M + WALK_M_S * gap:
                    costs.append((distance + OTHER_ID_M, body, who))
        taken: set[int] = set()
        for _, body, who in sorted(costs):
            if person[body, frame] < 0 and who not in taken:
                person[body, frame] = who
                taken.add(who)
        for body in present:
            if person[body, frame] < 0:  # its own number where that is free, so that whole tracks keep theirs
                person[body, frame] = body if body not in where else bodies + len(where)
            where[int(person[body, frame])] = (centre[body, frame], float(time[frame]), body)
    return person


def _merged(person: NDArray[np.int64], centre: Float64, time: Float64) -> NDArray[np.int64]:
    """Two persons of whom one begins shortly before the other ends, in the same place, are one."""
    person = person.copy()
    for first in sorted(set(person[person >= 0].tolist())):
        while True:
            later = _goes_on(person, centre, time, first)
            if later is None:
                break
            person[person == later] = first
    return person


def _goes_on(person: NDArray[np.int64], centre: Float64, time: Float64, first: int) -> int | None:
    mine = np.flatnonzero((person == first).any(axis=0))
    if not len(mine):
        return None
    for other in (int(who) for who in np.unique(person[person >= 0]) if who != first):
        theirs = np.flatnonzero((person == other).any(axis=0))
        both = np.intersect1d(mine, theirs)
        if not len(both) or theirs[0] <= mine[0] or theirs[-1] <= mine[-1] or time[both[-1]] - time[both[0]] > OVERLAP_S:
            continue
        apart = [np.linalg.norm(centre[np.argmax(person[:, frame] == first), frame]
                                - centre[np.argmax(person[:, frame] == other), frame]) for frame in both]
        if max(apart) <= NEAR_M:
            return other
    return None


def acting(joints: Float32, confidence: Float32, *, most: int | None = None,
           strict: bool = False) -> tuple[list[int], list[str]]:
    """The bodies to keep, those who act first, and why the others are left out.

    Args:
        joints: (M, T, V, 3) metres.
        confidence: (M, T, V).
        most: how many act at most, where that is known.
        strict: leave out who stands by while somebody else moves; for recordings of one person's actions.

    Returns:
        indices of bodies, and for each one that is not among them, in order, the reason.
    """
    bodies = len(joints)
    lively, share = activity(joints, confidence), presence(confidence)
    main, longest = float(lively.max(initial=0)), float(share.max(initial=0))
    reasons: dict[int, str] = {}
    for body in range(bodies):
        if not share[body]:
            reasons[body] = "it is never seen"
        elif share[body] < FRAGMENT * longest:
            reasons[body] = "it is seen in few frames"
    reliable = [body for body in range(bodies) if body not in reasons]
    main = max((float(lively[body]) for body in reliable), default=0.0)
    for body in reliable:
        if main >= CLEARLY_M and lively[body] < (PASSIVE * main if strict else STILL_M):
            reasons[body] = "it stands still while another body moves"
    kept = [body for body in range(bodies) if body not in reasons]
    active = [body for body in kept if lively[body] >= PASSIVE * main]
    kept = active + [body for body in kept if body not in active]
    if most is not None and len(kept) > most:
        weight = share * (lively + STILL_M)
        best = sorted(sorted(kept, key=lambda body: -weight[body])[:most], key=kept.index)
        for body in set(kept) - set(best):
            reasons[body] = "it moves less than the others, or is seen for a shorter time"
        kept = best
    return kept, [reasons[body] for body in sorted(reasons)]


def persons_of(store: Store, clips: Sequence[int] | NDArray[np.int64] | None = None) -> int:
    """How many persons a recogniser for these clips has to see: what at least half the clips of some class hold.

    A clip in which a tracker reported phantoms does not count for more than it is.

    Args:
        store: the recordings.
        clips: which of them; None for all.
    """
    index = store.index if clips is None else store.index[np.asarray(clips, np.int64)]
    most = _held_by_half(index["persons"])
    for label in np.unique(index["label"]):
        counts = index["persons"][index["label"] == label]
        if len(counts) > 2:  # of one or two clips nobody knows which is the odd one
            most = max(most, _held_by_half(counts))
    return most


def _held_by_half(counts: NDArray[np.int16]) -> int:
    return int(np.sort(counts)[len(counts) // 2])
