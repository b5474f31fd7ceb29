"""What every live camera's frames pass: later than the one before, bodies that can be bodies, and every fault counted.

A camera goes on whatever it sends. A fault is named in the log when it comes first and at the 10th, 100th, ... time, and
counted in ``faults``.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np

from edgeskel.skeleton import Frame, Topology
from firmware_bridge.cameras.body_check import LARGEST, SMALLEST, BodyCheck, Handedness, unit_of
from firmware_bridge.cameras.convert import RefusedFrame
from firmware_bridge.clock import Clock
from firmware_bridge.samples import Reading

__all__ = ["FAULTS", "HostClock", "FrameValidator"]

log: logging.Logger = logging.getLogger(__name__)

FAULTS = {
    "json": "not one JSON object: left out",
    "fields": "a field is absent or of another type: left out",
    "joints": "another number of joints than the layout has: left out",
    "state": "a tracking state or confidence that the maker does not have: left out",
    "nan": "a joint or confidence that is no number where the maker writes numbers: the joint is missing",
    "depth": "a depth image of another shape: left out",
    "flat": "a body that has no place in space, such as a 2-D pose: the person is left out",
    "units": "a body of impossible size: the person is left out",
    "time": "a time that is no number of seconds: left out",
    "backwards": "not later than the frame before: left out",
    "restarted": "the sender's clock began anew: it goes on with the new one",
    "mirrored": "bodies whose left and right do not fit where they face: passed on, and wrong",
    "sender": "a second listed sender while the first one speaks: left out",
    "overrun": "came faster than they were read: the oldest were dropped",
}
"""Kind of fault -> what it is and what becomes of the frame."""

_FLAT = 5
"""Joints that tell a plane from a coincidence."""
_AT_HIPS, _ELSEWHERE = 0.02, 0.1
"""MediaPipe counts depth from the hips' middle, which is the origin of world landmarks, and of no picture's."""
_LONGEST_S = 1e10


class FrameValidator:
    """Checks the frames of one camera.

    Args:
        name: what to call the camera in messages.
        topology: the layout of its joints.
        metres: of the unit that was stated, to tell which other one the numbers look like.
    """

    def __init__(self, name: str, topology: Topology, metres: float = 1.0) -> None:
        self.name = name
        self.faults: dict[str, int] = {}
        """How often each fault of :data:`FAULTS` was seen."""
        self._body = BodyCheck(topology)
        self._hips: list[int] = []
        if topology.name == "mediapipe-33":
            self._hips = [topology.index("left_hip"), topology.index("right_hip")]
        self._metres = metres
        self._last = -math.inf
        self._handedness = Handedness(topology)

    def fault(self, kind: str, seen: str, times: int = 1) -> None:
        """Count a fault and name it when it is the first, the 10th, the 100th, ..."""
        before = self.faults.get(kind, 0)
        self.faults[kind] = count = before + times
        if before == 0 or int(math.log10(count)) > int(math.log10(before)):
            log.warning("%s: %s (%s; seen %d times)", self.name, seen, FAULTS[kind], count)

    def refuse(self, error: RefusedFrame) -> None:
        """Count a frame that its adapter refused."""
        self.fault(error.kind, str(error))

    def take(self, frame: Frame) -> Frame | None:
        """``frame`` without bodies that cannot be, or None if it is not later than the last one."""
        if frame.time <= self._last:
            self.fault("backwards", f"a frame {1e3 * (self._last - frame.time):.3g} ms before the one before it")
            return None
        self._last = frame.time
        keep = np.array([self._plausible(*body) for body in zip(frame.joints, frame.confidence, strict=True)], bool)
        if keep.all():
            return frame
        return Frame(frame.time, frame.joints[keep], frame.confidence[keep])

    def _flat(self, joints: Any, confidence: Any) -> str:
        """What says that a body is not in space; "" for one that may be."""
        seen = joints[confidence > 0].astype(np.float64)
        if not len(seen):
            return "a person none of whose joints has a place; from pixels, every joint needs its depth"
        if len(seen) >= _FLAT and (seen == 0).all(axis=0).any():
            return f"a person whose {len(seen)} joints have 0 for one coordinate: a 2-D pose"
        if self._hips and (confidence[self._hips] > 0).all():
            middle = joints[self._hips].astype(np.float64).mean(axis=0)
            if abs(middle[2]) < _AT_HIPS and np.abs(middle[:2]).max() > _ELSEWHERE:
                return "a person whose hips have no depth and are not the origin: landmarks of the picture, not of the world"
        return ""

    def _plausible(self, joints: Any, confidence: Any) -> bool:
        if flat := self._flat(joints, confidence):
            self.fault("flat", flat)
            return False
        stature = self._body.stature(joints, confidence)
        if stature is not None and not SMALLEST <= stature <= LARGEST:
            unit = unit_of(stature, self._metres) if stature > 0 else ""
            self.fault(
                "units",
                f"a person about {stature:.3g} m tall"
                + (f"; the numbers look like {unit}: say units={unit}" if unit else "; check the units of the sender"),
            )
            return False
        swapped = self._handedness.push(joints, confidence)
        if swapped:
            self.fault(
                "mirrored",
                f"{swapped} of {Handedness.JUDGED} bodies have left and right swapped for where they face; check the "
                "axes and their handedness, a mirrored picture, and the sender's table of joints",
            )
        return True


class HostClock:
    """A camera's own seconds -> seconds on the host's clock (``time.monotonic``)."""

    def __init__(self) -> None:
        self._clock = Clock(clock_bits=64)
        self._restarts = 0

    def __call__(self, seconds: float, host_ns: int) -> float:
        """When a frame was taken that says ``seconds`` and arrived at ``host_ns``.

        Raises:
            RefusedFrame: no number of seconds.
        """
        if not abs(seconds) < _LONGEST_S:  # also NaN
            raise RefusedFrame("time", f"time {seconds!r}", expected="seconds")
        return self._clock.push(Reading(device_us=round(seconds * 1e6)), host_ns).time

    @property
    def restarted(self) -> bool:
        """Whether the camera's clock began anew since the last call of this."""
        before, self._restarts = self._restarts, max(self._clock.epoch, 0)
        return self._restarts > before
