"""At the door: a maker's joints become a :class:`~edgeskel.skeleton.Frame` in metres, right-handed, y up.

Axes: M persons, V joints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.coordinates import AXES, METRES, axes_matrix, metres_of
from edgeskel.errors import InvalidClip, UsageError
from edgeskel.skeleton import Frame, Topology
from firmware_bridge.cameras.pinhole import Intrinsics, deproject, project

__all__ = ["Adapter", "FrameConverter", "RefusedFrame", "ConversionSettings", "share_of", "states_of"]

Array = NDArray[np.float64]
FARTHEST = 1e5
"""Metres along an axis. Wrong units still lie below, and are told from the size of the body; this is a wrong number."""
Confidence = Callable[[Sequence[Any]], Array]


class RefusedFrame(InvalidClip):
    """A frame that is not what its maker's layout says.

    Args:
        kind: one word of :data:`firmware_bridge.cameras.frame_validator.FAULTS`, by which sources count.
    """

    def __init__(self, kind: str, seen: str, *, expected: str = "", remedy: str = "") -> None:
        self.kind = kind
        super().__init__(seen, expected=expected, remedy=remedy)


@dataclass(frozen=True)
class ConversionSettings:
    """What only the user can know about a camera's joints.

    Args:
        units: of the coordinates (or of the depth, with intrinsics); None where the maker has fixed them.
        axes: see :func:`~edgeskel.coordinates.axes_matrix`.
        handedness: likewise.
        intrinsics: the coordinates are (u, v, depth): pixels of this camera, and depth in ``units``.
    """

    units: str | None = None
    axes: str | None = None
    handedness: str | None = None
    intrinsics: Intrinsics | None = None


@dataclass(frozen=True)
class Adapter:
    """What a maker's joints are.

    Args:
        topology: their layout.
        converts: from what, for the documentation.
        confidence: the maker's states or scores of V joints -> (V,) in 0..1.
        state: the inverse, for senders that stand in for a camera: a confidence -> what the maker would send.
        units: which the maker has fixed; None where the user must say.
        axes: likewise.
        nan_is_missing: the maker writes NaN for a joint that it does not see; elsewhere NaN is a fault.
    """

    topology: Topology
    converts: str
    confidence: Confidence
    state: Callable[[float], Any]
    units: str | None = None
    axes: str | None = None
    nan_is_missing: bool = False

    def converter(self, settings: ConversionSettings | None = None) -> FrameConverter:
        """The conversion under these settings.

        Raises:
            UsageError: a setting that is missing, makes no sense, or contradicts what the maker has fixed.
        """
        settings, name = settings or ConversionSettings(), self.topology.name
        if settings.intrinsics is not None:
            if self.axes is not None:
                raise UsageError(f"intrinsics with {name}", expected=f"none: it has {self.converts}")
            if settings.axes is not None:
                raise UsageError(f"axes with intrinsics for {name}", expected="one of the two")
        axes = "image" if settings.intrinsics is not None else self._fixed("axes", self.axes, settings.axes, AXES)
        units = self._fixed("units", self.units, settings.units, METRES)
        return FrameConverter(self, metres_of(units), axes_matrix(axes, settings.handedness), settings.intrinsics)

    def _fixed(self, what: str, fixed: str | None, said: str | None, choices: Mapping[str, object]) -> str:
        if fixed is not None and said is not None and said.lower() != fixed:
            raise UsageError(
                f"{what}={said} with {self.topology.name}", expected=f"{what} to be left out: it has {self.converts}"
            )
        if fixed is None and said is None:
            raise UsageError(
                f"{what} of {self.topology.name} are not stated",
                expected=f"{what}= one of {', '.join(choices)}",
                remedy="say what the sender is set to: the same numbers mean another body in other "
                f"{what}, and nothing in them tells which",
            )
        return fixed or said or ""


@dataclass(frozen=True)
class FrameConverter:
    """A maker's joints to frames, and back for stand-ins. Pure.

    Args:
        adapter: what comes in.
        metres: of one unit.
        matrix: (3, 3) to our axes.
        intrinsics: see :class:`ConversionSettings`.
    """

    adapter: Adapter
    metres: float
    matrix: Array = field(repr=False)
    intrinsics: Intrinsics | None = None

    @property
    def topology(self) -> Topology:
        """The layout of the joints."""
        return self.adapter.topology

    def frame(self, time: float, joints: Any, states: Any = None) -> Frame:
        """Convert the persons of one instant.

        Args:
            time: seconds on the host's clock.
            joints: (M, V, 3) in the maker's units and axes; a joint with NaN in it is missing.
            states: (M, V) in the maker's own words or numbers; None counts every joint that is there as certain.

        Raises:
            RefusedFrame: another number of joints, or a state that the maker does not have.
        """
        size = len(self.topology.joints)
        values = np.asarray(joints, np.float64)
        if values.size == 0:
            values = values.reshape(0, size, 3)
        if values.ndim != 3 or values.shape[1:] != (size, 3):
            raise RefusedFrame(
                "joints",
                f"joints of shape {values.shape}",
                expected=f"(persons, {size}, 3), the joints of {self.topology.name}",
                remedy="check the layout: a camera that is set to another one sends another number of joints",
            )
        confidence = self._confidence(states, len(values), size)
        missing = np.asarray(~np.isfinite(values).all(axis=-1))
        values = np.where(missing[..., None], 0.0, values)
        if self.intrinsics is not None:
            missing |= values[..., 2] <= 0
            with np.errstate(over="ignore", invalid="ignore"):
                values = deproject(values[..., :2], values[..., 2], self.intrinsics)
        with np.errstate(over="ignore", invalid="ignore"):
            ours = (values * self.metres) @ self.matrix.T
        absent = missing | (confidence <= 0)
        if not (np.abs(ours[~absent]) <= FARTHEST).all():
            raise RefusedFrame(
                "units",
                f"a joint {float(np.nan_to_num(np.abs(ours[~absent]), nan=np.inf).max()):.3g} m away",
                expected=f"at most {FARTHEST:g} m",
                remedy="check the units of the sender",
            )
        ours[absent] = 0.0
        return Frame(time, ours.astype(np.float32), np.where(absent, 0.0, confidence).astype(np.float32))

    def persons(self, frame: Frame) -> list[dict[str, Any]]:
        """What the maker's camera would have sent for ``frame``, as plain data; null is a missing joint."""
        theirs = frame.joints.astype(np.float64) @ self.matrix / self.metres
        if self.intrinsics is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                theirs = np.concatenate([project(theirs, self.intrinsics), theirs[..., 2:]], axis=-1)
        return [
            {
                "joints": [
                    joint.tolist() if certain > 0 else None for joint, certain in zip(body, confidence, strict=True)
                ],
                "confidence": [self.adapter.state(float(certain)) for certain in confidence],
            }
            for body, confidence in zip(theirs, frame.confidence, strict=True)
        ]

    def _confidence(self, states: Any, persons: int, size: int) -> Array:
        if states is None:
            return np.ones((persons, size))
        rows = list(states)
        if len(rows) != persons or any(len(row) != size for row in rows):
            raise RefusedFrame(
                "joints",
                f"{len(rows)} persons of {[len(row) for row in rows]} confidences",
                expected=f"{persons} of {size}, as many as joints",
            )
        return np.array([self.adapter.confidence(list(row)) for row in rows], np.float64).reshape(persons, size)


def states_of(table: Mapping[Any, float], topology: Topology) -> Confidence:
    """Confidence of named or numbered tracking states.

    Args:
        table: state -> confidence.
        topology: names the joint in a refusal.
    """

    def confidence(states: Sequence[Any]) -> Array:
        try:
            return np.array([table[state] for state in states], np.float64)
        except (KeyError, TypeError) as error:
            where = next(index for index, state in enumerate(states) if not _known(state, table))
            raise RefusedFrame(
                "state",
                f"tracking state {states[where]!r} of {topology.joints[where]}",
                expected="one of " + ", ".join(map(str, table)),
                remedy=f"check that the sender really is {topology.name}",
            ) from error

    return confidence


def _known(state: Any, table: Mapping[Any, float]) -> bool:
    try:
        return state in table
    except TypeError:  # a list or an object cannot be looked up
        return False


def share_of(most: float, topology: Topology) -> Confidence:
    """Confidence of a score between 0 and ``most``; NaN and None are 0, as a joint without a score is not seen."""

    def confidence(states: Sequence[Any]) -> Array:
        try:
            scores = np.array([np.nan if state is None else float(state) for state in states]) / most
        except (TypeError, ValueError) as error:
            raise RefusedFrame("state", f"confidences of {topology.name} that are no numbers ({error})") from error
        scores[np.isnan(scores)] = 0.0
        beyond = (scores < -_ROUNDING) | (scores > 1 + _ROUNDING)
        if beyond.any():
            where = int(np.argmax(beyond))
            raise RefusedFrame(
                "state",
                f"confidence {states[where]!r} of {topology.joints[where]}",
                expected=f"0 to {most:g}",
                remedy=f"check that the sender really is {topology.name}",
            )
        return scores.clip(0.0, 1.0)

    return confidence


_ROUNDING = 1e-3  # what a sender's rounding may put beyond the end
