"""Who is who from frame to frame: persons stay in their slots although a source lists them in any order.

Axes: P persons in a frame, M slots, V joints.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeskel.skeleton import Float32, Frame, Topology

__all__ = ["Slots", "Tracks"]

_SPEED = 4.0
"""m/s: nobody's pelvis moves faster (a sprint indoors), so a farther body is another person."""
_SLACK = 0.3
"""m: what a noisy depth camera may add to that."""
_PATIENCE = 1.0
"""Seconds after which a lost person is forgotten."""


class Slots:
    """Assigns persons to M slots by the nearest pelvis, nearest pair first.

    A tracked person keeps the slot until unseen for a second; somebody new takes a free one, the best seen first, and
    waits while there is none.

    Args:
        slots: M.
        topology: names the hips, whose middle is the pelvis; without hips the middle of the body is used.
    """

    REMEMBERS = ("_places", "_seen")

    def __init__(self, slots: int, topology: Topology) -> None:
        self._hips = hips(topology)
        self._places = np.zeros((slots, 3))
        self._seen = np.full(slots, -np.inf)
        self._size = len(topology.joints)

    def assign(self, frame: Frame) -> tuple[Frame, NDArray[np.bool_]]:
        """Sort the persons of a frame into their slots.

        Args:
            frame: (P, V, 3); P may change from frame to frame.

        Returns:
            a frame of M persons, confidence 0 in empty slots, and (M,) True where somebody new stands.
        """
        slots = len(self._places)
        joints = np.zeros((slots, self._size, 3), np.float32)
        confidence = np.zeros((slots, self._size), np.float32)
        fresh = np.zeros(slots, dtype=bool)
        persons = [person for person in range(len(frame.joints)) if (frame.confidence[person] > 0).any()]
        places = {person: place(frame.joints[person], frame.confidence[person], self._hips) for person in persons}
        for person, slot, new in self._pairs(frame, places):
            joints[slot], confidence[slot] = frame.joints[person], frame.confidence[person]
            fresh[slot] = new
            self._places[slot], self._seen[slot] = places[person], frame.time
        return Frame(frame.time, joints, confidence), fresh

    def _pairs(self, frame: Frame, places: dict[int, NDArray[np.float64]]) -> list[tuple[int, int, bool]]:
        """(person, slot, whether new there)."""
        away = frame.time - self._seen
        tracked = [slot for slot in range(len(away)) if away[slot] <= _PATIENCE]
        distances = sorted(
            (float(np.linalg.norm(here - self._places[slot])), person, slot)
            for person, here in places.items()
            for slot in tracked
        )
        pairs: list[tuple[int, int, bool]] = []
        free_persons, busy = dict(places), set()
        for distance, person, slot in distances:
            if person in free_persons and slot not in busy and distance <= _SLACK + _SPEED * away[slot]:
                pairs.append((person, slot, False))
                del free_persons[person]
                busy.add(slot)
        free_slots = [slot for slot in range(len(away)) if slot not in tracked]
        best_seen = sorted(free_persons, key=lambda person: -float(frame.confidence[person].sum()))
        pairs += [(person, slot, True) for person, slot in zip(best_seen, free_slots, strict=False)]
        return pairs


class Tracks:
    """Gives every person a number that stays while they are in sight, and through losses of up to a second.

    Nearest pelvis first, as :class:`Slots` does, but numbers are never used twice and there is no fixed number of places.

    Args:
        most: persons at a time; further ones wait until somebody has gone.
        topology: names the hips.
    """

    REMEMBERS = ("places", "seen", "next")

    most: int
    topology: Topology
    next: int

    def __init__(self, most: int, topology: Topology) -> None:
        self.most, self.topology = most, topology
        self.places: dict[int, NDArray[np.float64]] = {}
        self.seen: dict[int, float] = {}
        self.next = 0
        self._hips = hips(topology)

    def assign(self, frame: Frame) -> dict[int, int]:
        """Number -> index in the frame, of everybody who is seen in it and tracked."""
        visible = [index for index in range(len(frame.joints)) if (frame.confidence[index] > 0).any()]
        places = {index: place(frame.joints[index], frame.confidence[index], self._hips) for index in visible}
        distances = sorted((float(np.linalg.norm(here - self.places[number])), number, index)
                           for index, here in places.items() for number in self.places)
        found: dict[int, int] = {}
        free = set(visible)
        for distance, number, index in distances:
            if number not in found and index in free and distance <= _SLACK + _SPEED * (frame.time - self.seen[number]):
                found[number] = index
                free.discard(index)
        for index in sorted(free, key=lambda index: (-float(frame.confidence[index].sum()), index)):
            if len(self.places) < self.most:
                found[self.next] = index
                self.places[self.next] = places[index]
                self.next += 1
        for number, index in found.items():
            self.places[number], self.seen[number] = places[index], frame.time
        return found

    def gone(self, now: float) -> list[int]:
        """Forget whoever was not seen for longer than a second before ``now`` (seconds); their numbers."""
        numbers = [number for number, time in self.seen.items() if now - time > _PATIENCE]
        for number in numbers:
            del self.places[number], self.seen[number]
        return numbers


def hips(topology: Topology) -> list[int]:
    """Joints whose middle is the pelvis."""
    return [topology.index(name) for name in ("left_hip", "right_hip", "pelvis") if name in topology.joints]


def place(joints: Float32, confidence: Float32, of: list[int]) -> NDArray[np.float64]:
    """(3,) middle of those of the joints ``of`` that are seen, else of all seen joints."""
    seen = [joint for joint in of if confidence[joint] > 0] or np.flatnonzero(confidence > 0)
    middle: NDArray[np.float64] = joints[seen].mean(axis=0, dtype=np.float64)
    return middle
