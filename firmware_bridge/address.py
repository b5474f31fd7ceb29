"""Addresses of sources and devices: ``SCHEME:PLACE?OPTION=VALUE&...``.

A place may hold a question mark itself, as names of Bluetooth devices and of files do: the options begin at the last one that
a ``NAME=VALUE`` follows. Where that cannot tell, write the place's own question mark as ``%3F`` (and a percent sign before
``3F`` or ``25`` as ``%25``).
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, quote

__all__ = ["Address", "split_address", "with_options"]

_OPTIONS = re.compile(r"\?(?=[\w.-]+=)")
_ESCAPED = re.compile("%(3F|25)", re.IGNORECASE)


class Address(NamedTuple):
    """The parts of an address; ``scheme`` is "" where there is no colon."""

    scheme: str
    place: str
    options: dict[str, str]


def split_address(address: str) -> Address:
    """An address in its parts: ``ble:Who?protocol=dot`` is ``("ble", "Who", {"protocol": "dot"})``."""
    scheme, colon, rest = address.partition(":")
    if not colon:
        scheme, rest = "", address
    place, query = _halves(rest)
    return Address(scheme, _ESCAPED.sub(lambda escape: "?" if escape[1] != "25" else "%", place),
                   dict(parse_qsl(query, keep_blank_values=True)))


def with_options(address: str, **options: object) -> str:
    """The address with more options."""
    added = "&".join(f"{name}={quote(str(value), safe='/:')}" for name, value in options.items())
    query = _halves(address)[1]
    return f"{address}{'&' if query else '?'}{added}" if added else address


def _halves(text: str) -> tuple[str, str]:
    last = max((mark.start() for mark in _OPTIONS.finditer(text)), default=len(text))
    return text[:last], text[last + 1 :]
