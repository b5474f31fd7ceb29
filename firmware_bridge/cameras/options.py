"""Options that several cameras have, read from the text of an address."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from edgeskel.errors import UsageError
from firmware_bridge.cameras.convert import ConversionSettings, FrameConverter
from firmware_bridge.cameras.pinhole import Intrinsics

__all__ = ["CONVERSION", "above_zero", "at_least_zero", "door_of", "switch", "whole"]

CONVERSION: Mapping[str, Callable[[str], object]] = {
    "layout": str,
    "units": str,
    "axes": str,
    "handedness": str,
    "intrinsics": Intrinsics.parse,
}


def door_of(settings: Mapping[str, Any], camera: str) -> FrameConverter:
    """The conversion that the options of :data:`CONVERSION` ask for.

    Raises:
        UsageError: no layout, or settings that the layout refuses.
        UnknownChoice: no such layout, unit, or axes.
    """
    from firmware_bridge.cameras import ADAPTERS, adapter

    if "layout" not in settings:
        raise UsageError(f"{camera} names no layout", expected=f"layout= one of {', '.join(ADAPTERS)}")
    return adapter(settings["layout"]).converter(
        ConversionSettings(
            settings.get("units"), settings.get("axes"), settings.get("handedness"), settings.get("intrinsics")
        )
    )


def at_least_zero(text: str) -> float:
    """A number from 0 on. Raises ValueError with what was expected, as all of these."""
    return _number(text, 0.0, "a number, 0 or more")


def above_zero(text: str) -> float:
    """A number above 0."""
    return _number(text, math.nextafter(0.0, 1.0), "a number above 0")


def whole(text: str) -> int:
    """0, 1, 2, ..."""
    if not text.isdecimal():
        raise ValueError("a whole number, 0 or more")
    return int(text)


def switch(text: str) -> bool:
    """0 or 1."""
    if text not in ("0", "1"):
        raise ValueError("0 or 1")
    return text == "1"


def _number(text: str, least: float, expected: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value < math.inf:
        raise ValueError(expected)
    return value
