"""What a session remembers, as bytes: saved, carried anywhere, restored. Nothing is ever unpickled.

A component that remembers something says which of its fields, and of what kind each is, in ``state_fields()``. A field holds
another such component (kind None) or plain values: numbers, text, arrays, frames, and tuples, lists, deques and mappings of
these. What two fields must have in common is said by ``contradiction()``, where a component has it. Nothing is restored that
does not fit: a state that is whole and says something impossible is refused at the door.

Axes: P persons of a frame, V joints.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from edgeskel.errors import CorruptFile
from edgeskel.files import UNREADABLE
from edgeskel.skeleton import FARTHEST_M, LATEST_S, Frame

__all__ = [
    "FieldType", "array", "frame", "load_state_dict", "one_of", "optional", "pack", "plain", "real", "row", "several",
    "state_dict", "table", "text", "unpack", "whole",
]

_LARGEST = 256 << 20
"""Bytes of a state when unpacked: some hundred times what four persons need."""


class FieldType(NamedTuple):
    """What a remembered value must be."""

    expected: str
    """In words."""
    fits: Callable[[Any], bool]
    """Whether a value is of this kind."""


def real(low: float = -LATEST_S, high: float = LATEST_S) -> FieldType:
    """A finite number in ``low..high``."""
    return FieldType(f"a number in {low:g}..{high:g}",
                lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high)


def whole(low: int, high: int = 1 << 40) -> FieldType:
    """A whole number in ``low..high``."""
    return FieldType(f"a whole number in {low}..{high}",
                lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high)


def text(most: int = 100) -> FieldType:
    """A short text."""
    return FieldType(f"a text of at most {most} letters", lambda value: isinstance(value, str) and len(value) <= most)


def one_of(values: Collection[Any]) -> FieldType:
    """One of ``values``, which are text or None."""
    return FieldType(f"one of {len(values)} names", lambda value: isinstance(value, (str, type(None))) and value in values)


def optional(kind: FieldType) -> FieldType:
    """None, or of that kind."""
    return FieldType(f"nothing or {kind.expected}", lambda value: value is None or kind.fits(value))


def array(*shape: int | None, low: float = -math.inf, high: float = math.inf, dtype: type = np.float32) -> FieldType:
    """An array of finite values in ``low..high``; None in ``shape`` is any size."""
    return FieldType(f"an array of {np.dtype(dtype)}, shape {shape}, with finite values",
                lambda value: _has_shape(value, shape) and value.dtype == dtype
                and bool(np.isfinite(value).all() and (value >= low).all() and (value <= high).all()))


def frame(persons: int | None, joints: int | None, most: int | None = None) -> FieldType:
    """A frame as a session takes it: (P, V, 3) and (P, V), with a place for every joint that is seen."""

    def fits(value: Any) -> bool:
        if not (isinstance(value, Frame) and real().fits(value.time) and _has_shape(value.confidence, (persons, joints))):
            return False
        confidence, places = value.confidence, value.joints
        if not _has_shape(places, (*confidence.shape, 3)) or {places.dtype.kind, confidence.dtype.kind} - set("fiu"):
            return False
        seen = confidence > 0
        return bool((most is None or len(places) <= most) and ((confidence >= 0) & (confidence <= 1)).all()
                    and (np.abs(places[seen]) <= FARTHEST_M).all())

    return FieldType(f"a frame of {persons or 'some'} persons with {joints or 'some'} joints", fits)


def several(kind: FieldType, most: int) -> FieldType:
    """A list of at most ``most`` values of that kind."""
    return FieldType(f"at most {most} of: {kind.expected}",
                lambda value: isinstance(value, (list, deque)) and len(value) <= most and all(map(kind.fits, value)))


def row(*kinds: FieldType) -> FieldType:
    """A tuple with one value of each kind."""
    return FieldType(f"a tuple of {len(kinds)}: {', '.join(kind.expected for kind in kinds)}",
                lambda value: isinstance(value, tuple) and len(value) == len(kinds)
                and all(kind.fits(item) for kind, item in zip(kinds, value, strict=True)))


def table(key: FieldType, value: FieldType, most: int) -> FieldType:
    """A mapping of at most ``most`` values."""
    return FieldType(f"at most {most} of {key.expected}, each with {value.expected}",
                lambda given: isinstance(given, Mapping) and len(given) <= most
                and all(key.fits(name) and value.fits(item) for name, item in given.items()))


def _has_shape(value: Any, shape: tuple[int | None, ...]) -> bool:
    return (isinstance(value, np.ndarray) and value.ndim == len(shape)
            and all(size in (None, seen) for size, seen in zip(shape, value.shape, strict=True)))


def state_dict(component: Any) -> dict[str, Any]:
    """The fields of a component and of those inside it."""
    return {name: state_dict(getattr(component, name)) if kind is None else getattr(component, name)
            for name, kind in component.state_fields().items()}


def load_state_dict(component: Any, fields: Any, place: str = "state") -> None:
    """Inverse of :func:`state_dict`, into a component that was made anew.

    Raises:
        CorruptFile: a field is missing, is not of its kind, or contradicts another; the component is then of no use.
    """
    kinds: Mapping[str, FieldType | None] = component.state_fields()
    if not isinstance(fields, Mapping) or fields.keys() != kinds.keys():
        raise _wrong(f"{place} is not what this version remembers", ", ".join(kinds))
    for name, kind in kinds.items():
        value, inner = fields[name], getattr(component, name)
        if kind is None:
            load_state_dict(inner, value, f"{place}.{name}")
            continue
        if not kind.fits(value):
            raise _wrong(f"{place}.{name} is {_short(value)}", kind.expected)
        if isinstance(inner, deque):
            value = deque(value, inner.maxlen)
        elif isinstance(inner, Counter):
            value = Counter(value)
        setattr(component, name, value)
    contradiction = component.contradiction() if hasattr(component, "contradiction") else None
    if contradiction is not None:
        raise _wrong(f"{place}: {contradiction}", "fields that belong together")


def _wrong(seen: str, expected: str) -> CorruptFile:
    return CorruptFile("session state", seen, expected=expected, remedy="start the session anew, without the state")


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} of {value.dtype}"
    return f"{type(value).__name__} {value!r}"[:60]


def plain(value: Any) -> Any:
    """``value`` as :func:`pack` writes it, arrays aside: what two states can be compared by, whatever they hold."""
    return _encode(value, [])


def pack(value: Any) -> bytes:
    """Plain values as an archive of arrays and one JSON text, with checksums."""
    arrays: list[np.ndarray[Any, Any]] = []
    text = json.dumps(_encode(value, arrays))
    buffer = io.BytesIO()
    named: dict[str, Any] = {f"array_{index}": array for index, array in enumerate(arrays)}
    np.savez(buffer, text=np.frombuffer(text.encode(), np.uint8), **named)
    return buffer.getvalue()


def unpack(content: bytes) -> Any:
    """Inverse of :func:`pack`.

    Raises:
        CorruptFile: damaged, or something else.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            size = sum(entry.file_size for entry in file.infolist())
        if size > _LARGEST:
            raise CorruptFile("session state", f"{size >> 20} MB when unpacked", expected=f"at most {_LARGEST >> 20} MB")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return _decode(json.loads(arrays.pop("text").tobytes().decode()), arrays)
    except (*UNREADABLE, MemoryError) as error:
        raise CorruptFile("session state", f"unreadable ({type(error).__name__}: {error})",
                          expected="what Session.save gave") from error


def _encode(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return float(value) if isinstance(value, np.floating) else value
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Frame):
        return {"frame": [_encode(item, arrays) for item in (value.time, value.joints, value.confidence)]}
    if isinstance(value, Mapping):
        return {"map": [[_encode(key, arrays), _encode(item, arrays)] for key, item in value.items()]}
    if isinstance(value, (tuple, list, deque)):
        return {"tuple" if isinstance(value, tuple) else "list": [_encode(item, arrays) for item in value]}
    raise TypeError(f"{type(value).__name__} is nothing that a session remembers")


def _decode(value: Any, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    if not isinstance(value, dict):
        return value
    (kind, content), = value.items()
    if kind == "array":
        return arrays[f"array_{content}"]
    if kind == "map":
        return {_decode(key, arrays): _decode(item, arrays) for key, item in content}
    items = [_decode(item, arrays) for item in content]
    if kind == "frame":
        return Frame(*items)
    return {"tuple": tuple, "list": list}[kind](items)
