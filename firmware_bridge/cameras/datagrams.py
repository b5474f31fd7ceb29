"""Frames as JSON, one object per datagram::

    {"time": 12.345, "persons": [{"id": 3, "joints": [[0.1, 0.9, 2.5], null, ...], "confidence": [2, 0, ...]}]}

``time`` is the sender's own clock in seconds; without it the moment of arrival counts. ``joints`` are those of the layout,
in its order, units and axes; null is a missing joint. ``confidence`` holds the maker's own states or scores and may be
left out; ``id`` too. Persons with ids come out in the order of their ids.

Axes: M persons, V joints.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeskel.skeleton import Frame
from firmware_bridge.cameras.convert import FrameConverter, RefusedFrame

__all__ = ["Datagram", "pack", "parse"]

EXPECTED = '{"time": seconds, "persons": [{"joints": [[x, y, z] or null, ...], "confidence": [...]}, ...]}'


class Datagram(NamedTuple):
    """What one datagram says.

    Args:
        time: seconds on the sender's clock, or None.
        joints: (M, V, 3) as sent; NaN where null was.
        states: M lists of V, as sent; None where no person has any.
        null: (M, V) whether null was sent.
    """

    time: float | None
    joints: NDArray[np.float64]
    states: list[Any] | None
    null: NDArray[np.bool_]

    @property
    def strange(self) -> int:
        """How many joints and scores are no numbers although something was sent."""
        scores = [score for row in self.states or () for score in row if isinstance(score, float) and score != score]
        return int((~np.isfinite(self.joints).all(axis=-1) & ~self.null).sum()) + len(scores)


def parse(data: bytes, size: int) -> Datagram:
    """Read a datagram.

    Args:
        data: its bytes.
        size: V.

    Raises:
        RefusedFrame: it is not what the module's text says. No other error, whatever the bytes are.
    """
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RefusedFrame("json", f"{len(data)} bytes that are no JSON ({error})", expected=EXPECTED) from error
    if not isinstance(said, dict):
        raise RefusedFrame("json", f"JSON of {type(said).__name__}", expected=EXPECTED)
    persons = said.get("persons")
    if not isinstance(persons, list) or not all(isinstance(person, dict) for person in persons):
        raise RefusedFrame("fields", f"fields {sorted(said)[:8]} without a list of persons", expected=EXPECTED)
    if all(_number(person.get("id")) for person in persons):
        persons = sorted(persons, key=lambda person: float(person["id"]))
    bodies = [_body(person.get("joints"), size) for person in persons]
    states = [_states(person.get("confidence"), size) for person in persons]
    null = np.array([null for _, null in bodies], bool).reshape(len(persons), size)
    joints = np.array([joints for joints, _ in bodies], np.float64).reshape(len(persons), size, 3)
    time = said.get("time")
    if time is not None and not _number(time):
        raise RefusedFrame("time", f"time {str(time)[:40]!r}", expected="seconds")
    if any(row is None for row in states):
        if not all(row is None for row in states):
            raise RefusedFrame("fields", "confidence of some persons only", expected="of all or of none")
        return Datagram(time, joints, None, null)
    return Datagram(time, joints, states, null)


def pack(frame: Frame, converter: FrameConverter, *, time: float | None = None) -> bytes:
    """What a sender with this layout would send for ``frame``; ``time`` is its own clock, by default the frame's."""
    said = {"time": frame.time if time is None else time, "persons": converter.persons(frame)}
    return json.dumps(said, separators=(",", ":")).encode()


def _body(joints: Any, size: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(V, 3) with NaN for null, (V,) where null was."""
    if not isinstance(joints, list):
        raise RefusedFrame("fields", "a person without a list of joints", expected=EXPECTED)
    if len(joints) != size:
        raise RefusedFrame(
            "joints",
            f"a person of {len(joints)} joints",
            expected=f"{size}",
            remedy="check that layout= is what the sender is set to",
        )
    null = np.array([joint is None for joint in joints], bool)
    try:
        values = np.array([(np.nan, np.nan, np.nan) if joint is None else joint for joint in joints])
    except ValueError:  # joints of different lengths
        values = np.array(None)
    if values.dtype.kind not in "fiu" or values.shape != (size, 3):
        raise RefusedFrame("fields", "a joint that is not [x, y, z]", expected="three numbers, or null for a missing joint")
    return values.astype(np.float64), null


def _states(states: Any, size: int) -> list[Any] | None:
    if states is None:
        return None
    if not isinstance(states, list):
        raise RefusedFrame("fields", f"confidence of {type(states).__name__}", expected="a list, one per joint")
    if len(states) != size:
        raise RefusedFrame("joints", f"{len(states)} confidences", expected=f"{size}, one per joint")
    return states


def _number(value: Any) -> bool:
    """Also NaN: whether a time makes sense is asked later."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True
