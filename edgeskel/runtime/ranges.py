"""What the numbers of a manifest may be: one table, looked up by where a number stands.

A number outside its range is a damaged or a made-up manifest: taken at its word it would fail far from here, or never end. The
bounds are far beyond any recogniser of this kind and any device that could run it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgeskel.errors import BundleError
from edgeskel.runtime.segmentation import RANGES as SEGMENTER

__all__ = ["JOINTS", "LABELS", "RANGES", "NumberRange", "check_numbers", "check_size"]

LABELS = 10_000
"""Classes, at most."""
JOINTS = 1_000
"""Joints of a topology, at most."""
_VALUES = 10_000_000  # of one window, or of the state of one person: 40 MB


@dataclass(frozen=True)
class NumberRange:
    """From ``least`` to ``most``, both included; ``whole`` numbers only, where it says so."""

    least: float
    most: float
    whole: bool = True

    def __str__(self) -> str:
        kind = f"a {'positive ' if self.least > 0 else ''}{'whole ' if self.whole else ''}number"
        return f"{kind} from {self.least:g} to {self.most:g}"


_COUNT, _SHARE, _MS = NumberRange(0, 1e12), NumberRange(0, 1, whole=False), NumberRange(0, 6e5, whole=False)

RANGES: Mapping[str, NumberRange] = {
    "window.persons": NumberRange(1, 64),
    "window.frames": NumberRange(1, 10_000),
    "window.hop": NumberRange(1, 10_000),
    "window.rate_hz": NumberRange(0.1, 1_000, whole=False),
    "step.frames": NumberRange(1, 1_000),
    "step.look_ahead": NumberRange(0, 10_000),
    "step.delay": NumberRange(0, 10_000),
    "step.states[].shape[]": NumberRange(1, 1_000_000),
    "topology.parents[]": NumberRange(-1, JOINTS - 1),
    "topology.pairs[][]": NumberRange(0, JOINTS - 1),
    "certainty.temperature": NumberRange(0.001, 1_000, whole=False),
    "certainty.threshold": _SHARE,
    "budget.p95_ms": NumberRange(0.001, 6e5, whole=False),
    "artifacts[].bytes": _COUNT,
    "artifacts[].tolerance.agreement": _SHARE,
    "artifacts[].tolerance.max_abs_diff": _SHARE,
    "artifacts[].tolerance.top1_drop": NumberRange(0, 100, whole=False),
    "artifacts[].measured[].agreement": _SHARE,
    "artifacts[].measured[].median_ms": _MS,
    "parameters": _COUNT,
    **{f"segmenter.{name}": NumberRange(*bounds, whole=False) for name, bounds in SEGMENTER.items()},
}
"""Place -> range. What stands in a list is at ``[]``. Everywhere else a number is finite and at most 1e30."""
_ELSEWHERE = NumberRange(-1e30, 1e30, whole=False)
_FREE = ("artifacts[].measured[]",)  # what was not measured is null there
_DEEPEST = 100


def check_numbers(manifest: Mapping[str, Any], where: str) -> None:
    """Refuse a manifest with a number outside its range.

    Args:
        manifest: as read.
        where: its path, for the message.

    Raises:
        BundleError: it names the place of the number, what stands there and what may.
    """
    for place, value in _leaves(manifest, "", 0):
        known = RANGES.get(place)
        if known is None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            continue
        if value is None and place.startswith(_FREE):
            continue
        if not _inside(value, known or _ELSEWHERE):
            shown = repr(value)
            raise BundleError(
                f"{where}: malformed: {place} is {shown if len(shown) <= 40 else shown[:40] + '…'}",
                expected=str(known or "a finite number"),
                remedy="copy the bundle again or export anew",
            )


def check_size(window: int, states: int, where: str) -> None:
    """Refuse windows or states that no device of this kind holds, though each number for itself would do.

    Args:
        window: values of one window: persons, frames, joints and coordinates multiplied.
        states: values of one person's state.
        where: the manifest's path.

    Raises:
        BundleError: either is too large.
    """
    for what, size in (("one window", window), ("the state of one person", states)):
        if size > _VALUES:
            raise BundleError(f"{where}: {what} has {size} values", expected=f"at most {_VALUES}", remedy="export anew")


def _inside(value: Any, allowed: NumberRange) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return allowed.least <= value <= allowed.most and not (allowed.whole and value != int(value))


def _leaves(value: Any, place: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > _DEEPEST:
        raise ValueError(f"{place[:40]}… is nested more than {_DEEPEST} deep")
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, f"{place}.{name}" if place else str(name), depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, f"{place}[]", depth + 1)
    else:
        yield place, value
