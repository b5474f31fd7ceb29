"""Equality, hashes and short texts for dataclasses that hold arrays and tables: what ``dataclass`` makes of them raises, or
prints every number.

A dataclass with ``eq=False, repr=False`` takes :class:`ByValue` as its base, and must say in ``__str__`` what it is in one line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["ByValue"]


class ByValue:
    """Equal where all fields are, arrays by shape, type and value; NaN equals NaN."""

    def __eq__(self, other: object) -> bool:
        """Never raises, whatever ``other`` is."""
        return type(other) is type(self) and all(_same(getattr(self, name), getattr(other, name)) for name in _fields(self))

    def __hash__(self) -> int:
        """Of texts, numbers and shapes: quick, and equal for equals."""
        return hash((type(self), *(_mark(getattr(self, name)) for name in _fields(self))))

    def __repr__(self) -> str:
        """One line."""
        return f"<{type(self).__name__} {self}>"


def _fields(value: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(value) if field.compare]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        if type(a) is not type(b) or a.shape != b.shape or a.dtype != b.dtype:
            return False
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))
    return bool(a == b)


def _mark(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.shape
    if isinstance(value, Mapping):
        return tuple(sorted(map(str, value)))
    return value
