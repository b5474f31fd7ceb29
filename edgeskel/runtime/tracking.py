"""Who is who from frame to frame: persons stay in their slots although a source lists them in any order.

Axes: P persons in a frame, M slots, V joints.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeskel.skeleton import Float32, Frame, Topology

__all__ = ["Slots"]

_SPEED = 4.0
"""m/s: nobody's pelvis moves faster (a sprint indoors), so a farther body is another person."""
_SLACK = 0.3
"""m: what a noisy depth camera may add to that."""
_PATIENCE = 1.0
"""Seconds after which the slot of a lost person is free again."""


class Slots:
    """Assigns persons to M slots by the nearest pelvis, nearest pair first.

    A tracked person keeps the slot until unseen for a second; somebody new takes a free one, the best seen first, and
    waits while there is none.

    Args:
        slots: M.
        topology: names the hips, whose middle is the pelvis; without hips the middle of the body is used.
    """

    def __init__(self, slots: int, topology: Topology) -> None:
        self._hips = [topology.index(name) for name in ("left_hip", "right_hip", "pelvis") if name in topology.joints]
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
        places = {person: self._place(frame.joints[person], frame.confidence[person]) for person in persons}
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
            (float(np.linalg.norm(place - self._places[slot])), person, slot)
            for person, place in places.items()
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

    def _place(self, joints: Float32, confidence: Float32) -> NDArray[np.float64]:
        """(3,) middle of the seen hips, else of all seen joints."""
        seen = [joint for joint in self._hips if confidence[joint] > 0] or np.flatnonzero(confidence > 0)
        place: NDArray[np.float64] = joints[seen].mean(axis=0, dtype=np.float64)
        return place
