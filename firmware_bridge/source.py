"""Where live frames come from, opened by name: ``scheme:place?option=value&...``.

A new kind of source is one new file and one line in :data:`SCHEMES`; it is imported when it is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from types import TracebackType
from typing import Protocol

from edgeskel.errors import UnknownChoice, UsageError
from edgeskel.skeleton import Frame, Topology
from firmware_bridge.address import split_address
from firmware_bridge.recording import Span

__all__ = ["SCHEMES", "Source", "open_source", "options_of"]


class Source(Protocol):
    """Live frames. A context manager; iterating it gives the frames as they come."""

    topology: Topology
    """The layout of the joints."""
    rate_hz: float
    """Frames per second, nominally; the frames' own times are what counts."""
    spans: tuple[Span, ...]
    """What is performed when, where the source knows; else empty."""

    @property
    def faults(self) -> Mapping[str, int]:
        """How often a camera's frames were refused, by reason (:data:`firmware_bridge.cameras.FAULTS`); else empty."""

    def __enter__(self) -> Source:
        """Open what is needed."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""

    def __iter__(self) -> Iterator[Frame]:
        """Frames in the order of time; ends when the source ends."""


# scheme: (module, what the place is). The module holds ``open_source(place, options) -> Source``.
SCHEMES = {
    "replay": ("firmware_bridge.replay", "a recording: .npz, .jsonl or .mcap"),
    "wearable": ("firmware_bridge.wearable", "a TOML file that says what is worn"),
    "camera": ("firmware_bridge.cameras", "udp, mediapipe, realsense or depthai"),
}


def open_source(address: str) -> Source:
    """Open a source by its address, e.g. ``"replay:walk.npz?speed=2&loop=1"``.

    Raises:
        UnknownChoice: no such scheme or option; the message lists those that there are.
        UsageError: not an address, or a value that makes no sense.
        CorruptFile: a recording that cannot be read.
    """
    scheme, place, options = split_address(address)
    if not scheme:
        raise UsageError(
            f"{address!r} is not the address of a source",
            expected="SCHEME:PLACE, with SCHEME one of " + ", ".join(SCHEMES),
            remedy=f"for a recording: replay:{address}",
        )
    if scheme not in SCHEMES:
        raise UnknownChoice("kind of source", scheme, SCHEMES)
    if not place:
        raise UsageError(f"{address!r} names no place", expected=f"{scheme}:PLACE, where PLACE is {SCHEMES[scheme][1]}")
    source: Source = import_module(SCHEMES[scheme][0]).open_source(place, options)
    return source


def options_of(
    options: Mapping[str, str], known: Mapping[str, Callable[[str], object]], scheme: str
) -> dict[str, object]:
    """The options of an address, each converted by its own function.

    Raises:
        UnknownChoice: an option that the scheme has not.
        UsageError: a value that its function refuses.
    """
    converted: dict[str, object] = {}
    for name, text in options.items():
        if name not in known:
            raise UnknownChoice(f"option of {scheme}", name, known)
        try:
            converted[name] = known[name](text)
        except ValueError as error:
            raise UsageError(f"{scheme}: {name}={text}", expected=str(error)) from error
    return converted
