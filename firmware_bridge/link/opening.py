"""A link from an address."""

from __future__ import annotations

from typing import Any

from edgeskel.errors import UsageError
from firmware_bridge.address import split_address
from firmware_bridge.codecs import check_way, create, names, options_of
from firmware_bridge.link.connection import Link
from firmware_bridge.transports import DEFAULT_PROTOCOL, open_transport

__all__ = ["open_link", "protocol_of"]

def protocol_of(address: str) -> str:
    """The protocol that a device at ``address`` is taken to speak; raises as :func:`open_link`."""
    return _spoken(address)[0]


def _spoken(address: str) -> tuple[str, dict[str, str]]:
    """Protocol and options of its codec."""
    scheme, _, options = split_address(address)
    transport = open_transport(address)  # refuses a wrong address now, not at the first attempt
    protocol = options.get("protocol") or DEFAULT_PROTOCOL.get(scheme) or transport.protocol
    if not protocol:
        raise UsageError(f"{address} names no protocol", expected="protocol=NAME with NAME one of " + ", ".join(names()))
    check_way(protocol, scheme)
    options = {**transport.codec_options, **options}
    chosen = {name: value for name, value in options.items() if name in options_of(protocol)}
    create(protocol, chosen)  # likewise
    return protocol, chosen


def open_link(address: str, **options: Any) -> Link:
    """A link for an address such as ``ble:left-wrist?protocol=dot``; nothing is opened until it is started.

    Args:
        address: see :func:`firmware_bridge.transports.open_transport`. ``protocol`` names the codec, whose options (see
            :func:`firmware_bridge.codecs.options_of`) stand beside it; serial ports and BLE speak ``node`` unless told
            otherwise, and a recording knows what it holds.
        options: see :class:`Link`.

    Raises:
        UnknownChoice: no such transport, protocol or option.
        UsageError: the protocol is missing, or the address or a value in it makes no sense.
    """
    protocol, chosen = _spoken(address)
    return Link(address, lambda: create(protocol, chosen), lambda: open_transport(address), **options)
