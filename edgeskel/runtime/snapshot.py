"""What a session remembers, as bytes: saved, carried anywhere, restored. Nothing is ever unpickled.

A component that remembers something names its fields in ``REMEMBERS``. A field holds another such component or plain values:
numbers, text, arrays, frames, and tuples, lists, deques and mappings of these.
"""

from __future__ import annotations

import io
import json
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeskel.errors import CorruptFile
from edgeskel.files import UNREADABLE
from edgeskel.skeleton import Frame

__all__ = ["pack", "recall", "remember", "unpack"]


def remember(component: Any) -> dict[str, Any]:
    """The fields of a component and of those inside it."""
    fields = ((name, getattr(component, name)) for name in component.REMEMBERS)
    return {name: remember(value) if hasattr(value, "REMEMBERS") else value for name, value in fields}


def recall(component: Any, fields: Mapping[str, Any]) -> None:
    """Inverse of :func:`remember`, into a component that was made anew.

    Raises:
        KeyError: a field is missing.
    """
    for name in component.REMEMBERS:
        inner = getattr(component, name)
        if hasattr(inner, "REMEMBERS"):
            recall(inner, fields[name])
        elif isinstance(inner, deque):
            setattr(component, name, deque(fields[name], inner.maxlen))
        elif isinstance(inner, Counter):
            setattr(component, name, Counter(fields[name]))
        else:
            setattr(component, name, fields[name])


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
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return _decode(json.loads(arrays.pop("text").tobytes().decode()), arrays)
    except UNREADABLE as error:
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
