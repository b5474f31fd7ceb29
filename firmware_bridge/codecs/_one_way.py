"""Senders that are not spoken to: they send what they like, as often as they like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from edgeskel.errors import UsageError
from firmware_bridge.codecs import Write
from firmware_bridge.samples import Chunk

__all__ = ["OneWay"]


class OneWay:
    """The half of a :class:`~firmware_bridge.codecs.Codec` that speaks, for those who do not listen."""

    name: ClassVar[str]

    def start(self, rate_hz: float | None = None) -> Sequence[Write]:
        """Nothing: it sends by itself, to the address that is set in it.

        Raises:
            UsageError: any rate.
        """
        if rate_hz is not None:
            raise UsageError(f"{self.name} at {rate_hz:g} Hz", expected="no rate: the sender sets its own")
        return ()

    def stop(self) -> Sequence[Write]:
        """Nothing: it does not listen."""
        return ()

    def reply(self, chunk: Chunk) -> Sequence[Write]:
        """Nothing: it does not listen."""
        return ()
