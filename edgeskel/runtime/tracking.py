"""Who is who from frame to frame: persons stay in their slots although a source lists them in any order.

Axes: P persons in a frame, M slots, V joints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from edgeskel.runtime.snapshot import FieldType, array, real, row, several, table, whole
from edgeskel.skeleton import FARTHEST_M, Float32, Frame, Topology

__all__ = ["MOST_PERSONS", "PATIENCE_S", "Slots", "Tracks"]

MOST_PERSONS = 64
"""Persons in one frame beyond which it is none: a camera counts a handful, and each one costs time."""
PATIENCE_S = 1.0
"""Seconds after which a lost person is forgotten."""
_SPEED = 4.0
"""m/s: nobody's pelvis moves faster (a sprint indoors), so a farther body is another person."""
_SLACK = 0.3
"""m: what a noisy depth camera may add to that."""
_LAG = 0.1
"""Seconds over which a body's way is judged. Judged from one frame to the next, the slack would allow four times the speed at
60 Hz of what it allows at 15 Hz, and who is who would depend on the source's rate."""
_MARK = 1 / 30
"""Seconds between the places that are kept of that time."""

Trail = list[tuple[float, NDArray[np.float64]]]
"""Where somebody was lately: (time, (3,) place), oldest first. The first is :data:`_LAG` old once so much was seen."""


_TRAIL = several(row(real(), array(3, dtype=np.float64, low=-FARTHEST_M, high=FARTHEST_M)), most=16)


def _impossible(trails: Mapping[int, Trail]) -> str | None:
    for who, trail in trails.items():
        times = [time for time, _ in trail]
        if not times or times != sorted(times):
            return f"person {who} was at places in the order {times}"
    return None


def _in_reach(trail: Trail, time: float, here: NDArray[np.float64]) -> bool:
    """Whether the body at ``here`` can be the one that left ``trail``."""
    reach = _SLACK + _SPEED * max(_LAG, time - trail[-1][0])
    before = next((place for then, place in reversed(trail) if then <= time - _LAG), trail[0][1])
    return float(np.linalg.norm(here - before)) <= reach


def _extend(trail: Trail, time: float, here: NDArray[np.float64]) -> None:
    if trail and time - trail[-1][0] > _LAG:
        trail.clear()  # found again: how far it is from before the loss was judged by the time that the loss took
    if len(trail) > 1 and trail[-1][0] - trail[-2][0] < _MARK / 2:
        trail.pop()
    trail.append((time, here))
    while len(trail) > 1 and trail[1][0] <= time - _LAG:
        del trail[0]


def _nearest_first(places: Mapping[int, NDArray[np.float64]], trails: Mapping[int, Trail],
                   time: float) -> Iterator[tuple[int, int]]:
    """(index, who) of every body that continues a trail, each at most once."""
    distances = sorted((float(np.linalg.norm(here - trail[-1][1])), who, index)
                       for index, here in places.items() for who, trail in trails.items())
    taken, known = set(), set()
    for _, who, index in distances:
        if index not in taken and who not in known and _in_reach(trails[who], time, places[index]):
            taken.add(index)
            known.add(who)
            yield index, who


def _visible(frame: Frame, hips: list[int]) -> dict[int, NDArray[np.float64]]:
    """Index -> place of everybody who is seen in the frame."""
    return {index: place(frame.joints[index], frame.confidence[index], hips)
            for index in np.flatnonzero((frame.confidence > 0).any(axis=1)).tolist()}


def _best_seen_first(frame: Frame, indices: Iterable[int]) -> list[int]:
    return sorted(indices, key=lambda index: (-float(frame.confidence[index].sum(dtype=np.float64)), index))


class Slots:
    """Assigns persons to M slots by the nearest pelvis, nearest pair first.

    A tracked person keeps the slot until unseen for a second; somebody new takes a free one, the best seen first, and
    waits while there is none.

    Args:
        slots: M.
        topology: names the hips, whose middle is the pelvis; without hips the middle of the body is used.
    """

    def __init__(self, slots: int, topology: Topology) -> None:
        self._hips = hips(topology)
        self._slots = slots
        self._size = len(topology.joints)
        self.trails: dict[int, Trail] = {}

    def state_fields(self) -> dict[str, FieldType | None]:
        """See :mod:`edgeskel.runtime.snapshot`."""
        return {"trails": table(whole(0, self._slots - 1), _TRAIL, self._slots)}

    def contradiction(self) -> str | None:
        """What the trails cannot be, if they are that."""
        return _impossible(self.trails)

    def assign(self, frame: Frame) -> tuple[Frame, NDArray[np.bool_]]:
        """Sort the persons of a frame into their slots.

        Args:
            frame: (P, V, 3); P may change from frame to frame.

        Returns:
            a frame of M persons, confidence 0 in empty slots, and (M,) True where somebody new stands.
        """
        joints = np.zeros((self._slots, self._size, 3), np.float32)
        confidence = np.zeros((self._slots, self._size), np.float32)
        fresh = np.zeros(self._slots, dtype=bool)
        places = _visible(frame, self._hips)
        for slot in [slot for slot, trail in self.trails.items() if frame.time - trail[-1][0] > PATIENCE_S]:
            del self.trails[slot]
        pairs = dict(_nearest_first(places, self.trails, frame.time))
        waiting = _best_seen_first(frame, places.keys() - pairs.keys())
        free = [slot for slot in range(self._slots) if slot not in self.trails]
        for index, slot in zip(waiting, free, strict=False):
            pairs[index], fresh[slot] = slot, True
            self.trails[slot] = []
        for index, slot in pairs.items():
            joints[slot], confidence[slot] = frame.joints[index], frame.confidence[index]
            _extend(self.trails[slot], frame.time, places[index])
        return Frame(frame.time, joints, confidence), fresh


class Tracks:
    """Gives every person a number that stays while they are in sight, and through losses of up to a second.

    Nearest pelvis first, as :class:`Slots` does, but numbers are never used twice and there is no fixed number of places.

    Args:
        most: persons at a time; further ones wait until somebody has gone.
        topology: names the hips.
    """

    most: int
    topology: Topology

    def __init__(self, most: int, topology: Topology) -> None:
        self.most, self.topology = most, topology
        self.trails: dict[int, Trail] = {}
        self.next: int = 0
        self._hips = hips(topology)

    def state_fields(self) -> dict[str, FieldType | None]:
        """See :mod:`edgeskel.runtime.snapshot`."""
        return {"next": whole(0), "trails": table(whole(0), _TRAIL, MOST_PERSONS)}

    def contradiction(self) -> str | None:
        """What the trails cannot be, if they are that."""
        if any(number >= self.next for number in self.trails):
            return f"persons {sorted(self.trails)}, where number {self.next} is the next to be given"
        return _impossible(self.trails)

    def assign(self, frame: Frame) -> dict[int, int]:
        """Number -> index in the frame, of everybody who is seen in it and tracked."""
        places = _visible(frame, self._hips)
        found = {who: index for index, who in _nearest_first(places, self.trails, frame.time)}
        for index in _best_seen_first(frame, places.keys() - set(found.values())):
            if len(self.trails) < self.most:
                found[self.next] = index
                self.trails[self.next] = []
                self.next += 1
        for number, index in found.items():
            _extend(self.trails[number], frame.time, places[index])
        return found

    def gone(self, now: float) -> list[int]:
        """Forget whoever was not seen for longer than a second before ``now`` (seconds); their numbers."""
        numbers = [number for number, trail in self.trails.items() if now - trail[-1][0] > PATIENCE_S]
        for number in numbers:
            del self.trails[number]
        return numbers


def hips(topology: Topology) -> list[int]:
    """Joints whose middle is the pelvis."""
    return [topology.index(name) for name in ("left_hip", "right_hip", "pelvis") if name in topology.joints]


def place(joints: Float32, confidence: Float32, of: list[int]) -> NDArray[np.float64]:
    """(3,) middle of those of the joints ``of`` that are seen, else of all seen joints."""
    seen = [joint for joint in of if confidence[joint] > 0] or np.flatnonzero(confidence > 0)
    middle: NDArray[np.float64] = joints[seen].mean(axis=0, dtype=np.float64)
    return middle
